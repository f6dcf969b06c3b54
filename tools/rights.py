"""Which least rights a child gets on this machine (rule 16), and the doctor's words for them."""

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools import confine

CHILD_UID: Final = 64901  # unprivileged and of nobody; needs no passwd entry
NAMED_UID: Final = 65534  # nobody: for programs that refuse a user without a passwd entry (OpenSSH)
SYSTEM: Final = tuple(
    Path(p)
    for p in (
        *("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/localtime"),
        *("/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/ld.so.cache", "/etc/gai.conf", "/etc/services"),
        *("/etc/protocols", "/dev/urandom", "/dev/zero", "/System", "/private/etc/ssl"),
    )
)


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
        "network of offline commands: none at all" if may_unshare() else "network of offline commands: see above",
    )
    return Confinement(own_uid=uid, no_new_privileges=linux, landlock_abi=abi, own_network=may_unshare(), words=words)


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


def may_unshare() -> bool:
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        return False
    effective = next(li for li in Path("/proc/self/status").read_text().splitlines() if li.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) & 1 << 21)  # CAP_SYS_ADMIN


def give(path: Path, uid: int) -> None:
    """Make `path` and what lies in it the child's. Links are not followed."""
    if os.geteuid() != 0:
        return
    os.lchown(path, uid, uid)
    if path.is_dir() and not path.is_symlink():
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.lchown(Path(folder) / name, uid, uid)
