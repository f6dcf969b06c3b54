"""Error, new order, the same error: an order that was given again brought back what the order before it had left open."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.ids import EntryId, PersonaName
from bot.domain.log import Logged
from bot.guards.failures import failure_of, quoted_failures
from bot.guards.guard import NOTHING, Found, Guard, kept


@dataclass(frozen=True, slots=True)
class OpenError:
    """An error that stood at the end of `order`."""

    order: int
    at: EntryId
    tool: str
    by: PersonaName


@dataclass(frozen=True, slots=True)
class Orders:
    """How many orders each agent got, and which errors stood at the end of one."""

    given: Mapping[PersonaName, int] = field(default_factory=dict[PersonaName, int])
    errors: Mapping[str, OpenError] = field(default_factory=dict[str, OpenError])


def step(state: Orders, logged: Logged) -> tuple[Orders, Found]:
    match logged.entry:
        case log.HandedOff(_, _, to):
            return replace(state, given={**state.given, to: state.given.get(to, 0) + 1}), NOTHING
        case log.StopPressed():
            return Orders(), NOTHING
        case log.ToolReturned(persona=by, result=result):
            failure = failure_of(result)
            if failure:
                return _open(state, logged.id, failure, OpenError(state.given.get(by, 0), logged.id, result.tool, by))
            if result.status != "ok":
                return state, NOTHING
            open_ = {key: e for key, e in state.errors.items() if e.tool != result.tool or e.by != by}
            return (state if len(open_) == len(state.errors) else replace(state, errors=open_)), NOTHING
        case log.Spoke(_, by, text):
            found: Found = ()
            for failure in quoted_failures(text):
                state, more = _open(state, logged.id, f"told|{failure}", OpenError(state.given.get(by, 0), logged.id, "", by))
                found += more
            return state, found
        case _:
            return state, NOTHING


def _open(state: Orders, at: EntryId, failure: str, error: OpenError) -> tuple[Orders, Found]:
    errors = dict(state.errors)
    old = errors.pop(failure, None)
    errors[failure] = error
    state = replace(state, errors=kept(errors))
    if old is None or old.order >= error.order or old.by != error.by:
        return state, NOTHING
    text = f"{error.by} got a new order and came back with the same error"
    facts = (failure.rpartition("|")[2][:200] or failure[:200],)
    return state, (Detection("escalation_cascade", failure, error.by, at, at, text, facts),)


GUARD = Guard(
    "escalation_cascade", (log.HandedOff, log.StopPressed, log.ToolReturned, log.Spoke), Orders(), step
)
