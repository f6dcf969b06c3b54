"""How fast to call Slack: token buckets and the pauses that Slack asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.domain.ports import Clock


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls a second on average, and how many may come at once."""

    per_s: float
    burst: float


# Slack: one message a second and channel, short bursts tolerated; tier 3 is 50 a minute, tier 4 about 100
# (docs.slack.dev/apis/web-api/rate-limits). A little below, since other programs may share an app's budget.
RATES: Mapping[str, Rate] = {
    "chat.postMessage": Rate(1.0, 2),
    "chat.update": Rate(0.8, 8),
    "chat.postEphemeral": Rate(1.5, 10),
    "views.open": Rate(1.6, 30),
    "views.publish": Rate(1.6, 20),
    "edit": Rate(0.7, 1),  # of one message: nobody reads faster
}
ANY = Rate(0.8, 8)


@dataclass(slots=True)
class Pace:
    """Asks of a (kind, key): when may the next call be? Times are seconds since the epoch by the clock."""

    clock: Clock
    rates: Mapping[str, Rate] = field(default_factory=lambda: RATES)
    _levels: dict[tuple[str, str], tuple[float, float]] = field(
        default_factory=dict[tuple[str, str], tuple[float, float]]
    )
    _paused: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])

    def now(self) -> float:
        return self.clock.now().timestamp()

    def ready_at(self, kind: str, key: str) -> float:
        """The earliest time of the next call; 0.0 where it may be now."""
        rate = self.rates.get(kind, ANY)
        level = self._level(kind, key)
        free = self.now() + (1 - level) / rate.per_s if level < 1 else 0.0
        return max(free, self._paused.get((kind, key), 0.0))

    def take(self, kind: str, key: str) -> None:
        """A call is made now."""
        self._levels[kind, key] = (self._level(kind, key) - 1, self.now())

    def pause(self, kind: str, key: str, seconds: float) -> None:
        """Slack said to wait."""
        self._paused[kind, key] = max(self._paused.get((kind, key), 0.0), self.now() + seconds)

    def forget(self) -> None:
        """Drop what is full again, so that a long life does not fill memory."""
        now = self.now()
        self._levels = {k: v for k, v in self._levels.items() if self._level(*k) < self.rates.get(k[0], ANY).burst}
        self._paused = {k: until for k, until in self._paused.items() if until > now}

    def _level(self, kind: str, key: str) -> float:
        rate = self.rates.get(kind, ANY)
        level, since = self._levels.get((kind, key), (rate.burst, self.now()))
        return min(rate.burst, level + (self.now() - since) * rate.per_s)
