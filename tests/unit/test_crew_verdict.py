"""record_verdict and record_evidence: only what a tool saw counts."""

import pytest

from bot.domain import log
from bot.domain.calls import ResultStatus, ToolCall
from bot.domain.contract import SEVERITIES, Criterion, Finding, Verdict
from bot.domain.ids import ArtifactId, CallId, Json, PersonaName
from bot.domain.log import Entry
from bot.domain.model import ProposedCall
from bot.domain.ports import Done, Prepared, Scope
from bot.domain.state import Mission
from bot.mission import applied
from bot.policy.threat import ThreatModel
from tests.core_fakes import CREW, M, folded, logged, planned, replied, returned
from tests.fakes import BO, BUILDER, NOW, QA, SENTINEL, FakeWatch, MemoryArtifacts
from tools.crew import crew_tools

PLAN, LATER = "9c1d22" + "0" * 58, "aa0000" + "0" * 58
OPEN_PORT: dict[str, Json] = {"rule": "CKV_1", "resource": "vm.cp1", "severity": "high", "text": "port 22 is open"}
ARTIFACTS = MemoryArtifacts()


def medium_blocks(finding: Finding, environment: str) -> bool:
    return environment == "production" and SEVERITIES.index(finding.severity) >= SEVERITIES.index("medium")


TOOLS = {
    t.name: t for t in crew_tools(personas=CREW, standards={}, artifacts=ARTIFACTS, blocks=medium_blocks)
}  # fmt: skip


async def use(name: str, state: Mission, by: PersonaName, **arguments: Json) -> Done:
    tool = TOOLS[name]
    parsed = tool.parse(arguments)
    scope = Scope(state, by, 1, NOW)
    prepared = await tool.prepare(ToolCall(CallId("7-1-1-0"), name, arguments, by, M, 1), parsed, scope)
    assert isinstance(prepared, Prepared)
    return await tool.run(prepared, parsed, scope, FakeWatch())


def refusal(done: Done) -> str:
    assert done.result.status == "refused", done.result.text
    assert done.entries == ()
    return done.result.text


# verdicts ---------------------------------------------------------------------------------------------------------


def the_plan(revision: str = PLAN, call: str = "p1") -> log.ToolReturned:
    return returned(call, "terraform_plan", facts={"plan": revision})


def a_scan(*findings: Json, revision: str = PLAN, call: str = "s1", by: PersonaName = SENTINEL,
           status: ResultStatus = "ok") -> log.ToolReturned:  # fmt: skip
    facts: dict[str, Json] = {"revision": revision, "scanners": ["checkov"], "findings": list(findings)}
    return returned(call, "scan", status, by=by, facts=facts, artifact=ArtifactId(f"art-{call}"))


async def judge(*entries: Entry, revision: str = PLAN[:12], checks: tuple[str, ...] = ("s1",), **more: Json) -> Done:
    return await use("record_verdict", folded(*entries), SENTINEL, revision=revision, checks=list(checks), **more)


def verdict_of(done: Done) -> Verdict:
    assert done.result.status == "ok", done.result.text
    (entry,) = done.entries
    assert isinstance(entry, log.VerdictRecorded)
    return entry.verdict


async def test_rule_17_a_verdict_names_the_digest_and_the_checks_that_were_run() -> None:
    verdict = verdict_of(await judge(the_plan(), a_scan()))
    assert (verdict.revision, verdict.passed, verdict.checks, verdict.tools) == (
        PLAN,
        True,
        (CallId("s1"),),
        ("checkov",),
    )
    assert verdict_of(await judge(the_plan(), a_scan(), checks=("art-s1",))).checks == (CallId("s1"),)


