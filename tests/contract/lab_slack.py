"""What the tests of the lab's Slack share: a server in this process and real clients of it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from deploy.lab.slack.client import LabClient
from deploy.lab.slack.server import LabServer
from deploy.lab.slack.workspace import Options, Workspace
from deploy.lab.slack.world import App

CHANNEL, LOBBY = "C0LAB00001", "C0LAB00003"
ANA, BO, EVE, DAN = "U0ANA00001", "U0BO000001", "U0EVE00001", "U0DAN00001"
Json = dict[str, Any]
QUICK = Options(ack_seconds=0.4, retry_scale=0.002)
BUTTON: Json = {
    "type": "button",
    "action_id": "approve",
    "text": {"type": "plain_text", "text": "Approve"},
    "value": "r1",
}
CARD: list[Json] = [{"type": "actions", "block_id": "votes", "elements": [BUTTON]}]


class Lab(LabClient):
    """The control API of a server in this process, and the SDK's clients for its apps."""

    def __init__(self, server: LabServer, session: aiohttp.ClientSession) -> None:
        super().__init__(server.url, session)
        self.session = session
        self.workspace: Workspace = server.workspace
        self.apps: dict[str, App] = server.workspace.world.apps

    def client(self, key: str = "watchbill") -> Any:
        """The SDK's client, as Any: its own types are partly unknown."""
        return self.client_with(self.apps[key].bot_token)

    def client_with(self, token: str) -> Any:
        return AsyncWebClient(token, base_url=f"{self.url}/api/", session=self.session)

    async def say(self, text: str, person: str = ANA, **more: Any) -> str:
        return str((await self.act("post", person, channel=CHANNEL, text=text, **more))["ts"])

    async def card(self) -> str:
        return str((await self.client().chat_postMessage(channel=CHANNEL, text="card", blocks=CARD))["ts"])

    @asynccontextmanager
    async def bolt(self, key: str, listen: Callable[[Any], object]) -> AsyncGenerator[AsyncSocketModeHandler]:
        app = AsyncApp(client=self.client(key), process_before_response=True)
        listen(app)
        handler = AsyncSocketModeHandler(app, self.apps[key].app_token, ping_interval=0.2)
        await handler.connect_async()
        try:
            yield handler
        finally:
            await handler.close_async()


@asynccontextmanager
async def open_lab(options: Options = QUICK) -> AsyncGenerator[Lab]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):  # the SDK ignores NO_PROXY
            patch.delenv(name, raising=False)
        async with LabServer(options) as server, aiohttp.ClientSession() as session:
            yield Lab(server, session)


async def until(happened: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not happened():
            await asyncio.sleep(0.01)


def collect(into: list[Json], *kinds: str) -> Callable[[Any], None]:
    """A listener that acks events of these kinds and keeps their bodies."""

    async def keep(body: Json, ack: Callable[[], Awaitable[None]]) -> None:
        await ack()
        into.append(body)

    def listen(app: Any) -> None:
        for kind in kinds:
            app.event(kind)(keep)

    return listen


async def error_of(call: Awaitable[object]) -> Json:
    """The error answer that a call ends in."""
    with pytest.raises(SlackApiError) as caught:
        await call
    answer: Any = caught.value  # the SDK leaves the type of its response open
    body: Json = answer.response.data
    return body
