"""The mission logs: streams, hash-chained, written only with a live token (rule 1).

hash = SHA-256 of the previous entry's hash and this entry's JSON. The newest stands beside the log, so that a log whose
end was cut off is noticed too.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

from bot.domain.ids import EntryId, MissionId, Thread, Token
from bot.domain.log import Entry, Logged, MissionEnded, MissionOpened
from bot.domain.state import Mission
from bot.domain.storage import Commit, StaleTokenError, StoreUnavailableError
from bot.store.codec import ENTRY, MISSION, POST
from bot.store.connection import Arg, Link, Reply
from bot.store.leases import proof_of
from bot.store.lua import LANES, POSTS, script

START = EntryId("0-0")
PAGE = 1000

# One write, all or nothing. `once` names it: where its answer was lost, the second arrival is given that answer. The caller computed the hashes on the head that it knows; if another one stands here (a
# cold worker's first write), it gets the true one back and tries again.
_COMMIT = script(
    LANES,
    POSTS,
    """
local once, lane, proof, mission, thread, head, ended = take(), take(), take(), take(), take(), take(), take()
local done = call('HMGET', p .. 'commit:' .. lane, 'once', 'reply')
if done[1] == once then return cjson.decode(done[2]) end
if not mine(lane, proof) then return {'stale'} end
local about = p .. 'mission:' .. mission
if thread ~= '' then
  local number = text((call('GET', p .. 'numbers') or 0) + 1)
  if number ~= mission then return {'number', number} end
  call('INCR', p .. 'numbers')
  call('HSET', about, 'thread', thread)
  call('HSET', p .. 'lanes', thread, mission)
  call('ZADD', p .. 'missions', mission, mission)
  call('ZADD', p .. 'running', mission, mission)
elseif mission ~= '' then
  local stands = call('HGET', about, 'head')
  if not stands then return {'unknown'} end
  if stands ~= head then return {'head', stands} end
