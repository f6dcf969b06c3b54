"""Who is next. Delivery is by owner field (rule 3): a name in free text moves nothing."""

from bot.domain.ids import PersonaName
from bot.domain.inbound import Said
from bot.domain.state import Mission, Wake

ARCHITECT = PersonaName("architect")


def next_wake(state: Mission) -> Wake | None:
    """The oldest unserved reason for a turn, or None: nobody. Ended, stopped and parked missions give no turns."""
    if state.ended or state.stopped_by or state.parked or state.turn is not None:
        return None
    return state.wakes[0] if state.wakes else None


def addressed(said: Said, personas: frozenset[PersonaName]) -> tuple[PersonaName, ...]:
    """The personas that a human's message mentions, first mention first; without one, the Architect. Each gets a turn,
    one after the other.
    """
    found = dict.fromkeys(PersonaName(name) for name in said.to if PersonaName(name) in personas)
    return tuple(found) or (ARCHITECT,)


def goes_back_to(state: Mission, persona: PersonaName) -> PersonaName | None:
    """Who gets the turn when an agent with handed-over work spoke without handing on: its giver, once per progress."""
    exchange = state.exchanges.get(persona)
    giver = exchange.handed_by if exchange else None
    idle = not (state.wakes or state.requests or state.questions or state.ended)
    if giver is None or giver == persona or not idle or state.returned_at == state.progress:
        return None
    return giver
