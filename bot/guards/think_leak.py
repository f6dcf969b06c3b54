"""Reasoning or tool output that acts as speech: cut out of an answer, or the cause of somebody's turn."""

from dataclasses import dataclass

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.ids import EntryId
from bot.domain.log import Logged
from bot.guards.guard import NOTHING, Found, Guard

PRIVATE_KEPT = 400


@dataclass(frozen=True, slots=True)
class Private:
    """The newest entries that nobody but their own agent may hear."""

    entries: tuple[EntryId, ...] = ()


def step(state: Private, logged: Logged) -> tuple[Private, Found]:
    match logged.entry:
        case log.ModelReplied(persona=by, leaks=leaks):
            found = (
                (Detection("think_leak", by, by, logged.id, logged.id, f"{by} wrote its reasoning into its answer"),)
                if leaks
                else NOTHING
            )
            return Private((*state.entries, logged.id)[-PRIVATE_KEPT:]), found
        case log.ToolReturned():
            return Private((*state.entries, logged.id)[-PRIVATE_KEPT:]), NOTHING
        case log.TurnStarted(_, by, cause) if cause in state.entries:
            text = f"{by}'s turn began from what another agent thought or read, not from what it said"
            return state, (Detection("think_leak", "turn", by, EntryId(cause), logged.id, text),)
        case _:
            return state, NOTHING


GUARD = Guard("think_leak", (log.ModelReplied, log.ToolReturned, log.TurnStarted), Private(), step)
