"""The one place that starts processes. Everything else in the program asks here.

A command runs with an emptied environment, in a session of its own, with files (never pipes of the worker) for its
output, under bounds, and with the least rights the machine gives (rule 16). Its run directory tells any later worker
what became of it (rule 13).
"""

import asyncio
import errno
import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess  # noqa: TID251 - this is the place
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tools import confine

CHILD_UID: Final = 64901  # unprivileged and of nobody; needs no passwd entry
PATH: Final = "/usr/local/bin:/usr/bin:/bin"
PLAIN_ENVIRONMENT: Final[Mapping[str, str]] = {"PATH": PATH, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
SYSTEM: Final = tuple(
    Path(p)
    for p in (
        *("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/localtime"),
        *("/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/ld.so.cache", "/etc/gai.conf", "/etc/services"),
        *("/etc/protocols", "/dev/urandom", "/dev/zero", "/System", "/private/etc/ssl"),
    )
)
POLL_S: Final = 0.02
POLL_MOST_S: Final = 0.2
FILE_BYTES: Final = 2_000_000_000  # no file that a child writes gets larger


@dataclass(frozen=True, slots=True)
class Reach:
    """What a command may touch besides the system's libraries. `ports`: TCP ports it may connect to; None: any;
    empty: no network at all. `own_uid`: give it a user of its own where the worker is root.
    """

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    ports: tuple[int, ...] | None = ()
    own_uid: bool = True


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


@dataclass(frozen=True, slots=True)
class Running:
    pid: int


@dataclass(frozen=True, slots=True)
class Ended:
    """`code`: as of `subprocess`, negative for a signal. `why`: exit, killed, timeout, output, orphaned, or that it did not start."""

    code: int
    why: str
    seconds: float

    @property
    def ok(self) -> bool:
        return self.code == 0 and self.why == "exit"


@dataclass(frozen=True, slots=True)
class Vanished:
    """It began, it is gone, and nothing says how it ended (the machine or its warden died)."""


@dataclass(frozen=True, slots=True)
class NotStarted:
    """No command was started in this directory."""


Status = Running | Ended | Vanished | NotStarted


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Where one command runs. `work` and `tmp` are the command's, the rest is ours and closed to it."""

    path: Path

    @property
    def work(self) -> Path:
        return self.path / "work"

    @property
    def stdout(self) -> Path:
        return self.path / "stdout"

    @property
    def stderr(self) -> Path:
        return self.path / "stderr"

    def create(self) -> None:
        """A new, empty directory. Raises FileExistsError: one directory, one run."""
        self.path.mkdir(parents=False, exist_ok=False, mode=0o711)
        self.work.mkdir(mode=0o700)

    def status(self) -> Status:
        """What became of the command, whoever started it. It counts as running while anything it started lives."""
        if not (self.path / "spec.json").exists():
            return NotStarted()
        record = self._read("started.json")
        if self._held():
            return Running(pid=int((record or {}).get("pid", 0)))
        end = self._read("exit.json")
        return Ended(end["code"], end["why"], end["seconds"]) if end else Vanished() if record else NotStarted()

    def interrupt(self, *, force: bool = False) -> None:
        """Signal a command that another worker started (ours: `Child.interrupt`)."""
        record = self._read("started.json")
        if record is None or not isinstance(self.status(), Running):
            return
        for name, number in (("warden", signal.SIGTERM if force else signal.SIGINT), ("pid", signal.SIGKILL)):
            pid = int(record[name])
            if name == "warden" and _is_warden(pid, self.path):
                os.kill(pid, number)
                return
            if name == "pid" and force and confine.start_time_of(pid) == record["start"]:
                os.killpg(pid, number)

    def _held(self) -> bool:
        try:
            opened = os.open(self.path / "alive", os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.EACCES}:
                return True
            raise
        finally:
            os.close(opened)
        return False

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return None


class Tail:
    """Reads whole new lines of a growing file. Never blocks; a line longer than `longest` is cut."""

    def __init__(self, path: Path, longest: int = 1_000_000) -> None:
        self.path = path
        self.longest = longest
        self._offset = 0

    def lines(self, *, last: bool = False) -> list[str]:
        """What came since the last call. With `last` also an unfinished line."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(self._offset)
                fresh = stream.read(8_000_000)
        except FileNotFoundError:
            return []
        end = len(fresh) if last else fresh.rfind(b"\n") + 1
        self._offset += end
        return [line[: self.longest].decode(errors="replace") for line in fresh[:end].splitlines()]


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
            self.interrupt(force=not _spec(self.run)["survives"])
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
    for path in (tmp, *command.reach.write):
        _give(path, uid)
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
    read = (*SYSTEM, Path(command.argv[0]).resolve().parent, *command.reach.read)
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
        "own_network": command.reach.ports == () and _may_unshare(),
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


@dataclass(frozen=True, slots=True)
class Confinement:
    """Which of the least rights hold on this machine, for the doctor."""

    own_uid: bool
    no_new_privileges: bool
    landlock_abi: int
    own_network: bool
    words: tuple[str, ...]


def describe_confinement(data: Path, *needed: Path) -> Confinement:
    """What a child that works under `data` and reads `needed` would get here."""
    linux = sys.platform.startswith("linux")
    root = os.geteuid() == 0
    closed = [p for p in (data, *needed) if not open_to(CHILD_UID, p)]
    uid = root and linux and not closed
    abi = confine.landlock_abi()
    words = (
        f"own user {CHILD_UID}: yes" if uid else f"own user: no, {_why_no_uid(root=root, closed=closed)}",
        f"files: only the run directory and named paths (Landlock {abi})" if abi else "files: no Landlock here",
        "network: only named TCP ports" if abi >= 4 else "network: not bounded by the kernel",
        "network of offline commands: none at all" if _may_unshare() else "network of offline commands: see above",
    )
    return Confinement(own_uid=uid, no_new_privileges=linux, landlock_abi=abi, own_network=_may_unshare(), words=words)


def open_to(uid: int, path: Path) -> bool:
    """Whether a user without rights of its own could reach `path` through its parents (they are `x` for others)."""
    resolved = path.resolve()
    for parent in resolved.parents:
        try:
            about = parent.stat()
        except FileNotFoundError:
            continue
        if about.st_uid != uid and not about.st_mode & stat.S_IXOTH:
            return False
    return True


def _why_no_uid(*, root: bool, closed: list[Path]) -> str:
    if not root:
        return "the program is not root"
    return f"{closed[0]} lies in a folder closed to others" if closed else "this is not Linux"


def _child_uid(command: Command) -> int:
    if os.geteuid() != 0 or not command.reach.own_uid or not sys.platform.startswith("linux"):
        return 0
    paths = (Path(command.argv[0]), command.cwd, *command.reach.read, *command.reach.write)
    return CHILD_UID if all(open_to(CHILD_UID, p) for p in paths) else 0


def _may_unshare() -> bool:
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        return False
    effective = next(li for li in Path("/proc/self/status").read_text().splitlines() if li.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) & 1 << 21)  # CAP_SYS_ADMIN


def _make_tmp(run: RunDirectory) -> tuple[Path | None, Path]:
    """A folder for sockets: their paths may have 107 bytes, and a provider's socket name takes about 25."""
    near = run.path / "tmp"
    if len(os.fsencode(near)) <= 75:
        near.mkdir(mode=0o700)
        return None, near
    far = Path(tempfile.mkdtemp(prefix="wb"))
    return far, far


def _give(path: Path, uid: int) -> None:
    """Make `path` and what lies in it the child's. Links are not followed."""
    if os.geteuid() != 0:
        return
    os.lchown(path, uid, uid)
    if path.is_dir() and not path.is_symlink():
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.lchown(Path(folder) / name, uid, uid)


def _remove(folder: Path) -> None:
    """Delete a tree of ours. Files that a child still deletes itself are no error."""
    shutil.rmtree(folder, ignore_errors=True)


def _spec(run: RunDirectory) -> dict[str, Any]:
    return json.loads((run.path / "spec.json").read_text())


def _is_warden(pid: int, run: Path) -> bool:
    try:
        return os.fsencode(run / "spec.json") in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def seconds_since(began: float) -> str:
    """Elapsed time as people read it: `14 s`, `1 m 12 s`."""
    whole = max(0, round(time.monotonic() - began))
    return f"{whole} s" if whole < 60 else f"{whole // 60} m {whole % 60} s"
