"""What a VM's configuration asks of a real machine, and the cloud-init script that it becomes."""

import subprocess
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from deploy.lab.hosts.cloudinit import render_script
from deploy.lab.hosts.plan import read_plan

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGg ana@example"
CONFIG: dict[str, Any] = {
    "name": "cp1.lab.example",
    "memory": "4096",
    "cores": 2,
    "sockets": 2,
    "boot": "order=scsi1;scsi0",
    "scsi0": "ceph:vm-101-disk-0,size=30G",
    "scsi1": "ceph:vm-101-disk-1,size=2G",
    "ide2": "ceph:vm-101-cloudinit,media=cdrom,size=4M",
    "net0": "virtio=BC:24:11:AA:BB:0A,bridge=vmbr0",
    "net1": "virtio=BC:24:11:AA:BB:0B,bridge=vmbr0,link_down=1",
    "ipconfig0": "ip=192.168.178.21/24,gw=192.168.178.1",
    "ipconfig1": "ip=dhcp",
    "smbios1": "uuid=8c2f",
    "ciuser": "ops",
    "sshkeys": urllib.parse.quote(f"{KEY}\n\n{KEY}2\n", safe=""),
}


def test_reads_size_cards_and_people() -> None:
    plan = read_plan(101, CONFIG)
    assert (plan.memory, plan.cpus, plan.disk) == (4096 * 1024**2, 4, 2 * 1024**3)
    first, second = plan.cards
    assert (first.name, first.tap, first.mac, first.plugged) == ("eth0", "tap101i0", "bc:24:11:aa:bb:0a", True)
    assert (str(first.address), first.gateway) == ("192.168.178.21/24", "192.168.178.1")
    assert (str(second.address), second.gateway, second.plugged) == ("192.168.178.139/24", None, False)
    assert plan.keys == (KEY, f"{KEY}2")
    assert (plan.user, plan.password, plan.identity) == ("ops", "", "8c2f")
    assert plan.nameservers == ("192.168.178.1",)


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ({"cpulimit": "0.5"}, "cpus", 0.5),
        ({"cpulimit": "9"}, "cpus", 4),
        ({"memory": "current=2048"}, "memory", 2048 * 1024**2),
        ({"boot": "order=net0"}, "disk", 30 * 1024**3),
        ({"nameserver": "9.9.9.9 1.1.1.1"}, "nameservers", ("9.9.9.9", "1.1.1.1")),
        ({"smbios1": ""}, "identity", "101"),
    ],
)
def test_reads_what_is_said_differently(change: dict[str, Any], name: str, value: object) -> None:
    assert getattr(read_plan(101, CONFIG | change), name) == value


def test_a_bare_configuration_has_sensible_values() -> None:
    plan = read_plan(101, {})
    assert (plan.name, plan.user, plan.cards, plan.keys) == ("VM101", "debian", (), ())
    assert (plan.memory, plan.cpus, plan.disk) == (512 * 1024**2, 1, 8 * 1024**3)


def test_script_is_good_shell_and_quotes_what_people_chose() -> None:
    evil = {
        "cipassword": "it's $(touch /tmp/no) `x`",
        "sshkeys": urllib.parse.quote("ssh-ed25519 A 'x'; touch /tmp/no"),
    }
    for config in (CONFIG, CONFIG | evil, CONFIG | {"ciuser": "root"}, {}):
        script = render_script(read_plan(101, config))
        assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0
    script = render_script(read_plan(101, CONFIG | evil))
    before_keys = script.partition(' > "$home/.ssh/authorized_keys"')[0]
    writes_keys = before_keys[before_keys.rindex("printf") :]
    writes_password = next(line for line in script.splitlines() if "chpasswd" in line).partition(" | ")[0]
    shown = subprocess.run(
        ["sh", "-c", f"{writes_keys}\n{writes_password}"], capture_output=True, text=True, check=True
    ).stdout
    assert "ops:it's $(touch /tmp/no) `x`" in shown
    assert "ssh-ed25519 A 'x'; touch /tmp/no" in shown
    assert not Path("/tmp/no").exists()


def test_encrypted_password_is_taken_as_it_is() -> None:
    assert "chpasswd --encrypted" in render_script(read_plan(101, CONFIG | {"cipassword": "$6$salt$hash"}))
    assert "chpasswd" not in render_script(read_plan(101, CONFIG))


def test_network_is_named_by_mac_and_has_no_way_out_of_its_own() -> None:
    script = render_script(read_plan(101, CONFIG))
    assert "MACAddress=bc:24:11:aa:bb:0a" in script
    assert "Address=192.168.178.21/24\nGateway=192.168.178.1" in script
    assert "127.0.1.1 cp1.lab.example cp1" in script
    assert "printf '%s' 'cp1\n' > /etc/hostname" in script
