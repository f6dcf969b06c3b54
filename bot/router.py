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