end
local reply = {'ok'}
for _ = 1, take() do
  local json, hash = take(), take()
  reply[#reply + 1] = call('XADD', p .. 'log:' .. mission, '*', 'json', json, 'hash', hash)
  head = hash
end
if mission ~= '' then call('HSET', about, 'head', head) end
if ended == '1' then call('ZREM', p .. 'running', mission) end
for _ = 1, take() do put_post(take(), take()) end
for _ = 1, take() do
  drop(lane, take())
end
for _ = 1, take() do
  local what, to, at = take(), take(), take()
  call('ZADD', p .. 'deadlines', at, what)
  call('HSET', p .. 'deadline_lanes', what, to)
  wake('wake')
end
call('HSET', p .. 'commit:' .. lane, 'once', once, 'reply', cjson.encode(reply))
call('PEXPIRE', p .. 'commit:' .. lane, 60000)
return reply
""",
    again=True,
)


class RedisJournal:
    def __init__(self, link: Link) -> None:
        self._link = link
        self._heads: dict[MissionId, str] = {}

    async def open(self, token: Token, opened: MissionOpened, commit: Commit) -> tuple[MissionId, Sequence[Logged]]:
        mission = MissionId("1")
        while True:
            entries = (replace(opened, mission=mission), *commit.entries)
            said, *rest = await self._send(token, mission, entries, commit, thread=opened.thread.lane, head="")
            if said == "ok":
                return mission, _logged(entries, rest)
            mission = MissionId(rest[0])

    async def commit(self, token: Token, mission: MissionId | None, commit: Commit) -> Sequence[Logged]:
        if mission is None:
            if commit.entries:
                raise ValueError("entries need a mission")
            await self._send(token, MissionId(""), (), commit, thread="", head="")
            return ()
        head = self._heads.get(mission, "")
        while True:
            said, *rest = await self._send(token, mission, commit.entries, commit, thread="", head=head)
            if said == "ok":
                return _logged(commit.entries, rest)
            if said == "unknown":
                raise StoreUnavailableError(
                    f"the store does not know mission {mission}: its data is not this program's"
                )
            head = rest[0]

    async def _send(
        self, token: Token, mission: MissionId, entries: Sequence[Entry], commit: Commit, *, thread: str, head: str
    ) -> list[str]:
        written: list[Arg] = []
        last = head
        for entry in entries:
            text = ENTRY.dump(entry)
            last = chained(last, text)
            written += (text, last)
        ended = any(isinstance(entry, MissionEnded) for entry in entries)
        reply = cast(
            "list[str]",
            await self._link.run(
                _COMMIT, secrets.token_hex(8), token.lane, proof_of(token), mission, thread, head, "1" if ended else "0",
                len(entries), *written, *_effects(commit),
            ),
        )  # fmt: skip
        if reply[0] == "stale":
            raise StaleTokenError(f"{token.holder} no longer holds {token.lane} with token {token.number}")
        if reply[0] == "ok" and mission:
            self._heads[mission] = last
        return reply

    async def mission_of(self, thread: Thread) -> MissionId | None:
        found = await self._link.read("HGET", f"{self._link.prefix}lanes", thread.lane)
        return MissionId(found) if found else None

    async def thread_of(self, mission: MissionId) -> Thread | None:
        found = await self._link.read("HGET", f"{self._link.prefix}mission:{mission}", "thread")
        return Thread(*str(found).split("/")) if found else None

    async def missions(self, *, running: bool) -> tuple[MissionId, ...]:
        key = "running" if running else "missions"
        found = await self._link.read("ZRANGE", f"{self._link.prefix}{key}", 0, -1, "REV")
        return tuple(MissionId(number) for number in found)

    async def read(self, mission: MissionId, after: EntryId = START) -> Sequence[Logged]:
        return [
            Logged(EntryId(id_), time_of(id_), ENTRY.load(text)) for id_, text, _ in await self._rows(mission, after)
        ]

    async def keep(self, state: Mission) -> None:
        await self._link.write("SET", f"{self._link.prefix}kept:{state.id}", MISSION.dump(state), again=True)

    async def kept(self, mission: MissionId) -> Mission | None:
        text = await self._link.read("GET", f"{self._link.prefix}kept:{mission}")
        return MISSION.load(text) if text else None

    async def verify(self, mission: MissionId) -> EntryId | None:
        head, last = "", START
        for id_, text, hash_ in await self._rows(mission, START):
            head, last = chained(head, text), EntryId(id_)
            if head != hash_:
                return last
        stands = await self._link.read("HGET", f"{self._link.prefix}mission:{mission}", "head")
        return None if (stands or "") == head else last

    async def _rows(self, mission: MissionId, after: EntryId) -> list[tuple[str, str, str]]:
        """Id, JSON and hash of each entry."""
        rows: list[tuple[str, str, str]] = []
        while True:
            page: Reply = await self._link.read(
                "XRANGE", f"{self._link.prefix}log:{mission}", f"({after}", "+", "COUNT", PAGE
            )
            rows += [(id_, fields[1], fields[3]) for id_, fields in page]
            if len(page) < PAGE:
                return rows
            after = EntryId(rows[-1][0])


def chained(head: str, text: str) -> str:
    """The hash of an entry whose predecessor's hash is `head`."""
    return hashlib.sha256(f"{head}{text}".encode()).hexdigest()


def time_of(stream_id: str) -> datetime:
    return datetime.fromtimestamp(int(stream_id.partition("-")[0]) / 1000, UTC)


def _logged(entries: Sequence[Entry], ids: Sequence[str]) -> list[Logged]:
    return [Logged(EntryId(id_), time_of(id_), entry) for id_, entry in zip(ids, entries, strict=True)]


def _effects(commit: Commit) -> list[Arg]:
    args: list[Arg] = [len(commit.posts)]
    for post in commit.posts:
        args += (post.key, POST.dump(post))
    args += (len(commit.consumed), *commit.consumed, len(commit.deadlines))
    for one in commit.deadlines:
        args += (f"{one.what}:{one.subject}", one.lane, round(one.at.timestamp() * 1000))
    return args
