"""The machines behind one lab's Proxmox API: what the API's Hardware port asks for, done to real ones."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

from deploy.lab.hosts import agent, disks
from deploy.lab.hosts.cgroups import Hierarchy, find_own_hierarchies, read_memory, remove_run
from deploy.lab.hosts.faults import Faults
from deploy.lab.hosts.machine import Machine
from deploy.lab.hosts.namespaces import HostError, Namespaces, seen_off
from deploy.lab.hosts.plan import read_plan
from deploy.lab.hosts.runs import registered
from deploy.lab.proxmox.answers import failed
from deploy.lab.proxmox.world import Machine as Entry

LOG_LINES = 2000
GONE_S = 20.0  # a killed process still has to be given a processor before it is gone


class DataCentre:
    """Implements deploy.lab.proxmox.hardware.Hardware. `went_off` hears of machines that power off by themselves."""

    outlives_server = False

    def __init__(self, folder: Path, base: Path, inside: Namespaces, run_name: str, places: list[Hierarchy]) -> None:
        self.went_off: Callable[[int], None] = lambda _: None
        self._folder = folder.absolute()
        self._base = base.absolute()
        self._inside = inside
        self._run_name = run_name
        self._places = places
        self._machines: dict[int, Machine] = {}
        self._locks: dict[int, asyncio.Lock] = {}
        self._faults = Faults(inside)

    @property
    def keeper(self) -> int:
        return self._inside.pid

    def find(self, vmid: int) -> Machine:
        if vmid not in self._machines:
            folder = self._folder / str(vmid)
            self._machines[vmid] = Machine(
                folder, self._base, self._inside, self._run_name, self._places, lambda: self.went_off(vmid)
            )
        return self._machines[vmid]

    def _lock(self, vmid: int) -> asyncio.Lock:
        return self._locks.setdefault(vmid, asyncio.Lock())

    async def start(self, vmid: int, machine: Entry) -> None:
        async with self._lock(vmid):
            with _told("start failed: "):
                await self.find(vmid).start(read_plan(vmid, machine["config"]))

    async def cut(self, vmid: int) -> None:
        async with self._lock(vmid):
            await self._faults.forget(vmid)
            await self.find(vmid).cut()

    async def shut_down(self, vmid: int, timeout_s: float) -> None:
        async with self._lock(vmid):
            with _told(""):
                await self.find(vmid).shut_down(timeout_s)
            await self._faults.forget(vmid)

    async def copy_disk(self, source: int, vmid: int) -> None:
        with _told("clone failed: "):
            await self.find(vmid).disk.copy_from(self.find(source).disk)

    async def destroy(self, vmid: int) -> None:
        async with self._lock(vmid):
            await self._faults.drop(vmid)
            await self.find(vmid).cut()
            del self._machines[vmid]
            await asyncio.to_thread(disks.remove, self._folder / str(vmid))

    async def strike(self, wanted: dict[str, Any]) -> None:
        try:
            await self._faults.strike(self.find(int(wanted["vmid"])), wanted)
        except HostError as error:
            raise ValueError(str(error)) from error

    async def heal(self) -> None:
        await self._faults.heal()

    async def read_logs(self, vmid: int) -> dict[str, str]:
        machine = self.find(vmid)
        journal = ""
        if machine.leader is not None:
            with contextlib.suppress(HostError):
                journal = (await machine.run("journalctl", "--no-pager", f"--lines={LOG_LINES}")).out
        limits = "".join(f"lab: {line}\n" for line in machine.missing_limits)
        return {"console": limits + machine.read_console(LOG_LINES), "journal": journal}

    def read_memory(self, vmid: int) -> int | None:
        return read_memory(self.find(vmid).groups)

    def is_answering(self, vmid: int, machine: Entry) -> bool:
        del machine
        return agent.is_answering(self.find(vmid))

    async def list_interfaces(self, vmid: int, machine: Entry) -> list[dict[str, Any]]:
        del machine
        return await agent.list_interfaces(self.find(vmid))

    async def read_file(self, vmid: int, machine: Entry, path: str) -> dict[str, Any]:
        del machine
        return agent.read_file(self.find(vmid), path)

    async def read_host_name(self, vmid: int, machine: Entry) -> str:
        del machine
        return await agent.read_host_name(self.find(vmid))

    async def read_os(self, vmid: int, machine: Entry) -> dict[str, str]:
        del machine
        return agent.read_os(self.find(vmid))

    async def close(self) -> None:
        """All power off at once; disks stay where they are."""
        await asyncio.gather(*(machine.cut() for machine in self._machines.values()))


@contextlib.contextmanager
def _told(prefix: str) -> Any:
    """A machine that does not obey is Proxmox's error, in a task's exit status."""
    try:
        yield
    except HostError as error:
        raise failed(f"{prefix}{error}") from error


@contextlib.asynccontextmanager
async def powered(folder: Path, base: Path, runs: Path) -> AsyncGenerator[DataCentre]:
    """A data centre for as long as the context lasts. What killed ones left is removed first.

    `folder` keeps the machines' disks, `base` is their common root, `runs` is where all labs of this machine register.
    """
    places = find_own_hierarchies()
    with registered(runs, [place.folder for place in places], remove_run) as name:
        inside = Namespaces()
        await inside.open()
        centre = DataCentre(folder, base, inside, name, places)
        try:
            yield centre
        finally:
            with seen_off(*inside.starters()) as gone:
                await centre.close()
                await inside.close()
                await asyncio.to_thread(gone, GONE_S)
