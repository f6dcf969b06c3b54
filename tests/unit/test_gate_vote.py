"""Clicks: which count, and what the others are told. Every refusal has its own words and its own audit event."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from bot.domain.approvals import Counted, NotCounted
from bot.domain.calls import Target
from bot.domain.ids import RequestId, Thread, UserId
from bot.domain.inbound import Reply, VoteCast
from bot.domain.people import Human, Role
from bot.domain.storage import StoreUnavailableError
from tests.fakes import ANA, BO, CHRIS, MALLORY, THREAD
from tests.gate_house import DESTROY, SECRET, House, reviewed

STRANGER = UserId("U0STRANGER")


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def refusal(
    house: House, request: RequestId, user: UserId, ballot: str = "approve", typed: str = ""
) -> NotCounted:
    answer = await house.vote(request, user, ballot, typed=typed)
    assert isinstance(answer, NotCounted), answer
    return answer


async def test_an_approver_who_did_not_ask_approves(house: House) -> None:
    request = await house.held()
    answer = await house.vote(request.id, BO)
    assert isinstance(answer, Counted)
    assert answer.request.status == "approved"
    assert house.audit.kinds() == ["request.asked", "vote.cast", "request.approved"]
    assert house.audit.events[-1].who == BO
    assert house.audit.events[-1].facts["card"] != house.audit.events[0].facts["card"]


async def test_rule_12_a_requester_does_not_approve_in_production(house: House) -> None:
    house.people.humans[ANA] = Human(ANA, "ana", frozenset({Role.REQUESTER, Role.APPROVER}))
    request = await house.held()
    answer = await refusal(house, request.id, ANA)
    assert (answer.why, answer.text) == (
        "is_requester", "You asked for this, so someone else has to approve it: @bo, @chris.",
    )  # fmt: skip
    assert answer.mention == (BO, CHRIS)
    assert house.audit.kinds()[-1] == "vote.refused_requester"
    assert house.approvals.requests[request.id].votes == ()


async def test_rule_12_a_requester_who_is_the_only_approver_is_told_so(house: House) -> None:
    house.people.humans = {ANA: Human(ANA, "ana", frozenset({Role.APPROVER}))}
    request = await house.held()
    assert (await refusal(house, request.id, ANA)).text.endswith(": nobody else is listed in people.yaml.")


async def test_a_requester_who_approves_may_still_deny(house: House) -> None:
    house.people.humans[ANA] = Human(ANA, "ana", frozenset({Role.REQUESTER, Role.APPROVER}))
    request = await house.held()
    answer = await house.vote(request.id, ANA, "deny", reason="changed my mind")
    assert isinstance(answer, Counted)
    assert answer.request.status == "denied"


async def test_rule_12_outside_production_a_requester_may_approve(house: House) -> None:
    house.people.humans[ANA] = Human(ANA, "ana", frozenset({Role.REQUESTER, Role.APPROVER}))
    house.apply.effect = replace(house.apply.effect, targets=(Target("node", "lab1"),))
    house.state = reviewed(environment="lab")
    request = await house.held()
    assert isinstance(await house.vote(request.id, ANA), Counted)


@pytest.mark.parametrize(
    ("user", "standing", "text"),
    [
        (MALLORY, "guest", "Guests cannot decide here"),
        (CHRIS, "external", "People of other workspaces cannot"),
        (CHRIS, "deactivated", "This account is deactivated"),
        (CHRIS, "bot", "Only people decide"),
        (STRANGER, "unlisted", "You are not listed in people.yaml"),
        (CHRIS, "unknown, because people.yaml is broken", "Nobody can decide now (unknown, because"),
    ],
)
async def test_rule_12_outsiders_change_nothing(house: House, user: UserId, standing: str, text: str) -> None:
    request = await house.held()
    house.people.humans[user] = Human(user, "x", frozenset({Role.APPROVER}), standing)
    for ballot in ("approve", "deny"):
        answer = await refusal(house, request.id, user, ballot)
        assert answer.why == "not_an_approver"
        assert answer.text.startswith(text)
        assert house.audit.kinds()[-1] == "vote.refused_not_an_approver"
    assert house.approvals.requests[request.id].status == "pending"


@pytest.mark.parametrize("ballot", ["approve", "deny"])
async def test_rule_12_a_click_from_another_workspace_counts_for_nothing_whoever_it_names(
    house: House, ballot: Literal["approve", "deny"]
) -> None:
    request = await house.held()
    reply = Reply(THREAD.team, THREAD.channel, THREAD.ts, BO, foreign=True)  # BO's id, and not from BO's workspace
    answer = await house.gate.vote(VoteCast(request.id, ballot, "", "", reply))
    assert isinstance(answer, NotCounted)
    assert answer.text == (
        "People of other workspaces cannot decide here, so this click changed nothing. Who may decide: @bo, @chris."
    )
    assert house.audit.kinds()[-1] == "vote.refused_not_an_approver"
    assert house.approvals.requests[request.id].votes == ()


async def test_rule_12_roles_are_read_at_the_click(house: House) -> None:
    request = await house.held()
    house.people.humans[BO] = Human(BO, "bo", frozenset({Role.REQUESTER}))
    answer = await refusal(house, request.id, BO)
    assert (
        answer.text == "Deciding this takes the role approver, so this click changed nothing. Who may decide: @chris."
    )


async def test_rule_12_one_deny_ends_it_with_the_reason_redacted(house: House) -> None:
    request = await house.held()
    answer = await house.vote(request.id, BO, "deny", reason=f"not with {SECRET}")
    assert isinstance(answer, Counted)
    assert (answer.request.status, answer.request.note) == ("denied", "not with ‹secret:pve_token›")
    assert house.audit.kinds()[-1] == "request.denied"
    late = await refusal(house, request.id, CHRIS)
    assert (late.why, late.text) == (
        "already_decided", f"Request {request.short} is denied already: not with ‹secret:pve_token›.",
    )  # fmt: skip


async def test_a_second_click_on_an_approved_request_is_answered(house: House) -> None:
    request = await house.approved(BO)
    answer = await refusal(house, request.id, CHRIS)
    assert (answer.why, answer.text) == ("already_decided", f"Request {request.short} is approved already.")
    assert house.audit.kinds()[-1] == "vote.refused_decided"


async def test_an_expired_request_is_answered_as_expired(house: House) -> None:
    request = await house.held()
    house.clock.move(request.terms.expires_s)
    answer = await refusal(house, request.id, BO)
    assert (answer.why, answer.text) == (
        "expired", f"Request {request.short} expired at 14:00 UTC. Nothing ran; the crew can ask again.",
    )  # fmt: skip
    assert house.audit.kinds()[-1] == "vote.refused_expired"
    await house.gate.expire(request.id)
    assert (await refusal(house, request.id, BO)).why == "expired"


async def test_a_cancelled_and_a_superseded_request_have_their_own_answers(house: House) -> None:
    request = await house.held()
    await house.gate.cancel_all(THREAD, "STOP was pressed")
    answer = await refusal(house, request.id, BO)
    assert (answer.why, answer.text) == (
        "cancelled",
        f"Request {request.short} was cancelled: STOP was pressed. Nothing ran.",
    )
    other = await house.held(number=1)
    await house.approvals.end(other.id, "superseded", "")
    answer = await refusal(house, other.id, BO)
    assert (answer.why, answer.text) == (
        "superseded", f"Request {other.short} no longer fits. Nothing ran; the crew can ask again.",
    )  # fmt: skip


async def test_a_click_on_nothing_is_answered(house: House) -> None:
    answer = await refusal(house, RequestId("f" * 32), BO)
    assert (answer.why, answer.text) == ("unknown", "There is no such request. Nothing changed.")
    assert house.audit.kinds() == ["vote.refused_unknown"]


@pytest.mark.parametrize(
    "place", [Thread("T2", "C1", THREAD.ts), Thread("T1", "C2", THREAD.ts), Thread("T1", "C1", "1.1")]
)
async def test_rule_15_a_button_elsewhere_decides_nothing(house: House, place: Thread) -> None:
    request = await house.held()
    answer = await house.vote(request.id, BO, place=place)
    assert isinstance(answer, NotCounted)
    assert answer.why == "wrong_place"
    assert house.approvals.requests[request.id].votes == ()


async def test_the_names_have_to_be_typed_to_destroy_and_not_to_deny(house: House) -> None:
    house.apply.effect = DESTROY
    request = await house.held()
    for typed in ("", "cp1", "cp1 cp2 cp3", "CP1 CP2"):
        answer = await refusal(house, request.id, BO, typed=typed)
        assert (answer.why, answer.text) == ("typed_wrong", "Not approved: type exactly cp1 cp2")
    assert house.audit.kinds()[-1] == "vote.refused_typed"
    answer = await house.vote(request.id, BO, typed=" cp1,  cp2 ")
    assert isinstance(answer, Counted)


async def test_a_deny_needs_no_typing(house: House) -> None:
    house.apply.effect = DESTROY
    request = await house.held()
    assert isinstance(await house.vote(request.id, BO, "deny"), Counted)


async def test_two_votes_are_needed_where_the_terms_say_two(house: House) -> None:
    request = await house.held()
    house.approvals.requests[request.id] = replace(request, terms=replace(request.terms, quorum=2))
    first = await house.vote(request.id, BO)
    assert isinstance(first, Counted)
    assert (first.request.status, house.audit.kinds()[-1]) == ("pending", "vote.counted")
    again = await refusal(house, request.id, BO)
    assert (again.why, again.text) == ("already_voted", "Your vote is counted already: 1 of 2.")
    second = await house.vote(request.id, CHRIS)
    assert isinstance(second, Counted)
    assert second.request.status == "approved"


async def test_of_two_people_who_click_at_once_one_counts_and_one_is_told(house: House) -> None:
    request = await house.held()

    async def chris_is_faster() -> None:
        house.approvals.before_vote = None
        assert isinstance(await house.vote(request.id, CHRIS), Counted)

    house.approvals.before_vote = chris_is_faster
    answer = await refusal(house, request.id, BO)
    assert answer.why == "already_decided"
    assert [vote.user for vote in house.approvals.requests[request.id].votes] == [CHRIS]


async def test_a_request_that_runs_out_during_the_click_is_expired(house: House) -> None:
    request = await house.held()

    async def run_out() -> None:
        house.approvals.requests[request.id] = replace(request, expires_at=house.clock.now())

    house.approvals.before_vote = run_out
    answer = await refusal(house, request.id, BO)
    assert answer.why == "expired"
    assert "expired at 10:00 UTC" in answer.text


async def test_a_vote_that_cannot_be_audited_does_not_count(house: House) -> None:
    request = await house.held()
    house.audit.broken = True
    with pytest.raises(StoreUnavailableError):
        await house.vote(request.id, BO)
    assert house.approvals.requests[request.id].votes == ()


async def test_a_form_is_only_opened_for_who_may_decide(house: House) -> None:
    request = await house.held()
    assert await house.gate.may_vote(request.id, BO, THREAD) is None
    refused = await house.gate.may_vote(request.id, MALLORY, THREAD)
    assert refused is not None
    assert refused.why == "not_an_approver"
    unknown = await house.gate.may_vote(RequestId("0" * 32), BO, THREAD)
    assert unknown is not None
    assert house.audit.kinds()[-2:] == ["vote.refused_not_an_approver", "vote.refused_unknown"]


async def test_rule_12_an_agent_cannot_vote(house: House) -> None:
    """Votes come with Slack user ids of people; a persona is no user, and its app's bot user is no member."""
    request = await house.held()
    for name in ("builder", "watchbill", "U0BUILDERBOT"):
        assert (await refusal(house, request.id, UserId(name))).why == "not_an_approver"


async def test_rule_12_a_button_in_a_list_shown_to_one_person_decides_wherever_it_is(house: House) -> None:
    request = await house.held()
    elsewhere = Reply(THREAD.team, "C0OTHER", "", BO, ephemeral=True)
    for reply in (replace(elsewhere, ephemeral=False), replace(elsewhere, team="T2")):
        answer = await house.gate.vote(VoteCast(request.id, "approve", "", "", reply))
        assert isinstance(answer, NotCounted)
        assert answer.why == "wrong_place"
    assert isinstance(await house.gate.vote(VoteCast(request.id, "approve", "", "", elsewhere)), Counted)
