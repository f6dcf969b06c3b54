"""A proposed call: understood, decided, audited; then run, refused, or asked (rules 9 to 12)."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, assert_never

from bot.domain.approvals import Allowed, ApprovalRequest, Denied, Held, NeedsApproval, Ran, Refused, Submitted
from bot.domain.calls import CallClass, Item, Prepared, ToolCall, ToolResult
from bot.domain.digest import NotCanonicalError
from bot.domain.ids import Digest, Json, RequestId, UserId
from bot.domain.ports import ArgumentError, Cannot, Done, Redactor, Scope, Tool, Watch
from bot.domain.state import Mission
from bot.gate import events, narrowing
from bot.gate.binding import digest_of_call
from bot.gate.boundary import Broke, attempt, kept, parse, refused
from bot.gate.card import card_digest, render
from bot.gate.freezing import frozen_for
from bot.gate.granting import approved_again, scope_of
from bot.gate.parts import Parts, call_facts, clean, request_facts
from bot.gate.watching import Discreet
from bot.policy.blast import Blast
from bot.policy.provenance import origins

WORDS = 700  # characters of the agent's words on a card
PREPARE_S = 60.0


@dataclass(frozen=True, slots=True)
class Ready:
    """A call that was understood."""

    tool: Tool
    arguments: Any
    prepared: Prepared


@dataclass(frozen=True, slots=True)
class No:
    """A call that was not. `why` is for the audit record."""

    result: ToolResult
    why: str


@dataclass(frozen=True, slots=True)
class Asking:
    """What was decided over a call that people are asked about. `stops`: of the lane before it was looked at."""

    environment: str
    decision: NeedsApproval
    blast: Blast
    words: str
    stops: int


async def probe(parts: Parts, call: ToolCall, scope: Scope, watch: Watch) -> Ran | Refused:
    """The clock or a table's row wants to look: it runs where nobody has to be asked, and is refused elsewhere."""
    answer = await submit(parts, call, scope, "", watch, may_ask=False)
    assert not isinstance(answer, Held)
    return answer


async def submit(
    parts: Parts, call: ToolCall, scope: Scope, words: str, watch: Watch, *, may_ask: bool = True
) -> Submitted:
    """Run it, refuse it, or ask people."""
    stops = await parts.leases.stops(scope.mission.thread.lane)
    if watch.stopping():
        return await _refuse(
            parts, call, No(refused(call, "STOP was pressed: nothing new starts.", "interrupted"), "stop")
        )
    ready = await _understand(parts, call, scope)
    if isinstance(ready, No):
        return await _refuse(parts, call, ready)
    effect = ready.prepared.effect
    environment = parts.environment_of(effect, scope.mission)
    blast = parts.blast_of(effect, environment, scope.mission)
    decision = parts.authoriser.decide(parts.facts_of(ready.prepared, environment, scope, blast))
    match decision:
        case Denied():
            return await _refuse(parts, call, _denied(parts, ready.prepared, environment, scope.mission, decision))
        case Allowed(policies):
            if ready.tool.durable or effect.cls is not CallClass.READ:
                text = f"{call.tool} changes things outside, so it runs only through an approved request."
                return await _refuse(parts, call, No(refused(call, text), "durable"))
            return await _run(parts, ready, scope, watch, {"policies": list(policies), "environment": environment})
        case NeedsApproval() if not may_ask:
            text = f"{call.tool} asks people each time it is {effect.cls.value}."
            return await _refuse(parts, call, No(refused(call, text, facts={"asks": True}), "asks"))
        case NeedsApproval() if frozen := await frozen_for(parts, effect.cls):
            text = (
                f"Not now: {frozen}. No change begins before people lift it. Tell them what waits, and end your turn."
            )
            return await _refuse(parts, call, No(refused(call, text), "frozen"))
        case NeedsApproval():
            asked = Asking(environment, decision, blast, words, stops)
            return await _ask(parts, ready.prepared, scope, asked)
        case _:
            assert_never(decision)


async def _understand(parts: Parts, call: ToolCall, scope: Scope) -> Ready | No:
    """The tool, its typed arguments, and what the call would do."""
    mine = parts.crew.get(call.persona, ())
    tool = parts.tools.get(call.tool)
    known = f"You have: {', '.join(mine) or 'no tools'}."
    if tool is None:
        facts = {"unknown_tool": True}
        return No(refused(call, f"There is no tool '{call.tool}'. {known}", facts=facts), "unknown_tool")
    if call.tool not in mine:
        return No(refused(call, f"{call.persona} does not have {call.tool}. {known}"), "not_yours")
    try:
        arguments = await attempt(parts, parse(tool, call.arguments), PREPARE_S)
        if isinstance(arguments, Broke):
            return No(refused(call, f"The arguments could not be read: {arguments.text}"), "arguments")
        prepared = await attempt(parts, tool.prepare(call, arguments, scope), max(tool.timeout_s, PREPARE_S))
    except ArgumentError as error:
        return No(refused(call, f"Bad arguments for {call.tool}: {parts.redactor.text(str(error))}"), "arguments")
    match prepared:
        case Broke(text):
            return No(refused(call, f"{call.tool} could not be prepared: {text}", "failed"), "prepare_broke")
        case Cannot(text, rule):
            return No(refused(call, parts.redactor.text(text)), rule or "cannot")
        case Prepared():
            return Ready(tool, arguments, prepared)
        case _:
            assert_never(prepared)


