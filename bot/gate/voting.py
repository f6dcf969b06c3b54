"""A click: who, where, when, on what; counted, or answered with why not (rule 12). No click is ignored."""

from collections.abc import Sequence
from typing import assert_never

from bot.domain.approvals import ApprovalRequest, Counted, NotCounted, Vote, VoteAnswer
from bot.domain.ids import RequestId, Thread, UserId
from bot.domain.inbound import Reply, VoteCast
from bot.gate import deputising, events, granting, narrowing
from bot.gate.card import card_digest, render
from bot.gate.deputising import Seat
from bot.gate.endings import OUTDATED, void
from bot.gate.freezing import frozen_for
from bot.gate.parts import Parts, request_facts

STANDINGS = {
    "guest": "Guests cannot decide here, so this click changed nothing.",
    "external": "People of other workspaces cannot decide here, so this click changed nothing.",
    "deactivated": "This account is deactivated, so this click changed nothing.",
    "bot": "Only people decide, so this click changed nothing.",
    "unlisted": "You are not listed in people.yaml, so this click changed nothing.",
}


async def vote(parts: Parts, cast: VoteCast) -> VoteAnswer:
    """Count one human's answer. Roles are read now; the time is the server's; the place is the request's own."""
    reply = cast.reply
    request = await parts.approvals.get(cast.request)
    place = _listed_place(reply, request) or Thread(reply.team, reply.channel, reply.thread_ts)
    refused = await _check(parts, request, reply.user, place, cast.ballot, foreign=reply.foreign)
    if refused is None and request is not None and cast.ballot == "approve" and not _typed(cast.typed, request):
        wanted = " ".join(request.terms.typed_names)
        refused = NotCounted("typed_wrong", f"Not approved: type exactly {wanted}", request)
    left_out = tuple(dict.fromkeys(cast.leave_out)) if cast.ballot == "deny" else ()
    if refused is None and request is not None and left_out:
        refused = narrowing.refused(request, left_out)
    if refused is None and request is not None and cast.ballot == "approve" and request.terms.totp:
        wrong = await parts.codes.check(
            reply.user, cast.code
        )  # the last thing looked at: a right code is used up by it
        refused = NotCounted("code_wrong", wrong, request) if wrong else None
    if refused is not None or request is None:
        return await _refuse(parts, cast, refused or _unknown())
    reason = narrowing.words(left_out) or parts.redactor.text(cast.reason.strip())[:1000]
    facts = request_facts(request, ballot=cast.ballot, reason=reason, card=card_digest(render(request)))
    await parts.tell(events.VOTE_CAST, request.prepared.call.mission, reply.user, **facts)
    now = parts.clock.now()
    here = await deputising.seat(parts, request, reply.user)  # as whom it counts, and whether it still does
    if not (here.approves if cast.ballot == "approve" else here.decides):
        return await _refuse(parts, cast, await _outsider(parts, request, here, who_may(parts, request)))
    again = cast.grant and cast.ballot == "approve" and bool(request.scope) and not here.broke_glass
    ballot = Vote(reply.user, cast.ballot, reason, now, again, left_out, parts.redactor.text(here.through))
    counted = await parts.approvals.vote(request.id, ballot, now)
    if isinstance(counted, NotCounted):
        stored = await parts.approvals.get(cast.request)
        return await _refuse(parts, cast, _again(counted, stored or request))
    kind = {"approved": events.REQUEST_APPROVED, "denied": events.REQUEST_DENIED}.get(
        counted.status, events.VOTE_COUNTED
    )
    kind = events.REQUEST_NARROWED if left_out else kind
    facts = request_facts(
        counted,
        status=counted.status,
        left_out=list(left_out),
        votes=len(counted.votes),
        through=here.through,
        card=card_digest(render(counted)),
    )
    await parts.tell(kind, request.prepared.call.mission, reply.user, **facts)
    return Counted(counted, await granting.opened(parts, counted))


def _listed_place(reply: Reply, request: ApprovalRequest | None) -> Thread | None:
    """The request's own place, for a button in a list that Watchbill showed to this person alone, wherever that was."""
    return request.thread if request and reply.ephemeral and reply.team == request.thread.team else None


async def may_vote(parts: Parts, request: RequestId, user: UserId, place: Thread) -> NotCounted | None:
    """Why `user` could not decide this now, before a form is opened for it. None: they could, to deny at least."""
    stored = await parts.approvals.get(request)
    refused = await _check(parts, stored, user, place, "deny")
    if refused is not None:
        facts = request_facts(stored) if stored else {"request": request}
        mission = stored.prepared.call.mission if stored else ""
        await parts.tell(events.VOTE_REFUSED[refused.why], mission, user, **facts)
    return refused


