"""The agent loop with a strict scripted model and a strict door."""

import asyncio

import pytest

from bot.domain import log
from bot.domain.approvals import Ran, Submitted
from bot.domain.calls import ToolCall
from bot.domain.ids import CallId, PersonaName, QuestionId, RequestId
from bot.domain.log import Entry
from bot.domain.model import Heard, ModelReply, ModelRequest, ModelUnavailableError, Returned, StopReason
from bot.domain.outcomes import AskedHuman, Failed, HandedOver, LimitReached, SpokeOut, Stopped, Suspended
from bot.domain.ports import Scope
from bot.domain.posts import QuestionCard, Speech
from bot.domain.state import Mission
from bot.domain.storage import StoreUnavailableError
from tests.core_fakes import (
    ScriptedModel,
    Stage,
    calls,
    held,
    logged,
    ran,
    refused,
    result,
    returned,
    says,
    stage,
    to,
    useless,
)
from tests.fakes import ANA, BUILDER, NOW, QA


def kinds(there: Stage) -> list[str]:
    return [entry.kind for entry in there.journal.entries][3:]  # after the opening, the hand-off and the turn's start


def handing(call: ToolCall, scope: Scope) -> Submitted:
    entry = log.HandedOff(scope.turn, scope.persona, QA, "show it", None, "f2")
    return Ran(result(call), (entry,))


def asking(call: ToolCall, scope: Scope) -> Submitted:
    entry = log.Asked(QuestionId("q1"), scope.persona, "a third machine?", ("no", "yes"), 0, NOW)
    return Ran(result(call, facts={"question": "q1"}), (entry,))


def waits_for(*calls: str) -> Suspended:
    return Suspended(tuple(RequestId(f"request-of-{call}") for call in calls))


async def test_words_end_the_turn_and_are_written_in_one_commit_with_their_post() -> None:
    there = stage(says("  Done with main.tf.  ", thought="hm"))
    assert await there.run() == SpokeOut("Done with main.tf.")
    assert kinds(there) == ["model_asked", "model_replied", "spoke"]
    last = there.journal.commits[-1]
    assert [entry.kind for entry in last.entries] == ["model_replied", "spoke"]
    assert [post.body for post in last.posts] == [Speech("Done with main.tf.")]
    assert (last.posts[0].identity, last.posts[0].thread) == ("builder", there.journal.state().thread)


async def test_rule_2_a_thought_is_kept_in_the_trace_and_posted_nowhere() -> None:
    there = stage(calls(to("look"), thought="canary-thought"), says("It is there.", thought="canary-thought"), look=ran)
    await there.run()
    assert "canary-thought" not in repr(there.journal.posts)
    assert "canary-thought" not in repr([request.messages for request in there.model.asked])
    assert "canary-thought" in repr(there.journal.entries)


async def test_a_call_goes_to_the_door_with_an_id_of_its_own_and_its_result_comes_back() -> None:
    there = stage(calls(to("look", path="a"), text="I look."), says("Seen."), look=ran)
    await there.run()
    (call,) = there.door.submitted
    assert (call.id, call.tool, call.arguments, call.persona, call.turn) == (
        "7-2-1-0",
        "look",
        {"path": "a"},
        BUILDER,
        2,
    )
    assert there.door.words == ["I look."]
    last = there.model.asked[1].messages[-1]
    assert isinstance(last, Returned)
    assert (last.call_id, last.text.splitlines()[0]) == ("7-2-1-0", "[result 7-2-1-0] look ok")
    assert there.model.used_up()


async def test_a_model_asked_once_too_often_fails_the_test() -> None:
    there = stage(calls(to("look")), look=ran)
    with pytest.raises(AssertionError, match="once too often"):
        await there.run()


async def test_plain_reads_run_together_and_everything_else_in_order() -> None:
    there = stage(calls(*(to(tool) for tool in ("look", "read", "write", "look", "write", "write"))), says("Done."),
                  look=ran, read=ran, write=ran)  # fmt: skip
    await there.run()
    assert [call.tool for call in there.door.submitted] == ["look", "read", "write", "look", "write", "write"]
    assert there.door.most_at_once == 2
    assert [entry.result.call for entry in there.journal.entries if isinstance(entry, log.ToolReturned)] == [
        f"7-2-1-{number}" for number in range(6)
    ]


async def test_a_held_call_ends_the_turn_after_the_others_have_their_results() -> None:
    there = stage(calls(to("look"), to("apply"), to("look")), look=ran, apply=held)
    assert await there.run() == waits_for("7-2-1-1")
    state = there.journal.state()
    assert [record.status for record in state.results.values()] == ["ok", "held", "ok"]
    assert list(state.requests) == ["request-of-7-2-1-1"]
    expiry, reminder = there.journal.deadlines
    assert (expiry.what, expiry.subject) == ("request", "request-of-7-2-1-1")
    assert (reminder.what, reminder.subject) == ("reminder", "request-of-7-2-1-1")
    assert reminder.at < expiry.at


