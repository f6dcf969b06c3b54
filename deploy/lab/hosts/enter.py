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
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON)  # none is lost between the fork and the handlers
    child = os.fork()
    if child == 0:
        _become(arguments[2:])
    for number in HANDED_ON:
        signal.signal(number, lambda got, _: os.kill(child, got))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0 and -code not in {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(-code, signal.SIG_DFL)
    if code < 0:
        os.kill(os.getpid(), -code)  # end as it ended
    return code


def _become(command: list[str]) -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)
    try:
        os.execvp(command[0], command)  # noqa: S606 - the program that was asked for, no shell
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
    os._exit(127)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
