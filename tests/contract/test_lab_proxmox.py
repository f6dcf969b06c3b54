"""The lab's Proxmox API against real clients: proxmoxer and requests over TLS 1.3."""

import contextlib
import importlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

PROXMOXER: Any = importlib.import_module("proxmoxer")  # no type information
TEMPLATE = 9000


@dataclass(frozen=True)
class Lab:
    """A running server as its ready file describes it."""

    ready: dict[str, Any]
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    def connect(self, who: str = "write_token", secret: str | None = None) -> Any:
        identity, _, value = str(self.ready[who]).partition("=")
        user, _, name = identity.partition("!")
        host, _, port = self.url.removeprefix("https://").partition(":")
        return PROXMOXER.ProxmoxAPI(
            host, port=int(port), user=user, token_name=name, token_value=secret or value, verify_ssl=self.ready["ca"]
        )

    def lab(self, path: str, body: dict[str, Any] | None = None) -> Any:
        if body is None:
            return requests.get(f"{self.url}/lab/{path}", verify=self.ready["ca"], timeout=5).json()
        answer = requests.post(f"{self.url}/lab/{path}", json=body, verify=self.ready["ca"], timeout=5)
        assert answer.ok, answer.text
        return answer.json()

    def call(self, method: str, path: str, who: str = "write_token", **data: str) -> requests.Response:
        headers = {"Authorization": f"PVEAPIToken={self.ready[who]}"}
        return requests.request(
            method, f"{self.url}/api2/json{path}", headers=headers, data=data, verify=self.ready["ca"], timeout=5
        )


