"""The gate, whole: what the loop, the desk and the lane call."""

from datetime import timedelta

from bot.domain.approvals import ApprovalRequest, NotCounted, Ran, Refused, Settlement, Submitted, VoteAnswer
from bot.domain.calls import ToolCall, ToolResult
from bot.domain.deputies import Deputy
from bot.domain.grants import Freeze, Grant
from bot.domain.ids import RequestId, Thread, Token, UserId
from bot.domain.inbound import VoteCast
from bot.domain.ports import Scope, Watch
from bot.domain.posts import ApprovalCard
from bot.domain.state import Mission
from bot.gate import deputising, endings, freezing, granting, settling, submission, voting
from bot.gate.card import render
from bot.gate.parts import Parts
from bot.standing import Standing


class Gate:
    """There is one, and no way around it. Store, policy or audit failure raises, and then nothing runs."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def submit(self, call: ToolCall, scope: Scope, words: str, watch: Watch) -> Submitted:
        """Run a read, refuse, or ask people. Never raises for what a model proposed."""
        return await submission.submit(self._parts, call, scope, words, watch)

    async def probe(self, call: ToolCall, scope: Scope, watch: Watch) -> Ran | Refused:
        """Run a read or refuse; people are asked nothing, and nothing is left that waits."""
        return await submission.probe(self._parts, call, scope, watch)

    async def vote(self, cast: VoteCast) -> VoteAnswer:
        """Count one click, or say why not. Every answer has its own audit event."""
        return await voting.vote(self._parts, cast)

    async def may_vote(self, request: RequestId, user: UserId, place: Thread) -> NotCounted | None:
        """Why a form need not be opened for `user`; None where it should be."""
        return await voting.may_vote(self._parts, request, user, place)

    async def settle(self, request: RequestId, token: Token, scope: Scope, watch: Watch) -> Settlement:
        """Execute an approved request exactly once, or say how it ended. May be called again."""
        return await settling.settle(self._parts, request, token, scope, watch)

    async def recover(self, request: ApprovalRequest, scope: Scope, watch: Watch) -> Settlement:
        """After a crash: what became of an executing request. Runs nothing again."""
        return await settling.recover(self._parts, request, scope, watch)

    async def expire(self, request: RequestId) -> ApprovalRequest | None:
        """End it if it is due; None if it is not."""
        return await endings.expire(self._parts, request)

    async def cancel_all(self, thread: Thread, why: str) -> tuple[ApprovalRequest, ...]:
        """Void everything of the thread that has not begun."""
        return await endings.cancel_all(self._parts, thread, why)

    async def revoke(self, grant: RequestId, user: UserId) -> tuple[Grant | None, str]:
        """End a grant for good; the text is for who pressed."""
        return await granting.revoke(self._parts, grant, user)

    async def freeze(self, user: UserId, reason: str) -> tuple[Freeze | None, str]:
        """Let no change begin until `thaw`; an admin's word. What stands then, and a text for who asked."""
        return await freezing.freeze(self._parts, user, reason)

    async def thaw(self, user: UserId) -> tuple[Freeze | None, str]:
        """Lift the freeze; an admin's word."""
        return await freezing.thaw(self._parts, user)

    async def deputies(self) -> tuple[Deputy, ...]:
        """Delegations and break-glasses that are offered or stand; the cards made from now on know them."""
        await deputising.standing(self._parts)
        return tuple(self._parts.known_deputies)

    async def delegate(self, user: UserId, to: UserId, lasts: timedelta, reason: str) -> tuple[Deputy | None, str]:
        """Offer one's role to another; the text is for who asked, as in the next three."""
        return await deputising.offer(self._parts, user, to, lasts, reason)

    async def accept(self, user: UserId, deputy: str) -> tuple[Deputy | None, str]:
        """Take a role that was offered."""
        return await deputising.accept(self._parts, user, deputy)

    async def ending_deputy(self, user: UserId, deputy: str) -> tuple[Deputy | None, str]:
        """What `end_deputy` would end."""
        return await deputising.ending(self._parts, user, deputy)

    async def end_deputy(self, user: UserId, deputy: str) -> tuple[Deputy | None, str]:
        """End a delegation or a break-glass."""
        return await deputising.end(self._parts, user, deputy)

    async def break_glass(self, user: UserId, request: str, reason: str) -> tuple[Deputy | None, str]:
        """The first or the second of two people where no approver answers."""
        return await deputising.break_glass(self._parts, user, request, reason)

    async def standing(self, mission: Mission) -> tuple[Standing, ...]:
        """What the mission's log does not say yet of its grants and of a freeze. Ends the grants that are due."""
        return await granting.changes(self._parts, mission)

    async def void_outdated(self) -> tuple[ApprovalRequest, ...]:
        """End every request that waits under other policies than today's. Returns those that this ended."""
        return await endings.void_outdated(self._parts)

    async def outdated_grants(self) -> tuple[Thread, ...]:
        """Threads with a grant of other policies than today's: their lanes end it."""
        version = self._parts.authoriser.version
        return tuple(one.thread for one in await self._parts.grants.of() if one.policy_version != version)

    def card(self, request: ApprovalRequest, result: ToolResult | None = None) -> ApprovalCard:
        """The card as it should look now, from the stored request only (rule 15)."""
        return render(request, who_may=voting.who_may(self._parts, request), result=result)

    async def card_of(self, request: RequestId) -> tuple[ApprovalRequest, ApprovalCard] | None:
        """The stored request and its card, or None where there is none."""
        stored = await self._parts.approvals.get(request)
        if stored is None:
            return None
        return stored, self.card(stored, await self._parts.approvals.result(request))
