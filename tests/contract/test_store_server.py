"""The embedded server's life: started, adopted, refused, restarted, diagnosed; nothing acknowledged is lost."""

import asyncio
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bot.domain.log import StopPressed
from bot.domain.storage import Commit
from bot.store.errors import (
    AlreadyRunningError,
    CorruptLogError,
    DiskFullError,
    FolderError,
    PortTakenError,
    ServerFailedError,
)
from bot.store.server import EmbeddedServer
from bot.store.store import Store, open_store
from tests.contract.store_values import ANA, LANE, THREAD, opened, post, said

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import asyncio, sys
from pathlib import Path
from bot.store.store import open_store
async def main():
    store = await open_store(None, Path(sys.argv[1]))
    await store.link.write("SET", "wb:written", "before the kill")
    print(store.server.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def no_server_left(tmp_path: Path) -> Iterator[None]:
    """A test that failed half way leaves nothing running."""
    yield
    for record in tmp_path.rglob("server.json"):
        pid = json.loads(record.read_text())["pid"]
        command = Path(f"/proc/{pid}/cmdline")
        if pid != os.getpid() and command.exists() and b"valkey" in command.read_bytes():
            os.kill(pid, signal.SIGKILL)


@contextmanager
def program(data: Path) -> Generator[tuple[subprocess.Popen[str], int]]:
    """Another Watchbill with this folder, and its server's pid. Killed hard at the end; the server is left."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(data)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield process, int(next(line for line in process.stdout if line.strip().isdigit()))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def ended(pid: int) -> bool:
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "Z":
            return True
        await asyncio.sleep(0.02)
    return False


async def test_a_store_is_private_persistent_and_leaves_nothing_running(tmp_path: Path) -> None:
    store = await open_store(None, tmp_path)
    assert store.server
    pid, folder = store.server.pid, tmp_path / "store"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("valkey.conf", "server.json", "owner.lock", "server.lock", "valkey.log", "store.sock"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name
    assert await store.link.read("CONFIG", "GET", "port") == ["port", "0"]
    assert await store.link.read("CONFIG", "GET", "appendonly") == ["appendonly", "yes"]
    assert await store.link.read("CONFIG", "GET", "appendfsync") == ["appendfsync", "everysec"]
    assert json.loads((folder / "server.json").read_text())["pid"] == pid
    await store.aclose()
    assert await ended(pid)
    assert not (folder / "store.sock").exists()
    store = await open_store(None, tmp_path, fsync="always")
    assert await store.link.read("CONFIG", "GET", "appendfsync") == ["appendfsync", "always"]
    await store.aclose()


async def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    store = await open_store(None, tmp_path)
    await store.inbox.put_said(said(to=("architect",)), delay_s=0)
    await store.aclose()
    store = await open_store(None, tmp_path)
    assert [item for _, item in await store.inbox.read(LANE)] == [said(to=("architect",))]
    assert await store.inbox.put_said(said(to=("architect",)), delay_s=0) == "merged"
    await store.aclose()


async def test_a_second_start_says_who_runs(tmp_path: Path) -> None:
    with program(tmp_path) as (process, server):
        with pytest.raises(AlreadyRunningError, match=f"already runs with this data folder, pid {process.pid}"):
            await open_store(None, tmp_path)
        process.kill()
        process.wait()
        os.kill(server, signal.SIGKILL)


async def test_a_guest_reads_a_running_program_s_store_and_leaves_it_running(tmp_path: Path) -> None:
    with program(tmp_path) as (process, server):
        guest = await open_store(None, tmp_path, join=True)
        assert await guest.link.read("GET", "wb:written") == "before the kill"
        assert await guest.link.on_disk()
        await guest.aclose()
        assert process.poll() is None
        with pytest.raises(AlreadyRunningError):
            await open_store(None, tmp_path)
        process.kill()
        process.wait()
        os.kill(server, signal.SIGKILL)


async def test_a_killed_program_s_server_is_adopted_with_everything(tmp_path: Path) -> None:
    with program(tmp_path) as (_, server):
        pass
    assert not await asyncio.wait_for(asyncio.to_thread(lambda: not Path(f"/proc/{server}").exists()), 1)
    with capture_logs() as logs:
        store = await open_store(None, tmp_path, fsync="always")
    assert store.server
    assert (store.server.pid, store.server.adopted) == (server, True)
    assert [line["event"] for line in logs] == ["store.adopted"]
    assert await store.link.read("GET", "wb:written") == "before the kill"
    assert await store.link.read("CONFIG", "GET", "appendfsync") == ["appendfsync", "always"]
    await store.aclose()
    assert await ended(server)


async def test_what_a_killed_pair_left_is_cleaned_with_a_word(tmp_path: Path) -> None:
    with program(tmp_path) as (_, server):
        os.kill(server, signal.SIGSTOP)  # so that its program cannot start it again before it is killed itself
    os.kill(server, signal.SIGKILL)
    assert await ended(server)
    assert (tmp_path / "store/store.sock").exists()
    with capture_logs() as logs:
        store = await open_store(None, tmp_path)
    assert [line["event"] for line in logs] == ["store.cleaned", "store.cleaned", "store.started"]
    assert await store.link.read("GET", "wb:written") == "before the kill"
    await store.aclose()


async def test_a_server_that_ends_while_it_is_adopted_is_cleaned_up_after(tmp_path: Path) -> None:
    with program(tmp_path) as (_, server):
        os.kill(server, signal.SIGSTOP)
    starting = asyncio.create_task(open_store(None, tmp_path))
    await asyncio.sleep(0.5)
    assert not starting.done(), "a server that lives is waited for"
    os.kill(server, signal.SIGKILL)
    store = await starting
    assert store.server and store.server.pid != server and not store.server.adopted
    assert await store.link.read("GET", "wb:written") == "before the kill"
    await store.aclose()


async def test_a_stale_pid_file_of_somebody_else_s_process_is_no_server(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "server.json").write_text(json.dumps({"pid": os.getpid(), "socket": "x"}))
    (folder / "owner.lock").write_text("1\n")
    store = await open_store(None, tmp_path)
    assert store.server and store.server.pid != os.getpid()
    await store.aclose()


async def test_a_server_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.store.server.READY_S", 0.3)
    with program(tmp_path) as (_, server):
        os.kill(server, signal.SIGSTOP)
    try:
        with pytest.raises(ServerFailedError, match=rf"pid {server}\) does not answer"):
            await open_store(None, tmp_path)
    finally:
        os.kill(server, signal.SIGKILL)


async def test_rule_4_nothing_acknowledged_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    """Writers go on over the kill: each write either is there afterwards, once, or its caller was told."""
    store = await open_store(None, tmp_path)
    assert store.server
    token = await store.leases.acquire(LANE, "w", 60)
    assert token
    mission, _ = await store.journal.open(token, opened(), Commit())
    acked, killed = await talk_over_a_kill(store, store.server.pid)
    assert store.server.pid != killed
    heard = [item.text for _, item in await store.inbox.read(LANE) if item.kind == "said"]
    assert set(acked) <= set(heard)
    assert len(heard) == len(set(heard)) >= 50
    # the lease, the chain and the outbox went on as well
    await store.journal.commit(token, mission, Commit((StopPressed(ANA),), (post(),)))
    assert await store.journal.verify(mission) is None
    assert len(await store.outbox.waiting()) == 1
    await store.aclose()


async def talk_over_a_kill(store: Store, pid: int) -> tuple[list[str], int]:
    acked: list[str] = []

    async def talk(text: str) -> None:
        line = said(text, ts=f"{1795000000 + len(acked) + int(text)}.5", thread=THREAD.ts)
        await store.inbox.put_said(line, delay_s=0)
        acked.append(text)

    for n in range(60):
        if n == 30:
            os.kill(pid, signal.SIGKILL)
        await talk(str(n))
    return acked, pid


async def test_a_sleeping_worker_survives_a_restart_of_the_server(tmp_path: Path) -> None:
    store = await open_store(None, tmp_path)
    assert store.server
    ordered = asyncio.create_task(store.inbox.next_lane("w", wait_s=20))
    immediate = asyncio.create_task(store.inbox.next_immediate("w", wait_s=20))
    await asyncio.sleep(0.1)
    os.kill(store.server.pid, signal.SIGKILL)
    await asyncio.sleep(0.05)
    await store.inbox.put_said(said(to=("architect",)), delay_s=0)
    assert await asyncio.wait_for(ordered, 5)
    immediate.cancel()
    await asyncio.wait({immediate})
    await store.aclose()


async def test_a_restart_is_logged_and_repeated_until_it_works(tmp_path: Path) -> None:
    server = await EmbeddedServer.start(tmp_path / "store")
    first = server.pid
    log_folder = tmp_path / "store" / "appendonlydir"
    with capture_logs() as logs:
        log_folder.rename(tmp_path / "aside")
        log_folder.write_text("in the way")
        os.kill(first, signal.SIGKILL)
        while len([line for line in logs if line["event"] == "store.died"]) < 2:
            await asyncio.sleep(0.02)
        log_folder.unlink()
        (tmp_path / "aside").rename(log_folder)
        while server.pid == first or not any(line["event"] == "store.started" for line in logs):
            await asyncio.sleep(0.02)
    await server.stop()
    assert await ended(server.pid)


async def test_an_adopted_server_is_started_again_too(tmp_path: Path) -> None:
    with program(tmp_path) as (_, pid):
        pass
    store = await open_store(None, tmp_path)
    os.kill(pid, signal.SIGKILL)
    await asyncio.sleep(1.2)
    assert store.server
    assert await store.link.read("GET", "wb:written") == "before the kill"
    assert (store.server.pid != pid, store.server.adopted) == (True, False)
    await store.aclose()


async def test_a_long_path_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    data = tmp_path / ("a" * 60) / ("b c" * 20)
    store = await open_store(None, data)
    assert store.server
    assert len(str(store.server.folder.socket)) < 104
    assert stat.S_IMODE(store.server.folder.socket.parent.stat().st_mode) == 0o700
    assert await store.link.read("PING") == "PONG"
    with pytest.raises(AlreadyRunningError):
        await open_store(None, data)
    await store.aclose()
    assert not store.server.folder.socket.exists()


async def test_a_socket_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap = tmp_path / f"watchbill-{os.getuid()}"
    trap.mkdir(mode=0o777)
    trap.chmod(0o777)
    monkeypatch.setattr("bot.store.folder.tempfile.gettempdir", lambda: str(tmp_path))

    def closed(path: str, mode: int) -> bool:
        del path, mode
        return False

    monkeypatch.setattr("bot.store.folder.os.access", closed)
    with pytest.raises(FolderError, match="not this user's own"):
        await open_store(None, tmp_path / ("a" * 120))


async def test_a_folder_that_is_a_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("no folder")
    with pytest.raises(FolderError, match=r"cannot be written.*WATCHBILL_DATA"):
        await open_store(None, tmp_path)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
async def test_an_unwritable_folder_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o500)
    with pytest.raises(FolderError, match="cannot be written"):
        await open_store(None, tmp_path)


async def test_a_full_disk_is_told_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match=r"no room .* MB free.*Free some space"):
        await EmbeddedServer.start(tmp_path, least_free=1 << 60)
    server = await EmbeddedServer.start(tmp_path)  # and the folder is not locked by the failure
    await server.stop()


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"TCP port {port} on 127.0.0.1 belongs to another program"):
            await EmbeddedServer.start(tmp_path, port=port)
    server = await EmbeddedServer.start(tmp_path, port=port)
    with socket.create_connection(("127.0.0.1", port)):
        pass
    await server.stop()


async def test_a_damaged_log_names_the_tool_and_the_tool_mends_it(tmp_path: Path) -> None:
    store = await open_store(None, tmp_path)
    for n in range(50):
        await store.link.write("SET", f"wb:k{n}", "x" * 100)
    await store.aclose()
    (log,) = (tmp_path / "store/appendonlydir").glob("*.incr.aof")
    before, _, rest = log.read_bytes().rpartition(b"*3\r\n$3\r\nSET\r\n$5\r\nwb:k7")
    log.write_bytes(before + b"?3\r\n" + rest)
    with pytest.raises(CorruptLogError, match="valkey-check-aof --fix") as failed:
        await open_store(None, tmp_path)
    command = str(failed.value).partition("(it is in the same binary: ")[2].partition("); it cuts")[0]
    bash = shutil.which("bash")
    assert bash
    line = command.removeprefix("bash -c '").removesuffix("'").replace("<file>.incr.aof", log.name)
    done = subprocess.run([bash, "-c", line], input=b"y\n", capture_output=True, check=False)
    assert b"Successfully truncated" in done.stdout + done.stderr
    store = await open_store(None, tmp_path)
    assert await store.link.read("GET", "wb:k0") == "x" * 100
    await store.aclose()


async def test_a_log_cut_off_by_a_power_cut_loads(tmp_path: Path) -> None:
    store = await open_store(None, tmp_path)
    await store.link.write("SET", "wb:a", "1")
    await store.link.write("SET", "wb:b", "2")
    await store.aclose()
    (log,) = (tmp_path / "store/appendonlydir").glob("*.incr.aof")
    log.write_bytes(log.read_bytes()[:-3])
    store = await open_store(None, tmp_path)
    assert await store.link.read("MGET", "wb:a", "wb:b") == ["1", None]
    await store.aclose()


async def test_a_server_that_will_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.store.server.STOP_S", 0.2)
    server = await EmbeddedServer.start(tmp_path)
    os.kill(server.pid, signal.SIGSTOP)
    start = time.monotonic()
    with capture_logs() as logs:
        await server.stop()
    assert [line["event"] for line in logs] == ["store.killed", "store.stopped"]
    assert time.monotonic() - start < 2
    assert await ended(server.pid)
