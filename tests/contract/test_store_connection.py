"""The link: what it refuses to work with, and what becomes of a write when the wire breaks."""

import asyncio
import random
import secrets
import socket
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from redis.exceptions import ResponseError

from bot.domain.inbound import Continue
from bot.domain.log import StopPressed
from bot.domain.storage import Commit, StoreUnavailableError
from bot.store.binary import server_binary
from bot.store.connection import Link, connect, place_of, pool_for
from bot.store.errors import NotPersistentError, StoreSetupError, UnreachableError, UnsuitableError
from bot.store.lua import script
from bot.store.server import EmbeddedServer
from bot.store.store import open_store, over
from tests.contract.store_values import ANA, LANE, opened, said


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    """A server of this test's own: it is misconfigured here."""
    server = await EmbeddedServer.start(tmp_path / "store")
    yield server
    await server.stop()


@asynccontextmanager
async def told(server: EmbeddedServer, *settings: str) -> AsyncGenerator[None]:
    link = Link(pool_for(server.url), "", where="")
    for setting in settings:
        assert await link.write(*setting.split()) == "OK"
    yield
    await link.aclose()


@asynccontextmanager
async def answering(info: str) -> AsyncGenerator[str]:
    """Something that speaks RESP and says `info` of itself. The address."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while line := await reader.readline():
            for _ in range(int(line[1:])):
                size = await reader.readline()
                word = await reader.readexactly(int(size[1:]) + 2)
                if word.upper().startswith(b"INFO"):
                    writer.write(f"${len(info)}\r\n{info}\r\n".encode())
                elif word.upper().startswith((b"CLIENT", b"HELLO")):
                    writer.write(b"+OK\r\n")
                elif word.upper().startswith(b"CONFIG"):
                    writer.write(b"-NOPERM not for you\r\n")

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0"
    for writer in writers:
        writer.close()
    listener.close()
    await listener.wait_closed()


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ("redis_version:7.0.15", "is Redis 7.0.15; Watchbill needs Redis 7.2 or Valkey 8"),
        ("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:7.2.8", "is Valkey 7.2.8"),
        ("redis_version:7.2.0\r\ncluster_enabled:1", "is a Redis Cluster"),
        ("redis_version:8.4.0\r\nrole:slave", "read-only replica"),
        ("redis_version:7.2.0\r\nmaxmemory:100\r\nmaxmemory_policy:allkeys-lru", "noeviction"),
    ],
)
async def test_an_unsuitable_server_is_refused_with_the_mend(facts: str, text: str) -> None:
    async with answering(f"# Server\r\n{facts}\r\naof_enabled:1\r\n") as url:
        with pytest.raises(UnsuitableError, match=text):
            await connect(url, "wb:")


@pytest.mark.parametrize(
    ("facts", "waits_for_fsync"),
    [
        ("redis_version:7.2.0", False),
        ("redis_version:7.2.4\r\nvalkey_version:8.0.0", True),
        ("redis_version:10.0.1", False),
    ],
)
async def test_a_suitable_one_is_taken(facts: str, *, waits_for_fsync: bool) -> None:
    async with answering(f"# Server\r\n{facts}\r\nrole:master\r\naof_enabled:1\r\n") as url:
        link = await connect(url, "wb:")
        assert (link.prefix, link.where) == ("wb:", url)
        assert (link.sync is not None) == waits_for_fsync
        await link.aclose()


async def test_a_server_that_keeps_nothing_is_refused_with_the_mend(server: EmbeddedServer) -> None:
    async with told(server, "CONFIG SET appendonly no"):
        with pytest.raises(NotPersistentError, match="CONFIG SET appendonly yes"):
            await open_store(server.url, Path("unused"))


async def test_rule_13_without_a_log_nothing_counts_as_durable(server: EmbeddedServer) -> None:
    store = over(await connect(server.url, "wb:"))
    async with told(server, "CONFIG SET appendonly no"):
        assert await store.link.run_durably(script("return redis.call('SET', p .. 'x', '1')")) == ("OK", False)
    await store.aclose()


async def test_rule_13_a_foreign_server_is_given_the_time_of_its_fsync(server: EmbeddedServer) -> None:
    """Its files cannot be synced from here, and under everysec its WAITAOF answers too early."""
    loop = asyncio.get_running_loop()
    link = await connect(server.url, "wb:")
    for setting, least, most in (("everysec", 1.3, 4.0), ("always", 0.0, 0.5)):
        async with told(server, f"CONFIG SET appendfsync {setting}"):
            await link.aclose()
            link = await connect(server.url, "wb:")
        start = loop.time()
        assert await link.run_durably(script("return redis.call('SET', p .. 'x', '1')")) == ("OK", True)
        assert await link.on_disk()
        assert least <= loop.time() - start < most
    await link.aclose()


async def test_rule_13_a_server_that_stops_keeping_its_log_is_not_durable(server: EmbeddedServer) -> None:
    link = await connect(server.url, "wb:")
    async with told(server, "CONFIG SET appendonly no"):
        assert not await link.on_disk()
    await link.aclose()


async def test_a_server_that_never_syncs_is_refused_with_the_mend(server: EmbeddedServer) -> None:
    async with told(server, "CONFIG SET appendfsync no"):
        with pytest.raises(NotPersistentError, match="appendfsync everysec"):
            await connect(server.url, "wb:")


@pytest.mark.parametrize(
    ("version", "looks"), [("7.2.0", False), ("7.4.1", True), ("8.4.0", False), ("7.2.4\r\nvalkey_version:8.1.0", True)]
)
async def test_rule_13_the_second_look_is_for_servers_whose_waitaof_is_too_early(version: str, *, looks: bool) -> None:
    async with answering(f"# Server\r\nredis_version:{version}\r\nrole:master\r\naof_enabled:1\r\n") as url:
        link = await connect(url, "wb:")
        assert (link.sync is not None) == looks
        await link.aclose()


async def test_a_wrong_password_is_told_without_it(server: EmbeddedServer) -> None:
    async with told(server, "CONFIG SET requirepass right"):
        with pytest.raises(UnreachableError, match="refuses the password") as failed:
            await connect(server.url.replace("unix://", "unix://:wrongsecret@"), "wb:")
        assert "wrongsecret" not in str(failed.value)
        link = await connect(f"{server.url}?password=right", "wb:")
        await link.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:1/0",
        "unix:///nowhere.sock",
        "http://redis:6379",
        "redis://127.0.0.1:port/0",
        "localhost:6379",
    ],
)
async def test_an_address_where_nobody_is_says_what_to_check(url: str) -> None:
    with pytest.raises(StoreSetupError, match="REDIS_URL"):
        await connect(url, "wb:", patience_s=0.1)


def test_an_address_in_a_text_has_no_password() -> None:
    assert place_of("rediss://ana:hunter2@redis.example:6380/1") == "rediss://redis.example:6380/1"
    assert place_of("redis+sentinel://u:p@a:1,b:2/main") == "redis+sentinel://a:1,b:2/main"


async def test_what_the_server_refuses_is_unavailable_and_not_stored(server: EmbeddedServer) -> None:
    store = over(await connect(server.url, "wb:"))
    async with told(server, "CONFIG SET min-replicas-to-write 1"):
        with pytest.raises(StoreUnavailableError, match="NOREPLICAS"):
            await store.inbox.put_said(said(to=("architect",)), delay_s=0)
    async with told(server, "CONFIG SET min-replicas-to-write 0"):
        assert await store.inbox.put_said(said(to=("architect",)), delay_s=0) == "new"
    await store.aclose()


async def test_scripts_are_loaded_where_they_are_missing(server: EmbeddedServer) -> None:
    store = over(await connect(server.url, "wb:"))
    for some in range(2):
        await asyncio.gather(*(store.leases.raise_stop(LANE, f"{some} {n}") for n in range(20)))
        async with told(server, "SCRIPT FLUSH"):
            pass
    assert await store.leases.stops(LANE) == 40
    with pytest.raises(ResponseError, match="WRONGTYPE"):  # our own mistakes are not "unavailable"
        await store.link.write("LPUSH", "wb:stops", "x")
    await store.aclose()


class Wire:
    """Between the program and the server; cuts it after the command got through and before the answer comes back."""

    def __init__(self, server: EmbeddedServer, folder: Path) -> None:
        self._server = server
        self.path = folder / "wire.sock"
        self.cut_answers = 0
        self._ends: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> "Wire":
        self._listener = await asyncio.start_unix_server(self._join, str(self.path))
        return self

    async def __aexit__(self, *_: object) -> None:
        for end in self._ends:
            end.close()
        self._listener.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(str(self._server.folder.socket))
        self._ends += [writer, back]
        await asyncio.gather(self._copy(reader, back, commands=True), self._copy(there, writer, commands=False))

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, commands: bool) -> None:
        while data := await source.read(1 << 16):
            if not commands and self.cut_answers and not data.startswith((b"+OK", b"-NOSCRIPT")):
                self.cut_answers -= 1
                break
            sink.write(data)
        sink.close()


async def test_a_write_whose_answer_is_lost_happens_once_and_its_caller_is_told(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    async with Wire(server, tmp_path) as wire:
        store = over(await connect(f"unix://{wire.path}", "wb:"))
        await store.inbox.put(LANE, Continue(LANE, "the script is known by now"))
        wire.cut_answers = 1
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            await store.inbox.put(LANE, Continue(LANE, "x"))
        assert len(await store.inbox.read(LANE)) == 2
        await store.aclose()


async def test_a_write_that_may_come_twice_is_sent_again_and_happens_once(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    async with Wire(server, tmp_path) as wire:
        store = over(await connect(f"unix://{wire.path}", "wb:"))
        token = await store.leases.acquire(LANE, "w", 30)
        assert token
        await store.journal.commit(token, None, Commit())
        await store.inbox.put_said(said(), delay_s=0)
        wire.cut_answers = 1
        mission, first = await store.journal.open(token, opened(), Commit())
        wire.cut_answers = 2
        logged = await store.journal.commit(token, mission, Commit(entries=(StopPressed(ANA),)))
        assert await store.journal.read(mission) == [*first, *logged]
        assert await store.journal.missions(running=False) == ("1",)
        wire.cut_answers = 1
        assert await store.inbox.put_said(said(to=("architect",)), delay_s=0) == "merged"  # its first arrival was "new"
        assert len(await store.inbox.read(LANE)) == 1
        assert wire.cut_answers == 0
        await store.aclose()


async def test_a_cancelled_call_s_answer_never_reaches_another(server: EmbeddedServer) -> None:
    store = over(await connect(server.url, "wb:"))
    await asyncio.gather(*(store.link.write("SET", f"wb:{n}", str(n)) for n in range(50)))
    chance = random.Random(7)

    async def ask(n: int) -> None:
        assert await store.link.read("GET", f"wb:{n}") == str(n)

    for _ in range(200):
        one = asyncio.create_task(ask(chance.randrange(50)))
        for _ in range(chance.randrange(6)):
            await asyncio.sleep(0)
        one.cancel()
        await asyncio.gather(one, return_exceptions=True)
        await ask(chance.randrange(50))
    await store.aclose()


async def test_five_hundred_events_a_second_and_none_lost(server: EmbeddedServer) -> None:
    store = over(await connect(server.url, "wb:"))
    lines = [said(f"{n}", ts=f"{1795000000 + n}.5", thread="1795000000.5") for n in range(500)]
    loop = asyncio.get_running_loop()
    start = loop.time()
    assert await asyncio.gather(*(store.inbox.put_said(line, delay_s=0) for line in lines)) == ["new"] * 500
    assert loop.time() - start < 4
    assert len(await store.inbox.read(lines[0].thread.lane)) == 500
    await store.aclose()


async def test_a_sentinel_names_the_server(tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    server = await EmbeddedServer.start(tmp_path / "store", port=ports[0])
    config = tmp_path / "sentinel.conf"
    config.write_text(f"port {ports[1]}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {ports[0]} 1\n")
    with (tmp_path / "log").open("w") as log:
        sentinel = subprocess.Popen([server_binary(), config, "--sentinel"], cwd=tmp_path, stdout=log)
    try:
        url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{ports[1]}/main"
        store = await open_store(url, tmp_path, f"{secrets.token_hex(2)}:")
        assert await store.leases.acquire(LANE, "w", 5)
        await store.aclose()
    finally:
        sentinel.terminate()
        sentinel.wait()
        await server.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
