"""The first process of the lab's namespaces: lays the LAN, reaps orphans, and takes everything with it when it ends.

Started by namespaces.py through `unshare`. It ends when its standard input closes, which is when the API server that
started it is gone, however it went. As it is process 1 of its process namespace, the kernel then kills every machine
and program in there, and with the last of them the mounts, the bridge and the networks are gone.
"""

import os
import signal
import subprocess
import sys

BRIDGE = "vmbr0"
LAN = "192.168.178.1/24"
SET_UP = (
    # Among the lab's own mount namespaces only: a disk that is unmounted here is unmounted for every machine's starter.
    ("mount", "--make-rshared", "/"),
    ("ip", "link", "set", "lo", "up"),
    ("ip", "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0"),
    ("ip", "address", "add", LAN, "dev", BRIDGE),
    ("ip", "link", "set", BRIDGE, "up"),
)


def reap(*_: object) -> None:
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def main() -> int:
    if os.getpid() != 1:
        print("the keeper is started by the lab, as process 1 of a process namespace", file=sys.stderr)
        return 2
    for command in SET_UP:
        subprocess.run(command, check=True)
    signal.signal(signal.SIGCHLD, reap)
    reap()
    print("ready", flush=True)
    sys.stdin.buffer.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
