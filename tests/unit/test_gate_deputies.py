"""Who decides in another's place: delegation and break-glass change who may approve, never what (rule 12)."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.domain.approvals import ApprovalRequest, Counted, NotCounted
from bot.domain.deputies import Deputy
from bot.domain.ids import UserId
from bot.domain.people import Human, Role
from tests.fakes import ANA, BO, CHRIS, MALLORY
from tests.gate_house import DESTROY, SECRET, House, reviewed

DORA, EVE = UserId("U0DORA0001"), UserId("U0EVE00001")
FOUR = timedelta(hours=4)
WHY = "on holiday"


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path)
    house.people.humans[DORA] = Human(DORA, "dora", frozenset({Role.REQUESTER}))
    house.people.humans[EVE] = Human(EVE, "eve", frozenset({Role.RISK_OWNER}))
    return house


async def offered(house: House, giver: UserId = BO, to: UserId = DORA, lasts: timedelta = FOUR) -> Deputy:
    made, text = await house.gate.delegate(giver, to, lasts, WHY)
    assert made is not None, text
    return made


async def delegated(house: House, giver: UserId = BO, to: UserId = DORA) -> Deputy:
    live, text = await house.gate.accept(to, (await offered(house, giver, to)).id)
    assert live is not None, text
    return live


async def broken(house: House, request: ApprovalRequest, *people: UserId) -> Deputy:
    house.clock.move(900)
    answers = [await house.gate.break_glass(user, request.short, f"{user} says so") for user in people]
    made, text = answers[-1]
    assert made is not None, text
    return made


async def refused(house: House, request: ApprovalRequest, user: UserId, **more: Any) -> NotCounted:
    answer = await house.vote(request.id, user, **more)
    assert isinstance(answer, NotCounted), answer
    return answer


async def counted(house: House, request: ApprovalRequest, user: UserId, **more: Any) -> ApprovalRequest:
    answer = await house.vote(request.id, user, **more)
    assert isinstance(answer, Counted), answer
    return answer.request


async def test_rule_12_a_deputy_decides_and_the_giver_does_not_meanwhile(house: House) -> None:
    await delegated(house)
    request = await house.held()
    assert house.gate.card(request).who_may == (CHRIS, DORA)
    told = await refused(house, request, BO)
    assert (told.why, "You handed your role on (decided for by dora)" in told.text) == ("not_an_approver", True)
    approved = await counted(house, request, DORA)
    settlement = await house.settle(approved)
    assert (settlement.request.status, house.apply.ran) == ("done", 1)
    (mark,) = approved.marks
    assert mark.startswith("dora for bo (delegation ")
    assert mark in house.gate.card(settlement.request, settlement.result).outcome
    kinds = house.audit.kinds()
    assert kinds.index("delegation.offered") < kinds.index("delegation.begun") < kinds.index("vote.cast")
    voted = next(event for event in house.audit.events if event.kind == "request.approved")
    assert voted.facts["through"] == mark


async def test_rule_12_an_offer_alone_changes_nothing(house: House) -> None:
    await offered(house)
    request = await house.held()
    assert house.gate.card(request).who_may == (BO, CHRIS)
    assert (await refused(house, request, DORA)).why == "not_an_approver"
    assert (await counted(house, request, BO)).marks == ()


async def test_rule_12_one_approver_and_their_deputy_are_never_two(house: House) -> None:
    await delegated(house)
    request = await house.held()
    await counted(house, request, DORA)
    assert (await refused(house, request, BO)).why in {"not_an_approver", "already_decided"}


@pytest.mark.parametrize("ends", ["giver", "deputy", "admin", "role of the giver", "deputy leaves", "guest"])
async def test_rule_12_a_delegation_ends_and_what_was_approved_through_it_does_not_run(house: House, ends: str) -> None:
    made = await delegated(house)
    request = await house.held()
    approved = await counted(house, request, DORA)
    people = house.people.humans
    match ends:
        case "giver" | "deputy" | "admin":
            who = {"giver": BO, "deputy": DORA, "admin": CHRIS}[ends]
            assert (await house.gate.end_deputy(who, made.id))[0] == made
        case "role of the giver":
            people[BO] = Human(BO, "bo", frozenset({Role.REQUESTER}))
        case "deputy leaves":
            del people[DORA]
        case _:
            people[DORA] = Human(DORA, "dora", frozenset(), "guest")
    settlement = await house.settle(approved)
    assert (settlement.request.status, house.apply.ran) == ("superseded", 0)
    assert "may no longer approve it, so 0 of 1 votes count" in settlement.request.note


async def test_rule_12_a_delegation_ends_with_its_time(house: House) -> None:
    await house.gate.accept(DORA, (await offered(house, lasts=timedelta(hours=1))).id)
    request = await house.held()
    house.clock.move(3599)
    approved = await counted(house, request, DORA)
    house.clock.move(1)
    assert (await house.settle(approved)).request.status == "superseded"
    assert (await house.gate.deputies(), house.apply.ran) == ((), 0)
    assert house.audit.kinds().count("delegation.ended") == 1


async def test_rule_12_who_asked_is_not_approved_for_by_their_own_deputy(house: House) -> None:
    house.people.humans[ANA] = Human(ANA, "ana", frozenset({Role.REQUESTER, Role.APPROVER}))
    await delegated(house, ANA, DORA)
    request = await house.held()
    assert house.gate.card(request).who_may == (BO, CHRIS)
    told = await refused(house, request, DORA)
    assert (told.why, told.text.startswith("The approver for whom you decide asked for this")) == ("is_requester", True)
    house.state = reviewed(amendments=((DORA, "one more"),))
    await house.gate.end_deputy(ANA, (await house.gate.deputies())[0].id)
    await delegated(house, BO, DORA)
    mine = await house.held(number=1, what="else")
    assert (await refused(house, mine, DORA)).text.startswith("You asked for this")


async def test_rule_12_a_step_up_and_a_freeze_hold_for_deputies_too(house: House) -> None:
    await delegated(house)
    house.apply.effect = DESTROY
    request = await house.held()
    assert (await refused(house, request, DORA, typed="cp1")).why == "typed_wrong"
    await house.gate.freeze(CHRIS, "moving")
    assert (await refused(house, request, DORA, typed="cp1 cp2")).why == "frozen"
    await house.gate.thaw(CHRIS)
    assert (await counted(house, request, DORA, typed="cp1 cp2")).status == "approved"


@pytest.mark.parametrize(
    ("giver", "to", "lasts", "reason", "why"),
    [
        (ANA, DORA, FOUR, WHY, "Only an approver"), (MALLORY, DORA, FOUR, WHY, "Only an approver"),
        (BO, BO, FOUR, WHY, "another person"), (BO, MALLORY, FOUR, WHY, "another person"),
        (BO, UserId("U0STRANGER"), FOUR, WHY, "another person"), (BO, CHRIS, FOUR, WHY, "chris is an approver already"),
        (BO, DORA, FOUR, "  ", "A reason is missing"), (BO, DORA, timedelta(seconds=59), WHY, "A delegation ends"),
        (BO, DORA, timedelta(days=14, seconds=1), WHY, "A delegation ends"),
    ],
)  # fmt: skip
async def test_an_offer_that_does_not_fit_is_refused_and_audited(
    house: House, giver: UserId, to: UserId, lasts: timedelta, reason: str, why: str
) -> None:
    made, text = await house.gate.delegate(giver, to, lasts, reason)
    assert (made, why in text) == (None, True)
    assert (house.audit.kinds()[-1], house.audit.events[-1].facts["wanted"]) == ("deputy.refused", "delegate")
    assert await house.gate.deputies() == ()


async def test_a_role_is_handed_on_once_and_by_its_holder_only(house: House) -> None:
    await delegated(house)
    for giver, to in ((BO, EVE), (CHRIS, DORA), (DORA, EVE)):
        made, text = await house.gate.delegate(giver, to, FOUR, WHY)
        assert made is None
        assert "already" in text or "Only an approver" in text


async def test_only_the_person_it_was_offered_to_accepts_it_and_once(house: House) -> None:
    made = await offered(house)
    for user, wanted in ((EVE, made.id), (BO, made.id), (DORA, "ffff"), (DORA, "")):
        live, text = await house.gate.accept(user, wanted)
        assert (live, text) == (None, "No delegation with this number is offered to you.")
    live = (await house.gate.accept(DORA, made.id))[0]
    assert live == replace(made, live=True)
    assert (await house.gate.accept(DORA, made.id))[0] == live, "heard twice, it is what it was"
    assert house.audit.kinds().count("delegation.begun") == 1


@pytest.mark.parametrize("changed", ["giver", "deputy gone", "deputy rose"])
async def test_an_offer_is_void_where_roles_changed_before_it_was_taken(house: House, changed: str) -> None:
    made = await offered(house)
    match changed:
        case "giver":
            house.people.humans[BO] = Human(BO, "bo", frozenset({Role.REQUESTER}))
        case "deputy gone":
            del house.people.humans[DORA]
        case _:
            house.people.humans[DORA] = Human(DORA, "dora", frozenset({Role.APPROVER}))
    assert (await house.gate.accept(DORA, made.id))[0] is None


async def test_rule_12_two_deputies_of_one_approver_are_one_vote(house: House) -> None:
    """Two workers accepted at once, each before the other's was there."""
    first = await delegated(house, BO, DORA)
    twin = replace(first, id="ffff", to=EVE, to_name="eve", opened_at=first.opened_at + timedelta(seconds=1))
    assert await house.deputies.put(twin)
    request = await house.held()
    assert await house.approvals.raise_quorum(request.id, 2)
    assert (await counted(house, request, DORA)).status == "pending"
    assert (await refused(house, request, EVE)).why == "not_an_approver"
    assert house.gate.card(request).who_may == (CHRIS, DORA)


