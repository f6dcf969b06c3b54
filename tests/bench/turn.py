"""A whole turn with a model that answers at once: two model calls, one tool call, with log, gate and audit on.

The reference makes the same two requests (recorded from ours) with the plain SDK against the same server, and runs the
same tool as a function.
"""

import asyncio
import contextlib
import cProfile
import itertools
import pstats
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from openai import AsyncOpenAI

from bot.domain import log
from bot.domain.model import ModelRequest
from bot.domain.ports import Commit, Scope
from bot.domain.state import Mission
from bot.llm.models import LanguageModels
from bot.llm.openai import OpenAi
from bot.llm.prices import load_prices
from bot.llm.provider import Endpoint
from bot.mission import fold
from bot.router import next_wake
from bot.store.store import Store, over
from bot.turn import LaneWatch
from tests.bench.figures import Aim, Report, alternating, timed
from tests.bench.house import ANA, ARCHITECT, House, open_house
from tests.bench.missions import Past, hold, lived, state_of
from tests.bench.processes import ROOT, appended, open_bench_store, server
from tests.bench.trips import Stopwatch, TimedLink, TimedProvider
from tests.fakes import FakeTool, FakeWatch, call

PAST = 100  # log entries before the first turn
MODEL = "openai:gpt-5-mini"


async def run(*, quick: bool = False, profile: bool = False) -> Report:
    """With fsync off for the aim, then as it is shipped, then always."""
    times = 5 if quick else 200
    report = Report("turn", "the same two requests on the plain SDK, same server; the tool as a function")
    with server("tests.bench.model_stub") as facts:
        for fsync in ("no", "everysec", "always"):
            async with open_bench_store(fsync) as store, _desk(store, facts["url"]) as desk:
                rounds = 1 if quick else 5
                ours, plain = await alternating(desk.turn, desk.plain, times, rounds)
                row = report.add(f"turn, appendfsync {fsync}", ours, plain)
                report.sent, report.kept = report.sent + desk.turns, report.kept + await desk.spoken()
                if fsync == "no":
                    report.aims.append(Aim("turn against the plain SDK, fsync off, p50", row.ratio or 0.0, 1.2))
                    report.notes += await _where(desk, max(3, times // 4))
                    report.notes += await _under_load(desk, 4 if quick else 60)
                if fsync == "always":
                    report.notes.append(f"fsyncs per turn under appendfsync always: {await _fsyncs(desk)}")
                if profile and fsync == "no":
                    report.notes.append(await _profiled(desk))
    return report


@dataclass(slots=True)
class _Recorder:
    """The requests of the last turn as the SDK got them."""

    provider: OpenAi
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    title: str = "OpenAI"

    async def complete(self, model: str, request: ModelRequest) -> Any:
        self.bodies.append(self.provider._parameters(model, request))  # pyright: ignore[reportPrivateUsage] # the reference sends the same
        return await self.provider.complete(model, request)

    async def models(self) -> tuple[str, ...]:
        return await self.provider.models()

    async def close(self) -> None:
        await self.provider.close()


class Desk:
    """One mission whose lane is held: each `turn` is a word of ana and the turn it leads to."""

    def __init__(self, house: House, past: Past, watch: LaneWatch, token: Any, client: AsyncOpenAI) -> None:
        self.house = house
        self.past = past
        self.watch = watch
        self.turns = 0
        self.bodies: list[dict[str, Any]] = []
        self.state: Mission | None = None
        self._token = token
        self._client = client
        self._numbers = itertools.count()

    async def heard(self) -> Mission:
        """The mission after one more word; outside of what is measured."""
        self.state = self.state or await state_of(self.house.store, self.past.id)
        said = log.HumanSaid(ANA, "How far are you?", ARCHITECT, f"1700000200.{next(self._numbers):06d}")
        journal = self.house.store.journal
        self.state = fold(await journal.commit(self._token, self.past.id, Commit(entries=(said,))), self.state)
        return self.state

    async def turn(self) -> None:
        state = self.state if self.state and self.state.wakes else await self.heard()
        self.state = await self.house.turns.take(state, next_wake(state), self._token, self.watch)
        self.turns += 1

    async def plain(self) -> None:
        tool = self.house.tools["proxmox_read"]
        assert isinstance(tool, FakeTool)
        for number, body in enumerate(self.bodies):
            await self._client.chat.completions.create(**body)
            if number == 0:
                proposed = call("proxmox_read", ARCHITECT, what="nodes")
                assert self.state is not None
                scope = Scope(self.state, ARCHITECT, 1, self.house.clock.now())
                prepared: Any = await tool.prepare(proposed, {}, scope)
                await tool.run(prepared, {}, scope, FakeWatch())

    async def spoken(self) -> int:
        """Turns that this desk took and that the log has, with their end."""
        entries = await self.house.store.journal.read(self.past.id)
        ended = [one.entry for one in entries if isinstance(one.entry, log.TurnEnded)]
        return len(ended) - sum(1 for one in ended if one.how != "spoke") - _earlier(self.past)


def _earlier(past: Past) -> int:
    """Turns in the past itself: nine entries each, after two."""
    return (past.entries - 2 + 1) // 9


@contextlib.asynccontextmanager
async def _desk(store: Store, url: str, watch: Stopwatch | None = None) -> AsyncGenerator[Desk]:
    recorder = _Recorder(OpenAi(Endpoint(url, "bench")))
    prices = load_prices(ROOT / "policies" / "prices.yaml")
    provider = recorder if watch is None else TimedProvider(recorder, watch)
    models = LanguageModels(
        {"openai": provider}, prices, budget=store.budget, clock=_clock(), per_minute=10**9
    )
    async with open_house(store, models) as house, AsyncOpenAI(api_key="bench", base_url=url, max_retries=0) as client:
        past = await lived(store, 1, PAST)
        token = await hold(store, past.thread.lane)
        lane_watch = LaneWatch(token, store.leases, store.outbox, 60.0, asyncio.Event())
        async with lane_watch.hold():
            desk = Desk(house, past, lane_watch, token, client)
            await desk.turn()  # imports, connections, scripts
            desk.bodies = recorder.bodies[:2]
            await desk.turn()
            yield desk
            await models.close()
