"""The fold: what each kind of entry makes of the state."""

from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest

from bot.domain import log
from bot.domain.approvals import RequestStatus
from bot.domain.calls import CallClass
from bot.domain.contract import Evidence, EvidenceOutcome, Finding, Verdict
from bot.domain.ids import CallId, PersonaName, QuestionId, RequestId
from bot.domain.state import HeardItem, StepItem
from bot.mission import RESULTS_KEPT, EmptyLogError, fold, goes_back_to, mark_of, outcome_of, waiting
from tests.core_fakes import OPENED, M, asked_approval, folded, logged, planned, replied, returned, said, to
from tests.fakes import ANA, ARCHITECT, BO, BUILDER, NOW, QA, SENTINEL

APPLIED = {"created": 3, "changed": 1, "destroyed": 0, "exists": ["cp1", "cp2"]}


def evidence(criterion: int, outcome: EvidenceOutcome = "passed", call: str = "e1") -> log.EvidenceRecorded:
    return log.EvidenceRecorded(Evidence(criterion, outcome, CallId(call), "seen", QA))


def marks(*entries: log.Entry) -> list[str]:
    state = folded(*entries)
    return [mark_of(state, criterion) for criterion in state.criteria]


def test_an_opening_is_the_first_entry_and_the_only_one() -> None:
    state = folded()
    assert (state.id, state.request, state.requester, state.ordinal) == (M, OPENED.request, ANA, 1)
    assert [(wake.persona, wake.text, wake.humans) for wake in state.wakes] == [
        (ARCHITECT, OPENED.request, frozenset({ANA}))
    ]
    with pytest.raises(EmptyLogError, match="opens once"):
        folded(OPENED)
    with pytest.raises(EmptyLogError, match="begins with noted"):
        fold(logged([log.Noted(ARCHITECT, "x", "returned")]))
    with pytest.raises(EmptyLogError, match="empty"):
        fold([])


def test_rule_6_the_request_stays_verbatim_and_only_people_add_to_it() -> None:
    state = folded(log.RequestAmended(BO, "and a fourth"), said("something else"), log.Spoke(1, BUILDER, "no request"))
    assert state.request == OPENED.request
    assert state.amendments == ((BO, "and a fourth"),)
    assert state.requesters == {ANA, BO}


def test_an_amendment_wakes_the_architect_ends_a_park_and_is_something_new() -> None:
    before = folded(log.Parked("failed", "broke"))
    state = folded(log.Parked("failed", "broke"), log.RequestAmended(ANA, "and a fourth"))
    assert (state.wakes[-1].persona, state.wakes[-1].text) == (ARCHITECT, "Amendment: and a fourth")
    assert (state.parked, state.parked_text) == ("", "")
    assert state.progress == before.progress + 1


def test_words_wake_whom_they_address_and_stand_once_in_the_talk_when_said_to_two() -> None:
    state = folded(said("status?", name=BUILDER), said("status?", name=QA))
    assert [wake.persona for wake in state.wakes[1:]] == [BUILDER, QA]
    assert [line.text for line in state.talk] == [OPENED.request, "status?"]


def test_a_turn_takes_its_wake_and_no_other() -> None:
    state = folded(said("status?", name=BUILDER), log.TurnStarted(1, ARCHITECT, "1-0"))
    assert [wake.persona for wake in state.wakes] == [BUILDER]
    assert state.turn is not None
    assert (state.turn.number, state.turn.persona, state.turn.since) == (1, ARCHITECT, 3)
    assert state.exchanges[ARCHITECT].items == (HeardItem(OPENED.request),)
    assert folded(log.TurnStarted(1, ARCHITECT, "1-0"), log.TurnEnded(1, ARCHITECT, "spoke")).turn is None


