"""What Slack is to show, by key, against what it shows."""

from collections.abc import Sequence
from typing import cast

from bot.domain.posts import Post
from bot.domain.storage import OutboxItem, Sent
from bot.store.codec import POST
from bot.store.connection import Arg, Link
from bot.store.lua import POSTS, script

KEPT_S = 90 * 24 * 3600  # how long a shown message can still be edited, and its buttons pressed

_PUT = script(POSTS, "for _ = 1, take() do put_post(take(), take()) end return 1", again=True)

_WAITING = script(
    """
local out = {}
local keys = call('ZRANGE', p .. 'out', 0, take() - 1, 'WITHSCORES')
for i = 1, #keys, 2 do
  local row = call('HMGET', p .. 'post:' .. keys[i], 'body', 'version', 'channel', 'ts', 'shown', 'tried')
  for j = 1, 6 do row[j] = row[j] or '' end
  row[7] = keys[i + 1]
  out[#out + 1] = row
end
return out
""",
    again=True,
)

_TRYING = script(
    """
local k, version = p .. 'post:' .. take(), take()
if call('HGET', k, 'version') then return call('HSET', k, 'tried', version) end
return 0
""",
    again=True,
)

_SHOWN = """
local function shown(key, version, channel, ts, kept)
  local k = p .. 'post:' .. key
  call('HSET', k, 'channel', channel, 'ts', ts, 'shown', version)
  call('HDEL', k, 'tried')
  if ts ~= '' then call('SET', p .. 'ts:' .. channel .. '/' .. ts, key, 'PX', kept) end
  if tonumber(version) >= tonumber(call('HGET', k, 'version') or 0) then
    call('ZREM', p .. 'out', key)
    call('HDEL', k, 'body')
    call('PEXPIRE', k, kept)
  end
end
"""

_SENT = script(_SHOWN, "shown(take(), take(), take(), take(), take()) return 1", again=True)

_ADOPT = script(
    _SHOWN,
    """
local key, version, channel, ts, kept = take(), take(), take(), take(), take()
if call('HGET', p .. 'post:' .. key, 'ts') then return 0 end
shown(key, version, channel, ts, kept)
return 1
""",
)

_DROPPED = script(
    """
local key, version, why, kept = take(), take(), take(), take()
local k = p .. 'post:' .. key
if call('HGET', k, 'version') ~= version then return 0 end
call('HSET', k, 'why', why)
call('HDEL', k, 'tried')
call('ZREM', p .. 'out', key)
call('PEXPIRE', k, kept)
return 1
""",
    again=True,
)

_HOLD = script(
    """
local k, worker, ttl = p .. 'out_holder', take(), take()
local has = call('GET', k)
if has and has ~= worker then return 0 end
call('SET', k, worker, 'PX', ttl)
return 1
""",
    again=True,
)


class RedisOutbox:
    def __init__(self, link: Link) -> None:
        self._link = link

    async def put(self, *posts: Post) -> None:
        args: list[Arg] = [len(posts)]
        for post in posts:
            args += (post.key, POST.dump(post))
        await self._link.run(_PUT, *args)

    async def waiting(self, limit: int = 100) -> Sequence[OutboxItem]:
        rows = cast("list[list[str]]", await self._link.run(_WAITING, limit))
        return [_item(row) for row in rows]

    async def wait(self, seconds: float) -> None:
        if seconds > 0:  # a BLPOP of 0 would never end
            await self._link.wait(
                "BLPOP", f"{self._link.prefix}out_wake", f"{max(seconds, 0.001):.3f}", seconds=seconds
            )

    async def trying(self, item: OutboxItem) -> None:
        await self._link.run(_TRYING, item.post.key, item.version)

    async def sent(self, item: OutboxItem, ts: str) -> None:
        post = item.post
        await self._link.run(_SENT, post.key, item.version, post.thread.channel, ts, KEPT_S * 1000)

    async def dropped(self, item: OutboxItem, why: str) -> None:
        await self._link.run(_DROPPED, item.post.key, item.version, why, KEPT_S * 1000)

    async def sent_as(self, key: str) -> Sent | None:
        row = await self._link.read("HMGET", f"{self._link.prefix}post:{key}", "channel", "ts", "shown")
        channel, ts, version = cast("list[str | None]", row)
        return None if channel is None or ts is None or version is None else Sent(channel, ts, int(version))

    async def key_of(self, channel: str, ts: str) -> str | None:
        found = await self._link.read("GET", f"{self._link.prefix}ts:{channel}/{ts}")
        return str(found) if found else None

    async def adopt(self, key: str, sent: Sent) -> bool:
        return bool(await self._link.run(_ADOPT, key, sent.version, sent.channel, sent.ts, KEPT_S * 1000))

    async def hold(self, worker: str, ttl_s: float) -> bool:
        return bool(await self._link.run(_HOLD, worker, round(ttl_s * 1000)))


def _item(row: Sequence[str]) -> OutboxItem:
    body, version, channel, ts, shown, tried, order = row
    sent = Sent(channel, ts, int(shown)) if shown else None
    return OutboxItem(POST.load(body), int(version), sent, tried=sent is None and tried != "", order=int(float(order)))
