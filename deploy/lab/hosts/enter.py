"""python -m deploy.lab.hosts.enter KEEPER -- program arguments…: run a program inside the lab's namespaces.

The program sees the lab's LAN, its loopback and its processes, and this machine's files. It ends with the lab. Signals
are handed on to it, and its end is this process's end.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

from deploy.lab.hosts.namespaces import CLONE_NEWNET, enter_namespace
from deploy.lab.lifetime import PR_SET_PDEATHSIG

CLONE_NEWNS, CLONE_NEWPID = 0x00020000, 0x20000000
HANDED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def main(arguments: list[str]) -> int:
    if len(arguments) < 3 or arguments[1] != "--":
        print(__doc__, file=sys.stderr)
        return 2
    keeper, folder = int(arguments[0]), Path.cwd()
    enter_namespace(keeper, "net", CLONE_NEWNET)
    enter_namespace(keeper, "pid", CLONE_NEWPID)
    enter_namespace(keeper, "mnt", CLONE_NEWNS)
    os.chdir(folder)
    signal.pthread_sigmask(
        signal.SIG_BLOCK, (*HANDED_ON, signal.SIGCHLD)
    )  # waited for: none is lost before a handler runs
    child = os.fork()
    if child == 0:
        _become(arguments[2:])
    code = _handing_on(child)
    if code < 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), -code)  # end as it ended
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
    return code


def _handing_on(child: int) -> int:
    """Signals that come are the child's; returns how it ended, as subprocess does."""
    while True:
        got = signal.sigwait((*HANDED_ON, signal.SIGCHLD))
        if got != signal.SIGCHLD:
            os.kill(child, got)
            continue
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)


def _become(command: list[str]) -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*HANDED_ON, signal.SIGCHLD))
    try:
        os.execvp(command[0], command)  # noqa: S606 - the program that was asked for, no shell
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
    os._exit(127)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
