"""What an intervention does to a mission's state: notes that an agent has not heard yet, and who has the turn then. Pure."""

from dataclasses import replace

from bot.domain import log
from bot.domain.guarding import (
    DecidedByRule,
    HumanAsked,
    Intervention,
    InterventionRecord,
    MissionParked,
    OwnerChanged,
    StepRefused,
    Told,
)
from bot.domain.ids import PersonaName
from bot.domain.log import Logged
from bot.domain.state import Exchange, HeardItem, Mission, Wake

KEPT = 200
HANDED = frozenset({"handed_off", "noted", "returned"})  # turns that agents gave each other


def intervened(state: Mission, logged: Logged, entry: log.Intervened) -> Mission:
    """The state after an intervention. Turns that agents had given each other give way to the one that it gives."""
    seen, action = entry.detection, entry.action
    detail = _detail(action) or entry.line
    record = InterventionRecord(
        seen.guard, seen.cause, action.how, seen.persona, entry.turn, state.ordinal, seen.last, entry.line, detail
    )
    state = replace(state, interventions=(*state.interventions, record)[-KEPT:])
    match action:
        case Told(note) | StepRefused(note):
            return noted(state, seen.persona, note)
        case DecidedByRule(_, to, note) if state.turn is not None and state.turn.persona == to:
            return noted(state, to, note)
        case DecidedByRule(_, to, note) | OwnerChanged(to, note):
            rest = tuple(wake for wake in state.wakes if wake.cause not in HANDED)
            return replace(state, wakes=(Wake(f"{logged.id}", to, note, "noted"), *rest))
        case HumanAsked() | MissionParked():
            return replace(state, wakes=tuple(wake for wake in state.wakes if wake.cause not in HANDED))


def _detail(action: Intervention) -> str:
    match action:
        case Told(note) | StepRefused(note) | DecidedByRule(_, _, note) | OwnerChanged(_, note):
            return note
        case HumanAsked() | MissionParked():
            return ""


def noted(state: Mission, persona: PersonaName, note: str) -> Mission:
    """A note that `persona` hears in its next context: at once where it has the turn."""
    if state.turn is not None and state.turn.persona == persona:
        return replace(
            state, exchanges={**state.exchanges, persona: _with(state.exchanges.get(persona), persona, (note,))}
        )
    return replace(state, notes={**state.notes, persona: (*state.notes.get(persona, ()), note)[-3:]})


def heard(state: Mission, persona: PersonaName) -> Mission:
    """The state after `persona`'s turn began: what it had not heard yet stands in its exchange."""
    notes = state.notes.get(persona)
    if not notes:
        return state
    rest = {name: waiting for name, waiting in state.notes.items() if name != persona}
    exchanges = {**state.exchanges, persona: _with(state.exchanges.get(persona), persona, notes)}
    return replace(state, notes=rest, exchanges=exchanges)


def taken_away(state: Mission) -> str:
    """Why the turn under way is over, or "": an intervention in it gave the mission to somebody else."""
    if state.parked == "guard":
        return state.parked_text
    last = state.interventions[-1] if state.interventions else None
    if last is None or state.turn is None or last.ordinal <= state.turn.since:
        return ""
    elsewhere = last.how == "decided" and any(wake.cause == "noted" for wake in state.wakes[:1])
    return last.line if elsewhere or last.how in {"moved", "asked", "parked"} else ""


def _with(exchange: Exchange | None, persona: PersonaName, notes: tuple[str, ...]) -> Exchange:
    exchange = exchange or Exchange(persona, (), frozenset())
    return replace(exchange, items=(*exchange.items, *(HeardItem(note) for note in notes)))
