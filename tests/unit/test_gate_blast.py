"""Blast radius and calendar at the gate: what policies are told, what the card says, what voids an approval."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain.calls import Target
from bot.domain.estate import Machine
from bot.policy.authorise import Authoriser
from bot.policy.maintenance import Maintenance, Mode, Span, clock_of
from tests.fakes import BO, NOW, FakeInventory
from tests.gate_house import DESTROY, POLICIES, House

THREE = tuple(
    Machine(name, ("control_plane",), node) for name, node in (("cp1", "pve1"), ("cp2", "pve2"), ("cp3", "pve1"))
)
PVE1 = Mode("node", "pve1", None, "new disks")
FORBIDS = '@id("x") @why("%s") forbid (principal, action, resource == Tool::"terraform_apply") when { %s };'


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    made.apply.effect = replace(DESTROY, items=DESTROY.items[:1], targets=(Target("host", "cp1"),), destroy=1)
    made.inventory.known = THREE
    return made


def with_policy(house: House, text: str) -> House:
    files = {f"policies/{path.name}": path.read_text() for path in POLICIES.glob("*.cedar")}
    own = Authoriser((POLICIES / "schema.cedarschema").read_text(), {**files, "policies/own.cedar": text}, "v1")
    house.set(authoriser=own)
    return house


async def test_the_card_and_the_record_say_which_votes_a_call_takes(house: House) -> None:
    request = await house.held()
    line = "cp1: 1 of 3 control_plane: 2 left, a majority"
    assert line in house.gate.card(request).facts
    asked = next(event for event in house.audit.events if event.kind == "request.asked")
    assert asked.facts["blast"] == [line]


async def test_the_card_says_when_it_is_outside_of_a_window_or_in_maintenance(house: House) -> None:
    span = Span(("sat",), clock_of("22:00"), clock_of("04:00"))
    house.set(calendar=Maintenance(windows={"production": (span,)}))
    facts = house.gate.card(await house.held()).facts
    assert "Outside the change windows of production; the next opens Sat 22:00 UTC" in facts
    house.apply.effect = replace(DESTROY, targets=(Target("node", "pve1"),))
    house.set(calendar=Maintenance(modes=(PVE1,)))
    assert "In maintenance: node pve1 (new disks)" in house.gate.card(await house.held(number=1)).facts


@pytest.mark.parametrize(
    "condition",
    [
        "context.resources == 1", "context.quorum_share == 34", "!context.loses_quorum", "context.last_of.isEmpty()",
        'context.window == "none"', "!context.maintenance",
    ],
)  # fmt: skip
async def test_rule_9_policies_are_told_each_fact(house: House, condition: str) -> None:
    assert "told of it" in await with_policy(house, FORBIDS % ("told of it", condition)).refused()


async def test_rule_9_policies_are_told_the_last_of_a_group_that_is_not_in_maintenance(house: House) -> None:
    condition = 'context.last_of.contains("control_plane") && context.loses_quorum'
    with_policy(house, FORBIDS % ("it is the last one", condition))
    house.set(calendar=Maintenance(modes=(Mode("host", "cp2", None, ""), Mode("vm", "cp3", None, ""))))
    assert "it is the last one" in await house.refused()


async def test_rule_9_an_inventory_that_cannot_be_read_is_the_worst_case(house: House) -> None:
    with_policy(house, FORBIDS % ("it takes the majority", "context.loses_quorum"))
    house.inventory.known = None
    assert "it takes the majority" in await house.refused()


async def test_rule_11_other_votes_than_people_saw_void_the_approval(house: House) -> None:
    request = await house.approved(BO)
    house.set(inventory=FakeInventory(THREE[:2]))
    settlement = await house.settle(request)
    assert (settlement.request.status, house.apply.ran) == ("superseded", 0)
    assert "what it takes with it is another now: cp1: 1 of 2 control_plane" in settlement.request.note


async def test_rule_11_an_end_of_maintenance_that_takes_more_approval_voids_the_one_that_was_given(
    house: House,
) -> None:
    two = '@id("two") @quorum("2") @approvers("approver") @expires("1h")\npermit (principal, action == Action::"destroy", resource) unless { context.maintenance };'
    with_policy(house, two)
    house.apply.effect = replace(house.apply.effect, targets=(Target("node", "pve1"),))
    house.set(calendar=Maintenance(modes=(replace(PVE1, until=NOW + timedelta(minutes=1)),)))
    request = await house.approved(BO)
    assert request.terms.quorum == 1
    house.clock.move(61)
    settlement = await house.settle(request)
    assert (settlement.request.status, house.apply.ran) == ("superseded", 0)
    assert (
        "it takes another approval now: destructive changes in production need 2 approvers" in settlement.request.note
    )


async def test_a_window_that_closes_voids_what_a_policy_then_forbids(house: House) -> None:
    with_policy(house, FORBIDS % ("the window is closed", 'context.window == "closed"'))
    span = Span(("mon",), clock_of("09:00"), clock_of("10:01"))
    house.set(calendar=Maintenance(windows={"production": (span,)}))
    request = await house.approved(BO)
    house.clock.move(60)
    settlement = await house.settle(request)
    assert (settlement.request.status, house.apply.ran) == ("superseded", 0)
    assert "the window is closed" in settlement.request.note


async def test_what_people_saw_and_still_holds_runs(house: House) -> None:
    house.set(calendar=Maintenance(modes=(Mode("host", "cp2", None, ""),)))
    settlement = await house.settle(await house.approved(BO))
    assert (settlement.request.status, house.apply.ran) == ("done", 1)
