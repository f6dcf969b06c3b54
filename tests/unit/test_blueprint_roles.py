"""The vetted roles: understood by the scan without a question, their defaults as they declare them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.domain.calls import CallClass
from tests.ansible_house import POLICY, ROLES
from tests.commands_house import shipped
from tools.ansible_policy import load_playbook_policy
from tools.ansible_scan import Code, Scan, scan
from tools.ansible_vars import check

NAMES = sorted(path.name for path in ROLES.iterdir() if path.is_dir())
ANSIBLE = ROLES.parent
# What sets up or takes away a part of a cluster, or decides who gets in, is not less because the role is ours.
HARMS = {"kubeadm_control_plane", "kubeadm_node", "kubeadm_worker", "kubeadm_reset", "hardening"}
# What a site or a person sets once for all roles of a cluster; declared by the role that looks at it first.
SHARED = {
    *("cluster_endpoint", "ingress_address", "pod_network", "service_network"),
    *(
        "kubernetes_version",
        "kubernetes_download_url",
        "kubernetes_images",
        "cni_image",
        "ingress_image",
        "hello_image",
    ),
}
HOSTS = frozenset({"cp1", "cp2", "cp3"})
NEEDED = {"cluster_endpoint": "192.168.178.30", "ingress_address": "192.168.178.31"}


def contents(*roles: str) -> dict[str, bytes]:
    return {
        f"blueprints/roles/{path.relative_to(ROLES).as_posix()}": path.read_bytes()
        for role in roles
        for path in (ROLES / role).rglob("*")
        if path.is_file()
    }


def look(playbook: str, text: bytes, *roles: str) -> Scan:
    """As in a mission: the roles are there as they were copied in."""
    code = contents(*roles)
    everything = {playbook: text, **code}
    return scan(Code(everything, frozenset(code), load_playbook_policy(POLICY), shipped().classify, HOSTS), playbook)


def spec_of(role: str) -> dict[str, Any]:
    return yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]


@pytest.mark.parametrize("role", NAMES)
def test_a_role_is_understood_whole_and_may_run_dry(role: str) -> None:
    needs = [role, *(["kubeadm_node"] if role.startswith("kubeadm") else [])]
    scanned = look("site.yml", f"- hosts: all\n  become: true\n  roles: [{role}]\n".encode(), *needs)
    assert scanned.found == []
    assert scanned.no_dry_run == ""
    expected = CallClass.DESTROY if role in HARMS else CallClass.CHANGE
    assert scanned.cls in {expected, CallClass.SENSITIVE_READ}, [(s.name, s.why) for s in scanned.steps]
    assert check(NEEDED if role == "preflight" else {}, scanned.roles, scanned.declared) == []


@pytest.mark.parametrize("role", NAMES)
def test_every_variable_is_declared_with_its_role_in_its_name_and_has_a_default(role: str) -> None:
    spec = spec_of(role)
    defaults = yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())
    shared = SHARED if role == "preflight" else set[str]()
    assert set(spec) - shared == set(defaults)
    assert all(name.startswith(f"{role}_") for name in defaults)
    assert all(option.get("description") for option in spec.values())


@pytest.mark.parametrize("role", NAMES)
def test_a_role_says_how_it_is_used(role: str) -> None:
    assert (ROLES / role / "README.md").read_text().startswith(f"# {role}\n")
    assert yaml.safe_load((ROLES / role / "meta/main.yml").read_text())["galaxy_info"]["role_name"] == role


def test_what_the_roles_of_a_cluster_share_is_declared_once() -> None:
    assert set(spec_of("preflight")) >= SHARED
    used = {name for role in NAMES for name in SHARED if name in (ROLES / role / "defaults/main.yml").read_text()}
    assert used >= SHARED - {"cni_image", "ingress_image"}  # these are roles' own names


@pytest.mark.parametrize("playbook", ["cluster.yml", "reset.yml"])
def test_the_playbooks_are_understood_whole(playbook: str) -> None:
    scanned = look(playbook, (ANSIBLE / playbook).read_bytes(), *NAMES)
    assert scanned.found == []
    assert scanned.no_dry_run == ""
    assert scanned.cls is CallClass.DESTROY
    assert set(scanned.roles) == ({"kubeadm_reset"} if playbook == "reset.yml" else {*NAMES} - {"kubeadm_reset"})


def test_the_cluster_needs_two_addresses_and_takes_them_with_their_types() -> None:
    scanned = look("cluster.yml", (ANSIBLE / "cluster.yml").read_bytes(), *NAMES)
    assert check(NEEDED, scanned.roles, scanned.declared) == []
    missing = check({}, scanned.roles, scanned.declared)
    assert [text.partition(":")[0] for text in missing] == ["cluster_endpoint", "ingress_address"]
    typo = check({**NEEDED, "kubernetes_verison": "1.33.13"}, scanned.roles, scanned.declared)
    assert "did you mean kubernetes_version" in typo[0]
    letters = check({**NEEDED, "containerd_packages": "containerd,runc"}, scanned.roles, scanned.declared)
    assert "containerd_packages: takes a list" in letters[0]


def test_tokens_and_keys_are_never_shown() -> None:
    """Every task that makes, reads or hands on what lets a machine or a person in."""
    for path in sorted(Path(ROLES).glob("kubeadm_*/tasks/*.yml")):
        for task in yaml.safe_load(path.read_text()):
            for inner in task.get("block", [task]):
                words = str(inner.get("ansible.builtin.command") or inner.get("ansible.builtin.shell") or "")
                makes = any(
                    word in words for word in ("'token'", "upload-certs", "'join'", "'init'", "kubeconfig user")
                )
                keeps = "kubeadm_node_invitation" in str(inner.get("ansible.builtin.set_fact"))
                assert inner.get("no_log") is True or not (makes or keeps), f"{path}: {inner['name']}"
