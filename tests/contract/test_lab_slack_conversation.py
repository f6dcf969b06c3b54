"""The lab's Slack as the real SDK sees it: messages, mentions, clicks, commands and their acks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from deploy.lab.slack.server import LabServer
from deploy.lab.slack.workspace import Options

CHANNEL = "C0LAB00001"
ANA, BO = "U0ANA00001", "U0BO000001"
Json = dict[str, Any]
BUTTON: Json = {
    "type": "button",
    "action_id": "approve",
    "text": {"type": "plain_text", "text": "Approve"},
    "value": "r1",
}
CARD: list[Json] = [{"type": "actions", "block_id": "votes", "elements": [BUTTON]}]


class Lab:
    """The server and a client of its control API."""

    def __init__(self, server: LabServer, session: aiohttp.ClientSession) -> None:
        self.server, self.session, self.apps = server, session, server.workspace.world.apps

    async def act(self, name: str, **body: Any) -> Json:
        async with self.session.post(f"{self.server.url}/lab/{name}", json=body) as response:
            return await response.json()

    async def read(self, name: str, **query: str) -> Json:
        async with self.session.get(f"{self.server.url}/lab/{name}", params=query) as response:
            return await response.json()

    def client(self, key: str) -> AsyncWebClient:
        return AsyncWebClient(self.apps[key].bot_token, base_url=f"{self.server.url}/api/", session=self.session)

    @asynccontextmanager
    async def bolt(self, key: str, listen: Callable[[AsyncApp], None]) -> AsyncIterator[AsyncApp]:
        app = AsyncApp(client=self.client(key), process_before_response=True)
        listen(app)
        handler = AsyncSocketModeHandler(app, self.apps[key].app_token, ping_interval=1)
        await handler.connect_async()
        try:
            yield app
        finally:
            await handler.close_async()


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with LabServer(Options(ack_seconds=0.4, retry_scale=0.005)) as server, aiohttp.ClientSession() as session:
        yield Lab(server, session)


async def until(happened: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not happened():
            await asyncio.sleep(0.01)


def collect(into: list[Json], *kinds: str) -> Callable[[AsyncApp], None]:
    async def keep(body: Json, ack: Callable[[], Awaitable[None]]) -> None:
        await ack()
        into.append(body)

    def listen(app: AsyncApp) -> None:
        for kind in kinds:
            app.event(kind)(keep)

    return listen


async def test_a_typed_mention_reaches_members_as_message_and_the_mentioned_as_app_mention(lab: Lab) -> None:
    architect: list[Json] = []
    builder: list[Json] = []
    async with (
        lab.bolt("architect", collect(architect, "message", "app_mention")),
        lab.bolt("builder", collect(builder, "message", "app_mention")),
    ):
        posted = await lab.act("post", **{"as": ANA}, channel=CHANNEL, text="@Architect build it & <run>")
        await until(lambda: len(architect) == 2 and len(builder) == 1)
    kinds = sorted(body["event"]["type"] for body in architect)
    assert kinds == ["app_mention", "message"]
    assert {body["event"]["ts"] for body in architect + builder} == {posted["ts"]}
    assert len({body["event_id"] for body in architect + builder}) == 3
    assert architect[0]["event"]["text"] == f"<@{lab.apps['architect'].user_id}> build it &amp; &lt;run&gt;"
    assert architect[0]["event"]["user"] == ANA


async def test_raw_text_is_no_mention(lab: Lab) -> None:
    seen: list[Json] = []
    async with lab.bolt("architect", collect(seen, "message", "app_mention")):
        await lab.act("post", **{"as": ANA}, channel=CHANNEL, text="plain @Architect", raw=True)
        await lab.act("post", **{"as": ANA}, channel=CHANNEL, text="mail x@architect.example")
        await until(lambda: len(seen) == 2)
    assert [body["event"]["type"] for body in seen] == ["message", "message"]


async def test_posts_of_one_app_arrive_at_the_others_with_its_bot_identity(lab: Lab) -> None:
    seen: list[Json] = []
    async with lab.bolt("watchbill", collect(seen, "message")):
        answer = await lab.client("builder").chat_postMessage(channel=CHANNEL, text="plan is ready")
        await until(lambda: len(seen) == 1)
    event, builder = seen[0]["event"], lab.apps["builder"]
    assert (event["bot_id"], event["app_id"], event["user"]) == (builder.bot_id, builder.app_id, builder.user_id)
    assert event["ts"] == answer["ts"]


async def test_a_click_carries_the_stored_button_and_its_ack_comes_back(lab: Lab) -> None:
    clicks: list[Json] = []

    async def approve(ack: Callable[[], Awaitable[None]], body: Json) -> None:
        await ack()
        clicks.append(body)

    posted = await lab.client("watchbill").chat_postMessage(channel=CHANNEL, text="card", blocks=CARD)
    async with lab.bolt("watchbill", lambda app: app.action("approve")(approve)):
        clicked = await lab.act("click", **{"as": BO}, channel=CHANNEL, ts=posted["ts"], action_id="approve")
        missing = await lab.act("click", **{"as": BO}, channel=CHANNEL, ts=posted["ts"], action_id="forged")
    assert clicked == {"ok": True, "acked": True}
    assert missing["error"] == "no_such_element"
    action = clicks[0]["actions"][0]
    assert (action["value"], action["block_id"], clicks[0]["user"]["id"]) == ("r1", "votes", BO)
    assert clicks[0]["container"]["message_ts"] == clicks[0]["message"]["ts"] == posted["ts"]


async def test_a_command_is_acked_with_text_and_answered_later_through_its_response_url(lab: Lab) -> None:
    async def mission(ack: Callable[..., Awaitable[None]], respond: Callable[..., Awaitable[Any]], body: Json) -> None:
        await ack(f"working on {body['text']}")
        await respond("here it is", response_type="in_channel")

    async with lab.bolt("watchbill", lambda app: app.command("/mission")(mission)):
        answer = await lab.act("command", **{"as": ANA}, channel=CHANNEL, command="/mission", text="show 7")
        await until(lambda: len(lab.server.workspace.world.channels[CHANNEL].messages) == 1)
    assert answer == {"ok": True, "ack": {"text": "working on show 7"}}
    mine = await lab.read("ephemerals", **{"as": ANA})
    assert [message["text"] for message in mine["messages"]] == ["working on show 7"]
    state = await lab.read("state", channel=CHANNEL)
    assert [message["text"] for message in state["messages"]] == ["here it is"]


async def test_without_a_connection_a_command_fails_as_slack_says_it(lab: Lab) -> None:
    answer = await lab.act("command", **{"as": ANA}, channel=CHANNEL, command="/crew")
    unknown = await lab.act("command", **{"as": ANA}, channel=CHANNEL, command="/nothing")
    assert (answer["error"], unknown["error"]) == ("dispatch_failed", "invalid_command")


async def test_wrong_tokens_get_slacks_words(lab: Lab) -> None:
    api = f"{lab.server.url}/api/"
    architect = lab.apps["architect"]
    for token, error in (
        ("xoxb-wrong", "invalid_auth"),
        ("", "not_authed"),
        (architect.app_token, "not_allowed_token_type"),
    ):
        with pytest.raises(SlackApiError) as caught:
            await AsyncWebClient(token, base_url=api, session=lab.session).auth_test()
        assert caught.value.response["error"] == error
    answer = await lab.client("architect").auth_test()
    assert (answer["user_id"], answer["bot_id"]) == (architect.user_id, architect.bot_id)
    assert "chat:write" in answer.headers["x-oauth-scopes"]