async def test_after_the_settlement_the_agent_goes_on_with_the_result() -> None:
    there = stage(calls(to("apply")), apply=held)
    await there.run()
    settle(there, "7-2-1-0")
    there.model.then(says("Applied."))
    assert await there.run() == SpokeOut("Applied.")
    last = there.model.asked[-1].messages[-1]
    assert isinstance(last, Returned)
    assert "created 3" in last.text
    assert len(there.door.submitted) == 1


async def test_two_held_calls_wait_for_both() -> None:
    there = stage(calls(to("apply"), to("apply")), apply=held)
    assert await there.run() == waits_for("7-2-1-0", "7-2-1-1")
    settle(there, "7-2-1-0")
    assert await there.run() == waits_for("7-2-1-1")
    settle(there, "7-2-1-1")
    there.model.then(says("Both."))
    assert await there.run() == SpokeOut("Both.")
    assert len(there.door.submitted) == 2


def settle(there: Stage, call: str) -> None:
    """What the lane writes when people approved, and the turn that follows."""
    request = RequestId(f"request-of-{call}")
    state = there.journal.state()
    number, wake = state.turns + 1, f"{len(there.journal.logged) + (3 if state.turn else 2)}-0"
    ended: tuple[Entry, ...] = (log.TurnEnded(2, BUILDER, "suspended"),) if state.turn else ()
    entries = (
        *ended, returned(call, "apply", text="created 3", changed=True, request=request),
        log.ApprovalEnded(request, "done", (), ""), log.TurnStarted(number, BUILDER, wake),
    )  # fmt: skip
    there.journal.logged += logged(entries, start=len(there.journal.logged) + 1)


async def test_a_hand_off_ends_the_turn_with_the_words_beside_it() -> None:
    there = stage(calls(to("hand_off"), text="Step 1 is done."), hand_off=handing)
    assert await there.run() == HandedOver(QA)
    assert there.journal.bodies == [Speech("Step 1 is done.", "QA", "show it")]


async def test_a_refused_hand_off_does_not_end_the_turn() -> None:
    there = stage(calls(to("hand_off")), says("Then I do it myself."), hand_off=refused)
    assert await there.run() == SpokeOut("Then I do it myself.")


async def test_a_question_ends_the_turn_with_its_card_and_deadline() -> None:
    there = stage(calls(to("ask_human"), text="Two hosts cannot outvote each other."), ask_human=asking)
    assert await there.run() == AskedHuman(QuestionId("q1"))
    words, card = there.journal.bodies
    assert words == Speech("Two hosts cannot outvote each other.")
    assert isinstance(card, QuestionCard)
    assert (card.asker, card.asked, card.options, card.default) == ("Builder", ANA, ("no", "yes"), 0)
    assert [(one.what, one.subject) for one in there.journal.deadlines] == [("question", "q1")]


async def test_a_hand_off_beside_a_held_call_is_not_made_again_when_the_call_is_settled() -> None:
    there = stage(calls(to("apply"), to("hand_off")), apply=held, hand_off=handing)
    assert await there.run() == HandedOver(QA)
    settle(there, "7-2-1-0")
    there.model.then(says("Applied."))
    assert await there.run() == SpokeOut("Applied.")


# odd answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stop", "nudge"), [("empty", "was empty"), ("truncated", "cut at its limit"), ("refused", "was a refusal")]
)
async def test_an_unusable_answer_is_asked_for_again_with_a_word_why(stop: StopReason, nudge: str) -> None:
    there = stage(useless(stop, "half a sen" if stop == "truncated" else ""), says("Here."))
    assert await there.run() == SpokeOut("Here.")
    last = there.model.asked[1].messages[-1]
    assert isinstance(last, Heard)
    assert nudge in last.text
    assert [body for body in there.journal.bodies if isinstance(body, Speech)] == [Speech("Here.")]


async def test_three_unusable_answers_in_a_row_fail_the_turn_and_a_call_between_counts_anew() -> None:
    there = stage(useless("empty"), useless("truncated"), useless("refused"))
    outcome = await there.run()
    assert isinstance(outcome, Failed)
    assert "3 unusable answers" in outcome.text
    there = stage(useless("empty"), useless("empty"), calls(to("look")), useless("empty"), says("Here."), look=ran)
    assert await there.run() == SpokeOut("Here.")


async def test_malformed_arguments_reach_no_door() -> None:
    there = stage(calls(to("apply", problem="line 1: no object")), says("Again."), apply=held)
    assert await there.run() == SpokeOut("Again.")
    assert there.door.submitted == []
    (record,) = there.journal.state().results.values()
    assert (record.status, record.tool) == ("refused", "apply")
    assert "line 1: no object" in record.text


