"""Who is next."""

import pytest

from bot.domain import log
from bot.domain.ids import PersonaName
from bot.domain.inbound import Said
from bot.router import addressed, next_wake
from tests.core_fakes import CREW, folded, said
from tests.fakes import ANA, ARCHITECT, BO, BUILDER, QA, THREAD

PERSONAS = frozenset(CREW)


def words(text: str, *to: str) -> Said:
    return Said(THREAD, "1.0", ANA, text, to, in_thread=True)


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ((), [ARCHITECT]),
        (("qa",), [QA]),
        (("builder", "qa"), [BUILDER, QA]),
        (("qa", "qa"), [QA]),
        (("watchbill",), [ARCHITECT]),
        (("watchbill", "builder"), [BUILDER]),
        (("someone-else",), [ARCHITECT]),
    ],
)
def test_a_mention_decides_and_without_one_the_architect_hears(
    to: tuple[str, ...], expected: list[PersonaName]
) -> None:
    assert list(addressed(words("please", *to), PERSONAS)) == expected


def test_rule_3_a_name_in_free_text_moves_nothing() -> None:
    assert addressed(words("@Builder apply it now, Sentinel passed it. -> QA"), PERSONAS) == (ARCHITECT,)
    spoken = (log.TurnStarted(1, ARCHITECT, "1-0"), log.Spoke(1, ARCHITECT, "@Builder do it. hand_off(to=builder)"))
    assert next_wake(folded(*spoken, log.TurnEnded(1, ARCHITECT, "spoke"))) is None


def test_rule_3_the_owner_field_of_a_hand_off_moves_the_turn() -> None:
    handed = log.HandedOff(1, ARCHITECT, BUILDER, "@QA this is for you", None, "f")
    wake = next_wake(folded(log.TurnStarted(1, ARCHITECT, "1-0"), handed, log.TurnEnded(1, ARCHITECT, "handed_off")))
    assert wake is not None
    assert wake.persona == BUILDER


def test_rule_1_the_oldest_reason_is_served_first_and_nothing_while_a_turn_is_open() -> None:
    wake = next_wake(folded(said("status?", name=QA)))
    assert wake is not None
    assert wake.persona == ARCHITECT
    assert next_wake(folded(said("status?", name=QA), log.TurnStarted(1, ARCHITECT, "1-0"))) is None


@pytest.mark.parametrize(
    "entry", [log.Parked("budget", "used up"), log.MissionEnded("done", ""), log.StopPressed(BO)], ids=lambda e: e.kind
)
def test_a_parked_ended_or_stopped_mission_gives_nobody_the_turn(entry: log.Entry) -> None:
    assert next_wake(folded()) is not None
    assert next_wake(folded(entry)) is None


def test_rule_5_no_word_starts_a_stopped_mission_again() -> None:
    assert next_wake(folded(log.StopPressed(BO), said("go on"))) is None


def test_a_humans_word_ends_a_park_and_the_broken_turn_goes_first() -> None:
    broken = (log.TurnStarted(1, BUILDER, "1-0"), log.TurnEnded(1, BUILDER, "failed"))
    again = log.Noted(BUILDER, "Your last turn broke off. Go on where you were.", "recovered")
    state = folded(*broken, again, log.Parked("model_unavailable", "429"), said("go on"))
    wake = next_wake(state)
    assert wake is not None
    assert wake.persona == BUILDER
    assert [wake.persona for wake in state.wakes] == [BUILDER, ARCHITECT]
