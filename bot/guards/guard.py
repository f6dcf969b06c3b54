"""What a guard is: a small frozen state and a pure step over the mission's log, entry by entry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from bot.domain import log
from bot.domain.calls import ToolResult
from bot.domain.guarding import Detection, GuardName
from bot.domain.ids import Json
from bot.domain.log import Logged

S = TypeVar("S")
Found = tuple[Detection, ...]
NOTHING: Found = ()
LONGEST = 40_000  # characters of one text that a guard looks at: half from each end
OWN_WORDS = frozenset(
    {"plan", "hand_off", "ask_human", "record_verdict", "record_evidence", "read_artifact"}
)  # the mission's log only
WRITES = frozenset({"workspace_write", "workspace_patch"})  # the mission's own branch


@dataclass(frozen=True, slots=True)
class Guard(Generic[S]):
    """`step` gets the entries of the classes in `reads`, oldest first, and answers with the next state and what it saw.
    It calls nothing, keeps no more than a bounded number of things, and its answer depends on nothing but its arguments.
    """

    name: GuardName
    reads: tuple[type, ...]
    start: S
    step: Callable[[S, Logged], tuple[S, Found]]


def acted(entry: object) -> bool:
    """True for a result that changed code or the world, and for a new plan: something is different now."""
    match entry:
        case log.ToolReturned(result=ToolResult() as result):
            return result.status == "ok" and (result.changed or result.tool in WRITES)
        case log.Planned():
            return True
        case _:
            return False


def seen(text: str) -> str:
    """The part of a text that is looked at."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}\n{text[-LONGEST // 2 :]}"


def strings(value: Json) -> list[str]:
    """Every text in a call's arguments."""
    match value:
        case str():
            return [value]
        case Mapping():
            return [text for item in value.values() for text in strings(item)]
        case list() | tuple():
            return [text for item in value for text in strings(item)]
        case _:
            return []


def kept(known: Mapping[str, S], most: int = 256) -> dict[str, S]:
    """The newest `most` of `known`."""
    return dict(known) if len(known) <= most else dict(list(known.items())[-most:])