def test_rule_20_a_call_counts_before_the_provider_is_asked_and_its_bill_after() -> None:
    state = folded(log.TurnStarted(1, BUILDER, ""), log.ModelAsked(1, BUILDER))
    assert (state.spend.steps, state.spend.usd, state.spend_by[BUILDER].steps) == (1, 0.0, 1)
    state = folded(log.TurnStarted(1, BUILDER, ""), log.ModelAsked(1, BUILDER), replied(to("look"), turn=1))
    assert (state.spend.steps, state.spend.usd, state.spend.tokens) == (1, 0.01, 1050)
    assert state.turn is not None
    assert state.turn.steps == 1


def test_rule_2_a_thought_is_nowhere_in_the_state() -> None:
    state = folded(log.TurnStarted(1, BUILDER, ""), replied(text="hello", turn=1))
    assert "a thought" not in repr(state)
    assert state.exchanges[BUILDER].items == (StepItem("hello", ()),)


def test_a_later_result_replaces_the_held_one() -> None:
    state = folded(returned("c1", "apply", "held", request="r1"), returned("c1", "apply", "ok", request="r1"))
    assert [record.status for record in state.results.values()] == ["ok"]


def test_results_are_bounded_but_what_somebody_still_waits_for_stays() -> None:
    step = (to("look"), to("apply"))
    step = (replace(step[0], id="c0"), replace(step[1], id="c1"))
    waits = (log.TurnStarted(1, BUILDER, ""), replied(*step, turn=1), returned("c0"), returned("c1", status="held"))
    others = [returned(f"q{number}", by=QA) for number in range(RESULTS_KEPT + 50)]
    state = folded(*waits, *others)
    assert {"c0", "c1"} <= set(state.results)
    assert "q0" not in state.results
    assert len(state.results) <= RESULTS_KEPT + 2


def test_a_change_is_counted_and_what_exists_named_once() -> None:
    state = folded(*(returned(f"c{number}", "apply", changed=True, facts=APPLIED) for number in (1, 2)))
    assert (state.created, state.changed, state.destroyed) == (6, 2, 0)
    assert state.applied == ("cp1", "cp2")


# rule 8 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("back", "mark"), [(True, "passed"), (False, "open")])
def test_rule_8_a_drill_that_gave_everything_back_ages_no_evidence(*, back: bool, mark: str) -> None:
    shown = (planned("they run"), returned("e1", by=QA), evidence(1))
    drill = returned("d1", "fault_drill", by=QA, cls=CallClass.DESTROY, changed=not back, facts={"restored": back})
    assert marks(*shown, drill)[0] == mark


def test_rule_8_evidence_older_than_the_last_change_no_longer_counts() -> None:
    shown = (planned("they run"), returned("e1", "http_probe", by=QA), evidence(1))
    assert marks(*shown) == ["passed"]
    assert marks(*shown, returned("c1", "apply", changed=True)) == ["open"]
    again = (returned("e2", "http_probe", by=QA), evidence(1, call="e2"))
    assert marks(*shown, returned("c1", "apply", changed=True), *again) == ["passed"]


def test_rule_8_a_change_is_no_evidence_of_itself() -> None:
    assert marks(planned("they run"), returned("e1", "apply", by=QA, changed=True), evidence(1)) == ["open"]


def test_rule_8_evidence_recorded_after_a_change_from_a_result_before_it_does_not_count() -> None:
    late = (planned("x"), returned("e1", by=QA), returned("c1", "apply", changed=True), evidence(1))
    assert marks(*late) == ["open"]


def test_rule_8_an_unknown_outcome_may_have_changed_things() -> None:
    shown = (planned("they run"), returned("e1", "http_probe", by=QA), evidence(1))
    assert marks(*shown, returned("c1", "apply", "unknown_outcome")) == ["open"]


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (("passed", "passed"), "done"),
        (("passed", "unverifiable"), "partial"),
        (("passed", "failed"), None),
        (("passed",), None),
    ],
)
def test_rule_8_the_outcome_follows_from_the_marks(outcomes: tuple[EvidenceOutcome, ...], expected: str | None) -> None:
    shown = [evidence(number, outcome) for number, outcome in enumerate(outcomes, 1)]
    assert outcome_of(folded(planned("a", "b"), returned("e1", by=QA), *shown)) == expected


