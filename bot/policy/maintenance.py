"""When changes fit and what is in maintenance: policies/maintenance.yaml. What cannot be read is closed, and nothing is covered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo
from fnmatch import fnmatchcase
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from bot.domain.calls import Target
from bot.domain.estate import Machine, Timing
from bot.policy.environments import NAME, Kind
from bot.policy.problems import PolicyError

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
CLOCK = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class WindowEntry(BaseModel):
    """`to` before `from` is a window over midnight, counted from the day on which it opens."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    days: Annotated[list[Day], Field(min_length=1)]
    opens: CLOCK = Field(alias="from")
    closes: CLOCK = Field(alias="to")


class MaintenanceEntry(BaseModel):
    """`name` may have stars. Without `until` it stands until the line is removed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Kind
    name: Annotated[str, Field(min_length=1, max_length=200)]
    until: AwareDatetime | None = None
    reason: str = ""


class MaintenanceFile(BaseModel):
    """policies/maintenance.yaml as written."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    timezone: str = "UTC"
    windows: dict[NAME, Annotated[list[WindowEntry], Field(min_length=1)]] = {}
    maintenance: list[MaintenanceEntry] = []

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            _zone(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"there is no time zone {name!r}; write one like UTC or Europe/Berlin") from None
        return name

    def typed(self) -> "Maintenance":
        windows = {
            environment: tuple(Span(tuple(one.days), clock_of(one.opens), clock_of(one.closes)) for one in entries)
            for environment, entries in self.windows.items()
        }
        modes = tuple(Mode(one.kind, one.name, one.until, one.reason) for one in self.maintenance)
        return Maintenance(_zone(self.timezone), self.timezone, windows, modes)


@dataclass(frozen=True, slots=True)
class Span:
    """A window of every week, in the zone's own time. Opens on `days`; equal ends are a whole day."""

    days: tuple[Day, ...]
    opens: time
    closes: time

    def holds(self, local: datetime) -> bool:
        today, yesterday = DAYS[local.weekday()], DAYS[(local.weekday() - 1) % 7]
        at = local.time().replace(tzinfo=None)
        if self.opens < self.closes:
            return today in self.days and self.opens <= at < self.closes
        return (today in self.days and at >= self.opens) or (yesterday in self.days and at < self.closes)


@dataclass(frozen=True, slots=True)
class Mode:
    """One thing in maintenance."""

    kind: str
    name: str
    until: datetime | None
    reason: str

    def covers(self, kind: str, name: str, now: datetime) -> bool:
        live = self.until is None or now < self.until
        return live and kind == self.kind and fnmatchcase(name.casefold(), self.name.casefold())


@dataclass(frozen=True, slots=True)
class Maintenance:
    """The Calendar port over one reading of the file."""

    zone: tzinfo = UTC
    zone_name: str = "UTC"
    windows: Mapping[str, tuple[Span, ...]] = field(default_factory=dict[str, "tuple[Span, ...]"])
    modes: tuple[Mode, ...] = ()

    def timing(self, environment: str, targets: Sequence[Target], now: datetime) -> Timing:
        """How a call that touches `targets` in `environment` fits at `now`."""
        covers = [self._mode(target.kind, target.name, now) for target in targets]
        covered = bool(covers) and all(covers)
        words = [f"In maintenance: {_named(mode)}" for mode in dict.fromkeys(m for m in covers if m) if covered]
        spans = self.windows.get(environment, ())
        if not spans:
            return Timing("none", covered, "; ".join(words))
        local = now.astimezone(self.zone)
        if any(span.holds(local) for span in spans):
            return Timing("open", covered, "; ".join(words))
        words.insert(0, f"Outside the change windows of {environment}{self._next(spans, local)}")
        return Timing("closed", covered, "; ".join(words))

    def away(self, machines: Sequence[Machine], now: datetime) -> frozenset[str]:
        return frozenset(
            one.name
            for one in machines
            if any(self._mode(kind, one.name, now) for kind in ("host", "vm", "node"))
            or (one.node and any(self._mode(kind, one.node, now) for kind in ("node", "host")))
        )

    def _mode(self, kind: str, name: str, now: datetime) -> Mode | None:
        return next((mode for mode in self.modes if mode.covers(kind, name, now)), None)

    def _next(self, spans: Sequence[Span], local: datetime) -> str:
        """When the next one opens, within a week."""
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        opens = [
            datetime.combine(day, span.opens, self.zone)
            for span in spans
            for day in (midnight + timedelta(days=ahead) for ahead in range(8))
            if DAYS[day.weekday()] in span.days
        ]
        later = [at for at in opens if at.astimezone(UTC) > local.astimezone(UTC)]
        return f"; the next opens {min(later):%a %H:%M} {self.zone_name}" if later else ""


class LiveCalendar:
    """Reads the file at each question. A broken file is a closed window and covers nothing: doubt never opens a door."""

    def __init__(self, read: Callable[[], Maintenance]) -> None:
        """`read` raises PolicyError."""
        self._read = read

    def timing(self, environment: str, targets: Sequence[Target], now: datetime) -> Timing:
        try:
            return self._read().timing(environment, targets, now)
        except PolicyError as error:
            return Timing("closed", words=f"The calendar cannot be read, so every window counts as closed: {error}")

    def away(self, machines: Sequence[Machine], now: datetime) -> frozenset[str]:
        try:
            return self._read().away(machines, now)
        except PolicyError:
            return frozenset(one.name for one in machines)


def _zone(name: str) -> tzinfo:
    """UTC needs no zone files, which a small image may not have."""
    return UTC if name == "UTC" else ZoneInfo(name)


def clock_of(text: str) -> time:
    return time.fromisoformat(text)


def _named(mode: Mode) -> str:
    until = f" until {mode.until:%Y-%m-%d %H:%M %Z}" if mode.until else ""
    return f"{mode.kind} {mode.name}{until}" + (f" ({mode.reason})" if mode.reason else "")
