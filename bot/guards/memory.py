"""What the guards of one mission remember, as text beside the mission's kept state: a worker that takes a mission over goes
on from there and reads no old log. Values of secrets are left out; what cannot be read is forgotten.
"""

from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from bot.domain.guarding import GuardName
from bot.domain.ids import EntryId
from bot.guards.roster import GUARDS, Seen, unseen

LONGEST = 200_000  # characters; more than that is forgotten rather than carried along
NEVER_WRITTEN = frozenset({"secret_leak"})


@dataclass(slots=True)
class Memory:
    """The guards after `ordinal` entries of the log, and how often each has seen something."""

    seen: Seen = field(default_factory=unseen)
    ordinal: int = 0
    count: Counter[GuardName] = field(default_factory=Counter[GuardName])


class Kept(BaseModel):
    """As written."""

    model_config = ConfigDict(extra="forbid")
    last: str
    ordinal: int
    count: dict[GuardName, int]
    states: dict[str, Any]


def dumped(memory: Memory) -> str:
    """The memory as JSON, "" where it is too long to be carried along."""
    states: dict[str, Any] = {
        guard.name: to_jsonable_python(state)
        for guard, state in zip(GUARDS, memory.seen.states, strict=True)
        if guard.name not in NEVER_WRITTEN and state != guard.start
    }
    kept = Kept(last=memory.seen.last, ordinal=memory.ordinal, count=dict(memory.count), states=states)
    text = kept.model_dump_json()
    return text if len(text) <= LONGEST else ""


def loaded(text: str) -> Memory | None:
    """The memory that `dumped` gave, or None where it is none of this version's."""
    if not text:
        return None
    try:
        kept = Kept.model_validate_json(text)
        states = tuple(
            _adapter(place).validate_python(kept.states[guard.name]) if guard.name in kept.states else guard.start
            for place, guard in enumerate(GUARDS)
        )
    except ValidationError:
        return None
    return Memory(Seen(states, EntryId(kept.last)), kept.ordinal, Counter(kept.count))


@cache
def _adapter(place: int) -> TypeAdapter[Any]:
    start: Any = GUARDS[place].start
    return TypeAdapter(start.__class__)
