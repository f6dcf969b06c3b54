"""Cgroups of the lab's machines in both versions, on folders that stand for the kernel's."""

from pathlib import Path

import pytest

from deploy.lab.hosts.cgroups import Hierarchy, find_hierarchies, make_groups, read_memory, remove_run

OWN = "9:name=systemd:/user\n4:memory:/box/1\n3:cpuset:/\n2:cpu,cpuacct:/\n0::/\n"


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    for name in ("systemd/user", "memory/box/1", "cpuset", "cpu,cpuacct", "unified"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "unified/cgroup.controllers").write_text("hugetlb\n")
    (tmp_path / "cpuset/cpuset.cpus").write_text("0-1\n")
    (tmp_path / "cpuset/cpuset.mems").write_text("0\n")
    return tmp_path


def test_finds_every_hierarchy_at_the_own_place(version_1: Path) -> None:
    places = {str(place.folder.relative_to(version_1)): place for place in find_hierarchies(OWN, version_1)}
    assert set(places) == {"systemd/user", "memory/box/1", "cpuset", "cpu,cpuacct", "unified"}
    assert places["cpu,cpuacct"].controllers == {"cpu", "cpuacct"}
    assert places["unified"].unified
    assert not places["memory/box/1"].unified


def test_hierarchies_that_are_not_mounted_are_left_out(version_1: Path) -> None:
    assert len(find_hierarchies(OWN + "12:rdma:/\n", version_1)) == 5


def test_version_1_gets_limits_and_a_filled_cpuset(version_1: Path) -> None:
    groups, missing = make_groups("r1", "101", 2 * 1024**3, 1.5, find_hierarchies(OWN, version_1))
    assert missing == []
    assert all(str(group).endswith("/watchbill-lab-r1/101") for group in groups)
    assert len(groups) == 5
    assert (version_1 / "memory/box/1/watchbill-lab-r1/101/memory.limit_in_bytes").read_text() == str(2 * 1024**3)
    assert (version_1 / "cpu,cpuacct/watchbill-lab-r1/101/cpu.cfs_quota_us").read_text() == "150000"
    assert (version_1 / "cpuset/watchbill-lab-r1/101/cpuset.cpus").read_text() == "0-1\n"


def test_version_2_is_used_from_its_top(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (place,) = find_hierarchies("0::/user.slice/session-1.scope\n", tmp_path)
    assert (place.folder, place.unified) == (tmp_path, True)
    groups, missing = make_groups("r1", "101", 1024, 2, [place])
    assert (groups, missing) == ([tmp_path / "watchbill-lab-r1/101"], [])
    assert (groups[0] / "memory.max").read_text() == "1024"
    assert (groups[0] / "cpu.max").read_text() == "200000 100000"


def test_what_cannot_be_limited_is_said(tmp_path: Path) -> None:
    (tmp_path / "systemd").mkdir()
    places = [Hierarchy(frozenset({"name=systemd"}), tmp_path / "systemd", unified=False)]
    groups, missing = make_groups("r1", "101", 1024, 1, places)
    assert len(groups) == 1
    assert missing == ["memory is not limited here", "cpu is not limited here"]


def test_a_place_that_takes_no_group_is_said_and_the_others_are_used(version_1: Path) -> None:
    (version_1 / "memory/box/1/watchbill-lab-r1").write_text("a file in the way")
    groups, missing = make_groups("r1", "101", 1024, 1, find_hierarchies(OWN, version_1))
    assert len(groups) == 4
    assert missing[0].startswith("no cgroup in")
    assert "memory is not limited here" in missing


def test_reads_memory_without_the_page_cache(tmp_path: Path) -> None:
    assert read_memory([tmp_path]) is None
    (tmp_path / "memory.stat").write_text("cache 99\nrss 1\ntotal_rss 42\n")
    assert read_memory([tmp_path]) == 42
    (tmp_path / "memory.stat").write_text("anon 7\nfile 99\n")
    assert read_memory([tmp_path]) == 7


def test_removes_its_own_run_and_no_other(tmp_path: Path) -> None:
    for name in ("watchbill-lab-r1/101/payload/deep", "watchbill-lab-r1/102", "watchbill-lab-r2/101", "somebody"):
        (tmp_path / name).mkdir(parents=True)
    remove_run("r1", [tmp_path])
    assert {path.name for path in tmp_path.iterdir()} == {"watchbill-lab-r2", "somebody"}
    remove_run("r1", [tmp_path])  # nothing there: nothing happens
