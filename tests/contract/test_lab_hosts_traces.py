"""Nothing of the real machines is left on this computer, whichever way their lab ended; and only what was theirs goes."""

import os
import signal
import socket
from pathlib import Path

import pytest

from deploy.lab.hosts.cgroups import PREFIX, find_own_hierarchies
from tests.hosts_house import HostsLab, hosts_lab, real_machines, said, start_lab, until
from tests.traces_house import RUNS, Footprint, footprint, links

pytestmark = real_machines


def seen_of(lab: HostsLab, folder: Path) -> Footprint:
    return footprint(lab.process.pid, lab.keeper, folder)


def busy_lab(lab: HostsLab) -> None:
    """A machine with everything on it that could stay behind."""
    lab.create(101, "cp1", "192.168.178.21", onboot="1")
    lab.host_key(101)
    lab.fault("network", vmid=101, delay_ms=1)
    lab.fault("apt_lock", vmid=101)
    lab.fault("disk_full", vmid=101)


def test_asked_to_end_it_leaves_nothing_at_once(tmp_path: Path) -> None:
    before = links()
    lab = start_lab(tmp_path)
    busy_lab(lab)
    assert links() == before  # while it runs, too
    seen = seen_of(lab, tmp_path)
    lab.process.send_signal(signal.SIGINT)
    assert lab.process.wait(30) == 0
    assert seen.left() == []
    assert links() == before


def test_killed_it_takes_all_that_runs_along_and_the_next_start_clears_the_rest(tmp_path: Path) -> None:
    before = links()
    with hosts_lab(tmp_path / "neighbour") as neighbour:
        neighbour.create(201, "other", "192.168.178.21")
        killed = start_lab(tmp_path / "killed")
        busy_lab(killed)
        key = killed.host_key(101)
        killed.create(102, "cp2", "192.168.178.22")
        killed.host_key(102)
        killed.fault("disk_full", vmid=101, full=False)
        with killed.ssh(101, "192.168.178.21") as client:
            said(client, "echo kept > kept && sync")
        seen = seen_of(killed, tmp_path / "killed")
        theirs = seen_of(neighbour, tmp_path / "neighbour")
        killed.process.kill()
        killed.process.wait()
        still = {"mark", "cgroup"}  # files of the kernel and of the cache, which no process's end removes
        until(lambda: {line.split()[0] for line in seen.left()} <= still, "the end of all that ran", 20)
        assert links() == before
        strange = theirs_but_not_ours()
        with hosts_lab(tmp_path / "killed") as again:
            # The kernel gives the numbers of dead namespaces to new ones, so only the dead run's own name tells.
            assert [line for line in seen.left() if line.split()[0] in still] == []
            assert strange.exists()
            strange.rmdir()
            assert {line.split()[0] for line in theirs.left()} == {"mark", "loop", "cgroup", "process", "mount"}
            with neighbour.ssh(201, "192.168.178.21") as client:
                assert said(client, "hostname") == "other"
            assert again.host_key(101) == key  # `onboot`: on again, and still itself
            with again.ssh(101, "192.168.178.21") as client:
                assert said(client, "cat kept") == "kept"
            assert again.status(102) == "stopped"
        assert seen.left() == []


def theirs_but_not_ours() -> Path:
    """A group that looks like a lab's but belongs to no run that registered here."""
    place = next(place for place in find_own_hierarchies() if "cpuset" not in place.controllers)
    group = place.folder / f"{PREFIX}stranger{os.getpid()}"
    group.mkdir()
    return group


def test_start_that_fails_leaves_nothing(tmp_path: Path) -> None:
    marks = set(RUNS.glob("*"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(AssertionError, match="address already in use"):
            start_lab(tmp_path, "--port", str(taken.getsockname()[1]))
    assert set(RUNS.glob("*")) <= marks
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (entry / "cmdline").exists():
            assert str(tmp_path).encode() not in _command(entry)


def _command(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


def test_keeper_that_dies_takes_the_power_of_every_machine(tmp_path: Path) -> None:
    with hosts_lab(tmp_path) as lab:
        lab.create(101, "cp1", "192.168.178.21")
        lab.host_key(101)
        os.kill(lab.keeper, signal.SIGKILL)
        until(lambda: lab.status(101) == "stopped", "the machine to be seen as off", 20)
        with pytest.raises(AssertionError, match=r"start failed: the lab's namespaces are gone"):
            lab.power(101, "start")
