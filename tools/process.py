"""The one place that starts processes. Everything else in the program asks here.

A command runs with an emptied environment, in a session of its own, with files (never pipes of the worker) for its
output, under bounds, and with the least rights the machine gives (rule 16). Its run directory tells any later worker
what became of it (rule 13).
"""

import asyncio
import fcntl
import json
import os
import shutil
import signal
import subprocess  # noqa: TID251 - this is the place
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tools import confine
from tools.rights import CHILD_UID, NAMED_UID, SYSTEM, give, may_unshare, open_to
from tools.run_directory import Ended, RunDirectory, Running, Vanished

PATH: Final = "/usr/local/bin:/usr/bin:/bin"
PLAIN_ENVIRONMENT: Final[Mapping[str, str]] = {"PATH": PATH, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
POLL_S: Final = 0.02
POLL_MOST_S: Final = 0.2
FILE_BYTES: Final = 2_000_000_000  # no file that a child writes gets larger


@dataclass(frozen=True, slots=True)
class Reach:
    """What a command may touch besides the system's libraries. `ports`: TCP ports it may connect to; None: any;
    empty: no network at all. `own_uid`: give it a user of its own where the worker is root, and with it everything
    in `write` and `owned` (which it may read only); `named`: one with a name, `nobody`.
    """

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    owned: tuple[Path, ...] = ()
    ports: tuple[int, ...] | None = ()
    own_uid: bool = True
    named: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `environment` is all it gets. `argv[0]` is an absolute path.

    `survives`: it goes on when the worker dies (an apply); otherwise it ends with the worker.
    At `timeout_s` it gets `interrupt`, `grace_s` later SIGKILL; beyond `output_bytes` SIGKILL at once.
    """

    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str] = field(default_factory=lambda: dict(PLAIN_ENVIRONMENT), repr=False)
    reach: Reach = Reach()
    timeout_s: float = 60.0
    grace_s: float = 5.0
    output_bytes: int = 16_000_000
    interrupt: signal.Signals = signal.SIGINT
    survives: bool = False


class Child:
    """A command this worker started."""

    def __init__(self, run: RunDirectory, warden: "subprocess.Popen[bytes]", scratch: Path | None) -> None:
        self.run = run
        self._warden = warden
        self._scratch = scratch

    def interrupt(self, *, force: bool = False) -> None:
        """Once: the command's own signal (SIGINT for Terraform). With `force`: SIGKILL to it and all it started."""
        if self._warden.poll() is None:
            self._warden.send_signal(signal.SIGTERM if force else signal.SIGINT)

    async def wait(self, tick: Callable[[], object] | None = None) -> Ended | Vanished:
        """Until it is gone. `tick` is called about five times a second. On cancellation the command is interrupted:
        one that survives its worker gets its one signal and goes on ending by itself, any other is killed.
        """
        pause = POLL_S
        try:
            while self._warden.poll() is None:
                if tick is not None:
                    tick()
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, POLL_MOST_S)
        except asyncio.CancelledError:
            survives = bool(_spec(self.run)["survives"])
            self.interrupt(force=not survives)
            if not survives:  # it is killed: gone in a moment, and nobody else would collect it
                await asyncio.to_thread(self._warden.wait)
            raise
        if tick is not None:
            tick()
        status = self.run.status()
        while isinstance(status, Running):  # something it started lives on: it holds the same lock
            await asyncio.sleep(POLL_MOST_S)
            status = self.run.status()
        if self._scratch is not None:
            _remove(self._scratch)
        return status if isinstance(status, Ended) else Vanished()


def launch(command: Command, run: RunDirectory) -> Child:
    """Start `command` in `run` (created before, never used). Returns at once."""
    uid = _child_uid(command)
    scratch, tmp = _make_tmp(run)
    for path in (tmp, *command.reach.write, *command.reach.owned):
        give(path, uid)
    alive = os.open(run.path / "alive", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
    confine.write_whole(run.path / "spec.json", _describe(command, run, tmp, uid))
    with (run.path / "warden.log").open("wb") as log:
        try:
            warden = subprocess.Popen(
                [sys.executable, "-I", "-S", confine.__file__, str(run.path / "spec.json")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                pass_fds=(alive,),
                env={**command.environment, "TMPDIR": str(tmp)},
                start_new_session=True,
            )
        finally:
            os.close(alive)
    return Child(run, warden, scratch)


def _describe(command: Command, run: RunDirectory, tmp: Path, uid: int) -> dict[str, Any]:
    """What the warden is told. The environment is not in it: secrets stay out of files."""
    read = (*SYSTEM, Path(command.argv[0]).resolve().parent, *command.reach.read, *command.reach.owned)
    return {
        "argv": list(command.argv),
        "cwd": str(command.cwd),
        "run": str(run.path),
        "stdout": str(run.stdout),
        "stderr": str(run.stderr),
        "uid": uid,
        "landlock": True,
        "read": [str(p) for p in read],
        "write": [str(p) for p in (tmp, *command.reach.write, Path("/dev/null"))],
        "ports": None if command.reach.ports is None else list(command.reach.ports),
        "own_network": command.reach.ports == () and may_unshare(),
        "timeout_s": command.timeout_s,
        "grace_s": command.grace_s,
        "output_bytes": command.output_bytes,
        "interrupt": int(command.interrupt),
        "with_worker": not command.survives,
        "survives": command.survives,
        "limits": {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": 4096, "RLIMIT_FSIZE": FILE_BYTES},
    }


async def finish(command: Command, run: RunDirectory) -> Ended | Vanished:
    """Start and wait, for commands nobody watches."""
    return await launch(command, run).wait()


@asynccontextmanager
async def temporary_run(parent: Path) -> AsyncGenerator[RunDirectory]:
    """A run directory that is gone afterwards, for commands that leave nothing to look up."""
    run = RunDirectory(Path(tempfile.mkdtemp(prefix="r", dir=parent)) / "r")
    run.path.parent.chmod(0o711)
    run.create()
    try:
        yield run
    finally:
        _remove(run.path.parent)


def _child_uid(command: Command) -> int:
    if os.geteuid() != 0 or not command.reach.own_uid or not sys.platform.startswith("linux"):
        return 0
    paths = (Path(command.argv[0]), command.cwd, *command.reach.read, *command.reach.write, *command.reach.owned)
    uid = NAMED_UID if command.reach.named else CHILD_UID
    return uid if all(open_to(uid, p) for p in paths) else 0


def _make_tmp(run: RunDirectory) -> tuple[Path | None, Path]:
    """A folder for sockets: their paths may have 107 bytes, and a provider's socket name takes about 25."""
    near = run.path / "tmp"
    if len(os.fsencode(near)) <= 75:
        near.mkdir(mode=0o700)
        return None, near
    far = Path(tempfile.mkdtemp(prefix="wb"))
    return far, far


def _remove(folder: Path) -> None:
    """Delete a tree of ours. Files that a child still deletes itself are no error."""
    shutil.rmtree(folder, ignore_errors=True)


def _spec(run: RunDirectory) -> dict[str, Any]:
    return json.loads((run.path / "spec.json").read_text())
