"""Socket Mode of the lab: acks, redelivery, broken connections, and misbehaviour on demand."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from deploy.lab.slack.workspace import Options
from tests.contract.lab_slack import ANA, BO, CHANNEL, QUICK, Json, Lab, collect, error_of, open_lab, until


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with open_lab() as opened:
        yield opened


@asynccontextmanager
async def raw_socket(lab: Lab, key: str = "watchbill") -> AsyncGenerator[aiohttp.ClientWebSocketResponse]:
    """A connection without an SDK: nothing is acked unless the test does."""
    opened = await lab.client(key).apps_connections_open(app_token=lab.apps[key].app_token)
    async with lab.session.ws_connect(opened["url"]) as socket:
        assert (await socket.receive_json())["type"] == "hello"
        yield socket


async def receive(socket: aiohttp.ClientWebSocketResponse) -> Json:
    message: Json = await socket.receive_json(timeout=5)
    return message


async def ack(socket: aiohttp.ClientWebSocketResponse, envelope: Json) -> None:
    await socket.send_str(json.dumps({"envelope_id": envelope["envelope_id"]}))


async def test_an_event_without_ack_comes_again_with_its_event_id_and_the_reason(lab: Lab) -> None:
    async with raw_socket(lab) as socket:
        await lab.say("hello")
        seen = [await receive(socket) for _attempt in range(4)]
        assert [one["retry_attempt"] for one in seen] == [0, 1, 2, 3]
        assert [one["retry_reason"] for one in seen] == ["", "timeout", "timeout", "timeout"]
        assert len({one["payload"]["event_id"] for one in seen}) == 1
        assert len({one["envelope_id"] for one in seen}) == 4
        await until(lambda: bool(lab.workspace.hub.unacked))
    record = await lab.read("record")
    assert record["unacked"][0]["attempts"] == 4
    assert [one["status"] for one in record["deliveries"]] == ["timeout"] * 4


async def test_an_acked_event_does_not_come_again(lab: Lab) -> None:
    async with raw_socket(lab) as socket:
        await lab.say("hello")
        await ack(socket, await receive(socket))
        await lab.say("next")
        envelope = await receive(socket)
        assert (envelope["payload"]["event"]["text"], envelope["retry_attempt"]) == ("next", 0)
        await ack(socket, envelope)
        await until(lambda: lab.workspace.hub.count_unsettled() == 0 or lab.workspace.hub.redelivered > 0)
    assert (await lab.read("report"))["unacked"] == 0


async def test_an_event_for_an_app_that_is_away_waits_for_its_connection(lab: Lab) -> None:
    await lab.say("while you were out")
    async with raw_socket(lab) as socket:
        assert (await receive(socket))["payload"]["event"]["text"] == "while you were out"


async def test_each_payload_goes_to_one_of_an_apps_connections(lab: Lab) -> None:
    async with raw_socket(lab) as first, raw_socket(lab) as second:
        for number in range(4):
            await lab.say(str(number))
        got = [(await receive(socket))["payload"]["event"]["text"] for socket in (first, first, second, second)]
    assert sorted(got) == ["0", "1", "2", "3"]


async def test_the_eleventh_connection_is_sent_away(lab: Lab) -> None:
    async with AsyncExitStack() as stack:
        for _number in range(10):
            await stack.enter_async_context(raw_socket(lab))
        opened = await lab.client().apps_connections_open(app_token=lab.apps["watchbill"].app_token)
        socket = await stack.enter_async_context(lab.session.ws_connect(opened["url"]))
        assert await receive(socket) == {
            "type": "disconnect",
            "reason": "too_many_websockets",
            "debug_info": {"host": "lab"},
        }


async def test_a_ticket_opens_one_connection_only(lab: Lab) -> None:
    opened = await lab.client().apps_connections_open(app_token=lab.apps["watchbill"].app_token)
    async with lab.session.ws_connect(opened["url"]):
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await lab.session.ws_connect(opened["url"])


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "disconnect", "reason": "refresh_requested"},
        {"kind": "disconnect", "reason": "warning"},
        {"kind": "drop_socket", "app": "watchbill"},
        {"kind": "drop_socket", "app": "watchbill", "how": "close"},
        {"kind": "drop_socket", "app": "watchbill", "how": "halfopen"},
    ],
    ids=lambda fault: f"{fault.get('reason', '')}{fault.get('how', '')}" or "abort",
)
async def test_bolt_comes_back_after_a_broken_connection_and_loses_nothing(fault: Json) -> None:
    async with open_lab(Options(ack_seconds=1, retry_scale=0.02)) as lab:
        seen: list[Json] = []
        async with lab.bolt("watchbill", collect(seen, "message")):
            assert (await lab.act("fault", **fault))["hit"] == 1
            await lab.say("are you there")
            await until(lambda: bool(seen), seconds=20)
        assert seen[0]["event"]["text"] == "are you there"


async def test_a_click_on_a_dropped_connection_is_not_acked_and_not_sent_twice(lab: Lab) -> None:
    ts = await lab.card()
    async with raw_socket(lab) as socket:
        await ack(socket, await receive(socket))
        clicking = asyncio.create_task(lab.act("click", BO, channel=CHANNEL, ts=ts, action_id="approve"))
        envelope = await receive(socket)
        assert (envelope["type"], envelope["accepts_response_payload"]) == ("interactive", False)
        await lab.act("fault", kind="drop_socket", app="watchbill")
        assert await clicking == {"ok": False, "acked": False, "error": "operation_timeout"}
    async with raw_socket(lab) as socket:
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.5)


async def test_planted_duplicates_and_delays_hit_the_next_events(lab: Lab) -> None:
    async with raw_socket(lab) as socket:
        await lab.act("fault", kind="duplicate", count=1, app="watchbill")
        await lab.say("twice")
        twice = [await receive(socket), await receive(socket)]
        for envelope in twice:
            await ack(socket, envelope)
        assert twice[0]["payload"]["event_id"] == twice[1]["payload"]["event_id"]
        await lab.act("fault", kind="delay", count=1, ms=200, app="watchbill")
        await lab.say("late")
        await lab.say("early")
        texts = [(await receive(socket))["payload"]["event"]["text"] for _number in range(2)]
    assert texts == ["early", "late"]


async def test_a_delayed_ack_counts_as_none(lab: Lab) -> None:
    async with raw_socket(lab) as socket:
        await lab.act("fault", kind="delay_ack", count=1, ms=900, app="watchbill")
        await lab.say("slow")
        await ack(socket, await receive(socket))
        again = await receive(socket)
        assert (again["retry_attempt"], again["payload"]["event"]["text"]) == (1, "slow")


async def test_planted_failures_of_methods_end_after_their_count(lab: Lab) -> None:
    client = lab.client()
    await lab.act("fault", kind="fail", method="chat.postMessage", error="fatal_error", count=1)
    assert (await error_of(client.chat_postMessage(channel=CHANNEL, text="a")))["error"] == "fatal_error"
    await client.chat_postMessage(channel=CHANNEL, text="b")
    for error, status in (("http_500", 500), ("http_413", 413), ("ratelimited", 429)):
        await lab.act("fault", kind="fail", method="chat.update", error=error, count=1, retry_after=7)
        headers = {"Authorization": f"Bearer {lab.apps['watchbill'].bot_token}"}
        async with lab.session.post(f"{lab.url}/api/chat.update", json={}, headers=headers) as response:
            assert response.status == status
    assert response.headers["Retry-After"] == "7"


async def test_a_lost_answer_belongs_to_a_call_that_was_carried_out(lab: Lab) -> None:
    await lab.act("fault", kind="fail", method="chat.postMessage", error="lost", count=1)
    url = f"{lab.url}/api/chat.postMessage"
    headers = {"Authorization": f"Bearer {lab.apps['watchbill'].bot_token}"}
    with pytest.raises(aiohttp.ClientError):
        await lab.session.post(url, json={"channel": CHANNEL, "text": "posted"}, headers=headers)
    state = await lab.read("state")
    assert [message["text"] for message in state["messages"]] == ["posted"]


@pytest.mark.slow
async def test_five_hundred_events_a_second_are_all_delivered_and_acked() -> None:
    async with open_lab(QUICK) as lab:
        async with raw_socket(lab) as socket:

            async def ack_all() -> None:
                async for message in socket:
                    await ack(socket, json.loads(message.data))

            acking = asyncio.create_task(ack_all())
            result = await lab.act("burst", ANA, channel=CHANNEL, count=1000, per_second=500, text="burst {n}")
            await until(lambda: sum(one["status"] == "acked" for one in lab.workspace.hub.records) == 1000)
            acking.cancel()
        assert result["posted"] == 1000
        assert result["seconds"] < 4
        assert (await lab.read("acks", app="watchbill"))["p50_ms"] < 400


async def test_a_shortcut_and_the_home_tab_reach_the_app(lab: Lab) -> None:
    seen: list[str] = []

    async def shortcut(ack: Callable[[], Awaitable[None]], body: Json) -> None:
        await ack()
        seen.append(body["message"]["text"])

    async def home(body: Json, ack: Callable[[], Awaitable[None]]) -> None:
        await ack()
        seen.append(body["event"]["tab"])

    ts = await lab.say("turn me into a mission")

    def listen_both(app: Any) -> None:
        app.shortcut("start_mission")(shortcut)
        app.event("app_home_opened")(home)

    async with lab.bolt("watchbill", listen_both):
        answer = await lab.act("shortcut", ANA, channel=CHANNEL, ts=ts, callback_id="start_mission")
        await lab.act("home_opened", ANA)
        await until(lambda: len(seen) == 2)
    assert answer["acked"] is True
    assert sorted(seen) == ["home", "turn me into a mission"]
