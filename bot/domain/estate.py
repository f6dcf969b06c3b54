"""What stands in the estate and depends on each other: machines, the groups they vote in, what holds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from bot.domain.calls import Target


@dataclass(frozen=True, slots=True)
class Machine:
    """One host of the inventory. `node` is what it runs on, "" where it stands by itself."""

    name: str
    groups: tuple[str, ...] = ()
    node: str = ""


class Inventory(Protocol):
    def machines(self, estate: str) -> Sequence[Machine] | None:
        """Every host that is known, or None where that cannot be read."""
        ...


Window = Literal["none", "open", "closed"]


@dataclass(frozen=True, slots=True)
class Timing:
    """How a call fits the calendar. `window` is "none" where its environment has no windows; `covered`: everything that
    it touches is in maintenance. `words` go on the card, "" where there is nothing to say.
    """

    window: Window = "none"
    covered: bool = False
    words: str = ""


NO_TIMING = Timing()


class Calendar(Protocol):
    """policies/maintenance.yaml, read again at each call."""

    def timing(self, environment: str, targets: Sequence[Target], now: datetime) -> Timing: ...

    def away(self, machines: Sequence[Machine], now: datetime) -> frozenset[str]:
        """Names of those that are in maintenance, or run on something that is."""
        ...
