"""Grants and the freeze on the real server."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.domain.approvals import ApprovalRequest
from bot.domain.calls import CallClass
from bot.domain.deputies import Deputy
from bot.domain.grants import Freeze, Grant
from bot.domain.ids import Digest, PersonaName, RequestId, Thread
from bot.store.store import Store
from tests.contract.store_values import ANA, BO, LANE, THREAD, request, vote


def now() -> datetime:
    return datetime.now(UTC)


def grant(of: ApprovalRequest, lasts_s: float = 3600) -> Grant:
    begun = now()
    return Grant(
        of.id, Digest("s" * 64), "terraform_apply", CallClass.CHANGE, "Restart kubelet", "lab", PersonaName("builder"),
        of.thread, "p1", (BO,), begun, begun + timedelta(seconds=lasts_s),
    )  # fmt: skip


def use(number: int, of: Grant, digest: str = "e" * 64) -> ApprovalRequest:
    return replace(request(number, digest=digest), grant=of.id)


@pytest.fixture
async def given(store: Store) -> Grant:
    asked = await store.approvals.create(request())
    await store.approvals.vote(asked.id, replace(vote(), grant=True), now())
    made = grant(asked)
    assert await store.grants.give(made)
    return made


async def test_a_grant_comes_back_as_it_was_given_and_once(store: Store, given: Grant) -> None:
    assert await store.grants.get(given.id) == given
    assert await store.grants.of() == await store.grants.of(THREAD) == [given]
    assert await store.grants.of(Thread("T1", "C1", "2.0")) == []
    assert not await store.grants.give(replace(given, title="another"))
    assert await store.grants.get(RequestId("none")) is None


async def test_rule_12_a_use_is_an_approved_request_with_the_votes_that_gave_the_grant(
    store: Store, given: Grant
) -> None:
    used = await store.grants.use(given, use(2, given), now())
    assert isinstance(used, ApprovalRequest)
    stored = await store.approvals.get(used.id)
    assert stored
    assert (stored.status, stored.grant, [one.user for one in stored.votes]) == ("approved", given.id, [BO])
    token = await store.leases.acquire(LANE, "w1", 30)
    assert token
    starts = [store.approvals.consume(stored, token, stops=0, start_within_s=60) for _ in range(3)]
    assert sorted(await asyncio.gather(*starts)) == ["", "not_approved", "not_approved"]


async def test_rule_11_the_same_use_twice_is_one_request(store: Store, given: Grant) -> None:
    first, second = [await store.grants.use(given, use(number, given), now()) for number in (2, 3)]
    assert isinstance(first, ApprovalRequest) and isinstance(second, ApprovalRequest)
    assert second.id == first.id


async def test_what_waits_for_people_already_is_not_taken_over(store: Store, given: Grant) -> None:
    await store.approvals.create(request(2, digest="e" * 64))
    assert await store.grants.use(given, use(3, given), now()) == "ended"


async def test_rule_12_no_use_after_its_time_its_end_or_elsewhere(store: Store, given: Grant) -> None:
    assert await store.grants.use(given, use(2, given), given.until) == "ended"
    other = replace(use(3, given), thread=Thread("T1", "C1", "2.0"))
    assert await store.grants.use(given, other, now()) == "ended"
    assert await store.grants.end(given.id, "revoked", "revoked by ana")
    assert not await store.grants.end(given.id, "expired", "late")
    stands = await store.grants.get(given.id)
    assert stands and (stands.status, stands.note) == ("revoked", "revoked by ana")
    assert await store.grants.use(given, use(4, given), now()) == "ended"
    assert await store.grants.of() == []


async def test_rule_12_a_grant_lasts_by_the_stores_clock_whatever_a_workers_clock_says(store: Store) -> None:
    asked = await store.approvals.create(request())
    await store.approvals.vote(asked.id, replace(vote(), grant=True), now())
    ahead = timedelta(hours=1)
    made = grant(asked, lasts_s=0.2)
    made = replace(made, opened_at=made.opened_at + ahead, until=made.until + ahead)
    assert await store.grants.give(made)
    used = await store.grants.use(made, use(2, made), now())
    assert isinstance(used, ApprovalRequest)
    await asyncio.sleep(0.3)
    assert await store.grants.use(made, use(3, made, "d" * 64), now() - 2 * ahead) == "ended"


async def test_rule_5_no_use_after_a_stop(store: Store, given: Grant) -> None:
    await store.leases.raise_stop(LANE, ANA)
    assert await store.grants.use(given, use(2, given), now()) == "stopped"
    assert await store.grants.use(given, replace(use(3, given), stops=1), now()) == "stopped"


async def test_rule_9_frozen_no_change_is_used_or_begun(store: Store, given: Grant) -> None:
    used = await store.grants.use(given, use(2, given), now())
    assert isinstance(used, ApprovalRequest)
    freeze = Freeze(ANA, "ana", "storage is being moved", now())
    assert await store.switch.freeze(freeze)
    assert not await store.switch.freeze(replace(freeze, reason="later"))
    assert await store.switch.frozen() == freeze
    assert await store.grants.use(given, use(3, given, "f" * 64), now()) == "frozen"
    token = await store.leases.acquire(LANE, "w1", 30)
    assert token
    assert await store.approvals.consume(used, token, stops=0, start_within_s=60) == "frozen"
    assert await store.switch.thaw() == freeze
    assert await store.switch.thaw() is None
    assert await store.approvals.consume(used, token, stops=0, start_within_s=60) == ""


async def test_rule_12_of_many_uses_of_one_code_one_counts(store: Store) -> None:
    for _ in range(2):
        await store.codes.note_wrong(BO)
    assert await store.codes.wrong(BO) == 2
    assert sorted(await asyncio.gather(*(store.codes.take(BO, 100) for _ in range(9)))) == [False] * 8 + [True]
    assert await store.codes.wrong(BO) == 0
    assert not await store.codes.take(BO, 99)
    assert await store.codes.take(BO, 101)
    assert await store.codes.take(ANA, 100)


def deputy(number: int = 1, **changes: Any) -> Deputy:
    begun = now()
    made = Deputy(f"d{number}", "delegation", BO, "bo", ANA, "ana", "on holiday", begun, begun + timedelta(hours=4))
    return replace(made, **changes)


async def test_deputies_come_back_as_they_were_and_change_only_from_what_they_were(store: Store) -> None:
    one, two = deputy(), deputy(2, opened_at=now() - timedelta(minutes=1), kind="break_glass", request=RequestId("r1"))
    assert [await store.deputies.put(each) for each in (one, two, one)] == [True, True, False]
    assert await store.deputies.all() == (two, one)
    live = replace(one, live=True)
    assert await store.deputies.change(one, live)
    assert not await store.deputies.change(one, None), "it is not as it was any more"
    assert not await store.deputies.change(deputy(3), None)
    assert await store.deputies.all() == (two, live)
    assert await store.deputies.change(live, None)
    assert await store.deputies.all() == (two,)


async def test_rule_12_a_quorum_is_raised_while_it_waits_and_never_lowered(store: Store) -> None:
    asked = await store.approvals.create(request())
    assert await store.approvals.raise_quorum(asked.id, 2)
    assert await store.approvals.raise_quorum(asked.id, 1)
    raised = await store.approvals.get(asked.id)
    assert raised is not None and raised.terms == replace(asked.terms, quorum=2)
    for user, status in ((BO, "pending"), (ANA, "approved")):
        counted = await store.approvals.vote(asked.id, replace(vote(), user=user), now())
        assert isinstance(counted, ApprovalRequest) and counted.status == status
    assert not await store.approvals.raise_quorum(asked.id, 3)
    assert not await store.approvals.raise_quorum(RequestId("none"), 2)


async def test_rule_12_a_raised_quorum_comes_down_to_what_was_asked_without_the_votes_of_the_two(store: Store) -> None:
    asked = await store.approvals.create(request())
    assert not await store.approvals.lower_quorum(asked.id, [BO]), "it is as it was asked"
    assert await store.approvals.raise_quorum(asked.id, 2)
    assert await store.approvals.raise_quorum(asked.id, 3)
    await store.approvals.vote(asked.id, replace(vote(), user=BO), now())
    assert await store.approvals.lower_quorum(asked.id, [BO, ANA])
    lowered = await store.approvals.get(asked.id)
    assert lowered == asked, "nothing of it is left"
    assert not await store.approvals.lower_quorum(asked.id, [BO])
    assert await store.approvals.raise_quorum(asked.id, 2)
    for user, status in ((BO, "pending"), (ANA, "approved")):
        counted = await store.approvals.vote(asked.id, replace(vote(), user=user), now())
        assert isinstance(counted, ApprovalRequest) and counted.status == status
    assert not await store.approvals.lower_quorum(asked.id, [BO]), "it is decided"
