"""The mission log on the real server: one holder writes, all or nothing, and tampering shows."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.ids import MissionId, Thread, Token
from bot.domain.inbound import Continue
from bot.domain.log import HumanSaid, MissionEnded, MissionOpened, StopPressed
from bot.domain.storage import Commit, Deadline, StaleTokenError
from bot.mission import fold
from bot.store.store import Store
from tests.contract.store_values import ANA, ARCHITECT, LANE, THREAD, opened, post


async def hold(store: Store, thread: Thread = THREAD, holder: str = "w1", ttl_s: float = 30) -> Token:
    token = await store.leases.acquire(thread.lane, holder, ttl_s)
    assert token is not None
    return token


async def test_open_numbers_missions_and_indexes_them(store: Store) -> None:
    other = Thread("T1", "C1", "1795000001.000000")
    first, logged = await store.journal.open(await hold(store), opened(), Commit())
    second, _ = await store.journal.open(await hold(store, other), opened(other), Commit())
    assert (first, second) == ("1", "2")
    assert isinstance(logged[0].entry, MissionOpened)
    assert logged[0].entry.mission == "1"
    assert abs(datetime.now(UTC) - logged[0].at) < timedelta(seconds=5)
    assert await store.journal.missions(running=True) == ("2", "1")
    assert await store.journal.mission_of(other) == "2"
    assert await store.journal.thread_of(first) == THREAD
    assert await store.journal.mission_of(Thread("T1", "C9", "1.0")) is None
    assert await store.journal.thread_of(MissionId("9")) is None


async def test_a_later_mission_in_the_same_thread_is_the_thread_s_mission(store: Store) -> None:
    token = await hold(store)
    first, _ = await store.journal.open(token, opened(), Commit())
    await store.journal.commit(token, first, Commit(entries=(MissionEnded("done", "three VMs"),)))
    second, _ = await store.journal.open(token, opened(), Commit())
    assert await store.journal.mission_of(THREAD) == second
    assert await store.journal.missions(running=True) == (second,)
    assert await store.journal.missions(running=False) == (second, first)


async def test_commit_does_all_of_it(store: Store) -> None:
    await store.inbox.put(LANE, Continue(LANE, "x"))
    token = await hold(store)
    mission, _ = await store.journal.open(token, opened(), Commit())
    ((item, _),) = await store.inbox.read(LANE)
    at = datetime.now(UTC) - timedelta(seconds=1)
    logged = await store.journal.commit(
        token,
        mission,
        Commit(
            (StopPressed(ANA), HumanSaid(ANA, "hi", ARCHITECT, "1.0")),
            (post(),),
            (item,),
            (Deadline(LANE, "question", "q1", at),),
        ),
    )
    assert [one.entry for one in await store.journal.read(mission, logged[0].id)] == [logged[1].entry]
    assert [one.post for one in await store.outbox.waiting()] == [post()]
    assert await store.inbox.read(LANE) == []
    await store.leases.release(token)
    assert await store.inbox.next_lane("w1", wait_s=1)
    ((_, reached),) = await store.inbox.read(LANE)
    assert reached.kind == "deadline_reached"


async def test_rule_1_a_stale_token_writes_nothing(store: Store) -> None:
    await store.inbox.put(LANE, Continue(LANE, "x"))
    old = await hold(store, ttl_s=0.05)
    mission, before = await store.journal.open(old, opened(), Commit())
    ((item, _),) = await store.inbox.read(LANE)
    await asyncio.sleep(0.08)
    late = Commit((StopPressed(ANA),), (post(),), (item,), (Deadline(LANE, "start", "r", datetime.now(UTC)),))
    with pytest.raises(StaleTokenError):
        await store.journal.commit(old, mission, late)  # nobody else yet: still not his
    new = await hold(store, holder="w2")
    with pytest.raises(StaleTokenError):
        await store.journal.commit(old, mission, late)
    with pytest.raises(StaleTokenError):
        await store.journal.open(old, opened(), late)
    assert await store.journal.read(mission) == list(before)
    assert await store.outbox.waiting() == []
    assert [one for one, _ in await store.inbox.read(LANE)] == [item]
    assert await store.journal.missions(running=False) == (mission,)
    assert new.number > old.number
    await store.journal.commit(new, mission, late)
    assert await store.inbox.read(LANE) == []


async def test_a_cold_worker_goes_on_where_another_stopped(store: Store) -> None:
    token = await hold(store)
    mission, _ = await store.journal.open(token, opened(), Commit())
    await store.journal.commit(token, mission, Commit(entries=(StopPressed(ANA),)))
    cold = type(store.journal)(store.link)
    await cold.commit(token, mission, Commit(entries=(StopPressed(ANA),)))
    await store.journal.commit(token, mission, Commit(entries=(StopPressed(ANA),)))
    assert len(await store.journal.read(mission)) == 4
    assert await store.journal.verify(mission) is None


@pytest.mark.parametrize("tamper", ["change", "remove", "cut", "add"])
async def test_verify_finds_the_first_entry_that_does_not_fit(store: Store, tamper: str) -> None:
    token = await hold(store)
    mission, _ = await store.journal.open(token, opened(), Commit())
    logged = await store.journal.commit(token, mission, Commit(entries=tuple(StopPressed(ANA) for _ in range(4))))
    assert await store.journal.verify(mission) is None
    log = f"{store.link.prefix}log:{mission}"
    match tamper:
        case "change":
            rows = await store.link.read("XRANGE", log, "-", "+")
            await store.link.write("DEL", log)
            for id_, fields in rows:
                fields[1] = fields[1].replace("UANA", "UEVE") if id_ == logged[1].id else fields[1]
                await store.link.write("XADD", log, id_, *fields)
            bad = logged[1].id
        case "remove":
            await store.link.write("XDEL", log, logged[1].id)
            bad = logged[2].id
        case "cut":
            await store.link.write("XDEL", log, logged[3].id)
            bad = logged[2].id
        case _:
            bad = await store.link.write(
                "XADD", log, "*", "json", '{"by":"UEVE","kind":"stop_pressed"}', "hash", "0" * 64
            )
    assert await store.journal.verify(mission) == bad


async def test_a_commit_whose_answer_was_lost_counts_once(store: Store) -> None:
    """The link sends it again under the same name; here the second arrival is made by hand."""
    token = await hold(store)
    mission, _ = await store.journal.open(token, opened(), Commit())
    run, sent = store.link.run, []

    async def twice(script: object, *args: object) -> object:
        sent.append(await run(script, *args))  # type: ignore[arg-type] # the real one's own arguments
        return await run(script, *args)  # type: ignore[arg-type]

    store.link.run = twice  # type: ignore[method-assign]
    logged = await store.journal.commit(token, mission, Commit(entries=(StopPressed(ANA),)))
    assert sent == [["ok", logged[0].id]]
    assert len(await store.journal.read(mission)) == 2


async def test_a_kept_state_is_the_fold_of_the_log(store: Store) -> None:
    token = await hold(store)
    mission, logged = await store.journal.open(
        token, opened(), Commit(entries=(HumanSaid(ANA, "go", ARCHITECT, "1.0"),))
    )
    state = fold(logged)
    await store.journal.keep(state)
    assert await store.journal.kept(mission) == state == fold(await store.journal.read(mission))
    assert await store.journal.kept(MissionId("9")) is None


async def test_a_long_log_is_read_whole(store: Store) -> None:
    token = await hold(store)
    mission, _ = await store.journal.open(token, opened(), Commit(entries=tuple(StopPressed(ANA) for _ in range(2500))))
    assert len(await store.journal.read(mission)) == 2501
    assert await store.journal.verify(mission) is None


async def test_missions_opened_at_once_get_numbers_of_their_own(store: Store) -> None:
    threads = [Thread("T1", "C1", f"179500000{n}.000000") for n in range(8)]
    tokens = [await hold(store, thread) for thread in threads]
    numbers = await asyncio.gather(
        *(store.journal.open(token, opened(thread), Commit()) for token, thread in zip(tokens, threads, strict=True))
    )
    assert {mission for mission, _ in numbers} == {str(n) for n in range(1, 9)}
