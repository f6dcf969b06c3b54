"""What the lab's real machines leave on this computer, for the tests that want it to be nothing."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.lab.hosts.cgroups import PREFIX, find_own_hierarchies
from tests.hosts_house import CACHE, holds

RUNS = CACHE / "hosts" / "runs"


@dataclass(frozen=True)
class Footprint:
    """Where a running lab is to be found: its folder, its networks and process namespaces, its run's name."""

    folder: Path
    namespaces: frozenset[Path]
    run: str

    def left(self) -> list[str]:
        found = [f"mark {path}" for path in [RUNS / f"{self.run}.run"] if path.exists()]
        found += [
            f"loop device on {path.read_text().strip()}" for path in _loops() if str(self.folder) in path.read_text()
        ]
        found += [f"cgroup {group}" for group in groups(self.run)]
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                found += self._of_process(entry)
        return found

    def _of_process(self, entry: Path) -> list[str]:
        try:
            own = {(entry / "ns" / kind).readlink() for kind in ("net", "pid")}
            mounts = [line for line in (entry / "mountinfo").read_text().splitlines() if str(self.folder) in line]
            name = (entry / "comm").read_text().strip()
        except OSError:
            return []
        return [f"process {entry.name} {name}"] * bool(own & self.namespaces) + [f"mount {line}" for line in mounts]


def _namespaces(entry: Path, group: str) -> set[Path]:
    """Of a process of this control group; none where it is of another, or has ended since it was listed."""
    try:
        inside = group in (entry / "cgroup").read_text()
        return {(entry / "ns" / kind).readlink() for kind in ("net", "pid")} if inside else set()
    except OSError:
        return set()


def _loops() -> list[Path]:
    return list(Path("/sys/block").glob("loop*/loop/backing_file"))


def groups(run: str) -> list[Path]:
    places = [place.folder / f"{PREFIX}{run}" for place in find_own_hierarchies()]
    return [place for place in places if place.exists()]


def links() -> set[str]:
    """Names of this computer's own network cards and bridges."""
    shown = subprocess.run(["ip", "-json", "link"], capture_output=True, text=True, check=True).stdout
    return {str(link["ifname"]) for link in json.loads(shown)}


def footprint(server: int, keeper: int, folder: Path) -> Footprint:
    """Of a lab in which something runs; fails if there is nothing to be seen, for then nothing could be missed.

    `server` is the process number of its Proxmox API.
    """
    held = [path.stem for path in RUNS.glob("*.run") if holds(server, path)]
    assert len(held) == 1
    own = {Path(f"/proc/{keeper}/ns/{kind}").readlink() for kind in ("net", "pid")}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            own |= _namespaces(entry, f"{PREFIX}{held[0]}")
    own -= {Path(f"/proc/self/ns/{kind}").readlink() for kind in ("net", "pid")}
    found = Footprint(folder, frozenset(own), held[0])
    kinds = {line.split()[0] for line in found.left()}
    assert kinds == {"mark", "loop", "cgroup", "process", "mount"}, kinds
    return found