def test_rule_8_a_waiver_settles_a_criterion() -> None:
    state = folded(planned("a"), log.CriterionWaived(1, BO, "not here"))
    assert (mark_of(state, state.criteria[0]), outcome_of(state)) == ("waived", "done")


def test_rule_8_nothing_is_done_without_criteria_nor_by_words() -> None:
    words = (log.Spoke(1, QA, "Everything is done."), said("done"), log.HandedOff(1, QA, ARCHITECT, "done", None, "f"))
    assert outcome_of(folded(*words)) is None
    assert outcome_of(folded(planned("a"), *words)) is None
    assert folded(planned("a"), *words).ended == ""


def test_rule_8_an_open_request_or_question_keeps_a_mission_going() -> None:
    shown = (planned("a"), returned("e1", by=QA), evidence(1))
    question = log.Asked(QuestionId("q"), QA, "and?", ("yes",), 0, NOW)
    assert outcome_of(folded(*shown)) == "done"
    assert outcome_of(folded(*shown, asked_approval())) is None
    assert outcome_of(folded(*shown, question)) is None


# waiting for people -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [s for s in get_args(RequestStatus) if s in {"done", "denied", "expired", "superseded", "unknown_outcome"}])  # fmt: skip
def test_a_settled_request_wakes_its_asker(status: RequestStatus) -> None:
    ended = log.ApprovalEnded(RequestId("r1"), status, (BO,), "because")
    state = folded(log.TurnStarted(1, ARCHITECT, "1-0"), log.TurnEnded(1, ARCHITECT, "spoke"), asked_approval(), ended)
    assert [(wake.persona, wake.cause) for wake in state.wakes] == [(BUILDER, "settled")]
    assert not state.requests
    assert (state.asked, state.approved, state.denied) == (
        1, int(status in {"done", "unknown_outcome"}), int(status == "denied"),
    )  # fmt: skip


def test_rule_12_a_denial_is_kept_with_its_reason_and_who_said_it() -> None:
    state = folded(asked_approval(), log.ApprovalEnded(RequestId("r1"), "denied", (BO,), "too big"))
    assert [(denial.digest, denial.reason, denial.by) for denial in state.denials] == [("d-r1", "too big", (BO,))]


def test_an_approval_is_counted_for_who_gave_it() -> None:
    one = (asked_approval("r1"), log.ApprovalEnded(RequestId("r1"), "done", (BO,), ""))
    two = (asked_approval("r2"), log.ApprovalEnded(RequestId("r2"), "done", (BO, ANA), ""))
    assert folded(*one, *two).approvals_by == {BO: 2, ANA: 1}


def test_a_settled_request_of_the_last_step_says_nothing_more_than_its_result() -> None:
    call = replace(to("apply"), id="c1")
    asked = (log.TurnStarted(1, BUILDER, ""), replied(call, turn=1), returned("c1", "apply", "held", request="r1"),
             asked_approval(), log.TurnEnded(1, BUILDER, "suspended"))  # fmt: skip
    ended = (returned("c1", "apply", request="r1"), log.ApprovalEnded(RequestId("r1"), "done", (BO,), ""))
    state = folded(*asked, *ended)
    assert state.wakes[-1].text == ""
    state = folded(*asked, *ended, log.TurnStarted(2, BUILDER, state.wakes[-1].key))
    assert [type(item) for item in state.exchanges[BUILDER].items] == [StepItem]
    heard = folded(*asked, said("why?", name=BUILDER), log.TurnStarted(2, BUILDER, "7-0"), *ended)
    assert heard.wakes[-1].text == "Approval request r1 ended: done. Result c1 has the outcome."


