"""Where a turn's time goes: every trip to the store by the script it runs, and what else is worth a stopwatch."""

import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from bot.store import approvals_lua, audit, budget, inbox, inbox_lua, journal, leases, outbox
from bot.store.connection import Link, Script

T = TypeVar("T")
MODULES = (approvals_lua, audit, budget, inbox, inbox_lua, journal, leases, outbox)
NAMES = {
    value.sha: f"{module.__name__.rpartition('.')[2].removesuffix('_lua')}.{name.strip('_').lower()}"
    for module in MODULES
    for name, value in vars(module).items()
    if isinstance(value, Script)
}


class Stopwatch:
    """Seconds and counts by name."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.counts: Counter[str] = Counter()
        self.laps: list[tuple[str, float]] = []

    async def lap(self, name: str, work: Awaitable[T]) -> T:
        began = time.perf_counter()
        try:
            return await work
        finally:
            took = time.perf_counter() - began
            self.laps.append((name, took))
            self.seconds[name] += took
            self.counts[name] += 1

    def clear(self) -> None:
        self.seconds.clear()
        self.counts.clear()
        self.laps.clear()


class TimedLink(Link):
    """A link that writes down every exchange with the server; over the pool of another."""

    def __init__(self, link: Link, watch: Stopwatch) -> None:
        super().__init__(link._pool, link.prefix, where=link.where)  # pyright: ignore[reportPrivateUsage] # the bench looks inside
        self.watch = watch

    async def _exchange(self, commands: Sequence[Sequence[Any]], **how: Any) -> list[Any]:
        first = commands[0]
        name = NAMES.get(str(first[1]), "") if first[0] == "EVALSHA" else str(first[0])
        return await self.watch.lap(name or str(first[0]), super()._exchange(commands, **how))
