"""The audit record: one stream for the deployment, hash-chained, written by everyone.

Each event's hash covers its predecessor's hash, its time and its text. The newest hash stands beside the stream.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from bot.domain.storage import AuditEvent, StoreUnavailableError
from bot.store.codec import AUDIT
from bot.store.connection import Link
from bot.store.journal import chained
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
                hash_ = chained(self._head, f"{at} {text}")
                written, self._head, now = await self._link.run(_APPEND, self._head, at, text, hash_)
                self._ahead_ms = int(now) - loop.time() * 1000
                if written:
                    return
        raise StoreUnavailableError(
            f"the audit record took no event in {ATTEMPTS} attempts: too many programs write it"
        )

    async def read(self, after: str = "0-0", limit: int = 1000) -> Sequence[tuple[str, datetime, AuditEvent]]:
        return [
            (id_, datetime.fromtimestamp(int(at) / 1000, UTC), AUDIT.load(text))
            for id_, at, text, _ in await self._rows(after, limit)
        ]

    async def verify(self) -> str | None:
        head, last = "", "0-0"
        while rows := await self._rows(last, 1000):
            for id_, at, text, hash_ in rows:
                head, last = chained(head, f"{at} {text}"), id_
                if head != hash_:
                    return id_
        stands = await self._link.read("GET", f"{self._link.prefix}audit_head") or ""
        return None if stands == head else last

    async def _rows(self, after: str, limit: int) -> list[tuple[str, str, str, str]]:
        """Id, time in ms, JSON and hash of each event."""
        page = await self._link.read("XRANGE", f"{self._link.prefix}audit", f"({after}", "+", "COUNT", limit)
        return [(id_, fields[1], fields[3], fields[5]) for id_, fields in page]
