"""The Slack side of the program in one piece: listen, send, and answer who somebody is."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from bot.domain.ids import UserId
from bot.domain.ports import Clock
from bot.domain.storage import Artifacts, Inbox, Outbox
from bot.slack.delivery import Clean, Delivery, as_it_is
from bot.slack.identities import Apps, Identities
from bot.slack.ingress import Ingress, Link
from bot.slack.outbox import Health, Sender
from bot.slack.pace import Pace
from bot.slack.standing import Standing

CALL_S = 10.0  # below the sender's lease, so that a call of a lost lease is over before another sender looks


@dataclass(frozen=True, slots=True)
class GatewayHealth:
    links: Mapping[str, Link]
    sender: Health

    @property
    def ready(self) -> bool:
        return bool(self.links) and all(link.connected and not link.problem for link in self.links.values())


class Connection:
    """The identities, and the HTTP connections under them: `async with Connection(…) as slack`.

    A worker without a gateway needs only this: `slack.standing` is the engine's `Slack` port.
    """

    def __init__(self, tokens: Mapping[str, tuple[str, str]], clock: Clock, *, base_url: str, prefix: str = "") -> None:
        self._tokens = tokens
        self._clock = clock
        self._prefix = prefix
        self._session: aiohttp.ClientSession | None = None
        self._identities: Identities | None = None
        self._standing: Standing | None = None
        self.base_url = base_url if base_url.endswith("/") else f"{base_url}/"

    async def __aenter__(self) -> Self:
        """Raises SlackSettingError, one line per token that does not work."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_S))
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self._session.close)
            self._identities = await Apps.connect(
                self._tokens, base_url=self.base_url, session=self._session, prefix=self._prefix
            )
            undo.pop_all()
        self._standing = Standing(self._identities, self._clock)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def identities(self) -> Identities:
        assert self._identities is not None, "enter the connection first"
        return self._identities

    async def standing(self, user: UserId) -> tuple[str, str]:
        """As the `Slack` port says."""
        assert self._standing is not None, "enter the connection first"
        return await self._standing.standing(user)


class Gateway:
    """Everything between Slack and the store."""

    def __init__(
        self,
        connection: Connection,
        inbox: Inbox,
        outbox: Outbox,
        artifacts: Artifacts,
        clock: Clock,
        *,
        worker: str,
        coalesce_s: float = 1.5,
        clean: Clean = as_it_is,
    ) -> None:
        pace = Pace(clock)
        identities = connection.identities
        self.ingress = Ingress(identities, inbox, base_url=connection.base_url, coalesce_s=coalesce_s)
        self.sender = Sender(outbox, Delivery(identities, outbox, artifacts, pace, clean), clock, pace, worker=worker)
        self.listening = asyncio.Event()

    def health(self) -> GatewayHealth:
        return GatewayHealth(self.ingress.health(), self.sender.health)

    async def run(self, stop: asyncio.Event) -> None:
        """Listen and send until `stop`; then stop listening first, so that what was taken is stored and acked."""
        sending = asyncio.create_task(self.sender.run(stop))
        starting = asyncio.create_task(self.ingress.start())
        try:
            await asyncio.wait({sending, starting}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                await starting
                self.listening.set()
                await asyncio.wait({sending})
        finally:
            starting.cancel()  # stopped before Slack could be reached
            await asyncio.gather(starting, return_exceptions=True)
            await self.ingress.close()
            stop.set()
            await sending
