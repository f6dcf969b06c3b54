"""The audit record: one stream for the deployment, hash-chained, written by everyone.

Each event's hash covers its predecessor's hash, its time and its text, as bot/audit_chain.py has it and checks it in
an exported record. The newest hash stands beside the stream.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from redis.exceptions import ResponseError

from bot.audit_chain import chained
from bot.domain.storage import AuditEvent, ChainedEvent, StoreUnavailableError
from bot.store.codec import AUDIT
from bot.store.connection import Link
from bot.store.lua import script

ATTEMPTS = 50  # other programs append too; each failure means that one of them got through

# Answers with the head that stands now and the server's time: what the next event is computed on.
_APPEND = script("""
local head, at, json, hash = take(), take(), take(), take()
local stands = call('GET', p .. 'audit_head') or ''
if stands ~= head then return {0, stands, text(clock())} end
call('XADD', p .. 'audit', '*', 'at', at, 'json', json, 'hash', hash)
call('SET', p .. 'audit_head', hash)
return {1, hash, text(clock())}
""")
_HEAD = script(
    """
return {text(call('XLEN', p .. 'audit')), call('GET', p .. 'audit_head') or ''}
""",
    again=True,
)

# The first who asks on a day fixes its head; a head that was posted on another day is not posted again.
_HEAD_OF_DAY = script(
    """
local k = p .. 'head:' .. take()
local fixed = call('GET', k)
if fixed then return fixed end
local hash = call('GET', p .. 'audit_head') or ''
local head = text(call('XLEN', p .. 'audit')) .. ':' .. hash
if hash == '' or call('GET', p .. 'head_last') == head then return '' end
call('SET', k, head, 'PX', take())
call('SET', p .. 'head_last', head)
return head
""",
    again=True,
)
KEPT_MS = 8 * 86_400_000  # a day's head: longer than any worker may be late
UNKNOWN = "?"  # no hash: the first append of a program only asks for the head


class RedisAudit:
    def __init__(self, link: Link) -> None:
        self._link = link
        self._turn = asyncio.Lock()
        self._head = UNKNOWN
        self._ahead_ms = 0.0  # the server's clock against this loop's, as its last answer said

    async def append(self, event: AuditEvent) -> None:
        text = AUDIT.dump(event)
        loop = asyncio.get_running_loop()
        async with self._turn:
            for _ in range(ATTEMPTS):
                at = round(loop.time() * 1000 + self._ahead_ms)
                hash_ = chained(self._head, at, text)
                try:
                    written, self._head, now = await self._link.run(_APPEND, self._head, at, text, hash_)
                except ResponseError as refused:  # the key holds something else, or this user may not write it
                    raise StoreUnavailableError(f"the audit record takes no event: {refused}") from refused
                self._ahead_ms = int(now) - loop.time() * 1000
                if written:
                    return
        raise StoreUnavailableError(
            f"the audit record took no event in {ATTEMPTS} attempts: too many programs write it"
        )

    async def read(self, after: str = "0-0", limit: int = 1000) -> Sequence[tuple[str, datetime, AuditEvent]]:
        return [
            (row.id, datetime.fromtimestamp(int(row.at) / 1000, UTC), AUDIT.load(row.text))
            for row in await self.chain(after, limit)
        ]

    async def verify(self) -> str | None:
        head, last = "", "0-0"
        while rows := await self.chain(last, 1000):
            for row in rows:
                head, last = chained(head, row.at, row.text), row.id
                if head != row.hash:
                    return row.id
        stands = await self._link.read("GET", f"{self._link.prefix}audit_head") or ""
        return None if stands == head else last

    async def chain(self, after: str = "0-0", limit: int = 1000) -> Sequence[ChainedEvent]:
        page = await self._link.read("XRANGE", f"{self._link.prefix}audit", f"({after}", "+", "COUNT", limit)
        return [ChainedEvent(id_, fields[1], fields[3], fields[5]) for id_, fields in page]

    async def head(self) -> str:
        count, hash_ = await self._link.run(_HEAD)
        return f"{count}:{hash_}" if hash_ else ""

    async def head_of_day(self, day: str) -> str:
        return await self._link.run(_HEAD_OF_DAY, day, KEPT_MS)