def test_a_request_settled_while_its_askers_turn_is_open_gives_no_second_turn() -> None:
    call = replace(to("apply"), id="c1")
    held = (log.TurnStarted(1, BUILDER, "1-0"), replied(call, turn=1), returned("c1", "apply", "held", request="r1"))
    ended = log.ApprovalEnded(RequestId("r1"), "denied", (BO,), "no")
    assert not folded(*held, asked_approval(), returned("c1", "apply", "denied"), ended).wakes


def test_an_agent_with_a_held_call_keeps_its_exchange_when_people_speak() -> None:
    call = replace(to("apply"), id="c1")
    held = (log.TurnStarted(1, BUILDER, ""), replied(call, turn=1), returned("c1", "apply", "held", request="r1"))
    state = folded(*held, asked_approval(), log.TurnEnded(1, BUILDER, "suspended"), said("why?", by=BO, name=BUILDER),
                   log.TurnStarted(2, BUILDER, "7-0"))  # fmt: skip
    exchange = state.exchanges[BUILDER]
    assert [type(item) for item in exchange.items] == [StepItem, HeardItem]
    assert exchange.humans == {BO}


def test_a_hand_off_begins_a_new_exchange_that_knows_its_giver() -> None:
    handed = log.HandedOff(1, ARCHITECT, BUILDER, "write main.tf", 1, "f1")
    state = folded(
        log.TurnStarted(1, BUILDER, ""), replied(text="old", turn=1), handed, log.TurnStarted(2, BUILDER, "4-0")
    )
    assert state.exchanges[BUILDER].items == (HeardItem("From architect: write main.tf"),)
    assert state.exchanges[BUILDER].handed_by == ARCHITECT
    assert state.talk[-1].text == "→ builder: write main.tf"


def test_rule_12_whose_words_began_it_travels_with_the_hand_off() -> None:
    state = folded(
        said("make it bigger", by=BO), log.TurnStarted(1, ARCHITECT, "2-0"),
        log.HandedOff(1, ARCHITECT, BUILDER, "bigger", None, "f"), log.TurnEnded(1, ARCHITECT, "handed_off"),
        log.TurnStarted(2, BUILDER, "4-0"),
    )  # fmt: skip
    assert state.exchanges[BUILDER].humans == {BO}


def test_an_answer_wakes_who_asked_and_its_author_counts_as_requester() -> None:
    asked = log.Asked(QuestionId("q"), ARCHITECT, "a third machine?", ("no", "yes"), 0, NOW)
    state = folded(asked, log.QuestionAnswered(QuestionId("q"), "yes", BO))
    assert not state.questions
    assert state.wakes[-1].text == f"Answer to “a third machine?”: yes ({BO})"
    assert state.wakes[-1].humans == {BO}
    by_default = folded(asked, log.QuestionAnswered(QuestionId("q"), "no", ""))
    assert by_default.wakes[-1].humans == frozenset()
    assert "the default counts" in by_default.wakes[-1].text
    assert folded(log.QuestionAnswered(QuestionId("other"), "no", "")).wakes[1:] == ()


def test_rule_5_stop_empties_everything_that_could_move_the_mission() -> None:
    state = folded(
        said("x"), asked_approval(), log.Asked(QuestionId("q"), QA, "?", ("a",), 0, NOW),
        log.TurnStarted(1, BUILDER, "2-0"), log.StopPressed(BO), log.MissionEnded("stopped", ""),
    )  # fmt: skip
    assert (state.wakes, state.turn, state.requests, state.questions) == ((), None, {}, {})
    assert (state.stopped_by, state.ended) == (BO, "stopped")
    late = folded(said("x"), asked_approval(), log.StopPressed(BO), log.ApprovalEnded(RequestId("r1"), "done", (), ""))
    assert not late.wakes


def test_a_cancelled_request_wakes_nobody() -> None:
    assert len(folded(asked_approval(), log.ApprovalEnded(RequestId("r1"), "cancelled", (), "STOP")).wakes) == 1


