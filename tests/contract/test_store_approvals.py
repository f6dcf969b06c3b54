"""Approval requests on the real server: decided once, consumed once, and only by who may."""

import asyncio
import errno
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.domain.approvals import ApprovalRequest, NotCounted, RequestStatus
from bot.domain.ids import Digest, RequestId, Thread, Token, UserId
from bot.store.connection import Script
from bot.store.server import EmbeddedServer
from bot.store.store import Store
from tests.contract.store_values import ANA, BO, LANE, THREAD, request, result, vote


def now() -> datetime:
    return datetime.now(UTC)


async def approved(store: Store, asked: ApprovalRequest | None = None) -> tuple[ApprovalRequest, Token]:
    stands = await store.approvals.create(asked or request())
    answer = await store.approvals.vote(stands.id, vote(), now())
    assert isinstance(answer, ApprovalRequest) and answer.status == "approved"
    token = await store.leases.acquire(LANE, "w1", 30)
    assert token
    return answer, token


def why(answer: ApprovalRequest | NotCounted) -> str:
    assert isinstance(answer, NotCounted), answer
    assert answer.text
    return answer.why


async def test_a_request_comes_back_as_it_was_asked(store: Store) -> None:
    asked = request()
    assert await store.approvals.create(asked) == asked
    assert await store.approvals.get(asked.id) == asked
    assert await store.approvals.pending() == [asked]
    assert await store.approvals.pending(THREAD) == [asked]
    assert await store.approvals.pending(Thread("T1", "C1", "2.0")) == []
    assert await store.approvals.get(RequestId("none")) is None


async def test_rule_11_the_same_digest_in_the_same_thread_is_the_same_request(store: Store) -> None:
    first = await store.approvals.create(request(1))
    assert (await store.approvals.create(request(2))).id == first.id
    assert (await store.approvals.create(request(3, digest="e" * 64))).id != first.id
    assert (await store.approvals.create(request(4, thread=Thread("T1", "C1", "2.0")))).id != first.id
    assert await store.approvals.end(first.id, "superseded", "newer plan")
    assert (await store.approvals.create(request(5))).id == request(5).id


async def test_rule_12_one_deny_ends_it_and_its_reason_is_kept(store: Store) -> None:
    asked = await store.approvals.create(request(quorum=2))
    await store.approvals.vote(asked.id, vote(), now())
    answer = await store.approvals.vote(asked.id, vote(ANA, "deny", "wrong node"), now())
    assert isinstance(answer, ApprovalRequest)
    assert (answer.status, answer.note, len(answer.votes)) == ("denied", "wrong node", 2)
    assert why(await store.approvals.vote(asked.id, vote(UserId("UC")), now())) == "already_decided"
    assert await store.approvals.pending() == []


async def test_rule_12_the_quorum_counts_people_not_clicks(store: Store) -> None:
    asked = await store.approvals.create(request(quorum=2))
    first = await store.approvals.vote(asked.id, vote(), now())
    assert isinstance(first, ApprovalRequest) and first.status == "pending"
    assert why(await store.approvals.vote(asked.id, vote(), now())) == "already_voted"
    at = now()
    second = await store.approvals.vote(asked.id, vote(ANA), at)
    assert isinstance(second, ApprovalRequest) and second.status == "approved"
    assert second.approved_at and abs(second.approved_at - at) < timedelta(milliseconds=1)
    assert [one.user for one in second.votes] == [BO, ANA]


async def test_rule_11_a_worker_whose_clock_is_behind_asks_the_same_thing_once(store: Store) -> None:
    behind = timedelta(hours=2)
    asked = request(1, lasts=timedelta(hours=1))
    asked = replace(asked, created_at=asked.created_at - behind, expires_at=asked.expires_at - behind)
    first = await store.approvals.create(asked)
    assert (await store.approvals.create(replace(asked, id=request(2).id))).id == first.id


