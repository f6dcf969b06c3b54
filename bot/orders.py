"""Commands that change what the crew may do: the freeze of all changes, and the end of a grant."""

from typing import Protocol

from bot.cards import WATCHBILL
from bot.domain.grants import Freeze, Grant
from bot.domain.ids import RequestId, UserId
from bot.domain.inbound import Commanded, Continue, GrantRevoked
from bot.domain.posts import Notice, Post, Private
from bot.domain.storage import Inbox, Journal, Outbox


class OrderedGate(Protocol):
    """What orders need of the gate, which knows who may give them."""

    async def revoke(self, grant: RequestId, user: UserId) -> tuple[Grant | None, str]: ...
    async def freeze(self, user: UserId, reason: str) -> tuple[Freeze | None, str]: ...
    async def thaw(self, user: UserId) -> tuple[Freeze | None, str]: ...


class Orders:
    """Each may be obeyed twice: what it changes, and what is posted about it, is the same the second time."""

    def __init__(self, gate: OrderedGate, inbox: Inbox, outbox: Outbox, journal: Journal) -> None:
        self._gate = gate
        self._inbox = inbox
        self._outbox = outbox
        self._journal = journal

    async def obey(self, asked: Commanded) -> Private | None:
        """The answer for who asked, or None where the command is no order."""
        word, _, rest = asked.text.strip().partition(" ")
        match asked.name, word.lower():
            case "mission", "freeze":
                return await self._freeze(asked.reply.user, rest)
            case "mission", "thaw":
                return await self._thaw(asked.reply.user)
            case _:
                return None

    async def revoke(self, asked: GrantRevoked) -> Private:
        """End a grant; its mission's card follows."""
        ended, text = await self._gate.revoke(asked.grant, asked.reply.user)
        if ended is not None:
            notice = Notice(f"Grant {ended.short} is {ended.note}: {ended.title}. The next time it is asked again.")
            await self._outbox.put(Post(f"grant:{ended.id}", ended.thread, WATCHBILL, notice))
            await self._inbox.put(ended.thread.lane, Continue(ended.thread.lane, "a grant was revoked"))
        return Private(asked.reply.user, text)

    async def _freeze(self, user: UserId, reason: str) -> Private:
        stands, text = await self._gate.freeze(user, reason)
        if stands is not None:
            told = f"{stands.words[0].upper()}{stands.words[1:]}. No change begins in any mission until it is lifted."
            await self._tell_missions(f"freeze:{stands.since.timestamp():.0f}", Notice(told, "Reads go on. " + MEND))
        return Private(user, text)

    async def _thaw(self, user: UserId) -> Private:
        lifted, text = await self._gate.thaw(user)
        since = f"{lifted.since.timestamp():.0f}" if lifted else ""
        notice = Notice("The freeze of all changes is lifted. What was refused meanwhile has to be asked for again.")
        await self._tell_missions(f"thaw:{since}", notice if lifted else None)
        return Private(user, text)

    async def _tell_missions(self, key: str, notice: Notice | None) -> None:
        """A word in every thread that runs. The lane is woken so that the card says it too."""
        for mission in await self._journal.missions(running=True):
            thread = await self._journal.thread_of(mission)
            if thread is None:
                continue
            if notice is not None:
                await self._outbox.put(Post(f"{key}:{mission}", thread, WATCHBILL, notice))
            await self._inbox.put(thread.lane, Continue(thread.lane, "changes were frozen or thawed"))


MEND = "An admin lifts it with `/mission thaw` or “@Watchbill mission thaw”."
