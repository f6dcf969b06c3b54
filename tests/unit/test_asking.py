"""Who steers an agent does not approve what it does: whose words count as asking (rule 12)."""

from hypothesis import given
from hypothesis import strategies as st

from bot.domain import log
from bot.domain.ids import QuestionId, RequestId, UserId
from bot.domain.log import Entry
from bot.domain.state import Mission
from bot.gate.submission import requesters_of
from tests.core_fakes import folded, returned, said
from tests.fakes import ANA, ARCHITECT, BO, BUILDER, CHRIS, NOW, call

PLAN = "9c1d22" + "0" * 58


def applied(number: str = "a1") -> tuple[Entry, ...]:
    """A held apply and its end, as one change."""
    return (returned(number, "terraform_apply", "held"), returned(number, "terraform_apply", changed=True))


def requesters(state: Mission, revision: str = "") -> set[UserId]:
    return set(requesters_of(state, call("terraform_apply"), revision))


def test_rule_12_words_to_one_agent_count_for_what_another_does() -> None:
    bigger = said("@Architect make them 32 GiB each", by=BO)
    state = folded(bigger, log.TurnStarted(2, ARCHITECT, "2-0"), said("@Builder go on", name=BUILDER, ts="2.0"))
    assert requesters(state) == {ANA, BO}


def test_rule_12_words_count_until_a_change_that_was_asked_for_after_them() -> None:
    before = (said("make them bigger", by=BO), *applied())
    assert requesters(folded(*before)) == {ANA}
    held, done = applied()
    meanwhile = (held, said("and bigger ones next", by=BO), done)
    assert requesters(folded(*meanwhile)) == {ANA, BO}
    assert requesters(folded(said("bigger", by=BO), returned("a1", "terraform_apply", "failed"))) == {ANA, BO}


def test_rule_12_words_that_led_to_a_plan_count_for_it_after_another_change() -> None:
    plan = returned("p1", "terraform_plan", facts={"plan": PLAN})
    state = folded(said("two more for the web", by=BO), plan, *applied())
    assert requesters(state) == {ANA}
    assert requesters(state, PLAN) == {ANA, BO}


def test_rule_12_an_answer_counts_and_a_default_is_nobodys() -> None:
    question = log.Asked(QuestionId("q1"), ARCHITECT, "How many?", ("2", "3"), 0, NOW)
    assert requesters(folded(question, log.QuestionAnswered(QuestionId("q1"), "3", BO))) == {ANA, BO}
    assert requesters(folded(question, log.QuestionAnswered(QuestionId("q1"), "2", ""))) == {ANA}


def test_rule_12_a_denier_reviews_and_does_not_ask() -> None:
    state = folded(log.ApprovalEnded(RequestId("r1"), "denied", (BO,), "two are enough"))
    assert requesters(state) == {ANA}


@given(st.lists(st.sampled_from(["bo", "chris", "change", "plan"]), max_size=12))
def test_rule_12_whoever_spoke_since_the_last_change_asks(moves: list[str]) -> None:
    entries: list[Entry] = []
    wanted: set[UserId] = set()
    for number, move in enumerate(moves):
        match move:
            case "change":
                entries += applied(f"a{number}")
                wanted = set()
            case "plan":
                entries.append(returned(f"p{number}", "terraform_plan", facts={"plan": PLAN}))
            case _:
                entries.append(said("words", by=BO if move == "bo" else CHRIS, ts=f"{number}.0"))
                wanted.add(BO if move == "bo" else CHRIS)
    assert requesters(folded(*entries)) == wanted | {ANA}
