"""Dead labs are cleaned up after, living ones never: told apart by a lock that ends with the process."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.lab.hosts.base import list_packages
from deploy.lab.hosts.disks import is_attached
from deploy.lab.hosts.needs import PROGRAMS, find_missing
from deploy.lab.hosts.runs import MARK, held, registered, remove_dead

HOLD = """
import sys, time
from pathlib import Path
from deploy.lab.hosts.runs import MARK, held, registered
with registered(Path(sys.argv[1]), [Path("/there")], lambda name, places: None) as name, held(Path(sys.argv[2]) / MARK):
    print(name, flush=True)
    time.sleep(100)
"""
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def other(tmp_path: Path) -> "subprocess.Popen[str]":
    (tmp_path / "lab-other").mkdir()
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "runs"), str(tmp_path / "lab-other")],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_living_run_is_left_alone_and_a_killed_one_cleaned_once(
    tmp_path: Path, other: "subprocess.Popen[str]"
) -> None:
    assert other.stdout is not None
    dead = name = other.stdout.readline().strip()
    (tmp_path / "lab-foreign").mkdir()  # without the mark: nobody knows whose it is
    cleaned: list[str] = []

    def clean(name: str, places: Sequence[Path]) -> None:
        assert places == [Path("/there") if name == dead else Path("/here")]
        cleaned.append(name)

    with registered(tmp_path / "runs", [Path("/here")], clean) as own:
        assert own != name
        assert cleaned == []
        assert remove_dead(tmp_path, "lab-") == []
    assert cleaned == [own]
    other.kill()
    other.wait()
    other.stdout.close()
    with registered(tmp_path / "runs", [Path("/here")], clean) as again:
        assert cleaned == [own, name]
    assert cleaned == [own, name, again]
    assert remove_dead(tmp_path, "lab-") == [tmp_path / "lab-other"]
    assert (tmp_path / "lab-foreign").exists()
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_mark_is_never_seen_without_its_lock(tmp_path: Path) -> None:
    with held(tmp_path / MARK):
        assert [path.name for path in tmp_path.iterdir()] == [MARK]
        (tmp_path / "lab-x").mkdir()
        assert remove_dead(tmp_path, "lab-") == []


def test_a_link_in_place_of_a_folder_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.mkdir()
    (target / MARK).touch()
    (tmp_path / "lab-link").symlink_to(target)
    assert remove_dead(tmp_path, "lab-") == []
    assert target.exists()


def test_says_what_is_missing_and_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "loop-control").touch()

    def look(name: str) -> str | None:
        return f"/bin/{name}"

    assert find_missing(look, 0, "linux", tmp_path) is None
    text = find_missing(
        lambda name: None if name in {"systemd-nspawn", "debootstrap"} else name, 1000, "linux", tmp_path
    )
    assert text is not None
    assert "Not root" in text
    assert "apt-get install --no-install-recommends debootstrap systemd-container" in text
    assert "Linux" in str(find_missing(look, 0, "darwin", tmp_path))
    assert "loop" in str(find_missing(look, 0, "linux", tmp_path / "nothing"))
    assert "LAB=cluster" in str(find_missing(look, 1000, "linux", tmp_path, tmp_path, cluster=True))
    assert "modprobe br_netfilter" in str(find_missing(look, 0, "linux", tmp_path, tmp_path, cluster=True))
    (tmp_path / "net" / "bridge").mkdir(parents=True)
    assert find_missing(look, 0, "linux", tmp_path, tmp_path, cluster=True) is None
    assert set(PROGRAMS) >= {"systemd-nspawn", "debootstrap", "ip", "nsenter"}


def test_packages_are_named_once() -> None:
    packages = list_packages()
    assert len(packages) == len(set(packages))
    assert {"openssh-server", "python3", "sudo", "containerd", "keepalived"} <= set(packages)


def test_tells_an_attached_disk(tmp_path: Path) -> None:
    loop = tmp_path / "loop0" / "loop"
    loop.mkdir(parents=True)
    (loop / "backing_file").write_text(f"{tmp_path}/disk.img\n")
    assert is_attached(tmp_path / "disk.img", tmp_path)
    assert not is_attached(tmp_path / "other.img", tmp_path)