async def _refuse(parts: Parts, call: ToolCall, no: No) -> Refused:
    facts = call_facts(call, why=no.why, arguments=_short(parts.redactor, call.arguments))
    await parts.tell(events.CALL_REFUSED, call.mission, call.persona, **facts)
    return Refused(no.result)


def _denied(parts: Parts, prepared: Prepared, environment: str, mission: Mission, decision: Denied) -> No:
    """The refusal in words: the policy's reason, the verdict as it stands, what would be accepted."""
    text = f"Not allowed: {decision.reason}."
    if prepared.revision and prepared.revision in mission.verdicts:
        text += f" {parts.threat.line(mission, prepared.revision, environment)}."
    if decision.instead:
        text += f" Instead: {decision.instead}."
    if prepared.effect.cls is CallClass.FORBIDDEN:
        text += f" {prepared.effect.reason}"
    return No(refused(prepared.call, parts.redactor.text(text)), "; ".join(decision.policies) or "no_policy")


async def _run(parts: Parts, ready: Ready, scope: Scope, watch: Watch, why: dict[str, Json]) -> Ran:
    """A read: audited first, then run, bounded and redacted."""
    call, tool = ready.prepared.call, ready.tool
    rule = ready.prepared.effect.rule
    facts = call_facts(call, rule=rule, arguments=_short(parts.redactor, call.arguments), **why)
    await parts.tell(events.CALL_ALLOWED, call.mission, call.persona, **facts)
    step = tool.run(ready.prepared, ready.arguments, scope, Discreet(watch, parts.redactor))
    done = await attempt(parts, step, tool.timeout_s)
    match done:
        case Done(result, entries):
            return Ran(await kept(parts, call, result), entries)
        case Broke(text):
            await parts.tell(events.CALL_BROKE, call.mission, call.persona, **call_facts(call, error=text))
            return Ran(ToolResult(call.id, call.tool, "failed", f"{call.tool} failed: {text}"))
        case _:
            assert_never(done)


async def _ask(parts: Parts, prepared: Prepared, scope: Scope, asked: Asking) -> Submitted:
    """Ask people, unless the same thing waits already or was denied in this mission."""
    call, mission = prepared.call, scope.mission
    shown = _redacted(parts.redactor, prepared)
    try:
        digest = digest_of_call(
            shown, environment=asked.environment, estate=mission.estate, policy_version=parts.authoriser.version
        )
    except NotCanonicalError as error:
        return await _refuse(
            parts, call, No(refused(call, f"{call.tool} cannot be bound to an approval: {error}"), "binding")
        )
    if reason := denied_before(mission, digest, prepared):
        text = f"A human denied this before: “{reason}”. Do what the reason asks; the same thing is not asked twice."
        return await _refuse(parts, call, No(refused(call, text, "denied"), "denied_before"))
    if text := narrowing.touched(mission.left_out, shown):
        return await _refuse(parts, call, No(refused(call, text, "denied"), "left_out"))
    for waiting in mission.requests.values():
        stored = await parts.approvals.get(waiting.request) if waiting.digest == digest else None
        if stored is not None:
            return await _hold(parts, stored, call, scope)
    request = _request(parts, shown, digest, scope, asked)
    if used := await approved_again(parts, request):
        return await _hold(parts, used, call, scope)
    if shown.full_text:
        await parts.artifacts.put(shown.full_text.encode("utf-8", "replace"), name=f"{call.tool}.txt")
    facts = request_facts(
        request,
        call=call.id,
        why=request.reason,
        warnings=list(request.warnings),
        policies=list(asked.decision.policies),
        blast=list(request.blast),
        card=card_digest(render(request)),
    )
    await parts.tell(events.REQUEST_ASKED, mission.id, call.persona, **facts)
    stored = await parts.approvals.create(request)
    if await parts.leases.stops(mission.thread.lane) != asked.stops:
        await parts.approvals.end(stored.id, "cancelled", "STOP was pressed")
        await parts.tell(events.REQUEST_CANCELLED, mission.id, "stop", **request_facts(stored))
        return Refused(refused(call, "STOP was pressed: nothing new is asked.", "interrupted"))
    return await _hold(parts, stored, call, scope)


