"""A mission as a fold over its log: contract, plan, findings, evidence, who waits for what. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Literal, assert_never

from bot.asking import remember
from bot.built import built
from bot.domain import log
from bot.domain.contract import Criterion, Waiver
from bot.domain.ids import CallId, PersonaName, UserId
from bot.domain.log import Logged
from bot.domain.state import (
    ActiveTurn,
    CallRecord,
    Denial,
    Exchange,
    HandOffRecord,
    HeardItem,
    Line,
    Mission,
    OpenQuestion,
    OpenRequest,
    Shown,
    Spend,
    StepItem,
    Wake,
)
from bot.interventions import heard, intervened
from bot.standing import stood

TALK_KEPT = 20  # lines; older ones are in the log and in the digest of the context
RESULTS_KEPT = 200
HAND_OFFS_KEPT = 100

Mark = Literal["open", "passed", "failed", "unverifiable", "waived"]


class EmptyLogError(ValueError):
    """A mission's log does not begin with its opening."""


def fold(entries: Iterable[Logged], state: Mission | None = None) -> Mission:
    """The state after `entries`, going on from `state` where one is given."""
    for logged in entries:
        state = opened(logged) if state is None else applied(state, logged)
    if state is None:
        raise EmptyLogError("the log is empty")
    return state


def opened(logged: Logged) -> Mission:
    """The state after the first entry."""
    entry = logged.entry
    if not isinstance(entry, log.MissionOpened):
        raise EmptyLogError(f"the log begins with {entry.kind}, not with the mission's opening")
    wake = Wake(f"{logged.id}", entry.addressed, entry.request, "said", frozenset({entry.requester}))
    return Mission(
        id=entry.mission,
        thread=entry.thread,
        estate=entry.estate,
        environment=entry.environment,
        requester=entry.requester,
        request=entry.request,
        opened_at=logged.at,
        wakes=(wake,),
        talk=(Line(entry.requester, entry.request),),
        ordinal=1,
        last=logged.id,
    )


def applied(state: Mission, logged: Logged) -> Mission:
    """The state after one more entry."""
    after = _apply(replace(state, ordinal=state.ordinal + 1, last=logged.id), logged)
    return _clocked(remember(state, after, logged.entry), logged.at)


def mark_of(state: Mission, criterion: Criterion) -> Mark:
    """Where a criterion stands. Only evidence newer than the last change counts (rule 8)."""
    if criterion.number in state.waivers:
        return "waived"
    shown = state.evidence.get(criterion.number)
    if shown is None or shown.ordinal <= state.last_change:
        return "open"
    return shown.evidence.outcome


def outcome_of(state: Mission) -> Literal["done", "partial"] | None:
    """`done` or `partial` where every criterion is settled, else None. No word of an agent goes in (rule 8)."""
    marks = {mark_of(state, criterion) for criterion in state.criteria}
    if not marks or marks & {"open", "failed"} or state.requests or state.questions:
        return None
    return "partial" if "unverifiable" in marks else "done"


def goes_back_to(state: Mission, persona: PersonaName) -> PersonaName | None:
    """Who gets the turn when an agent with handed-over work spoke without handing on: its giver, once per progress."""
    exchange = state.exchanges.get(persona)
    giver = exchange.handed_by if exchange else None
    idle = not (state.wakes or state.requests or state.questions or state.ended)
    if giver is None or giver == persona or not idle or state.returned_at == state.progress:
        return None
    return giver


def waiting(state: Mission) -> bool:
    """True while only people can move the mission on."""
    return not state.ended and state.turn is None and (bool(state.parked) or not state.wakes)


