"""Rule 16: the guarded cannot edit the guard."""

import ast
import re
import shutil
from pathlib import Path

from bot.domain.approvals import Denied
from bot.domain.calls import CallClass
from bot.domain.ids import MissionId
from bot.policy.authorise import Facts
from bot.policy.loading import load_policies
from tests.fakes import BO, QA
from tests.gate_house import POLICIES, House

ROOT = POLICIES.parent
PEOPLE = "people:\n  U0BO000001: {name: bo, roles: [approver]}\n"
LOOSE = '@id("loose") @quorum("1") @approvers("approver") @expires("24h") @exclude_requesters("false")\npermit (principal, action, resource);\n'
WRITING = {
    "write_text",
    "write_bytes",
    "unlink",
    "rename",
    "rmdir",
    "mkdir",
    "touch",
    "chmod",
    "symlink_to",
    "replace_file",
}


def test_rule_16_policies_are_read_once_so_an_edit_changes_nothing_that_runs(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    shutil.copytree(POLICIES, folder)
    (folder / "people.yaml").write_text(PEOPLE)
    loaded = load_policies(folder)
    facts = Facts(QA, "terraform_apply", CallClass.CHANGE, "production", MissionId("7"), "home", verdict_passed=True)
    (folder / "loose.cedar").write_text(LOOSE)
    assert isinstance(loaded.authoriser.decide(facts), Denied)
    reloaded = load_policies(folder)
    assert not isinstance(reloaded.authoriser.decide(facts), Denied)
    assert reloaded.version != loaded.version


async def test_rule_16_an_approval_given_under_other_policies_is_void(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    shutil.copytree(POLICIES, folder)
    (folder / "people.yaml").write_text(PEOPLE)
    house = House(tmp_path)
    house.set(authoriser=load_policies(folder).authoriser)
    request = await house.approved(BO)
    (folder / "loose.cedar").write_text(LOOSE)
    house.set(authoriser=load_policies(folder).authoriser)
    settlement = await house.settle(request)
    assert (settlement.request.status, house.apply.ran) == ("superseded", 0)


def test_rule_16_the_policy_layer_writes_nothing_and_the_gate_only_its_ledger() -> None:
    writers: dict[str, set[str]] = {}
    for path in [*(ROOT / "bot" / "policy").glob("*.py"), *(ROOT / "bot" / "gate").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in WRITING | {"open"}:
                writers.setdefault(path.name, set()).add(name)
    assert writers == {"ledger.py": {"open"}}


def test_rule_16_no_unasked_tool_of_the_policies_writes_outside_the_workspace() -> None:
    """What runs without asking is named in one file, and only workspace tools of it write."""
    named = set(re.findall(r'Tool::"([a-z_]+)"', (POLICIES / "reads.cedar").read_text()))
    assert {tool for tool in named if "write" in tool or "patch" in tool} == {"workspace_write", "workspace_patch"}
    assert not {tool for tool in named if "apply" in tool or "policy" in tool or "persona" in tool}
