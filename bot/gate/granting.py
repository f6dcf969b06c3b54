"""Grants: one approval for the same call again, for a while. Given by approvers on a card, ended by whatever ends trust."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from bot.domain.approvals import ApprovalRequest, Terms
from bot.domain.calls import CallClass, Prepared
from bot.domain.grants import GRANTABLE, Grant, GrantStatus
from bot.domain.ids import Digest, Json, RequestId, Thread, UserId
from bot.domain.state import Mission
from bot.gate import deputising, events
from bot.gate.binding import scope_of_call
from bot.gate.parts import Parts
from bot.standing import Standing, news

ENDED: Mapping[GrantStatus, str] = {
    "revoked": events.GRANT_REVOKED,
    "expired": events.GRANT_EXPIRED,
    "stopped": events.GRANT_STOPPED,
    "outdated": events.GRANT_OUTDATED,
}


def grantable(cls: CallClass, terms: Terms) -> bool:
    """Whether a card may offer it: the policy says so, and the call neither destroys nor takes a step-up."""
    return bool(terms.grant_s) and cls in GRANTABLE and not (terms.typed_names or terms.totp)


def scope_of(prepared: Prepared, terms: Terms, *, environment: str, estate: str, policy_version: str) -> str:
    """What a grant given with this request would cover, "" where none can be given. Raises NotCanonicalError."""
    if not grantable(prepared.effect.cls, terms):
        return ""
    return scope_of_call(prepared, environment=environment, estate=estate, policy_version=policy_version)


async def opened(parts: Parts, request: ApprovalRequest) -> Grant | None:
    """The grant that an approved request gives: where everyone of its quorum said so, and not before."""
    ayes = [vote for vote in request.votes if vote.ballot == "approve"]
    willing = bool(ayes) and all(vote.grant for vote in ayes)
    if request.status != "approved" or not willing or not request.scope:
        return None
    now, call = parts.clock.now(), request.prepared.call
    grant = Grant(
        id=request.id,
        scope=Digest(request.scope),
        tool=call.tool,
        cls=request.effect.cls,
        title=request.effect.title or call.tool,
        environment=request.environment,
        persona=call.persona,
        thread=request.thread,
        policy_version=request.policy_version,
        by=tuple(vote.user for vote in ayes),
        opened_at=now,
        until=now + timedelta(seconds=request.terms.grant_s),
        stops=request.stops,
    )
    facts = _facts(grant, until=grant.until.isoformat(), by=list(grant.by))
    await parts.tell(events.GRANT_OPENED, call.mission, grant.by[-1], **facts)
    return grant if await parts.grants.give(grant) else None


async def approved_again(parts: Parts, request: ApprovalRequest) -> ApprovalRequest | None:
    """`request`, stored as approved under a live grant of its thread that covers it; None where people have to be asked.
    Whoever gave the grant must be able to approve this very request: roles and requesters are looked at again.
    """
    now = parts.clock.now()
    for grant in await parts.grants.of(request.thread) if request.scope else ():
        covers = grant.scope == request.scope and now < grant.until and grant.policy_version == request.policy_version
        if not covers or not await _stands(parts, grant, request):
            continue
        call = request.prepared.call
        facts = _facts(grant, request=request.id, digest=request.digest, call=call.id)
        await parts.tell(events.GRANT_USED, call.mission, request.asked_by, **facts)
        used = await parts.grants.use(grant, replace(request, grant=grant.id), now)
        if isinstance(used, ApprovalRequest):
            return await parts.approvals.get(used.id)
    return None


async def revoke(parts: Parts, grant_id: RequestId, user: UserId) -> tuple[Grant | None, str]:
    """End it for good. Everybody who is listed may: it only takes away. The text is for who pressed."""
    grant = await parts.grants.get(grant_id)
    human = await parts.people.human(user)
    if grant is None:
        return None, "There is no such grant."
    if not human.roles:
        await parts.tell(events.GRANT_REFUSED, "", user, **_facts(grant))
        return None, "You are not listed for this crew, so this changed nothing. STOP works for everyone."
    note = f"revoked by {human.name}"
    await parts.tell(ENDED["revoked"], "", user, **_facts(grant))
    if not await parts.grants.end(grant.id, "revoked", note):
        now = await parts.grants.get(grant_id)
        return None, f"Grant {grant.short} ended before: {now.note or now.status if now else 'gone'}."
    return replace(grant, status="revoked", note=note), f"Grant {grant.short} is revoked: {grant.title} asks again."


async def end_all(parts: Parts, thread: Thread, status: GrantStatus, note: str) -> tuple[Grant, ...]:
    """STOP, or the end of a mission: no grant of the thread lives on."""
    ended = [await _end(parts, grant, status, note) for grant in await parts.grants.of(thread)]
    return tuple(grant for grant in ended if grant is not None)


async def changes(parts: Parts, state: Mission) -> tuple[Standing, ...]:
    """What happened to grants and to the freeze and is not in the mission's log yet. Grants past their end, or of other
    policies than today's, end here.
    """
    now, version = parts.clock.now(), parts.authoriser.version
    grants: list[Grant] = []
    for grant in await parts.grants.of(state.thread):
        if state.ended:
            ended = await _end(parts, grant, "stopped", "the mission is over")
        elif grant.policy_version != version:
            ended = await _end(parts, grant, "outdated", "the policies changed")
        elif now >= grant.until:
            ended = await _end(parts, grant, "expired", f"its time was over at {grant.until:%H:%M} UTC")
        else:
            ended = grant
        grants += [ended] if ended else []
    gone = [await parts.grants.get(grant) for grant in state.grants if grant not in {one.id for one in grants}]
    return news(state, [*grants, *(grant for grant in gone if grant is not None)], await parts.switch.frozen())


async def _end(parts: Parts, grant: Grant, status: GrantStatus, note: str) -> Grant | None:
    if not await parts.grants.end(grant.id, status, note):
        return None
    await parts.tell(ENDED[status], "", "watchbill", **_facts(grant, note=note))
    return replace(grant, status=status, note=note)


async def _stands(parts: Parts, grant: Grant, request: ApprovalRequest) -> bool:
    """Whether those who gave it could approve this request now, and are enough."""
    able = [user for user in grant.by if (await deputising.seat(parts, request, user)).approves]
    return len(able) >= request.terms.quorum


def _facts(grant: Grant, **more: Json) -> dict[str, Json]:
    return {
        "grant": grant.id,
        "scope": grant.scope,
        "tool": grant.tool,
        "class": grant.cls.value,
        "title": grant.title,
        "environment": grant.environment,
        "policy_version": grant.policy_version,
        **more,
    }
