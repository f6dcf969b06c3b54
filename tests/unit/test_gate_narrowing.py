"""Names taken out of a request: what may be taken out, what it ends as, and what the agent may propose then."""

from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.approvals import Counted, Held, NotCounted, VoteAnswer
from bot.domain.calls import CallClass, Effect, Item, Target
from bot.domain.ids import RequestId, UserId
from bot.domain.inbound import Reply, VoteCast
from tests.fakes import BO, CHRIS, MALLORY, THREAD
from tests.gate_house import CHANGE, House, reviewed


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def narrow(house: House, request: RequestId, *names: str, user: UserId = BO) -> VoteAnswer:
    reply = Reply(THREAD.team, THREAD.channel, THREAD.ts, user)
    return await house.gate.vote(VoteCast(request, "deny", "", "", reply, leave_out=names))


async def test_rule_12_narrowing_ends_the_request_and_tells_the_names(house: House) -> None:
    request = await house.held()
    assert house.gate.card(request).narrow
    answer = await narrow(house, request.id, "cp2", "cp2")
    assert isinstance(answer, Counted)
    assert (answer.request.status, answer.request.left_out) == ("denied", ("cp2",))
    assert house.audit.kinds()[-1] == "request.narrowed"
    assert house.audit.events[-1].facts["left_out"] == ["cp2"]
    settlement = await house.settle(answer.request)
    assert (settlement.result.status, settlement.result.facts["left_out"], house.apply.ran) == ("denied", ["cp2"], 0)
    assert "a human takes out cp2" in settlement.result.text
    card = house.gate.card(answer.request)
    assert (card.narrow, card.outcome.startswith("Narrowed · leave out cp2")) == (False, True)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("cp3",), "cp3 is not in request"),
        (("",), " is not in request"),
        (("cp1", "cp2", "pve1", "pve2"), "leaves nothing"),
    ],
)
async def test_rule_12_narrowing_never_adds_and_leaves_something(
    house: House, names: tuple[str, ...], text: str
) -> None:
    request = await house.held()
    answer = await narrow(house, request.id, *names)
    assert isinstance(answer, NotCounted)
    assert (answer.why, text in answer.text) == ("not_named", True)
    assert house.approvals.requests[request.id].status == "pending"
    assert house.audit.kinds()[-1] == "vote.refused_not_named"


async def test_rule_12_only_who_may_decide_narrows(house: House) -> None:
    request = await house.held()
    answer = await narrow(house, request.id, "cp2", user=MALLORY)
    assert isinstance(answer, NotCounted)
    assert answer.why == "not_an_approver"


async def test_votes_given_before_are_gone_with_the_request(house: House) -> None:
    request = await house.held()
    house.approvals.requests[request.id] = replace(request, terms=replace(request.terms, quorum=2))
    await house.vote(request.id, CHRIS)
    await narrow(house, request.id, "cp2")
    house.state = reviewed(left_out=("cp2",))
    house.apply.effect = replace(CHANGE, items=CHANGE.items[:1], create=1)
    again = await house.propose(number=1)
    assert isinstance(again, Held)
    assert (again.request.votes, again.request.without) == ((), ("cp2",))
    assert "Without cp2, as people asked" in house.gate.card(again.request).facts


@pytest.mark.parametrize(
    "effect",
    [
        CHANGE,
        replace(CHANGE, items=(Item("delete", "cp2"),), cls=CallClass.DESTROY),
        replace(CHANGE, items=(), targets=(Target("vm", "cp2"),)),
    ],
)
async def test_rule_12_what_was_taken_out_is_refused_before_anyone_is_asked(house: House, effect: Effect) -> None:
    house.apply.effect = effect
    house.state = reviewed(left_out=("cp2",))
    assert "people took cp2 out" in await house.refused()
    assert house.audit.events[-1].facts["why"] == "left_out"


async def test_one_name_cannot_be_narrowed(house: House) -> None:
    house.apply.effect = replace(CHANGE, items=CHANGE.items[:1], targets=(Target("vm", "cp1"),))
    assert not house.gate.card(await house.held()).narrow


async def test_one_command_on_one_host_cannot_be_narrowed_and_two_hosts_can(house: House) -> None:
    command = (Item("update", "touch x", where="web1"),)
    house.apply.effect = replace(CHANGE, items=command, targets=(Target("host", "web1"),))
    assert not house.gate.card(await house.held()).narrow
    house.apply.effect = replace(CHANGE, items=command, targets=(Target("host", "web1"), Target("host", "web2")))
    assert house.gate.card(await house.held(number=1)).narrow
