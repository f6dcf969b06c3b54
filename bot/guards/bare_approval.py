"""A pass without a single check, a second time: the first is refused by the tool and says what is missing."""

from dataclasses import dataclass, replace

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.ids import EntryId
from bot.domain.log import Logged
from bot.guards.guard import NOTHING, OWN_WORDS, Found, Guard

BARE = 2


@dataclass(frozen=True, slots=True)
class Bare:
    at: tuple[EntryId, ...] = ()


def step(state: Bare, logged: Logged) -> tuple[Bare, Found]:
    match logged.entry:
        case log.VerdictRecorded(verdict) if verdict.passed and verdict.checks:
            return Bare(), NOTHING
        case log.VerdictRecorded(verdict) if verdict.passed:
            by = verdict.by
        case log.ToolReturned(persona=by, result=result) if (
            result.tool == "record_verdict" and result.status == "refused"
        ):
            pass
        case log.ToolReturned(result=result) if result.status == "ok" and result.tool not in OWN_WORDS:
            return Bare(), NOTHING  # something was looked at
        case _:
            return state, NOTHING
    state = replace(state, at=(*state.at, logged.id)[-20:])
    if len(state.at) < BARE:
        return state, NOTHING
    text = f"{by} gave a verdict {len(state.at)} times without a check that was run"
    return state, (Detection("bare_approval", by, by, state.at[1], logged.id, text),)


GUARD = Guard("bare_approval", (log.VerdictRecorded, log.ToolReturned), Bare(), step)
