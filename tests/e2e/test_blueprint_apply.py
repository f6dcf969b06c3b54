"""The blueprint proxmox-vms with real Terraform and the real provider against the lab's Proxmox API."""

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.lab.bundle.items import Bundle
from tests.blueprint_house import Workspace, obtain_bundle, open_workspace

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

THREE = {
    "cp1": {"node": "pve1", "ipv4": "192.168.178.21", "vm_id": 121},
    "cp2": {"node": "pve2", "ipv4": "192.168.178.22", "vm_id": 122},
    "cp3": {"node": "pve1", "ipv4": "192.168.178.23", "cores": 4, "memory_mb": 8192, "disk_gb": 40, "tags": ["etcd"]},
}


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return obtain_bundle()


@pytest.fixture
def workspace(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    base = tmp_path_factory.mktemp("tf")
    with open_workspace(base, bundle, "proxmox-vms", {"vms": THREE}, ("vm_ids", "nodes")) as made:
        yield made


def test_three_machines_on_two_nodes_from_plan_to_destroy(workspace: Workspace) -> None:
    lab = workspace.lab
    assert json.loads(workspace.run("validate", "-json"))["valid"]
    assert workspace.plan() == {"create": 3, "update": 0, "delete": 0}
    lines = workspace.apply()
    assert [line["changes"] for line in lines if line["type"] == "change_summary"][-1]["add"] == 3
    assert lab.names() == {"cp1": "pve1", "cp2": "pve2", "cp3": "pve1"}
    outputs = workspace.read_outputs()
    ids = outputs["vm_ids"]
    assert (ids["cp1"], ids["cp2"]) == (121, 122)
    assert outputs["nodes"] == lab.names()
    for name, wanted in THREE.items():
        machine = f"/nodes/{wanted['node']}/qemu/{ids[name]}"
        assert lab.api(f"{machine}/status/current")["status"] == "running"
        reported = lab.api(f"{machine}/agent/network-get-interfaces")["result"][1]["ip-addresses"]
        assert wanted["ipv4"] in {entry["ip-address"] for entry in reported}
    config = lab.api(f"/nodes/pve1/qemu/{ids['cp3']}/config")
    assert (config["cores"], config["memory"], config["tags"]) == (4, "8192", "etcd;watchbill")
    assert "size=40G" in config["scsi0"]
    assert workspace.plan() == {"create": 0, "update": 0, "delete": 0}
    assert "No changes." in workspace.run("plan", "-input=false", "-no-color", "-detailed-exitcode")
    workspace.run("destroy", "-auto-approve", "-input=false", token=lab.write_token)
    assert lab.names() == {}
    report = lab.lab("report")
    assert (report["vms_created"], report["vms_destroyed"], report["double_creates"]) == (3, 3, 0)
    assert report["writes_by_audit_token"] == 0


def test_an_apply_that_fails_half_way_is_finished_by_the_next(workspace: Workspace) -> None:
    lab = workspace.lab
    lab.lab("fault", {"kind": "task_fails", "type": "qmclone", "vmid": 122, "message": "storage is full"})
    workspace.plan()
    lines = workspace.apply(expect=1)
    errors = [line["diagnostic"] for line in lines if line["type"] == "diagnostic"]
    assert "clone failed: storage is full" in errors[0]["detail"]
    assert [line["hook"]["resource"]["resource_key"] for line in lines if line["type"] == "apply_errored"] == ["cp2"]
    assert set(lab.names()) == workspace.managed() == {"cp1", "cp3"}
    assert workspace.plan() == {"create": 1, "update": 0, "delete": 0}
    workspace.apply()
    assert set(lab.names()) == workspace.managed() == {"cp1", "cp2", "cp3"}
    assert lab.lab("report")["double_creates"] == 0


def test_a_killed_apply_leaves_orphans_and_is_not_repeated_into_doubles(workspace: Workspace) -> None:
    lab = workspace.lab
    lab.lab("fault", {"kind": "slow_tasks", "type": "qmclone", "seconds": 3})
    workspace.plan()
    process = workspace.start("apply", "-input=false", "-json", "saved.plan", token=lab.write_token)
    deadline = time.monotonic() + 30
    while len(lab.names()) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(3.5)  # the cluster goes on without its client
    assert set(lab.names()) == {"cp1", "cp2", "cp3"}
    assert (workspace.folder / "terraform.tfstate").read_bytes() == b""  # opened for its lock, never written
    lab.lab("fault", {"kind": "slow_tasks", "type": "qmclone", "seconds": 0})
    workspace.write(vms={name: THREE[name] for name in ("cp1", "cp2")})
    workspace.plan()
    lines = workspace.apply(expect=1)
    details = " ".join(line["diagnostic"]["detail"] for line in lines if line["type"] == "diagnostic")
    assert "VM 121 already exists on node 'pve1'" in details
    report = lab.lab("report")
    assert (report["vms_created"], report["refused_creates"], report["double_creates"]) == (3, 2, 0)


def test_drift_is_seen_by_the_next_plan(workspace: Workspace) -> None:
    workspace.plan()
    workspace.apply()
    workspace.lab.lab("out_of_band", {"action": "delete", "vmid": 121})
    workspace.lab.lab("out_of_band", {"action": "config", "vmid": 122, "set": {"cores": 8}})
    assert workspace.plan() == {"create": 1, "update": 1, "delete": 0}
    workspace.apply()
    assert workspace.lab.api("/nodes/pve2/qemu/122/config")["cores"] == 2
    assert workspace.plan() == {"create": 0, "update": 0, "delete": 0}


def test_the_audit_token_cannot_apply(workspace: Workspace) -> None:
    workspace.plan()
    text = workspace.run("apply", "-input=false", "-no-color", "saved.plan", token=workspace.lab.audit_token, expect=1)
    assert "403" in text
    assert "VM.Clone" in text
    assert workspace.lab.names() == {}
    assert workspace.lab.lab("report")["writes_by_audit_token"] == 3


def test_the_provider_refuses_a_server_that_the_lab_ca_did_not_sign(workspace: Workspace) -> None:
    workspace.plan()
    workspace.apply()
    text = workspace.run("plan", "-input=false", "-no-color", trust=False, expect=1)
    assert "certificate signed by unknown authority" in text.replace("\n", " ")


def test_init_finds_nothing_outside_the_mirror(workspace: Workspace) -> None:
    (workspace.folder / "phantom.tf").write_text(
        'terraform {\n  required_providers {\n    phantom = {\n      source = "hashicorp/proxmox"\n    }\n  }\n}\n'
    )
    text = workspace.run("init", "-input=false", "-no-color", expect=1)
    assert "hashicorp/proxmox" in text


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"vms": {}}, "name at least one machine"),
    ({"vms": {"CP_1": THREE["cp1"]}}, "Names of vms are host names"),
    ({"vms": {"cp1": THREE["cp1"] | {"node": ""}}}, "needs the name of its node"),
    ({"vms": {"cp1": THREE["cp1"] | {"ipv4": "192.168.178.21/24"}}}, "without a prefix length"),
    ({"vms": {"cp1": THREE["cp1"] | {"ipv4": "10.0.0.1"}}}, "must lie in the same network"),
    ({"vms": {"cp1": THREE["cp1"] | {"ipv4": "192.168.178.1"}}}, "has the gateway's address"),
    ({"vms": {"a": THREE["cp1"], "b": THREE["cp1"] | {"vm_id": 130}}}, "have the same ipv4 address"),
    ({"vms": {"a": THREE["cp1"], "b": THREE["cp2"] | {"vm_id": 121}}}, "have the same vm_id"),
    ({"vms": {"cp1": THREE["cp1"] | {"vm_id": 7}}}, "number from 100"),
    ({"vms": {"cp1": THREE["cp1"] | {"cores": 0}}}, "whole number from 1 to 128"),
    ({"vms": {"cp1": THREE["cp1"] | {"memory_mb": 4}}}, "4 GiB is 4096"),
    ({"vms": {"cp1": THREE["cp1"] | {"disk_gb": 2.5}}}, "disk_gb is a whole number of GiB"),
    ({"vms": {"cp1": THREE["cp1"] | {"tags": ["Has Space"]}}}, "Tags are lower-case letters"),
    ({"template_id": 3}, "template_id is the VM id of a template"),
    ({"datastore": "ceph:images"}, "datastore is the name of a storage"),
    ({"gateway": "router"}, "gateway is an IPv4 address"),
    ({"ipv4_prefix": 31}, "ipv4_prefix is a whole number from 8 to 30"),
    ({"dns_servers": ["one.one.one.one"]}, "dns_servers are IPv4 addresses"),
    ({"bridge": "-"}, "bridge is the name of a bridge"),
    ({"ssh_public_keys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]}, "never private ones"),
    ({"username": "root"}, "user name other than root"),
    ({"tags": ["!"]}, "Tags are lower-case letters"),
]


def test_wrong_variables_are_explained(workspace: Workspace) -> None:
    for settings, says in WRONG:
        details = workspace.complaints(**settings)
        assert any(says in detail for detail in details), f"{settings}: {details}"
