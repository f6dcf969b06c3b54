"""Where one command runs, and what became of it: readable by any later worker (rule 13)."""

import errno
import fcntl
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools import confine


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


def _is_warden(pid: int, run: Path) -> bool:
    try:
        return os.fsencode(run / "spec.json") in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def seconds_since(began: float) -> str:
    """Elapsed time as people read it: `14 s`, `1 m 12 s`."""
    whole = max(0, round(time.monotonic() - began))
    return f"{whole} s" if whole < 60 else f"{whole // 60} m {whole % 60} s"