async def test_rule_12_a_worker_whose_clock_is_ahead_makes_no_approval_last_longer(store: Store) -> None:
    asked = await store.approvals.create(request(lasts=timedelta(hours=4)))
    answer = await store.approvals.vote(asked.id, vote(), now() + timedelta(hours=1))
    assert isinstance(answer, ApprovalRequest) and answer.status == "approved"
    assert answer.approved_at and answer.approved_at <= now()


async def test_rule_12_a_double_click_counts_once(store: Store) -> None:
    asked = await store.approvals.create(request())
    answers = await asyncio.gather(*(store.approvals.vote(asked.id, vote(), now()) for _ in range(2)))
    assert sum(isinstance(one, ApprovalRequest) for one in answers) == 1


async def test_rule_12_a_thousand_racing_votes_decide_once(store: Store) -> None:
    asked = await store.approvals.create(request(quorum=3))
    answers = await asyncio.gather(
        *(
            store.approvals.vote(
                asked.id, vote(UserId(f"U{n}"), "deny" if n % 7 == 0 and n > 500 else "approve"), now()
            )
            for n in range(1000)
        )
    )
    counted = [one for one in answers if isinstance(one, ApprovalRequest)]
    stands = await store.approvals.get(asked.id)
    assert stands and stands.status in {"approved", "denied"}
    assert len(counted) == len(stands.votes) <= 3
    assert {one.why for one in answers if isinstance(one, NotCounted)} == {"already_decided"}


@pytest.mark.parametrize(
    ("status", "answer"),
    [("denied", "already_decided"), ("expired", "expired"), ("cancelled", "cancelled"), ("superseded", "superseded")],
)
async def test_rule_12_each_end_has_its_own_answer_to_a_late_click(
    store: Store, status: RequestStatus, answer: str
) -> None:
    asked = await store.approvals.create(request())
    assert await store.approvals.end(asked.id, status, "because")
    assert not await store.approvals.end(asked.id, "cancelled", "again")
    assert why(await store.approvals.vote(asked.id, vote(), now())) == answer
    stands = await store.approvals.get(asked.id)
    assert stands and (stands.status, stands.note) == (status, "because")
    assert await store.approvals.pending() == []


async def test_rule_12_a_vote_after_the_deadline_does_not_count(store: Store) -> None:
    asked = await store.approvals.create(request())
    assert why(await store.approvals.vote(asked.id, vote(), asked.expires_at)) == "expired"
    assert why(await store.approvals.vote(RequestId("none"), vote(), now())) == "unknown"
    stands = await store.approvals.get(asked.id)
    assert stands and stands.votes == ()


async def test_rule_12_what_ran_out_is_no_twin_of_what_is_asked_now(store: Store) -> None:
    await store.approvals.create(request(1, lasts=timedelta(seconds=-1)))
    assert (await store.approvals.create(request(2))).id == request(2).id
    assert await store.approvals.end(request(1).id, "expired", "")
    assert (await store.approvals.create(request(3))).id == request(2).id


async def test_rule_13_consumed_once_by_twenty_racers(store: Store) -> None:
    asked, token = await approved(store)
    answers = await asyncio.gather(
        *(store.approvals.consume(asked, token, stops=0, start_within_s=300) for _ in range(20))
    )
    assert sorted(answers) == [""] + ["not_approved"] * 19
    stands = await store.approvals.get(asked.id)
    assert stands and stands.status == "executing"
    assert await store.approvals.executing(THREAD) == [stands]
    assert not await store.approvals.end(asked.id, "cancelled", "too late")


async def test_rule_13_finished_once_with_its_result(store: Store) -> None:
    asked, token = await approved(store)
    assert await store.approvals.consume(asked, token, stops=0, start_within_s=300) == ""
    await store.approvals.finish(asked.id, "done", result())
    await store.approvals.finish(asked.id, "unknown_outcome", result("a late recovery"))
    stands = await store.approvals.get(asked.id)
    assert stands and stands.status == "done"
    assert await store.approvals.result(asked.id) == result()
    assert await store.approvals.executing(THREAD) == []
    assert await store.approvals.consume(asked, token, stops=0, start_within_s=300) == "not_approved"


