"""Codes that were used, and wrong ones: totp:<user> the newest step used, totp_wrong:<user> how many wrong in a row."""

from bot.domain.ids import UserId
from bot.store.connection import Link
from bot.store.lua import script

KEPT_S = 300  # longer than any code is good

_TAKE = script(
    """
local user, step, kept = take(), take(), take()
local k = p .. 'totp:' .. user
if tonumber(step) <= tonumber(call('GET', k) or '-1') then return 0 end
call('SET', k, step, 'EX', kept)
call('DEL', p .. 'totp_wrong:' .. user)
return 1
"""
)

_WRONG = script(
    """
local user, kept = take(), take()
local count = call('INCR', p .. 'totp_wrong:' .. user)
call('EXPIRE', p .. 'totp_wrong:' .. user, kept)
return count
"""
)


class RedisUsedCodes:
    def __init__(self, link: Link) -> None:
        self._link = link

    async def take(self, user: UserId, step: int) -> bool:
        return bool(await self._link.run(_TAKE, user, step, KEPT_S))

    async def wrong(self, user: UserId) -> int:
        return int(await self._link.read("GET", f"{self._link.prefix}totp_wrong:{user}") or 0)

    async def note_wrong(self, user: UserId) -> None:
        await self._link.run(_WRONG, user, KEPT_S)
