"""Grants, and the freeze of all changes.

Keys:
    grant:<id> hash: json (as it was given), status, note, lane, until in ms, stops; grants: ids of the live ones by time
    freeze: JSON of the freeze that stands
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import cast

from bot.domain.approvals import ApprovalRequest
from bot.domain.grants import FREEZES, Freeze, Grant, GrantStatus
from bot.domain.ids import RequestId, Thread
from bot.store.codec import FREEZE, GRANT, REQUEST
from bot.store.connection import Link
from bot.store.lua import script

_GIVE = script(
    """
local id, json, lane, opened, till, stops = take(), take(), take(), take(), take(), take()
local k = p .. 'grant:' .. id
if call('EXISTS', k) == 1 then return 0 end
till = math.min(till, clock() + till - opened) -- a worker whose clock is ahead makes no grant last longer
call('HSET', k, 'json', json, 'status', 'live', 'note', '', 'lane', lane, 'until', text(till), 'stops', stops)
call('ZADD', p .. 'grants', opened, id)
return 1
""",
    again=True,
)

_GET = script(
    """
local out = {}
for i = 1, #ARGV do
  local row = call('HMGET', p .. 'grant:' .. ARGV[i], 'json', 'status', 'note')
  if row[1] then out[#out + 1] = row end
end
return out
""",
    again=True,
)

_END = script(
    """
local id, status, note = take(), take(), take()
local k = p .. 'grant:' .. id
if call('HGET', k, 'status') ~= 'live' then return 0 end
call('HSET', k, 'status', status, 'note', note)
call('ZREM', p .. 'grants', id)
return 1
"""
)

# The request is stored as its approvers would have left it: their votes are copied, so that settling reads their roles
# again as for any other. What the grant does not cover any more is not stored.
_USE = script(
    """
local grant, id, json, lane, digest, now = take(), take(), take(), take(), take(), take()
local expires, quorum, stops, freezes = take(), take(), take(), take()
local g, k = p .. 'grant:' .. grant, p .. 'request:' .. id
local status, till, its_lane, its_stops = unpack(call('HMGET', g, 'status', 'until', 'lane', 'stops'))
if status ~= 'live' or its_lane ~= lane or math.max(now, clock()) >= tonumber(till) then return {'ended'} end
local count = call('HGET', p .. 'stops', lane) or '0'
if count ~= its_stops or count ~= stops then return {'stopped'} end
if freezes == '1' and call('EXISTS', p .. 'freeze') == 1 then return {'frozen'} end
local twin = call('HGET', p .. 'waits:' .. lane, digest)
if twin and call('HGET', p .. 'request:' .. twin, 'status') == 'approved' then return {'', twin} end
if twin or call('EXISTS', k) == 1 then return {'ended'} end
local ayes = call('HGETALL', p .. 'votes:' .. grant)
if #ayes == 0 then return {'ended'} end
call('HSET', p .. 'votes:' .. id, unpack(ayes))
call('HSET', k, 'json', json, 'status', 'approved', 'digest', digest, 'lane', lane, 'expires', expires,
  'quorum', quorum, 'approved', text(math.min(now, clock())), 'ayes', text(#ayes / 2), 'note', '')
call('HSET', p .. 'waits:' .. lane, digest, id)
call('HINCRBY', g, 'uses', 1)
return {'', id}
"""
)

_FREEZE = script(
    """
if call('SET', p .. 'freeze', take(), 'NX') then return 1 end
return 0
"""
)

_THAW = script(
    """
local stands = call('GET', p .. 'freeze')
call('DEL', p .. 'freeze')
return stands or ''
"""
)


class RedisGrants:
    def __init__(self, link: Link) -> None:
        self._link = link

    async def give(self, grant: Grant) -> bool:
        return bool(
            await self._link.run(
                _GIVE, grant.id, GRANT.dump(grant), grant.thread.lane, _ms(grant.opened_at), _ms(grant.until), grant.stops
            )
        )  # fmt: skip

    async def get(self, grant: RequestId) -> Grant | None:
        found = await self._all([grant])
        return found[0] if found else None

    async def of(self, thread: Thread | None = None) -> Sequence[Grant]:
        ids = await self._link.read("ZRANGE", f"{self._link.prefix}grants", 0, -1)
        return [one for one in await self._all(ids) if thread in {None, one.thread}] if ids else []

    async def end(self, grant: RequestId, status: GrantStatus, note: str) -> bool:
        return bool(await self._link.run(_END, grant, status, note))

    async def use(self, grant: Grant, request: ApprovalRequest, now: datetime) -> ApprovalRequest | str:
        why, *found = await self._link.run(
            _USE, grant.id, request.id, REQUEST.dump(request), request.thread.lane, request.digest, _ms(now),
            _ms(request.expires_at), request.terms.quorum, request.stops, "1" if request.effect.cls in FREEZES else "0",
        )  # fmt: skip
        return replace(request, id=RequestId(found[0])) if found else str(why)

    async def _all(self, ids: Sequence[RequestId]) -> list[Grant]:
        rows = cast("list[tuple[str, GrantStatus, str]]", await self._link.run(_GET, *ids))
        return [replace(GRANT.load(text), status=status, note=note) for text, status, note in rows]


class RedisSwitch:
    def __init__(self, link: Link) -> None:
        self._link = link

    async def freeze(self, freeze: Freeze) -> bool:
        begun, _ = await self._link.run_durably(_FREEZE, FREEZE.dump(freeze))  # on disk, as far as the server says so
        return bool(begun)

    async def thaw(self) -> Freeze | None:
        text = await self._link.run(_THAW)
        return FREEZE.load(text) if text else None

    async def frozen(self) -> Freeze | None:
        text = await self._link.read("GET", f"{self._link.prefix}freeze")
        return FREEZE.load(text) if text else None


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
