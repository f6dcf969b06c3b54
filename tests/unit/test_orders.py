"""Orders are loud: what changes who may approve is told, also where the program died between the two (rule 12)."""

from pathlib import Path
from typing import Any, cast

import pytest

from bot.domain.ids import UserId
from bot.domain.inbound import Commanded, Reply
from bot.domain.people import Human, Role
from bot.domain.posts import Notice, Post, Private
from bot.orders import Orders
from tests.fakes import BO
from tests.gate_house import House

DORA, EVE = UserId("U0DORA0001"), UserId("U0EVE00001")


class DiedError(Exception):
    """The program, in the moment when it would have told."""


class Told:
    """An outbox by key; it dies at the next post while `dies`."""

    def __init__(self) -> None:
        self.posts: dict[str, Post] = {}
        self.dies = False

    async def put(self, post: Post) -> None:
        if self.dies:
            raise DiedError
        self.posts[post.key] = post

    @property
    def notices(self) -> list[str]:
        return [post.body.text for post in self.posts.values() if isinstance(post.body, Notice)]


class NoMissions:
    async def missions(self, *, running: bool = False) -> tuple[()]:
        assert running
        return ()


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path)
    house.people.humans[DORA] = Human(DORA, "dora", frozenset({Role.REQUESTER}))
    house.people.humans[EVE] = Human(EVE, "eve", frozenset({Role.RISK_OWNER}))
    return house


async def say(house: House, told: Told, user: UserId, text: str) -> str:
    orders = Orders(
        house.gate, cast("Any", None), cast("Any", told), cast("Any", NoMissions()), house.approvals, house.people
    )
    answer = await orders.obey(Commanded("approvals", text, Reply("T1", "C1", "", user)))
    assert isinstance(answer, Private)
    return answer.text


async def died_and_again(house: House, told: Told, user: UserId, text: str) -> str:
    told.dies = True
    with pytest.raises(DiedError):
        await say(house, told, user, text)
    told.dies = False
    return await say(house, told, user, text)


async def test_rule_12_a_delegation_is_told_whenever_the_program_died(house: House) -> None:
    told = Told()
    said = await died_and_again(house, told, BO, f"delegate <@{DORA}> for 4h on holiday")
    (made,) = await house.gate.deputies()
    assert said.startswith(f"Offered to dora as {made.id}")
    assert told.notices == ["bo offers the approver's role to dora: on holiday."]
    assert (await died_and_again(house, told, DORA, f"accept {made.id}")).startswith("You decide for bo until")
    assert told.notices[1].startswith("Delegation: dora decides for bo until")
    assert (
        await died_and_again(house, told, BO, f"end {made.id}")
        == "Ended. What was approved and did not begin asks again."
    )
    assert told.notices[2].startswith("Ended: dora decides for bo until")
    kinds = house.audit.kinds()
    assert [kinds.count(f"delegation.{one}") for one in ("offered", "begun", "ended")] == [1, 1, 1]
    assert await house.gate.deputies() == ()


async def test_rule_12_a_break_glass_is_told_whenever_the_program_died(house: House) -> None:
    told, request = Told(), await house.held()
    house.clock.move(900)
    said = await died_and_again(house, told, DORA, f"break-glass {request.short} nobody answers")
    assert "a second listed person has to join" in said
    assert told.notices == [f"Break-glass by dora and a second person: nobody answers (request {request.short})."]
    said = await died_and_again(house, told, EVE, f"break-glass {request.short} the disk fills")
    assert said == f"dora and eve may decide request {request.short} now; approving takes both."
    assert told.notices[1].startswith("Break-glass by dora and eve: nobody answers; the disk fills")
    assert house.audit.kinds().count("break_glass.begun") == 1


async def test_what_is_refused_is_told_nobody_else(house: House) -> None:
    told = Told()
    assert await say(house, told, EVE, "end ffff") == "There is no such delegation or break-glass of yours."
    assert "is nobody who is listed" in await say(house, told, BO, "delegate @ghost for 4h x")
    assert told.posts == {}