async def test_a_second_offer_of_one_approver_is_not_taken(house: House) -> None:
    first = await offered(house, BO, DORA)
    twin = replace(first, id="ffff", to=EVE, to_name="eve")
    assert await house.deputies.put(twin)
    assert (await house.gate.accept(DORA, first.id))[0] is not None
    live, text = await house.gate.accept(EVE, "ffff")
    assert (live, text) == (None, "One of you gives or holds another delegation already.")


async def test_rule_12_what_break_glass_raised_comes_down_when_it_ends(house: House) -> None:
    request = await house.held()
    made = await broken(house, request, DORA, EVE)
    await counted(house, request, DORA)
    assert (await house.gate.end_deputy(EVE, made.id))[0] is not None
    assert (await refused(house, request, DORA)).why == "not_an_approver"
    approved = await counted(house, request, BO)
    assert (approved.status, approved.terms.quorum, [one.user for one in approved.votes]) == ("approved", 1, [BO])
    assert ((await house.settle(approved)).request.status, house.apply.ran) == ("done", 1)


async def test_who_handed_their_role_on_joins_no_break_glass(house: House) -> None:
    request = await house.held()
    await delegated(house, BO, DORA)
    house.clock.move(900)
    made, text = await house.gate.break_glass(BO, request.short, "I am here after all")
    assert made is None and text.startswith("You handed your role on (decided for by dora)")
    assert (await house.gate.break_glass(EVE, request.short, "nobody answers"))[0] is not None
    assert (await house.gate.break_glass(BO, request.short, "I am here after all"))[0] is None