def test_parked_time_and_idle_time_wait_for_people_and_are_no_work() -> None:
    idle = (log.TurnStarted(1, ARCHITECT, "1-0"), log.TurnEnded(1, ARCHITECT, "spoke"))
    state = folded(*idle, said("go on"), step_s=60)
    assert state.waited_s == 60
    parked = folded(*idle, log.Noted(BUILDER, "go on", "recovered"), log.Parked("budget", "used up"), step_s=60)
    assert waiting(parked)
    assert parked.waiting_since == NOW + timedelta(minutes=5)
    assert not waiting(folded(*idle, said("go on")))


def test_a_plan_appends_criteria_and_replaces_steps() -> None:
    second = replace(planned("b"), criteria=(replace(planned("b").criteria[0], number=2),), uncovered=("and an app",))
    state = folded(planned("a"), second)
    assert [criterion.text for criterion in state.criteria] == ["a", "b"]
    assert (len(state.steps), state.uncovered) == (1, ("and an app",))
    assert folded(planned("a"), log.Planned((), (), ())).steps == planned("a").steps


def test_rule_18_an_accepted_finding_stays_accepted_whatever_a_later_verdict_says() -> None:
    finding = Finding("f1", "CKV_1", "vm.cp1", "high", "open port")
    verdict = log.VerdictRecorded(Verdict("p1", SENTINEL, passed=False, checks=(CallId("s1"),), findings=(finding,)))
    state = folded(verdict, log.FindingAccepted("f1", BO, "lab only"), verdict)
    assert (state.findings["f1"].status, state.findings["f1"].accepted_by) == ("accepted", BO)
    assert folded(log.FindingAccepted("unknown", BO, "x")).findings == {}
    assert set(state.verdicts) == {"p1"}


def test_rule_20_an_extension_multiplies_and_lets_warnings_come_again() -> None:
    state = folded(log.BudgetWarned("mission usd"), log.Parked("budget", "used up"), log.BudgetExtended(BO, 1.5))
    assert (state.factor, state.warned, state.parked, state.parked_text) == (1.5, (), "", "")


def test_a_turn_that_came_back_for_want_of_a_hand_off_comes_back_once_per_progress() -> None:
    handed = log.HandedOff(1, ARCHITECT, BUILDER, "x", None, "f")
    first = (log.TurnStarted(1, ARCHITECT, "1-0"), handed, log.TurnEnded(1, ARCHITECT, "handed_off"),
             log.TurnStarted(2, BUILDER, "3-0"))  # fmt: skip
    assert goes_back_to(folded(*first), BUILDER) == ARCHITECT
    noted = (log.TurnEnded(2, BUILDER, "spoke"), log.Noted(ARCHITECT, "it spoke", "returned"))
    again = (log.TurnStarted(3, ARCHITECT, "7-0"), handed, log.TurnStarted(4, BUILDER, "9-0"))
    assert goes_back_to(folded(*first, *noted, *again), BUILDER) is None
    assert goes_back_to(folded(*first, *noted, *again, planned("new")), BUILDER) == ARCHITECT
    assert goes_back_to(folded(*first, said("wait")), BUILDER) is None


def test_every_kind_of_entry_is_known_to_the_fold() -> None:
    kinds = {kind.__dataclass_fields__["kind"].default for kind in get_args(log.Entry)}
    assert len(kinds) == len(get_args(log.Entry))
    assert folded(log.TurnStarted(1, PersonaName("qa"), "")).last_persona == "qa"
    assert folded(returned("c", cls=CallClass.CHANGE)).results[CallId("c")].cls is CallClass.CHANGE


def test_rule_12_names_that_people_took_out_stay_out_until_the_request_is_amended() -> None:
    ended = log.ApprovalEnded(RequestId("r1"), "denied", (BO,), "leave out cp2", ("cp2",))
    state = folded(asked_approval(), ended)
    assert state.left_out == ("cp2",)
    assert folded(asked_approval(), ended, log.RequestAmended(ANA, "with cp2 after all")).left_out == ()
