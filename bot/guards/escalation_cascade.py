"""Error, new order, the same error: a third time, under at least two orders that were given one after the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.ids import EntryId, PersonaName
from bot.domain.log import Logged
from bot.guards.failures import failure_of, fingerprint, quoted_failures
from bot.guards.guard import NOTHING, Found, Guard, kept

CALLS_KEPT = 128
ERRORS_KEPT = 64
THIRD = 3
ORDERS = 2
PLANNER = PersonaName("architect")  # it quotes errors in its orders


@dataclass(frozen=True, slots=True)
class OpenError:
    """An error that stood at the end of `order`."""

    order: int
    at: EntryId
    call: str  # fingerprint
    by: PersonaName
    count: int = 1
    orders: int = 1  # under how many of them


@dataclass(frozen=True, slots=True)
class Orders:
    """How many orders each agent got, and which errors stood at the end of one."""

    given: Mapping[PersonaName, int] = field(default_factory=dict[PersonaName, int])
    calls: Mapping[str, str] = field(default_factory=dict[str, str])  # call id → fingerprint
    errors: Mapping[str, OpenError] = field(default_factory=dict[str, OpenError])


def step(state: Orders, logged: Logged) -> tuple[Orders, Found]:
    match logged.entry:
        case log.HandedOff(_, _, to):
            return replace(state, given={**state.given, to: state.given.get(to, 0) + 1}), NOTHING
        case log.StopPressed():
            return Orders(), NOTHING
        case log.ModelReplied(calls=calls) if calls:
            more = {call.id: fingerprint(call.tool, call.arguments) for call in calls}
            return replace(state, calls=kept({**state.calls, **more}, CALLS_KEPT)), NOTHING
        case log.ToolReturned(result=result) if result.changed:
            return replace(state, errors={}), NOTHING
        case log.ToolReturned(persona=by, result=result):
            call = state.calls.get(result.call, result.call)
            failure = failure_of(result)
            if failure:
                return _open(state, logged.id, failure.named, OpenError(state.given.get(by, 0), logged.id, call, by))
            if result.status != "ok":
                return state, NOTHING
            open_ = {key: error for key, error in state.errors.items() if error.call != call}
            return (state if len(open_) == len(state.errors) else replace(state, errors=open_)), NOTHING
        case log.Spoke(_, by, text) if by != PLANNER and by in state.given:
            found: Found = ()
            for failure in quoted_failures(text):
                state, more = _open(
                    state, logged.id, f"told|{failure}", OpenError(state.given.get(by, 0), logged.id, "", by)
                )
                found += more
            return state, found
        case _:
            return state, NOTHING


def _open(state: Orders, at: EntryId, failure: str, error: OpenError) -> tuple[Orders, Found]:
    errors = dict(state.errors)
    mine = f"{error.by}|{failure}"
    old = errors.pop(mine, None)
    if old is not None:
        more = 1 if error.order > old.order else 0
        error = replace(error, count=old.count + 1, orders=old.orders + more)
    errors[mine] = error
    state = replace(state, errors=kept(errors, ERRORS_KEPT))
    if error.count < THIRD or error.orders < ORDERS:
        return state, NOTHING
    text = f"{error.by} got a new order and came back with the same error"
    facts = (failure.rpartition("|")[2][:200] or failure[:200],)
    return state, (Detection("escalation_cascade", failure, error.by, at, at, text, facts),)


GUARD = Guard(
    "escalation_cascade",
    (log.HandedOff, log.StopPressed, log.ModelReplied, log.ToolReturned, log.Spoke),
    Orders(),
    step,
)
