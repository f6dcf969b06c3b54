"""The blueprint proxmox-cluster with real Terraform and the real provider against the lab's Proxmox API."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.lab.bundle.items import Bundle
from tests.blueprint_house import Workspace, obtain_bundle, open_workspace

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

PLANES = {
    "cp1": {"node": "pve1", "ipv4": "192.168.178.21", "vm_id": 121},
    "cp2": {"node": "pve2", "ipv4": "192.168.178.22", "vm_id": 122},
    "cp3": {"node": "pve1", "ipv4": "192.168.178.23", "vm_id": 123},
}
WORKER = {"node": "pve2", "ipv4": "192.168.178.24", "vm_id": 124, "memory_mb": 8192}
SETTINGS: dict[str, Any] = {
    "nodes": ["pve1", "pve2"],
    "control_planes": PLANES,
    "workers": {"w1": WORKER},
    "cluster_endpoint": "192.168.178.30",
    "ingress_address": "192.168.178.31",
}


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return obtain_bundle()


@pytest.fixture
def workspace(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    outputs = ("inventory", "vm_ids", "nodes", "survives_loss_of")
    with open_workspace(tmp_path_factory.mktemp("tf"), bundle, "proxmox-cluster", SETTINGS, outputs) as made:
        yield made


def test_machines_of_a_cluster_from_plan_over_protection_to_destroy(workspace: Workspace) -> None:
    lab = workspace.lab
    assert json.loads(workspace.run("validate", "-json"))["valid"]
    assert workspace.plan() == {"create": 4, "update": 0, "delete": 0}
    workspace.apply()
    assert lab.names() == {"cp1": "pve1", "cp2": "pve2", "cp3": "pve1", "w1": "pve2"}
    config = lab.api("/nodes/pve1/qemu/123/config")
    assert (config["tags"], config["protection"], config["onboot"]) == ("control_plane;k8s;watchbill", 1, 1)
    worker = lab.api("/nodes/pve2/qemu/124/config")
    assert (worker["tags"], worker["memory"]) == ("k8s;watchbill;workers", "8192")
    assert workspace.plan() == {"create": 0, "update": 0, "delete": 0}
    refused = workspace.run("destroy", "-auto-approve", "-input=false", "-no-color", token=lab.write_token, expect=1)
    assert "protection" in refused
    assert len(lab.names()) == 4
    workspace.write(protection=False)
    assert workspace.plan() == {"create": 0, "update": 4, "delete": 0}
    workspace.apply()
    workspace.run("destroy", "-auto-approve", "-input=false", token=lab.write_token)
    assert lab.names() == {}
    assert lab.lab("report")["writes_by_audit_token"] == 0


def test_outputs_are_an_inventory_and_an_honest_word_on_two_nodes(workspace: Workspace) -> None:
    workspace.plan()
    workspace.apply()
    found = workspace.read_outputs()
    assert found["inventory"] == {"all": {
        "vars": {"ansible_user": "debian", "cluster_endpoint": "192.168.178.30", "ingress_address": "192.168.178.31"},
        "children": {
            "control_plane": {"hosts": {name: {"ansible_host": vm["ipv4"]} for name, vm in PLANES.items()}},
            "workers": {"hosts": {"w1": {"ansible_host": "192.168.178.24"}}},
        },
    }}  # fmt: skip
    assert found["survives_loss_of"] == ["pve2"]  # pve1 has two votes of three
    assert found["nodes"] == workspace.lab.names()


def test_worker_that_joins_moves_and_changes_nobody(workspace: Workspace) -> None:
    workspace.plan()
    workspace.apply()
    workspace.write(workers={"w1": WORKER, "w2": {"node": "pve1", "ipv4": "192.168.178.25", "vm_id": 125}})
    assert workspace.plan() == {"create": 1, "update": 0, "delete": 0}


def plane(name: str, **changes: Any) -> dict[str, Any]:
    return {"control_planes": PLANES | {name: PLANES[name] | changes}}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"nodes": []}, "nodes names at least one Proxmox node"),
    ({"nodes": ["pve1", "pve1"]}, "One of nodes is named twice"),
    ({"control_planes": {name: PLANES[name] for name in ("cp1", "cp2")}}, "control_planes are 1, 3, 5 or 7"),
    (plane("cp2", node="pve1"), "control_planes are spread over nodes"),
    (plane("cp2", node="pve9"), "Each of control_planes lives on one of nodes"),
    (plane("cp2", memory_mb=1024), "2048 MiB at least"),
    (plane("cp2", ipv4="192.168.178.21"), "have the same ipv4 address"),  # proxmox-vms says it
    ({"workers": {"w1": WORKER, "w2": WORKER | {"ipv4": "192.168.178.25"}, "w3": WORKER | {"ipv4": "192.168.178.26"}}},
     "workers are spread over nodes"),
    ({"workers": {"cp1": WORKER}}, "a name stands in both"),
    ({"cluster_endpoint": "192.168.178.21"}, "cluster_endpoint is the gateway's or a machine's own"),
    ({"cluster_endpoint": "10.0.0.1"}, "cluster_endpoint must lie in the machines' network"),
    ({"cluster_endpoint": "api.lan"}, "cluster_endpoint is an IPv4 address"),
    ({"ingress_address": "192.168.178.30"}, "ingress_address is the gateway's, the API's"),
    ({"ingress_address": "192.168.179.31"}, "ingress_address must lie in the machines' network"),
    ({"ssh_public_keys": []}, "nobody could log in"),
    ({"name": "K8s"}, "name is lower-case letters"),
    ({"template_id": 3}, "template_id is the VM id of a template"),
]  # fmt: skip


def test_wrong_variables_are_explained(workspace: Workspace) -> None:
    for settings, says in WRONG:
        details = workspace.complaints(**settings)
        assert any(says in detail for detail in details), f"{settings}: {details}"
