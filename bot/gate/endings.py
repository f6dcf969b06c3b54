"""How a request ends without having run, and what its agent hears."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from bot.domain.approvals import ApprovalRequest, Settlement
from bot.domain.calls import ResultStatus, ToolResult
from bot.domain.ids import Json, RequestId, Thread
from bot.domain.storage import StaleTokenError
from bot.gate import events, narrowing
from bot.gate.boundary import refused
from bot.gate.card import card_digest, render
from bot.gate.granting import end_all
from bot.gate.parts import Parts, request_facts

Ending = Literal["expired", "cancelled", "superseded"]
ENDED: Mapping[Ending, str] = {
    "expired": events.REQUEST_EXPIRED,
    "cancelled": events.REQUEST_CANCELLED,
    "superseded": events.REQUEST_SUPERSEDED,
}


async def void(parts: Parts, request: ApprovalRequest, status: Ending, note: str) -> ApprovalRequest | None:
    """End it before it ran. None where somebody was faster: it ended otherwise, or began."""
    note = parts.redactor.text(note)
    if not await parts.approvals.end(request.id, status, note):
        return None
    ended = replace(request, status=status, note=note)
    facts = request_facts(ended, note=note, card=card_digest(render(ended)))
    await parts.tell(ENDED[status], request.prepared.call.mission, "watchbill", **facts)
    return ended


async def voided(parts: Parts, request: ApprovalRequest, status: Ending, note: str) -> Settlement:
    """As a settlement; where somebody was faster, what they made of it."""
    ended = await void(parts, request, status, note)
    return Settlement(ended, told(ended)) if ended else await overtaken(parts, request)


async def overtaken(parts: Parts, request: ApprovalRequest) -> Settlement:
    """It is no longer approved: somebody ended it. Raises StaleTokenError where another worker has it."""
    now = await parts.approvals.get(request.id)
    if now is None or now.status in {"approved", "executing"}:
        raise StaleTokenError(f"request {request.short} is not ours to run")
    return Settlement(now, told(now))


async def expire(parts: Parts, request_id: RequestId) -> ApprovalRequest | None:
    """End a request that nobody decided, or that was approved and not started, in time. None: it is not due."""
    request = await parts.approvals.get(request_id)
    now = parts.clock.now()
    match request:
        case ApprovalRequest(status="expired"):
            return request
        case ApprovalRequest(status="pending") if now >= request.expires_at:
            return await void(parts, request, "expired", "nobody decided in time")
        case ApprovalRequest(status="approved", approved_at=approved) if approved is not None:
            late = (now - approved).total_seconds() >= parts.start_within_s
            return await void(parts, request, "expired", "approved, and not started in time") if late else None
        case _:
            return None


async def cancel_all(parts: Parts, thread: Thread, why: str) -> tuple[ApprovalRequest, ...]:
    """STOP: every open request, every approval that was not started yet and every grant is void (rule 5)."""
    waiting = await parts.approvals.pending(thread)
    ended = [await void(parts, request, "cancelled", why) for request in waiting]
    await end_all(parts, thread, "stopped", why)
    return tuple(request for request in ended if request is not None)


OUTDATED = "the policies changed since it was asked"


async def void_outdated(parts: Parts) -> tuple[ApprovalRequest, ...]:
    """Whatever waits for people under other policies than today's is void: what they would sign is decided anew."""
    version = parts.authoriser.version
    waiting = [one for one in await parts.approvals.pending() if one.policy_version != version]
    ended = [await void(parts, request, "superseded", OUTDATED) for request in waiting]
    return tuple(request for request in ended if request is not None)


def told(request: ApprovalRequest) -> ToolResult:
    """What the agent hears of a request that did not run."""
    note = f" ({request.note})" if request.note else ""
    match request.status:
        case "denied" if request.left_out:
            facts = {"left_out": list(request.left_out), "denied_revision": request.prepared.revision}
            text = narrowing.told(request)
            return replace(result_of(request, "denied", text), facts={**facts, "denied_because": request.note})
        case "denied":
            reason = next((vote.reason for vote in request.votes if vote.ballot == "deny"), "") or request.note
            text = f"Denied by a human: “{reason or 'no reason given'}”. Do what the reason asks; never the same again."
            facts: dict[str, Json] = {
                "denied_revision": request.prepared.revision,
                "denied_because": reason,
                "denied_alike": list(request.prepared.alike),
            }
            return replace(result_of(request, "denied", text), facts=facts)
        case "cancelled":
            return result_of(request, "interrupted", f"Cancelled{note}: nothing ran.")
        case "superseded":
            return result_of(request, "refused", f"Not run: it no longer fits{note}. Look again, then propose it anew.")
        case "expired":
            return result_of(request, "refused", f"Not run: the request expired{note}. Nobody denied it.")
        case _:
            return result_of(request, "held", f"Request {request.short} waits for people.")


def result_of(request: ApprovalRequest, status: ResultStatus, text: str) -> ToolResult:
    """A result of the gate's own for the call that was asked about."""
    return replace(refused(request.prepared.call, text, status), digest=request.digest)
