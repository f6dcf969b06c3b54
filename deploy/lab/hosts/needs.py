"""What this machine must have for real machines in the lab, asked before anything is started."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

# Program to Debian package.
PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "losetup": "mount",
    "mkfs.ext4": "e2fsprogs",
    "resize2fs": "e2fsprogs",
    "ethtool": "ethtool",
    "ssh-keygen": "openssh-client",
}


def find_missing(
    look: Callable[[str], str | None] = shutil.which,
    uid: int | None = None,
    system: str = sys.platform,
    devices: Path = Path("/dev"),
    settings: Path = Path("/proc/sys"),
    *,
    cluster: bool = False,
) -> str | None:
    """None if all is there, else one text that says what is missing and how to get it. `cluster`: Kubernetes on them."""
    if not system.startswith("linux"):
        return "Real machines need Linux. `make demo` without LAB= runs anywhere: its machines are entries of the API."
    wrong: list[str] = []
    if (os.geteuid() if uid is None else uid) != 0:
        wrong.append(
            f"Not root: real machines need it (`sudo make demo LAB={'cluster' if cluster else 'hosts'}`), or a privileged container."
        )
    packages = sorted({package for program, package in PROGRAMS.items() if look(program) is None})
    if packages:
        missing = ", ".join(sorted(program for program in PROGRAMS if look(program) is None))
        wrong.append(
            f"Missing: {missing}. Debian and Ubuntu: apt-get install --no-install-recommends {' '.join(packages)}"
        )
    if not (devices / "loop-control").exists():
        wrong.append("No loop devices: `modprobe loop`; in a container, start it with --privileged.")
    if cluster and not (settings / "net" / "bridge").exists():
        wrong.append("The kernel does not filter bridges, which Kubernetes' services need: `modprobe br_netfilter`.")
    return "\n".join(wrong) or None
