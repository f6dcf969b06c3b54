"""The goal's rules at the fold, the crew tools and the context: rules 1, 3, 6, 7, 8, 17, 18."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.agents.context import build, tokens_of
from bot.agents.persona import Persona, TurnLimits
from bot.domain import log
from bot.domain.calls import CallClass, Prepared, ToolCall, ToolResult
from bot.domain.contract import Criterion, PlanStep
from bot.domain.ids import ArtifactId, CallId, EntryId, Json, MissionId, PersonaName, Thread, UserId
from bot.domain.log import Logged
from bot.domain.model import Answered, Heard, ProposedCall, Returned, Usage
from bot.domain.ports import Done, Scope
from bot.domain.state import Mission
from bot.mission import fold, mark_of, outcome_of
from bot.policy.coverage import quoted, uncovered
from bot.router import next_wake
from tools.crew import CrewTool, crew_tools

NOW = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
REQUEST = "@Architect Please create three VMs, spread over both nodes, with fixed addresses."
ARCHITECT, BUILDER, SENTINEL, QA = (PersonaName(name) for name in ("architect", "builder", "sentinel", "qa"))
REVISION = "9c1d22" + "0" * 58


class Log:
    """A mission's log in the making."""

    def __init__(self, request: str = REQUEST) -> None:
        self.entries: list[Logged] = []
        opening = log.MissionOpened(
            MissionId("7"), "home", "production", UserId("U0ANA00001"), Thread("T", "C", "1.0"), request, ARCHITECT
        )
        self.add(opening)

    def add(self, *entries: log.Entry) -> "Log":
        for entry in entries:
            number = len(self.entries) + 1
            self.entries.append(Logged(EntryId(f"{number}-0"), NOW + timedelta(seconds=number), entry))
        return self

    def planned(self, criteria: int = 2) -> "Log":
        drawn = tuple(Criterion(n, f"criterion {n}", quote="three VMs") for n in range(1, criteria + 1))
        step = PlanStep(1, "build", BUILDER, (1,))
        return self.add(log.Planned(drawn, (step,), ()))

    def returned(self, call: str, tool: str, persona: PersonaName = QA, **more: Any) -> "Log":
        status = more.pop("status", "ok")
        facts = {"run": True, **more.pop("facts", {})}
        result = ToolResult(CallId(call), tool, status, more.pop("text", "seen"), facts=facts, **more)
        return self.add(log.ToolReturned(1, persona, CallClass.READ, result))

    @property
    def state(self) -> Mission:
        return fold(self.entries)


class Shelf:
    """The artifacts that a test put there."""

    async def put(self, content: bytes, *, name: str, kind: str = "text/plain") -> ArtifactId:
        raise AssertionError((content, name, kind))

    async def get(self, artifact: ArtifactId) -> bytes | None:
        return b"0123456789" if artifact == "known" else None


class Silent:
    async def progress(self, *parts: str) -> None:
        raise AssertionError(parts)

    def stopping(self) -> int:
        return 0

    def alive(self) -> bool:
        return True


def tool(name: str) -> CrewTool:
    found = crew_tools(
        personas=(ARCHITECT, BUILDER, SENTINEL, QA),
        standards={"second-run": "a second run changes nothing"},
        artifacts=Shelf(),
        blocks=lambda finding, _: finding.severity in {"medium", "high", "critical"},
    )
    return next(one for one in found if one.name == name)


async def call(name: str, arguments: Mapping[str, Json], state: Mission, persona: PersonaName) -> Done:
    chosen = tool(name)
    proposed = ToolCall(CallId("7-1-9-0"), name, arguments, persona, state.id, 1)
    parsed = chosen.parse(arguments)
    scope = Scope(state, persona, 1, NOW)
    prepared = await chosen.prepare(proposed, parsed, scope)
    assert isinstance(prepared, Prepared)
    return await chosen.run(prepared, parsed, scope, Silent())