def _apply(state: Mission, logged: Logged) -> Mission:
    entry = logged.entry
    match entry:
        case log.MissionOpened():
            raise EmptyLogError("a mission opens once")
        case log.RequestAmended() | log.HumanSaid() | log.Noted() | log.StopPressed():
            return _heard(state, logged)
        case log.TurnStarted() | log.ModelAsked() | log.ModelReplied() | log.TurnEnded():
            return _turned(state, entry)
        case log.ToolReturned():
            return _returned(state, entry)
        case log.Spoke() | log.HandedOff():
            return _spoken(state, logged)
        case log.Asked() | log.QuestionAnswered() | log.ApprovalAsked() | log.ApprovalEnded():
            return _asked(state, logged)
        case log.GrantOpened() | log.GrantEnded() | log.FreezeSeen():
            return stood(state, entry)
        case (
            log.Planned()
            | log.VerdictRecorded()
            | log.EvidenceRecorded()
            | log.CriterionWaived()
            | log.FindingAccepted()
        ):
            return _recorded(state, entry)
        case log.Intervened():
            return intervened(state, logged, entry)
        case log.BudgetWarned():
            return replace(state, warned=(*state.warned, entry.what))
        case log.BudgetExtended():
            return replace(state, factor=state.factor * entry.factor, warned=(), parked="", parked_text="")
        case log.Parked():
            return replace(state, parked=entry.why, parked_text=entry.text, turn=None)
        case log.MissionEnded():
            return replace(state, ended=entry.outcome, ended_at=logged.at, turn=None, wakes=())
    assert_never(entry)


def _heard(state: Mission, logged: Logged) -> Mission:
    match logged.entry:
        case log.RequestAmended(by, text):
            wake = Wake(f"{logged.id}", PersonaName("architect"), f"Amendment: {text}", "said", frozenset({by}))
            state = replace(state, amendments=(*state.amendments, (by, text)), wakes=(*state.wakes, wake), left_out=())
            return _moved_on(state, Line(by, f"(amends the request) {text}"))
        case log.HumanSaid(by, text, to, _):
            wake = Wake(f"{logged.id}", to, text, "said", frozenset({by}))
            return _moved_on(replace(state, wakes=(*state.wakes, wake)), Line(by, text))
        case log.Noted(to, text, why):
            at = state.progress if why == "returned" else state.returned_at
            wake = Wake(f"{logged.id}", to, text, "noted")
            return replace(state, wakes=(*state.wakes, wake), returned_at=at)
        case log.StopPressed(by):
            return replace(state, stopped_by=by, wakes=(), turn=None, requests={}, questions={})
        case _:
            return state


def _turned(state: Mission, entry: log.TurnStarted | log.ModelAsked | log.ModelReplied | log.TurnEnded) -> Mission:
    match entry:
        case log.TurnStarted(turn, persona, cause):
            wake = next((wake for wake in state.wakes if wake.key == cause), None)
            rest = tuple(wake for wake in state.wakes if wake.key != cause)
            exchanges = dict(state.exchanges)
            if wake is not None:
                exchanges[persona] = _exchange(state, wake)
            state = replace(state, turns=turn, last_persona=persona, wakes=rest, exchanges=exchanges)
            return heard(replace(state, turn=ActiveTurn(turn, persona, since=state.ordinal)), persona)
        case log.ModelAsked(_, persona):
            return _spent(state, persona, Spend(steps=1))
        case log.ModelReplied():
            return _replied(state, entry)
        case log.TurnEnded():
            return replace(state, turn=None)


def _replied(state: Mission, entry: log.ModelReplied) -> Mission:
    usage = entry.usage
    state = _spent(state, entry.persona, Spend(entry.cost_usd, usage.prompt, usage.completion, 0))
    exchange = state.exchanges.get(entry.persona) or Exchange(entry.persona, (), frozenset())
    items = (*exchange.items, StepItem(entry.text, entry.calls))
    turn = state.turn and replace(state.turn, steps=state.turn.steps + 1)
    exchanges = {**state.exchanges, entry.persona: replace(exchange, items=items)}
    return replace(state, exchanges=exchanges, turn=turn, leaks=state.leaks + entry.leaks)


def _returned(state: Mission, entry: log.ToolReturned) -> Mission:
    result = entry.result
    record = CallRecord(
        call=result.call,
        tool=result.tool,
        status=result.status,
        text=result.text,
        cls=entry.cls,
        artifact=result.artifact or "",
        size=result.size,
        request=entry.request,
        ordinal=state.ordinal,
        changed=result.changed,
        facts=dict(result.facts),
        digest=result.digest,
        persona=entry.persona,
    )
    results = {call: old for call, old in state.results.items() if call != result.call}
    state = replace(state, results=_kept(state, {**results, result.call: record}))
    if not (result.changed or result.status == "unknown_outcome"):
        return state
    return built(state, result)


