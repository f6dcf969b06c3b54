"""Real machines behind the lab's Proxmox API: through its calls, over SSH, and what is left of them afterwards."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.lab.bundle.images import Image, write_image
from tests.hosts_house import CACHE, KEY_FILE, PROXMOXER, HostsLab, hosts_lab, real_machines, refused, said, until

pytestmark = real_machines
MACHINES = {101: ("cp1", "192.168.178.21"), 102: ("cp2", "192.168.178.22"), 103: ("cp3", "192.168.178.23")}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostsLab]:
    """Three machines, created at once as Terraform would."""
    with hosts_lab(tmp_path_factory.mktemp("hosts")) as lab:
        creators = [threading.Thread(target=lab.create, args=(vmid, *facts)) for vmid, facts in MACHINES.items()]
        for creator in creators:
            creator.start()
        for creator in creators:
            creator.join()
        yield lab


@pytest.fixture
def lab(shared: HostsLab) -> HostsLab:
    """Nothing of an earlier test's misfortune, and all three machines on."""
    shared.fault("clear")
    for vmid in MACHINES:
        if shared.status(vmid) == "stopped":
            shared.power(vmid, "start")
    return shared


def test_three_machines_are_what_their_configuration_says(lab: HostsLab) -> None:
    keys = {vmid: lab.host_key(vmid) for vmid in MACHINES}
    assert len(set(keys.values())) == 3
    for vmid, (name, address) in MACHINES.items():
        with lab.ssh(vmid, address) as client:
            assert said(client, "hostname") == name
            assert address in said(client, "ip -brief -4 address show eth0")
            assert said(client, "sudo cat " + KEY_FILE) == keys[vmid].strip()
            assert said(client, "id -un; sudo id -un") == "ops\nroot"
            assert said(client, "systemctl is-system-running --wait") == "running"
            assert (
                9.5 < int(said(client, "df --output=size --block-size=1M / | tail -1")) / 1024 <= 12
            )  # another test grows one
    ids: list[str] = []
    for vmid, (_, address) in MACHINES.items():
        with lab.ssh(vmid, address) as client:
            ids.append(said(client, "cat /etc/machine-id"))
    assert len(set(ids)) == 3


def test_machines_reach_each_other_and_nothing_else(lab: HostsLab) -> None:
    with lab.ssh(101, "192.168.178.21") as client:
        said(client, "ping -c 1 -W 2 192.168.178.22")
        said(client, "ping -c 1 -W 2 192.168.178.1")
        refused(client, "ping -c 1 -W 1 1.1.1.1")
        assert "22" in said(client, "sudo ss -Hltn sport = :22")


def test_password_login_is_off_and_the_key_alone_lets_in(lab: HostsLab) -> None:
    with lab.ssh(101, "192.168.178.21") as client:
        assert said(client, "sudo sshd -T | grep '^passwordauthentication'") == "passwordauthentication no"
        assert said(client, "sudo passwd --status ops | cut -d' ' -f2") == "L"


def test_agent_answers_from_the_machine(lab: HostsLab) -> None:
    machine = lab.machine(101)
    lab.host_key(101)
    assert machine.agent("ping").post() == {"result": {}}
    assert machine.agent("get-host-name").get()["result"] == {"host-name": "cp1"}
    assert machine.agent("get-osinfo").get()["result"]["version-id"] == "12"
    with lab.ssh(101, "192.168.178.21") as client:
        said(client, "sudo ip address add 192.168.178.99/24 dev eth0")
        said(
            client, "sudo hostnamectl set-hostname changed; sudo ln -sfn /etc/passwd /root/link; echo here > /tmp/note"
        )
    shown = {link["name"]: link for link in machine.agent("network-get-interfaces").get()["result"]}
    assert {"192.168.178.21", "192.168.178.99"} <= {a["ip-address"] for a in shown["eth0"]["ip-addresses"]}
    assert shown["eth0"]["hardware-address"].startswith("bc:24:11:")
    assert shown["eth0"]["statistics"]["rx-bytes"] > 1000
    assert machine.agent("get-host-name").get()["result"] == {"host-name": "changed"}
    with lab.ssh(101, "192.168.178.21") as client:
        said(client, "sudo hostnamectl set-hostname cp1")
    note = machine.agent("file-read").get(file="/tmp/note")
    assert (note["content"], note["bytes-read"]) == ("here\n", 5)
    assert "ops:x:1000" in machine.agent("file-read").get(file="/root/link")["content"]  # the machine's, not ours
    assert "ops:x:1000" in machine.agent("file-read").get(file="/../../../../etc/passwd")["content"]
    assert "model name" in machine.agent("file-read").get(file="/proc/cpuinfo")["content"]
    with pytest.raises(PROXMOXER.ResourceException, match="No such file or directory"):
        machine.agent("file-read").get(file="/nowhere")
    with pytest.raises(PROXMOXER.ResourceException, match="not a regular file"):
        machine.agent("file-read").get(file="/etc")


