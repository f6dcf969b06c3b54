"""What stands behind a machine of the cluster: nothing but its entry, or a real machine (deploy/lab/hosts)."""

import time
from collections.abc import Callable
from typing import Any, Protocol

from deploy.lab.proxmox import guest
from deploy.lab.proxmox.answers import failed
from deploy.lab.proxmox.world import Machine

PoweredOff = Callable[[int], None]


class Hardware(Protocol):
    """One data centre's machines by their number. Every call may raise Refused with what a real node would say.

    `outlives_server`: machines still run after the API server was restarted.
    """

    outlives_server: bool

    async def start(self, vmid: int, machine: Machine) -> None: ...

    async def cut(self, vmid: int) -> None:
        """Take the power away; a machine that has none is left alone."""
        ...

    async def shut_down(self, vmid: int, timeout_s: float) -> None:
        """Ask the system inside to power off; Refused when it has not within the time."""
        ...

    async def copy_disk(self, source: int, vmid: int) -> None: ...

    async def destroy(self, vmid: int) -> None: ...

    async def strike(self, wanted: dict[str, Any]) -> None:
        """Arrange one fault inside a machine; ValueError says what is wrong with it."""
        ...

    async def heal(self) -> None:
        """End all faults that `strike` arranged."""
        ...

    async def read_logs(self, vmid: int) -> dict[str, str]: ...

    def read_memory(self, vmid: int) -> int | None:
        """Bytes that the running machine really uses; None where nobody knows."""
        ...

    def is_answering(self, vmid: int, machine: Machine) -> bool:
        """Whether the guest agent inside answers."""
        ...

    async def list_interfaces(self, vmid: int, machine: Machine) -> list[dict[str, Any]]: ...

    async def read_file(self, vmid: int, machine: Machine, path: str) -> dict[str, Any]: ...

    async def read_host_name(self, vmid: int, machine: Machine) -> str: ...

    async def read_os(self, vmid: int, machine: Machine) -> dict[str, str]: ...


class Entries:
    """Machines that are entries only: they boot by the clock, and their agent answers from the configuration."""

    outlives_server = True

    def __init__(self, boot_seconds: float) -> None:
        self._boot_seconds = boot_seconds

    async def start(self, vmid: int, machine: Machine) -> None: ...

    async def cut(self, vmid: int) -> None: ...

    async def shut_down(self, vmid: int, timeout_s: float) -> None: ...

    async def copy_disk(self, source: int, vmid: int) -> None: ...

    async def destroy(self, vmid: int) -> None: ...

    async def strike(self, wanted: dict[str, Any]) -> None:
        raise ValueError(f"{wanted['kind']!r} needs real machines: start the lab with reach hosts")

    async def heal(self) -> None: ...

    async def read_logs(self, vmid: int) -> dict[str, str]:
        del vmid
        return {"console": "", "journal": ""}

    def read_memory(self, vmid: int) -> int | None:
        del vmid

    def is_answering(self, vmid: int, machine: Machine) -> bool:
        del vmid
        started = machine["started"]
        return started is not None and time.time() - started >= self._boot_seconds

    async def list_interfaces(self, vmid: int, machine: Machine) -> list[dict[str, Any]]:
        del vmid
        return guest.list_interfaces(machine["config"])

    async def read_file(self, vmid: int, machine: Machine, path: str) -> dict[str, Any]:
        del vmid
        return guest.read_file(machine["config"], machine["host_key"], path)

    async def read_host_name(self, vmid: int, machine: Machine) -> str:
        del vmid
        return str(machine["config"].get("name", "localhost"))

    async def read_os(self, vmid: int, machine: Machine) -> dict[str, str]:
        del vmid, machine
        return guest.describe_os("6.1.0-41-cloud-amd64")


def missing_file(path: str) -> Exception:
    return failed(f"Agent error: failed to open file '{path}' (mode: 'r'): No such file or directory")