def _kept(state: Mission, results: dict[CallId, CallRecord]) -> dict[CallId, CallRecord]:
    """The newest results, and whatever their age those that somebody's last step still waits for."""
    if len(results) <= RESULTS_KEPT:
        return results
    steps = (exchange.items[-1] for exchange in state.exchanges.values() if exchange.items)
    needed = {call.id for step in steps if isinstance(step, StepItem) for call in step.calls}
    newest = set(list(results)[-RESULTS_KEPT:])
    return {
        call: record
        for call, record in results.items()
        if call in newest or call in needed or record.status in {"held", "denied"}
    }


def _spoken(state: Mission, logged: Logged) -> Mission:
    match logged.entry:
        case log.Spoke(_, persona, text):
            turn = state.turn and replace(state.turn, spoke=text)
            return replace(state, talk=_talk(state, persona, text), turn=turn)
        case log.HandedOff(_, by, to, task, _, fingerprint):
            wake = Wake(f"{logged.id}", to, f"From {by}: {task}", "handed_off", _humans(state, by))
            records = (*state.hand_offs, HandOffRecord(fingerprint, to, task, state.progress))[-HAND_OFFS_KEPT:]
            return replace(
                state, wakes=(*state.wakes, wake), hand_offs=records, talk=_talk(state, by, f"→ {to}: {task}")
            )
        case _:
            return state


def _asked(state: Mission, logged: Logged) -> Mission:
    entry = logged.entry
    match entry:
        case log.Asked(question, by, text, options, default, deadline):
            opened_question = OpenQuestion(question, by, text, options, default, deadline)
            return replace(state, questions={**state.questions, question: opened_question})
        case log.QuestionAnswered(question, answer, by):
            asked = state.questions.get(question)
            if asked is None:
                return state
            rest = {key: value for key, value in state.questions.items() if key != question}
            who = by or "nobody, so the default counts"
            text = f"Answer to “{asked.text}”: {answer} ({who})"
            humans = frozenset({UserId(by)}) if by else frozenset[UserId]()
            wake = Wake(f"{logged.id}", asked.by, text, "answered", humans)
            return replace(state, questions=rest, wakes=(*state.wakes, wake), progress=state.progress + 1)
        case log.ApprovalAsked(request, call, by, digest, _, title):
            waiting_for = OpenRequest(request, call, by, digest, title, logged.at)
            return replace(state, requests={**state.requests, request: waiting_for}, asked=state.asked + 1)
        case log.ApprovalEnded():
            return _approval_ended(state, logged, entry)
        case _:
            return state


def _approval_ended(state: Mission, logged: Logged, entry: log.ApprovalEnded) -> Mission:
    asked = state.requests.get(entry.request)
    if asked is None:
        return state
    rest = {key: value for key, value in state.requests.items() if key != entry.request}
    text = _settled_text(state, asked, entry)
    wake = Wake(f"{logged.id}", asked.by, text, "settled")
    state = replace(state, requests=rest, progress=state.progress + 1)
    match entry.status:
        case "done" | "unknown_outcome":
            by = dict(state.approvals_by)
            for user in entry.by:
                by[user] = by.get(user, 0) + 1
            marks = (*state.approval_marks, *(f"request {entry.request[:4]}: {mark}" for mark in entry.marks))
            state = replace(state, approved=state.approved + 1, approvals_by=by, approval_marks=marks)
        case "denied":
            denial = Denial(asked.digest, entry.reason, entry.by)
            left_out = tuple(dict.fromkeys((*state.left_out, *entry.left_out)))
            state = replace(state, denied=state.denied + 1, denials=(*state.denials, denial), left_out=left_out)
        case _:
            pass
    sees_it = not text and state.turn is not None and state.turn.persona == asked.by  # it goes on after a crash
    if entry.status == "cancelled" or state.ended or state.stopped_by or sees_it:
        return state
    return replace(state, wakes=(*state.wakes, wake))


