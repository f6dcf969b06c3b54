"""What the mission card and the final report show, from the state alone. Pure."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from bot.domain.approvals import ApprovalRequest
from bot.domain.contract import Criterion
from bot.domain.posts import ApprovalCard, CriterionLine, GrantLine, MissionCard, Notice, Post, Report
from bot.domain.state import Mission
from bot.forecast import forecast_usd
from bot.mission import mark_of

WATCHBILL = "watchbill"
Titles = Callable[[str], str]
AuditHead = Callable[[], Awaitable[str]]  # the audit record's newest head, for reports


async def no_head() -> str:
    """A program without an audit record to show."""
    return ""


def mission_card(state: Mission, titles: Titles, limit_usd: float) -> Post:
    """The card of a mission, to be edited in place under the key "card:<mission>"."""
    ended = bool(state.ended)
    extend = state.parked == "budget"
    edit = ("edit_criteria",) if state.criteria and not extend else ()
    body = MissionCard(
        mission=state.id,
        title=f"Mission {state.id}",
        requester=state.requester,
        environment=state.environment,
        state=_state(state, titles),
        criteria=tuple(_line(state, criterion) for criterion in state.criteria),
        uncovered=state.uncovered,
        spent_usd=state.spend.usd,
        limit_usd=limit_usd * state.factor,
        forecast_usd=forecast_usd(state),
        ended=ended,
        buttons=("details",) if ended else (*edit, "details", *(("extend",) if extend else ()), "stop"),
        note=state.parked_text if state.parked else "",
        frozen="" if ended else state.frozen,
        grants=tuple(GrantLine(one.grant, one.title, one.by, one.until) for one in state.grants.values()),
    )
    return Post(f"card:{state.id}", state.thread, WATCHBILL, body)


def reminder(request: ApprovalRequest, card: ApprovalCard) -> Post:
    """Half the time of a request is over and nobody decided: one word to those who still can."""
    voted = {vote.user for vote in request.votes}
    since, until = f"{request.created_at:%H:%M}", f"{request.expires_at:%H:%M} UTC"
    text = (
        f"Request {request.short} waits since {since} and expires at {until}: {request.effect.title}. Who may decide: "
    )
    notice = Notice(text, mention=tuple(user for user in card.who_may if user not in voted))
    return Post(f"reminder:{request.id}", request.thread, WATCHBILL, notice)


def report(state: Mission, now: datetime, *, code: str, audit_head: str = "") -> Post:
    """The final report: what exists, the evidence, the bill, and the audit record's head to hold it to."""
    lines = tuple(_line(state, criterion) for criterion in state.criteria)
    evidence = tuple(_evidence(state, criterion) for criterion in state.criteria)
    not_covered = [f"{line.number} {line.text}: not verifiable here" for line in lines if line.mark == "unverifiable"]
    not_covered += [f"{line.number} {line.text}: {line.mark}" for line in lines if line.mark in {"open", "failed"}]
    not_covered += [f"no criterion for “{words}”" for words in state.uncovered]
    body = Report(
        mission=state.id,
        outcome=state.ended,
        seconds=round((now - state.opened_at).total_seconds()),
        waiting_seconds=round(state.waited_s),
        cost_usd=state.spend.usd,
        tokens=state.spend.tokens,
        approvals=tuple(state.approvals_by.items()),
        exists=state.applied,
        criteria=lines,
        evidence=tuple(text for text in evidence if text),
        not_covered=tuple(not_covered),
        code=code,
        marks=state.approval_marks,
        audit_head=audit_head,
    )
    return Post(f"report:{state.id}", state.thread, WATCHBILL, body)


def _state(state: Mission, titles: Titles) -> str:
    if state.ended:
        return {"done": "Done", "partial": "Partial", "stopped": "Stopped"}[state.ended]
    if state.parked:
        return "Parked"
    if state.turn is not None:
        return f"Turn: {titles(state.turn.persona)}"
    if state.wakes:
        return f"Turn: {titles(state.wakes[0].persona)}"
    if state.requests:
        return "Waiting for approval " + ", ".join(request[:4] for request in state.requests)
    if state.questions:
        return "Waiting for an answer"
    return "Waiting for a word from people"


def _line(state: Mission, criterion: Criterion) -> CriterionLine:
    source = f"“{criterion.quote}”" if criterion.quote else f"standard {criterion.standard}"
    return CriterionLine(criterion.number, criterion.text, source, mark_of(state, criterion))


def _evidence(state: Mission, criterion: Criterion) -> str:
    waiver = state.waivers.get(criterion.number)
    if waiver is not None:
        return f"{criterion.number} waived: {waiver.reason}"
    shown = state.evidence.get(criterion.number)
    if shown is None:
        return ""
    where = f" (result {shown.evidence.call})" if shown.evidence.call else ""
    return f"{criterion.number} {shown.evidence.words}{where}"
