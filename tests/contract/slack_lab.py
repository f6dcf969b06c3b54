"""The lab's real Slack server on loopback, and the parts of bot/slack connected to it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from bot.slack.gateway import Connection
from bot.slack.ingress import Ingress
from bot.slack.parse import Known
from deploy.lab.slack.server import LabServer
from deploy.lab.slack.workspace import Options
from tests.unit.slack_ports import MemoryInbox, WallClock

CHANNEL, OTHER = "C0LAB00001", "C0LAB00002"
ANA, BO, MALLORY = "U0ANA00001", "U0BO000001", "U0MALLORY1"


@dataclass
class Lab:
    """The workspace seen from its people: the control API."""

    url: str
    facts: Mapping[str, Any]
    http: aiohttp.ClientSession

    @property
    def tokens(self) -> dict[str, tuple[str, str]]:
        return {name: (app["bot_token"], app["app_token"]) for name, app in self.facts["apps"].items()}

    async def do(self, what: str, **body: Any) -> Any:
        async with self.http.post(f"{self.url}/lab/{what}", json=body) as answer:
            return await answer.json()

    async def see(self, what: str, **query: str) -> Any:
        async with self.http.get(f"{self.url}/lab/{what}", params=query) as answer:
            return await answer.json()

    async def post(self, text: str, **more: Any) -> str:
        answer = await self.do("post", **{"as": ANA, "channel": CHANNEL, "text": text, **more})
        assert answer["ok"], answer
        return answer["ts"]

    async def thread(self, ts: str, channel: str = CHANNEL) -> list[dict[str, Any]]:
        return (await self.see("thread", channel=channel, ts=ts))["messages"]

    async def replies(self, ts: str, channel: str = CHANNEL) -> list[dict[str, Any]]:
        """What apps posted into a thread."""
        return [one for one in await self.thread(ts, channel) if one["ts"] != ts]

    async def fault(self, kind: str, **more: Any) -> Any:
        answer = await self.do("fault", kind=kind, **more)
        assert answer["ok"], answer
        return answer

    async def calls(self, method: str) -> list[dict[str, Any]]:
        return [call for call in (await self.see("record"))["calls"] if call["method"] == method]


@asynccontextmanager
async def running_lab(**options: Any) -> AsyncGenerator[Lab]:
    server = LabServer(Options(**options))
    async with server, aiohttp.ClientSession() as http:
        yield Lab(server.url, server.workspace.ready_facts(), http)


@asynccontextmanager
async def connected(lab: Lab) -> AsyncGenerator[Connection]:
    async with Connection(lab.tokens, WallClock(), base_url=f"{lab.url}/api/") as connection:
        yield connection


@asynccontextmanager
async def listening(lab: Lab, inbox: MemoryInbox, **more: Any) -> AsyncGenerator[tuple[Ingress, Known]]:
    async with connected(lab) as connection:
        ingress = Ingress(connection.identities, inbox, base_url=connection.base_url, watch_s=0.1, **more)
        await ingress.start()
        try:
            yield ingress, connection.identities.known
        finally:
            await ingress.close()


async def until(true: Callable[[], bool] | Callable[[], Awaitable[bool]], seconds: float = 8.0) -> None:
    """Wait until `true()`; fails after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        result = true()
        if result if isinstance(result, bool) else await result:
            return
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.02)
