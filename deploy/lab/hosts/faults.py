"""Misfortune inside real machines. Each can be ended again; power off takes the network's and the locks with it."""

import asyncio
import contextlib
import os
import sys
from pathlib import PurePosixPath
from typing import Any

from deploy.lab.hosts.machine import Machine, outside_of
from deploy.lab.hosts.namespaces import ROOT, HostError, Namespaces

FILLER = ".lab-filler"
AWAY = ".lab-away"
MIB = 1024**2
LOCK_FILES = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock")
# Runs inside the machine and looks there like what it stands for.
HOLD_LOCKS = f"""
import fcntl, os, time
open("/proc/self/comm", "w").write("unattended-upgr")
os.makedirs("/var/lib/apt/lists", exist_ok=True)
held = [open(path, "a") for path in {LOCK_FILES!r}]
for file in held:
    fcntl.lockf(file, fcntl.LOCK_EX)
print("ready", flush=True)
time.sleep(1e9)
"""
READY_S = 30.0


class Faults:
    def __init__(self, inside: Namespaces) -> None:
        self._inside = inside
        self._cables: dict[int, list[asyncio.subprocess.Process]] = {}
        self._locks: dict[int, asyncio.subprocess.Process] = {}
        self._away: dict[int, set[str]] = {}
        self._struck: dict[int, Machine] = {}

    async def strike(self, machine: Machine, wanted: dict[str, Any]) -> None:
        """ValueError or HostError say what is wrong with it."""
        assert machine.plan is not None
        self._struck[machine.plan.vmid] = machine
        match wanted["kind"]:
            case "network":
                await self._change_network(machine, wanted)
            case "disk_full":
                await self._fill_disk(machine, full=bool(wanted.get("full", True)))
            case "missing_binary":
                await self._take_away(machine, str(wanted["path"]), missing=bool(wanted.get("missing", True)))
            case "host_key":
                await self._change_host_key(machine)
            case "apt_lock":
                await self._hold_locks(machine, locked=bool(wanted.get("locked", True)))
            case other:
                raise ValueError(f"no fault of kind {other!r} in a machine")

    async def heal(self) -> None:
        """End everything that can be ended; a changed host key stays, as it would. Machines that are off keep theirs."""
        for vmid, machine in list(self._struck.items()):
            if machine.leader is None:
                continue
            await self._change_network(machine, {})
            await self._fill_disk(machine, full=False)
            await self._hold_locks(machine, locked=False)
            for path in list(self._away.get(vmid, set())):
                await self._take_away(machine, path, missing=False)
            del self._struck[vmid]

    async def forget(self, vmid: int) -> None:
        """The machine loses its power: its cables' processes end, its locks are gone with its processes."""
        await _end(self._cables.pop(vmid, []))
        await _end([self._locks.pop(vmid)] if vmid in self._locks else [])

    async def drop(self, vmid: int) -> None:
        """The machine and its disk are gone for good."""
        await self.forget(vmid)
        self._struck.pop(vmid, None)
        self._away.pop(vmid, None)

    # Network --------------------------------------------------------------------------------------------------------

    async def _change_network(self, machine: Machine, wanted: dict[str, Any]) -> None:
        """`cut`, or `delay_ms` and `loss_percent` each way; none of them: a good cable."""
        assert machine.plan is not None
        vmid, delay, loss = machine.plan.vmid, float(wanted.get("delay_ms", 0)), float(wanted.get("loss_percent", 0))
        if not (0 <= delay <= 60_000 and 0 <= loss <= 100):
            raise ValueError("delay_ms is 0 to 60000, loss_percent 0 to 100")
        await _end(self._cables.pop(vmid, []))
        for card in machine.plan.cards:
            # Gone already, where no bad cable was.
            with contextlib.suppress(HostError):
                await self._inside.run("ip", "link", "delete", f"bad{vmid}n{card.name[3:]}")
            await self._inside.run("ip", "link", "set", card.tap, "master", card.bridge)
            plugged = card.plugged and not wanted.get("cut", False)
            await self._inside.run("ip", "link", "set", card.tap, "up" if plugged else "down")
            if plugged and (delay or loss):
                await self._splice(machine, vmid, card.tap, card.bridge, card.name, delay, loss)

    async def _splice(
        self, machine: Machine, vmid: int, tap: str, bridge: str, name: str, delay: float, loss: float
    ) -> None:
        """Put a process between the machine's card and the bridge. Checksums are then for real, not left to the card."""
        near, far = f"bad{vmid}n{name[3:]}", f"bad{vmid}f{name[3:]}"
        offloads = ("tx", "off", "tso", "off", "gso", "off", "gro", "off")
        await self._inside.run_all([
            ("ip", "link", "set", tap, "nomaster"),
            ("ip", "link", "add", near, "type", "veth", "peer", "name", far),
            ("ip", "link", "set", near, "master", bridge, "up"),
            ("ip", "link", "set", far, "up"),
            *(("ethtool", "-K", card, *offloads) for card in (tap, near, far)),
            ("nsenter", f"--net={machine.network}", "ethtool", "-K", name, *offloads),
        ])  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            *self._inside.enter("sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", str(ROOT)),
            sys.executable, "-m", "deploy.lab.hosts.cable", tap, far, f"--delay-ms={delay}", f"--loss-percent={loss}",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._cables.setdefault(vmid, []).append(process)
        await _await_ready(process)

    # Disk, programs, keys, locks ------------------------------------------------------------------------------------

    async def _fill_disk(self, machine: Machine, *, full: bool) -> None:
        path = self._inside.path(machine.disk.mounted / FILLER)  # beside the machine's tree: it cannot be found inside
        if not full:
            path.unlink(missing_ok=True)
            return
        await asyncio.to_thread(_fill, str(path))

    async def _take_away(self, machine: Machine, path: str, *, missing: bool) -> None:
        assert machine.plan is not None
        if not PurePosixPath(path).is_absolute():
            raise ValueError(f"{path!r} is no absolute path of a program")
        pair = (f"{path}{AWAY}", path) if not missing else (path, f"{path}{AWAY}")
        done = await machine.run("mv", "--no-target-directory", *pair)
        if done.code != 0:
            raise ValueError(done.err.strip())
        away = self._away.setdefault(machine.plan.vmid, set())
        (away.add if missing else away.discard)(path)

    async def _change_host_key(self, machine: Machine) -> None:
        script = (
            "rm -f /etc/ssh/ssh_host_*; "
            "for kind in ed25519 ecdsa; do ssh-keygen -q -t $kind -N '' -f /etc/ssh/ssh_host_${kind}_key; done; "
            "systemctl restart ssh"
        )
        done = await machine.run("sh", "-euc", script)
        if done.code != 0:
            raise HostError(f"the host key could not be changed: {done.err.strip()}")

    async def _hold_locks(self, machine: Machine, *, locked: bool) -> None:
        assert machine.plan is not None
        vmid = machine.plan.vmid
        await _end([self._locks.pop(vmid)] if vmid in self._locks else [])
        if not locked:
            return
        process = await asyncio.create_subprocess_exec(
            *machine.entry(), "python3", "-c", HOLD_LOCKS,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._locks[vmid] = process
        await _await_ready(process)


async def _await_ready(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    if (await asyncio.wait_for(process.stdout.readline(), READY_S)).strip() != b"ready":
        raise HostError(f"a fault's process ended with {await process.wait()}")


async def _end(processes: list[asyncio.subprocess.Process]) -> None:
    """End them with what they started: what enters a process namespace waits for a child that is in there."""
    for process in processes:
        for pid in outside_of(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        await process.wait()


def _fill(path: str) -> None:
    """Take every block that is free, the last ones too."""
    with open(path, "ab") as file:  # noqa: PTH123 - a plain handle for fallocate
        while True:
            left = os.fstatvfs(file.fileno())
            free = left.f_bavail * left.f_frsize
            step = free - MIB if free > 2 * MIB else 4096
            try:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, step)
            except OSError:
                if step == 4096:
                    return
                raise
