"""Slack event → durable in the inbox → ack, over the lab's real Slack server and sockets.

The echo is the same Bolt app on the same socket, whose listener does one XADD through the same connection and acks.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import aiohttp
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from bot.clock import SystemClock
from bot.slack.gateway import Connection
from bot.slack.identities import Identity
from bot.slack.ingress import Ingress
from bot.slack.web import sdk_logger
from bot.store.connection import Link
from bot.store.store import Store
from tests.bench.figures import Aim, Report
from tests.bench.processes import Fsync, open_bench_store, server, soon

ONE = ("architect",)
CREW = ("watchbill", "architect", "builder", "sentinel", "qa")
STEADY = 50  # messages a second for the latency rows


class Slack:
    """The source's process, seen over HTTP."""

    def __init__(self, facts: Mapping[str, Any], http: aiohttp.ClientSession) -> None:
        self._facts = facts
        self._http = http
        self.url = str(facts["url"])

    @property
    def tokens(self) -> dict[str, tuple[str, str]]:
        apps: dict[str, dict[str, str]] = self._facts["apps"]
        return {name: (app["bot_token"], app["app_token"]) for name, app in apps.items()}

    async def drive(self, count: int, per_second: float, apps: tuple[str, ...]) -> tuple[set[str], list[float]]:
        """Post, wait until everything is acked or given up; the stamps, and seconds to each ack."""
        order = {"count": count, "per_second": per_second, "apps": apps}
        async with self._http.post(f"{self._facts['driver']}/drive", json=order) as answer:
            done = await answer.json()
        await soon(self._settled, 60.0)
        async with self._http.get(f"{self.url}/lab/record", params={"since": "0"}) as answer:
            records = (await answer.json())["deliveries"]
        new = [one for one in records if one["sent_at"] >= done["after"]]
        return set(done["ts"]), [one["acked_at"] - one["sent_at"] for one in new if one["acked_at"] is not None]

    async def _settled(self) -> bool:
        await asyncio.sleep(0.1)
        async with self._http.get(f"{self.url}/lab/acks") as answer:
            return (await answer.json())["waiting"] == 0


@contextlib.asynccontextmanager
async def _slack() -> AsyncGenerator[tuple[Slack, Connection]]:
    with server("tests.bench.slack_source") as facts:
        async with aiohttp.ClientSession() as http:
            slack = Slack(facts, http)
            async with Connection(slack.tokens, SystemClock(), base_url=f"{slack.url}/api/") as connection:
                yield slack, connection


@contextlib.asynccontextmanager
async def _ingress(connection: Connection, store: Store) -> AsyncGenerator[None]:
    ingress = Ingress(connection.identities, store.inbox, base_url=connection.base_url)
    await ingress.start()
    try:
        yield
    finally:
        await ingress.close()


@contextlib.asynccontextmanager
async def _echo(connection: Connection, link: Link) -> AsyncGenerator[None]:
    handlers = [
        AsyncSocketModeHandler(
            _echo_app(socket.identity, connection.base_url, link),
            socket.app_token,
            logger=sdk_logger("bench"),
            ping_interval=5.0,
        )
        for socket in connection.identities.sockets
    ]
    await asyncio.gather(*(handler.connect_async() for handler in handlers))
    try:
        yield
    finally:
        for handler in handlers:
            await handler.close_async()
        await asyncio.sleep(0)


def _echo_app(identity: Identity, base_url: str, link: Link) -> AsyncApp:
    async def authorize() -> AuthorizeResult:
        return AuthorizeResult(
            enterprise_id=None, team_id=identity.team, bot_id=identity.bot_id, bot_user_id=identity.user_id
        )

    app = AsyncApp(
        name=identity.name,
        logger=sdk_logger("bench"),
        client=AsyncWebClient(base_url=base_url, logger=sdk_logger("bench"), retry_handlers=[]),
        authorize=authorize,
        signing_secret="",
        process_before_response=True,
        request_verification_enabled=False,
        ignoring_self_events_enabled=False,
        attaching_conversation_kwargs_enabled=False,
    )

    async def receive(body: dict[str, Any], ack: AsyncAck) -> None:
        event = body["event"]
        await link.write("XADD", "bench:echo", "*", "ts", event["ts"], "text", event.get("text", ""))
        await ack()

    bolt: Any = app  # Bolt's decorators are untyped
    bolt.event(re.compile(""))(receive)
    return app


async def in_inbox(link: Link) -> set[str]:
    """The stamps of every message that waits in some lane."""
    found: set[str] = set()
    cursor: Any = 0
    while True:
        cursor, keys = await link.read("SCAN", cursor, "MATCH", f"{link.prefix}items:*", "COUNT", 500)
        for key in keys:
            items: list[str] = await link.read("HVALS", key)
            found |= {json.loads(item.split("\n", 1)[1])["ts"] for item in items}
        if str(cursor) == "0":
            return found


async def run(*, quick: bool = False, profile: bool = False) -> Report:
    """p50 and p99 of single events under both policies; then 500 events a second."""
    seconds = 1 if quick else 10
    report = Report("ack", "the same Bolt app and socket, one XADD under the same appendfsync, ack")
    async with _slack() as (slack, connection):
        for fsync in ("everysec", "always"):
            async with open_bench_store(fsync) as store:
                row = await _steady(report, slack, connection, store, fsync, seconds)
                report.aims.append(Aim(f"ack, {fsync}, p50 against the echo", row, 2.0))
        async with open_bench_store("everysec") as store:
            await _load(report, slack, connection, store, "one app, 500 messages/s", 500, ONE, seconds)
        async with open_bench_store("everysec") as store:
            await _load(report, slack, connection, store, "five apps, 100 messages/s", 100, CREW, seconds)
    report.aims.append(Aim("lost at 500 events/s", report.lost, 0, "messages"))
    return report


async def _steady(
    report: Report, slack: Slack, connection: Connection, store: Store, fsync: Fsync, seconds: int
) -> float:
    """Rounds of ours and of the echo in turn, at a pace at which nothing queues."""
    ours: list[float] = []
    echo: list[float] = []
    count = max(10, STEADY * seconds // 4)
    for _ in range(1 if seconds == 1 else 4):
        async with _ingress(connection, store):
            stamps, times = await slack.drive(count, STEADY, ONE)
            ours += times
        report.sent += len(stamps)
        report.kept += len(stamps & await in_inbox(store.link))
        async with _echo(connection, store.link):
            echo += (await slack.drive(count, STEADY, ONE))[1]
    return report.add(f"{STEADY} messages/s, one app, {fsync}", ours, echo).ratio or 0.0


async def _load(
    report: Report, slack: Slack, connection: Connection, store: Store, what: str, pace: int,
    apps: tuple[str, ...], seconds: int,
) -> None:  # fmt: skip
    async with _ingress(connection, store):
        stamps, ours = await slack.drive(pace * seconds, pace, apps)
    report.sent += len(stamps)
    report.kept += len(stamps & await in_inbox(store.link))
    async with _echo(connection, store.link):
        _, echo = await slack.drive(pace * seconds, pace, apps)
    report.add(f"{what} for {seconds} s", ours, echo)
