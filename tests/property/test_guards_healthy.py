"""Healthy missions are left alone, and what a guard remembers does not grow with the log."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.guarding import GuardName
from bot.domain.log import Logged
from bot.guards.ladder import ANSWERED
from bot.guards.roster import after, unseen
from tests.property.healthy_logs import healthy, long_log


def interventions(entries: list[Logged]) -> list[str]:
    """What the guards would have made the program step in for."""
    seen, count, found = unseen(), Counter[GuardName](), list[str]()
    for logged in entries:
        seen, more = after(seen, logged)
        for one in more:
            count[one.guard] += 1
            if count[one.guard] > ANSWERED.get(one.guard, 0):
                found.append(f"{one.guard} at {one.last}: {one.text}")
    return found


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), rounds=st.integers(1, 12))
def test_rule_19_healthy_missions_are_left_alone(seed: int, rounds: int) -> None:
    assert interventions(healthy(seed, rounds)) == []


def test_a_guards_memory_is_bounded() -> None:
    """Twice the log, about the same memory: nothing is kept for ever."""
    sizes: list[int] = []
    seen = unseen()
    for number, logged in enumerate(long_log(12_000), 1):
        seen, _ = after(seen, logged)
        if number in {6_000, 12_000}:
            sizes.append(len(repr(seen.states)))
    assert sizes[1] < sizes[0] * 1.25