@contextlib.contextmanager
def run_lab(folder: Path, *extra: str) -> Generator[Lab]:
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "deploy.lab.proxmox", "--data", str(folder / "data"), "--ready-file", str(ready)]
    process = subprocess.Popen([*command, "--pace", "0.05", *extra], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not ready.exists():
            assert process.poll() is None, "the server ended before it listened"
            assert time.monotonic() < deadline, "the server did not listen within 20 s"
            time.sleep(0.02)
        yield Lab(json.loads(ready.read_text()), process)
    finally:
        if process.poll() is None:  # a test may have killed it
            process.terminate()
            assert process.wait(timeout=10) == 0


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with run_lab(tmp_path_factory.mktemp("proxmox")) as lab:
        yield lab


@pytest.fixture
def lab(shared: Lab) -> Lab:
    """The shared server without any misfortune left over; each test takes machine ids of its own."""
    shared.lab("fault", {"kind": "clear"})
    return shared


def wait_for(api: Any, upid: str) -> str:
    node = upid.split(":")[1]
    for _ in range(200):
        status = api.nodes(node).tasks(upid).status.get()
        if status["status"] == "stopped":
            return str(status["exitstatus"])
        time.sleep(0.02)
    raise AssertionError(f"{upid} did not end")


def clone(api: Any, vmid: int, **options: Any) -> str:
    wanted = {"newid": vmid, "name": f"vm{vmid}", "full": 1} | options
    return wait_for(api, api.nodes("pve1").qemu(TEMPLATE).clone.post(**wanted))


def refusal(call: Any, *args: Any, **given: Any) -> tuple[int, str, Any]:
    with pytest.raises(PROXMOXER.ResourceException) as caught:
        call(*args, **given)
    refused: Any = caught.value
    return refused.status_code, refused.content, refused.errors


def test_serves_tls13_with_its_own_authority(lab: Lab) -> None:
    host, _, port = lab.url.removeprefix("https://").partition(":")
    context = ssl.create_default_context(cafile=lab.ready["ca"])
    with socket.create_connection((host, int(port))) as raw, context.wrap_socket(raw, server_hostname=host) as wrapped:
        assert wrapped.version() == "TLSv1.3"
    old = ssl.create_default_context(cafile=lab.ready["ca"])
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection((host, int(port))) as raw, pytest.raises(ssl.SSLError):
        old.wrap_socket(raw, server_hostname=host)
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{lab.url}/api2/json/version", timeout=5)


def test_shows_a_quorate_cluster_of_two_nodes(lab: Lab) -> None:
    api = lab.connect("audit_token")
    assert api.version.get()["version"].startswith("9.")
    cluster, *nodes = api.cluster.status.get()
    assert (cluster["name"], cluster["quorate"], cluster["nodes"]) == ("lab", 1, 2)
    assert {node["name"]: node["ip"] for node in nodes} == {"pve1": "192.168.178.11", "pve2": "192.168.178.12"}
    assert api.cluster.ha.status.current.get()[0]["quorate"] == 1
    assert {node["node"] for node in api.nodes.get() if node["status"] == "online"} == {"pve1", "pve2"}
    assert api.nodes("pve2").status.get()["memory"]["total"] > 0
    bridges = [row for row in api.nodes("pve1").network.get() if row["type"] == "bridge"]
    assert bridges[0]["gateway"] == "192.168.178.1"
    storages = {row["storage"]: row["shared"] for row in api.nodes("pve1").storage.get()}
    assert storages == {"local": 0, "local-lvm": 0, "ceph": 1}


def test_a_clone_becomes_a_machine_that_answers_with_its_address(lab: Lab) -> None:
    api = lab.connect()
    assert clone(api, 101, target="pve2", storage="ceph") == "OK"
    machine = api.nodes("pve2").qemu(101)
    machine.config.put(agent="enabled=1", cores=4, memory=8192, ipconfig0="ip=192.168.178.31/24,gw=192.168.178.1")
    assert wait_for(api, machine.resize.put(disk="scsi0", size="40G")) == "OK"
    assert wait_for(api, machine.status.start.post()) == "OK"
    assert machine.status.current.get()["status"] == "running"
    config = machine.config.get()
    assert (config["cores"], config["memory"], "template" in config) == (4, "8192", False)
    assert "size=40G" in config["scsi0"]
    time.sleep(0.1)
    interfaces = lab.connect("audit_token").nodes("pve2").qemu(101).agent("network-get-interfaces").get()["result"]
    found = {row["name"]: [entry["ip-address"] for entry in row["ip-addresses"]] for row in interfaces}
    assert "192.168.178.31" in found["eth0"]
    assert interfaces[1]["hardware-address"].upper() in config["net0"]
    assert (
        api.nodes("pve2")
        .qemu(101)
        .agent("file-read")
        .get(file="/etc/ssh/ssh_host_ed25519_key.pub")["content"]
        .startswith("ssh-ed25519 AAAA")
    )
    listed = {row["vmid"]: row["node"] for row in api.cluster.resources.get(type="vm")}
    assert listed[101] == "pve2"


def test_clones_differ_in_what_must_differ(lab: Lab) -> None:
    api = lab.connect()
    clone(api, 111)
    clone(api, 112)
    first, second = (api.nodes("pve1").qemu(vmid).config.get() for vmid in (111, 112))
    for key in ("net0", "vmgenid", "smbios1", "scsi0", "digest", "name"):
        assert first[key] != second[key], key


def test_a_linked_clone_hangs_on_its_template(lab: Lab) -> None:
    api = lab.connect()
    assert clone(api, 115, full=0) == "OK"
    assert "base-9000-disk-0/vm-115-disk-0" in api.nodes("pve1").qemu(115).config.get()["scsi0"]
    status, reason, _ = refusal(api.nodes("pve1").qemu(TEMPLATE).delete)
    assert (status, reason) == (500, "base volume 'ceph:base-9000-disk-0' is still in use by linked cloned")


def test_delete_purges_disks_and_the_id_is_free_again(lab: Lab) -> None:
    api = lab.connect()
    clone(api, 120)
    wait_for(api, api.nodes("pve1").qemu(120).status.start.post())
    status, reason, _ = refusal(api.nodes("pve1").qemu(120).delete)
    assert (status, reason) == (500, "VM 120 is running - destroy failed")
    assert wait_for(api, api.nodes("pve1").qemu(120).status.stop.post()) == "OK"
    assert wait_for(api, api.nodes("pve1").qemu(120).delete(purge=1)) == "OK"
    assert all(row["vmid"] != 120 for row in api.nodes("pve1").storage("ceph").content.get())
    assert api.cluster.nextid.get(vmid=120) == "120"
    status, reason, _ = refusal(api.nodes("pve1").qemu(120).status.current.get)
    assert (status, reason) == (500, "Configuration file 'nodes/pve1/qemu-server/120.conf' does not exist")


def test_an_id_in_use_is_refused_in_proxmoxs_words(lab: Lab) -> None:
    api = lab.connect()
    clone(api, 125)
    before = lab.lab("report")
    assert refusal(clone, api, 125)[:2] == (500, "VM 125 already exists on node 'pve1'")
    status, _, errors = refusal(api.cluster.nextid.get, vmid=125)
    assert (status, errors) == (400, {"vmid": "VM 125 already exists"})
    assert clone(api, 126, name="vm125") == "OK"
    after = lab.lab("report")
    assert after["refused_creates"] - before["refused_creates"] == 1
    assert after["double_creates"] - before["double_creates"] == 1


def test_the_audit_token_reads_and_nothing_else(lab: Lab) -> None:
    api, before = lab.connect("audit_token"), lab.lab("report")["writes_by_audit_token"]
    assert refusal(clone, api, 130)[:2] == (403, "Permission check failed (/vms/9000, VM.Clone)")
    refused = refusal(api.nodes("pve1").qemu(TEMPLATE).config.put, cores=1)
    assert refused[:2] == (403, "Permission check failed (/vms/9000, VM.Config.CPU)")
    refused = refusal(api.nodes("pve1").qemu(TEMPLATE).status.start.post)
    assert refused[:2] == (403, "Permission check failed (/vms/9000, VM.PowerMgmt)")
    refused = refusal(api.nodes("pve1").qemu(TEMPLATE).agent("file-read").get, file="/etc/hostname")
    assert refused[0] == 403
    assert set(api.access.permissions.get()["/vms"]) >= {"VM.Audit", "VM.GuestAgent.Audit"}
    assert "VM.Clone" not in api.access.permissions.get()["/vms"]
    assert lab.lab("report")["writes_by_audit_token"] - before == 3


def test_bad_credentials_are_401(lab: Lab) -> None:
    wrong = lab.connect("audit_token", secret="00000000-0000-0000-0000-000000000000")
    assert refusal(wrong.version.get)[:2] == (401, "invalid token value!")
    nobody = requests.get(f"{lab.url}/api2/json/version", verify=lab.ready["ca"], timeout=5)
    assert (nobody.status_code, nobody.reason) == (401, "No ticket")
    data = {"username": "root@pam", "password": "guess"}
    login = requests.post(f"{lab.url}/api2/json/access/ticket", data=data, verify=lab.ready["ca"], timeout=5)
    assert (login.status_code, login.reason) == (401, "authentication failure")


def test_a_new_token_has_no_rights_until_it_is_given_some(lab: Lab) -> None:
    made = lab.call("POST", "/access/users/builder@pve/token/fresh").json()["data"]
    assert made["full-tokenid"] == "builder@pve!fresh"
    headers = {"Authorization": f"PVEAPIToken=builder@pve!fresh={made['value']}"}
    answer = requests.get(
        f"{lab.url}/api2/json/cluster/resources?type=vm", headers=headers, verify=lab.ready["ca"], timeout=5
    )
    assert answer.json()["data"] == []
    assert lab.call("DELETE", "/access/users/builder@pve/token/fresh").status_code == 200


@pytest.mark.parametrize(
    ("given", "key", "says"),
    [
        ({"cores": "0"}, "cores", "value must have a minimum value of 1"),
        ({"cores": "many"}, "cores", "type check ('integer') failed - got 'many'"),
        ({"colour": "red"}, "colour", "property is not defined in schema"),
        ({"memory": "8"}, "memory", "minimum value of 16"),
        ({"name": "not_a_name"}, "name", "does not look like a valid DNS name"),
        ({"ipconfig0": "ip=192.168.178.21"}, "ipconfig0", "valid ipv4 network"),
        ({"net0": "bridge=vmbr0"}, "net0", "model: property is missing"),
        ({"tags": "a!b"}, "tags", "invalid characters in tag"),
    ],
)
def test_wrong_parameters_are_400_with_the_parameter_named(
    lab: Lab, given: dict[str, str], key: str, says: str
) -> None:
    answer = lab.call("PUT", f"/nodes/pve1/qemu/{TEMPLATE}/config", **given)
    assert (answer.status_code, answer.reason) == (400, "Parameter verification failed.")
    assert says in answer.json()["errors"][key]


def test_a_stale_digest_changes_nothing(lab: Lab) -> None:
    api = lab.connect()
    clone(api, 135)
    machine = api.nodes("pve1").qemu(135)
    digest = machine.config.get()["digest"]
    machine.config.put(cores=3, digest=digest)
    status, reason, _ = refusal(machine.config.put, cores=5, digest=digest)
    assert (status, reason.split(" - ")[0]) == (500, "detected modified configuration")
    assert machine.config.get()["cores"] == 3


def test_power_and_disks_fail_inside_their_task(lab: Lab) -> None:
    api = lab.connect()
    clone(api, 140)
    machine = api.nodes("pve1").qemu(140)
    machine.config.put(net0="virtio,bridge=vmbr7")
    upid = machine.status.start.post()
    assert wait_for(api, upid) == "bridge 'vmbr7' does not exist"
    assert api.nodes("pve1").tasks(upid).log.get()[-1]["t"] == "TASK ERROR: bridge 'vmbr7' does not exist"
    assert wait_for(api, machine.resize.put(disk="scsi0", size="1G")) == "shrinking disks is not supported"
    assert refusal(machine.agent("network-get-interfaces").get)[:2] == (500, "VM 140 is not running")


def test_a_local_disk_goes_to_the_other_node_by_migration_only(lab: Lab) -> None:
    api = lab.connect()
    refused = refusal(clone, api, 145, target="pve2", storage="local-lvm")
    assert refused[:2] == (500, "can't clone to non-shared storage 'local-lvm'")
    assert clone(api, 145, storage="local-lvm") == "OK"
    migrate = api.nodes("pve1").qemu(145).migrate.post(**{"target": "pve2", "with-local-disks": 1})
    assert wait_for(api, migrate) == "OK"
    assert api.nodes("pve2").qemu(145).config.get()["scsi0"].startswith("local-lvm:vm-145-disk-0")


def test_fault_the_second_clone_of_three_fails_and_leaves_nothing(lab: Lab) -> None:
    lab.lab("fault", {"kind": "task_fails", "type": "qmclone", "message": "no luck", "skip": 1, "count": 1})
    api = lab.connect()
    assert [clone(api, vmid) for vmid in (150, 151, 152)] == ["OK", "clone failed: no luck", "OK"]
    existing = {row["vmid"] for row in api.cluster.resources.get(type="vm")}
    assert {150, 152} <= existing
    assert 151 not in existing
    assert lab.lab("report")["creates"]["151"] == 0


def test_fault_by_machine_hits_that_machine_only(lab: Lab) -> None:
    lab.lab("fault", {"kind": "task_fails", "type": "qmclone", "vmid": 156, "message": "unlucky"})
    api = lab.connect()
    assert [clone(api, vmid) for vmid in (155, 156, 157)] == ["OK", "clone failed: unlucky", "OK"]


def test_fault_http_answers_instead_of_the_cluster(lab: Lab) -> None:
    fault = {"kind": "http", "method": "GET", "path_regex": "^/version$", "status": 596, "reason": "Broken pipe"}
    lab.lab("fault", fault | {"count": 2})
    api = lab.connect()
    assert [refusal(api.version.get)[:2] for _ in range(2)] == [(596, "Broken pipe")] * 2
    assert api.version.get()["release"]
    lab.lab("fault", {"kind": "http", "path_regex": "^/version$", "delay_ms": 300})
    started = time.monotonic()
    assert api.version.get()["release"]
    assert time.monotonic() - started >= 0.3


def test_fault_an_answer_is_lost_though_the_call_was_carried_out(lab: Lab) -> None:
    fault = {"kind": "http", "method": "POST", "path_regex": "/clone$", "drop": True}
    api = lab.connect()
    lab.lab("fault", fault)
    with pytest.raises(requests.exceptions.ConnectionError):
        clone(api, 195)
    lab.lab("fault", fault | {"when": "after"})
    with pytest.raises(requests.exceptions.ConnectionError):
        clone(api, 196)
    existing = {row["vmid"] for row in api.cluster.resources.get(type="vm")}
    assert existing & {195, 196} == {196}
    assert lab.lab("report")["creates"]["196"] == 1


def test_fault_slow_tasks_keep_the_machine_locked_meanwhile(lab: Lab) -> None:
    api = lab.connect()
    lab.lab("fault", {"kind": "slow_tasks", "type": "qmclone", "seconds": 0.6})
    upid = api.nodes("pve1").qemu(TEMPLATE).clone.post(newid=160, name="vm160", full=1)
    assert api.nodes("pve1").tasks(upid).status.get()["status"] == "running"
    assert api.nodes("pve1").qemu(160).status.current.get()["lock"] == "clone"
    assert refusal(api.nodes("pve1").qemu(160).config.put, cores=1)[:2] == (500, "VM is locked (clone)")
    assert wait_for(api, upid) == "OK"
    assert "lock" not in api.nodes("pve1").qemu(160).status.current.get()


def test_fault_quorum_lost_refuses_writes_and_still_reads(lab: Lab) -> None:
    lab.lab("fault", {"kind": "quorum", "lost": True})
    api = lab.connect()
    assert refusal(clone, api, 165)[:2] == (500, "cluster not ready - no quorum?")
    assert api.cluster.status.get()[0]["quorate"] == 0
    assert api.nodes("pve1").qemu(TEMPLATE).config.get()["name"] == "debian-12-cloud"
    lab.lab("fault", {"kind": "quorum", "lost": False})
    assert clone(api, 165) == "OK"


def test_fault_lock_node_and_full_storage(lab: Lab) -> None:
    api = lab.connect()
    clone(api, 170)
    lab.lab("fault", {"kind": "lock", "vmid": 170})
    assert refusal(api.nodes("pve1").qemu(170).config.put, cores=1)[:2] == (500, "VM is locked (backup)")
    assert wait_for(api, api.nodes("pve1").qemu(170).status.start.post()) == "VM is locked (backup)"
    lab.lab("fault", {"kind": "lock", "vmid": 170, "lock": None})
    api.nodes("pve1").qemu(170).config.put(cores=1)
    lab.lab("fault", {"kind": "node", "node": "pve2"})
    assert refusal(api.nodes("pve2").qemu.get)[:2] == (595, "No route to host")
    lab.lab("fault", {"kind": "storage_full", "storage": "ceph"})
    assert "No space left on device" in clone(api, 171)


def test_an_unknown_fault_says_which_there_are(lab: Lab) -> None:
    answer = requests.post(f"{lab.url}/lab/fault", json={"kind": "flood"}, verify=lab.ready["ca"], timeout=5)
    assert answer.status_code == 400
    assert "task_fails" in answer.json()["error"]


def test_out_of_band_changes_are_seen_by_everyone(lab: Lab) -> None:
    api = lab.connect()
    clone(api, 175)
    lab.lab("out_of_band", {"action": "config", "vmid": 175, "set": {"cores": 7}, "delete": ["boot"]})
    config = api.nodes("pve1").qemu(175).config.get()
    assert (config["cores"], "boot" in config) == (7, False)
    lab.lab("out_of_band", {"action": "delete", "vmid": 175})
    assert all(row["vmid"] != 175 for row in api.cluster.resources.get(type="vm"))
    lab.lab("out_of_band", {"action": "create", "vmid": 176, "name": "stranger", "node": "pve2"})
    assert api.nodes("pve2").qemu(176).config.get()["name"] == "stranger"


def test_the_record_knows_who_did_what(lab: Lab) -> None:
    clone(lab.connect(), 180)
    lab.connect("audit_token").nodes("pve1").qemu(180).config.get()
    calls = lab.lab("record")["calls"]
    made = [call for call in calls if call["path"].endswith("/clone") and call["given"].get("newid") == "180"]
    assert [(call["method"], call["token"], call["status"]) for call in made] == [
        ("POST", "builder@pve!watchbill", 200)
    ]
    assert any(call["token"] == "audit@pve!watchbill" and call["path"].endswith("/180/config") for call in calls)
    assert str(lab.ready["write_token"]).partition("=")[2] not in json.dumps(calls)


def test_planted_secrets_are_counted_when_they_arrive(lab: Lab) -> None:
    api = lab.connect()
    clone(api, 185)
    lab.lab("canaries", {"secrets": ["s3cret/c&nary"]})
    before = lab.lab("report")["secrets_seen"]
    api.nodes("pve1").qemu(185).config.put(description="harmless")
    assert lab.lab("report")["secrets_seen"] == before
    api.nodes("pve1").qemu(185).config.put(description="look: s3cret/c&nary")
    assert lab.lab("report")["secrets_seen"] == before + 1
    assert "cipassword" not in lab.connect().nodes("pve1").qemu(185).config.get()


def test_pools_hold_machines(lab: Lab) -> None:
    api = lab.connect()
    assert clone(api, 190, pool="lab") == "OK"
    assert 190 in {row["vmid"] for row in api.pools("lab").get()["members"]}
    assert lab.call("GET", "/pools?poolid=lab").json()["data"][0]["poolid"] == "lab"


def test_what_the_lab_does_not_have_is_501(lab: Lab) -> None:
    status, reason, _ = refusal(lab.connect().nodes("pve1").scan.usb.get)
    assert (status, reason) == (501, "Method 'GET /nodes/pve1/scan/usb' not implemented")


def test_a_restart_keeps_machines_tokens_and_the_record(tmp_path: Path) -> None:
    with run_lab(tmp_path) as first:
        clone(first.connect(), 101)
        tokens = first.ready["write_token"]
    with run_lab(tmp_path) as second:
        assert second.ready["write_token"] == tokens
        assert second.connect().nodes("pve1").qemu(101).config.get()["name"] == "vm101"
        assert any(call["path"].endswith("/clone") for call in second.lab("record")["calls"])
        assert second.lab("report")["creates"] == {"101": 1}


def test_a_task_cut_short_by_a_kill_leaves_a_locked_machine(tmp_path: Path) -> None:
    with run_lab(tmp_path, "--pace", "30") as first:
        upid = first.connect().nodes("pve1").qemu(TEMPLATE).clone.post(newid=101, name="vm101", full=1)
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait(timeout=5)
    with run_lab(tmp_path) as second:
        api = second.connect()
        assert wait_for(api, upid) == "unexpected status"
        assert api.nodes("pve1").qemu(101).status.current.get()["lock"] == "clone"
