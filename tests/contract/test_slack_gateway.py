"""The gateway whole: the lab's Slack on one side, the real store on the other."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bot.domain.ids import Thread, UserId
from bot.domain.inbound import Said
from bot.domain.posts import Notice, Post, Speech
from bot.slack.gateway import Gateway
from bot.store.store import Store
from tests.contract.slack_lab import ANA, BO, CHANNEL, MALLORY, Lab, connected, running_lab, until
from tests.unit.slack_ports import MemoryArtifacts, WallClock


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with running_lab(rate_scale=0) as running:
        yield running


@asynccontextmanager
async def running(lab: Lab, store: Store, worker: str) -> AsyncGenerator[Gateway]:
    async with connected(lab) as connection:
        gateway = Gateway(
            connection, store.inbox, store.outbox, MemoryArtifacts(), WallClock(), worker=worker, coalesce_s=0.05
        )
        stop = asyncio.Event()
        task = asyncio.create_task(gateway.run(stop))
        try:
            await asyncio.wait_for(gateway.listening.wait(), 5)
            yield gateway
        finally:
            stop.set()
            await asyncio.wait_for(task, 10)


def post(root: str, text: str, key: str) -> Post:
    return Post(key, Thread("T0LAB00001", CHANNEL, root), "architect", Speech(text))


async def test_rule_4_what_is_said_waits_in_the_store_and_what_is_put_is_shown(lab: Lab, store: Store) -> None:
    async with running(lab, store, "one") as gateway:
        assert gateway.health().ready
        root = await lab.post("@Architect three VMs please")
        await store.outbox.put(post(root, "Plan: 1 step.", "s1"))
        work = None
        while work is None:
            work = await store.inbox.next_lane("w", wait_s=5)
        ((_, said),) = await store.inbox.read(work.lane)
        assert isinstance(said, Said)
        assert (said.text, said.to) == ("@Architect three VMs please", ("architect",))

        async def recorded() -> bool:
            return await store.outbox.sent_as("s1") is not None

        await until(recorded)
    (reply,) = await lab.replies(root)
    assert reply["text"] == "Plan: 1 step."
    assert await store.outbox.key_of(CHANNEL, reply["ts"]) == "s1"


async def test_rule_13_a_restart_with_a_post_tried_and_not_recorded_posts_once(lab: Lab, store: Store) -> None:
    root = await lab.post("mission")
    await store.outbox.put(post(root, "said once", "s1"), post(root, "and this", "s2"))
    async with running(lab, store, "one"):

        async def shown() -> bool:
            return len(await lab.replies(root)) == 2

        await until(shown)
    await store.outbox.put(post(root, "said once", "s1"))
    # As after SIGKILL between Slack's answer and its record: tried, no ts.
    await store.outbox.put(post(root, "third", "s3"))
    (item,) = await store.outbox.waiting()
    await store.outbox.trying(item)
    data = {
        "channel": CHANNEL,
        "thread_ts": root,
        "text": "third",
        "metadata": '{"event_type": "watchbill_post", "event_payload": {"key": "s3"}}',
        "token": lab.tokens["architect"][0],
    }
    async with lab.http.post(f"{lab.url}/api/chat.postMessage", data=data) as answer:
        ts = (await answer.json())["ts"]
    async with running(lab, store, "two"):

        async def adopted() -> bool:
            return await store.outbox.key_of(CHANNEL, ts) == "s3"

        await until(adopted)
    assert [one["text"] for one in await lab.replies(root)] == ["said once", "and this", "third"]


async def test_the_lease_is_given_up_at_once_so_a_restart_sends_at_once(lab: Lab, store: Store) -> None:
    root = await lab.post("mission")
    async with running(lab, store, "one") as gateway:
        await until(lambda: gateway.sender.health.sending)
    await asyncio.sleep(0.05)
    async with running(lab, store, "two") as gateway:
        await store.outbox.put(Post("n", Thread("T0LAB00001", CHANNEL, root), "watchbill", Notice("hello")))
        await until(lambda: gateway.sender.health.delivered == 1, 3)
    assert [one["text"] for one in await lab.replies(root)] == ["hello"]


async def test_stop_before_slack_can_be_reached_ends_the_gateway(lab: Lab, store: Store) -> None:
    async with connected(lab) as connection:
        connection.base_url = "http://127.0.0.1:9/api/"  # nobody listens
        gateway = Gateway(connection, store.inbox, store.outbox, MemoryArtifacts(), WallClock(), worker="one")
        stop = asyncio.Event()
        task = asyncio.create_task(gateway.run(stop))
        await asyncio.sleep(0.2)
        assert not gateway.health().ready
        stop.set()
        await asyncio.wait_for(task, 5)
    assert not gateway.listening.is_set()


@pytest.mark.parametrize(
    ("user", "standing"),
    [
        (ANA, ("member", "ana")),
        (MALLORY, ("guest", "mallory")),
        ("U0EVE00001", ("external", "eve")),
        ("U0DAN00001", ("deactivated", "dan")),
        ("U0NOBODY01", ("unknown", "")),
        ("U0BUIL00001", ("bot", "builder")),
    ],
)
async def test_rule_12_slack_says_who_is_a_guest_external_or_gone(
    lab: Lab, user: str, standing: tuple[str, str]
) -> None:
    async with connected(lab) as connection:
        assert await connection.standing(UserId(user)) == standing


async def test_rule_12_standing_is_kept_for_a_minute_and_no_answer_is_unknown(lab: Lab) -> None:
    async with connected(lab) as connection:
        for _ in range(3):
            assert (await connection.standing(UserId(BO)))[0] == "member"
        assert len(await lab.calls("users.info")) == 1
        await lab.fault("fail", method="users.info", error="http_500", count=3)  # it is asked again, twice
        assert (await connection.standing(UserId(ANA)))[0] == "unknown"
        assert (await connection.standing(UserId(ANA)))[0] == "member"
