"""Two agents hand work back and forth, and neither does anything with it."""

from dataclasses import dataclass

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.ids import EntryId, PersonaName
from bot.domain.log import Logged
from bot.guards.guard import NOTHING, OWN_WORDS, Found, Guard, acted

HAND_OFFS = 4  # there and back, twice
Pair = frozenset[PersonaName]


@dataclass(frozen=True, slots=True)
class Rally:
    """Hand-offs in a row between the same two agents. `looked` counts results since the last one."""

    pair: Pair = frozenset()
    at: tuple[EntryId, ...] = ()
    last: PersonaName = PersonaName("")
    tasks: tuple[str, ...] = ()


def step(state: Rally, logged: Logged) -> tuple[Rally, Found]:
    match logged.entry:
        case log.HandedOff(_, by, to, task):
            pair = frozenset({by, to})
            back = pair == state.pair and by == state.last
            at: tuple[EntryId, ...] = (*state.at, logged.id)[-20:] if back else (logged.id,)
            tasks = (
                (*state.tasks, f"{by} to {to}: {task[:200]}")[-HAND_OFFS:] if back else (f"{by} to {to}: {task[:200]}",)
            )
            state = Rally(pair, at, to, tasks)
            if len(at) < HAND_OFFS:
                return state, NOTHING
            one, other = sorted(pair)
            text = f"{one} and {other} handed work back and forth {len(at)} times"
            return state, (Detection("ping_pong", f"{one}+{other}", by, state.at[1], logged.id, text, tasks),)
        case log.ToolReturned(result=result):
            useful = result.status == "ok" and result.tool not in OWN_WORDS
            return (Rally() if state.at and (useful or acted(logged.entry)) else state), NOTHING
        case _:
            return (Rally() if state.at else state), NOTHING


GUARD = Guard(
    "ping_pong",
    (
        log.HandedOff, log.ToolReturned, log.HumanSaid, log.RequestAmended, log.Planned, log.EvidenceRecorded,
        log.VerdictRecorded, log.QuestionAnswered, log.ApprovalEnded, log.StopPressed, log.Intervened,
    ),
    Rally(),
    step,
)  # fmt: skip