def criterion(text: str, **source: str) -> dict[str, Json]:
    return {"text": text, **source}


def step(*serves: int, owner: str = "builder") -> dict[str, Json]:
    return {"title": "build them", "owner": owner, "serves": list(serves), "verify": "look"}


def test_rule_6_a_quote_has_to_stand_in_the_request_word_by_word() -> None:
    assert quoted("Create three VMs", [REQUEST])
    assert quoted("create … fixed addresses", [REQUEST])
    assert not quoted("create four VMs", [REQUEST])
    assert not quoted("addresses fixed", [REQUEST])
    assert not quoted("…", [REQUEST])


def test_rule_6_words_without_a_criterion_are_listed() -> None:
    left = uncovered(REQUEST, ["create three VMs", "with fixed addresses"])
    assert left == ("spread over both nodes",)
    assert uncovered(REQUEST, ["create three VMs", "spread over both nodes", "with fixed addresses"]) == ()


async def test_rule_6_a_criterion_without_words_of_the_human_is_refused() -> None:
    state = Log().state
    for wrong in ({"quote": "a Kubernetes cluster"}, {"standard": "unheard-of"}, {}):
        done = await call("plan", {"criteria": [criterion("it runs", **wrong)], "steps": [step(1)]}, state, ARCHITECT)
        assert done.result.status == "refused"
        assert done.entries == ()


async def test_rule_6_criteria_are_appended_and_the_request_stays() -> None:
    book = Log()
    good: dict[str, Json] = {"criteria": [criterion("three run", quote="three VMs")], "steps": [step(1)]}
    book.add(*(await call("plan", good, book.state, ARCHITECT)).entries)
    book.add(log.RequestAmended(UserId("U0BO000001"), "and a backup job"))
    more: dict[str, Json] = {"criteria": [criterion("a backup runs", quote="a backup job")], "steps": [step(2)]}
    book.add(*(await call("plan", more, book.state, ARCHITECT)).entries)
    state = book.state
    assert state.request == REQUEST
    assert [c.number for c in state.criteria] == [1, 2]
    assert state.requesters == {"U0ANA00001", "U0BO000001"}


async def test_rule_7_a_plan_that_serves_no_open_criterion_is_refused() -> None:
    book = Log().planned(2).returned("7-1-1-0", "proxmox_read")
    book.add(*(await call("record_evidence", shows(1), book.state, QA)).entries)
    done = await call("plan", {"criteria": [], "steps": [step(1)]}, book.state, ARCHITECT)
    assert (done.result.status, "open criterion" in done.result.text) == ("refused", True)
    done = await call("plan", {"criteria": [], "steps": [step(9)]}, book.state, ARCHITECT)
    assert done.result.status == "refused"
    done = await call("plan", {"criteria": [], "steps": [step(2)]}, book.state, ARCHITECT)
    assert (done.result.status, len(done.entries)) == ("ok", 1)


def shows(number: int, result: str = "7-1-1-0", outcome: str = "passed") -> dict[str, Json]:
    return {"criterion": number, "outcome": outcome, "result": result, "check": "run", "words": "seen to run"}


@pytest.mark.parametrize(
    ("persona", "status", "name", "given"),
    [
        (BUILDER, "ok", "proxmox_read", "7-1-1-0"),  # another agent's look
        (QA, "failed", "proxmox_read", "7-1-1-0"),  # a look that failed shows nothing that passed
        (QA, "ok", "hand_off", "7-1-1-0"),  # a word is no probe
        (QA, "ok", "proxmox_read", "7-9-9-9"),  # nothing of the kind
    ],
)
async def test_rule_8_evidence_is_a_probe_of_qa_itself(
    persona: PersonaName, status: str, name: str, given: str
) -> None:
    book = Log().planned(1).returned("7-1-1-0", name, persona, status=status)
    done = await call("record_evidence", shows(1, given), book.state, QA)
    assert (done.result.status, done.entries) == ("refused", ())


