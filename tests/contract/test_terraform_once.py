"""A plan that can never be applied again is gone, the same code planned again is known, what is unknown is production."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.domain.calls import Prepared, Target
from bot.domain.ports import Cannot
from tests.tool_house import MAIN, VALUES, VARIABLES, ToolHouse, open_tool_house
from tools.snapshot import ChangedError
from tools.terraform_state import state_of

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
HEAD = 'terraform {\n  required_providers {\n    proxmox = {\n      source = "bpg/proxmox"\n    }\n  }\n}\n'
SECRETS = ("code/tfplan", "about/plan.json")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[ToolHouse]:
    with open_tool_house(tmp_path) as opened:
        yield opened


def kept(house: ToolHouse, revision: str) -> list[str]:
    """Which of the files with values in clear are still stored."""
    store = house.workshop.snapshots(house.scope)
    manifest = store.load(revision)
    there: list[str] = []
    for path in SECRETS:
        try:
            store.take(manifest, path)
            there.append(path)
        except ChangedError:
            pass
    return there


async def test_rule_12_the_same_code_planned_again_is_alike_and_other_values_are_not(house: ToolHouse) -> None:
    plans = [await house.plan_three(), await house.plan_three()]
    await house.use("workspace_write", path="notes.md", content="# beside the code\n")
    plans.append(str((await house.use("terraform_plan")).facts["plan"]))
    await house.write(
        main_tf=MAIN, variables_tf=VARIABLES, vms_auto_tfvars=VALUES.replace("vm_id = 123", "vm_id = 124")
    )
    plans.append(str((await house.use("terraform_plan")).facts["plan"]))
    alike: list[set[str]] = []
    for plan in plans:
        prepared, _ = await house.prepare("terraform_apply", plan=plan, words="x")
        assert isinstance(prepared, Prepared)
        alike.append(set(prepared.alike))
    assert len(set(plans)) == 4
    assert alike[0] == alike[1]
    assert len(alike[0] & alike[2]) == 1
    assert not alike[0] & alike[3]


async def test_rule_24_a_refused_apply_leaves_no_plan_behind(house: ToolHouse) -> None:
    revision, later = await house.plan_three(), await house.plan_three()
    prepared, parsed = await house.prepare("terraform_apply", plan=revision, words="x")
    assert isinstance(prepared, Prepared)
    assert kept(house, revision) == list(SECRETS)
    state = state_of(house.workshop.estate(house.scope), ".")
    state.ensure()
    state.file.write_text('{"version": 4, "serial": 9, "lineage": "other", "resources": []}')
    done = (await house.tools["terraform_apply"].run(prepared, parsed, house.scope, house.watch)).result
    assert done.status == "refused", done.text
    assert kept(house, revision) == []
    assert isinstance((await house.prepare("terraform_apply", plan=later, words="x"))[0], Cannot)
    assert kept(house, later) == []


async def test_rule_24_a_failed_apply_leaves_no_plan_behind(house: ToolHouse) -> None:
    machine = 'resource "proxmox_virtual_environment_vm" "x" {\n  name = "cp1"\n  node_name = "nowhere"\n}\n'
    await house.write(main_tf=HEAD + machine)
    revision = str((await house.use("terraform_plan")).facts["plan"])
    done = await house.use("terraform_apply", plan=revision, words="x")
    assert done.status == "failed", done.text
    assert kept(house, revision) == []


async def test_rule_12_a_node_that_the_plan_does_not_know_is_no_node_and_is_said(house: ToolHouse) -> None:
    code = 'resource "terraform_data" "n" {\n  input = "pve2"\n}\nresource "proxmox_virtual_environment_vm" "x" {\n'
    code += '  node_name = terraform_data.n.output\n  name      = "db${terraform_data.n.id}"\n}\n'
    await house.write(main_tf=HEAD + code)
    revision = str((await house.use("terraform_plan")).facts["plan"])
    prepared, _ = await house.prepare("terraform_apply", plan=revision, words="x")
    assert isinstance(prepared, Prepared)
    address = "proxmox_virtual_environment_vm.x"
    wanted = {f"node_name of {address}", f"name of {address}", "terraform_data.n"}
    assert set(prepared.effect.targets) == {Target("unknown", name) for name in wanted}
    assert any("Counts as production" in note for note in prepared.effect.notes)


async def test_rule_16_a_file_in_no_commit_is_not_planned(house: ToolHouse) -> None:
    await house.write(main_tf=HEAD)
    tree = house.data / "estates/home/worktrees/7"
    (tree / "more.tf").write_text("locals {}\n")
    assert "more.tf: is in no commit" in await house.refuse("terraform_plan")
    (tree / "more.tf").unlink()
    (tree / "main.tf").write_text(HEAD + "locals {}\n")
    assert "main.tf: is not as the last commit has it" in await house.refuse("terraform_plan")
