"""The freeze of all changes: begun and ended by an admin, seen by everybody, checked wherever something could begin."""

from bot.domain.calls import CallClass
from bot.domain.grants import FREEZES, Freeze
from bot.domain.ids import UserId
from bot.domain.people import Role
from bot.gate import events
from bot.gate.parts import Parts


async def frozen_for(parts: Parts, cls: CallClass) -> str:
    """Why a call of this class does not run now, in words, or ""."""
    freeze = await parts.switch.frozen() if cls in FREEZES else None
    return freeze.words if freeze else ""


async def freeze(parts: Parts, user: UserId, reason: str) -> tuple[Freeze | None, str]:
    """Begin it. What stands then, this one or an earlier one, and a text for who asked; None where nothing does."""
    human = await parts.people.human(user)
    if not human.may(Role.ADMIN):
        await parts.tell(events.FREEZE_REFUSED, "", user, wanted="freeze")
        return (
            None,
            "Freezing all changes takes the role admin. STOP ends the mission of a thread, and works for everyone.",
        )
    words = parts.redactor.text(" ".join(reason.split()))[:300]
    begun = Freeze(user, human.name, words, parts.clock.now())
    await parts.tell(events.FREEZE_BEGUN, "", user, reason=words)
    if not await parts.switch.freeze(begun):
        stands = await parts.switch.frozen()
        return stands, f"Nothing new: {stands.words}." if stands else "The freeze was lifted just now. Say it again."
    return (
        begun,
        "No change begins from now on. What runs already goes on: STOP in its thread ends it. Lift it: mission thaw.",
    )


async def thaw(parts: Parts, user: UserId) -> tuple[Freeze | None, str]:
    """End it. What was lifted comes back only where this ended it."""
    human = await parts.people.human(user)
    if not human.may(Role.ADMIN):
        await parts.tell(events.FREEZE_REFUSED, "", user, wanted="thaw")
        return None, "Lifting a freeze takes the role admin."
    stands = await parts.switch.frozen()
    if stands is None:
        return None, "Nothing is frozen."
    await parts.tell(events.FREEZE_ENDED, "", user, reason=stands.reason)
    return await parts.switch.thaw(), "Changes may run again, each with its approval."
