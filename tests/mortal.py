"""A worker that can be killed at any of its exchanges with the store: from then on nothing of it gets anywhere.

What it had sent is done, what it would have done next never happens, no `finally` of it reaches the store: as after SIGKILL.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bot.domain.storage import StoreUnavailableError
from bot.store.connection import Link, place_of, pool_for
from bot.store.inbox import RedisInbox
from bot.store.server import EmbeddedServer
from bot.store.store import Store, over

LEASE_S = 0.6
RECLAIM_S = 0.8
IDLE = frozenset({"BLPOP", "XREADGROUP", "XAUTOCLAIM"})  # waiting for work: no place to die at


class MortalLink(Link):
    """`dies_at` counts exchanges from 1; 0 is never. `answered`: the last one still reaches the store, its answer nobody."""

    dies_at = 0
    answered = False
    count = 0
    last: Sequence[Any] = ()

    def __init__(self, server: EmbeddedServer, prefix: str) -> None:
        super().__init__(pool_for(server.url), prefix, where=place_of(server.url))
        self.sync = server.sync
        self.died = asyncio.Event()
        self._buried = asyncio.Event()

    async def _exchange(self, commands: Sequence[Sequence[Any]], **options: Any) -> list[Any]:
        if commands[0][0] not in IDLE and not self.died.is_set():
            self.count += 1
            if self.count == self.dies_at:
                self.last = commands[0]
                if self.answered:
                    await super()._exchange(commands, **options)
                self.died.set()
        if self.died.is_set():
            await self._dead()
        reply = await super()._exchange(commands, **options)
        if self.died.is_set():  # it waited for work when it died
            await self._dead()
        return reply

    async def _dead(self) -> None:
        await self._buried.wait()
        raise StoreUnavailableError("this worker is dead")

    def bury(self) -> None:
        """Let its tasks end."""
        self.died.set()
        self._buried.set()


def store_of(link: Link) -> Store:
    """The ports over `link`; clicks of a dead worker come again after a moment."""
    return replace(over(link), inbox=RedisInbox(link, reclaim_s=RECLAIM_S))
