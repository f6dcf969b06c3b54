"""The inbox on the real server: nothing lost, counted once, runs of lines, lanes, deadlines."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.ids import LaneKey, RequestId, Thread
from bot.domain.inbound import Continue, DeadlineReached, Ordered, Said, Settled, StopAsked, VoteCast
from bot.domain.storage import Commit, Deadline, ImmediateWork
from bot.store.inbox import RedisInbox
from bot.store.store import Store
from tests.contract.store_values import ANA, BO, LANE, THREAD, TS, edit, reply, said

ARCH = ("architect",)


def after(seconds: float) -> str:
    return f"{float(TS) + seconds:.6f}"


async def waiting(store: Store, lane: LaneKey = LANE) -> list[Ordered]:
    return [item for _, item in await store.inbox.read(lane)]


async def texts(store: Store, lane: LaneKey = LANE) -> list[str]:
    return [item.text for item in await waiting(store, lane) if isinstance(item, Said)]


async def consume(store: Store, lane: LaneKey = LANE) -> list[Ordered]:
    """As a worker does: lease, read, commit, release."""
    token = await store.leases.acquire(lane, "w", 5)
    assert token
    items = await store.inbox.read(lane)
    await store.journal.commit(token, None, Commit(consumed=tuple(id_ for id_, _ in items)))
    await store.leases.release(token)
    return [item for _, item in items]


async def test_rule_4_the_same_message_counts_once_and_mentions_are_merged(store: Store) -> None:
    assert await store.inbox.put_said(said(to=ARCH), delay_s=0) == "new"
    assert await store.inbox.put_said(said(to=("builder", "architect")), delay_s=0) == "merged"
    assert await store.inbox.put_said(said(), delay_s=0) == "merged"
    assert await waiting(store) == [said(to=("architect", "builder"))]
    await consume(store)
    assert await store.inbox.put_said(said(to=("qa",)), delay_s=0) == "merged"
    assert await waiting(store) == []


async def test_rule_4_through_five_apps_at_once_a_message_counts_once(store: Store) -> None:
    answers = await asyncio.gather(*(store.inbox.put_said(said(to=(f"p{n}",)), delay_s=0) for n in range(20)))
    assert sorted(answers) == ["merged"] * 19 + ["new"]
    (item,) = await waiting(store)
    assert isinstance(item, Said)
    assert set(item.to) == {f"p{n}" for n in range(20)}


async def test_the_same_ts_elsewhere_is_another_message(store: Store) -> None:
    elsewhere = Said(Thread("T1", "C2", TS), TS, ANA, "hello", ARCH, in_thread=False)
    assert await store.inbox.put_said(said(to=ARCH), delay_s=0) == "new"
    assert await store.inbox.put_said(elsewhere, delay_s=0) == "new"


async def test_a_top_level_message_to_nobody_is_ignored_until_it_turns_out_to_be_to_somebody(store: Store) -> None:
    assert await store.inbox.put_said(said(), delay_s=0) == "ignored"
    assert await store.inbox.put_said(said(), delay_s=0) == "ignored"
    assert await waiting(store) == []
    assert await store.inbox.put_said(said(to=ARCH), delay_s=0) == "new"  # app_mention came after message
    assert await waiting(store) == [said(to=ARCH)]


async def test_a_reply_in_a_thread_to_nobody_waits(store: Store) -> None:
    assert await store.inbox.put_said(said("yes", ts=after(60), thread=TS), delay_s=0) == "new"
    assert await texts(store) == ["yes"]


async def test_rule_4_lines_of_one_author_in_one_thread_come_together(store: Store) -> None:
    start = time.monotonic()
    for n in range(3):
        await store.inbox.put_said(said(f"line {n}", ts=after(10 + n / 10), thread=TS), delay_s=0.3)
        await asyncio.sleep(0.2)
    assert await waiting(store) == []  # 0.6 s after the first: still pausing for breath
    assert await store.inbox.next_lane("w", wait_s=2)
    took = time.monotonic() - start
    assert 0.69 <= took < 1.3  # 0.4 s of lines and one delay
    assert await texts(store) == ["line 0", "line 1", "line 2"]


async def test_an_author_who_never_pauses_is_heard_after_four_delays(store: Store) -> None:
    start = time.monotonic()
    for n in range(60):
        await store.inbox.put_said(said(f"line {n}", ts=after(n / 10), thread=TS), delay_s=0.1)
        await asyncio.sleep(0.05)
        if await waiting(store):
            break
    assert 0.35 < time.monotonic() - start < 1.5  # sixty lines take three seconds


async def test_another_author_does_not_wait_for_the_first_one_s_run(store: Store) -> None:
    await store.inbox.put_said(said("a", ts=after(1), thread=TS), delay_s=0.2)
    await store.inbox.put_said(said("b", ts=after(2), thread=TS, user=BO), delay_s=0.05)
    await asyncio.sleep(0.1)
    assert await texts(store) == ["b"]


async def test_rule_4_top_level_lines_join_the_lane_of_the_first(store: Store) -> None:
    assert await store.inbox.put_said(said("build a cluster", to=ARCH), delay_s=1.5) == "new"
    assert await store.inbox.put_said(said("with an ingress", ts=after(1.4)), delay_s=1.5) == "new"
    assert await store.inbox.put_said(said("and hello-world", ts=after(2.8)), delay_s=1.5) == "new"
    assert await store.inbox.put_said(said("lunch?", ts=after(4.4)), delay_s=1.5) == "ignored"
    assert await store.inbox.put_said(said("not me", ts=after(1.0), user=BO), delay_s=1.5) == "ignored"
    await hurry(store)
    items = await waiting(store)
    assert [item.text for item in items if isinstance(item, Said)] == [
        "build a cluster",
        "with an ingress",
        "and hello-world",
    ]
    assert {item.thread for item in items if isinstance(item, Said)} == {THREAD}


async def test_rule_4_a_line_that_arrives_before_its_first_line_is_not_lost(store: Store) -> None:
    assert await store.inbox.put_said(said("third", ts=after(2)), delay_s=1.5) == "ignored"
    assert await store.inbox.put_said(said("second", ts=after(1)), delay_s=1.5) == "ignored"
    assert await store.inbox.put_said(said("earlier talk", ts=after(-1)), delay_s=1.5) == "ignored"
    assert await store.inbox.put_said(said("first", to=ARCH), delay_s=1.5) == "new"
    await hurry(store)
    assert await texts(store) == ["first", "second", "third"]
    assert await store.inbox.put_said(said("second", ts=after(1)), delay_s=1.5) == "merged"


async def test_an_edit_of_a_waiting_message_replaces_its_text(store: Store) -> None:
    await store.inbox.put_said(said("tow VMs", to=ARCH), delay_s=0)
    assert await store.inbox.put_said(edit("two VMs", to=ARCH), delay_s=0) == "merged"
    assert await waiting(store) == [said("two VMs", to=ARCH)]


async def test_an_edit_of_a_handled_message_counts_only_if_its_text_differs(store: Store) -> None:
    await store.inbox.put_said(said("two VMs", to=ARCH), delay_s=0)
    await consume(store)
    assert await store.inbox.put_said(edit("two VMs", to=ARCH), delay_s=0) == "merged"  # a link unfurled
    assert await waiting(store) == []
    changed = edit("three VMs", to=ARCH, number=2)
    assert await store.inbox.put_said(changed, delay_s=0) == "new"
    assert await store.inbox.put_said(changed, delay_s=0) == "merged"  # the other apps
    assert await waiting(store) == [changed]
    await consume(store)
    assert await store.inbox.put_said(changed, delay_s=0) == "merged"
    assert await store.inbox.put_said(edit("two VMs", to=ARCH, number=3), delay_s=0) == "new"


@pytest.mark.parametrize("heard", [False, True], ids=["waits", "was heard"])
async def test_rule_4_a_late_copy_of_an_older_edit_changes_nothing(store: Store, *, heard: bool) -> None:
    await store.inbox.put_said(said("three VMs", to=ARCH), delay_s=0)
    if heard:
        await consume(store)
    four, five = edit("FOUR", to=ARCH, number=4), edit("FIVE", to=ARCH, number=5)
    for one in (four, five, four):
        await store.inbox.put_said(one, delay_s=0)
    assert await texts(store) == ["FIVE"]
    await consume(store)
    assert await store.inbox.put_said(four, delay_s=0) == await store.inbox.put_said(five, delay_s=0) == "merged"
    assert await waiting(store) == []


async def test_an_edit_of_a_joined_line_stays_in_its_lane(store: Store) -> None:
    await store.inbox.put_said(said("first", to=ARCH), delay_s=0.01)
    await store.inbox.put_said(said("second", ts=after(0.005)), delay_s=0.01)
    await asyncio.sleep(0.05)
    assert len(await consume(store)) == 2
    assert await store.inbox.put_said(edit("second!", ts=after(0.005)), delay_s=0) == "new"
    (item,) = await waiting(store)
    assert isinstance(item, Said)
    assert (item.text, item.thread, item.edited) == ("second!", THREAD, True)


async def test_an_edit_that_adds_a_mention_to_an_ignored_message_is_a_new_message(store: Store) -> None:
    await store.inbox.put_said(said("three VMs"), delay_s=0)
    assert await store.inbox.put_said(edit("three VMs, please"), delay_s=0) == "ignored"
    assert await store.inbox.put_said(edit("@Architect three VMs", to=ARCH, number=2), delay_s=0) == "new"
    assert await waiting(store) == [said("@Architect three VMs", to=ARCH)]


async def test_text_that_no_encoding_has_is_kept_all_the_same(store: Store) -> None:
    assert await store.inbox.put_said(said("half a smile \ud83d | \n \x00 “”", to=ARCH), delay_s=0) == "new"
    assert await texts(store) == ["half a smile ? | \n \x00 “”"]


async def test_items_of_a_lane_come_in_order_and_stay_until_consumed(store: Store) -> None:
    await store.inbox.put_said(said(to=ARCH), delay_s=0)
    for n in range(12):
        await store.inbox.put(LANE, Continue(LANE, str(n)))
    for _ in range(2):
        assert [item.why for item in await waiting(store) if isinstance(item, Continue)] == [str(n) for n in range(12)]
    assert len(await consume(store)) == 13
    assert await waiting(store) == []


async def test_next_lane_sleeps_until_something_comes(store: Store) -> None:
    start = time.monotonic()
    assert await store.inbox.next_lane("w", wait_s=0.2) is None
    assert 0.19 <= time.monotonic() - start < 0.8
    assert await store.inbox.next_lane("w", wait_s=0) is None


async def test_a_sleeping_worker_wakes_within_milliseconds(store: Store) -> None:
    took: list[float] = []
    for n in range(20):
        thread = Thread("T1", "C1", f"{n}.0")
        sleeper = asyncio.create_task(store.inbox.next_lane("w", wait_s=5))
        await asyncio.sleep(0.02)
        start = time.monotonic()
        await store.inbox.put(thread.lane, Continue(thread.lane, ""))
        work = await sleeper
        took.append(time.monotonic() - start)
        assert work and work.lane == thread.lane
        await consume(store, thread.lane)
    assert sorted(took)[10] < 0.05, took


async def test_every_sleeping_worker_gets_a_lane_of_its_own(store: Store) -> None:
    sleepers = [asyncio.create_task(store.inbox.next_lane(f"w{n}", wait_s=5)) for n in range(8)]
    await asyncio.sleep(0.05)
    lanes = [Thread("T1", "C1", f"{n}.0").lane for n in range(8)]
    start = time.monotonic()
    await asyncio.gather(*(store.inbox.put(lane, Continue(lane, "")) for lane in lanes))
    found = await asyncio.gather(*sleepers)
    assert {work.lane for work in found if work} == set(lanes)
    assert time.monotonic() - start < 0.5


async def test_a_message_in_its_delay_is_met_on_time_even_when_the_first_sleeper_is_busy(store: Store) -> None:
    """The worker that knew when to wake goes to work: another has to know it."""
    sleepers = [asyncio.create_task(store.inbox.next_lane(f"w{n}", wait_s=5)) for n in range(2)]
    await asyncio.sleep(0.05)
    start = time.monotonic()
    await store.inbox.put_said(said(ts=after(1), thread=TS), delay_s=0.3)
    await asyncio.sleep(0.05)
    other = LaneKey("T1/C1/2.0")
    await store.inbox.put(other, Continue(other, ""))
    await asyncio.gather(*sleepers)
    assert 0.29 <= time.monotonic() - start < 0.9


async def test_rule_1_a_held_lane_is_skipped_and_comes_again_at_once_when_released(store: Store) -> None:
    token = await store.leases.acquire(LANE, "w1", 30)
    assert token
    await store.inbox.put(LANE, Continue(LANE, ""))
    assert await store.inbox.next_lane("w2", wait_s=0.1) is None
    sleeper = asyncio.create_task(store.inbox.next_lane("w2", wait_s=5))
    await asyncio.sleep(0.05)
    start = time.monotonic()
    await store.leases.release(token)
    work = await sleeper
    assert work and work.lane == LANE
    assert time.monotonic() - start < 0.4


async def test_a_release_loses_no_wake(store: Store) -> None:
    """Puts race with releases; every item is met quickly, whoever came first."""
    seen = 0

    async def worker(name: str) -> None:
        nonlocal seen
        while seen < 100:
            work = await store.inbox.next_lane(name, wait_s=0.5)
            token = await store.leases.acquire(work.lane, name, 5) if work else None
            if token:
                items = await store.inbox.read(token.lane)
                seen += len(items)
                await store.journal.commit(token, None, Commit(consumed=tuple(id_ for id_, _ in items)))
                await store.leases.release(token)

    async def talk() -> None:
        for n in range(100):
            await store.inbox.put(LANE, Continue(LANE, str(n)))
            await asyncio.sleep(0.002)

    async with asyncio.timeout(10):
        await asyncio.gather(worker("w1"), worker("w2"), talk())
    assert seen == 100


async def test_a_lane_whose_holder_died_comes_again_even_if_nothing_waits_in_it(store: Store) -> None:
    await store.inbox.put(LANE, Continue(LANE, ""))
    token = await store.leases.acquire(LANE, "w1", 0.3)
    assert token
    ((item, _),) = await store.inbox.read(LANE)
    await store.journal.commit(token, None, Commit(consumed=(item,)))
    start = time.monotonic()
    work = await store.inbox.next_lane("w2", wait_s=5)
    assert work and work.lane == LANE
    assert 0.25 < time.monotonic() - start < 2.5
    heir = await store.leases.acquire(LANE, "w2", 5)
    assert heir
    await store.leases.release(token)  # the dead one was only slow: his word changes nothing any more
    assert await store.leases.renew(heir, 5)
    await store.leases.release(heir)
    assert await store.inbox.next_lane("w3", wait_s=0.1) is None


async def test_a_renewed_lease_keeps_its_lane_away_from_others(store: Store) -> None:
    await store.inbox.put(LANE, Continue(LANE, ""))
    token = await store.leases.acquire(LANE, "w1", 0.2)
    assert token
    for _ in range(6):
        await asyncio.sleep(0.1)
        assert await store.leases.renew(token, 0.2)
        assert await store.inbox.next_lane("w2", wait_s=0) is None


async def test_a_lane_that_a_worker_took_and_never_leased_comes_again(store: Store) -> None:
    await store.inbox.put(LANE, Continue(LANE, ""))
    assert await store.inbox.next_lane("w1", wait_s=1)
    assert await store.inbox.next_lane("w2", wait_s=0.1) is None
    assert await store.inbox.next_lane("w2", wait_s=3)


async def test_a_deadline_comes_on_time_without_traffic_and_a_later_one_replaces_it(store: Store) -> None:
    token = await store.leases.acquire(LANE, "w", 30)
    assert token
    soon = datetime.now(UTC)
    lines = (
        Deadline(LANE, "question", "q:1", soon + timedelta(seconds=60)),
        Deadline(LANE, "request", "r1", soon + timedelta(seconds=60)),
        Deadline(LANE, "question", "q:1", soon + timedelta(seconds=0.3)),
    )
    await store.journal.commit(token, None, Commit(deadlines=lines))
    await store.leases.release(token)
    start = time.monotonic()
    assert await store.inbox.next_lane("w", wait_s=5)
    assert 0.2 < time.monotonic() - start < 0.9
    assert await consume(store) == [DeadlineReached(LANE, "question", "q:1")]
    assert await store.inbox.next_lane("w", wait_s=0.1) is None


async def test_rule_4_clear_empties_the_lane_of_human_words_only(store: Store) -> None:
    await store.inbox.put_said(said("a", to=ARCH), delay_s=0)
    await store.inbox.put_said(said("b", ts=after(60), thread=TS), delay_s=30)
    settled = Settled(LANE, RequestId("r"))
    await store.inbox.put(LANE, settled)
    assert await store.inbox.clear(LANE) == 2
    assert await waiting(store) == [settled]
    assert await store.inbox.clear(LANE) == 0


@pytest.mark.parametrize("item", [VoteCast(RequestId("r"), "deny", "no", "", reply()), StopAsked(THREAD, ANA, reply())])
async def test_an_immediate_item_goes_to_one_worker_once(store: Store, item: VoteCast | StopAsked) -> None:
    assert await store.inbox.put_immediate(item, once="trigger-1")
    assert not await store.inbox.put_immediate(item, once="trigger-1")
    found = await asyncio.gather(*(store.inbox.next_immediate(f"w{n}", wait_s=0.2) for n in range(4)))
    (work,) = [one for one in found if one]
    assert work.item == item
    await store.inbox.done_immediate(work)
    assert await store.inbox.next_immediate("w", wait_s=0) is None


async def test_immediate_work_wakes_a_sleeper_at_once(store: Store) -> None:
    sleeper = asyncio.create_task(store.inbox.next_immediate("w", wait_s=5))
    await asyncio.sleep(0.05)
    start = time.monotonic()
    await store.inbox.put_immediate(StopAsked(THREAD, ANA, reply()), once="1")
    assert await sleeper
    assert time.monotonic() - start < 0.4


async def test_rule_4_a_dead_worker_s_immediate_item_goes_to_another(store: Store) -> None:
    inbox = RedisInbox(store.link, reclaim_s=0.2)
    await inbox.put_immediate(StopAsked(THREAD, ANA, reply()), once="1")
    first = await inbox.next_immediate("dead", wait_s=1)
    assert isinstance(first, ImmediateWork)
    assert await inbox.next_immediate("w2", wait_s=0) is None
    start = time.monotonic()
    assert await inbox.next_immediate("w2", wait_s=2) == first
    assert 0.1 < time.monotonic() - start < 1.2


async def test_the_inbox_works_after_its_group_was_flushed(store: Store) -> None:
    await store.link.write("DEL", f"{store.link.prefix}now")
    assert await store.inbox.next_immediate("w", wait_s=0) is None
    assert await store.inbox.put_immediate(StopAsked(THREAD, ANA, reply()), once="1")
    assert await store.inbox.next_immediate("w", wait_s=1)


async def hurry(store: Store) -> None:
    """Make everything in the lane due, as time would."""
    key = f"{store.link.prefix}q:{LANE}"
    for id_ in await store.link.read("ZRANGE", key, 0, -1):
        await store.link.write("ZADD", key, 0, id_)
