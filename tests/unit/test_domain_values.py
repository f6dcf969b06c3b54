"""The small promises of the floor's types."""

from bot.domain.calls import SEVERITY, CallClass, highest
from bot.domain.ids import UserId
from bot.domain.model import ModelUnavailableError, ProposedCall
from bot.domain.people import Human, Role
from bot.domain.state import Exchange, HeardItem, StepItem
from tests.fakes import BUILDER, THREAD


def test_the_most_severe_class_wins_and_of_none_it_is_a_read() -> None:
    assert highest() is CallClass.READ
    assert highest(CallClass.CHANGE, CallClass.READ, CallClass.UNKNOWN) is CallClass.UNKNOWN
    assert SEVERITY[-1] is CallClass.FORBIDDEN


def test_a_person_may_what_one_of_their_roles_may() -> None:
    human = Human(UserId("U1"), "bo", frozenset({Role.APPROVER}))
    assert human.may(Role.ADMIN, Role.APPROVER)
    assert not human.may(Role.ADMIN)
    assert not human.may()


def test_an_unusable_model_speaks_to_people() -> None:
    error = ModelUnavailableError("busy, try later", retry_after_s=3.0)
    assert (str(error), error.text, error.retry_after_s) == ("busy, try later", "busy, try later", 3.0)


def test_an_exchange_knows_its_calls_in_order() -> None:
    one, two = ProposedCall("1", "a", {}), ProposedCall("2", "b", {})
    exchange = Exchange(BUILDER, (StepItem("", (one,)), HeardItem("x"), StepItem("", (two,))), frozenset())
    assert exchange.calls == (one, two)
    assert THREAD.lane == "T1/C1/1700000000.000100"
