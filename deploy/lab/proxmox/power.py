"""Power and disks: each change of an entry together with what happens to the machine behind it."""

from collections.abc import Callable

from deploy.lab.proxmox.answers import Refused
from deploy.lab.proxmox.hardware import Hardware
from deploy.lab.proxmox.machines import Machines
from deploy.lab.proxmox.world import Machine, World

SHUTDOWN_SECONDS = 60.0


class Power:
    def __init__(self, world: World, machines: Machines, hardware: Hardware) -> None:
        self._world = world
        self._machines = machines
        self._hardware = hardware

    async def start(self, node: str, vmid: int) -> None:
        """The entry says "running" from the first moment, so that nobody starts it a second time meanwhile."""
        self._machines.start(node, vmid)
        try:
            await self._hardware.start(vmid, self._machines.get(node, vmid))
        except Refused:
            self._machines.stop(node, vmid)
            raise

    async def stop(self, node: str, vmid: int) -> None:
        self._machines.get(node, vmid)
        await self._hardware.cut(vmid)
        self._machines.stop(node, vmid)

    async def shut_down(
        self, node: str, vmid: int, timeout_s: float = SHUTDOWN_SECONDS, *, force: bool = False
    ) -> None:
        """`force` takes the power away from a machine that does not obey, as forceStop does."""
        self._machines.get(node, vmid)
        try:
            await self._hardware.shut_down(vmid, timeout_s)
        except Refused:
            if not force:
                raise
            await self._hardware.cut(vmid)
        self._machines.stop(node, vmid)

    async def reset(self, node: str, vmid: int) -> None:
        self._machines.restart(node, vmid)
        await self._hardware.cut(vmid)
        await self._power_on(node, vmid)

    async def reboot(self, node: str, vmid: int) -> None:
        self._machines.restart(node, vmid)
        await self._hardware.shut_down(vmid, SHUTDOWN_SECONDS)
        await self._power_on(node, vmid)

    async def delete(self, node: str, vmid: int) -> None:
        self._machines.delete(node, vmid)
        await self._hardware.destroy(vmid)

    async def forget(self, vmid: int) -> None:
        """Without any question: what a failed create does, and somebody who meddles."""
        self._machines.remove(vmid)
        await self._hardware.destroy(vmid)

    async def cut_node(self, node: str) -> None:
        """The whole node loses its power, and with it every machine on it."""
        if self._hardware.outlives_server:
            return  # entries: the node is only not seen
        for vmid in self._running(lambda machine: machine["node"] == node):
            await self.stop(node, vmid)

    async def recover(self) -> None:
        """After a restart of the API server: machines that died with it are off, or on again if they are `onboot`."""
        if self._hardware.outlives_server:
            return
        for vmid in self._running(lambda _: True):
            machine = self._world.machines[str(vmid)]
            self._machines.stop(machine["node"], vmid)
            if machine["config"].get("onboot"):
                await self.start(machine["node"], vmid)
        self._world.save()

    def note_power_off(self, vmid: int) -> None:
        """A machine went off by itself: somebody inside said `poweroff`, or it died."""
        machine = self._world.machines.get(str(vmid))
        if machine is not None:
            machine.update(status="stopped", started=None)
            self._world.save()

    async def _power_on(self, node: str, vmid: int) -> None:
        try:
            await self._hardware.start(vmid, self._machines.get(node, vmid))
        except Refused:
            self._machines.stop(node, vmid)
            raise

    def _running(self, fits: Callable[[Machine], bool]) -> list[int]:
        return [
            int(vmid)
            for vmid, machine in self._world.machines.items()
            if machine["status"] == "running" and fits(machine)
        ]