def test_stopped_agent_is_not_answered_for(lab: HostsLab) -> None:
    lab.host_key(102)
    with lab.ssh(102, "192.168.178.22") as client:
        said(client, "sudo systemctl stop lab-guest-agent")
        with pytest.raises(PROXMOXER.ResourceException, match="agent is not running"):
            lab.machine(102).agent("ping").post()
        said(client, "sudo systemctl start lab-guest-agent")
    assert lab.machine(102).agent("ping").post() == {"result": {}}


def test_power_keeps_disk_and_identity(lab: HostsLab) -> None:
    before = lab.host_key(101)
    with lab.ssh(101, "192.168.178.21") as client:
        said(client, "echo kept > kept && sync && sudo ip address add 192.168.178.98/24 dev eth0")
        boot = said(client, "cat /proc/sys/kernel/random/boot_id; systemctl show --property=UserspaceTimestamp")
    for action in ("stop", "shutdown"):
        lab.power(101, action)
        assert lab.status(101) == "stopped"
        with pytest.raises(PROXMOXER.ResourceException, match="not running"):
            lab.machine(101).agent("ping").post()
        lab.power(101, "start")
        assert lab.host_key(101) == before
    for action in ("reset", "reboot"):
        lab.power(101, action)
        with lab.ssh(101, "192.168.178.21") as client:
            assert said(client, "cat kept") == "kept"
            assert "192.168.178.98" not in said(client, "ip -4 address")  # what was not written down is gone
            assert boot != said(
                client, "cat /proc/sys/kernel/random/boot_id; systemctl show --property=UserspaceTimestamp"
            )


def test_reboot_and_power_off_from_inside(lab: HostsLab) -> None:
    lab.host_key(103)
    with lab.ssh(103, "192.168.178.23") as client:
        started = said(client, "systemctl show --value --property=UserspaceTimestampMonotonic")
        client.exec_command("sudo systemctl reboot")
        until(lambda: _gone(lab), "the reboot", 20)
    with lab.ssh(103, "192.168.178.23") as client:
        assert said(client, "systemctl show --value --property=UserspaceTimestampMonotonic") != started
        assert lab.status(103) == "running"
        client.exec_command("sudo systemctl poweroff")
        until(lambda: lab.status(103) == "stopped", "Proxmox to show that the machine is off", 20)
    lab.power(103, "start")
    lab.host_key(103)


def _gone(lab: HostsLab) -> bool:
    try:
        lab.machine(103).agent("ping").post()
    except PROXMOXER.ResourceException:
        return True
    return False


def test_limits_hold_where_cgroups_allow(lab: HostsLab) -> None:
    lab.host_key(101)
    if "memory is not limited" in lab.control("logs?vmid=101")["console"]:
        pytest.skip("the memory controller cannot be used here")
    with lab.ssh(101, "192.168.178.21") as client:
        eater = "python3 -c 'held = [bytearray(1 << 20) for _ in range(700)]'"  # of 512 MiB
        assert said(client, f"{eater}; echo ended with $?").endswith("ended with 137")
    assert lab.machine(101).agent("ping").post() == {"result": {}}


def test_grown_disk_is_there_after_the_next_start(lab: HostsLab) -> None:
    lab.host_key(102)
    lab.power(102, "shutdown")
    assert lab.finish(lab.machine(102).resize.put(disk="scsi0", size="12G")) == "OK"
    lab.power(102, "start")
    with lab.ssh(102, "192.168.178.22") as client:
        assert 11.5 < int(said(client, "df --output=size --block-size=1M / | tail -1")) / 1024 <= 12


