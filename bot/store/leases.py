"""One holder per lane (rule 1), and the count of STOPs (rule 5)."""

from bot.domain.ids import LaneKey, Token
from bot.store.connection import Link
from bot.store.lua import LANES, script

_ACQUIRE = script("""
local lane, holder, ttl = take(), take(), tonumber(take())
if call('EXISTS', p .. 'lease:' .. lane) == 1 then return 0 end
local number = call('INCR', p .. 'fence')
call('SET', p .. 'lease:' .. lane, number .. '|' .. holder, 'PX', text(ttl))
call('HSET', p .. 'held', lane, number)
call('ZADD', p .. 'due', text(clock() + ttl), lane)
return number
""")

_RENEW = script(
    """
local lane, proof, ttl = take(), take(), take()
if not mine(lane, proof) then return 0 end
return call('PEXPIRE', p .. 'lease:' .. lane, ttl)
""",
    again=True,
)

_RELEASE = script(
    LANES,
    """
local lane, proof, number = take(), take(), take()
if call('HGET', p .. 'held', lane) ~= number then return 0 end
if mine(lane, proof) then call('DEL', p .. 'lease:' .. lane) end
call('HDEL', p .. 'held', lane)
look_again(lane)
return 1
""",
    again=True,
)

_STOP = script(
    """
local lane, once = take(), take()
if not call('SET', p .. 'once:stop:' .. once, '1', 'NX', 'PX', '604800000') then
  return tonumber(call('HGET', p .. 'stops', lane) or 0)
end
return call('HINCRBY', p .. 'stops', lane, 1)
""",
    again=True,
)


class RedisLeases:
    def __init__(self, link: Link) -> None:
        self._link = link

    async def acquire(self, lane: LaneKey, holder: str, ttl_s: float) -> Token | None:
        number = int(await self._link.run(_ACQUIRE, lane, holder, _ms(ttl_s)))
        return Token(lane, number, holder) if number else None

    async def renew(self, token: Token, ttl_s: float) -> bool:
        return bool(await self._link.run(_RENEW, token.lane, proof_of(token), _ms(ttl_s)))

    async def release(self, token: Token) -> None:
        await self._link.run(_RELEASE, token.lane, proof_of(token), token.number)

    async def raise_stop(self, lane: LaneKey, once: str) -> int:
        return int(await self._link.run(_STOP, lane, once))

    async def stops(self, lane: LaneKey) -> int:
        return int(await self._link.read("HGET", f"{self._link.prefix}stops", lane) or 0)


def proof_of(token: Token) -> str:
    """What the lease holds while `token` is good."""
    return f"{token.number}|{token.holder}"


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
