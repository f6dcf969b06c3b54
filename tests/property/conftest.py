"""What the property tests share."""

import asyncio
from collections.abc import Iterator

import pytest

from bot.store.server import EmbeddedServer


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a store server that lives as long as the module."""
    with asyncio.Runner() as runner:
        server = runner.run(EmbeddedServer.start(tmp_path_factory.mktemp("store")))
        yield server.url
        runner.run(server.stop())