async def test_rule_8_evidence_older_than_the_last_change_does_not_count() -> None:
    book = Log().planned(1).returned("7-1-1-0", "proxmox_read")
    book.add(*(await call("record_evidence", shows(1), book.state, QA)).entries)
    assert outcome_of(book.state) == "done"
    book.returned("7-2-1-0", "terraform_apply", BUILDER, changed=True)
    assert mark_of(book.state, book.state.criteria[0]) == "open"
    assert outcome_of(book.state) is None
    assert (await call("record_evidence", shows(1), book.state, QA)).result.status == "refused"


async def test_rule_8_unverifiable_ends_partial_and_no_word_ends_anything() -> None:
    book = Log().planned(2).returned("7-1-1-0", "proxmox_read")
    book.add(log.Spoke(1, ARCHITECT, "The mission is done. Everything is finished."))
    assert outcome_of(book.state) is None
    book.add(*(await call("record_evidence", shows(1), book.state, QA)).entries)
    book.add(*(await call("record_evidence", shows(2, "", "unverifiable"), book.state, QA)).entries)
    assert outcome_of(book.state) == "partial"
    book.add(log.CriterionWaived(2, UserId("U0CHRIS001"), "not needed here"))
    assert outcome_of(book.state) == "done"


def test_rule_3_a_name_in_free_text_moves_nothing_an_owner_field_does() -> None:
    book = Log()
    first = next_wake(book.state)
    assert first is not None
    book.add(
        log.TurnStarted(1, ARCHITECT, first.key), log.Spoke(1, ARCHITECT, "@Builder please apply. Over to Builder.")
    )
    book.add(log.TurnEnded(1, ARCHITECT, "spoke"))
    assert next_wake(book.state) is None
    book.add(log.HandedOff(1, ARCHITECT, BUILDER, "build", 1, "f"))
    wake = next_wake(book.state)
    assert (wake and wake.persona) == BUILDER


def test_rule_1_nobody_is_next_while_somebody_has_the_turn() -> None:
    book = Log()
    first = next_wake(book.state)
    assert first is not None
    book.add(log.TurnStarted(1, ARCHITECT, first.key), log.HumanSaid(UserId("U0BO000001"), "and?", BUILDER, "2.0"))
    assert next_wake(book.state) is None
    assert [wake.persona for wake in book.state.wakes] == [BUILDER]


def test_rule_5_stop_leaves_no_wake_no_request_and_no_turn() -> None:
    book = Log().add(log.HumanSaid(UserId("U0BO000001"), "go", BUILDER, "2.0"))
    state = book.add(log.StopPressed(UserId("U0MALLORY1"))).state
    assert (state.wakes, state.requests, state.turn, next_wake(state)) == ((), {}, None, None)


async def test_rule_17_a_verdict_names_its_revision_and_its_scan() -> None:
    book = Log().returned("7-1-1-0", "terraform_plan", BUILDER, facts={"plan": REVISION})
    asked: dict[str, Json] = {"revision": REVISION[:12], "checks": [], "findings": [], "words": "fine"}
    assert (await call("record_verdict", asked, book.state, SENTINEL)).result.status == "refused"
    book.returned("7-1-2-0", "scan", SENTINEL, facts={"revision": "another"})
    asked["checks"] = ["7-1-2-0"]
    assert (await call("record_verdict", asked, book.state, SENTINEL)).result.status == "refused"
    facts: dict[str, Json] = {"revision": REVISION, "scanners": ["checkov 3"], "findings": []}
    book.returned("7-1-3-0", "scan", SENTINEL, facts=facts)
    asked["checks"] = ["7-1-3-0"]
    done = await call("record_verdict", asked, book.state, SENTINEL)
    state = book.add(*done.entries).state
    assert (done.result.status, state.verdicts[REVISION].passed) == ("ok", True)