def _settled_text(state: Mission, asked: OpenRequest, entry: log.ApprovalEnded) -> str:
    """Empty where the waiting call is still the agent's last step: its result then says everything."""
    exchange = state.exchanges.get(asked.by)
    last = exchange.items[-1] if exchange and exchange.items else None
    if isinstance(last, StepItem) and any(call.id == asked.call for call in last.calls):
        return ""
    return f"Approval request {asked.request[:4]} ended: {entry.status}. Result {asked.call} has the outcome."


def _recorded(
    state: Mission,
    entry: log.Planned | log.VerdictRecorded | log.EvidenceRecorded | log.CriterionWaived | log.FindingAccepted,
) -> Mission:
    state = replace(state, progress=state.progress + 1)
    match entry:
        case log.Planned(criteria, steps, uncovered):
            return replace(
                state, criteria=(*state.criteria, *criteria), steps=steps or state.steps, uncovered=uncovered
            )
        case log.VerdictRecorded(verdict):
            accepted = {key: known for key, known in state.findings.items() if known.status == "accepted"}
            findings = {**state.findings, **{one.fingerprint: one for one in verdict.findings}, **accepted}
            return replace(state, verdicts={**state.verdicts, verdict.revision: verdict}, findings=findings)
        case log.EvidenceRecorded(evidence):
            record = state.results.get(evidence.call)
            ordinal = record.ordinal if record else state.ordinal
            return replace(state, evidence={**state.evidence, evidence.criterion: Shown(evidence, ordinal)})
        case log.CriterionWaived(criterion, by, reason):
            return replace(state, waivers={**state.waivers, criterion: Waiver(criterion, by, reason)})
        case log.FindingAccepted(fingerprint, by, _):
            known = state.findings.get(fingerprint)
            if known is None:
                return state
            accepted = replace(known, status="accepted", accepted_by=by)
            return replace(state, findings={**state.findings, fingerprint: accepted})


def _exchange(state: Mission, wake: Wake) -> Exchange:
    """A hand-off or a human's word begins a new exchange, unless calls of the old one still wait for people."""
    old = state.exchanges.get(wake.persona)
    pending = old is not None and any(_held(state, call.id) for call in old.calls)
    heard = (HeardItem(wake.text),) if wake.text else ()
    goes_on = wake.cause in {"settled", "answered", "noted"} or pending
    handed = wake.cause == "handed_off"
    giver = PersonaName(wake.text.removeprefix("From ").split(":", 1)[0]) if handed else None
    if old is not None and goes_on:
        giver = giver or old.handed_by
        return replace(old, items=(*old.items, *heard), humans=old.humans | wake.humans, handed_by=giver)
    return Exchange(wake.persona, heard, wake.humans, giver)


def _held(state: Mission, call: str) -> bool:
    record = state.results.get(CallId(call))
    return record is not None and record.status == "held"


def _humans(state: Mission, persona: PersonaName) -> frozenset[UserId]:
    exchange = state.exchanges.get(persona)
    return exchange.humans if exchange else frozenset()


def _moved_on(state: Mission, line: Line) -> Mission:
    """A human's words end a park and count as something new. Said to two agents, they stand in the talk once."""
    talk = state.talk if state.talk[-1:] == (line,) else _talk(state, line.who, line.text)
    return replace(state, talk=talk, progress=state.progress + 1, parked="", parked_text="")


def _talk(state: Mission, who: str, text: str) -> tuple[Line, ...]:
    return (*state.talk, Line(who, text))[-TALK_KEPT:]


def _spent(state: Mission, persona: PersonaName, more: Spend) -> Mission:
    mine = state.spend_by.get(persona, Spend())
    return replace(state, spend=state.spend.plus(more), spend_by={**state.spend_by, persona: mine.plus(more)})


def _clocked(state: Mission, at: datetime) -> Mission:
    """Count the time in which only people could move the mission on."""
    idle = waiting(state)
    if idle and state.waiting_since is None:
        return replace(state, waiting_since=at)
    if not idle and state.waiting_since is not None:
        more = (at - state.waiting_since).total_seconds()
        return replace(state, waiting_since=None, waited_s=state.waited_s + more)
    return state
