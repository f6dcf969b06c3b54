"""One real embedded server for the session; every test has a prefix, and so a deployment, of its own."""

import secrets
from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

import bot.engine
from bot.store.connection import connect
from bot.store.server import EmbeddedServer
from bot.store.store import Store, over


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def crew_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedServer]:
    server = await EmbeddedServer.start(tmp_path_factory.mktemp("crew-store"))
    yield server
    await server.stop()


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """What was logged, kept off the screen."""
    with capture_logs() as lines:
        yield lines


@pytest_asyncio.fixture
async def crew_store(crew_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    monkeypatch.setattr(bot.engine, "WAIT_S", 0.2)  # how long a worker takes to notice that it is stopped
    link = await connect(crew_server.url, f"{secrets.token_hex(4)}:", sync=crew_server.sync)
    store = over(link)
    await store.inbox.prepare()
    yield store
    await store.aclose()