async def _check(
    parts: Parts, request: ApprovalRequest | None, user: UserId, place: Thread, ballot: str, *, foreign: bool = False
) -> NotCounted | None:
    if request is None:
        return _unknown()
    if place != request.thread:
        return NotCounted("wrong_place", "This button does not belong to a request of this thread. Nothing changed.")
    if ended := _ended(request):
        return ended
    if request.policy_version != parts.authoriser.version:
        void_now = await void(parts, request, "superseded", OUTDATED)
        return _ended(void_now or await parts.approvals.get(request.id) or request) or _unknown()
    if parts.clock.now() >= request.expires_at:
        return NotCounted("expired", _expired(request), request)
    here = await deputising.seat(parts, request, user, foreign=foreign)
    able = who_may(parts, request)
    if not here.decides:
        return await _outsider(parts, request, here, able)
    if ballot == "approve" and here.barred:
        asked = "You" if user in request.requesters else "The approver for whom you decide"
        text = f"{asked} asked for this, so someone else has to approve it"
        return NotCounted("is_requester", text + await _names(parts, able), request, able)
    if ballot == "approve" and (frozen := await frozen_for(parts, request.effect.cls)):
        text = f"Not counted: {frozen}. The request waits; press again when an admin has lifted it."
        return NotCounted("frozen", text, request)
    return None


def who_may(parts: Parts, request: ApprovalRequest) -> tuple[UserId, ...]:
    """Who is listed now and could approve it."""
    return deputising.listed(parts, request)


async def _outsider(parts: Parts, request: ApprovalRequest, here: Seat, able: Sequence[UserId]) -> NotCounted:
    human = here.human
    roles = " or ".join(sorted(role.replace("_", " ") for role in request.terms.approvers))
    text = STANDINGS.get(human.standing, f"Deciding this takes the role {roles}, so this click changed nothing.")
    if here.through:
        text = f"You handed your role on ({here.through}), so this click changed nothing. /approvals has its end."
    if human.standing.startswith("unknown"):
        text = f"Nobody can decide now ({human.standing}). Nothing changed."
    return NotCounted("not_an_approver", f"{text} Who may decide" + await _names(parts, able), request, tuple(able))


async def _names(parts: Parts, users: Sequence[UserId]) -> str:
    names = [f"@{(await parts.people.human(user)).name}" for user in users]
    return f": {', '.join(names)}." if names else ": nobody else is listed in people.yaml."


def _typed(typed: str, request: ApprovalRequest) -> bool:
    return (
        typed.replace(",", " ").split() == " ".join(request.terms.typed_names).split() or not request.terms.typed_names
    )


def _unknown() -> NotCounted:
    return NotCounted("unknown", "There is no such request. Nothing changed.")


def _expired(request: ApprovalRequest) -> str:
    return f"Request {request.short} expired at {request.expires_at:%H:%M} UTC. Nothing ran; the crew can ask again."


def _ended(request: ApprovalRequest) -> NotCounted | None:
    """The answer to a click on a request that is decided or over."""
    note = f": {request.note}" if request.note else ""
    match request.status:
        case "pending":
            return None
        case "expired":
            return NotCounted("expired", _expired(request), request)
        case "superseded":
            text = f"Request {request.short} no longer fits{note}. Nothing ran; the crew can ask again."
            return NotCounted("superseded", text, request)
        case "cancelled":
            return NotCounted("cancelled", f"Request {request.short} was cancelled{note}. Nothing ran.", request)
        case "denied":
            return NotCounted("already_decided", f"Request {request.short} is denied already{note}.", request)
        case "approved" | "executing" | "done" | "unknown_outcome":
            return NotCounted("already_decided", f"Request {request.short} is approved already.", request)
        case _:
            assert_never(request.status)


def _again(refused: NotCounted, request: ApprovalRequest) -> NotCounted:
    """The store was faster than this click: say what stands there now."""
    if refused.why == "already_voted":
        count = sum(vote.ballot == "approve" for vote in request.votes)
        text = f"Your vote is counted already: {count} of {request.terms.quorum}."
        return NotCounted("already_voted", text, request)
    return _ended(request) or NotCounted(refused.why, refused.text or _expired(request), request)


async def _refuse(parts: Parts, cast: VoteCast, refused: NotCounted) -> NotCounted:
    request = refused.request
    facts = request_facts(request) if request else {"request": cast.request}
    mission = request.prepared.call.mission if request else ""
    await parts.tell(events.VOTE_REFUSED[refused.why], mission, cast.reply.user, ballot=cast.ballot, **facts)
    return refused
