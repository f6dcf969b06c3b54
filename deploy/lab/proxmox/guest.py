"""What the guest agent inside a machine would answer: addresses, names, and the SSH host key."""

import ipaddress
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from deploy.lab.proxmox.answers import failed
from deploy.lab.proxmox.options import parse_options

# The machines are entries, so these are all the files that one can read in them.
HOST_KEY_FILE = "/etc/ssh/ssh_host_ed25519_key.pub"


def make_host_key() -> str:
    """A public key only: nobody logs in to an entry, the private half is thrown away."""
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    line = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return line.decode()


def list_interfaces(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Loopback and one interface per netN, with the address that cloud-init would have set."""
    found = [_interface("lo", "00:00:00:00:00:00", [("ipv4", "127.0.0.1", 8), ("ipv6", "::1", 128)])]
    for index in range(32):
        device = config.get(f"net{index}")
        if not device:
            continue
        mac = str(next(iter(parse_options(device).values()))).lower()
        addresses = _list_addresses(str(config.get(f"ipconfig{index}", "")), mac)
        found.append(_interface(f"eth{index}", mac, addresses))
    return found


def read_file(config: dict[str, Any], host_key: str, path: str) -> dict[str, Any]:
    files = {
        HOST_KEY_FILE: f"{host_key} root@{config.get('name', 'localhost')}\n",
        "/etc/hostname": f"{config.get('name', 'localhost')}\n",
    }
    if path not in files:
        raise failed(f"Agent error: failed to open file '{path}' (mode: 'r'): No such file or directory")
    return {"content": files[path], "bytes-read": len(files[path])}


def describe_os(kernel: str) -> dict[str, str]:
    return {
        "id": "debian",
        "name": "Debian GNU/Linux",
        "pretty-name": "Debian GNU/Linux 12 (bookworm)",
        "version-id": "12",
        "machine": "x86_64",
        "kernel-release": kernel,
    }


def choose_address(wanted: str, mac: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface | None:
    """The fixed address, or what the LAN's DHCP server gives: there is none, so one per MAC from the LAN's upper half."""
    if wanted == "dhcp":
        return ipaddress.IPv4Interface(f"192.168.178.{128 + int(mac[-2:], 16) % 100}/24")
    return ipaddress.ip_interface(wanted) if wanted else None


def _list_addresses(ipconfig: str, mac: str) -> list[tuple[str, str, int]]:
    wanted = str(parse_options(ipconfig).get("ip", "")) if ipconfig else ""
    interface = choose_address(wanted, mac)
    addresses: list[tuple[str, str, int]] = []
    if interface is not None:
        addresses.append((f"ipv{interface.version}", str(interface.ip), interface.network.prefixlen))
    addresses.append(("ipv6", _link_local(mac), 64))
    return addresses


def _link_local(mac: str) -> str:
    octets = [int(part, 16) for part in mac.split(":")]
    octets[0] ^= 2
    eui = bytes([*octets[:3], 0xFF, 0xFE, *octets[3:]])
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + eui))


def _interface(name: str, mac: str, addresses: list[tuple[str, str, int]]) -> dict[str, Any]:
    counters = ("rx-bytes", "rx-dropped", "rx-errs", "rx-packets", "tx-bytes", "tx-dropped", "tx-errs", "tx-packets")
    return {
        "name": name,
        "hardware-address": mac,
        "ip-addresses": [
            {"ip-address-type": kind, "ip-address": address, "prefix": prefix} for kind, address, prefix in addresses
        ],
        "statistics": dict.fromkeys(counters, 0),
    }
