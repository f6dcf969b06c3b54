"""The embedded store: a private Valkey, started and stopped by the program, on a socket in the data folder.

It outlives a program that was killed, with everything that was acknowledged; the next start adopts it. Two file locks,
which the kernel drops with the process, say who owns the folder and whether a server lives: old process ids say nothing.
"""

import asyncio
import itertools
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Literal

import structlog

from bot.store.binary import server_binary
from bot.store.errors import ServerFailedError, StoreSetupError
from bot.store.folder import Folder, diagnosis

Fsync = Literal["everysec", "always"]

STORE_ADOPTED = "store.adopted"
STORE_CLEANED = "store.cleaned"
STORE_DIED = "store.died"
STORE_KILLED = "store.killed"
STORE_STARTED = "store.started"
STORE_STOPPED = "store.stopped"

READY_S = 20.0  # without a word; while it loads its log it says so
STOP_S = 15.0
RESTART_PAUSES_S = (0.0, 0.2, 1.0, 5.0)  # the last one for ever

_log = structlog.get_logger(__name__)


class _GoneError(Exception):
    """The server that was to be adopted is none any more."""


class EmbeddedServer:
    def __init__(self, folder: Folder, fsync: Fsync, port: int) -> None:
        self.folder = folder
        self.url = folder.url
        self.pid = 0
        self.adopted = False
        self._fsync = fsync
        self._port = port
        self._process: Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, data: Path, *, fsync: Fsync = "everysec", port: int = 0, least_free: int = 64 << 20
    ) -> "EmbeddedServer":
        """The living server of this folder, or a new one. `port` 0: no TCP at all. Raises StoreSetupError."""
        folder = Folder.prepare(data, least_free)
        folder.lock()
        server = cls(folder, fsync, port)
        async with AsyncExitStack() as undo:
            undo.push_async_callback(server._give_up)
            if not await server._adopt():
                await server._launch()
            undo.pop_all()
        server._watch = asyncio.create_task(server._keep_alive(), name="store-server")
        return server

    async def sync(self) -> bool:
        """Everything that the server wrote so far is on disk."""
        return await self.folder.synced()

    async def stop(self) -> None:
        """SIGTERM: the server writes its log to disk and ends. The folder is free afterwards."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        try:
            if self.folder.server_lives() and _signal(self.pid, signal.SIGTERM) and not await self._gone(STOP_S):
                _log.error(STORE_KILLED, pid=self.pid, after_s=STOP_S)
                self._end_hard()
                await self._gone(STOP_S)
            _log.info(STORE_STOPPED, pid=self.pid)
        finally:
            self.folder.forget_server()
            self.folder.unlock()

    async def _adopt(self) -> bool:
        if not self.folder.server_lives():
            for what in self.folder.forget_server():
                _log.info(STORE_CLEANED, what=what)
            return False

        def end_early() -> None:
            if not self.folder.server_lives():
                raise _GoneError

        try:
            facts = await self._ready(end_early)
        except _GoneError:  # it was ending when we looked: its lock is held until its last thread is gone
            return await self._adopt()
        await _tell(self.folder.socket, f"CONFIG SET appendfsync {self._fsync}")
        self.pid, self.adopted = int(facts["process_id"]), True
        _log.info(STORE_ADOPTED, pid=self.pid, data=str(self.folder.data))
        return True

    async def _launch(self) -> None:
        binary = server_binary()
        self.folder.write_config(self._fsync, self._port)
        lock = self.folder.take_server_lock()
        if lock is None:
            raise ServerFailedError(f"another store server still runs in {self.folder.data}; start again in a moment.")
        try:
            offset = await self._spawn(str(binary), lock)
        finally:
            os.close(lock)  # the server has it
        process = self._process
        assert process is not None

        def end_early() -> None:
            if process.returncode is not None:
                raise diagnosis(self.folder, offset, process.returncode, self._port)

        await self._ready(end_early)
        _log.info(STORE_STARTED, pid=self.pid, data=str(self.folder.data), fsync=self._fsync)

    async def _spawn(self, binary: str, lock: int) -> int:
        """Returns where in the log file this server's words begin."""
        with self.folder.open_log() as log:
            offset = log.tell()
            self._process = await asyncio.create_subprocess_exec(  # noqa: TID251 - the store cannot use tools/; DESIGN §5
                binary,
                str(self.folder.config),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"LC_ALL": "C.UTF-8"},
                pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C is for the program, which ends the store last
            )
        self.pid, self.adopted = self._process.pid, False
        self.folder.remember_server(self.pid)
        return offset

    async def _ready(self, end_early: Callable[[], None]) -> dict[str, str]:
        loop = asyncio.get_running_loop()
        end = loop.time() + READY_S
        pause = 0.005
        while loop.time() < end:
            end_early()
            facts = await _info(self.folder.socket)
            if facts.get("loading") == "0":
                return facts
            if facts:
                end = loop.time() + READY_S  # it loads its log, however long that takes
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.25)
        raise ServerFailedError(
            f"the embedded store (pid {self.folder.known_server()}) does not answer on {self.folder.socket}; "
            f"see {self.folder.log}, end that process, and start again."
        )

    async def _keep_alive(self) -> None:
        """Start it again when it dies. What it acknowledged is in its log."""
        loop = asyncio.get_running_loop()
        while True:
            await self._ended()
            _log.error(STORE_DIED, pid=self.pid, log=str(self.folder.log))
            for attempt in itertools.count():
                await asyncio.sleep(RESTART_PAUSES_S[min(attempt, len(RESTART_PAUSES_S) - 1)])
                self.folder.forget_server()
                born = loop.time()
                try:
                    await self._launch()
                except (StoreSetupError, OSError) as failed:
                    _log.error(STORE_DIED, why=str(failed), after_s=round(loop.time() - born, 3))
                    continue
                break

    async def _ended(self) -> None:
        if self._process is not None:
            await self._process.wait()
            return
        while self.folder.server_lives():  # noqa: ASYNC110 - adopted: not our child, nothing to wait for
            await asyncio.sleep(0.5)

    async def _gone(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                if self._process is not None:
                    await self._process.wait()
                else:
                    while self.folder.server_lives():  # noqa: ASYNC110 - not our child
                        await asyncio.sleep(0.02)
        except TimeoutError:
            return False
        return True

    async def _give_up(self) -> None:
        self._end_hard()
        if self._process is not None:
            await self._process.wait()
        self.folder.unlock()

    def _end_hard(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        elif self.adopted:
            _signal(self.pid, signal.SIGKILL)


def _signal(pid: int, number: int) -> bool:
    """False if there is no such process any more."""
    assert pid > 0, "0 would be our own process group"
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


async def _info(socket: Path) -> dict[str, str]:
    text = await _tell(socket, "INFO everything")
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


async def _tell(socket: Path, command: str) -> str:
    """One inline command on a connection of its own; "" if nobody is there. Before the link exists, and without it."""
    try:
        async with asyncio.timeout(2.0):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(f"{command}\r\n".encode())
                head = (await reader.readline()).decode()
                size = int(head[1:]) if head.startswith("$") else 0
                return (await reader.readexactly(size)).decode() if size > 0 else head
            finally:
                writer.close()
    except (OSError, TimeoutError, EOFError):
        return ""
