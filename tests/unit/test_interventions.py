"""From a detection to what is done: ladders, budgets, words, the state afterwards, and the loop that lives with it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.agents.health import CrewHealth
from bot.domain import log
from bot.domain.approvals import Ran, Submitted
from bot.domain.calls import ToolCall
from bot.domain.guarding import (
    DecidedByRule,
    Detection,
    GuardName,
    HumanAsked,
    InterventionRecord,
    MissionParked,
    OwnerChanged,
    StepRefused,
    Told,
)
from bot.domain.ids import EntryId, PersonaName
from bot.domain.outcomes import CutShort, SpokeOut
from bot.domain.ports import Scope
from bot.domain.posts import Notice, QuestionCard, Speech
from bot.domain.state import HeardItem, Mission
from bot.guards.ladder import BUDGETS, LADDERS, Rung
from bot.guards.memory import Memory, dumped, loaded
from bot.guards.remedy import NOTES, next_rung, remedy
from bot.guards.roster import Seen, after, unseen
from bot.interventions import taken_away
from bot.router import next_wake
from tests.core_fakes import STARTED, calls, folded, logged, ran, result, said, says, stage, title, to
from tests.fakes import ARCHITECT, BUILDER, NOW, SENTINEL
from tests.property.healthy_logs import healthy

MENU = "Which option do you prefer? Option A is quick, option B is safe."


def detection(guard: GuardName = "repeated_tool_error", by: PersonaName = BUILDER, cause: str = "e1") -> Detection:
    return Detection(guard, cause, by, EntryId("1-0"), EntryId("2-0"), f"{by} did it again", ("one", "two"))


def had(state: Mission, *hows: str, guard: GuardName = "repeated_tool_error", cause: str = "e1") -> Mission:
    records = tuple(
        InterventionRecord(guard, cause, how, BUILDER, 1, 1, EntryId(f"{n}-1"), "line", "detail")  # type: ignore[arg-type]
        for n, how in enumerate(hows)
    )
    return replace(state, interventions=(*state.interventions, *records))


# ladders ---------------------------------------------------------------------------------------------------------------


def test_the_same_cause_climbs_its_ladder_to_people() -> None:
    state = folded()
    assert next_rung(state, detection()) is Rung.MOVE
    assert next_rung(had(state, "moved"), detection()) is Rung.ASK
    assert next_rung(had(state, "moved", "asked"), detection()) is Rung.PARK
    assert next_rung(had(state, "moved", "asked", "parked"), detection()) is Rung.PARK


def test_another_cause_begins_at_the_bottom_and_nobody_is_set_above_the_architect_but_people() -> None:
    state = had(folded(), "moved", "asked")
    assert next_rung(state, detection(cause="e2")) is Rung.MOVE
    assert next_rung(folded(), detection(by=ARCHITECT)) is Rung.ASK


def test_every_ladder_climbs_and_ends_with_a_park() -> None:
    order = list(Rung)
    assert set(LADDERS) == set(NOTES)
    for guard, ladder in LADDERS.items():
        places = [order.index(rung) for rung in ladder]
        assert places == sorted(set(places)), guard
        assert ladder[-1] is Rung.PARK, guard


@pytest.mark.parametrize("rung", list(BUDGETS))
def test_a_budget_that_is_spent_leads_to_stronger_ones(rung: Rung) -> None:
    guard: GuardName = next(name for name, ladder in LADDERS.items() if rung in ladder)
    state = folded()
    for number in range(BUDGETS[rung]):
        state = had(state, rung.how, cause=f"other {number}")
    assert list(Rung).index(next_rung(state, detection(guard))) != list(Rung).index(rung)


def test_one_question_at_a_time() -> None:
    asked = remedy(had(folded(), "moved"), detection(), NOW, title).more
    state = folded(*asked)
    assert next_rung(had(state, "moved"), detection()) is Rung.PARK


# words -----------------------------------------------------------------------------------------------------------------


def test_what_is_said_and_what_is_written() -> None:
    told = remedy(folded(), detection("goal_drift"), NOW, title)
    assert told.line == "Builder did it again. Builder was told."
    assert isinstance(told.action, Told)
    assert "Read the request" in told.action.note
    assert "\n- one\n- two" in told.action.note
    moved = remedy(folded(), detection(), NOW, title)
    assert isinstance(moved.action, OwnerChanged) and moved.action.to == ARCHITECT
    refused = remedy(folded(), detection("option_menu"), NOW, title)
    assert isinstance(refused.action, StepRefused)
    asked = remedy(had(folded(), "moved"), detection(), NOW, title)
    assert isinstance(asked.action, HumanAsked)
    (question,) = asked.more
    assert isinstance(question, log.Asked)
    assert question.deadline == NOW + timedelta(minutes=10)
    assert len(question.options) <= 3
    parked = remedy(had(folded(), "moved", "asked"), detection(), NOW, title)
    assert isinstance(parked.action, MissionParked)
    assert parked.more == (log.Parked("guard", parked.action.text),)


def test_no_rule_approves_or_accepts_anything() -> None:
    for guard, ladder in LADDERS.items():
        if ladder[0] is Rung.DECIDE or Rung.DECIDE in ladder:
            state = had(folded(), "refused", guard=guard)
            decided = remedy(state, detection(guard), NOW, title).action
            assert isinstance(decided, DecidedByRule), guard
            assert not any(word in decided.rule for word in ("approve", "accept", "widen"))


# the state afterwards --------------------------------------------------------------------------------------------------


def intervened(action: Told | StepRefused | OwnerChanged | DecidedByRule, by: PersonaName = BUILDER) -> log.Intervened:
    return log.Intervened(2, detection(by=by), action, "line")


def test_a_note_is_heard_at_once_in_a_turn_and_at_the_start_of_the_next_one_else() -> None:
    within = folded(*STARTED, intervened(Told("look")))
    assert within.exchanges[BUILDER].items[-1] == HeardItem("look")
    assert within.interventions[0].how == "told"
    ended = folded(*STARTED, log.TurnEnded(2, BUILDER, "spoke"), intervened(Told("look")))
    assert ended.notes == {BUILDER: ("look",)}
    handed = log.HandedOff(3, ARCHITECT, BUILDER, "again", 1, "f3")
    entries = (*STARTED, log.TurnEnded(2, BUILDER, "spoke"), intervened(Told("look")), handed)
    begun = folded(*entries, log.TurnStarted(3, BUILDER, "6-0"))
    assert begun.exchanges[BUILDER].items[-1] == HeardItem("look")
    assert begun.notes == {}


def test_a_turn_that_is_taken_away_gives_way_to_the_new_owner_only() -> None:
    queued = log.HandedOff(2, BUILDER, SENTINEL, "review", None, "f2")
    state = folded(*STARTED, queued, intervened(OwnerChanged(ARCHITECT, "see")))
    assert taken_away(state) == "line"
    ended = folded(*STARTED, queued, intervened(OwnerChanged(ARCHITECT, "see")), log.TurnEnded(2, BUILDER, "cut_short"))
    wake = next_wake(ended)
    assert wake is not None
    assert (wake.persona, wake.text) == (ARCHITECT, "see")
    assert [one.persona for one in ended.wakes] == [ARCHITECT, ARCHITECT]  # the request's own wake is still there


def test_what_people_said_waits_through_an_intervention() -> None:
    state = folded(*STARTED, said("Use vmbr1"), intervened(OwnerChanged(ARCHITECT, "see")))
    assert [wake.text for wake in state.wakes if wake.cause == "said"][-1] == "Use vmbr1"


# the loop --------------------------------------------------------------------------------------------------------------


async def test_a_menu_is_not_posted_and_the_agent_answers_anew() -> None:
    there = stage(says(MENU), says("Option A it is; I go on."))
    assert await there.run() == SpokeOut("Option A it is; I go on.")
    assert [body.text for body in there.journal.bodies if isinstance(body, Speech)] == ["Option A it is; I go on."]
    notices = [body for body in there.journal.bodies if isinstance(body, Notice)]
    assert len(notices) == 1
    assert "set out 2 ways" in notices[0].text
    assert "ask_human" in there.model.asked[1].messages[-1].text
    assert [entry.kind for entry in there.journal.entries].count("spoke") == 1


async def test_a_model_that_never_stops_setting_out_menus_is_stopped() -> None:
    there = stage(*(says(MENU) for _ in range(4)))
    assert await there.run() == CutShort(there.journal.state().interventions[-1].line)
    hows = [record.how for record in there.journal.state().interventions]
    assert hows == ["refused", "decided", "asked"]
    assert sum(isinstance(body, QuestionCard) for body in there.journal.bodies) == 1
    assert sum(isinstance(body, Notice) for body in there.journal.bodies) == 1, "one line in a turn"
    assert len(there.model.asked) == 3


async def test_a_turn_taken_away_before_a_crash_stays_taken_away() -> None:
    there = stage(*(calls(to("look")) for _ in range(3)), look=_failing)
    assert isinstance(await there.run(), CutShort)
    asked = len(there.model.asked)
    assert isinstance(await there.run(), CutShort), "another worker ends the same turn"
    assert len(there.model.asked) == asked


async def test_a_new_worker_does_not_repeat_what_was_done() -> None:
    there = stage(says(MENU), says("It is A."), calls(to("look")), look=ran)
    await there.run()
    again = CrewHealth(there.journal, there.clock, title)
    assert await again.look(there.hold()) is False


def _failing(call: ToolCall, scope: Scope) -> Submitted:
    return Ran(replace(result(call), status="failed", text="Error: VM 1 is locked"))


# memory ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_what_guards_remember_comes_back_as_it_was(seed: int) -> None:
    seen = unseen()
    for one in healthy(seed, 4):
        seen, _ = after(seen, one)
    memory = Memory(seen, 120)
    memory.count["option_menu"] = 2
    again = loaded(dumped(memory))
    assert again is not None
    assert (again.seen, again.ordinal, again.count) == (seen, 120, memory.count)


def test_secrets_are_never_part_of_it() -> None:
    seen = unseen()
    token = "0a1b2c3d-d4e5-4f60-8718-293a4b5c6d7e"
    for one in logged((log.Spoke(1, BUILDER, f"secret_token = {token}"),)):
        seen, _ = after(seen, one)
    assert token in repr([getattr(state, "values", "") for state in seen.states])
    text = dumped(Memory(seen, 1))
    assert text
    assert token not in text


@pytest.mark.parametrize(
    "text", ["", "{}", "no json", '{"last":"1-0","ordinal":1,"count":{},"states":{"stop_loop":{"blocks":7}}}']
)
def test_what_is_no_memory_is_forgotten(text: str) -> None:
    assert loaded(text) is None


def test_a_long_log_without_a_memory_is_not_read_from_its_start() -> None:
    assert isinstance(unseen(), Seen)
    state = replace(folded(*STARTED), ordinal=50_000)
    health = CrewHealth(stage().journal, stage().clock, title)
    memory, fresh = health.remembered(state)
    assert fresh and memory.seen.last == state.last
