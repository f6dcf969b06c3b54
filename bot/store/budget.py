"""Tokens a minute that everyone shares per provider: a bucket that fills by the server's clock (rule 21)."""

from bot.store.connection import Link
from bot.store.lua import script

# A call larger than the bucket is let through when the bucket is full, and leaves a debt.
_TAKE = script("""
local k, want, size = p .. 'budget:' .. take(), tonumber(take()), tonumber(take())
local now = clock()
local level, at, paused = unpack(call('HMGET', k, 'level', 'at', 'paused'))
if paused and tonumber(paused) > now then return text(tonumber(paused) - now) end
level = math.min(size, (tonumber(level) or size) + (now - (tonumber(at) or now)) * size / 60000)
local need = math.min(want, size)
local wait = 0
if level >= need then level = level - want else wait = math.ceil((need - level) * 60000 / size) end
call('HSET', k, 'level', string.format('%.3f', level), 'at', text(now))
call('PEXPIRE', k, 3600000)
return text(wait)
""")

_PAUSE = script("""
local k, till = p .. 'budget:' .. take(), clock() + tonumber(take())
if till > tonumber(call('HGET', k, 'paused') or 0) then call('HSET', k, 'paused', text(till)) end
call('PEXPIRE', k, math.max(3600000, till - clock()))
return 1
""")

_CORRECT = script("""
local k, more = p .. 'budget:' .. take(), take()
if call('HEXISTS', k, 'level') == 0 then return 0 end
call('HINCRBYFLOAT', k, 'level', -more)
return 1
""")


class RedisBudget:
    def __init__(self, link: Link) -> None:
        self._link = link

    async def take(self, pool: str, tokens: int, per_minute: int) -> float:
        return int(await self._link.run(_TAKE, pool, tokens, max(1, per_minute))) / 1000

    async def pause(self, pool: str, seconds: float) -> None:
        await self._link.run(_PAUSE, pool, round(seconds * 1000))

    async def correct(self, pool: str, tokens: int) -> None:
        """`tokens` used more than taken are taken now; a negative number gives back."""
        await self._link.run(_CORRECT, pool, tokens)