def test_clone_has_the_disk_but_keys_of_its_own(lab: HostsLab) -> None:
    source_key = lab.host_key(101)
    with lab.ssh(101, "192.168.178.21") as client:
        said(client, "echo data > data && sync")
    lab.power(101, "shutdown")
    nodes = lab.api.nodes("pve1")
    assert lab.finish(nodes.qemu(101).clone.post(newid=110, name="copy", full=1)) == "OK"
    lab.machine(110).config.put(ipconfig0="ip=192.168.178.30/24,gw=192.168.178.1")
    lab.power(110, "start")
    assert lab.host_key(110) != source_key
    with lab.ssh(110, "192.168.178.30") as client:
        assert said(client, "cat data; hostname") == "data\ncopy"
    lab.power(110, "stop")
    assert lab.finish(nodes.qemu(110).delete()) == "OK"


def test_destroy_takes_the_disk_away(lab: HostsLab, shared: HostsLab) -> None:
    lab.create(120, "short-lived", "192.168.178.40")
    lab.host_key(120)
    folder = Path(str(shared.ready["ca"])).parent / "machines" / "120"
    assert (folder / "disk.img").exists()
    lab.power(120, "stop")
    assert lab.finish(lab.machine(120).delete()) == "OK"
    assert not folder.exists()


def test_machine_that_cannot_start_says_why_and_leaves_nothing(lab: HostsLab, shared: HostsLab) -> None:
    lab.create(130, "broken", "192.168.178.50")
    lab.host_key(130)
    lab.power(130, "stop")
    folder = Path(str(shared.ready["ca"])).parent / "machines" / "130"
    (folder / "disk.img").write_bytes(b"no file system" * 1000)
    with pytest.raises(AssertionError, match="start failed: the disk could not be made"):
        lab.power(130, "start")
    assert lab.status(130) == "stopped"
    assert str(folder) not in Path(f"/proc/{lab.keeper}/mountinfo").read_text()
    assert lab.finish(lab.machine(130).delete()) == "OK"


def test_containers_run_in_a_machine(lab: HostsLab, tmp_path: Path) -> None:
    """containerd, runc and overlayfs with the rights that a machine has: what a cluster will stand on."""
    root = next(path for path in (CACHE / "hosts").glob("base-*") if path.suffix != ".partial")
    write_image(Image("lab.local/proof:1", {}, tools=("/usr/bin/cat",)), tmp_path / "proof.tar", root)
    lab.host_key(101)
    with lab.ssh(101, "192.168.178.21") as client:
        with client.open_sftp() as files:
            files.put(str(tmp_path / "proof.tar"), "proof.tar")
        said(client, "sudo systemctl start containerd && sudo ctr images import proof.tar")
        assert "0::/" in said(client, "sudo ctr run --rm lab.local/proof:1 c1 cat /proc/self/cgroup")
        said(client, "sudo ctr run --rm --privileged lab.local/proof:1 c2 cat /proc/self/status")
        assert (
            said(client, "cat /proc/sys/vm/overcommit_memory /proc/sys/kernel/panic") == "1\n10"
        )  # for a kubelet's eyes
        assert "Read-only" in refused(client, "echo 1 | sudo tee /proc/sys/kernel/threads-max")  # this computer's own
        refused(client, "sudo date --set=2000-01-01")
    assert Path("/proc/sys/kernel/panic").read_text() != "10\n"


def test_node_without_power_takes_its_machines_along(lab: HostsLab) -> None:
    for vmid in MACHINES:
        lab.host_key(vmid)
    assert lab.finish(lab.api.nodes("pve1").qemu(102).migrate.post(target="pve2", online=1)) == "OK"
    assert lab.machine(102).agent("ping").post() == {"result": {}}  # it ran on, over there
    lab.fault("node", node="pve1", online=False)
    states = lab.control("state")["machines"]
    assert {vmid: states[str(vmid)]["status"] for vmid in MACHINES} == {101: "stopped", 102: "running", 103: "stopped"}
    lab.fault("node", node="pve1", online=True)
    assert lab.finish(lab.api.nodes("pve2").qemu(102).migrate.post(target="pve1", online=1)) == "OK"
