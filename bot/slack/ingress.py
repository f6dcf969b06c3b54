"""Socket Mode in: listeners parse, write to the inbox, then ack. A failed write gives no ack, so Slack sends again."""

import asyncio
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.storage import Inbox, StoreUnavailableError
from bot.log import logger
from bot.slack.identities import Identities, Identity, Socket
from bot.slack.parse import Dropped, InOrder, Spoken, Urgent, parse
from bot.slack.web import sdk_logger

LOG = logger("slack.ingress")
SOCKET_OPENED = "socket.opened"
SOCKET_LOST = "socket.lost"
SOCKET_MISMATCHED = "socket.mismatched"
PAYLOAD_DROPPED = "payload.dropped"
PAYLOAD_NOT_STORED = "payload.not_stored"

EVERYTHING = re.compile("")
DRAIN_S = 5.0
RECONNECT_S = 20.0


@dataclass(frozen=True, slots=True)
class Link:
    """The state of one app's connection, for health and `check`. `problem` is for the operator."""

    name: str
    connected: bool = False
    received: int = 0
    stored: int = 0
    refused: int = 0  # not acked because the inbox did not take them
    problem: str = ""


class Ingress:
    """The listening side of every app. `start`, then `close`; in between sockets mend themselves."""

    def __init__(
        self,
        identities: Identities,
        inbox: Inbox,
        *,
        base_url: str,
        coalesce_s: float = 1.5,
        ping_s: float = 5.0,
        watch_s: float = 0.5,
    ) -> None:
        self._identities = identities
        self._inbox = inbox
        self._base_url = base_url
        self._coalesce_s = coalesce_s
        self._ping_s = ping_s
        self._watch_s = watch_s
        self._links = {one.identity.name: Link(one.identity.name) for one in identities.sockets}
        self._handlers: list[AsyncSocketModeHandler] = []
        self._watchers: list[asyncio.Task[None]] = []
        self._under_way = 0
        self._closing = False

    def health(self) -> Mapping[str, Link]:
        return dict(self._links)

    async def start(self) -> None:
        """Connect every app. Returns when all are connected once."""
        for socket in self._identities.sockets:
            handler = AsyncSocketModeHandler(
                self._bolt_app(socket.identity),
                socket.app_token,
                logger=sdk_logger("socket", logging.CRITICAL),  # the watcher tells what matters, once
                ping_interval=self._ping_s,
            )
            client: Any = handler.client  # the SDK's lists of callbacks are untyped
            client.message_listeners.append(self._hello(socket))
            self._handlers.append(handler)
        await asyncio.gather(*(handler.connect_async() for handler in self._handlers))
        for socket, handler in zip(self._identities.sockets, self._handlers, strict=True):
            self._note(socket.identity.name, connected=True)
            self._watchers.append(asyncio.create_task(self._watch(socket.identity.name, handler)))

    async def close(self) -> None:
        """Take nothing new, finish what is being written, disconnect."""
        self._closing = True
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        waited = 0.0
        while self._under_way and waited < DRAIN_S:
            await asyncio.sleep(0.02)
            waited += 0.02
        for handler in self._handlers:
            await handler.close_async()
        await asyncio.sleep(0)  # lets the cancelled tasks of the SDK end

    # listening

    def _bolt_app(self, identity: Identity) -> AsyncApp:
        """A Bolt app that acks after the listener (`process_before_response`) and asks Slack nothing per event."""

        async def authorize() -> AuthorizeResult:
            return AuthorizeResult(
                enterprise_id=None, team_id=identity.team, bot_id=identity.bot_id, bot_user_id=identity.user_id
            )

        bolt_log = sdk_logger("bolt")
        app = AsyncApp(
            name=identity.name,
            logger=bolt_log,
            client=AsyncWebClient(base_url=self._base_url, logger=sdk_logger("web"), retry_handlers=[]),
            authorize=authorize,
            signing_secret="",
            process_before_response=True,
            request_verification_enabled=False,  # a socket opened with our own token carries no signatures
            ignoring_self_events_enabled=False,  # parse drops them by id, peers included
            attaching_conversation_kwargs_enabled=False,
        )

        async def receive(body: dict[str, Any], ack: AsyncAck) -> None:
            await self._receive(identity.name, body)
            await ack()

        async def fail(error: Exception) -> BoltResponse:
            LOG.error(PAYLOAD_NOT_STORED, app=identity.name, why=type(error).__name__, detail=str(error))
            return BoltResponse(status=500)

        bolt: Any = app  # Bolt's decorators are untyped
        for listen in (bolt.event, bolt.action, bolt.view_submission, bolt.view_closed, bolt.command, bolt.shortcut):
            listen(EVERYTHING)(receive)
        bolt.options(EVERYTHING)(receive)
        bolt.error(fail)
        return app

    async def _receive(self, name: str, body: object) -> None:
        """Parse, store, return. Raises what the inbox raises: then there is no ack."""
        if self._closing:
            raise StoreUnavailableError("closing")
        self._under_way += 1
        try:
            link = self._links[name]
            self._links[name] = replace(link, received=link.received + 1)
            await self._store(name, body)
        except StoreUnavailableError:
            self._links[name] = replace(self._links[name], refused=self._links[name].refused + 1)
            raise
        finally:
            self._under_way -= 1

    async def _store(self, name: str, body: object) -> None:
        parsed = parse(body, self._identities.known, name)
        match parsed:
            case Spoken():
                await self._inbox.put_said(parsed.said, delay_s=self._coalesce_s)
            case Urgent():
                await self._inbox.put_immediate(parsed.item, once=parsed.once)
            case InOrder():
                await self._inbox.put(parsed.lane, parsed.item)
            case Dropped():
                LOG.debug(PAYLOAD_DROPPED, app=name, why=parsed.why)
                return
        self._links[name] = replace(self._links[name], stored=self._links[name].stored + 1)

    # staying connected

    def _hello(self, socket: Socket) -> Any:
        """Slack's first message names the app of the xapp- token: tokens of two apps mixed up are found here."""

        async def listen(_client: AsyncBaseSocketModeClient, message: dict[str, Any], _raw: str | None = None) -> None:
            if message.get("type") != "hello":
                return
            app_id = message.get("connection_info", {}).get("app_id", "")
            problem = ""
            if app_id and app_id != socket.identity.app_id:
                problem = f"{socket.setting} belongs to app {app_id}, the bot token to {socket.identity.app_id}"
                LOG.error(SOCKET_MISMATCHED, app=socket.identity.name, problem=problem)
            self._note(socket.identity.name, connected=True, problem=problem)

        return listen

    async def _watch(self, name: str, handler: AsyncSocketModeHandler) -> None:
        """Reconnect within a second instead of the SDK's ping interval, and never with a used address."""
        client = handler.client
        pause = self._watch_s
        while True:
            await asyncio.sleep(pause)
            if await client.is_connected():
                pause = self._watch_s
                self._note(name, connected=True)
                continue
            self._note(name, connected=False)
            client.wss_uri = None  # addresses are good once; the SDK would retry a failed connect with the old one
            try:
                async with asyncio.timeout(RECONNECT_S):
                    await client.connect_to_new_endpoint()
            except (SlackApiError, SlackClientError, aiohttp.ClientError, OSError, TimeoutError) as error:
                pause = min(10.0, pause * 2)
                self._note(name, connected=False, problem=f"{type(error).__name__}: cannot reach Slack")

    def _note(self, name: str, *, connected: bool, problem: str | None = None) -> None:
        before = self._links[name]
        if problem is None:
            problem = "" if connected and before.problem.endswith("cannot reach Slack") else before.problem
        self._links[name] = replace(before, connected=connected, problem=problem)
        if connected != before.connected:
            LOG.info(SOCKET_OPENED if connected else SOCKET_LOST, app=name, problem=problem)
