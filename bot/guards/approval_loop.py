"""The same revision is approved again: nothing was done, and nobody said anything, since it was approved."""

from dataclasses import dataclass, replace

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.ids import EntryId, PersonaName
from bot.domain.log import Logged
from bot.guards.guard import NOTHING, Found, Guard


@dataclass(frozen=True, slots=True)
class Approvals:
    """`again` are the superfluous ones of `revision`."""

    revision: str = ""
    again: tuple[EntryId, ...] = ()


def step(state: Approvals, logged: Logged) -> tuple[Approvals, Found]:
    match logged.entry:
        case log.VerdictRecorded(verdict) if verdict.passed and verdict.revision != state.revision:
            return Approvals(verdict.revision), NOTHING
        case log.VerdictRecorded(verdict) if verdict.passed:
            return _again(state, verdict.by, logged.id)
        case log.ToolReturned(persona=by, result=result) if result.tool == "record_verdict" and result.status == "ok":
            asked = str(result.facts.get("revision", ""))
            if asked and "passed" not in result.facts:  # the tool gave the stored verdict back
                return _again(state if asked == state.revision else Approvals(asked), by, logged.id)
            return state, NOTHING
        case _:
            return state, NOTHING


def _again(state: Approvals, by: PersonaName, at: EntryId) -> tuple[Approvals, Found]:
    state = replace(state, again=(*state.again, at)[-20:])
    text = f"{by} approved revision {state.revision[:12]} again; nothing changed since it passed"
    return state, (Detection("approval_loop", state.revision, by, state.again[0], at, text),)


GUARD = Guard("approval_loop", (log.VerdictRecorded, log.ToolReturned), Approvals(), step)