@pytest.mark.parametrize(
    ("entries", "checks", "why"),
    [
        ((the_plan(),), (), "needs a scan"),
        (
            (the_plan(), returned("w1", "terraform_show", by=SENTINEL, facts={"revision": PLAN})),
            ("w1",),
            "needs a scan",
        ),
        ((the_plan(), a_scan()), ("nothing",), "not a result of a check you ran"),
        ((the_plan(), a_scan()), ("p1",), "not a result of a check you ran"),
        ((the_plan(), a_scan(by=BUILDER)), ("s1",), "not a result of a check you ran"),
        ((the_plan(), a_scan(status="failed")), ("s1",), "not a result of a check you ran"),
        ((the_plan(), a_scan(revision=LATER)), ("s1",), "did not look at plan"),
        ((the_plan(), a_scan(), returned("x", "plan", by=SENTINEL)), ("s1", "x"), "not a result of a check you ran"),
    ],
    ids=["none", "show-only", "unknown", "no-check", "another's", "failed", "another-plan", "own-words"],
)
async def test_rule_17_a_verdict_without_checks_of_its_own_on_this_plan_is_refused(
    entries: tuple[Entry, ...], checks: tuple[str, ...], why: str
) -> None:
    assert why in refusal(await judge(*entries, checks=checks))


@pytest.mark.parametrize("revision", ["ffffffff", "9c1d2200ff"])
async def test_rule_17_an_unknown_plan_has_no_verdict(revision: str) -> None:
    assert "No plan" in refusal(await judge(the_plan(), a_scan(), revision=revision))


async def test_rule_17_a_later_revision_needs_a_new_verdict_and_the_same_one_none() -> None:
    verdict = verdict_of(await judge(the_plan(), a_scan()))
    seen = (the_plan(), a_scan(), log.VerdictRecorded(verdict))
    again = await judge(*seen)
    assert "has its verdict already: pass" in again.result.text
    assert again.entries == ()
    newer = (*seen, the_plan(LATER, "p2"))
    assert "did not look at plan" in refusal(await judge(*newer, revision=LATER[:12]))
    scanned = (*newer, a_scan(revision=LATER, call="s2"))
    assert verdict_of(await judge(*scanned, revision=LATER[:12], checks=("s2",))).revision == LATER


async def test_rule_18_findings_at_the_threshold_block_whether_the_agent_repeats_them_or_not() -> None:
    silent = verdict_of(await judge(the_plan(), a_scan(OPEN_PORT), findings=[]))
    assert (silent.passed, [f.rule for f in silent.findings]) == (False, ["CKV_1"])
    assert silent.blocking == (silent.findings[0].fingerprint,)
    low: dict[str, Json] = {**OPEN_PORT, "severity": "low"}
    passed = verdict_of(await judge(the_plan(), a_scan(low)))
    assert (passed.passed, len(passed.findings), passed.blocking) == (True, 1, ())


async def test_rule_18_an_agent_cannot_talk_a_scanners_finding_down() -> None:
    down: list[Json] = [{**OPEN_PORT, "severity": "info", "status": "mitigated"}]
    verdict = verdict_of(await judge(the_plan(), a_scan(OPEN_PORT), findings=down))
    assert not verdict.passed
    assert [(f.severity, f.status) for f in verdict.findings] == [("high", "open")]
    up: list[Json] = [{**OPEN_PORT, "severity": "critical"}]
    assert verdict_of(await judge(the_plan(), a_scan(OPEN_PORT), findings=up)).findings[0].severity == "critical"


async def test_rule_18_mitigated_on_another_plan_closes_nothing_that_a_scan_shows_on_this_one() -> None:
    claimed: list[Json] = [{**OPEN_PORT, "status": "mitigated"}]
    clean = (the_plan(), a_scan())
    early = verdict_of(await judge(*clean, findings=claimed))
    assert (early.passed, [f.status for f in early.findings]) == (True, ["mitigated"])
    shown = (*clean, log.VerdictRecorded(early), the_plan(LATER, "p2"), a_scan(OPEN_PORT, revision=LATER, call="s2"))
    late = verdict_of(await judge(*shown, revision=LATER[:12], checks=("s2",), findings=claimed))
    assert (late.passed, [f.status for f in late.findings]) == (False, ["open"])
    state = folded(*shown, log.VerdictRecorded(late))
    model = ThreatModel({"production": "medium"}, {})
    assert state.findings[late.findings[0].fingerprint].status == "open"
    assert not model.passed(state, LATER, "production")
    assert model.passed(state, PLAN, "production")
    again = verdict_of(await judge(*clean, log.VerdictRecorded(late), the_plan(LATER, "p2")))
    assert again.passed, "what no scan of a revision shows does not block it"


