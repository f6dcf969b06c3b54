"""Artifacts, the audit record, the token budget and the named locks on the real server."""

import asyncio

import pytest

from bot.domain.ids import ArtifactId
from bot.domain.storage import AuditEvent
from bot.store.artifacts import TwinArtifactError
from bot.store.audit import RedisAudit
from bot.store.store import Store


async def test_the_same_bytes_are_the_same_artifact(store: Store) -> None:
    content = b"\x00\xff plan \n" * 1000
    artifact = await store.artifacts.put(content, name="plan.txt")
    assert await store.artifacts.put(content, name="other.txt") == artifact
    assert await store.artifacts.get(artifact) == content
    assert await store.artifacts.get(ArtifactId("0" * 16)) is None
    assert await store.artifacts.get(await store.artifacts.put(b"", name="empty")) == b""


async def test_other_bytes_under_a_taken_id_are_refused(store: Store) -> None:
    artifact = await store.artifacts.put(b"shown on the card", name="a")
    await store.link.write("HSET", f"{store.link.prefix}artifact:{artifact}", "content", "its twin")
    with pytest.raises(TwinArtifactError):
        await store.artifacts.put(b"shown on the card", name="a")


async def test_audit_events_are_read_in_order_by_page(store: Store) -> None:
    events = [AuditEvent("vote.counted", "1", "UANA", {"n": n, "facts": ["a", None, 1.5]}) for n in range(5)]
    for event in events:
        await store.audit.append(event)
    first = await store.audit.read(limit=2)
    rest = await store.audit.read(after=first[-1][0])
    assert [event for _, _, event in (*first, *rest)] == events
    assert await store.audit.verify() is None


async def test_writers_of_several_programs_keep_one_chain(store: Store) -> None:
    writers = [RedisAudit(store.link) for _ in range(4)]
    await asyncio.gather(
        *(
            writer.append(AuditEvent("call.ran", "1", f"w{n}", {"i": i}))
            for n, writer in enumerate(writers)
            for i in range(10)
        )
    )
    assert len(await store.audit.read()) == 40
    assert await store.audit.verify() is None


@pytest.mark.parametrize("tamper", ["who", "at", "gone", "cut"])
async def test_a_changed_audit_record_shows(store: Store, tamper: str) -> None:
    for n in range(4):
        await store.audit.append(AuditEvent("call.ran", "1", "UANA", {"n": n}))
    key = f"{store.link.prefix}audit"
    rows = await store.link.read("XRANGE", key, "-", "+")
    ids = [id_ for id_, _ in rows]
    await store.link.write("DEL", key)
    for at, (id_, fields) in enumerate(rows):
        if at == 1 and tamper == "who":
            fields[3] = fields[3].replace("UANA", "UEVE")
        if at == 1 and tamper == "at":
            fields[1] = str(int(fields[1]) - 60000)
        if (at == 1 and tamper == "gone") or (at == 3 and tamper == "cut"):
            continue
        await store.link.write("XADD", key, id_, *fields)
    assert await store.audit.verify() == (ids[1] if tamper in {"who", "at"} else ids[2])


async def test_rule_21_a_budget_is_shared_and_fills_by_the_minute(store: Store) -> None:
    assert await store.budget.take("openai", 600, 600) == 0
    wait = await store.budget.take("openai", 2, 600)
    assert 0.1 < wait <= 0.2  # ten a second
    await asyncio.sleep(wait + 0.02)
    assert await store.budget.take("openai", 2, 600) == 0
    assert await store.budget.take("anthropic", 600, 600) == 0


async def test_rule_21_concurrent_takers_never_get_more_than_there_is(store: Store) -> None:
    got = await asyncio.gather(*(store.budget.take("p", 10, 100) for _ in range(40)))
    assert sum(wait == 0 for wait in got) == 10


async def test_rule_21_a_call_larger_than_the_budget_goes_through_a_full_one_and_leaves_a_debt(store: Store) -> None:
    assert await store.budget.take("p", 900, 600) == 0
    assert 30 < await store.budget.take("p", 1, 600) < 31


async def test_rule_21_the_provider_s_pause_holds_for_everyone(store: Store) -> None:
    await store.budget.pause("p", 0.3)
    await store.budget.pause("p", 0.1)  # a shorter one does not end a longer one
    assert 0.2 < await store.budget.take("p", 1, 600) <= 0.3
    await asyncio.sleep(0.32)
    assert await store.budget.take("p", 1, 600) == 0


async def test_rule_21_what_was_used_is_corrected(store: Store) -> None:
    await store.budget.take("p", 500, 600)
    await store.budget.correct("p", -400)
    assert await store.budget.take("p", 450, 600) == 0
    await store.budget.correct("p", 100)
    assert await store.budget.take("p", 100, 600) > 14
    await store.budget.correct("never", 5)


async def test_a_lock_says_who_has_it_and_why(store: Store) -> None:
    assert await store.locks.lock("home", "7", "plan waits for approval a7f3") == ""
    assert await store.locks.lock("home", "7", "applies the plan") == ""
    assert await store.locks.lock("home", "8", "x") == "mission 7 has it, applies the plan"
    assert await store.locks.holder("home") == ("7", "applies the plan")
    await store.locks.unlock("home", "8")
    assert await store.locks.holder("home")
    await store.locks.unlock("home", "7")
    assert await store.locks.holder("home") is None
    assert await store.locks.lock("home", "8", "x") == ""


async def test_a_number_is_claimed_once(store: Store) -> None:
    assert await store.locks.claim("rounds", 0)
    assert not await store.locks.claim("rounds", 0)
    assert await store.locks.claim("rounds", 7)
    assert not await store.locks.claim("rounds", 6), "an older one is over"
    assert await store.locks.claim("other", 1)
