"""The same error for the third time, with no success in between: of the failing call, or, where things were not found, of the tool."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.ids import EntryId
from bot.domain.log import Logged
from bot.guards.failures import Failure, failure_of, fingerprint
from bot.guards.guard import NOTHING, Found, Guard, kept, seen

THIRD = 3
CALLS_KEPT = 128
ERRORS_KEPT = 64


@dataclass(frozen=True, slots=True)
class Error:
    """One error: where it happened, what was tried, and which calls ran into it."""

    at: tuple[EntryId, ...] = ()
    tries: tuple[str, ...] = ()
    calls: frozenset[str] = frozenset()
    count: int = 0


@dataclass(frozen=True, slots=True)
class Errors:
    calls: Mapping[str, str] = field(default_factory=dict[str, str])  # call id → fingerprint
    known: Mapping[str, Error] = field(default_factory=dict[str, Error])  # failure → error


def step(state: Errors, logged: Logged) -> tuple[Errors, Found]:
    match logged.entry:
        case log.ModelReplied(calls=calls) if calls:
            more = {call.id: fingerprint(call.tool, call.arguments) for call in calls}
            return replace(state, calls=kept({**state.calls, **more}, CALLS_KEPT)), NOTHING
        case log.StopPressed() | log.EvidenceRecorded():
            return Errors(state.calls), NOTHING
        case log.ToolReturned(result=result) if result.changed:
            return Errors(state.calls), NOTHING  # the mission got further: what fails from here on is another matter
        case log.ToolReturned(result=result) as entry:
            call = state.calls.get(result.call, "")
            if result.status == "ok":
                found = f"{result.tool}|missing"
                fixed = [k for k, error in state.known.items() if k == found or (call and call in error.calls)]
                known = {key: error for key, error in state.known.items() if key not in fixed} if fixed else state.known
                return (replace(state, known=known) if fixed else state), NOTHING
            failure = failure_of(result)
            return _failed(state, logged, entry, failure, call) if failure else (state, NOTHING)
        case _:
            return state, NOTHING


def _failed(
    state: Errors, logged: Logged, entry: log.ToolReturned, failure: Failure, call: str
) -> tuple[Errors, Found]:
    known = dict(state.known)
    old = known.pop(failure.key, Error())
    told = f"{entry.result.tool} {entry.result.status}: {_line(entry.result.text)}"
    error = Error(
        (*old.at, logged.id)[-10:], (*old.tries, told)[-THIRD:], frozenset([*old.calls, call][-10:]), old.count + 1
    )
    known[failure.key] = error
    state = replace(state, known=kept(known, ERRORS_KEPT))
    if error.count < THIRD:
        return state, NOTHING
    text = f"{entry.persona} ran into the same error {error.count} times: {_line(entry.result.text)}"
    if failure.knowledge:
        text += f" (known: skills/errors/{failure.knowledge})"
    first = error.at[1] if error.count == THIRD else logged.id  # later ones stand for themselves
    return state, (Detection("repeated_tool_error", failure.key, entry.persona, first, logged.id, text, error.tries),)


def _line(text: str) -> str:
    """The first line that says something, for people."""
    lines = [line.strip(" │╷╵\t") for line in seen(text).splitlines()]
    telling = [line for line in lines if "rror" in line or "cannot" in line or "denied" in line.lower()]
    return next(iter(telling or [line for line in lines if line]), "no text")[:160]


GUARD = Guard(
    "repeated_tool_error", (log.ModelReplied, log.ToolReturned, log.StopPressed, log.EvidenceRecorded), Errors(), step
)
