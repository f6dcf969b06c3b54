"""A whole turn with a model that answers at once: two model calls, one tool call, with log, gate and audit on.

The reference makes the same two requests (recorded from ours) with the plain SDK against the same server, and runs the
same tool as a function.
"""

import asyncio
import contextlib
import cProfile
import io
import itertools
import pstats
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from openai import AsyncOpenAI

from bot.domain import log
from bot.domain.model import ModelRequest
from bot.domain.ports import Scope
from bot.domain.state import Mission
from bot.domain.storage import Commit
from bot.llm.models import LanguageModels
from bot.llm.openai import OpenAi
from bot.llm.provider import Completion, Endpoint
from bot.mission import fold
from bot.router import next_wake
from bot.store.store import Store, over
from bot.turn import LaneWatch
from tests.bench.figures import Aim, Report, Spread, alternating, timed
from tests.bench.house import ANA, ARCHITECT, House, open_house, prices_of_the_house
from tests.bench.missions import Past, hold, lived, state_of
from tests.bench.processes import appended, open_bench_store, server
from tests.bench.trips import Stopwatch, TimedLink
from tests.fakes import FakeWatch, call

PAST = 100  # log entries before the first turn
LEASE_S = 600.0


async def run(*, quick: bool = False, profile: bool = False) -> Report:
    """With fsync off for the aim, then as it is shipped, then always."""
    times, rounds = (5, 1) if quick else (200, 5)
    report = Report("turn", "the same two requests on the plain SDK, same server; the tool as a function")
    with server("tests.bench.model_stub") as facts:
        for fsync in ("no",) if profile else ("no", "everysec", "always"):
            async with open_bench_store(fsync) as store, open_desk(store, facts["url"]) as desk:
                ours, plain = await alternating(desk.turn, desk.plain, times, rounds)
                row = report.add(f"turn, appendfsync {fsync}", ours, plain)
                report.sent, report.kept = report.sent + desk.turns, report.kept + await desk.in_log()
                if fsync == "no":
                    report.aims.append(Aim("turn against the plain SDK, fsync off, p50", row.ratio or 0.0, 1.2))
                    report.notes += await _where(store, facts["url"], max(3, times // 4))
                if profile and fsync == "no":
                    report.notes.append(await _profiled(desk))
            if fsync == "always":
                report.notes.append(await _fsyncs(facts["url"]))
    return report


@dataclass(slots=True)
class Recorder:
    """The provider with a stopwatch, and the requests as the SDK got them."""

    provider: OpenAi
    watch: Stopwatch
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    title: str = "OpenAI"

    async def complete(self, model: str, request: ModelRequest) -> Completion:
        if len(self.bodies) < 2:
            self.bodies.append(self.provider._parameters(model, request))  # pyright: ignore[reportPrivateUsage] # the reference sends the same
        return await self.watch.lap("model", self.provider.complete(model, request))

    async def models(self) -> tuple[str, ...]:
        return await self.provider.models()

    async def close(self) -> None:
        await self.provider.close()


class Desk:
    """One mission whose lane is held: each `turn` is the turn that a word of ana leads to."""

    def __init__(self, house: House, past: Past, watch: LaneWatch, token: Any, client: AsyncOpenAI) -> None:
        self.turns = 0
        self.bodies: list[dict[str, Any]] = []
        self._house = house
        self._past = past
        self._watch = watch
        self._token = token
        self._client = client
        self._numbers = itertools.count()
        self._state: Mission | None = None

    async def turn(self) -> float:
        """Seconds of the turn; the word before it is not counted."""
        journal = self._house.store.journal
        before = self._state or await state_of(self._house.store, self._past.id)
        said = log.HumanSaid(ANA, "How far are you?", ARCHITECT, f"1700000200.{next(self._numbers):06d}")
        state = fold(await journal.commit(self._token, self._past.id, Commit(entries=(said,))), before)
        began = time.perf_counter()
        self._state = await self._house.turns.take(state, next_wake(state), self._token, self._watch)
        seconds = time.perf_counter() - began
        assert self._state.turns == state.turns + 1
        assert not self._state.parked, self._state.parked_text
        self.turns += 1
        return seconds

    async def plain(self) -> None:
        """The reference."""
        tool, state = self._house.tools["proxmox_read"], self._state
        assert state is not None
        for number, body in enumerate(self.bodies):
            await self._client.chat.completions.create(**body)
            if number == 0:
                scope = Scope(state, ARCHITECT, 1, self._house.clock.now())
                prepared: Any = await tool.prepare(call("proxmox_read", ARCHITECT, what="nodes"), {}, scope)
                await tool.run(prepared, {}, scope, FakeWatch())

    async def in_log(self) -> int:
        """How many of the turns that were taken the log has with their end and their words."""
        entries = [one.entry for one in await self._house.store.journal.read(self._past.id)][self._past.entries :]
        ended = sum(1 for one in entries if isinstance(one, log.TurnEnded) and one.how == "spoke")
        return min(ended, sum(1 for one in entries if isinstance(one, log.Spoke)))


@contextlib.asynccontextmanager
async def open_desk(store: Store, url: str, watch: Stopwatch | None = None, number: int = 1) -> AsyncGenerator[Desk]:
    recorder = Recorder(OpenAi(Endpoint(url, "bench")), watch or Stopwatch())
    house_prices, clock = prices_of_the_house()
    models = LanguageModels({"openai": recorder}, house_prices, budget=store.budget, clock=clock, per_minute=10**9)
    async with open_house(store, models) as house, AsyncOpenAI(api_key="bench", base_url=url, max_retries=0) as client:
        past = await lived(store, number, PAST)
        token = await hold(store, past.thread.lane, lease_s=LEASE_S)
        lane_watch = LaneWatch(token, store.leases, store.outbox, LEASE_S, asyncio.Event())
        async with lane_watch.hold():
            desk = Desk(house, past, lane_watch, token, client)
            await desk.turn()  # imports, connections, scripts
            desk.bodies = recorder.bodies[:2]
            yield desk
        await models.close()


async def _where(store: Store, url: str, times: int) -> list[str]:
    """The parts of a turn, by stopwatch: what is left over is our own Python between the awaits."""
    watch = Stopwatch()
    async with open_desk(over(TimedLink(store.link, watch)), url, watch, number=2) as desk:
        await timed(desk.turn, times)
        watch.clear()
        whole = await timed(desk.turn, times)
        seconds, counts = dict(watch.seconds), dict(watch.counts)
    each = 1000 / times
    model = seconds.pop("model", 0.0) * each
    calls = counts.pop("model", 0) / times
    store_ms = sum(seconds.values()) * each
    spread = Spread.of(whole)
    lines = [f"where a turn of {spread.p50:.2f} ms goes (mean per turn, with a word of ana before it):"]
    lines.append(
        f"  {calls:.0f} model calls {model:.2f} ms, {sum(counts.values()) / times:.1f} trips to the store {store_ms:.2f} ms"
    )
    names = sorted(seconds, key=lambda one: -seconds[one])
    rows = (
        f"    {name:20} {counts[name] / times:5.1f} × {seconds[name] * 1000 / counts[name]:.2f} ms" for name in names
    )
    return [*lines, *rows]


async def _fsyncs(url: str) -> str:
    """Trips that grew the append-only file: with one client at a time, each is one fsync under `always`."""
    async with open_bench_store("always") as store:
        grown = GrowthLink(store.link)
        async with open_desk(over(grown), url) as desk:
            await asyncio.sleep(0.1)
            before = grown.grew
            turns = 5
            for _ in range(turns):
                await desk.turn()
            words = turns  # the word before each turn is a write of its own
            return f"fsyncs per turn (always; trips that grew the append-only file): {(grown.grew - before - words) / turns:.1f}"


class GrowthLink(TimedLink):
    """Counts the exchanges after which the append-only file is longer."""

    def __init__(self, link: Any) -> None:
        super().__init__(link, Stopwatch())
        self.grew = 0
        self._inner = link

    async def _exchange(self, commands: Any, **how: Any) -> list[Any]:
        before = await appended(self._inner)
        replies = await super()._exchange(commands, **how)
        self.grew += await appended(self._inner) > before
        return replies


async def _profiled(desk: Desk) -> str:
    profile = cProfile.Profile()
    profile.enable()
    await timed(desk.turn, 100)
    profile.disable()
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("cumulative").print_stats(70)
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(40)
    return text.getvalue()
