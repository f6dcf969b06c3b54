"""The vetted roles: understood by the scan without a question, their defaults as they declare them."""

from pathlib import Path

import pytest
import yaml

from bot.domain.calls import CallClass
from tests.ansible_house import POLICY, ROLES, classify
from tools.ansible_policy import load_playbook_policy
from tools.ansible_scan import Code, scan
from tools.ansible_vars import check

NAMES = sorted(path.name for path in ROLES.iterdir() if path.is_dir())


def contents(role: str) -> dict[str, bytes]:
    folder = ROLES / role
    return {
        f"blueprints/roles/{role}/{p.relative_to(folder).as_posix()}": p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file()
    }


@pytest.mark.parametrize("role", NAMES)
def test_a_role_is_understood_whole_and_may_run_dry(role: str) -> None:
    site = f"- hosts: all\n  become: true\n  roles: [{role}]\n".encode()
    code = Code(
        {"site.yml": site, **contents(role)}, frozenset(), load_playbook_policy(POLICY), classify, frozenset({"cp1"})
    )
    scanned = scan(code, "site.yml")
    assert scanned.found == []
    assert scanned.no_dry_run == ""
    assert scanned.cls is CallClass.CHANGE, [(s.name, s.why) for s in scanned.steps if s.cls is not CallClass.CHANGE]
    assert check({}, scanned.roles, scanned.declared) == []


@pytest.mark.parametrize("role", NAMES)
def test_every_variable_is_declared_with_its_role_in_its_name_and_has_a_default(role: str) -> None:
    spec = yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())
    assert set(spec) == set(defaults)
    assert all(name.startswith(f"{role}_") for name in spec)
    assert all(option.get("description") for option in spec.values())


def test_there_is_a_role() -> None:
    assert "base" in NAMES
    assert Path(ROLES / "base/README.md").exists()