async def test_rule_18_every_scan_of_the_revision_counts_not_only_the_one_that_is_named() -> None:
    twice = (the_plan(), a_scan(OPEN_PORT, call="s0"), a_scan())
    assert not verdict_of(await judge(*twice)).passed


async def test_rule_18_an_accepted_finding_cannot_block_again() -> None:
    blocked = verdict_of(await judge(the_plan(), a_scan(OPEN_PORT)))
    accepted = log.FindingAccepted(blocked.findings[0].fingerprint, BO, "lab only")
    verdict = verdict_of(await judge(the_plan(), a_scan(OPEN_PORT), log.VerdictRecorded(blocked), accepted))
    assert verdict.passed
    assert [(f.status, f.accepted_by) for f in verdict.findings] == [("accepted", BO)]


async def test_a_finding_has_the_same_fingerprint_on_every_revision() -> None:
    one = verdict_of(await judge(the_plan(), a_scan(OPEN_PORT)))
    two = verdict_of(await judge(the_plan(LATER), a_scan({**OPEN_PORT, "text": "other words"}, revision=LATER),
                                 revision=LATER))  # fmt: skip
    assert one.findings[0].fingerprint == two.findings[0].fingerprint


@pytest.mark.parametrize(
    "odd", [{}, {"severity": "CATASTROPHIC", "rule": "r" * 900}, {"text": "x" * 9000, "rule": "CKV_2"}]
)
async def test_odd_words_of_a_scanner_count_as_high_and_break_nothing(odd: dict[str, Json]) -> None:
    verdict = verdict_of(await judge(the_plan(), a_scan(odd, "no finding")))
    assert [(f.severity, len(f.text) <= 500) for f in verdict.findings] == [("high", True)]
    assert not verdict.passed


# evidence ---------------------------------------------------------------------------------------------------------


async def show(
    *entries: Entry, outcome: str = "passed", result: str = "e1", criterion: int = 1, check: str = "reached"
) -> Done:
    state = folded(planned("they run", "they answer"), *entries)
    given: dict[str, Json] = {
        "criterion": criterion,
        "outcome": outcome,
        "result": result,
        "check": check,
        "words": "seen",
    }
    return await use("record_evidence", state, QA, **given)


def probe(
    call: str = "e1", status: ResultStatus = "ok", tool: str = "http_probe", by: PersonaName = QA
) -> log.ToolReturned:
    return returned(call, tool, status, by=by, facts={"reached": status == "ok", "codes": [200, 200]})


async def test_rule_8_evidence_is_a_tool_result_of_qa_newer_than_the_last_change() -> None:
    done = await show(returned("c1", "terraform_apply", changed=True), probe())
    (entry,) = done.entries
    assert isinstance(entry, log.EvidenceRecorded)
    assert (entry.evidence.call, entry.evidence.outcome, entry.evidence.by) == ("e1", "passed", QA)


@pytest.mark.parametrize(
    ("entries", "outcome", "why"),
    [
        ((), "passed", "not the id of a probe of yours"),
        ((probe(by=BUILDER),), "passed", "not the id of a probe of yours"),
        ((probe(tool="record_evidence"),), "passed", "not the id of a probe of yours"),
        ((probe(tool="read_artifact"),), "passed", "not the id of a probe of yours"),
        ((probe(tool="workspace_write"),), "passed", "not the id of a probe of yours"),
        ((probe(tool="workspace_list"),), "passed", "says what the code says"),
        ((probe(tool="workspace_read"),), "passed", "says what the code says"),
        ((probe(tool="terraform_plan"),), "passed", "says what the code says"),
        ((probe(tool="terraform_show"),), "passed", "says what the code says"),
        ((probe(tool="terraform_output"),), "failed", "says what the code says"),
        ((probe(tool="scan"),), "passed", "says what the code says"),
        ((probe(tool="terraform_state"),), "passed", "show the standard code-only and nothing else"),
        ((probe(status="failed"),), "passed", "is failed"),
        ((probe(status="refused"),), "failed", "is refused"),
        ((probe(status="held"),), "failed", "is held"),
        ((probe(), returned("c1", "terraform_apply", changed=True)), "passed", "older than the last change"),
        ((probe(), returned("c1", "terraform_apply", changed=True)), "failed", "older than the last change"),
    ],
    ids=[
        "unknown",
        "another's",
        "own-words",
        "artifact",
        "own-file",
        "listing",
        "file",
        "plan",
        "plan-text",
        "outputs",
        "scan",
        "state",
        "failed",
        "refused",
        "held",
        "old",
        "old-failure",
    ],
)
async def test_rule_8_evidence_that_shows_nothing_is_refused(
    entries: tuple[Entry, ...], outcome: str, why: str
) -> None:
    assert why in refusal(await show(*entries, outcome=outcome))


