"""Named locks without an end of their own: from plan to apply people may take hours."""

from bot.store.connection import Link
from bot.store.lua import script

_LOCK = script("""
local k, holder, why = p .. 'lock:' .. take(), take(), take()
local has = call('HMGET', k, 'holder', 'why')
if has[1] and has[1] ~= holder then return has end
call('HSET', k, 'holder', holder, 'why', why)
return {}
""")

_UNLOCK = script("""
local k = p .. 'lock:' .. take()
if call('HGET', k, 'holder') ~= take() then return 0 end
return call('DEL', k)
""")


_CLAIM = script("""
local k, number = p .. 'claim:' .. take(), take()
if tonumber(number) <= tonumber(call('GET', k) or '-1') then return 0 end
call('SET', k, number)
return 1
""")


class RedisLocks:
    def __init__(self, link: Link) -> None:
        self._link = link

    async def lock(self, name: str, holder: str, why: str) -> str:
        has = await self._link.run(_LOCK, name, holder, why)
        return f"mission {has[0]} has it, {has[1]}" if has else ""

    async def unlock(self, name: str, holder: str) -> None:
        await self._link.run(_UNLOCK, name, holder)

    async def claim(self, name: str, number: int) -> bool:
        return bool(await self._link.run(_CLAIM, name, number))

    async def holder(self, name: str) -> tuple[str, str] | None:
        holder, why = await self._link.read("HMGET", f"{self._link.prefix}lock:{name}", "holder", "why")
        return None if holder is None else (str(holder), str(why or ""))
