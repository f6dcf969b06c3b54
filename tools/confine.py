"""Runs one command with the least rights this machine gives, and writes down what became of it.

Started by tools/process.py as `python -I -S confine.py <spec.json>` with the command's own (emptied) environment. It
imports nothing of ours. It outlives a worker that is killed: the exit code ends up in the run directory anyway.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import stat
import struct
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWNET = 0x40000000
SYS_LANDLOCK_CREATE, SYS_LANDLOCK_ADD, SYS_LANDLOCK_RESTRICT = 444, 445, 446  # the same on every Linux architecture
FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # Landlock ABI → how many file-system rights it knows
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
READ = EXECUTE | READ_FILE | READ_DIR
FILE_ONLY = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | 1 << 15
CONNECT_TCP = 1 << 1
NET_RIGHTS = 0b11  # bind and connect
SCOPES = 0b11  # abstract unix sockets and signals stay inside
TICK_S = 0.25


def landlock_abi() -> int:
    """The kernel's Landlock version, 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    found = int(_libc().syscall(SYS_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))
    return max(found, 0)


def start_time_of(pid: int) -> str:
    """Clock ticks since boot at which `pid` began; with the pid it names a process for good. "" if it is gone."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except OSError:
        return ""
    return after_name.split()[19]


def write_whole(path: Path, value: object) -> None:
    """All or nothing, on disk when it returns."""
    partial = path.with_name(path.name + ".tmp")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        json.dump(value, stream)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(what: str, result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), what)
    return result


def _make_ruleset(spec: dict[str, Any], abi: int) -> int:
    libc = _libc()
    handled = (1 << FS_RIGHTS[min(abi, 5)]) - 1
    ports: list[int] | None = spec["ports"]
    net = NET_RIGHTS if abi >= 4 and ports is not None else 0
    attributes = struct.pack("<QQQ", handled, net, SCOPES if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = _checked("Landlock", libc.syscall(SYS_LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), 0))
    for path, rights in [*((p, READ) for p in spec["read"]), *((p, handled) for p in spec["write"])]:
        _allow_path(libc, ruleset, path, rights & handled)
    for port in ports or [] if net else []:
        rule = struct.pack("<QQ", CONNECT_TCP, port)
        _checked("Landlock port", libc.syscall(SYS_LANDLOCK_ADD, ruleset, 2, rule, 0))
    return ruleset


def _allow_path(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    with contextlib.suppress(FileNotFoundError):  # lists name what some distributions have and others do not
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISDIR(os.fstat(opened).st_mode):
                rights &= FILE_ONLY
            rule = struct.pack("<Qi", rights, opened)
            _checked(f"Landlock {path}", libc.syscall(SYS_LANDLOCK_ADD, ruleset, 1, rule, 0))
        finally:
            os.close(opened)


def _become_child(spec: dict[str, Any], report: int) -> NoReturn:
    """In the forked child: give up rights, then be the command. What fails is told through `report`."""
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        for target, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(spec[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600), target)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for name, value in spec["limits"].items():
            number = getattr(resource, name)
            hard = resource.getrlimit(number)[1]
            bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(number, (bound, bound))
        _confine(spec)
        os.chdir(spec["cwd"])
        os.execv(spec["argv"][0], spec["argv"])  # noqa: S606 - argv comes from tools/process.py, no shell
    except OSError as error:
        os.write(report, f"{error.strerror}: {error.filename or spec['argv'][0]}".encode())
    os._exit(127)


def _confine(spec: dict[str, Any]) -> None:
    if not sys.platform.startswith("linux"):
        return
    libc = _libc()
    abi = landlock_abi() if spec["landlock"] else 0
    ruleset = _make_ruleset(spec, abi) if abi else -1
    if spec["own_network"]:
        _checked("unshare network", libc.unshare(CLONE_NEWNET))
    if spec["uid"]:
        os.setgroups([])
        os.setresgid(spec["uid"], spec["uid"], spec["uid"])
        os.setresuid(spec["uid"], spec["uid"], spec["uid"])
    _checked("no_new_privs", libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if abi:
        _checked("Landlock", libc.syscall(SYS_LANDLOCK_RESTRICT, ruleset, 0))
        os.close(ruleset)


class Warden:
    """The parent of the command: forwards signals, holds the time and output bounds, records the end."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.run = Path(spec["run"])
        self.wanted: list[int] = []
        self.why = "exit"
        self.began = time.monotonic()
        self.deadline = self.began + spec["timeout_s"]
        self.parent = os.getppid()
        self.interrupted = False

    def start(self) -> int:
        write_whole(self.run / "started.json", {"pid": 0, "start": "", "warden": os.getpid()})
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(told)
            _become_child(self.spec, tell)
        os.close(tell)
        record = {"pid": child, "start": start_time_of(child), "warden": os.getpid()}
        write_whole(self.run / "started.json", record)
        failure = os.read(told, 4096).decode(errors="replace")  # empty once the command has taken the child's place
        os.close(told)
        if failure:
            self.why = f"not started: {failure}"
        return child

    def hear(self, number: int, _frame: FrameType | None) -> None:
        self.wanted.append(number)

    def watch(self, child: int) -> int:
        """Until the child is gone. Returns its wait status."""
        wake, woken = os.pipe()
        for end in (wake, woken):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return status
            select.select([wake], [], [], TICK_S)
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 512)
            self.forward(child)
            self.bound(child)

    def forward(self, child: int) -> None:
        while self.wanted:
            if self.wanted.pop(0) == signal.SIGINT:
                self.interrupt(child)
            else:
                self.kill(child, "killed")

    def interrupt(self, child: int) -> None:
        """Once, whoever asks: a second SIGINT makes Terraform drop what is under way. The command alone gets it; what
        it started is its own to end.
        """
        if not self.interrupted:
            self.interrupted = True
            os.kill(child, self.spec["interrupt"])

    def bound(self, child: int) -> None:
        sizes = [(self.run / name).stat().st_size for name in ("stdout", "stderr") if (self.run / name).exists()]
        if sum(sizes) > self.spec["output_bytes"]:
            self.kill(child, "output")
        elif self.spec["with_worker"] and os.getppid() != self.parent:
            self.kill(child, "orphaned")
        elif time.monotonic() > self.deadline and self.why != "timeout":
            self.why = "timeout"
            self.deadline = time.monotonic() + self.spec["grace_s"]
            self.interrupt(child)
        elif time.monotonic() > self.deadline:
            self.kill(child, "timeout")

    def kill(self, child: int, why: str) -> None:
        self.why = why
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    def finish(self, child: int, status: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)  # what the command left behind in its group
        code = os.waitstatus_to_exitcode(status)
        seconds = round(time.monotonic() - self.began, 3)
        write_whole(self.run / "exit.json", {"code": code, "why": self.why, "seconds": seconds})


def main(spec_file: str) -> None:
    spec = json.loads(Path(spec_file).read_text())
    os.umask(0o077)
    warden = Warden(spec)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, warden.hear)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    child = warden.start()
    warden.finish(child, warden.watch(child))


if __name__ == "__main__":
    main(sys.argv[1])
