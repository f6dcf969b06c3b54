"""Commands that change what the crew may do, and who decides: freeze, end of a grant, delegation, break-glass."""

from datetime import timedelta
from typing import Protocol, assert_never

from bot.cards import WATCHBILL
from bot.deputising import USAGE, Accept, BreakGlass, Delegate, End, Order, named, read_order
from bot.domain.approvals import ApprovalRequest
from bot.domain.calls import ToolResult
from bot.domain.deputies import Deputy
from bot.domain.grants import Freeze, Grant
from bot.domain.ids import RequestId, Thread, UserId
from bot.domain.inbound import Commanded, Continue, GrantRevoked
from bot.domain.people import Role
from bot.domain.ports import People
from bot.domain.posts import ApprovalCard, Notice, Post, Private
from bot.domain.storage import Approvals, Inbox, Journal, Outbox


class OrderedGate(Protocol):
    """What orders need of the gate, which knows who may give them."""

    async def revoke(self, grant: RequestId, user: UserId) -> tuple[Grant | None, str]: ...
    async def freeze(self, user: UserId, reason: str) -> tuple[Freeze | None, str]: ...
    async def thaw(self, user: UserId) -> tuple[Freeze | None, str]: ...
    async def delegate(self, user: UserId, to: UserId, lasts: timedelta, reason: str) -> tuple[Deputy | None, str]: ...
    async def accept(self, user: UserId, deputy: str) -> tuple[Deputy | None, str]: ...
    async def ending_deputy(self, user: UserId, deputy: str) -> tuple[Deputy | None, str]: ...
    async def end_deputy(self, user: UserId, deputy: str) -> tuple[Deputy | None, str]: ...
    async def break_glass(self, user: UserId, request: str, reason: str) -> tuple[Deputy | None, str]: ...
    def card(self, request: ApprovalRequest, result: ToolResult | None = None) -> ApprovalCard: ...


class Orders:
    """Each may be obeyed twice: what it changes, and what is posted about it, is the same the second time."""

    def __init__(
        self, gate: OrderedGate, inbox: Inbox, outbox: Outbox, journal: Journal, approvals: Approvals, people: People
    ) -> None:
        self._gate = gate
        self._inbox = inbox
        self._outbox = outbox
        self._journal = journal
        self._approvals = approvals
        self._people = people

    async def obey(self, asked: Commanded) -> Private | None:
        """The answer for who asked, or None where the command is no order."""
        word, _, rest = asked.text.strip().partition(" ")
        match asked.name, word.lower():
            case "mission", "freeze":
                return await self._freeze(asked.reply.user, rest)
            case "mission", "thaw":
                return await self._thaw(asked.reply.user)
            case "approvals", _ if (order := read_order(asked.text)) is not None:
                return Private(
                    asked.reply.user, order if isinstance(order, str) else await self._deputise(asked, order)
                )
            case _:
                return None

    async def _deputise(self, asked: Commanded, order: Order) -> str:
        """Loud: what changes who may approve is said where it was asked for and in every mission that runs."""
        user = asked.reply.user
        match order:
            case Delegate(who, lasts, reason):
                listed = [one for role in Role for one in self._people.with_role(role.value)]
                names = {one: (await self._people.human(one)).name for one in dict.fromkeys(listed)}
                to = named(who, names)
                if to is None:
                    return f"“{who}” is nobody who is listed: {', '.join(sorted(names.values()))}. {USAGE}"
                made, text = await self._gate.delegate(user, to, lasts, reason)
                told = f"{made.by_name} offers the approver's role to {made.to_name}: {made.reason}" if made else ""
            case Accept(deputy):
                made, text = await self._gate.accept(user, deputy)
                told = f"Delegation: {made.words}. {made.by_name} does not decide meanwhile" if made else ""
            case End(deputy):
                made, text = await self._gate.ending_deputy(user, deputy)
                told = f"Ended: {made.words}" if made else ""
            case BreakGlass(request, reason):
                made, text = await self._gate.break_glass(user, request, reason)
                told = f"{made.words} (request {(made.request or '')[:4]})" if made else ""
            case _:
                assert_never(order)
        if made is not None:
            key = f"deputy:{made.id}:{'ended' if isinstance(order, End) else 'live' if made.live else 'offered'}"
            await self._tell(asked, key, Notice(f"{told}.", MARKED if made.live else ""))
        if made is not None and isinstance(
            order, End
        ):  # told before it is gone: nobody could tell afterwards what it was
            _, text = await self._gate.end_deputy(user, order.deputy)
            await self._redraw()
        return text

    async def _tell(self, asked: Commanded, key: str, notice: Notice) -> None:
        """The channel where it was said, every mission that runs, and the cards that wait."""
        here = Thread(asked.reply.team, asked.reply.channel, asked.thread.ts if asked.thread else "")
        await self._outbox.put(Post(f"{key}:here", here, WATCHBILL, notice))
        for mission in await self._journal.missions(running=True):
            thread = await self._journal.thread_of(mission)
            if thread is not None and thread != here:
                await self._outbox.put(Post(f"{key}:{mission}", thread, WATCHBILL, notice))
        await self._redraw()

    async def _redraw(self) -> None:
        for request in await self._approvals.pending():
            await self._outbox.put(Post(f"request:{request.id}", request.thread, WATCHBILL, self._gate.card(request)))

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


MARKED = "What is approved so is marked on its card, in the report and in the audit record. /approvals lists it."
MEND = "An admin lifts it with `/mission thaw` or “@Watchbill mission thaw”."
