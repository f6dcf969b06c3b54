"""Kubeconfigs are taken over SSH from the first control plane that has them, with its pinned key, and taken anew when stale."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import tools.kubeconfig
from tests.kubernetes_house import Authority, kubeconfig
from tests.ssh_house import SSHD, Sshd, running_sshd
from tools.estate import Estates
from tools.hosts import Host, Roster
from tools.kubeconfig import KubeconfigError, Kubeconfigs
from tools.ssh_connection import Connections

pytestmark = pytest.mark.skipif(not shutil.which("sshd") and not Path(SSHD).exists(), reason="needs OpenSSH's sshd")
SERVER = "https://192.168.178.20:6443"


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    folder = tmp_path / "sshd"
    folder.mkdir()
    with running_sshd(folder) as one:
        yield one


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the control plane keeps it, for this test."""
    path = tmp_path / "watchbill-view.conf"
    monkeypatch.setitem(tools.kubeconfig.PLACES, "view", str(path))
    return path


def configs(tmp_path: Path, sshd: Sshd, *hosts: Host) -> Kubeconfigs:
    listed = tmp_path / "hosts.yaml"
    lines = ["hosts:"]
    for host in hosts:
        lines += [
            f"  {host.name}: {{address: {host.address}, user: {host.user}, port: {host.port}, groups: [{', '.join(host.groups)}], keys: ['{host.keys[0]}']}}"
        ]
    listed.write_text("\n".join(lines) + "\n")
    estates = Estates(tmp_path / "data", tmp_path)
    return Kubeconfigs(
        estates, lambda name: Roster(estates.named(name).root / "hosts", listed), Connections(sshd.key), lambda *_: None
    )


def test_taken_kept_and_taken_anew(tmp_path: Path, sshd: Sshd, place: Path) -> None:
    worker = replace(sshd.host, name="a-worker", groups=("workers",))
    held = configs(tmp_path, sshd, worker, sshd.host)
    place.write_text(kubeconfig(SERVER, Authority().pem, {"token": "a" * 40}))
    access = held.held("home", "view")
    assert (access.server, access.token, access.source) == (SERVER, "a" * 40, "cp1")
    kept = held.folder("home") / "view.conf"
    assert kept.stat().st_mode & 0o777 == 0o600 and held.folder("home").stat().st_mode & 0o777 == 0o700
    place.write_text(kubeconfig(SERVER, Authority().pem, {"token": "b" * 40}))
    assert held.held("home", "view").token == "a" * 40
    renewed = held.renewed("home", "view", access)
    assert renewed is not None and renewed.token == "b" * 40
    assert held.renewed("home", "view", renewed) is None
    kept.write_text(kubeconfig(SERVER, Authority().pem, {"token": "c" * 40}))  # the operator's own, from now on
    place.write_text(kubeconfig(SERVER, Authority().pem, {"token": "d" * 40}))
    mine = held.held("home", "view")
    assert (mine.token, mine.source) == ("c" * 40, "operator")
    assert held.renewed("home", "view", mine) is None


def test_a_control_plane_without_it_is_passed_over_and_a_wrong_key_is_said(
    tmp_path: Path, sshd: Sshd, place: Path
) -> None:
    held = configs(tmp_path, sshd, sshd.host)
    with pytest.raises(KubeconfigError, match=r"could not be taken: cp1: .*No such file"):
        held.held("home", "view")
    place.write_text(kubeconfig(SERVER, Authority().pem, {"token": "a" * 40}))
    sshd.stop()
    sshd.make_host_key()
    other = sshd.host_key
    sshd.make_host_key()
    sshd.start()
    held = configs(tmp_path, sshd, replace(sshd.host, keys=(other,)))
    with pytest.raises(KubeconfigError, match="HOST KEY CHANGED on cp1"):
        held.held("home", "view")