async def test_rule_8_the_state_and_a_plan_show_the_standard_code_only() -> None:
    given: dict[str, Json] = {"outcome": "passed", "result": "e1", "check": "reached", "words": "seen"}
    entry = log.Planned(
        (Criterion(1, "all is code", standard="code-only"), Criterion(2, "they run", "they run")), (), ()
    )
    for tool in ("terraform_state", "terraform_plan"):
        state = folded(entry, probe(tool=tool))
        assert (await use("record_evidence", state, QA, criterion=1, **given)).result.status == "ok"
        assert "nothing else" in refusal(await use("record_evidence", state, QA, criterion=2, **given))


@pytest.mark.parametrize(
    ("outcome", "check", "why"),
    [
        ("passed", "", "Give `check`: what of the result must be true. The result's facts: reached; codes[]."),
        ("passed", "!reached", "the check is false, so the outcome is not passed"),
        ("failed", "reached", "the check is true, so the outcome is not failed"),
        ("passed", "codes[0]", "not true or false"),
        ("passed", "codes[", "no JMESPath"),
    ],
)
async def test_rule_8_the_check_decides_and_not_the_words(outcome: str, check: str, why: str) -> None:
    assert why in refusal(await show(probe(), outcome=outcome, check=check))


async def test_rule_8_evidence_keeps_its_probe_so_that_anyone_can_run_it_again() -> None:
    asked = replied(ProposedCall("e1", "http_probe", {"url": "http://hello.lab/"}), by=QA)
    (entry,) = (await show(log.TurnStarted(2, QA, "2-0"), asked, probe())).entries
    assert isinstance(entry, log.EvidenceRecorded)
    evidence = entry.evidence
    assert (evidence.tool, evidence.arguments) == ("http_probe", {"url": "http://hello.lab/"})
    assert evidence.check == "reached"


async def test_rule_8_a_failed_probe_shows_that_something_does_not_hold() -> None:
    assert (await show(probe(status="failed"), outcome="failed")).result.status == "ok"
    assert (await show(probe(status="failed"), outcome="failed", check="")).result.status == "ok"


async def test_rule_8_unverifiable_needs_no_result_and_names_none() -> None:
    (entry,) = (await show(outcome="unverifiable", result="made-up")).entries
    assert isinstance(entry, log.EvidenceRecorded)
    assert entry.evidence.call == ""


async def test_evidence_for_no_criterion_is_refused() -> None:
    assert "no criterion 3" in refusal(await show(probe(), criterion=3))


async def test_rule_8_recorded_evidence_counts_until_the_next_change() -> None:
    state = folded(planned("they run"), probe())
    done = await use(
        "record_evidence", state, QA, criterion=1, outcome="passed", result="e1", check="reached", words="seen"
    )
    for entry in logged((*done.entries, returned("c1", "terraform_apply", changed=True)), start=state.ordinal + 1):
        state = applied(state, entry)
    again = await use(
        "record_evidence", state, QA, criterion=1, outcome="passed", result="e1", check="reached", words="seen"
    )
    assert "older than the last change" in refusal(again)


async def test_read_artifact_reads_a_part() -> None:
    artifact = await ARTIFACTS.put(b"0123456789", name="x")
    done = await use("read_artifact", folded(), QA, id=artifact, offset=3, limit=4)
    assert done.result.text == "characters 3 to 7 of 10\n3456"
    assert "no artifact" in refusal(await use("read_artifact", folded(), QA, id="none"))
