"""Evidence of ended missions is probed again on a schedule, once for all workers, and only where it may have grown old."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain.contract import Criterion
from bot.domain.ids import EntryId, MissionId
from bot.domain.log import Logged
from bot.domain.state import Mission
from bot.rounds import Rounds
from bot.verifying import Reprobed
from tests.core_fakes import STARTED, folded
from tests.fakes import NOW, FakeClock
from tests.tool_house import MemoryLocks

DAY = timedelta(days=1)


def mission(number: str, ended: str, at: datetime | None) -> Mission:
    return replace(folded(*STARTED), id=MissionId(number), ended=ended, ended_at=at)


class Shelf:
    """Missions as the journal keeps them; none of them has grown since."""

    def __init__(self, *states: Mission) -> None:
        self.states = {state.id: state for state in states}

    async def missions(self, *, running: bool) -> Sequence[MissionId]:
        assert not running
        return tuple(self.states)

    async def kept(self, mission: MissionId) -> Mission | None:
        return self.states[mission]

    async def read(self, mission: MissionId, after: EntryId = EntryId("0-0")) -> Sequence[Logged]:
        assert after == self.states[mission].last
        return ()


class Prober:
    def __init__(self) -> None:
        self.looked: list[str] = []

    async def verify(self, state: Mission) -> Sequence[Reprobed]:
        self.looked.append(state.id)
        return (Reprobed(Criterion(1, "it runs", "", ""), "holds", "it runs"),)


def house(clock: FakeClock, every_h: float = 24.0) -> tuple[Prober, Rounds, Rounds]:
    """Two workers over one store."""
    prober, locks = Prober(), MemoryLocks()
    old, young = NOW - 2 * DAY, NOW - timedelta(hours=1)
    shelf = Shelf(
        mission("1", "done", old), mission("2", "partial", old), mission("3", "done", young), mission("4", "stopped", old),
        mission("5", "", None),
    )  # fmt: skip
    one, other = (Rounds(prober, shelf, locks, clock, every_h) for _ in range(2))
    return prober, one, other


async def test_rule_8_ended_missions_are_looked_at_once_a_round_by_one_worker() -> None:
    clock = FakeClock()
    prober, one, other = house(clock)
    assert len(await one.go()) == 2
    assert await other.go() == ()
    assert await one.go() == ()
    assert prober.looked == ["1", "2"], "neither a young one, nor a stopped one, nor one that runs"
    clock.move(DAY.total_seconds())
    assert len(await other.go()) == 3
    assert prober.looked == ["1", "2", "1", "2", "3"]


async def test_rule_8_another_schedule_neither_ends_the_rounds_nor_makes_one_too_many() -> None:
    clock = FakeClock()
    prober, hourly, _ = house(clock, 1)
    weekly = Rounds(prober, hourly._journal, hourly._locks, clock, 7 * 24.0)  # pyright: ignore[reportPrivateUsage]
    assert len(await hourly.go()) == 3
    assert await weekly.go() == (), "its week began before the last round"
    clock.move(8 * 24 * 3600)
    assert await weekly.go() != ()
    assert await weekly.go() == ()
    clock.move(3600)
    assert await hourly.go() != ()


async def test_without_a_schedule_nothing_is_looked_at() -> None:
    prober, one, _ = house(FakeClock(), every_h=0.0)
    stop = asyncio.Event()
    running = asyncio.create_task(one.run(stop))
    await asyncio.sleep(0)
    stop.set()
    await running
    assert prober.looked == []
