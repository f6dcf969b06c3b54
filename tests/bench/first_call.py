"""Inbox → first model call: a person's message is put, a worker takes the lane, loads the mission, starts the turn, asks.

The reference is a bare consumer of a stream in the same process and on the same server: XADD, XREADGROUP, called.
"""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field

from bot.agents.context import build
from bot.domain.ids import PersonaName
from bot.domain.inbound import Said
from bot.domain.model import ModelReply, ModelRequest, Usage
from bot.engine import Engine
from bot.store.store import Store, over
from tests.bench.figures import Aim, Report, Spread
from tests.bench.house import ANA, ARCHITECT, House, open_house
from tests.bench.missions import Past, lived, state_of
from tests.bench.processes import another_link, open_bench_store, soon
from tests.bench.trips import Stopwatch, TimedLink

SHORT, LONG = 100, 20_000


@dataclass(slots=True)
class Instant:
    """A model that answers at once and notes when it was asked, and what `watch` had counted by then."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    at: float = 0.0
    watch: Stopwatch = field(default_factory=Stopwatch)
    trips: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])

    async def ask(self, request: ModelRequest) -> ModelReply:
        self.at = time.perf_counter()
        if not self.asked.is_set():
            self.trips = list(self.watch.laps)
        self.asked.set()
        return ModelReply(request.model, "", "Everything is as planned.", (), "end", Usage(900, 12), 0.0)


async def run(*, quick: bool = False, profile: bool = False) -> Report:
    report = Report("first-call", "XADD and a consumer that waits in XREADGROUP, same server, same process")
    times = 5 if quick else 150
    long = 400 if quick else LONG
    model = Instant()
    async with open_bench_store("everysec") as store, open_house(store, model) as house, _working(house) as engine:
        few, many = await lived(store, 1, SHORT), await lived(store, 2, long)
        bare = await _bare(store, times)
        builds: list[float] = []
        samples: dict[tuple[str, int], list[float]] = {}
        for _ in range(1 if quick else 5):  # rounds, so that a neighbour's load meets every row
            for past in (few, many):
                for how, forget in (("warm", None), ("cold", lambda: _forget(engine, store))):
                    found = await _calls(house, model, past, times // (1 if quick else 5), forget)
                    samples.setdefault((how, past.entries), []).extend(found)
                    report.sent += len(found)
            bare += await _bare(store, times)
        for past in (few, many):
            builds = await _build_time(house, past, times)
            report.notes.append(
                f"context build at {past.entries} entries: {Spread.of(builds).p50:.2f} ms, within the figures"
            )
        report.kept = report.sent  # each was waited for; one that got lost would have ended the run
    report.notes += await _where(3 if quick else 40)
    for (how, entries), found in samples.items():
        report.add(f"{how} worker, {entries} log entries", found, bare)
    _aims(
        report,
        {key: Spread.of(found).p50 for key, found in samples.items()},
        Spread.of(bare).p50,
        Spread.of(builds).p50,
    )
    return report


def _aims(report: Report, found: dict[tuple[str, int], float], bare: float, build_ms: float) -> None:
    short, long = sorted({entries for _, entries in found})
    report.aims.append(Aim("warm first call without the context build", (found["warm", short] - build_ms) / bare, 1.5))
    for how in ("warm", "cold"):
        more = 100 * (found[how, long] / found[how, short] - 1)
        report.aims.append(Aim(f"{how}: {long} entries slower than {short} by", more, 10.0, "%"))


async def _where(times: int) -> list[str]:
    """The trips to the store between the put and the first call, in their order, with the median of each."""
    model = Instant()
    samples: list[list[tuple[str, float]]] = []
    async with (
        open_bench_store("everysec") as store,
        open_house(over(TimedLink(store.link, model.watch)), model) as house,
        _working(house),
    ):
        past = await lived(store, 1, SHORT)
        for _ in range(times):
            model.watch.clear()
            await _calls(house, model, past, 1, None)
            samples.append(model.trips)
    usual = statistics.multimode(tuple(name for name, _ in trips) for trips in samples)[0]
    like = [trips for trips in samples if tuple(name for name, _ in trips) == usual]
    each = [f"{name} {statistics.median(trips[at][1] for trips in like) * 1000:.2f}" for at, name in enumerate(usual)]
    return [f"{len(usual)} trips to the store from the put to the first call, ms: {', '.join(each)}"]


@contextlib.asynccontextmanager
async def _working(house: House) -> AsyncGenerator[Engine]:
    engine, stop = house.engine(), asyncio.Event()
    running = asyncio.create_task(engine.run(stop))
    try:
        yield engine
    finally:
        stop.set()
        await running


def _forget(engine: Engine, store: Store) -> None:
    """What a worker that never saw the mission knows of it."""
    engine._states.clear()  # pyright: ignore[reportPrivateUsage] # a fresh process for each sample would measure imports
    store.journal._heads.clear()  # pyright: ignore[reportPrivateUsage] # as above


async def _calls(
    house: House, model: Instant, past: Past, times: int, forget: Callable[[], None] | None
) -> list[float]:
    """Seconds from the put to the model's first call, `times` messages one after the other."""
    found: list[float] = []
    inbox, lane = house.store.inbox, past.thread.lane
    for _ in range(times):
        await soon(_free(house.store, lane))
        if forget is not None:
            forget()
        model.asked.clear()
        stamp = f"{time.time():.6f}"
        said = Said(past.thread, stamp, ANA, f"@Architect how far are you? {stamp}", ("architect",), in_thread=True)
        began = time.perf_counter()
        await inbox.put_said(said, delay_s=0.0)
        async with asyncio.timeout(30):
            await model.asked.wait()
        found.append(model.at - began)
    await soon(_free(house.store, lane))
    return found


def _free(store: Store, lane: str) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return not await store.link.read("HEXISTS", f"{store.link.prefix}held", lane)

    return look


async def _bare(store: Store, times: int) -> list[float]:
    """Seconds from XADD to the consumer's code, over two pools as gateway and worker have."""
    writer, stream, group = await another_link(store), f"{store.link.prefix}bare", "bare"
    await writer.write("DEL", stream)
    await writer.write("XGROUP", "CREATE", stream, group, "0", "MKSTREAM")
    reached: asyncio.Queue[float] = asyncio.Queue()

    async def consume() -> None:
        for _ in range(times):
            command = ("XREADGROUP", "GROUP", group, "one", "COUNT", 1, "BLOCK", 5000, "STREAMS", stream, ">")
            reply = await store.link.wait(*command, seconds=5.0)
            reached.put_nowait(time.perf_counter())
            await store.link.write("XACK", stream, group, reply[0][1][0][0])

    consumer = asyncio.create_task(consume())
    found: list[float] = []
    for number in range(times):
        await asyncio.sleep(0.005)
        began = time.perf_counter()
        await writer.write("XADD", stream, "*", "item", f"how far are you? {number}")
        found.append(await reached.get() - began)
    await consumer
    await writer.aclose()
    return found


async def _build_time(house: House, past: Past, times: int) -> list[float]:
    state = await state_of(house.store, past.id)
    persona = house.personas[PersonaName(ARCHITECT)]
    found: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        build(state, persona)
        found.append(time.perf_counter() - began)
    return found