async def test_an_unknown_tool_is_the_doors_to_refuse() -> None:
    there = stage(calls(to("request_security_audit")), says("I see."), request_security_audit=refused)
    assert await there.run() == SpokeOut("I see.")
    last = there.model.asked[1].messages[-1]
    assert isinstance(last, Returned)
    assert last.failed
    assert "There is no tool" in last.text


async def test_rule_21_a_model_that_does_not_answer_is_no_speech() -> None:
    there = stage(ModelUnavailableError("429 for ten minutes"))
    assert await there.run() == Failed("429 for ten minutes")
    assert there.journal.posts == []
    assert there.journal.state().spend.steps == 1


async def test_a_store_that_is_away_goes_up_and_no_read_runs_on_behind_it() -> None:
    def away(call: ToolCall, scope: Scope) -> Submitted:
        raise StoreUnavailableError("away")

    there = stage(calls(to("look"), to("read")), look=away, read=ran)
    with pytest.raises(StoreUnavailableError):
        await there.run()
    assert there.door.running == 0
    assert [call.tool for call in there.door.submitted] == ["look", "read"]


# limits, STOP, leaving --------------------------------------------------------------------------------------------


async def test_rule_20_the_limit_is_asked_before_every_call_of_the_model() -> None:
    there = stage(calls(to("look")), look=ran)
    seen: list[int] = []

    def over(state: Mission, name: PersonaName) -> LimitReached | None:
        seen.append(state.spend.steps)
        return LimitReached("mission steps", "used up") if state.spend.steps >= 1 else None

    there.over = over
    assert await there.run() == LimitReached("mission steps", "used up")
    assert seen == [0, 1]
    assert len(there.model.asked) == 1


async def test_rule_5_stop_before_a_step_asks_no_model() -> None:
    there = stage()
    there.watch.stops = 1
    assert isinstance(await there.run(), Stopped)
    assert there.model.asked == []


async def test_rule_5_stop_between_two_calls_starts_no_further_one() -> None:
    def pressed(call: ToolCall, scope: Scope) -> Submitted:
        there.watch.stops = 1
        return ran(call, scope)

    there = stage(calls(to("write"), to("write")), write=pressed)
    assert isinstance(await there.run(), Stopped)
    assert len(there.door.submitted) == 1


async def test_rule_5_stop_while_the_model_thinks_runs_none_of_its_calls() -> None:
    there = stage(calls(to("write")), write=ran)
    there.model.before = lambda: setattr(there.watch, "stops", 1)
    assert isinstance(await there.run(), Stopped)
    assert there.door.submitted == []


@pytest.mark.parametrize("cause", ["stop", "lost lease"])
async def test_rule_5_stop_ends_a_model_call_that_waits_to_be_tried_again(cause: str) -> None:
    tries: list[str] = []

    class Waiting(ScriptedModel):
        async def ask(self, request: ModelRequest) -> ModelReply:
            for _ in range(2):
                tries.append(request.model)
                if cause == "stop":
                    there.watch.stops = 1
                else:
                    there.watch.living = False
                await asyncio.sleep(30)  # the provider said when to come again
            raise AssertionError

    there = stage()
    there.model = Waiting()
    assert isinstance(await there.run(), Stopped)
    assert tries == ["openai:test"]


async def test_rule_5_a_model_call_that_fails_as_stop_is_pressed_troubles_nobody() -> None:
    class Failing(ScriptedModel):
        async def ask(self, request: ModelRequest) -> ModelReply:
            there.watch.stops = len(request.messages)
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                raise ModelUnavailableError("no answer") from None  # as a client with errors of its own
            raise AssertionError

    there = stage()
    there.model = Failing()
    assert isinstance(await there.run(), Stopped)


async def test_rule_1_a_lost_lease_starts_no_further_call() -> None:
    def lost(call: ToolCall, scope: Scope) -> Submitted:
        there.watch.living = False
        return ran(call, scope)

    there = stage(calls(to("write"), to("write")), write=lost)
    assert isinstance(await there.run(), Stopped)
    assert len(there.door.submitted) == 1


async def test_a_worker_that_is_stopped_finishes_the_step_and_leaves_the_turn() -> None:
    there = stage(calls(to("write"), to("write")), says("never asked"), write=ran)
    there.model.before = lambda: setattr(there, "leaving", True)
    assert isinstance(await there.run(), Stopped)
    assert len(there.door.submitted) == 0
    there.leaving = False
    there.model.before = lambda: None
    assert await there.run() == SpokeOut("never asked")
    assert [call.id for call in there.door.submitted] == [CallId("7-2-1-0"), CallId("7-2-1-1")]
