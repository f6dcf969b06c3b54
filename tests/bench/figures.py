"""Figures and their references: timing, spreads, and the table that `make bench` prints. Never an assertion."""

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Spread:
    """Durations of one measured thing, in milliseconds."""

    p50: float
    p99: float
    count: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Spread":
        rows = sorted(seconds)
        if not rows:
            return cls(0.0, 0.0, 0)
        return cls(statistics.median(rows) * 1000, rows[min(len(rows) - 1, int(len(rows) * 0.99))] * 1000, len(rows))

    def __str__(self) -> str:
        return f"{self.p50:8.2f} /{self.p99:8.2f}"


@dataclass(frozen=True, slots=True)
class Row:
    """A figure beside its reference from the same run."""

    what: str
    measured: Spread
    reference: Spread | None = None

    @property
    def ratio(self) -> float | None:
        return self.measured.p50 / self.reference.p50 if self.reference and self.reference.p50 else None


@dataclass(frozen=True, slots=True)
class Aim:
    """What the issue asks for. `value` and `most` are in `unit`."""

    what: str
    value: float
    most: float
    unit: str = "×"

    @property
    def met(self) -> bool:
        return self.value <= self.most

    def __str__(self) -> str:
        said = "met" if self.met else f"short by {self.value - self.most:.2f} {self.unit}"
        return f"aim {self.what} ≤ {self.most:g} {self.unit}: {self.value:.2f} {self.unit}, {said}"


@dataclass(slots=True)
class Report:
    """What one bench found. `sent` and `kept` count what must not be lost."""

    name: str
    reference: str
    rows: list[Row] = field(default_factory=list[Row])
    aims: list[Aim] = field(default_factory=list[Aim])
    notes: list[str] = field(default_factory=list[str])
    sent: int = 0
    kept: int = 0

    @property
    def lost(self) -> int:
        return self.sent - self.kept

    def add(self, what: str, measured: Sequence[float], reference: Sequence[float] | None = None) -> Row:
        row = Row(what, Spread.of(measured), None if reference is None else Spread.of(reference))
        self.rows.append(row)
        return row

    def __str__(self) -> str:
        wide = max([len(row.what) for row in self.rows] or [20])
        lines = [f"## {self.name}", f"reference: {self.reference}"]
        lines.append(f"{'p50 / p99 in ms':{wide}}  {'measured':>18}  {'reference':>18}  {'ratio':>6}  {'n':>6}")
        for row in self.rows:
            ratio = "" if row.ratio is None else f"{row.ratio:.2f}×"
            beside = "" if row.reference is None else str(row.reference)
            lines.append(f"{row.what:{wide}}  {row.measured!s:>18}  {beside:>18}  {ratio:>6}  {row.measured.count:>6}")
        if self.sent:
            lines.append(f"sent {self.sent}, in the store {self.kept}, lost {self.lost}")
        return "\n".join([*lines, *self.notes, *(str(aim) for aim in self.aims), ""])


Work = Callable[[], Awaitable[float | None]]


async def timed(work: Work, times: int) -> list[float]:
    """Seconds of each of `times` runs, one after the other; as `work` says where it holds the watch itself."""
    found: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        own = await work()
        found.append(time.perf_counter() - began if own is None else own)
    return found


async def alternating(one: Work, other: Work, times: int, rounds: int = 5) -> tuple[list[float], list[float]]:
    """Both in turn, in several rounds, so that a neighbour's load on this machine meets both alike."""
    first: list[float] = []
    second: list[float] = []
    each = max(1, times // rounds)
    await timed(one, min(3, each))
    await timed(other, min(3, each))
    for _ in range(rounds):
        first += await timed(one, each)
        second += await timed(other, each)
    return first, second
