"""What a mission will cost at its pace so far, from what is settled and how far the plan has come. Pure."""

from bot.domain.state import Mission
from bot.mission import mark_of

SETTLED = frozenset({"passed", "waived", "unverifiable"})
LEAST = 0.1  # of the way: before that, any number would be a guess


def forecast_usd(state: Mission) -> float | None:
    """Dollars at the end, or None where it is over, or too early to say."""
    share = part_done(state)
    if state.ended or not state.spend.usd or share < LEAST:
        return None
    return state.spend.usd / share


def part_done(state: Mission) -> float:
    """The part of the way from 0 to 1: criteria settled of all, or steps left behind of all, whichever is more."""
    settled = sum(mark_of(state, criterion) in SETTLED for criterion in state.criteria)
    by_criteria = settled / len(state.criteria) if state.criteria else 0.0
    return max(by_criteria, _steps_behind(state) / len(state.steps) if state.steps else 0.0)


def _steps_behind(state: Mission) -> int:
    """Steps that are over: their owners were given the turn in the plan's order, and the next one's owner has it since."""
    given = iter(state.hand_offs)
    begun = 0
    for step in state.steps:
        if not any(record.to == step.owner for record in given):
            break
        begun += 1
    return max(0, begun - 1)
