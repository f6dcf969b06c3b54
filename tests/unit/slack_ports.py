"""Strict in-memory stand-ins for the ports that bot/slack uses. What a real store would refuse raises here."""
# ruff: noqa: ARG002 - the fakes keep the ports' signatures

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from bot.domain.ids import ArtifactId, InboxId, LaneKey
from bot.domain.inbound import Immediate, Ordered, Said
from bot.domain.posts import Post
from bot.domain.storage import OutboxItem, Sent, StoreUnavailableError


class WallClock:
    """The real clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class MemoryInbox:
    """Only what ingress calls. `broken`: the next n writes fail, as when the store is away."""

    def __init__(self) -> None:
        self.said: dict[tuple[str, str, bool], Said] = {}
        self.immediate: dict[str, Immediate] = {}
        self.ordered: list[tuple[LaneKey, Ordered]] = []
        self.writes = 0
        self.broken = 0
        self.delay_s = 0.0

    async def _write(self) -> None:
        await asyncio.sleep(self.delay_s)
        if self.broken:
            self.broken -= 1
            raise StoreUnavailableError("the store is away")
        self.writes += 1

    async def put_said(self, said: Said, *, delay_s: float) -> Literal["new", "merged", "ignored"]:
        await self._write()
        assert delay_s >= 0
        key = (said.thread.channel, said.ts, said.edited)
        before = self.said.get(key)
        if before is not None:
            assert before.text == said.text, "two texts of one message"
            self.said[key] = replace(before, to=tuple(dict.fromkeys((*before.to, *said.to))))
            return "merged"
        self.said[key] = said
        return "new"

    async def put(self, lane: LaneKey, item: Ordered) -> None:
        await self._write()
        self.ordered.append((lane, item))

    async def put_immediate(self, item: Immediate, *, once: str) -> bool:
        await self._write()
        assert once
        if once in self.immediate:
            return False
        self.immediate[once] = item
        return True

    async def next_immediate(self, worker: str, *, wait_s: float) -> None:
        raise AssertionError("ingress only writes")

    async def done_immediate(self, work: object) -> None:
        raise AssertionError("ingress only writes")

    async def next_lane(self, worker: str, *, wait_s: float) -> None:
        raise AssertionError("ingress only writes")

    async def read(self, lane: LaneKey) -> Sequence[tuple[InboxId, Ordered]]:
        raise AssertionError("ingress only writes")

    async def clear(self, lane: LaneKey) -> int:
        raise AssertionError("ingress only writes")


@dataclass
class Row:
    post: Post
    version: int
    order: int
    tried: bool = False
    sent: Sent | None = None
    gone: str = ""


@dataclass
class MemoryOutbox:
    """Rows by key. `fail_sent`: recording the next n deliveries fails (a crash between sending and recording)."""

    rows: dict[str, Row] = field(default_factory=dict[str, Row])
    fail_sent: int = 0
    holder: str = ""
    held_until: float = 0.0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def put(self, *posts: Post) -> None:
        for post in posts:
            row = self.rows.get(post.key)
            if row is None:
                self.rows[post.key] = Row(post, 1, len(self.rows))
            else:
                row.post, row.version, row.gone = post, row.version + 1, ""
        self.news.set()

    async def waiting(self, limit: int = 100) -> Sequence[OutboxItem]:
        open_ones = [r for r in self.rows.values() if not r.gone and (r.sent is None or r.sent.version < r.version)]
        ordered = sorted(open_ones, key=lambda row: row.order)[:limit]
        return [OutboxItem(r.post, r.version, r.sent, r.tried, r.order) for r in ordered]

    async def wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.news.wait()
        except TimeoutError:
            return
        self.news.clear()

    async def trying(self, item: OutboxItem) -> None:
        assert item.sent is None
        self.rows[item.post.key].tried = True

    async def sent(self, item: OutboxItem, ts: str) -> None:
        if self.fail_sent:
            self.fail_sent -= 1
            raise StoreUnavailableError("the store is away")
        row = self.rows[item.post.key]
        assert row.tried or item.sent is not None, "sent without trying"
        assert item.version <= row.version
        row.sent = Sent(item.post.thread.channel, ts, item.version)

    async def dropped(self, item: OutboxItem, why: str) -> None:
        assert why
        self.rows[item.post.key].gone = why

    async def sent_as(self, key: str) -> Sent | None:
        row = self.rows.get(key)
        return row.sent if row else None

    async def key_of(self, channel: str, ts: str) -> str | None:
        for key, row in self.rows.items():
            if row.sent is not None and (row.sent.channel, row.sent.ts) == (channel, ts):
                return key
        return None

    async def adopt(self, key: str, sent: Sent) -> bool:
        if self.rows[key].sent is not None:
            return False
        self.rows[key].sent = sent
        return True

    async def hold(self, worker: str, ttl_s: float) -> bool:
        now = datetime.now(UTC).timestamp()
        if self.holder not in ("", worker) and now < self.held_until:
            return False
        self.holder, self.held_until = worker, now + ttl_s
        return True


@dataclass
class MemoryArtifacts:
    kept: dict[ArtifactId, tuple[bytes, str]] = field(default_factory=dict[ArtifactId, tuple[bytes, str]])

    async def put(self, content: bytes, *, name: str, kind: str = "text/plain") -> ArtifactId:
        made = ArtifactId(f"{len(self.kept):016x}")
        self.kept[made] = (content, name)
        return made

    async def get(self, artifact: ArtifactId) -> bytes | None:
        return self.kept[artifact][0] if artifact in self.kept else None