async def _hold(parts: Parts, request: ApprovalRequest, call: ToolCall, scope: Scope) -> Held:
    """`fresh`: the mission's log does not know the request yet, also where a crash lay between asking and logging."""
    fresh = request.id not in scope.mission.requests
    if request.prepared.call.id != call.id:
        await parts.tell(events.REQUEST_REPEATED, call.mission, call.persona, **request_facts(request, call=call.id))
        text = (
            f"Exactly this waits for people already, as request {request.short}. Do something else, or end your turn."
        )
        return Held(request, replace(refused(call, text), digest=request.digest), fresh)
    text = f"People have to decide: request {request.short}, {request.reason}. You get the result when they did."
    if request.grant:
        text = f"Allowed by grant {request.grant[:4]} that people gave before. It starts when your turn ends; you get the result."
    return Held(request, ToolResult(call.id, call.tool, "held", text, digest=request.digest), fresh)


def denied_before(mission: Mission, digest: Digest, prepared: Prepared) -> str:
    """The words of the human who denied this in this mission, else "": this digest, or this tool on this revision, on
    the same code and state, or on changes that are the same.
    """
    for denial in mission.denials:
        if denial.digest == digest:
            return denial.reason or "no reason given"
    for record in mission.results.values():
        if record.status == "denied" and record.tool == prepared.call.tool and _same(record.facts, prepared):
            return str(record.facts.get("denied_because") or "no reason given")
    return ""


def _same(denied: Mapping[str, Json], prepared: Prepared) -> bool:
    alike = denied.get("denied_alike")
    shared = set(alike) & set(prepared.alike) if isinstance(alike, list | tuple) else False
    return bool(shared or (prepared.revision and denied.get("denied_revision") == prepared.revision))


def requesters_of(mission: Mission, call: ToolCall, revision: str = "") -> frozenset[UserId]:
    """Everyone whose words started the mission, amended it, began the turns that led to this call or to the plan it
    runs, or were said to the crew since the last change (rule 12): who steers an agent does not approve what it does.
    """
    exchange = mission.exchanges.get(call.persona)
    own = exchange.humans if exchange else frozenset[UserId]()
    return mission.requesters | own | frozenset(mission.asking) | mission.led.get(revision, frozenset())


def _request(parts: Parts, prepared: Prepared, digest: Digest, scope: Scope, asked: Asking) -> ApprovalRequest:
    now, decision, environment = parts.clock.now(), asked.decision, asked.environment
    return ApprovalRequest(
        id=RequestId(secrets.token_hex(16)),
        prepared=prepared,
        digest=digest,
        environment=environment,
        terms=decision.terms,
        reason=decision.reason,
        policy_version=parts.authoriser.version,
        requesters=requesters_of(scope.mission, prepared.call, prepared.revision),
        thread=scope.mission.thread,
        asked_by=prepared.call.persona,
        words=parts.redactor.text(asked.words.strip())[:WORDS],
        verdict_line=parts.threat.line(scope.mission, prepared.revision, environment),
        created_at=now,
        expires_at=now + timedelta(seconds=decision.terms.expires_s),
        stops=asked.stops,
        warnings=tuple(parts.redactor.text(text) for text in origins(scope.mission, prepared.call, prepared.effect)),
        without=scope.mission.left_out,
        blast=asked.blast.lines,
        timing=asked.blast.timing.words,
        scope=scope_of(
            prepared, decision.terms, environment=environment, estate=scope.mission.estate,
            policy_version=parts.authoriser.version,
        ),
    )  # fmt: skip


def _redacted(redactor: Redactor, prepared: Prepared) -> Prepared:
    """What people will be shown, redacted before it is bound: the card is rendered from exactly these bytes."""
    effect = prepared.effect
    items = tuple(
        Item(item.action, redactor.text(item.name), redactor.text(item.detail), redactor.text(item.where))
        for item in effect.items
    )
    effect = replace(
        effect,
        title=redactor.text(effect.title),
        reason=redactor.text(effect.reason),
        undo=redactor.text(effect.undo),
        notes=tuple(redactor.text(note) for note in effect.notes),
        items=items,
    )
    return replace(prepared, effect=effect, full_text=redactor.text(prepared.full_text))


def _short(redactor: Redactor, arguments: Mapping[str, Json]) -> Json:
    """Arguments for the audit record: redacted, long texts cut."""
    redacted = clean(redactor, arguments)
    return {key: value if len(str(value)) <= 200 else f"{str(value)[:200]}…" for key, value in redacted.items()}
