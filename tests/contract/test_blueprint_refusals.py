"""What the cluster's roles refuse before anything is touched, with real ansible-core on this machine as three hosts."""

import subprocess
import textwrap
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

from tests.ansible_house import KIT, ROLES, needs_ansible

pytestmark = [pytest.mark.slow, needs_ansible]
NAMES = ("cp1", "cp2", "cp3")


def play(tmp_path: Path, plays: str, *options: str, **facts: str) -> subprocess.CompletedProcess[str]:
    """Run `plays` on three names of this machine. A program that would do something leaves `touched` instead."""
    programs = tmp_path / "programs"
    programs.mkdir(exist_ok=True)
    for name in ("kubeadm", "kubectl"):
        (programs / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/touched\n")
        (programs / name).chmod(0o755)
    hosts = "\n".join(f"{name} ansible_host=127.0.0.1 was={facts.get(name, '')}" for name in NAMES)
    (tmp_path / "hosts").write_text(f"[control_plane]\n{hosts}\n[all:vars]\nansible_connection=local\n")
    (tmp_path / "site.yml").write_text(textwrap.dedent(plays))
    environment = {
        "PATH": f"{programs}:{KIT / 'bin'}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_ROLES_PATH": str(ROLES),
        "ANSIBLE_LOCALHOST_WARNING": "false",
    }
    command = [str(KIT / "bin/ansible-playbook"), "--inventory", "hosts", "site.yml", *options]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)


INIT = """
    - hosts: control_plane
      gather_facts: false
      tasks:
        - set_fact: {kubeadm_control_plane_state: "{{ was }}"}
          when: was | length > 0
    - hosts: control_plane[0]
      gather_facts: false
      vars: {kubeadm_control_plane_endpoint: 127.0.0.1}
      tasks:
        - set_fact: {kubeadm_control_plane_state: bare}
        - include_role: {name: kubeadm_control_plane, tasks_from: init}
"""


@pytest.mark.parametrize(
    ("cp2", "cp3", "why"),
    [
        ("joined", "bare", "are part of a cluster: cp2, cp3"),
        ("bare", "half", "are part of a cluster: cp2, cp3"),
        ("bare", "", "were not asked whether they are part of one (run it without --limit)"),
    ],
)
def test_no_second_cluster_is_begun_while_the_first_does_not_answer(
    tmp_path: Path, cp2: str, cp3: str, why: str
) -> None:
    done = play(tmp_path, INIT, cp1="bare", cp2=cp2, cp3=cp3)
    said = " ".join(done.stdout.split())
    assert done.returncode == 2, done.stdout + done.stderr
    assert "The API does not answer at 127.0.0.1" in said and why in said
    assert "Nothing was begun on cp1. Bring that cluster's API back first." in said
    assert not (tmp_path / "touched").exists()


def test_the_first_of_bare_machines_begins_one(tmp_path: Path) -> None:
    """Up to kubeadm, which here only says that it was called; the note of the end goes where no cluster is."""
    done = play(tmp_path, INIT, "--check", cp1="bare", cp2="bare", cp3="bare")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing was begun" not in done.stdout


RESET = """
    - hosts: control_plane
      gather_facts: false
      roles: [kubeadm_reset]
"""


def test_no_machine_is_reset_while_nobody_could_forget_it(tmp_path: Path) -> None:
    named = ("--extra-vars", '{"kubeadm_reset_hosts": ["cp2"]}')
    done = play(tmp_path, RESET, *named, "--limit", "cp2")
    said = " ".join(done.stdout.split())
    assert done.returncode == 2, done.stdout + done.stderr
    assert "cp1, cp3 would stay in the cluster and did not take part, so nobody could make it forget cp2" in said
    assert not (tmp_path / "touched").exists()
    assert "did not take part" not in play(tmp_path, RESET, *named, "--check").stdout


def forgetting() -> Any:
    loader = SourceFileLoader("forget_member", str(ROLES / "kubeadm_reset/files/forget-member"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("member", "meant"),
    [
        ({"name": "cp2", "peerURLs": ["https://192.168.178.22:2380"]}, True),
        ({"name": "cp3", "peerURLs": ["https://192.168.178.22:2380"]}, False),
        ({"peerURLs": ["https://192.168.178.22:2380"]}, True),
        ({"name": "", "peerURLs": ["https://192.168.178.23:2380"]}, False),
        ({}, False),
    ],
)
def test_a_member_that_never_started_is_known_by_its_address(member: dict[str, Any], *, meant: bool) -> None:
    assert forgetting().is_meant(member, "cp2", "192.168.178.22") is meant
    assert not forgetting().is_meant({"peerURLs": ["https://192.168.178.22:2380"]}, "cp2", "")
