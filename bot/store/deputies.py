"""Deputies: hash `deputies`, id → JSON. What has ended is gone from it; the audit record has its end."""

from collections.abc import Sequence
from typing import cast

from bot.domain.deputies import Deputy
from bot.store.codec import DEPUTY
from bot.store.connection import Link
from bot.store.lua import script

_PUT = script("return call('HSETNX', p .. 'deputies', take(), take())")

_CHANGE = script(
    """
local id, was, now = take(), take(), take()
local k = p .. 'deputies'
if call('HGET', k, id) ~= was then return 0 end
if now == '' then call('HDEL', k, id) else call('HSET', k, id, now) end
return 1
"""
)


class RedisDeputies:
    def __init__(self, link: Link) -> None:
        self._link = link

    async def put(self, deputy: Deputy) -> bool:
        return bool(await self._link.run(_PUT, deputy.id, DEPUTY.dump(deputy)))

    async def change(self, was: Deputy, now: Deputy | None) -> bool:
        after = DEPUTY.dump(now) if now else ""
        return bool(await self._link.run(_CHANGE, was.id, DEPUTY.dump(was), after))

    async def all(self) -> tuple[Deputy, ...]:
        rows = cast("Sequence[str]", await self._link.read("HVALS", f"{self._link.prefix}deputies"))
        return tuple(sorted(map(DEPUTY.load, rows), key=lambda one: (one.opened_at, one.id)))
