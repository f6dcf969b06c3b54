"""The lab's mount, network and process namespaces: opened by one process, entered by others, gone with it."""

import asyncio
import contextlib
import ctypes
import os
import select
import shlex
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CLONE_NEWNET = 0x40000000
OPEN_S = 60.0
COMMAND_S = 60.0


class HostError(Exception):
    """Something on this machine did not do as it was told; the text says what."""


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@contextlib.contextmanager
def seen_off(*starters: int) -> Iterator[Callable[[float], bool]]:
    """Hold on to `starters` and all below them, now. What it yields waits up to so many seconds until all are gone."""
    held: list[int] = []
    for one in descendants_of(*starters):
        with contextlib.suppress(ProcessLookupError):
            held.append(os.pidfd_open(one))

    def gone(seconds: float) -> bool:
        end = time.monotonic() + seconds
        return all(select.select([one], [], [], max(0.0, end - time.monotonic()))[0] for one in held)

    try:
        yield gone
    finally:
        for one in held:
            os.close(one)


class Namespaces:
    """`pid` is the keeper's, as this machine sees it: /proc/<pid>/root and /proc/<pid>/ns lead into the lab."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self.pid = 0

    async def open(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            "unshare", "--mount", "--propagation=private", "--net", "--pid", "--fork", "--kill-child=KILL", "--mount-proc",
            sys.executable, "-m", "deploy.lab.hosts.keeper",
            cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), OPEN_S)
        if line.strip() != b"ready":
            _, said = await self._process.communicate()
            raise HostError(f"the lab's namespaces could not be made: {said.decode(errors='replace').strip()}")
        self.pid = children_of(self._process.pid)[0]

    async def close(self) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), OPEN_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._process = None

    def starters(self) -> list[int]:
        """The processes of this machine whose children are born in the lab: all that runs in there is below one of them."""
        try:
            return _with_children_in(Path(f"/proc/{self.pid}/ns/pid").readlink())
        except FileNotFoundError:  # the keeper is gone, and with it all that ran in there
            return []

    def require_open(self) -> None:
        if self._process is None or self._process.returncode is not None:
            raise HostError("the lab's namespaces are gone with their first process; start the lab again")

    def path(self, inside: Path) -> Path:
        """Where this machine finds a file of the lab's mount namespace."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def enter(self, *command: str) -> list[str]:
        return ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--", *command]

    async def run(self, *command: str, given: str = "") -> str:
        """Run inside, and return what was written; HostError if it failed."""
        done = await run(self.enter(*command), given)
        if done.code != 0:
            raise HostError(f"{shlex.join(command)[:200]}: {(done.err or done.out).strip()[-600:]}")
        return done.out

    async def run_all(self, commands: Sequence[Sequence[str]]) -> None:
        """Several in order, in one go; the first that fails ends it."""
        script = "\n".join(shlex.join(command) for command in commands)
        done = await run(self.enter("sh", "-eu", "-s"), script)
        if done.code != 0:
            raise HostError(done.err.strip()[-600:] or f"exit code {done.code} in:\n{script}")


async def run(command: Sequence[str], given: str = "", timeout_s: float = COMMAND_S) -> Done:
    process = await asyncio.create_subprocess_exec(
        *command, cwd="/", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(given.encode()), timeout_s)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise HostError(f"{shlex.join(command)[:200]}: no end within {timeout_s:.0f} s") from None
    return Done(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))


def children_of(pid: int) -> list[int]:
    """Those that any of its threads started."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += [int(word) for word in (task / "children").read_text().split()]
    return found


def descendants_of(*pids: int, closed: str = "") -> list[int]:
    """These processes and all below them; of one named `closed`, only itself."""
    found, open_ends = list(pids), list(pids)
    while open_ends:
        parent = open_ends.pop()
        if closed and name_of(parent) == closed:
            continue
        children = children_of(parent)
        found += children
        open_ends += children
    return found


def _with_children_in(namespace: Path) -> list[int]:
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and (folder / "ns/pid_for_children").readlink() == namespace:
                found.append(int(folder.name))
    return found


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def open_listener(keeper: int, port: int, address: str = "127.0.0.1") -> socket.socket:
    """A socket that listens in the lab, on its own loopback or on its LAN: a socket stays in the network it was made in."""

    def listen() -> socket.socket:
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.listen(128)
        made.setblocking(False)
        return made

    return in_network(keeper, listen)


def connect(keeper: int, address: tuple[str, int], timeout_s: float = 10.0) -> socket.socket:
    """A connection from the lab's LAN, for a test that stands outside of it."""
    return in_network(keeper, lambda: socket.create_connection(address, timeout_s))


def in_network(keeper: int, act: Callable[[], socket.socket]) -> socket.socket:
    """Call `act` with the lab's network as the thread's own."""
    found: list[socket.socket] = []
    wrong: list[OSError] = []

    def work() -> None:
        try:
            enter_namespace(keeper, "net", CLONE_NEWNET)
            found.append(act())
        except OSError as error:
            wrong.append(error)

    thread = threading.Thread(target=work)  # a thread's namespace ends with it; this one does nothing else
    thread.start()
    thread.join()
    if wrong:
        raise wrong[0]
    return found[0]


def enter_namespace(pid: int, name: str, flag: int) -> None:
    """setns(2), which Python has only from 3.12 on."""
    with Path(f"/proc/{pid}/ns/{name}").open() as handle:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(handle.fileno(), flag) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"entering the lab's {name} namespace: {os.strerror(number)}")
