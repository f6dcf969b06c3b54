"""The outbox on the real server: what Slack is to show against what it shows."""

import asyncio
import time

from bot.domain.storage import Sent
from bot.store.store import Store
from tests.contract.store_values import post


async def keys(store: Store) -> list[str]:
    return [item.post.key for item in await store.outbox.waiting()]


async def test_posts_wait_oldest_first_until_they_are_sent(store: Store) -> None:
    await store.outbox.put(post("a"), post("b"))
    await store.outbox.put(post("c"))
    assert await keys(store) == ["a", "b", "c"]
    assert [item.post.key for item in await store.outbox.waiting(2)] == ["a", "b"]
    first = (await store.outbox.waiting())[0]
    assert (first.post, first.version, first.sent, first.tried) == (post("a"), 1, None, False)
    await store.outbox.sent(first, "100.1")
    assert await keys(store) == ["b", "c"]
    assert await store.outbox.sent_as("a") == Sent("C1", "100.1", 1)
    assert await store.outbox.key_of("C1", "100.1") == "a"
    assert await store.outbox.key_of("C2", "100.1") is None
    assert await store.outbox.sent_as("b") is None


async def test_later_versions_replace_earlier_ones_that_wait_and_keep_their_place(store: Store) -> None:
    await store.outbox.put(post("a", "1"), post("b"))
    await store.outbox.put(post("a", "2"))
    first = (await store.outbox.waiting())[0]
    assert (first.post, first.version) == (post("a", "2"), 2)


async def test_what_changed_while_it_was_sent_is_edited_next(store: Store) -> None:
    await store.outbox.put(post("a", "1"))
    (item,) = await store.outbox.waiting()
    await store.outbox.put(post("a", "2"))
    await store.outbox.sent(item, "100.1")
    (again,) = await store.outbox.waiting()
    assert (again.post, again.version, again.sent) == (post("a", "2"), 2, Sent("C1", "100.1", 1))
    await store.outbox.sent(again, "100.1")
    assert await keys(store) == []
    assert await store.outbox.sent_as("a") == Sent("C1", "100.1", 2)


async def test_a_post_that_says_nothing_new_is_not_sent_again(store: Store) -> None:
    await store.outbox.put(post("a"))
    (item,) = await store.outbox.waiting()
    await store.outbox.sent(item, "100.1")
    await store.outbox.put(post("a"))
    assert await keys(store) == []
    await store.outbox.put(post("a", "new"))
    assert await keys(store) == ["a"]


async def test_a_first_send_that_may_have_got_through_is_marked(store: Store) -> None:
    await store.outbox.put(post("a"))
    (item,) = await store.outbox.waiting()
    await store.outbox.trying(item)
    (item,) = await store.outbox.waiting()
    assert item.tried
    await store.outbox.put(post("a", "2"))  # still unknown
    (item,) = await store.outbox.waiting()
    assert item.tried
    await store.outbox.sent(item, "1.1")
    await store.outbox.put(post("a", "3"))
    (item,) = await store.outbox.waiting()
    await store.outbox.trying(item)
    (item,) = await store.outbox.waiting()
    assert not item.tried  # an edit is no first send


async def test_adopting_a_ts_works_once_and_ends_the_waiting(store: Store) -> None:
    await store.outbox.put(post("a"))
    assert await store.outbox.adopt("a", Sent("C1", "7.7", 1))
    assert not await store.outbox.adopt("a", Sent("C1", "8.8", 1))
    assert await store.outbox.sent_as("a") == Sent("C1", "7.7", 1)
    assert await store.outbox.key_of("C1", "7.7") == "a"
    assert await keys(store) == []


async def test_adopting_an_older_version_leaves_the_newer_one_to_be_sent(store: Store) -> None:
    await store.outbox.put(post("a", "1"))
    await store.outbox.put(post("a", "2"))
    assert await store.outbox.adopt("a", Sent("C1", "7.7", 1))
    (item,) = await store.outbox.waiting()
    assert item.sent == Sent("C1", "7.7", 1)


async def test_a_dropped_version_waits_no_more_and_the_next_one_does(store: Store) -> None:
    await store.outbox.put(post("a"))
    (item,) = await store.outbox.waiting()
    await store.outbox.dropped(item, "channel_not_found")
    assert await keys(store) == []
    assert await store.link.read("HGET", f"{store.link.prefix}post:a", "why") == "channel_not_found"
    await store.outbox.put(post("a"))  # said again: try again
    assert await keys(store) == ["a"]
    await store.outbox.dropped(item, "late word on an older version")
    assert await keys(store) == ["a"]


async def test_the_sender_wakes_at_once(store: Store) -> None:
    sleeper = asyncio.create_task(store.outbox.wait(5))
    await asyncio.sleep(0.05)
    start = time.monotonic()
    await store.outbox.put(post())
    await sleeper
    assert time.monotonic() - start < 0.5
    start = time.monotonic()
    await store.outbox.wait(0.1)
    assert 0.09 < time.monotonic() - start < 0.8
    await store.outbox.wait(0)


async def test_one_sender_at_a_time(store: Store) -> None:
    assert await store.outbox.hold("w1", 5)
    assert not await store.outbox.hold("w2", 5)
    assert await store.outbox.hold("w1", 0.05)
    await asyncio.sleep(0.1)
    assert await store.outbox.hold("w2", 5)
    assert not await store.outbox.hold("w1", 5)
