"""The vetted roles and playbooks before ansible-lint's strictest profile."""

import subprocess
from pathlib import Path

import pytest

from tests.ansible_house import KIT, ROLES, needs_ansible

pytestmark = [pytest.mark.slow, needs_ansible]


def test_roles_and_playbooks_are_fit_for_production(tmp_path: Path) -> None:
    environment = {
        "PATH": f"{KIT / 'bin'}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
    }
    command = [str(KIT / "bin/ansible-lint"), "--offline", "--nocolor", "--profile", "production", "--strict"]
    done = subprocess.run(
        [*command, "cluster.yml", "reset.yml"], cwd=ROLES.parent, env=environment, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
