"""All the store's ports over one link; with no address, over a private server in the data folder."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bot.store.approvals import RedisApprovals
from bot.store.artifacts import RedisArtifacts
from bot.store.audit import RedisAudit
from bot.store.budget import RedisBudget
from bot.store.codes import RedisUsedCodes
from bot.store.connection import Link, connect
from bot.store.deputies import RedisDeputies
from bot.store.errors import AlreadyRunningError
from bot.store.folder import Folder
from bot.store.grants import RedisGrants, RedisSwitch
from bot.store.inbox import RECLAIM_S, RedisInbox
from bot.store.journal import RedisJournal
from bot.store.leases import RedisLeases
from bot.store.locks import RedisLocks
from bot.store.outbox import RedisOutbox
from bot.store.server import EmbeddedServer, Fsync


@dataclass(frozen=True, slots=True)
class Store:
    link: Link
    server: EmbeddedServer | None
    journal: RedisJournal
    inbox: RedisInbox
    leases: RedisLeases
    outbox: RedisOutbox
    approvals: RedisApprovals
    grants: RedisGrants
    switch: RedisSwitch
    codes: RedisUsedCodes
    deputies: RedisDeputies
    artifacts: RedisArtifacts
    audit: RedisAudit
    budget: RedisBudget
    locks: RedisLocks

    async def aclose(self) -> None:
        """Close the connections, and end the embedded server where this program started it."""
        await self.link.aclose()
        if self.server is not None:
            await self.server.stop()


async def open_store(
    url: str | None, data: Path, prefix: str = "wb:", *, fsync: Fsync = "everysec", join: bool = False,
    reclaim_s: float = RECLAIM_S,
) -> Store:  # fmt: skip
    """Raises StoreSetupError with a text for the operator. `join`: where another living program owns the embedded
    store (an audit of a running deployment), use its server as a guest instead of refusing. `reclaim_s`: after this
    time another worker takes a click or command that a worker took and did not finish.
    """
    if url:
        return await _opened(await connect(url, prefix), None, reclaim_s)
    try:
        server = await EmbeddedServer.start(data / "store", fsync=fsync)
    except AlreadyRunningError:
        if not join:
            raise
        folder = Folder.prepare(data / "store", 0)
        return await _opened(await connect(folder.url, prefix, sync=folder.synced), None, reclaim_s)
    async with AsyncExitStack() as undo:
        undo.push_async_callback(server.stop)
        link = await connect(server.url, prefix, sync=server.sync)
        undo.pop_all()
    return await _opened(link, server, reclaim_s)


async def _opened(link: Link, server: EmbeddedServer | None, reclaim_s: float) -> Store:
    store = over(link, server, reclaim_s)
    async with AsyncExitStack() as undo:
        undo.push_async_callback(store.aclose)
        await store.inbox.prepare()
        undo.pop_all()
    return store


def over(link: Link, server: EmbeddedServer | None = None, reclaim_s: float = RECLAIM_S) -> Store:
    """The ports over a link that is checked already."""
    return Store(
        link,
        server,
        journal=RedisJournal(link),
        inbox=RedisInbox(link, reclaim_s=reclaim_s),
        leases=RedisLeases(link),
        outbox=RedisOutbox(link),
        approvals=RedisApprovals(link),
        grants=RedisGrants(link),
        switch=RedisSwitch(link),
        codes=RedisUsedCodes(link),
        deputies=RedisDeputies(link),
        artifacts=RedisArtifacts(link),
        audit=RedisAudit(link),
        budget=RedisBudget(link),
        locks=RedisLocks(link),
    )
