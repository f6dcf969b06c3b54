"""Grants at the gate: who gives one, what it covers, and everything that ends it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.domain.approvals import ApprovalRequest, Counted, Held
from bot.domain.calls import CallClass, Effect
from bot.domain.grants import Grant
from bot.domain.ids import UserId
from bot.domain.log import FreezeSeen, GrantEnded, GrantOpened
from bot.domain.people import Human, Role
from bot.domain.state import OpenGrant
from bot.domain.storage import StoreUnavailableError
from tests.fakes import ANA, BO, CHRIS, MALLORY, THREAD
from tests.gate_house import CHANGE, DESTROY, House, authoriser, reviewed

SECRET = Effect(CallClass.SENSITIVE_READ, "secret-read", "it shows a secret", "Read the join token")


def open_grant(grant: Grant) -> OpenGrant:
    return OpenGrant(grant.id, grant.title, grant.by, grant.until)


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path)
    house.look.effect = SECRET
    return house


async def asked(house: House, number: int = 0, **arguments: Any) -> ApprovalRequest:
    answer = await house.propose("proxmox_read", number=number, **arguments)
    assert isinstance(answer, Held), answer
    return answer.request


async def granted(house: House, user: UserId = BO) -> Grant:
    answer = await house.vote((await asked(house)).id, user, grant=True)
    assert isinstance(answer, Counted) and answer.grant, answer
    await house.settle(answer.request)
    return answer.grant


async def test_rule_12_an_approver_lets_the_same_call_run_again(house: House) -> None:
    grant = await granted(house)
    assert (grant.by, grant.tool, (grant.until - grant.opened_at).total_seconds()) == ((BO,), "proxmox_read", 3600)
    again = await asked(house, number=1)
    assert (again.status, again.grant, again.id != grant.id) == ("approved", grant.id, True)
    settlement = await house.settle(again)
    assert (settlement.request.status, house.look.ran) == ("done", 2)
    kinds = house.audit.kinds()
    assert kinds.count("grant.opened") == kinds.count("grant.used") == 1
    assert kinds.count("execution.ended") == 2
    used = next(event for event in house.audit.events if event.kind == "grant.used")
    assert (used.facts["grant"], used.facts["request"]) == (grant.id, again.id)


async def test_rule_12_a_plain_approval_gives_no_grant(house: House) -> None:
    answer = await house.vote((await asked(house)).id, BO)
    assert isinstance(answer, Counted)
    assert answer.grant is None
    await house.settle(answer.request)
    assert (await asked(house, number=1)).status == "pending"


async def test_rule_11_other_arguments_another_agent_or_another_effect_ask(house: House) -> None:
    await granted(house)
    assert (await asked(house, number=1, what="vm")).status == "pending"
    house.look.effect = replace(SECRET, title="Read the root password")
    assert (await asked(house, number=2)).status == "pending"


async def test_rule_12_a_quorum_gives_it_only_together(house: House) -> None:
    request = await asked(house)
    wanted = replace(request, terms=replace(request.terms, quorum=2))
    house.approvals.requests[request.id] = wanted
    first = await house.vote(request.id, BO, grant=True)
    second = await house.vote(request.id, CHRIS)
    assert isinstance(first, Counted) and isinstance(second, Counted)
    assert (first.grant, second.grant, second.request.status) == (None, None, "approved")


@pytest.mark.parametrize("effect", [DESTROY, replace(CHANGE, cls=CallClass.UNKNOWN), CHANGE])
async def test_rule_12_what_destroys_or_is_not_understood_is_never_granted(house: House, effect: Effect) -> None:
    house.apply.effect = effect
    request = await house.held()
    answer = await house.vote(request.id, BO, typed=" ".join(request.terms.typed_names), grant=True)
    assert isinstance(answer, Counted), answer
    assert (answer.grant, request.scope) == (None, "")
    assert not answer.request.votes[0].grant


async def test_rule_12_whoever_gave_it_must_still_be_able_to_approve(house: House) -> None:
    await granted(house)
    house.people.humans[BO] = Human(BO, "bo", frozenset({Role.REQUESTER}))
    assert (await asked(house, number=1)).status == "pending"


async def test_rule_12_whoever_gave_it_and_asks_now_did_not_approve_this(house: House) -> None:
    await granted(house)
    house.state = reviewed(amendments=((BO, "once more"),))
    assert (await asked(house, number=1)).status == "pending"


async def test_rule_12_a_role_lost_before_it_starts_voids_the_use(house: House) -> None:
    await granted(house)
    again = await asked(house, number=1)
    house.people.humans[BO] = Human(BO, "bo", frozenset())
    settlement = await house.settle(again)
    assert (settlement.request.status, house.look.ran) == ("superseded", 1)


async def test_rule_12_its_time_ends_it(house: House) -> None:
    grant = await granted(house)
    state = replace(house.state, grants={grant.id: open_grant(grant)})
    assert await house.gate.standing(house.state) == (GrantOpened(grant.id, grant.title, (BO,), grant.until),)
    assert await house.gate.standing(state) == ()
    house.clock.move(3600)
    assert (await asked(house, number=1)).status == "pending"
    (ended,) = await house.gate.standing(state)
    assert isinstance(ended, GrantEnded)
    assert (ended.how, house.audit.kinds()[-1]) == ("expired", "grant.expired")


async def test_rule_5_stop_ends_it_and_counts_even_where_it_was_not_ended(house: House) -> None:
    grant = await granted(house)
    await house.leases.raise_stop(THREAD.lane, ANA)  # between this and the next line a worker may die
    assert (await asked(house, number=1)).status == "pending"
    await house.gate.cancel_all(THREAD, "STOP was pressed")
    assert house.grants.grants[grant.id].status == "stopped"
    assert "grant.stopped" in house.audit.kinds()


async def test_other_policies_end_it(house: House) -> None:
    grant = await granted(house)
    house.set(authoriser=authoriser("v2"))
    assert (await asked(house, number=1)).status == "pending"
    await house.gate.standing(house.state)
    assert house.grants.grants[grant.id].status == "outdated"


async def test_anyone_listed_revokes_it_and_nobody_else(house: House) -> None:
    grant = await granted(house)
    for user in (MALLORY, UserId("U0STRANGER")):
        ended, text = await house.gate.revoke(grant.id, user)
        assert (ended, text.startswith("You are not listed")) == (None, True)
        assert house.audit.kinds()[-1] == "grant.refused_revocation"
    ended, text = await house.gate.revoke(grant.id, ANA)
    assert ended and ended.note == "revoked by ana"
    assert (await house.gate.revoke(grant.id, BO))[1] == f"Grant {grant.short} ended before: revoked by ana."
    assert (await asked(house, number=1)).status == "pending"


async def test_rule_9_what_cannot_be_audited_is_neither_given_nor_used(house: House) -> None:
    grant = await granted(house)
    house.audit.broken = True
    with pytest.raises(StoreUnavailableError):
        await asked(house, number=1)
    with pytest.raises(StoreUnavailableError):
        await house.gate.revoke(grant.id, BO)
    house.audit.broken = False
    assert house.grants.uses == []
    assert house.grants.grants[grant.id].status == "live"


async def test_a_freeze_keeps_changes_and_not_reads(house: House) -> None:
    await granted(house)
    frozen, _ = await house.gate.freeze(CHRIS, "storage\nis being moved")
    assert frozen and frozen.reason == "storage is being moved"
    assert (await asked(house, number=1)).status == "approved"
    assert "changes are frozen by chris" in await house.refused(number=2)
    (seen,) = [entry for entry in await house.gate.standing(house.state) if isinstance(entry, FreezeSeen)]
    assert seen.words.endswith(": storage is being moved")


async def test_rule_9_frozen_between_the_approval_and_its_start_nothing_runs(house: House) -> None:
    request = await house.approved(BO)

    async def freezes() -> None:
        await house.gate.freeze(CHRIS, "")

    house.approvals.before_consume = freezes
    settlement = await house.settle(request)
    assert (settlement.request.status, house.apply.ran) == ("superseded", 0)
    assert "frozen" in settlement.result.text


async def test_frozen_before_it_settles_the_agent_hears_it(house: House) -> None:
    request = await house.approved(BO)
    await house.gate.freeze(CHRIS, "storage")
    settlement = await house.settle(request)
    assert settlement.request.note.startswith("changes are frozen by chris")
    assert house.apply.ran == 0
