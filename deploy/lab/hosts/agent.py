"""What the guest agent answers, from the machine itself: files as they are seen inside, addresses as its kernel has them."""

import ctypes
import json
import os
import stat
from typing import Any, BinaryIO

from deploy.lab.hosts.machine import Machine
from deploy.lab.hosts.namespaces import run
from deploy.lab.proxmox.answers import failed
from deploy.lab.proxmox.hardware import missing_file

READY_FILE = "/run/lab-guest-agent"
MOST_BYTES = 16 * 1024**2
SYS_OPENAT2 = 437  # the same number on every architecture
RESOLVE_IN_ROOT = 0x10


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def is_answering(machine: Machine) -> bool:
    if machine.leader is None:
        return False
    try:
        os.close(open_inside(machine.leader, READY_FILE))
    except OSError:
        return False
    return True


def read_file(machine: Machine, path: str) -> dict[str, Any]:
    if machine.leader is None:
        raise failed("QEMU guest agent is not running")
    try:
        handle = open_inside(machine.leader, path)
    except FileNotFoundError:
        raise missing_file(path) from None
    except OSError as error:
        raise failed(f"Agent error: failed to open file '{path}' (mode: 'r'): {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise failed(f"Agent error: '{path}' is not a regular file")
    with os.fdopen(handle, "rb") as file:
        content = _read_bounded(file)
    shown: dict[str, Any] = {"content": content[:MOST_BYTES].decode(errors="replace")}
    shown["bytes-read"] = min(len(content), MOST_BYTES)
    return shown | ({"truncated": 1} if len(content) > MOST_BYTES else {})


def _read_bounded(file: BinaryIO) -> bytes:
    """In small pieces: a file of the kernel's gives no room for one large read."""
    pieces: list[bytes] = []
    while sum(map(len, pieces)) <= MOST_BYTES and (piece := file.read(65536)):
        pieces.append(piece)
    return b"".join(pieces)


def open_inside(leader: int, path: str) -> int:
    """Open for reading as the machine would: its own mounts, and links that lead nowhere but into it."""
    top = os.open(f"/proc/{leader}/root", os.O_PATH | os.O_DIRECTORY)
    try:
        how = _How(os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, 0, RESOLVE_IN_ROOT)
        libc = ctypes.CDLL(None, use_errno=True)
        handle: int = libc.syscall(SYS_OPENAT2, top, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
        if handle < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
        return handle
    finally:
        os.close(top)


async def list_interfaces(machine: Machine) -> list[dict[str, Any]]:
    done = await run(["nsenter", f"--target={machine.leader}", "--net", "--", "ip", "-json", "-statistics", "address"])
    if done.code != 0:
        raise failed("QEMU guest agent is not running")
    return [describe_link(link) for link in json.loads(done.out or "[]")]


def describe_link(link: dict[str, Any]) -> dict[str, Any]:
    """One interface of `ip -json` in the agent's shape."""
    counters = link.get("stats64", {})
    statistics = {
        f"{way}-{name}": counters.get(way, {}).get(key, 0)
        for way in ("rx", "tx")
        for name, key in (("bytes", "bytes"), ("packets", "packets"), ("errs", "errors"), ("dropped", "dropped"))
    }
    return {
        "name": link["ifname"],
        "hardware-address": link.get("address", "00:00:00:00:00:00"),
        "ip-addresses": [
            {
                "ip-address-type": "ipv6" if found["family"] == "inet6" else "ipv4",
                "ip-address": found["local"],
                "prefix": found["prefixlen"],
            }
            for found in link.get("addr_info", [])
            if "local" in found
        ],
        "statistics": statistics,
    }


async def read_host_name(machine: Machine) -> str:
    done = await run(["nsenter", f"--target={machine.leader}", "--uts", "--", "hostname"])
    if done.code != 0:
        raise failed("QEMU guest agent is not running")
    return done.out.strip()


def read_os(machine: Machine) -> dict[str, str]:
    lines = read_file(machine, "/etc/os-release")["content"].splitlines()
    facts = {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}
    shown = {"id": "ID", "name": "NAME", "pretty-name": "PRETTY_NAME", "version-id": "VERSION_ID", "version": "VERSION"}
    return {name: facts[key] for name, key in shown.items() if key in facts} | {
        "machine": os.uname().machine,
        "kernel-release": os.uname().release,
        "kernel-version": os.uname().version,
    }
