"""The scan's pure parts: what a plan looks like to the scanner, what its report adds up to, which files are looked at."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from tests.scan_house import BAD, RULES, VM, plan_of, vm
from tools.crew import _fingerprint as crew_fingerprint  # type: ignore[reportPrivateUsage] # must be the same
from tools.scan_plan import UNKNOWN, prepare_plan, secrets_in_plan
from tools.scan_report import (
    Found,
    Part,
    Report,
    Result,
    Rules,
    ScanError,
    SeveritiesFile,
    base_address,
    judge_code,
    judge_plan,
    locate,
    read_rules,
    worst_first,
)
from tools.scan_sources import SEARCHED_BYTES, Code, secrets_in_code, skips_in_code

SEVERITIES = SeveritiesFile(default="medium", rules={"secret-in-code": "high", "secret-in-plan": "high"})


def values_of(plan: dict[str, Any]) -> dict[str, Any]:
    document = cast("Any", prepare_plan(plan).document)
    return document["planned_values"]["root_module"]["resources"][0]["values"]


def part(*results: Result, broken: tuple[str, ...] = (), framework: Any = "terraform_plan") -> Part:
    return Part(framework=framework, results=results, broken=broken)


def result(rule: str, resource: str, outcome: Any = "PASSED", file: str = "main.tf", line: int = 3) -> Result:
    return Result(rule=rule, name=f"Do {rule}", resource=resource, outcome=outcome, file=file, line=line)


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    """Two rules: A looks at `usb`, B at `agent.enabled`."""
    (tmp_path / "checks").mkdir()
    (tmp_path / "severities.yaml").write_text("default: medium\nrules: {A: high}\n")
    for name, attribute in (("A", "usb[*]"), ("B", "agent.enabled")):
        condition = {"cond_type": "attribute", "resource_types": [VM], "attribute": attribute, "operator": "exists"}
        check = {"metadata": {"id": name, "name": f"Do {name}"}, "definition": {"and": [condition]}}
        (tmp_path / "checks" / f"{name}.yaml").write_text(json.dumps(check))
    return read_rules(tmp_path)


def test_rule_22_marked_values_do_not_reach_the_scanner_but_that_they_are_set_does() -> None:
    values = values_of(plan_of(vm(initialization=[{"user_account": [{"password": "hunter2", "keys": []}]}])))
    assert values["initialization"][0]["user_account"][0]["password"] == "‹secret:marked›"
    assert "hunter2" not in json.dumps(values)


def test_unset_values_are_gone_and_unknown_ones_of_the_code_are_there() -> None:
    said = {BAD: {"agent": [{"enabled": {"references": ["var.a"]}}], "on_boot": {"references": ["var.b"]}}}
    unknown = {"on_boot": True, "agent": [{"enabled": True, "type": True}], "mac_addresses": True}
    values = values_of(plan_of(vm(agent=[{}], on_boot=None, unknown=unknown), said=said))
    assert values["on_boot"] == UNKNOWN
    assert values["agent"] == [{"enabled": UNKNOWN}]
    assert "kvm_arguments" not in values
    assert "mac_addresses" not in values, "computed by the provider, said by nobody"


def test_unknown_values_that_the_schema_marks_are_there_whoever_wrote_them() -> None:
    unknown = {"initialization": [{"user_account": [{"password": True}]}]}
    values = values_of(plan_of(vm(initialization=[{"user_account": [{"keys": []}]}], unknown=unknown)))
    assert values["initialization"][0]["user_account"][0]["password"] == UNKNOWN


def test_a_plan_names_its_resources_in_modules_too_and_leaves_out_what_is_forgotten() -> None:
    inner, lost = vm("web"), vm("lost")
    inner["address"] = f'module.a["x"].{VM}.web[0]'
    lost["change"]["actions"] = ["forget"]
    plan = plan_of(lost) | {"resource_changes": [inner, lost]}
    row: dict[str, Any] = {key: inner[key] for key in ("address", "mode", "type", "name")} | {"values": {"usb": []}}
    cast("Any", plan)["planned_values"]["root_module"]["child_modules"] = [
        {"address": 'module.a["x"]', "resources": [row]}
    ]
    planned = prepare_plan(plan)
    assert planned.types == {inner["address"]: VM}
    assert planned.touched == {f"module.a.{VM}.web", f"{VM}.lost"}


def test_secrets_of_the_plan_are_named_by_their_place() -> None:
    plan = plan_of(vm(description="token: 8f14e45fceea167a5a36dedd4bea2543", vnc={"secret": "Winter"}))
    found = list(secrets_in_plan(prepare_plan(plan), SEVERITIES))
    assert {one.resource for one in found} == {f"{BAD}.description", f"{BAD}.vnc.secret"}
    assert all("8f14" not in str(one) and "Winter" not in str(one) for one in found)


def test_what_failed_or_was_skipped_is_a_finding_and_what_passed_is_none(rules: Rules) -> None:
    report = part(result("A", BAD, "SKIPPED"), result("B", BAD, "FAILED"))
    assert {(one.rule, one.severity) for one in judge_plan(report, rules, {BAD: VM}, {})} == {
        ("A", "high"),
        ("B", "medium"),
    }
    assert judge_plan(part(result("A", BAD), result("B", BAD)), rules, {BAD: VM}, {}) == []


def test_what_the_scanner_did_not_judge_is_a_finding(rules: Rules) -> None:
    (one,) = judge_plan(part(result("A", BAD)), rules, {BAD: VM}, {})
    assert (one.rule, one.text) == ("B", "Do B: cannot be judged before the apply; write plain values")


@pytest.mark.parametrize(
    ("unknown", "rules_found"),
    [({("usb",)}, ["A"]), ({("agent",)}, ["B"]), ({("agent", "enabled")}, []), ({("agents",)}, []), ({()}, ["A", "B"])],
)
def test_a_block_that_may_come_with_the_apply_does_not_pass(
    rules: Rules, unknown: set[tuple[str, ...]], rules_found: list[str]
) -> None:
    found = judge_plan(part(result("A", BAD), result("B", BAD)), rules, {BAD: VM}, {BAD: unknown})
    assert [one.rule for one in found] == rules_found


def test_a_scanner_that_looked_at_nothing_is_no_pass(rules: Rules) -> None:
    with pytest.raises(ScanError, match="looked at no resource"):
        judge_plan(part(), rules, {BAD: VM}, {})
    with pytest.raises(ScanError, match="could not read the plan"):
        judge_plan(part(broken=("plan.json",)), rules, {}, {})
    assert judge_plan(part(), rules, {"terraform_data.x": "terraform_data"}, {}) == []


def test_a_file_that_was_not_read_is_a_finding_of_its_own(rules: Rules) -> None:
    (one,) = judge_code(part(broken=("a/x.tf",), framework="terraform"), rules)
    assert (one.rule, one.resource, one.severity) == ("file-not-understood", "a/x.tf", "medium")


def test_findings_get_the_place_of_their_block_in_the_code() -> None:
    code = part(result("A", "module.m.t.n", file="m/main.tf", line=7), framework="terraform")
    found = [
        Found("A", 'module.m["a b].c"].t.n["x"]', "low", "", "plan.json", 0),
        Found("A", "t.other", "low", "", "p", 1),
    ]
    assert [(one.file, one.line) for one in locate(found, code)] == [("m/main.tf", 7), ("", 0)]
    assert base_address(r'a.b["x\"].c"].d[0]') == "a.b.d"


def test_findings_are_told_once_and_the_worst_first() -> None:
    found = [Found("a", "x", "low", "1"), Found("b", "y", "high", "2"), Found("a", "x", "critical", "3")]
    assert [one.text for one in worst_first(found)] == ["3", "2"]


def test_rule_18_fingerprints_are_those_of_the_verdict() -> None:
    assert Found("rule", "resource", "low", "text").fingerprint == crew_fingerprint("rule", "resource")


@pytest.mark.parametrize(
    "said", ["", "Traceback", "[]", '{"version": "3"}', '{"version":"3","parts":[{"framework":"x"}]}']
)
def test_what_is_no_report_is_no_pass(said: str) -> None:
    with pytest.raises(ScanError, match="gave no report"):
        Report.read(said)


def test_a_framework_that_did_not_run_is_no_pass() -> None:
    with pytest.raises(ScanError, match="did not run its framework secrets"):
        Report(version="3", parts=(part(),)).part("secrets")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("severities.yaml", "default: terrible\n", "severities.yaml"),
        ("checks/A.yaml", "metadata: {id: A}\n", "A.yaml"),
        ("checks/A.yaml", "{", "A.yaml"),
    ],
)
def test_rules_that_are_wrong_stop_the_scan_by_name(
    rules: Rules, tmp_path: Path, name: str, content: str, told: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ScanError, match=told):
        read_rules(tmp_path)


def test_a_changed_rule_is_another_digest(rules: Rules, tmp_path: Path) -> None:
    (tmp_path / "severities.yaml").write_text("default: low\n")
    assert read_rules(tmp_path).digest != rules.digest


def test_the_house_rules_each_have_a_severity_of_their_own() -> None:
    house = read_rules(RULES)
    assert {rule.id for rule in house.checks} <= set(house.severities.rules)
    assert all(rule.types and rule.attributes for rule in house.checks)


def test_a_secret_keeps_its_name_when_lines_move() -> None:
    text = 'password = "Winter-2026-now"\nother = 1\npassword = "Summer-2026-now"\n'
    for lead in ("", "# a line\n\n"):
        found = list(secrets_in_code(Code("", {"a.tf": (lead + text).encode()}, {}), SEVERITIES))
        assert [one.resource for one in found] == ["a.tf#password", "a.tf#password-2"]
        assert found[0].line == 1 + lead.count("\n")
        assert all("2026" not in str(one.as_json()) for one in found)


def test_a_name_never_holds_another_secret() -> None:
    text = "ghp_0123456789abcdefghijABCDEFGHIJ012345:password=Winter-2026-now"
    found = list(secrets_in_code(Code("", {"a": text.encode()}, {}), SEVERITIES))
    assert found
    assert all("ghp_" not in str(one) and "winter" not in str(one).lower() for one in found)


@pytest.mark.parametrize(
    "comment", ["# checkov:skip=A:x", "#bridgecrew:skip=A", "// Cortex:skip=A", "x # pragma: allowlist secret"]
)
def test_comments_that_switch_checks_off_are_told_and_made_harmless(tmp_path: Path, comment: str) -> None:
    code = Code("", {"a.tf": comment.encode()}, {"a.tf": comment.encode()})
    (one,) = skips_in_code(code, SEVERITIES)
    assert (one.rule, one.file, one.line) == ("scanner-told-to-look-away", "a.tf", 1)
    code.lay_out(tmp_path)
    for folder in ("code", "files"):
        written = (tmp_path / folder / "a.tf").read_text()
        assert written != comment
        assert len(written) == len(comment)
        assert ":skip" not in written
        assert "pragma:" not in written


def test_large_files_are_left_to_our_own_search(tmp_path: Path) -> None:
    large = b"x" * SEARCHED_BYTES + b'\npassword = "Winter-2026-now"\n'
    code = Code("", {"large.txt": large, "small.txt": b"1"}, {})
    code.lay_out(tmp_path)
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["small.txt"]
    assert [one.resource for one in secrets_in_code(code, SEVERITIES)] == ["large.txt#password"]
