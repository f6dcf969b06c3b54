"""Who may decide a request now: roles of people.yaml, deputies of approvers, and two people where no approver answers.

Nothing here changes what may run, which step-up it takes, or who asked: forbidden stays forbidden, and whoever asked, or
whose approver's role somebody else holds, does not approve where the policy says so.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from bot.domain.approvals import ApprovalRequest
from bot.domain.deputies import Deputy
from bot.domain.ids import Json, RequestId, UserId
from bot.domain.people import Human, Role
from bot.gate import events
from bot.gate.parts import Parts

LONGEST = timedelta(days=14)
SECOND_WITHIN = timedelta(minutes=15)  # the second of two people has so long to join
UNANSWERED = timedelta(minutes=15)  # so long a request waits for approvers before two others may take it
TOGETHER = 2
Answer = tuple[Deputy | None, str]


@dataclass(frozen=True, slots=True)
class Seat:
    """Whether somebody may decide a request now, and as whom: `through` is "" for an approver of people.yaml."""

    human: Human
    decides: bool
    barred: bool = False  # decides, and may not approve: they, or whom they stand for, asked for it
    through: str = ""
    broke_glass: bool = False

    @property
    def approves(self) -> bool:
        return self.decides and not self.barred


async def standing(parts: Parts) -> tuple[Deputy, ...]:
    """The live ones. Those past their end, or offered and not taken in time, end here."""
    now, found = parts.clock.now(), list[Deputy]()
    for one in await parts.deputies.all():
        if now < one.until:
            found.append(one)
        elif await parts.deputies.change(one, None):
            await parts.tell(events.DEPUTY_ENDED[one.kind], "", "watchbill", **_facts(one, why="its time was over"))
    parts.known_deputies.clear()
    parts.known_deputies.extend(found)
    return tuple(one for one in found if one.live)


async def seat(parts: Parts, request: ApprovalRequest, user: UserId, *, foreign: bool = False) -> Seat:
    """Roles and deputies are read now."""
    human = Human(user, "", frozenset(), "external") if foreign else await parts.people.human(user)
    if human.standing != "member":
        return Seat(human, decides=False)
    asked = request.requesters if request.terms.exclude_requesters else frozenset[UserId]()
    live = await standing(parts)
    delegated = _delegations(live)
    gave = next((one for one in delegated if one.by == user), None)
    roles = {role.value for role in human.roles} - ({Role.APPROVER.value} if gave else set())
    if roles & request.terms.approvers:
        return Seat(human, decides=True, barred=user in asked)
    held = next((one for one in delegated if one.to == user), None)
    if held and human.roles and Role.APPROVER.value in request.terms.approvers:
        giver = await parts.people.human(held.by)
        if giver.may(Role.APPROVER):
            through = f"{human.name} for {held.by_name} (delegation {held.id})"
            return Seat(human, decides=True, barred=bool({user, held.by} & asked), through=through)
    glass = next((one for one in live if one.request == request.id and user in {one.by, one.to}), None)
    if glass and human.roles and not gave:
        through = f"{human.name} by break-glass {glass.id}: {glass.reason}"
        return Seat(human, decides=True, barred=user in asked, through=through, broke_glass=True)
    return Seat(human, decides=False, through=f"decided for by {gave.to_name}" if gave else "")


def _delegations(live: Iterable[Deputy]) -> Sequence[Deputy]:
    """Those that count: the oldest of each giver and of each deputy. A role is handed over, so it is one vote, whatever two
    workers accepted in the same moment.
    """
    givers, heirs, found = set[UserId](), set[UserId | None](), list[Deputy]()
    for one in sorted((one for one in live if one.kind == "delegation"), key=lambda one: (one.opened_at, one.id)):
        if one.by not in givers and one.to not in heirs:
            givers.add(one.by)
            heirs.add(one.to)
            found.append(one)
    return found


def listed(parts: Parts, request: ApprovalRequest) -> tuple[UserId, ...]:
    """Who could approve it, as far as this worker knows the deputies: for cards, which decide nothing."""
    live = [one for one in parts.known_deputies if one.live and parts.clock.now() < one.until]
    delegated = _delegations(live)
    gave = {one.by for one in delegated}
    found = {user: None for role in sorted(request.terms.approvers) for user in parts.people.with_role(role)}
    kept = [user for user in found if user not in gave]
    if Role.APPROVER.value in request.terms.approvers:
        kept += [one.to for one in delegated if one.to and one.by in found]
    kept += [user for one in live if one.request == request.id for user in (one.by, one.to) if user]
    asked = request.requesters if request.terms.exclude_requesters else frozenset[UserId]()
    barred = asked | {one.to for one in delegated if one.by in asked}
    return tuple(user for user in dict.fromkeys(kept) if user not in barred)


# delegation ---------------------------------------------------------------------------------------------------------


async def offer(parts: Parts, giver: UserId, to: UserId, lasts: timedelta, reason: str) -> Answer:
    """An approver offers their role to a listed person, who has to accept. The text is for who asked."""
    human, heir = await parts.people.human(giver), await parts.people.human(to)
    reason = _reason(parts, reason)
    known = [one for one in (await _all(parts)) if one.kind == "delegation"]
    again = next((one for one in known if (one.by, one.to, one.reason, one.live) == (giver, to, reason, False)), None)
    if again is not None:
        return again, _offered(again)
    if not human.may(Role.APPROVER):
        why = "Only an approver of people.yaml hands the role on; what was handed to you, you cannot."
    elif giver == to or not heir.roles or heir.standing != "member":
        why = "The role goes to another person who is listed in people.yaml and a member of this workspace."
    elif heir.may(Role.APPROVER):
        why = f"{heir.name} is an approver already."
    elif not reason:
        why = "A reason is missing: it stands in the record and in the channel."
    elif not timedelta(minutes=1) <= lasts <= LONGEST:
        why = f"A delegation ends: after a minute at least, after {LONGEST.days} days at most."
    elif any({giver, to} & {one.by, one.to} for one in known):
        why = "One of you gives or holds a delegation already; end that first (/approvals lists it)."
    else:
        now = parts.clock.now()
        made = Deputy(secrets.token_hex(2), "delegation", giver, human.name, to, heir.name, reason, now, now + lasts)
        await parts.tell(events.DELEGATION_OFFERED, "", giver, **_facts(made))
        if await parts.deputies.put(made):
            return made, _offered(made)
        why = "That was not kept. Say it again."
    return None, await _refused(parts, giver, "delegate", why)


def _offered(made: Deputy) -> str:
    return f"Offered to {made.to_name} as {made.id}. It stands once they write “approvals accept {made.id}”."


async def accept(parts: Parts, user: UserId, wanted: str) -> Answer:
    """Take an offered role. Everything that the offer needed has to hold still."""
    found = await _named(parts, wanted)
    if found is None or found.kind != "delegation" or found.to != user:
        return None, await _refused(parts, user, "accept", "No delegation with this number is offered to you.")
    text = f"You decide for {found.by_name} until {found.until:%Y-%m-%d %H:%M} UTC; they do not meanwhile."
    if found.live:  # said twice, or said once and heard twice: what is told about it may be told again
        return found, text
    giver, heir = await parts.people.human(found.by), await parts.people.human(user)
    if not giver.may(Role.APPROVER) or not heir.roles or heir.may(Role.APPROVER):
        return None, await _refused(parts, user, "accept", "Your roles or theirs have changed since it was offered.")
    others = [one for one in await standing(parts) if one.kind == "delegation"]
    if any({found.by, user} & {one.by, one.to} for one in others):
        return None, await _refused(parts, user, "accept", "One of you gives or holds another delegation already.")
    live = replace(found, live=True)
    await parts.tell(events.DELEGATION_BEGUN, "", user, **_facts(live))
    if not await parts.deputies.change(found, live):
        return None, "It ended just now."
    await standing(parts)
    return live, text


async def ending(parts: Parts, user: UserId, wanted: str) -> Answer:
    """What `end` would end: the giver, the deputy, one of the two, or an admin may."""
    found, human = await _named(parts, wanted), await parts.people.human(user)
    if found is None or not ({found.by, found.to} & {user} or human.may(Role.ADMIN)):
        return None, await _refused(parts, user, "end", "There is no such delegation or break-glass of yours.")
    return found, ""


async def end(parts: Parts, user: UserId, wanted: str) -> Answer:
    """At once. It only takes away."""
    found, why = await ending(parts, user, wanted)
    if found is None:
        return None, why
    human = await parts.people.human(user)
    await parts.tell(events.DEPUTY_ENDED[found.kind], "", user, **_facts(found, why=f"ended by {human.name}"))
    if not await parts.deputies.change(found, None):
        return None, "It ended just now."
    if found.request and found.live:
        await parts.approvals.lower_quorum(found.request, [one for one in (found.by, found.to) if one])
    await standing(parts)
    return found, "Ended. What was approved and did not begin asks again."


# break-glass --------------------------------------------------------------------------------------------------------


async def break_glass(parts: Parts, user: UserId, wanted: str, reason: str) -> Answer:
    """The first says why, the second joins with a reason of their own; then both may decide this one request, and both
    have to. `wanted` is the request's number, or its beginning.
    """
    human, reason = await parts.people.human(user), _reason(parts, reason)
    waiting = [one for one in await parts.approvals.pending() if wanted and one.id.startswith(wanted)]
    request = waiting[0] if len(waiting) == 1 else None
    if not human.roles or human.standing != "member":
        return None, await _refused(parts, user, "break-glass", "This takes two people who are listed in people.yaml.")
    if request is None:
        text = "Which request? Its number stands on the card and in /approvals."
        return None, await _refused(parts, user, "break-glass", text)
    here = await seat(parts, request, user)
    open_for = next((one for one in await _all(parts) if one.request == request.id), None)
    now = parts.clock.now()
    if here.barred or (request.terms.exclude_requesters and user in request.requesters):
        why = "You asked for this: break-glass changes who may approve, and never lets who asked."
    elif open_for and open_for.live and user in {open_for.by, open_for.to}:
        return open_for, _both(open_for, request)
    elif here.decides:
        why = "You may decide this request as it is: press its buttons."
    elif here.through:
        why = f"You handed your role on ({here.through}): they decide. /approvals has its end."
    elif not reason:
        why = "A reason is missing: it stands on the card, in the record and in the report."
    elif now - request.created_at < UNANSWERED:
        at = request.created_at + UNANSWERED
        why = f"Approvers have until {at:%H:%M} UTC to answer first."
    elif open_for and open_for.by == user and not open_for.live:
        return open_for, "You said so already; a second listed person has to join."
    elif open_for and open_for.live:
        why = "Two people have it already."
    elif open_for:
        return await _join(parts, request, open_for, human, reason)
    else:
        made = Deputy(
            secrets.token_hex(2), "break_glass", user, human.name, None, "", reason, now, now + SECOND_WITHIN, request.id
        )  # fmt: skip
        await parts.tell(events.BREAK_GLASS_ASKED, request.prepared.call.mission, user, **_facts(made))
        if await parts.deputies.put(made):
            return (
                made,
                f"A second listed person has until {made.until:%H:%M} UTC to write the same for {request.short}.",
            )
        why = "That was not kept. Say it again."
    return None, await _refused(parts, user, "break-glass", why)


async def _join(parts: Parts, request: ApprovalRequest, first: Deputy, human: Human, reason: str) -> Answer:
    """Both are needed from now on: the quorum is two at least, in the store, before either may decide."""
    live = replace(
        first, to=human.id, to_name=human.name, reason=f"{first.reason}; {reason}", live=True,
        until=request.expires_at + timedelta(seconds=parts.start_within_s),
    )  # fmt: skip
    await parts.tell(events.BREAK_GLASS_BEGUN, request.prepared.call.mission, human.id, **_facts(live))
    if not await parts.approvals.raise_quorum(request.id, TOGETHER) or not await parts.deputies.change(first, live):
        return None, "The request or the break-glass ended just now."
    await standing(parts)
    return live, _both(live, request)


def _both(live: Deputy, request: ApprovalRequest) -> str:
    return f"{live.by_name} and {live.to_name} may decide request {request.short} now; approving takes both."


async def _all(parts: Parts) -> Sequence[Deputy]:
    await standing(parts)
    return list(parts.known_deputies)


async def _named(parts: Parts, wanted: str) -> Deputy | None:
    return next((one for one in await _all(parts) if one.id == wanted.strip()), None)


async def _refused(parts: Parts, user: UserId, wanted: str, why: str) -> str:
    await parts.tell(events.DEPUTY_REFUSED, "", user, wanted=wanted, why=why)
    return why


def _reason(parts: Parts, reason: str) -> str:
    return parts.redactor.text(" ".join(reason.split()))[:300]


def _facts(one: Deputy, **more: Json) -> dict[str, Json]:
    request: RequestId | None = one.request
    return {
        "deputy": one.id, "by": one.by, "to": one.to, "reason": one.reason,
        "until": one.until.isoformat(), "request": request, **more,
    }  # fmt: skip
