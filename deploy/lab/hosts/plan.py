"""What a machine's configuration asks for, read once: size, network cards, and who may log in."""

import ipaddress
import urllib.parse
from dataclasses import dataclass
from typing import Any

from deploy.lab.proxmox.guest import choose_address
from deploy.lab.proxmox.options import DISK_KEY, parse_options, parse_size

DEFAULT_USER = "debian"
DEFAULT_DISK = 8 * 1024**3


@dataclass(frozen=True)
class Card:
    """One network card: `tap` is its other end on the lab's bridge, named as Proxmox names it."""

    name: str
    tap: str
    mac: str
    bridge: str
    address: ipaddress.IPv4Interface | None
    gateway: str | None
    plugged: bool


@dataclass(frozen=True)
class Plan:
    vmid: int
    name: str
    identity: str  # a clone has another one, and with it other host keys
    memory: int  # bytes
    cpus: float
    disk: int  # bytes
    cards: tuple[Card, ...]
    nameservers: tuple[str, ...]
    search: str
    user: str
    keys: tuple[str, ...]
    password: str


def read_plan(vmid: int, config: dict[str, Any]) -> Plan:
    memory = parse_options(str(config.get("memory", "512")))
    cores = int(config.get("cores", 1)) * int(config.get("sockets", 1))
    limit = float(config.get("cpulimit", 0) or 0)
    cards = tuple(_read_card(vmid, number, config) for number in range(32) if config.get(f"net{number}"))
    gateways = [card.gateway for card in cards if card.gateway]
    servers = str(config.get("nameserver", "")).replace(",", " ").split()
    return Plan(
        vmid=vmid,
        name=str(config.get("name", f"VM{vmid}")),
        identity=parse_options(str(config.get("smbios1", ""))).get("uuid", str(vmid)),
        memory=int(memory.get("", memory.get("current", "512"))) * 1024**2,
        cpus=min(cores, limit) if limit else cores,
        disk=_read_disk(config),
        cards=cards,
        nameservers=tuple(servers or gateways[:1]),
        search=str(config.get("searchdomain", "")),
        user=str(config.get("ciuser", DEFAULT_USER)),
        keys=tuple(
            line.strip() for line in urllib.parse.unquote(str(config.get("sshkeys", ""))).splitlines() if line.strip()
        ),
        password=str(config.get("cipassword", "")),
    )


def _read_card(vmid: int, number: int, config: dict[str, Any]) -> Card:
    options = parse_options(config[f"net{number}"])
    mac = next(iter(options.values())).lower()
    wanted = parse_options(str(config.get(f"ipconfig{number}", "")))
    address = choose_address(wanted.get("ip", ""), mac)
    return Card(
        name=f"eth{number}",
        tap=f"tap{vmid}i{number}",
        mac=mac,
        bridge=options.get("bridge", ""),
        address=address if isinstance(address, ipaddress.IPv4Interface) else None,
        gateway=wanted.get("gw"),
        plugged=options.get("link_down", "0") != "1",
    )


def _read_disk(config: dict[str, Any]) -> int:
    """The size of the disk that it boots from: the first that is no CD."""
    order = parse_options(str(config.get("boot", ""))).get("order", "").split(";")
    keys = [*order, *sorted(key for key in config if DISK_KEY.match(key))]
    for key in keys:
        options = parse_options(str(config.get(key, "")))
        if DISK_KEY.match(key) and "size" in options and options.get("media") != "cdrom":
            return parse_size(options["size"])
    return DEFAULT_DISK
