"""The embedded store's folder: rights, room, the owner's lock, the config file, and what its log says of an end."""

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import quote

from bot.store.binary import server_binary
from bot.store.errors import (
    AlreadyRunningError,
    CorruptLogError,
    DiskFullError,
    FolderError,
    PortTakenError,
    ServerFailedError,
    StoreSetupError,
)

SOCKET_LENGTH = 100  # the kernel takes 107 bytes on Linux, 103 on macOS
LOG_KEPT = 4 << 20


@dataclass(slots=True)
class Folder:
    data: Path
    socket: Path
    _lock: int | None = field(default=None, repr=False)

    @classmethod
    def prepare(cls, data: Path, least_free: int) -> "Folder":
        data = data.absolute()
        try:
            data.mkdir(parents=True, exist_ok=True, mode=0o700)
            data.chmod(0o700)
            with tempfile.TemporaryFile(dir=data):
                pass
            free = shutil.disk_usage(data).free
        except OSError as refused:
            raise FolderError(
                f"the data folder {data} cannot be written: {refused.strerror or refused}. "
                "Give this user a folder of its own (chown, chmod 700) or name another one in WATCHBILL_DATA."
            ) from refused
        if free < least_free:
            raise _disk_full(data, f"{free >> 20} MB free, {least_free >> 20} MB needed")
        socket = data / "store.sock"
        return cls(data, socket if len(os.fsencode(socket)) <= SOCKET_LENGTH else _short_socket(data))

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket))}"

    @property
    def config(self) -> Path:
        return self.data / "valkey.conf"

    @property
    def log(self) -> Path:
        return self.data / "valkey.log"

    @property
    def server(self) -> Path:
        return self.data / "server.json"

    def lock(self) -> None:
        """Own this folder until this process ends. Raises AlreadyRunningError."""
        file = os.open(self.data / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as taken:
            owner = os.read(file, 32).decode().strip() or "unknown"
            os.close(file)
            raise AlreadyRunningError(
                f"Watchbill already runs with this data folder, pid {owner}; stop it first (kill {owner}), or give this "
                f"one another WATCHBILL_DATA. Several programs share one store through WATCHBILL_REDIS_URL. Folder: {self.data}"
            ) from taken
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._lock = file

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def take_server_lock(self) -> int | None:
        """An open file whose lock the next server inherits and holds as long as it lives; None while one lives."""
        file = os.open(self.data / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return None
        return file

    def server_lives(self) -> bool:
        file = self.take_server_lock()
        if file is not None:
            os.close(file)
        return file is None

    def known_server(self) -> str:
        """The last server's pid as text, for texts only."""
        try:
            return str(json.loads(self.server.read_text())["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            return "unknown"

    def remember_server(self, pid: int) -> None:
        new = self.server.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps({"pid": pid, "socket": str(self.socket)}))
        new.replace(self.server)

    def forget_server(self) -> list[str]:
        """Remove what a dead server left. Returns what there was."""
        gone: list[str] = []
        for path in (self.server, self.socket):
            with suppress(FileNotFoundError):
                path.unlink()
                gone.append(str(path))
        return gone

    def write_config(self, fsync: str, port: int) -> None:
        lines = {
            "port": str(port),
            "bind": "127.0.0.1",
            "protected-mode": "yes",
            "unixsocket": _quoted(self.socket),
            "unixsocketperm": "600",
            "dir": _quoted(self.data),
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": fsync,
            "aof-load-truncated": "yes",
            "save": '""',
            "maxmemory-policy": "noeviction",
            "shutdown-timeout": "10",
            "loglevel": "notice",
            "crash-memcheck-enabled": "no",
        }
        text = "# Written by Watchbill at every start.\n" + "".join(f"{key} {value}\n" for key, value in lines.items())
        file = os.open(self.config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "w") as config:
            os.fchmod(config.fileno(), 0o600)
            config.write(text)

    async def synced(self) -> bool:
        return await asyncio.to_thread(self.sync)

    def sync(self) -> bool:
        """Everything that the server wrote before it answered goes to disk. False where that failed."""
        folder = self.data / "appendonlydir"
        for _ in range(3):
            try:
                for path in (*folder.iterdir(), folder):
                    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                    try:
                        _to_disk(file)
                    finally:
                        os.close(file)
            except FileNotFoundError:
                continue  # the server has just put a new file in its place
            except OSError:
                return False
            return True
        return False

    def open_log(self) -> IO[bytes]:
        if self.log.exists() and self.log.stat().st_size > LOG_KEPT:
            self.log.replace(self.log.with_suffix(".log.1"))
        log = self.log.open("ab")
        os.fchmod(log.fileno(), 0o600)
        return log


def diagnosis(folder: Folder, offset: int, code: int, port: int) -> StoreSetupError:
    """The error for a server that ended while it started, from what it logged since `offset`."""
    with folder.log.open("rb") as log:
        log.seek(offset)
        said = log.read().decode(errors="replace")
    last = " | ".join(line.partition("# ")[2] or line for line in said.splitlines()[-3:])
    if "No space left" in said:
        return _disk_full(folder.data, last)
    if "Address already in use" in said:
        return PortTakenError(
            f"the store's TCP port {port} on 127.0.0.1 belongs to another program. Choose another one, or 0 for none: "
            "the program itself uses a socket in the data folder."
        )
    if "append only file" in said or "AOF" in said:
        check = (
            f"bash -c 'exec -a valkey-check-aof {server_binary()} --fix {folder.data}/appendonlydir/<file>.incr.aof'"
        )
        return CorruptLogError(
            f"the store's append-only file is damaged: {last}\n"
            f"First copy {folder.data}/appendonlydir somewhere safe. Then run valkey-check-aof --fix on the file that is "
            f"named above (it is in the same binary: {check}); it cuts off everything after the damage. Then start again."
        )
    if "Permission denied" in said:
        return FolderError(f"the store may not use its folder {folder.data}: {last}. Give it to this user (chown -R).")
    return ServerFailedError(f"the embedded store ended at once (code {code}): {last} — see {folder.log}.")


def _disk_full(data: Path, detail: str) -> DiskFullError:
    return DiskFullError(
        f"no room for the store in {data} ({detail}). Nothing was lost. Free some space, or move the folder and name "
        "it in WATCHBILL_DATA; then start again."
    )


def _short_socket(data: Path) -> Path:
    """A socket for a folder whose path is too long for one."""
    uid = os.getuid()
    run = Path(f"/run/user/{uid}")
    base = run if os.access(run, os.W_OK) else Path(tempfile.gettempdir())
    folder = base / f"watchbill-{uid}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    facts = folder.lstat()
    if facts.st_uid != uid or facts.st_mode & 0o077 or folder.is_symlink():
        raise FolderError(f"{folder} is not this user's own (mode 700). Remove it, or use a shorter WATCHBILL_DATA.")
    return folder / f"{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}.sock"


def _to_disk(file: int) -> None:
    full = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: fsync stops at the disk's own memory
    if full is None:
        os.fsync(file)
    else:
        fcntl.fcntl(file, full)


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
