"""The details behind a mission's card."""

from bot.details import details_of
from bot.domain import log
from bot.domain.contract import Evidence, Finding, PlanStep, Verdict
from bot.domain.ids import CallId
from tests.core_fakes import STARTED, asked_approval, folded, planned, returned, title
from tests.fakes import ANA, BUILDER, QA, SENTINEL

SEEN = Evidence(1, "passed", CallId("e1"), "three run", QA, "count == `3`", "proxmox_read", {"what": "vms"})


def test_evidence_stands_with_its_probe_its_check_and_what_was_seen() -> None:
    state = folded(
        *STARTED, planned("they run"), returned("e1", by=QA, text="cp1 runs\ncp2 runs"), log.EvidenceRecorded(SEEN)
    )
    assert details_of(state, title).split("\n")[:4] == [
        "1 they run · passed · “three VMs”",
        "   QA: three run",
        "   probe: proxmox_read what vms · check: count == `3`",
        "   result e1: cp1 runs / cp2 runs",
    ]


def test_plan_verdicts_waivers_and_what_waits_stand_below() -> None:
    finding = Finding("f1", "CKV_1", "vm.cp1", "low", "text")
    state = folded(
        *STARTED,
        planned("they run"),
        log.Planned((), (PlanStep(1, "machines", BUILDER, (1,), "proxmox_read vms"),), ()),
        log.VerdictRecorded(
            Verdict("9c1d22" * 8, SENTINEL, passed=True, checks=(), findings=(finding,), tools=("checkov",))
        ),
        asked_approval(),
        log.CriterionWaived(1, ANA, "seen by eye"),
    )
    text = details_of(state, title)
    assert "1 they run · waived · “three VMs”\n   waived: seen by eye" in text
    assert "Plan\n1 Builder: machines · for 1 · checked by: proxmox_read vms" in text
    assert "plan 9c1d229c1d22: pass by Sentinel, checks: checkov\n   f1 low open: CKV_1 on vm.cp1" in text
    assert "Waiting for people\nrequest r1: " in text
