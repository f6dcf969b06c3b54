"""What else a call takes with it: how many resources, and which share of every group whose members vote. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bot.domain.calls import CallClass, Effect, Item
from bot.domain.estate import NO_TIMING, Machine, Timing

GROUP = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
READS = frozenset({CallClass.READ, CallClass.SENSITIVE_READ})
UNTOUCHED = frozenset({"create", "import", "move", "read", "output"})  # what these do, no member notices
PLACES = frozenset({"host", "vm"})
UNREADABLE = "The inventory cannot be read, so nobody knows which votes this takes"


class QuorumsFile(BaseModel):
    """policies/quorums.yaml as written."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    groups: list[GROUP] = []


@dataclass(frozen=True, slots=True)
class Share:
    """What a call touches of one voting group. `away` are in maintenance already, `through` is what holds the touched."""

    group: str
    members: int
    touched: tuple[str, ...]
    away: int = 0
    through: tuple[str, ...] = ()

    @property
    def left(self) -> int:
        return self.members - self.away - len(self.touched)

    @property
    def majority(self) -> int:
        return self.members // 2 + 1

    @property
    def percent(self) -> int:
        """Of the members, rounded up: a part is never called less than it is."""
        return -(-100 * len(self.touched) // self.members)

    @property
    def words(self) -> str:
        """As a card says it: "host holds 2 of 3 …", "the last … of three"."""
        names, count = ", ".join(self.touched), len(self.touched)
        if self.through:
            text = f"{', '.join(self.through)} holds {count} of {self.members} {self.group} ({names})"
        elif self.left == 0 and count == 1 and self.members > 1:
            return f"{names} is the last {self.group} of {self.members}: the others are in maintenance"
        else:
            text = f"{names}: {count} of {self.members} {self.group}"
        if self.left == 0:
            return f"{text}, none is left" if self.members > 1 else f"{text}, the only one"
        gone = f", {self.away} in maintenance" if self.away else ""
        kept = "a majority" if self.left >= self.majority else f"no majority, which is {self.majority}"
        return f"{text}{gone}: {self.left} left, {kept}"


@dataclass(frozen=True, slots=True)
class Blast:
    """The circumstances of a call, as policies and cards have them. `known` is false where the inventory is unreadable:
    then the worst counts.
    """

    resources: int = 0
    shares: tuple[Share, ...] = ()
    timing: Timing = NO_TIMING
    known: bool = True

    @property
    def quorum_share(self) -> int:
        return max((share.percent for share in self.shares), default=0) if self.known else 100

    @property
    def loses_quorum(self) -> bool:
        return not self.known or any(share.left < share.majority for share in self.shares)

    @property
    def last_of(self) -> frozenset[str]:
        """The groups of which nothing is left."""
        return frozenset(share.group for share in self.shares if share.left == 0)

    @property
    def lines(self) -> tuple[str, ...]:
        """What people rely on when they approve: it is looked at again before execution."""
        return tuple(share.words for share in self.shares) if self.known else (UNREADABLE,)


def blast_of(
    effect: Effect, machines: Sequence[Machine] | None, quorums: Sequence[str], away: frozenset[str], timing: Timing
) -> Blast:
    """`machines` None: unknown. Reads touch nothing."""
    resources = len({(item.action, item.name, item.where) for item in effect.items if _acts(item)})
    resources = max(resources, effect.create + effect.change + effect.destroy, len(set(effect.targets)))
    if effect.cls in READS:
        return Blast(timing=timing)
    if machines is None:
        return Blast(resources, timing=timing, known=not quorums)
    direct = _touched(effect)
    shares = [_share(group, machines, direct, away) for group in quorums]
    return Blast(resources, tuple(share for share in shares if share), timing)


def _acts(item: Item) -> bool:
    return item.action not in {"read", "output"}


def _touched(effect: Effect) -> frozenset[str]:
    """Names that the call acts on. A node that only holds what is planned is not among them."""
    items = {item.name for item in effect.items if item.action not in UNTOUCHED}
    kinds = PLACES if effect.items else PLACES | {"node"}
    return frozenset(items | {target.name for target in effect.targets if target.kind in kinds})


def _share(group: str, machines: Sequence[Machine], direct: frozenset[str], away: frozenset[str]) -> Share | None:
    members = [one for one in machines if group in one.groups]
    touched = [one for one in members if one.name in direct or (one.node and one.node in direct)]
    if not touched:
        return None
    gone = {one.name for one in members} & away - {one.name for one in touched}
    held = not any(one.name in direct for one in touched)
    holders = tuple(sorted({one.node for one in touched})) if held else ()
    return Share(group, len(members), tuple(sorted(one.name for one in touched)), len(gone), holders)