async def test_strangers_end_nobodys_delegation(house: House) -> None:
    made = await delegated(house)
    for user in (EVE, MALLORY):
        ended, text = await house.gate.end_deputy(user, made.id)
        assert (ended, text) == (None, "There is no such delegation or break-glass of yours.")
    assert await house.gate.deputies() == (made,)


async def test_rule_12_break_glass_takes_two_who_did_not_ask_and_both_approve(house: House) -> None:
    request = await house.held()
    made = await broken(house, request, DORA, EVE)
    assert (made.live, made.reason) == (True, f"{DORA} says so; {EVE} says so")
    stored = (await house.gate.card_of(request.id) or (request,))[0]
    assert (stored.terms.quorum, house.gate.card(stored).who_may) == (2, (BO, CHRIS, DORA, EVE))
    assert (await counted(house, stored, DORA)).status == "pending"
    assert (await refused(house, stored, DORA)).why == "already_voted"
    approved = await counted(house, stored, EVE)
    assert approved.status == "approved"
    settlement = await house.settle(approved)
    assert (settlement.request.status, house.apply.ran) == ("done", 1)
    assert len(approved.marks) == 2
    outcome = house.gate.card(settlement.request, settlement.result).outcome
    assert f"dora by break-glass {made.id}" in outcome and f"eve by break-glass {made.id}" in outcome
    kinds = house.audit.kinds()
    assert kinds.index("break_glass.asked") < kinds.index("break_glass.begun") < kinds.index("request.approved")