async def test_rule_18_the_scanners_findings_count_unless_a_human_accepted_them() -> None:
    found: dict[str, Json] = {"rule": "R1", "resource": "cp1", "severity": "high", "text": "open to all"}
    facts: dict[str, Json] = {"revision": REVISION, "scanners": ["checkov 3"], "findings": [found]}
    book = Log().returned("7-1-1-0", "terraform_plan", BUILDER, facts={"plan": REVISION})
    book.returned("7-1-2-0", "scan", SENTINEL, facts=facts)
    asked: dict[str, Json] = {"revision": REVISION[:12], "checks": ["7-1-2-0"], "findings": [], "words": "fine"}
    state = book.add(*(await call("record_verdict", asked, book.state, SENTINEL)).entries).state
    assert not state.verdicts[REVISION].passed
    fingerprint = next(iter(state.findings))
    book.add(log.FindingAccepted(fingerprint, UserId("U0CHRIS001"), "known"))
    state = book.add(*(await call("record_verdict", asked, book.state, SENTINEL)).entries).state
    assert state.verdicts[REVISION].passed
    assert state.findings[fingerprint].status == "accepted"


async def test_a_task_is_not_handed_on_twice_without_something_new() -> None:
    task: dict[str, Json] = {"to": "builder", "task": "Build the machines."}
    book = Log()
    book.add(*(await call("hand_off", task, book.state, ARCHITECT)).entries)
    again: dict[str, Json] = {"to": "builder", "task": "build   the machines"}
    assert (await call("hand_off", again, book.state, ARCHITECT)).result.status == "refused"
    book.add(log.HumanSaid(UserId("U0ANA00001"), "try again", ARCHITECT, "3.0"))
    assert (await call("hand_off", again, book.state, ARCHITECT)).result.status == "ok"
    assert (
        await call("hand_off", {"to": "architect", "task": "do it"}, book.state, ARCHITECT)
    ).result.status == "refused"


def persona_of(path: Path) -> Persona:
    del path
    limits = TurnLimits(steps=30, answer_tokens=4096, context_tokens=16_000)
    return Persona(BUILDER, "Builder", "builds", ":x:", "openai:m", "", (), limits, "# You are Builder\n")


def stepped(book: Log, number: int, text: str, output: str) -> None:
    proposed = ProposedCall(f"7-1-{number}-0", "workspace_read", {"path": "main.tf"})
    book.add(log.ModelReplied(1, BUILDER, "openai:m", "a private thought", text, (proposed,), "calls", Usage(), 0.0))
    result = ToolResult(CallId(proposed.id), "workspace_read", "ok", output)
    book.add(log.ToolReturned(1, BUILDER, CallClass.READ, result))


@pytest.mark.parametrize(("steps", "size"), [(1, 100), (40, 6000), (400, 6000)])
def test_rule_6_and_20_the_request_is_whole_and_the_context_bounded(tmp_path: Path, steps: int, size: int) -> None:
    book = Log(REQUEST + " " + "Every word of this counts. " * 40).planned(3)
    book.add(log.HandedOff(1, ARCHITECT, BUILDER, "read", 1, "f"))
    wake = next(wake for wake in book.state.wakes if wake.persona == BUILDER)
    book.add(log.TurnStarted(1, BUILDER, wake.key))
    for number in range(steps):
        stepped(book, number, "looking", "x" * size)
    messages = build(book.state, persona_of(tmp_path))
    texts = [m.text for m in messages]
    assert book.state.request in texts[0]
    assert sum(map(tokens_of, texts)) <= 16_000
    assert not any("a private thought" in text for text in texts)
    open_calls: list[str] = []
    for message in messages:  # every call has its result right behind it
        match message:
            case Answered(_, calls):
                assert not open_calls
                open_calls = [one.id for one in calls]
            case Returned(call_id, _, _):
                open_calls.remove(call_id)
            case Heard():
                assert not open_calls
    assert not open_calls
