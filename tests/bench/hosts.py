"""Real machines of the lab: seconds from power on to a login over SSH, alone and many at once, and their memory."""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from deploy.lab.hosts.cgroups import PREFIX
from tests.bench.figures import Aim, Report, Spread
from tests.bench.processes import ROOT
from tests.hosts_house import CACHE, MISSING, HostsLab, holds, hosts_lab, said

MANY = 12
FIRST = 101


async def run(*, quick: bool = False, profile: bool = False) -> Report:
    return await asyncio.to_thread(_run, quick=quick)


def _run(*, quick: bool) -> Report:
    report = Report("hosts", "an interpreter that does nothing, as a measure of how busy this computer is")
    if MISSING:
        report.notes.append(f"not measured here: {MISSING}")
        return report
    nothing = [_wall() for _ in range(3)]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, hosts_lab(Path(folder)) as lab:
        _create(lab, FIRST)
        alone = [_power_on(lab, FIRST) for _ in range(2 if quick else 7)]
        report.add("power on until a login over SSH, one machine", alone, nothing)
        if not quick:
            many = _all_at_once(lab)
            report.add(f"the same, {MANY} machines at once", many)
            report.aims.append(Aim(f"the last of {MANY}", max(many), 60, "s"))
            time.sleep(5)
            each = [_share(f"/{vmid}", lab) / 2**20 for vmid in range(FIRST, FIRST + MANY)]
            report.notes.append(f"memory of a machine's processes: {min(each):.0f} to {max(each):.0f} MiB")
            report.aims.append(Aim(f"memory of {MANY} machines' processes", _share("", lab) / 2**30, 8, "GiB"))
    report.aims.append(Aim("one machine", Spread.of(alone).p50 / 1000, 5, "s"))
    return report


def _create(lab: HostsLab, vmid: int) -> None:
    lab.create(vmid, f"m{vmid}", _address(vmid))
    lab.host_key(vmid)
    lab.power(vmid, "stop")


def _address(vmid: int) -> str:
    return f"192.168.178.{vmid - 80}"


def _power_on(lab: HostsLab, vmid: int) -> float:
    if lab.status(vmid) == "running":
        lab.power(vmid, "stop")
    began = time.perf_counter()
    lab.power(vmid, "start")
    with lab.ssh(vmid, _address(vmid), timeout_s=60) as client:
        said(client, "true")
    return time.perf_counter() - began


def _all_at_once(lab: HostsLab) -> list[float]:
    for vmid in range(FIRST + 1, FIRST + MANY):
        _create(lab, vmid)
    lab.power(FIRST, "stop")
    vmids = range(FIRST, FIRST + MANY)
    with ThreadPoolExecutor(MANY) as pool:
        return list(pool.map(partial(_power_on, lab), vmids))


def _share(machine: str, lab: HostsLab) -> float:
    """Bytes that the lab's processes hold, pages that several share counted in shares; of one machine or of all."""
    held = [path.stem for path in (CACHE / "hosts" / "runs").glob("*.run") if holds(lab.process.pid, path)]
    group = f"{PREFIX}{held[0]}{machine}"
    total = 0
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(line.endswith(group) or f"{group}/" in line for line in (entry / "cgroup").read_text().splitlines()):
                lines = (entry / "smaps_rollup").read_text().splitlines()
                total += int(next(line for line in lines if line.startswith("Pss:")).split()[1]) * 1024
    return total


def _wall() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], cwd=ROOT, check=True)
    return time.perf_counter() - began
