"""A cgroup per machine, below this process's own, in every hierarchy there is: its limits, and no trace after it."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
PREFIX = "watchbill-lab-"
PERIOD_US = 100_000
REMOVE_S = 5.0


@dataclass(frozen=True)
class Hierarchy:
    """`folder` is where this process is in it; `unified` means cgroup version 2."""

    controllers: frozenset[str]
    folder: Path
    unified: bool


def find_hierarchies(own: str, mount: Path = MOUNT) -> list[Hierarchy]:
    """Read /proc/self/cgroup, given as text. A pure version 2 is used from its top, where no process is in the way."""
    found: list[Hierarchy] = []
    for line in own.splitlines():
        _, names, path = line.split(":", 2)
        if names:
            folder = mount / names.removeprefix("name=")
            found.append(Hierarchy(frozenset(names.split(",")), folder / path.strip("/"), unified=False))
        elif (mount / "cgroup.controllers").exists():
            found.append(Hierarchy(frozenset((mount / "cgroup.controllers").read_text().split()), mount, unified=True))
        elif (mount / "unified").is_dir():
            folder = mount / "unified"
            present = frozenset((folder / "cgroup.controllers").read_text().split())
            found.append(Hierarchy(present, folder / path.strip("/"), unified=True))
    return [hierarchy for hierarchy in found if hierarchy.folder.is_dir()]


def find_own_hierarchies() -> list[Hierarchy]:
    return find_hierarchies(Path("/proc/self/cgroup").read_text())


def make_groups(
    run: str, machine: str, memory: int, cpus: float, places: Sequence[Hierarchy]
) -> tuple[list[Path], list[str]]:
    """The machine's folders, and what could not be limited here, in words."""
    folders: list[Path] = []
    missing: list[str] = []
    limited: set[str] = set()
    for place in places:
        try:
            folder = _make(place, run, machine)
        except OSError as error:
            missing.append(f"no cgroup in {place.folder}: {error.strerror}")
            continue
        folders.append(folder)
        for name, act in (("memory", _limit_memory), ("cpu", _limit_cpus)):
            if name in place.controllers:
                with contextlib.suppress(OSError):
                    act(folder, memory if name == "memory" else cpus, unified=place.unified)
                    limited.add(name)
    return folders, missing + [f"{name} is not limited here" for name in ("memory", "cpu") if name not in limited]


def _make(place: Hierarchy, run: str, machine: str) -> Path:
    folder = place.folder
    for name in (f"{PREFIX}{run}", machine):
        if place.unified:
            for controller in place.controllers & {"memory", "cpu", "pids", "cpuset", "io"}:
                with contextlib.suppress(OSError):  # not delegated here: this controller is missing, no more
                    (folder / "cgroup.subtree_control").write_text(f"+{controller}")
        parent, folder = folder, folder / name
        folder.mkdir(exist_ok=True)
        if "cpuset" in place.controllers and not place.unified:
            for file in ("cpuset.cpus", "cpuset.mems"):  # empty ones take no process
                (folder / file).write_text((parent / file).read_text())
    return folder


def _limit_memory(folder: Path, memory: float, *, unified: bool) -> None:
    (folder / ("memory.max" if unified else "memory.limit_in_bytes")).write_text(str(int(memory)))


def _limit_cpus(folder: Path, cpus: float, *, unified: bool) -> None:
    quota = int(cpus * PERIOD_US)
    if unified:
        (folder / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        return
    (folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
    (folder / "cpu.cfs_quota_us").write_text(str(quota))


def read_memory(folders: Sequence[Path]) -> int | None:
    """Bytes that a machine's processes hold, without the page cache; None where nothing counts them."""
    for folder in folders:
        try:
            lines = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except OSError:
            continue
        return int(lines.get("total_rss", lines.get("anon", "0")))
    return None


def remove_groups(folders: Sequence[Path], sleep: Callable[[float], None] = time.sleep) -> None:
    """Remove the folders with all that was made below them; whoever still is in there is killed, being of the machine."""
    end = time.monotonic() + REMOVE_S
    left = [folder for folder in folders if folder.exists()]
    while left and time.monotonic() < end:
        for folder in left:
            _remove_tree(folder)
        left = [folder for folder in left if folder.exists()]
        if left:
            sleep(0.05)


def remove_run(run: str, places: Sequence[Path]) -> None:
    """All machines' groups of one run of the lab, which is over; `places` are the folders that it made them in."""
    remove_groups([place / f"{PREFIX}{run}" for place in places])


def _remove_tree(top: Path) -> None:
    for folder, _, files in os.walk(top, topdown=False):
        if "cgroup.procs" in files:
            with contextlib.suppress(OSError):
                for pid in (Path(folder) / "cgroup.procs").read_text().split():
                    if pid != "0":  # of another process namespace, which ends with its keeper
                        os.kill(int(pid), signal.SIGKILL)
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
