"""Proxmox's property strings ("a,b=c"), sizes ("30G"), and the rules for a machine's parameters."""

import ipaddress
import re
from typing import Any

DISK_KEY = re.compile(r"^(ide[0-3]|sata[0-5]|scsi(30|[12]?\d)|virtio(1[0-5]|\d)|efidisk0|tpmstate0)$")
UNUSED_KEY = re.compile(r"^unused\d+$")
NET_KEY = re.compile(r"^net(3[01]|[12]?\d)$")
MAC = re.compile(r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$")
MODELS = frozenset({"e1000", "e1000e", "i82551", "ne2k_pci", "pcnet", "rtl8139", "virtio", "vmxnet3"})

INTEGERS = {"cores": 1, "sockets": 1, "vcpus": 1, "balloon": 0, "cpuunits": 1, "shares": 0}
BOOLEANS = frozenset(
    [
        "acpi",
        "autostart",
        "freeze",
        "kvm",
        "localtime",
        "numa",
        "onboot",
        "protection",
        "reboot",
        "tablet",
        "tdf",
        "template",
        "ciupgrade",
        "keephugepages",
    ]
)
TEXTS = frozenset(
    [
        "affinity",
        "agent",
        "amd-sev",
        "arch",
        "args",
        "audio0",
        "bios",
        "boot",
        "bootdisk",
        "cdrom",
        "cicustom",
        "cipassword",
        "citype",
        "ciuser",
        "cpu",
        "cpulimit",
        "description",
        "hookscript",
        "hotplug",
        "hugepages",
        "ivshmem",
        "keyboard",
        "machine",
        "memory",
        "meta",
        "migrate_downtime",
        "migrate_speed",
        "name",
        "nameserver",
        "ostype",
        "rng0",
        "scsihw",
        "searchdomain",
        "smbios1",
        "spice_enhancements",
        "sshkeys",
        "startdate",
        "startup",
        "tags",
        "vga",
        "vmgenid",
        "vmstatestorage",
        "watchdog",
    ]
)
NUMBERED = re.compile(r"^(ipconfig|numa|hostpci|usb|serial|parallel|virtiofs)\d+$")
# Parameters that steer the call and never reach the config file.
STEERING = frozenset({"delete", "digest", "force", "revert", "skiplock", "background_delay", "import-working-storage"})

UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"
_DNS_NAME = re.compile(
    r"^(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"
)
_TAG = re.compile(r"^[a-z0-9_][a-z0-9_\-+.]*$", re.IGNORECASE)
_SIZE = re.compile(r"^(\d+(?:\.\d+)?)([KMGT])?$")
_UNITS = {None: 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def parse_options(text: str) -> dict[str, str]:
    """Split "ceph:disk,size=3G" into {"": "ceph:disk", "size": "3G"}; the key of a bare first word is empty."""
    found: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = part.strip().partition("=")
        if equals:
            found[key] = value
        elif key:
            found[""] = key
    return found


def print_options(options: dict[str, str]) -> str:
    """The other way round, the bare word first and the rest sorted, as Proxmox writes its config files."""
    head = [options[""]] if "" in options else []
    return ",".join(head + [f"{key}={options[key]}" for key in sorted(options) if key])


def parse_size(text: str) -> int:
    """Bytes of a disk size; a bare number is bytes. ValueError if it is none."""
    match = _SIZE.match(text)
    if not match:
        raise ValueError(f"not a disk size: {text}")
    return int(float(match[1]) * _UNITS[match[2]])


def print_size(size: int) -> str:
    for unit in ("T", "G", "M", "K"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


def is_known(key: str) -> bool:
    return (
        key in INTEGERS
        or key in BOOLEANS
        or key in TEXTS
        or bool(DISK_KEY.match(key) or NET_KEY.match(key) or NUMBERED.match(key) or UNUSED_KEY.match(key))
    )


def check_parameters(parameters: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values in their types, and what is wrong per parameter in Proxmox's words."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for key, text in parameters.items():
        if key in STEERING:
            continue
        if not is_known(key):
            errors[key] = UNKNOWN
            continue
        try:
            values[key] = _convert(key, text)
        except ValueError as wrong:
            errors[key] = str(wrong)
    return values, errors


def _convert(key: str, text: str) -> Any:
    if key in INTEGERS:
        if not re.fullmatch(r"-?\d+", text):
            raise ValueError("type check ('integer') failed - got '" + text + "'")
        if int(text) < INTEGERS[key]:
            raise ValueError(f"value must have a minimum value of {INTEGERS[key]}")
        return int(text)
    if key in BOOLEANS:
        if text.lower() not in {"0", "1", "true", "false", "yes", "no", "on", "off"}:
            raise ValueError("type check ('boolean') failed - got '" + text + "'")
        return int(text.lower() in {"1", "true", "yes", "on"})
    check = _CHECKS.get(re.sub(r"\d+$", "", key))
    if check is not None:
        check(text)
    return text


def _check_name(text: str) -> None:
    if not _DNS_NAME.match(text):
        raise ValueError("invalid format - value does not look like a valid DNS name\n")


def _check_memory(text: str) -> None:
    current = parse_options(text).get("", parse_options(text).get("current", ""))
    if not current.isdigit():
        raise ValueError("invalid format - format error\ncurrent: type check ('integer') failed\n")
    if int(current) < 16:
        raise ValueError("invalid format - format error\ncurrent: value must have a minimum value of 16\n")


def _check_tags(text: str) -> None:
    for tag in filter(None, re.split(r"[;, ]", text)):
        if not _TAG.match(tag):
            raise ValueError("invalid format - invalid characters in tag\n")


def _check_net(text: str) -> None:
    options = parse_options(text)
    if not (options.keys() & MODELS or options.get("model") in MODELS or options.get("") in MODELS):
        raise ValueError("invalid format - format error\nmodel: property is missing and it is not optional\n")


def _check_ipconfig(text: str) -> None:
    options = parse_options(text)
    wanted, gateway = options.get("ip"), options.get("gw")
    if gateway and not wanted:
        raise ValueError("invalid format - format error\ngw: missing property - 'ip' to satisfy dependency\n")
    if wanted in (None, "dhcp"):
        return
    try:
        interface = ipaddress.IPv4Interface(wanted or "")
    except ValueError:
        raise ValueError("invalid format - format error\nip: value does not look like a valid ipv4 network\n") from None
    if "/" not in str(wanted) or not interface.network.prefixlen:
        raise ValueError("invalid format - format error\nip: value does not look like a valid ipv4 network\n")


_CHECKS = {
    "name": _check_name,
    "memory": _check_memory,
    "tags": _check_tags,
    "net": _check_net,
    "ipconfig": _check_ipconfig,
}
