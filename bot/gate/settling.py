"""An approved request: checked once more, consumed, then executed, in this order and once (rules 11 to 13)."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bot.domain.approvals import ApprovalRequest, Denied, NeedsApproval, Settlement, Terms
from bot.domain.calls import CallClass
from bot.domain.digest import NotCanonicalError
from bot.domain.ids import RequestId, Token, texts
from bot.domain.ports import ArgumentError, Done, Scope, Tool, Watch
from bot.domain.storage import StaleTokenError, StoreUnavailableError
from bot.gate import deputising, events
from bot.gate.binding import digest_of_call
from bot.gate.boundary import Broke, attempt, kept, parse
from bot.gate.card import card_digest, render
from bot.gate.endings import overtaken, result_of, told, voided
from bot.gate.freezing import frozen_for
from bot.gate.parts import Parts, request_facts
from bot.gate.watching import Discreet

GRACE_S = 120.0  # on top of the tool's own time, which the tool itself keeps
PINS_S = 60.0
READS = frozenset({CallClass.READ, CallClass.SENSITIVE_READ})


@dataclass(frozen=True, slots=True)
class Checked:
    """Nothing has changed since people looked."""

    tool: Tool
    arguments: Any


async def settle(parts: Parts, request_id: RequestId, token: Token, scope: Scope, watch: Watch) -> Settlement:
    """Execute an approved request, or say how it ended. Safe to call again: a finished one gives its stored result.

    A request that still waits for people comes back as it is (`status` pending) and nothing happens.
    """
    request = await parts.approvals.get(request_id)
    if request is None:
        raise StoreUnavailableError(f"the store has no request {request_id[:4]}")
    match request.status:
        case "approved":
            return await _execute(parts, request, token, scope, watch)
        case "executing":
            return await recover(parts, request, scope, watch)
        case "done" | "unknown_outcome":
            stored = await parts.approvals.result(request.id)
            fallback = result_of(request, "unknown_outcome", "The result was not kept. Look at what exists.")
            return Settlement(request, stored or fallback)
        case _:
            return Settlement(request, told(request))


async def _execute(parts: Parts, request: ApprovalRequest, token: Token, scope: Scope, watch: Watch) -> Settlement:
    if watch.stopping():
        return await voided(parts, request, "cancelled", "STOP was pressed")
    if frozen := await frozen_for(parts, request.effect.cls):
        return await voided(parts, request, "superseded", frozen)
    checked = await _check(parts, request, scope)
    if isinstance(checked, str):
        return await voided(parts, request, "superseded", checked)
    facts = request_facts(request, voters=[vote.user for vote in request.votes], card=card_digest(render(request)))
    await parts.tell(events.EXECUTION_BEGUN, scope.mission.id, request.asked_by, **facts)
    why = await parts.approvals.consume(request, token, stops=request.stops, start_within_s=parts.start_within_s)
    if why:
        return await _not_consumed(parts, request, scope, why)
    if not await asyncio.to_thread(parts.ledger.begin, request.id):
        text = "This request was begun before, on this machine. It is not run again; look at what exists."
        return await _finish(
            parts, request, Done(result_of(request, "unknown_outcome", text)), events.EXECUTION_UNKNOWN
        )
    began = parts.clock.now()
    step = checked.tool.run(request.prepared, checked.arguments, scope, Discreet(watch, parts.redactor))
    done = await attempt(parts, step, checked.tool.timeout_s + GRACE_S)
    seconds = (parts.clock.now() - began).total_seconds()
    if not watch.alive():
        raise StaleTokenError(f"the lease ended while request {request.short} ran: its next holder recovers it")
    if isinstance(done, Broke):
        return await _finish(parts, request, _unknown(request, done.text), events.EXECUTION_UNKNOWN)
    timed = replace(done, result=replace(done.result, seconds=done.result.seconds or seconds))
    return await _finish(parts, request, timed, events.EXECUTION_ENDED)


async def _check(parts: Parts, request: ApprovalRequest, scope: Scope) -> Checked | str:
    """Everything people relied on, read again. A text says what differs."""
    prepared, call = request.prepared, request.prepared.call
    tool = parts.tools.get(call.tool)
    if tool is None or call.tool not in parts.crew.get(call.persona, ()):
        return f"{call.persona} no longer has {call.tool}"
    if parts.authoriser.version != request.policy_version:
        return "the policies changed since it was asked"
    environment = parts.environment_of(prepared.effect, scope.mission)
    if environment != request.environment:
        return f"it belongs to {environment} now, not to {request.environment}"
    if lost := await _lost_votes(parts, request):
        return lost
    blast = parts.blast_of(prepared.effect, environment, scope.mission)
    decision = parts.authoriser.decide(parts.facts_of(prepared, environment, scope, blast))
    if isinstance(decision, Denied):
        return decision.reason
    if isinstance(decision, NeedsApproval) and not _as_strict(request.terms, decision.terms):
        return f"it takes another approval now: {decision.reason}"
    if blast.lines != request.blast:
        return f"what it takes with it is another now: {'; '.join(blast.lines) or 'no vote of any group'}"
    try:
        arguments = await attempt(parts, parse(tool, call.arguments), PINS_S)
        pins = (
            Broke("") if isinstance(arguments, Broke) else await attempt(parts, tool.pins(prepared, arguments), PINS_S)
        )
    except ArgumentError as error:
        return f"its arguments no longer fit the tool: {parts.redactor.text(str(error))}"
    if isinstance(pins, Broke):
        return f"its state could not be read again: {pins.text or 'the arguments broke'}"
    return _moved(parts, request, scope, pins) or Checked(tool, arguments)


def _moved(parts: Parts, request: ApprovalRequest, scope: Scope, pins: Mapping[str, str]) -> str:
    """Which pin differs from what was approved, or ""."""
    was = request.prepared.pins
    for name in sorted({*was, *pins}):
        if was.get(name) != pins.get(name):
            before, now = was.get(name, "nothing"), pins.get(name, "nothing")
            return f"{name} changed: it was {before[:40]}, it is {now[:40]}"
    version = parts.authoriser.version
    try:
        digest = digest_of_call(
            request.prepared,
            environment=request.environment,
            estate=scope.mission.estate,
            policy_version=version,
            pins=pins,
        )
    except NotCanonicalError as error:
        return f"what would run cannot be bound: {error}"
    return "" if digest == request.digest else "what would run is not what was approved"


def _as_strict(given: Terms, needed: Terms) -> bool:
    """What was given is what is needed; more votes than that are no less (break-glass takes two)."""
    return given.quorum >= needed.quorum and replace(given, quorum=0) == replace(needed, quorum=0)


async def _lost_votes(parts: Parts, request: ApprovalRequest) -> str:
    """Roles are read once more: an approver who lost theirs no longer counts."""
    terms, good, lost = request.terms, 0, ""
    for vote in request.votes:
        if vote.ballot != "approve":
            continue
        here = await deputising.seat(parts, request, vote.user)
        if here.approves:
            good += 1
        else:
            lost = here.human.name
    return (
        ""
        if good >= terms.quorum
        else f"{lost or 'nobody'} may no longer approve it, so {good} of {terms.quorum} votes count"
    )


async def _not_consumed(parts: Parts, request: ApprovalRequest, scope: Scope, why: str) -> Settlement:
    """The store said no, so nothing runs."""
    await parts.tell(events.EXECUTION_REFUSED, scope.mission.id, request.asked_by, **request_facts(request, why=why))
    match why:
        case "stale_token":
            raise StaleTokenError(f"another worker holds the lane of request {request.short}")
        case "stopped":
            return await voided(parts, request, "cancelled", "STOP was pressed")
        case "frozen":
            return await voided(parts, request, "superseded", "all changes were frozen just now")
        case "too_late":
            return await voided(parts, request, "expired", "approved, and not started in time")
        case "digest":
            return await voided(parts, request, "superseded", "the stored request is not the approved one")
        case "not_durable":
            raise StoreUnavailableError(f"the start of request {request.short} could not be made durable: nothing ran")
        case _:
            return await overtaken(parts, request)


async def _finish(parts: Parts, request: ApprovalRequest, done: Done, kind: str) -> Settlement:
    """Keep the result, then tell it."""
    result = replace(await kept(parts, request.prepared.call, done.result), digest=request.digest)
    unknown = result.status == "unknown_outcome"
    await parts.approvals.finish(request.id, "unknown_outcome" if unknown else "done", result)
    ended = replace(request, status="unknown_outcome" if unknown else "done")
    orphans = texts(result.facts.get("orphans"))
    facts = request_facts(
        ended, outcome=result.status, output=result.sha256, size=result.size, orphans=list(orphans),
        card=card_digest(render(ended, result=result)),
    )  # fmt: skip
    await parts.tell(kind, request.prepared.call.mission, request.asked_by, **facts)
    return Settlement(ended, result, orphans, done.entries)


async def recover(parts: Parts, request: ApprovalRequest, scope: Scope, watch: Watch) -> Settlement:
    """What became of a request whose worker died after consuming it. Runs nothing again.

    `done` only if the tool can prove how it went; else `unknown_outcome` with every orphan named.
    """
    call = request.prepared.call
    tool = parts.tools.get(call.tool)
    if tool is not None and not tool.durable and request.effect.cls in READS:
        text = "Watchbill was restarted while this ran. It only reads; ask for it again if it is still needed."
        return await _finish(parts, request, Done(result_of(request, "interrupted", text)), events.EXECUTION_RECOVERED)
    if tool is None:
        return await _finish(
            parts, request, _unknown(request, f"there is no tool {call.tool} now"), events.EXECUTION_UNKNOWN
        )
    try:
        arguments = await attempt(parts, parse(tool, call.arguments), PINS_S)
        if isinstance(arguments, Broke):
            found = arguments
        else:
            step = tool.recover(request.prepared, arguments, scope, Discreet(watch, parts.redactor))
            found = await attempt(parts, step, tool.timeout_s + GRACE_S)
    except ArgumentError as error:
        found = Broke(parts.redactor.text(str(error)))
    if not watch.alive():
        raise StaleTokenError(f"the lease ended while request {request.short} was looked at")
    if isinstance(found, Broke):
        return await _finish(parts, request, _unknown(request, found.text), events.EXECUTION_UNKNOWN)
    return await _finish(parts, request, found, events.EXECUTION_RECOVERED)


def _unknown(request: ApprovalRequest, text: str) -> Done:
    words = (
        f"Nobody knows yet how far {request.prepared.call.tool} came: {text}. Look at what exists; nothing is retried."
    )
    return Done(replace(result_of(request, "unknown_outcome", words), changed=True))
