"""Reasoning or tool output that acts as speech: cut out of an answer, the cause of somebody's turn, or known to an agent
that nobody told.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.ids import EntryId, PersonaName
from bot.domain.log import Logged
from bot.guards.guard import NOTHING, Found, Guard, kept, seen

PRIVATE_KEPT = 100
NAMES_KEPT = 400
NAME = re.compile(r"(?<![\w/.])[A-Z][A-Z0-9]+(?:_[A-Za-z0-9]+)+(?![\w/.])")  # of variables, as results show them
LINE = 500  # characters
TOLD = 3  # such names, from nobody's words


@dataclass(frozen=True, slots=True)
class Private:
    """`entries` are the newest that nobody but their own agent may hear; `shown` are names that only a result of one agent
    has shown, with that agent and the entry; `said` are those that somebody said since.
    """

    entries: tuple[EntryId, ...] = ()
    shown: Mapping[str, tuple[PersonaName, EntryId]] = field(default_factory=dict[str, tuple[PersonaName, EntryId]])
    said: Mapping[str, None] = field(default_factory=dict[str, None])


def step(state: Private, logged: Logged) -> tuple[Private, Found]:
    match logged.entry:
        case log.ModelReplied(persona=by, leaks=leaks):
            text = f"{by} wrote its reasoning into its answer"
            found = (Detection("think_leak", "leak", by, logged.id, logged.id, text),) if leaks else NOTHING
            return _behind(state, logged.id), found
        case log.ToolReturned(persona=by, result=result):
            state = _behind(state, logged.id)
            names = {name for name in _names(result.text) if name not in state.said}
            new = {name: (by, logged.id) for name in names if state.shown.get(name, (by,))[0] == by}
            both = {name for name in names if name not in new}  # two agents have looked: no secret between them
            shown = {name: old for name, old in state.shown.items() if name not in both}
            return (replace(state, shown=kept({**shown, **new}, NAMES_KEPT)) if names else state), NOTHING
        case log.TurnStarted(_, by, cause) if cause in state.entries:
            text = f"{by}'s turn began from what another agent thought or read, not from what it said"
            return state, (Detection("think_leak", "leak", by, EntryId(cause), logged.id, text),)
        case log.Spoke(_, by, text):
            return _spoken(state, by, _names(text), logged.id)
        case log.Planned() | log.VerdictRecorded() | log.EvidenceRecorded() | log.HandedOff() | log.Asked():
            return _spoken(state, PersonaName(""), _names(repr(logged.entry)), logged.id)[
                0
            ], NOTHING  # in every context
        case log.HumanSaid(text=text) | log.MissionOpened(request=text):
            return _spoken(state, PersonaName(""), _names(text), logged.id)[0], NOTHING
        case _:
            return state, NOTHING


def _spoken(state: Private, by: PersonaName, names: list[str], at: EntryId) -> tuple[Private, Found]:
    if not names:
        return state, NOTHING
    foreign = [(name, state.shown[name]) for name in dict.fromkeys(names) if name in state.shown]
    untold = [(name, origin) for name, (owner, origin) in foreign if owner != by]
    said = kept({**state.said, **dict.fromkeys(names)}, NAMES_KEPT)
    shown = {name: old for name, old in state.shown.items() if name not in said} if foreign else state.shown
    state = replace(state, said=said, shown=shown)
    if len(untold) < TOLD or not by:
        return state, NOTHING
    text = f"{by} speaks of {len(untold)} names that only another agent's results have shown"
    return state, (Detection("think_leak", "leak", by, untold[-1][1], at, text, tuple(n for n, _ in untold[:5])),)


def _names(text: str) -> list[str]:
    return [name for line in seen(text).splitlines() if "_" in line for name in NAME.findall(line[:LINE])]


def _behind(state: Private, at: EntryId) -> Private:
    return replace(state, entries=(*state.entries, at)[-PRIVATE_KEPT:])


GUARD = Guard(
    "think_leak",
    (
        log.ModelReplied, log.ToolReturned, log.TurnStarted, log.Spoke, log.HumanSaid, log.MissionOpened, log.Planned,
        log.VerdictRecorded, log.EvidenceRecorded, log.HandedOff, log.Asked,
    ),
    Private(),
    step,
)  # fmt: skip
