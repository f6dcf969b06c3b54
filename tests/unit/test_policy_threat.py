"""What blocks, and what no longer can."""

from dataclasses import replace

import pytest

from bot.domain.contract import Finding, Severity
from bot.policy.threat import ThreatFile
from tests.fakes import mission
from tests.gate_house import REVISION, verdict

MODEL = ThreatFile.model_validate(
    {
        "blocks_from": {"lab": "critical", "production": "medium"},
        "accepted": [
            {
                "rule": "disk-not-encrypted",
                "environments": ["lab", "production"],
                "reason": "locked room, no personal data",
            }
        ],
    }
).typed()
FINDING = Finding("f1", "open-port", "cp1", "high", "22 is open")


@pytest.mark.parametrize(
    ("severity", "environment", "blocks"),
    [("medium", "production", True), ("low", "production", False), ("high", "lab", False), ("critical", "lab", True),
     ("medium", "unlisted", True), ("low", "unlisted", False)],
)  # fmt: skip
def test_rule_18_only_what_reaches_the_threshold_blocks(severity: Severity, environment: str, *, blocks: bool) -> None:
    assert MODEL.blocks(replace(FINDING, severity=severity), environment) is blocks


def test_without_a_threshold_for_production_medium_blocks() -> None:
    assert ThreatFile.model_validate({"blocks_from": {}}).typed().threshold("production") == "medium"


def test_rule_18_accepted_findings_cannot_block_again_and_mitigated_ones_where_they_are() -> None:
    known = {"f1": replace(FINDING, status="accepted")}
    assert MODEL.blocking([FINDING], {"f1": replace(FINDING, status="mitigated")}, "production") == (FINDING,)
    assert MODEL.blocking([FINDING], known, "production") == ()
    assert MODEL.blocking([FINDING], {}, "production") == (FINDING,)
    assert MODEL.blocking([replace(FINDING, status="mitigated")], {}, "production") == ()
    assert MODEL.blocking([replace(FINDING, rule="disk-not-encrypted")], {}, "production") == ()
    assert MODEL.accepts("disk-not-encrypted", "lab") == "locked room, no personal data"


def test_rule_17_a_verdict_counts_for_its_revision_and_with_checks_only() -> None:
    passed = mission(verdicts={REVISION: verdict()})
    assert MODEL.passed(passed, REVISION, "production")
    assert not MODEL.passed(passed, REVISION[::-1], "production")
    assert not MODEL.passed(passed, "", "production")
    assert not MODEL.passed(mission(verdicts={REVISION: verdict(checks=())}), REVISION, "production")
    assert not MODEL.passed(mission(verdicts={REVISION: verdict(FINDING)}), REVISION, "production")
    assert MODEL.passed(mission(verdicts={REVISION: verdict(FINDING)}), REVISION, "lab")


def test_the_verdict_in_one_line() -> None:
    two = verdict(FINDING, replace(FINDING, rule="b"), checks=("a", "b"))
    assert MODEL.line(mission(), "", "lab") == ""
    assert MODEL.line(mission(), REVISION, "lab") == "no verdict on this revision"
    assert (
        MODEL.line(mission(verdicts={REVISION: verdict()}), REVISION, "lab")
        == "Sentinel: pass on exactly this plan, 1 check"
    )
    assert MODEL.line(mission(verdicts={REVISION: two}), REVISION, "lab") == (
        "Sentinel: pass on exactly this plan, 2 checks, 2 findings that do not block"
    )
    assert MODEL.line(mission(verdicts={REVISION: two}), REVISION, "production") == (
        "Sentinel: blocked by open-port on cp1, b on cp1"
    )
    assert (
        MODEL.line(mission(verdicts={REVISION: verdict(checks=())}), REVISION, "lab") == "Sentinel: no checks were run"
    )