async def test_rule_12_break_glass_is_for_one_request_only(house: House) -> None:
    request = await house.held()
    other = await house.held(number=1, what="else")
    await broken(house, request, DORA, EVE)
    if other.id != request.id:
        assert (await refused(house, other, DORA)).why == "not_an_approver"


async def test_rule_12_break_glass_gives_no_grant_and_lifts_no_freeze(house: House) -> None:
    request = await house.held()
    await broken(house, request, DORA, EVE)
    await house.gate.freeze(CHRIS, "moving")
    assert (await refused(house, request, DORA)).why == "frozen"
    await house.gate.thaw(CHRIS)
    answer = await house.vote(request.id, DORA, grant=True)
    assert isinstance(answer, Counted)
    assert not answer.request.votes[0].grant


@pytest.mark.parametrize("when", ["first alone", "ended", "second leaves", "second asked"])
async def test_rule_12_break_glass_needs_both_until_it_runs(house: House, when: str) -> None:
    request = await house.held()
    if when == "first alone":
        await broken(house, request, DORA)
        assert (await refused(house, request, DORA)).why == "not_an_approver"
        house.clock.move(901)
        assert await house.gate.deputies() == ()
        assert "break_glass.ended" in house.audit.kinds()
        return
    made = await broken(house, request, DORA, EVE)
    await counted(house, request, DORA)
    if when == "second asked":
        assert (await refused(house, request, ANA)).why == "not_an_approver"
        return
    approved = await counted(house, request, EVE)
    if when == "ended":
        assert (await house.gate.end_deputy(CHRIS, made.id))[0] is not None
    else:
        del house.people.humans[EVE]
    settlement = await house.settle(approved)
    assert (settlement.request.status, house.apply.ran) == ("superseded", 0)


@pytest.mark.parametrize(
    ("user", "wanted", "reason", "early", "why"),
    [
        (MALLORY, "", "x", False, "two people who are listed"), (UserId("U0STRANGER"), "", "x", False, "two people who are"),
        (DORA, "zzzz", "x", False, "Which request?"), (ANA, "", "x", False, "never lets who asked"),
        (BO, "", "x", False, "You may decide this request as it is"), (DORA, "", " ", False, "A reason is missing"),
        (DORA, "", "x", True, "Approvers have until 10:15 UTC to answer first."),
    ],
)  # fmt: skip
async def test_break_glass_that_does_not_fit_is_refused_and_audited(
    *,
    house: House,
    user: UserId,
    wanted: str,
    reason: str,
    early: bool,
    why: str,
) -> None:
    request = await house.held()
    house.clock.move(899 if early else 900)
    made, text = await house.gate.break_glass(user, wanted or request.short, reason)
    assert (made, why in text) == (None, True)
    assert (house.audit.kinds()[-1], house.audit.events[-1].facts["wanted"]) == ("deputy.refused", "break-glass")


async def test_one_person_is_not_two_and_a_third_does_not_join(house: House) -> None:
    request = await house.held()
    await broken(house, request, DORA)
    assert "a second listed person has to join" in (await house.gate.break_glass(DORA, request.short, "again"))[1]
    assert (await house.gate.break_glass(EVE, request.short, "me too"))[0] is not None
    house.people.humans[MALLORY] = Human(MALLORY, "mallory", frozenset({Role.RISK_OWNER}))
    assert "Two people have it already" in (await house.gate.break_glass(MALLORY, request.short, "and me"))[1]


async def test_no_number_means_no_request_and_a_decided_one_is_not_broken_into(house: House) -> None:
    request = await house.held()
    house.clock.move(900)
    assert (await house.gate.break_glass(DORA, "", "x"))[0] is None
    await broken(house, request, DORA)
    await house.vote(request.id, BO, "deny", reason="no")
    assert (await house.gate.break_glass(EVE, request.short, "x"))[1].startswith("Which request?")


async def test_secrets_in_a_reason_reach_nobody(house: House) -> None:
    made, _ = await house.gate.delegate(BO, DORA, FOUR, f"because of {SECRET}")
    assert made is not None
    assert SECRET not in made.reason
    assert SECRET not in str(house.audit.events)
