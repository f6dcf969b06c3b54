"""A plan that grows instead of being done: too long to be read, or added to again and again with nothing done in between."""

from dataclasses import dataclass, replace

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.ids import EntryId, PersonaName
from bot.domain.log import Logged
from bot.guards.guard import NOTHING, Found, Guard, acted

STEPS = 30
CHARACTERS = 12_000  # about a fifth of an agent's context
REPLANS = 5


@dataclass(frozen=True, slots=True)
class Plans:
    idle: tuple[EntryId, ...] = ()  # plans in a row with nothing done


def step(state: Plans, logged: Logged) -> tuple[Plans, Found]:
    match logged.entry:
        case log.Planned(_, steps):
            state = replace(state, idle=(*state.idle, logged.id)[-20:])
            size = sum(len(step.title) + len(step.verify) for step in steps)
            if len(steps) > STEPS or size > CHARACTERS:
                return state, _found(state, logged.id, f"the plan has {len(steps)} steps and {size:,} characters")
            if len(state.idle) >= REPLANS:
                return state, _found(state, logged.id, f"the plan was made {len(state.idle)} times with nothing done")
            return state, NOTHING
        case log.HumanSaid() | log.RequestAmended() | log.Intervened():
            return Plans(), NOTHING
        case _ if state.idle and acted(logged.entry):
            return Plans(), NOTHING
        case _:
            return state, NOTHING


def _found(state: Plans, at: EntryId, text: str) -> Found:
    return (Detection("plan_bloat", "plan", PersonaName("architect"), state.idle[0], at, text),)


GUARD = Guard(
    "plan_bloat", (log.Planned, log.HumanSaid, log.RequestAmended, log.ToolReturned, log.Intervened), Plans(), step
)
