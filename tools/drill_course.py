"""A drill under way: its pace, what is away, and what the probes saw in each machine's turn."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from bot.domain.ids import Json
from bot.domain.ports import Watch
from tools.drill_probes import Ask, Meter, joined, keep_asking
from tools.proxmox_power import Vm, What
from tools.trace import Trace

TELL_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds, and answers in a row. `restore_s`: how long giving back is tried; `back_s`: until every probe
    answers again.
    """

    every_s: float = 0.25
    look_s: float = 0.3
    steady: int = 6
    restore_s: float = 180.0
    again_s: float = 5.0
    back_s: float = 240.0
    going_s: float = 60.0  # how long a machine may take to be away once it was told to go
    looks: int = 3  # at a machine whose going is in doubt, before it counts as one that stays


PACE: Final = Pace()


@dataclass
class Round:
    """One target's turn. `going` begins when it is told to go, `during` when it is seen to be away."""

    vm: Vm
    before: dict[str, Meter]
    going: dict[str, Meter]
    during: dict[str, Meter]
    returning: dict[str, Meter]
    after: dict[str, Meter]
    off_s: float = 0.0
    back_s: float = 0.0

    def outage_s(self, name: str) -> float:
        """The longest time without an answer, from its going to the end of its return."""
        return max(one[name].longest_s for one in (self.going, self.during, self.returning, self.after))

    @property
    def facts(self) -> dict[str, Json]:
        probes: list[Json] = [
            {
                "probe": name, "before": self.before[name].answered, **self.during[name].facts,
                "after": self.after[name].answered, "outage_s": round(self.outage_s(name), 1),
            }
            for name in self.during
        ]  # fmt: skip
        return {"target": self.vm.name, "off_s": round(self.off_s), "back_s": round(self.back_s), "probes": probes}

    @property
    def line(self) -> str:
        seen = "; ".join(
            f"{name} {meter.answered:,} of {meter.asked:,}, longest away {self.outage_s(name):.1f} s"
            for name, meter in self.during.items()
        )
        return f"{self.vm.name} away {self.off_s:.0f} s: {seen}. Everything back after {self.back_s:.0f} s."


@dataclass
class Course:
    """A drill under way: what is away now, and the rounds so far."""

    trace: Trace
    what: What
    away: list[Vm] = field(default_factory=list[Vm])
    taking: "asyncio.Future[None] | None" = None  # a thread that cannot be called back
    giving: "asyncio.Future[str] | None" = None  # there is one at a time
    doubted: bool = False  # told to go, and nobody knows whether it will
    rounds: list[Round] = field(default_factory=list[Round])

    def note(self) -> None:
        self.trace.note({"what": self.what, "away": [asdict(one) for one in self.away]})


@dataclass(frozen=True, slots=True)
class Asking:
    """The probes of a drill, and who watches it."""

    probes: Mapping[str, Ask]
    pace: Pace
    watch: Watch

    def fresh(self) -> dict[str, Meter]:
        return {name: Meter() for name in self.probes}

    def steady(self, meters: Mapping[str, Meter]) -> bool:
        return all(one.streak >= self.pace.steady for one in meters.values())

    async def phase(
        self, words: str, limit_s: float, meters: dict[str, Meter], until: Callable[[], bool] | None = None
    ) -> dict[str, Meter]:
        """Ask every probe into its meter until the time is over, STOP, or `until`; without one: until all are steady."""
        every = self.pace.every_s
        asking = [asyncio.ensure_future(keep_asking(ask, meters[name], every)) for name, ask in self.probes.items()]
        began, told = time.monotonic(), -TELL_S
        try:
            while not over(self.watch) and (passed := time.monotonic() - began) < limit_s:
                if until() if until is not None else self.steady(meters):
                    break
                if passed - told >= TELL_S:
                    told = passed
                    seen = (f"{name} {meter.words}" for name, meter in meters.items())
                    await self.watch.progress("Fault drill", f"{words} {passed:.0f} s", *seen)
                await asyncio.sleep(self.pace.look_s)
        finally:
            for one in asking:
                one.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        return meters


def facts_of(rounds: Sequence[Round], *, restored: bool) -> dict[str, Json]:
    """For evidence: `restored`, `probes[]` over all targets (name, asked, answered, share, outage_s), `targets[]`."""
    probes: list[Json] = []
    for name in rounds[0].during if rounds else ():
        while_off = joined([one.during[name] for one in rounds])
        probes.append(
            {"probe": name, **while_off.facts, "outage_s": round(max(one.outage_s(name) for one in rounds), 1)}
        )
    return {"restored": restored, "targets": [one.facts for one in rounds], "probes": probes, "orphans": []}


def following(meters: Mapping[str, Meter]) -> dict[str, Meter]:
    return {name: one.next() for name, one in meters.items()}


def over(watch: Watch) -> bool:
    return watch.stopping() > 0 or not watch.alive()
