"""Approval requests and the effect ledger (rules 11 to 13)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal, cast, get_args

from bot.domain.approvals import ApprovalRequest, NotCounted, RequestStatus, Vote
from bot.domain.calls import ToolResult
from bot.domain.grants import FREEZES
from bot.domain.ids import RequestId, Thread, Token, UserId
from bot.store import approvals_lua as lua
from bot.store.codec import REQUEST, RESULT, VOTE
from bot.store.connection import Link
from bot.store.leases import proof_of

NOT_DURABLE = "the intent could not be written to disk; nothing ran"

_Why = Literal["unknown", "expired", "superseded", "cancelled", "already_decided", "already_voted"]
_TEXTS: dict[_Why, str] = {
    "unknown": "There is no such request any more.",
    "expired": "This request has expired; nothing runs. The agent can ask again.",
    "superseded": "A newer request replaced this one.",
    "cancelled": "This request was cancelled.",
    "already_decided": "This request is decided already.",
    "already_voted": "Your vote on this request is counted already.",
}


class RedisApprovals:
    def __init__(self, link: Link) -> None:
        self._link = link

    async def create(self, request: ApprovalRequest) -> ApprovalRequest:
        id_ = await self._link.run(
            lua.CREATE, request.id, REQUEST.dump(request), request.thread.lane, request.digest,
            _ms(request.created_at), _ms(request.expires_at), request.terms.quorum,
        )  # fmt: skip
        return (await self.get(RequestId(id_))) or request

    async def get(self, request: RequestId) -> ApprovalRequest | None:
        found = await self._all([request])
        return found[0] if found else None

    async def pending(self, thread: Thread | None = None) -> Sequence[ApprovalRequest]:
        ids = await self._link.read("ZRANGE", f"{self._link.prefix}pending", 0, -1)
        return [one for one in await self._all(ids) if thread is None or one.thread == thread]

    async def vote(self, request: RequestId, vote: Vote, now: datetime) -> ApprovalRequest | NotCounted:
        why = await self._link.run(
            lua.VOTE, request, vote.user, vote.ballot, VOTE.dump(vote), vote.reason, _ms(now)
        )  # fmt: skip
        stands = await self.get(request)
        if why or stands is None:
            reason = cast("_Why", why if why in get_args(_Why) else "unknown")
            return NotCounted(reason, _TEXTS[reason], stands)
        return stands

    async def raise_quorum(self, request: RequestId, quorum: int) -> bool:
        return bool(await self._link.run(lua.RAISE, request, quorum))

    async def lower_quorum(self, request: RequestId, without: Sequence[UserId]) -> bool:
        return bool(await self._link.run(lua.LOWER, request, *without))

    async def end(self, request: RequestId, status: RequestStatus, note: str) -> bool:
        return bool(await self._link.run(lua.END, request, status, note))

    async def consume(self, request: ApprovalRequest, token: Token, *, stops: int, start_within_s: float) -> str:
        why, counted = await self._link.run_durably(
            lua.CONSUME, request.id, token.lane, proof_of(token), stops, request.digest, round(start_within_s * 1000),
            "1" if request.effect.cls in FREEZES else "0",
        )  # fmt: skip
        if why:
            return str(why)
        if counted and await self._link.on_disk():
            return ""
        await self._link.run(lua.WITHDRAW, request.id, proof_of(token), NOT_DURABLE)
        return "not_durable"

    async def finish(self, request: RequestId, status: RequestStatus, result: ToolResult) -> None:
        await self._link.run(lua.FINISH, request, status, RESULT.dump(result))

    async def executing(self, thread: Thread) -> Sequence[ApprovalRequest]:
        ids = await self._link.read("SMEMBERS", f"{self._link.prefix}executing:{thread.lane}")
        return sorted(await self._all(list(ids)), key=lambda one: one.created_at)

    async def result(self, request: RequestId) -> ToolResult | None:
        text = await self._link.read("HGET", f"{self._link.prefix}request:{request}", "result")
        return RESULT.load(text) if text else None

    async def _all(self, ids: Sequence[str]) -> list[ApprovalRequest]:
        if not ids:
            return []
        rows = cast("list[tuple[str, RequestStatus, str, str, list[str], str]]", await self._link.run(lua.GET, *ids))
        return [_request(*row) for row in rows]


def _request(
    text: str, status: RequestStatus, note: str, approved: str, votes: Sequence[str], quorum: str
) -> ApprovalRequest:
    asked = REQUEST.load(text)
    return replace(
        asked,
        terms=replace(asked.terms, quorum=max(asked.terms.quorum, int(quorum))),
        status=status,
        note=note,
        votes=tuple(sorted((VOTE.load(vote) for vote in votes), key=lambda vote: vote.at)),
        approved_at=datetime.fromtimestamp(int(approved) / 1000, UTC) if approved else None,
    )


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
