"""One real embedded server for the session; every test has a prefix of its own."""

import secrets
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bot.store.connection import connect
from bot.store.server import EmbeddedServer
from bot.store.store import Store, over


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def store_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedServer]:
    server = await EmbeddedServer.start(tmp_path_factory.mktemp("store"))
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def store(store_server: EmbeddedServer) -> AsyncIterator[Store]:
    link = await connect(store_server.url, f"{secrets.token_hex(4)}:", sync=store_server.sync)
    store = over(link)
    await store.inbox.prepare()
    yield store
    await store.aclose()