async def test_rule_13_an_unfinished_one_stays_visible_after_a_crash(store: Store) -> None:
    asked, token = await approved(store)
    await store.approvals.consume(asked, token, stops=0, start_within_s=300)
    await store.leases.release(token)
    assert [one.id for one in await store.approvals.executing(THREAD)] == [asked.id]
    await store.approvals.finish(asked.id, "unknown_outcome", result("looked: three VMs exist"))
    stands = await store.approvals.get(asked.id)
    assert stands and stands.status == "unknown_outcome"


async def test_rule_13_what_keeps_a_call_from_running(store: Store) -> None:
    asked, token = await approved(store)
    other = await store.leases.acquire(Thread("T1", "C1", "2.0").lane, "w1", 5)
    assert other
    consume = store.approvals.consume
    assert await consume(asked, replace(token, number=token.number - 1), stops=0, start_within_s=300) == "stale_token"
    assert await consume(asked, other, stops=0, start_within_s=300) == "stale_token"
    assert await consume(replace(asked, digest=Digest("e" * 64)), token, stops=0, start_within_s=300) == "digest"
    await asyncio.sleep(0.02)
    assert await consume(asked, token, stops=0, start_within_s=0.01) == "too_late"
    assert await consume(replace(asked, id=RequestId("none")), token, stops=0, start_within_s=300) == "not_approved"
    await store.leases.raise_stop(LANE, "press")
    assert await consume(asked, token, stops=0, start_within_s=300) == "stopped"  # rule 5
    assert await store.approvals.executing(THREAD) == []
    assert await consume(asked, token, stops=1, start_within_s=300) == ""


async def test_rule_13_a_pending_request_cannot_be_consumed(store: Store) -> None:
    asked = await store.approvals.create(request())
    token = await store.leases.acquire(LANE, "w1", 30)
    assert token
    assert await store.approvals.consume(asked, token, stops=0, start_within_s=300) == "not_approved"


async def test_rule_13_nothing_runs_when_the_intent_is_not_on_disk(store: Store) -> None:
    asked, token = await approved(store)
    run = store.link.run_durably

    async def short_count(script: Script, *args: str | float | bytes) -> tuple[object, bool]:
        reply, _ = await run(script, *args)
        return reply, False

    store.link.run_durably = short_count
    assert await store.approvals.consume(asked, token, stops=0, start_within_s=300) == "not_durable"
    stands = await store.approvals.get(asked.id)
    assert stands and stands.status == "cancelled" and "nothing ran" in stands.note
    assert await store.approvals.executing(THREAD) == []
    store.link.run_durably = run
    assert await store.approvals.consume(asked, token, stops=0, start_within_s=300) == "not_approved"


async def test_rule_13_the_intent_is_on_disk_before_the_answer(
    store: Store, store_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WAITAOF alone would not do: under everysec this server answers 1 before its fsync."""
    synced: list[str] = []

    def fsync(file: int) -> None:
        path = Path(f"/proc/self/fd/{file}").readlink()
        synced.append(path.name)
        if path.suffix == ".aof":
            assert b"executing" in path.read_bytes()

    monkeypatch.setattr("bot.store.folder._to_disk", fsync)
    asked, token = await approved(store)
    assert await store.approvals.consume(asked, token, stops=0, start_within_s=300) == ""
    assert any(name.endswith(".incr.aof") for name in synced)
    assert "appendonlydir" in synced


async def test_rule_13_nothing_runs_when_the_disk_refuses(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.EIO, "the disk is dying")

    monkeypatch.setattr("bot.store.folder._to_disk", fsync)
    asked, token = await approved(store)
    assert await store.approvals.consume(asked, token, stops=0, start_within_s=300) == "not_durable"
    stands = await store.approvals.get(asked.id)
    assert stands and stands.status == "cancelled"
