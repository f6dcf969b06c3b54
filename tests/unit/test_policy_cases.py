"""The operator's own policy tests, and the way to a decision in words."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.policy.cases import run_cases
from bot.policy.environments import EnvironmentMap, Mapped
from bot.policy.explaining import explain, read_call
from bot.policy.loading import read_authoriser
from bot.policy.problems import PolicyError
from tests.gate_house import POLICIES, authoriser
from tests.unit.test_cli import run

ENVIRONMENTS = EnvironmentMap(("lab", "production"), (Mapped("lab", "node", "lab1"),))
CASE = "cases:\n  - name: the case\n    given: {%s}\n    when: {persona: builder, tool: terraform_apply, class: change}\n    expect: {%s}\n"  # fmt: skip
APPLY: dict[str, Any] = {"persona": "builder", "tool": "terraform_apply", "class": "change", "verdict": "passed"}


def problem(folder: Path, expect: str, given: str = "verdict: passed") -> str:
    (folder / "a.yaml").write_text(CASE % (given, expect))
    (outcome,) = run_cases(authoriser(), ENVIRONMENTS, folder)
    return outcome.problem


def told(**more: Any) -> str:
    return explain(authoriser(), ENVIRONMENTS, read_call(json.dumps({**APPLY, **more})))


def test_the_cases_that_are_shipped_hold_for_the_policies_that_are_shipped() -> None:
    decides, environments = read_authoriser(POLICIES)
    outcomes = run_cases(decides, environments, POLICIES / "tests")
    assert len(outcomes) >= 10
    assert [outcome for outcome in outcomes if outcome.problem] == []


@pytest.mark.parametrize(
    ("expect", "wrong"),
    [
        ("decision: needs-approval", ""),
        ("decision: allow", "decision should be allow, is needs-approval"),
        ("decision: needs-approval, quorum: 2", "quorum should be 2, is 1"),
        ("decision: needs-approval, approvers: [admin]", "approvers should be ['admin'], is ['approver']"),
        ("decision: needs-approval, expires: 1h", "expires should be 1h, is 4h"),
        ("decision: needs-approval, requester: may approve", "requester should be may approve, is excluded"),
        ("decision: needs-approval, typed: [cp1]", "typed should be ['cp1'], is []"),
        ("decision: needs-approval, grant: 1h", "grant should be 1h, is none"),
        (
            "decision: needs-approval, policy: elsewhere",
            "policy should be elsewhere, is policies/terraform.cedar: change",
        ),
    ],
)
def test_a_case_says_what_differs(tmp_path: Path, expect: str, wrong: str) -> None:
    assert problem(tmp_path, expect) == wrong


def test_what_a_refusal_has_not_is_a_difference(tmp_path: Path) -> None:
    given = "verdict: missing"
    assert problem(tmp_path, "decision: deny, reason: no passing verdict", given) == ""
    assert problem(tmp_path, "decision: deny, quorum: 1", given) == "quorum should be 1, is nothing"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("cases: []", "at least 1 item"),
        ("cases: [{name: abc}]", "Field required"),
        (CASE % ("colour: red", "decision: deny"), "cases.0.given.colour"),
        (CASE % ("environment: moon", "decision: deny"), "there is no environment 'moon'"),
        ("cases: [", "this is no YAML"),
    ],
)
def test_a_case_that_cannot_run_is_no_pass(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(PolicyError, match=word):
        run_cases(authoriser(), ENVIRONMENTS, tmp_path)


def test_the_way_to_an_approval(tmp_path: Path) -> None:
    lines = told(targets={"node": ["lab1"]}, create=3).splitlines()
    assert lines[0].endswith("terraform_apply as change in lab")
    assert "  node lab1 is lab (environments.yaml)" in lines
    assert "permits   policies/terraform.cedar: change-elsewhere: quorum 1, of approver, within 4h" in lines
    assert "silent    policies/terraform.cedar: change: its condition does not hold here" in lines
    assert "decision  needs approval: 1 of approver within 4h; who asked may approve too" in lines
    assert "typing “cp1 cp2”" in told(**{"class": "destroy"}, names=["cp1", "cp2"])


def test_the_way_to_a_refusal_and_to_a_read() -> None:
    refused = told(verdict="missing")
    assert "forbids   policies/terraform.cedar: verdict: no passing verdict on exactly this plan" in refused
    assert "silent" not in refused
    assert "decision  deny: no passing verdict" in refused
    read = told(persona="qa", tool="proxmox_read", **{"class": "read"})
    assert "permits   policies/reads.cedar: everyone: asks nobody" in read
    assert "decision  allow" in read


@pytest.mark.parametrize("call", ["{", "[]", '{"persona": "qa"}', '{"persona": "qa", "tool": "x", "class": "maybe"}'])
def test_what_is_no_call_is_told_with_an_example(call: str) -> None:
    with pytest.raises(PolicyError, match="Write it like"):
        read_call(call)


def test_from_the_command_line(tmp_path: Path) -> None:
    done = run(tmp_path, "policy", "test", people="people: {}\n")
    written = sum(len(yaml.safe_load(path.read_text())["cases"]) for path in (POLICIES / "tests").glob("*.yaml"))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"{written} cases, 0 failed")
    done = run(tmp_path, "policy", "explain", json.dumps(APPLY))
    assert (done.returncode, "decision  needs approval" in done.stdout) == (0, True)
    done = run(tmp_path, "policy", "explain", "{}")
    assert (done.returncode, "Write it like" in done.stderr, "Traceback" in done.stderr) == (2, True, False)


def test_a_failed_case_and_no_case_at_all_are_failures(tmp_path: Path) -> None:
    policies = tmp_path / "policies"
    policies.mkdir()
    for path in (*POLICIES.glob("*.cedar"), POLICIES / "schema.cedarschema", POLICIES / "environments.yaml"):
        (policies / path.name).write_text(path.read_text())
    none = run(tmp_path, "policy", "test", WATCHBILL_POLICIES=str(policies))
    assert (none.returncode, none.stdout) == (1, "0 cases, 0 failed\n")
    (policies / "tests").mkdir()
    (policies / "tests" / "a.yaml").write_text(CASE % ("verdict: passed", "decision: allow"))
    failed = run(tmp_path, "policy", "test", WATCHBILL_POLICIES=str(policies))
    assert failed.returncode == 1
    assert failed.stdout.startswith("FAIL  a.yaml: the case: decision should be allow, is needs-approval")


def test_the_examples_of_the_documents_are_valid_and_do_what_they_say(tmp_path: Path) -> None:
    copy = tmp_path / "policies"
    shutil.copytree(POLICIES, copy)
    examples = re.findall(r"```cedar\n(.*?)```", "".join(map(Path.read_text, sorted(POLICIES.glob("*.md")))), re.DOTALL)
    assert len(examples) >= 4
    (copy / "examples.cedar").write_text("\n".join(examples))
    decides, environments = read_authoriser(copy)

    def decided(**more: Any) -> str:
        text = explain(decides, environments, read_call(json.dumps({**APPLY, **more})))
        return next(line for line in text.splitlines() if line.startswith("decision"))

    assert "more than ten machines" in decided(create=11)
    assert "needs approval: 1 of" in decided(create=3)
    assert "needs approval: 2 of" in decided(change=21)
    assert "needs approval: 2 of" in decided(change=1, quorum_share=34)
    destroy = {"class": "destroy", "destroy": 1}
    assert "takes the majority" in decided(**destroy, loses_quorum=True)
    assert "needs approval: 2 of approver within 1h" in decided(**destroy, quorum_share=34)
    assert "only in its window" in decided(change=1, window="closed")
    assert "needs approval" in decided(change=1, window="closed", maintenance=True)
    assert "needs approval" in decided(change=1, window="open")
    assert "needs approval" in decided(change=1, window="closed", environment="lab")


def test_the_way_to_a_decision_shows_the_blast_radius_and_the_calendar() -> None:
    calm = (
        "1 resource; 0 % of a voting group, majority kept; the last of nothing; change window: none; not in maintenance"
    )
    assert f"          {calm}\n" in told(create=1)
    worst = told(resources=7, quorum_share=67, loses_quorum=True, last_of=["etcd"], window="closed", maintenance=True)
    told_as = "7 resources; 67 % of a voting group, majority lost; nothing left of etcd; change window: closed; all in maintenance"
    assert f"          {told_as}\n" in worst
