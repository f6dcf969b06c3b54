"""The inventory and its pins: two sources, nothing learned from anywhere else, nothing overwritten by the way."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from tools.hosts import (
    Guest,
    Host,
    HostsFileError,
    Roster,
    check_key,
    fingerprint,
    inventory,
    known_hosts,
    read_hosts_file,
)
from tools.proxmox_api import Cluster, ProxmoxError
from tools.proxmox_guest import Guests

PLAN = "9c1d22aa00bb11cc"


def new_key() -> str:
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    return public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


KEY, OTHER = new_key(), new_key()


def guest(address: str, key: str = KEY) -> Guest:
    return Guest(address, "debian", (key,), ("k8s-node",))


def looking(found: dict[int, Guest | str]) -> Callable[[str, int], Guest | str]:
    return lambda _node, vmid: found[vmid]


def test_rule_25_a_pin_is_written_once_and_stays(tmp_path: Path) -> None:
    found: dict[int, Guest | str] = {121: guest("192.0.2.21")}
    roster = Roster(tmp_path, None, looking(found))
    roster.note_apply(".", PLAN, [("cp1", 121, "pve1")], {121})
    assert [one.name for one in roster.awaited()] == ["cp1"]
    assert "pinned" in roster.fill()[0]
    assert roster.hosts()["cp1"].groups == ("k8s_node",)
    found[121] = guest("192.0.2.99", OTHER)
    roster.note_apply(".", PLAN, [("cp1", 121, "pve1")], set())
    assert roster.fill() == ()
    assert roster.hosts()["cp1"].keys == (KEY,)


def test_rule_25_only_an_approved_plan_that_makes_the_machine_anew_replaces_its_pin(tmp_path: Path) -> None:
    found: dict[int, Guest | str] = {121: guest("192.0.2.21")}
    roster = Roster(tmp_path, None, looking(found))
    roster.note_apply(".", PLAN, [("cp1", 121, "pve1")], {121})
    roster.fill()
    found[121] = guest("192.0.2.21", OTHER)
    roster.note_apply("other", PLAN, [], {121})
    assert roster.hosts()["cp1"].keys == (KEY,)
    roster.note_apply(".", PLAN, [("cp1", 121, "pve1")], {121})
    assert roster.hosts() == {}
    roster.fill()
    assert roster.hosts()["cp1"].keys == (OTHER,)


def test_a_machine_whose_agent_does_not_answer_waits_with_the_reason(tmp_path: Path) -> None:
    found: dict[int, Guest | str] = {121: "QEMU guest agent is not running"}
    roster = Roster(tmp_path, None, looking(found))
    roster.note_apply(".", PLAN, [("cp1", 121, "pve1")], {121})
    assert roster.fill() == ()
    assert roster.awaited()[0].problem == "QEMU guest agent is not running"


def test_rule_25_a_machine_cannot_take_another_hosts_name_or_address(tmp_path: Path) -> None:
    file = tmp_path / "hosts.yaml"
    file.write_text(f"hosts:\n  nas: {{address: 192.0.2.5, user: debian, keys: ['{KEY}']}}\n")
    found: dict[int, Guest | str] = {1: guest("192.0.2.5", OTHER), 2: guest("192.0.2.6", OTHER)}
    roster = Roster(tmp_path / "estate", file, looking(found))
    roster.note_apply(".", PLAN, [("cp1", 1, "pve1"), ("nas", 2, "pve1")], {1, 2})
    assert roster.fill() == ()
    problems = {one.name: one.problem for one in roster.awaited()}
    assert problems["cp1"] == "it says its address is 192.0.2.5, which is nas's"
    assert problems["nas"] == "another host of the inventory is named nas"
    assert roster.hosts()["nas"].keys == (KEY,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hosts: {cp1: {address: cp1.lan, user: x, keys: [k]}}", "hosts.cp1.address"),
        ("hosts: {cp1: {address: 192.0.2.1, user: Root!, keys: [k]}}", "hosts.cp1.user"),
        ("hosts: {cp1: {address: 192.0.2.1, user: x, keys: []}}", "hosts.cp1.keys"),
        ("hosts: {cp1: {address: 192.0.2.1, user: x, keys: [ssh-dss AAAA]}}", "begins with one of"),
        ("hosts: {cp1: {address: 192.0.2.1, user: x, keys: [ssh-ed25519 AAAA]}}", "not of the kind"),
        pytest.param(
            f"hosts: {{localhost: {{address: 192.0.2.1, user: x, keys: ['{KEY}']}}}}", "no host's name", id="localhost"
        ),
        ("hosts: {cp1: {address: 192.0.2.1, user: x, keys: [k], proxy: y}}", "proxy"),
        ("hosts: [", "hosts.yaml"),
    ],
)
def test_a_wrong_file_names_the_place(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "hosts.yaml"
    file.write_text(text)
    with pytest.raises(HostsFileError) as caught:
        read_hosts_file(file)
    assert words in str(caught.value)


def test_a_damaged_list_reaches_nothing(tmp_path: Path) -> None:
    (tmp_path / "hosts.json").write_text("{")
    with pytest.raises(HostsFileError, match="damaged"):
        Roster(tmp_path).hosts()


def test_files_for_openssh_and_ansible() -> None:
    hosts = [
        Host("cp1", "192.0.2.21", "debian", (KEY,), groups=("etcd",)),
        Host("cp2", "2001:db8::2", "ops", (OTHER,), 2222),
    ]
    assert known_hosts(hosts) == f"192.0.2.21 {KEY}\n[2001:db8::2]:2222 {OTHER}\n"
    assert json.loads(json.dumps(inventory(hosts))) == {
        "all": {
            "hosts": {
                "cp1": {"ansible_host": "192.0.2.21", "ansible_port": 22, "ansible_user": "debian"},
                "cp2": {"ansible_host": "2001:db8::2", "ansible_port": 2222, "ansible_user": "ops"},
            },
            "children": {"etcd": {"hosts": {"cp1": {}}}},
            "vars": {"ansible_interpreter_python_fallback": ["/usr/bin/python3", "/usr/local/bin/python3"]},
        }
    }


@given(st.text(max_size=200))
def test_no_text_but_a_key_is_a_key(text: str) -> None:
    try:
        key = check_key(text)
    except ValueError:
        return
    assert fingerprint(key).startswith("SHA256:")


class Answers(Cluster):
    """Proxmox as the answers say; an unexpected path fails the test."""

    def get(self, *path: str | int, **query: str) -> Any:
        answer = ANSWERS["/".join(map(str, path)) + query.get("file", "")]
        if isinstance(answer, str):
            raise ProxmoxError(answer)
        return answer


BASE = "nodes/pve1/qemu/121/"
AGENT = f"{BASE}agent/"
ANSWERS: dict[str, Any] = {}


def agent_says(*addresses: str) -> dict[str, Any]:
    listed = [{"ip-address": address} for address in ("127.0.0.1", "169.254.1.1", "fe80::1", *addresses)]
    return {"result": [{"name": "eth0", "ip-addresses": listed}]}


@pytest.mark.parametrize(
    ("config", "addresses", "key", "found"),
    [
        ({"ipconfig0": "ip=192.0.2.21/24,gw=192.0.2.1", "ciuser": "ops"}, ("192.0.2.21",), {"content": f"{KEY} root@cp1\n"},
         Guest("192.0.2.21", "ops", (KEY,), ())),
        ({"ipconfig0": "ip=dhcp", "tags": "etcd;k8s"}, ("192.0.2.7",), {"content": KEY}, Guest("192.0.2.7", "debian", (KEY,), ("etcd", "k8s"))),
        ({"ipconfig0": "ip=192.0.2.21/24"}, ("192.0.2.66",), {"content": KEY}, "it has 192.0.2.66, not 192.0.2.21 as planned"),
        ({}, (), {"content": KEY}, "its guest agent has no address yet"),
        ({}, ("192.0.2.7",), {"content": "nonsense"}, "/etc/ssh/ssh_host_ed25519_key.pub in the machine: a host key begins with one of"),
        ({"ciuser": "root; id"}, ("192.0.2.7",), {"content": KEY}, "which is no user's name"),
        ({}, ("192.0.2.7",), "Proxmox answers 403 Permission check failed", "403"),
    ],
)  # fmt: skip
def test_what_proxmox_says_of_a_machine(config: Any, addresses: tuple[str, ...], key: Any, found: Guest | str) -> None:
    ANSWERS.clear()
    ANSWERS[f"{BASE}config"] = config
    ANSWERS[f"{AGENT}network-get-interfaces"] = agent_says(*addresses)
    ANSWERS[f"{AGENT}file-read/etc/ssh/ssh_host_ed25519_key.pub"] = key
    cluster = Answers("https://pve1:8006", "t@pve!x=1")
    said = Guests(cluster, cluster, "debian").look("pve1", 121)
    if isinstance(found, Guest):
        assert said == found
    else:
        assert found in str(said)


def test_without_a_token_for_host_keys_it_says_which_setting() -> None:
    cluster = Answers("https://pve1:8006", "")
    assert "WATCHBILL_PROXMOX_AGENT_TOKEN" in str(Guests(cluster, cluster, "debian").look("pve1", 121))
