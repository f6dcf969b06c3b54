"""The inbox: lanes for one holder each, and a stream for what any worker does at once (rule 4)."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, cast

from redis.exceptions import ResponseError

from bot.domain.ids import InboxId, LaneKey, Thread
from bot.domain.inbound import Immediate, Ordered, Said
from bot.domain.storage import ImmediateWork, LaneWork
from bot.store import inbox_lua as lua
from bot.store.codec import IMMEDIATE, ORDERED, SAID
from bot.store.connection import Link

KEPT_S = 7 * 24 * 3600  # how long a message or click is known as counted; Slack redelivers for an hour
RUN_LIMIT = 4  # somebody who never pauses is heard after so many delays
NAP_S = 1.0  # the longest sleep: a worker that died with the wake token in its hand costs no more
RECLAIM_S = 15.0  # an immediate item that takes longer counts as its worker's death

GROUP = "workers"
Put = Literal["new", "merged", "ignored"]


class RedisInbox:
    def __init__(self, link: Link, *, reclaim_s: float = RECLAIM_S) -> None:
        self._link = link
        self._reclaim_ms = round(reclaim_s * 1000)
        self._now = f"{link.prefix}now"

    async def put_said(self, said: Said, *, delay_s: float) -> Put:
        place = f"{said.thread.team}/{said.thread.channel}"
        known_as = hashlib.sha256(said.text.encode("utf-8", "replace")).hexdigest()
        said_once = SAID.dump(replace(said, edited_at=""))
        top = "0" if said.in_thread else "1"
        lane = said.thread.lane
        to = ",".join(said.to)
        return cast(
            "Put",
            await self._link.run(
                lua.PUT_SAID, place, said.ts, said.user, lane, top, said.edited_at, to, known_as, said_once,
                round(delay_s * 1000), RUN_LIMIT, KEPT_S * 1000,
            ),
        )  # fmt: skip

    async def put(self, lane: LaneKey, item: Ordered) -> None:
        await self._link.run(lua.PUT, lane, ORDERED.dump(item))

    async def put_immediate(self, item: Immediate, *, once: str) -> bool:
        return bool(await self._link.run(lua.PUT_IMMEDIATE, once, IMMEDIATE.dump(item), KEPT_S * 1000))

    async def next_immediate(self, worker: str, *, wait_s: float) -> ImmediateWork | None:
        loop = asyncio.get_running_loop()
        end = loop.time() + wait_s
        while True:
            left = max(0.0, end - loop.time())
            try:
                found = await self._reclaimed(worker) or await self._fresh(worker, min(left, self._reclaim_ms / 2000))
            except ResponseError as no_group:  # after a FLUSHALL
                if "NOGROUP" not in str(no_group):
                    raise
                await self.prepare()
                continue
            if found or left <= 0:
                return found

    async def done_immediate(self, work: ImmediateWork) -> None:
        await self._link.run(lua.DONE_IMMEDIATE, GROUP, work.id)

    async def next_lane(self, worker: str, *, wait_s: float) -> LaneWork | None:  # noqa: ARG002 - the lease names the holder
        loop = asyncio.get_running_loop()
        end = loop.time() + wait_s
        while True:
            lane, quiet_ms = await self._link.run(lua.CLAIM)
            if lane:
                return LaneWork(LaneKey(lane))
            left = end - loop.time()
            if left <= 0:
                return None
            nap = max(0.001, min(left, int(quiet_ms) / 1000, NAP_S))
            await self._link.wait("BLPOP", f"{self._link.prefix}wake", f"{nap:.3f}", seconds=nap)

    async def read(self, lane: LaneKey) -> Sequence[tuple[InboxId, Ordered]]:
        rows = cast("list[str]", await self._link.run(lua.READ, lane))
        return [(InboxId(rows[at]), _item(lane, rows[at + 1])) for at in range(0, len(rows), 2)]

    async def clear(self, lane: LaneKey) -> int:
        return int(await self._link.run(lua.CLEAR, lane))

    async def prepare(self) -> None:
        """Make the consumer group. Again is fine."""
        try:
            await self._link.write("XGROUP", "CREATE", self._now, GROUP, "0", "MKSTREAM", again=True)
        except ResponseError as exists:
            if "BUSYGROUP" not in str(exists):
                raise

    async def _reclaimed(self, worker: str) -> ImmediateWork | None:
        reply = await self._link.write(
            "XAUTOCLAIM", self._now, GROUP, worker, self._reclaim_ms, "0", "COUNT", 1, again=True
        )
        return _work(reply[1])

    async def _fresh(self, worker: str, wait_s: float) -> ImmediateWork | None:
        block = ("BLOCK", max(1, round(wait_s * 1000))) if wait_s > 0 else ()
        command = ("XREADGROUP", "GROUP", GROUP, worker, "COUNT", 1, *block, "STREAMS", self._now, ">")
        reply = await self._link.wait(*command, seconds=wait_s)
        return _work(reply[0][1]) if reply else None


def _work(entries: Sequence[tuple[str, Sequence[str]]]) -> ImmediateWork | None:
    if not entries:
        return None
    id_, fields = entries[0]
    return ImmediateWork(InboxId(id_), IMMEDIATE.load(fields[1]))


def _item(lane: LaneKey, stored: str) -> Ordered:
    """A message's header holds what may change while it waits: mentions, and whether it is an edit."""
    header, _, text = stored.partition("\n")
    if not header:
        return ORDERED.load(text)
    _, edited_at, to = header.split("|")
    team, channel, ts = lane.split("/")
    names = tuple(to.split(",")) if to else ()
    return replace(SAID.load(text), thread=Thread(team, channel, ts), edited_at=edited_at, to=names)
