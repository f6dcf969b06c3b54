"""How a lab server lives and dies: ready file, signals, and no life after its parent's."""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Ask Linux to send SIGTERM to this process when its parent dies; elsewhere this does nothing.

    Call it once, early. A parent that is already gone counts as dead: the process ends itself.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it died between the two calls
        os.kill(os.getpid(), signal.SIGTERM)


def ended_by_signal() -> threading.Event:
    """Set when somebody wants the program to end: Ctrl-C, SIGTERM, or the terminal's end."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())
    return ended


def write_ready_file(path: Path, facts: dict[str, Any]) -> None:
    """Write `facts` as one JSON object, complete or not at all, readable by this user only (it holds tokens)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        json.dump(facts, stream)
    partial.replace(path)


async def wait_for_end() -> None:
    """Return at the first SIGTERM or SIGINT."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, ended.set)
    await ended.wait()


if __name__ == "__main__":  # `python -m deploy.lab.lifetime PROGRAM …`: PROGRAM, ended with its parent
    end_with_parent()
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 # what the lab was told to start
