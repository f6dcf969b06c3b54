"""Power and cable of a virtual machine through the Proxmox API: taken away and given back. With the write token, for approved
calls only. Giving back is idempotent: what runs, or is plugged in, is left as it is.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from tools.proxmox_api import Cluster, ProxmoxError, ask

TASK_S: Final = 90.0
LOOK_S: Final = 0.3
GOING_S: Final = 60.0
NET: Final = re.compile(r"net\d+")
DOWN: Final = re.compile(r",link_down=1\b|\blink_down=1,?")
What = Literal["power", "network"]


@dataclass(frozen=True, slots=True)
class Vm:
    """A machine as Proxmox has it now."""

    name: str
    vmid: int
    node: str
    status: str

    @property
    def pin(self) -> str:
        return f"{self.node}/{self.vmid} {self.status}"


@dataclass(frozen=True, slots=True)
class Power:
    """`audit` looks, `write` acts. Every method blocks and raises ProxmoxError."""

    audit: Cluster
    write: Cluster

    def machines(self) -> dict[int, Vm]:
        rows = cast("list[Mapping[str, Any]]", self.audit.get("cluster", "resources"))
        found = [one for one in rows if one.get("type") == "qemu" and not one.get("template")]
        return {
            int(one["vmid"]): Vm(
                str(one.get("name", "")), int(one["vmid"]), str(one.get("node")), str(one.get("status"))
            )
            for one in found
        }

    def take(self, vm: Vm, what: What, going_s: float = GOING_S, look_s: float = LOOK_S) -> None:
        """Power off at once, or pull the network cable, and see that it is so: where Proxmox is highly available, the stop of
        a machine is only asked for when its task ends.
        """
        if what == "power":
            self._task(vm, "post", ("status", "stop"), {})
        else:
            net = self._net(vm)
            self._task(vm, "put", ("config",), {"net0": f"{DOWN.sub('', net)},link_down=1"})
        began = time.monotonic()
        while not self.away(vm, what):
            if time.monotonic() - began > going_s:
                raise ProxmoxError(f"{vm.name} was told to go and is still there after {going_s:.0f} s")
            time.sleep(look_s)

    def give(self, vm: Vm, what: What) -> None:
        """Power on, or plug in, where that is not so already."""
        if what == "network":
            net = self._net(vm)
            if DOWN.search(net):
                self._task(vm, "put", ("config",), {"net0": DOWN.sub("", net).rstrip(",")})
            return
        if not self.runs(vm):
            self._task(vm, "post", ("status", "start"), {})
        if not self.runs(vm):
            raise ProxmoxError(f"{vm.name} was started and does not run")

    def away(self, vm: Vm, what: What) -> bool:
        return not self.runs(vm) if what == "power" else bool(DOWN.search(self._net(vm)))

    def busy(self, vm: Vm) -> bool:
        """Whether Proxmox still works on it."""
        rows: Any = self.write.get("nodes", vm.node, "tasks", vmid=str(vm.vmid), source="all")
        open_ = {"", "running", "RUNNING"}
        return any(
            "endtime" not in row and row.get("status", "") in open_ for row in cast("list[Mapping[str, Any]]", rows)
        )

    def uncuttable(self, vm: Vm) -> str:
        """Why pulling net0 would not cut it off, or not be undone as it was; ""."""
        config = cast("Mapping[str, Any]", self.audit.get("nodes", vm.node, "qemu", vm.vmid, "config"))
        if more := sorted(name for name in config if NET.fullmatch(name) and name != "net0"):
            return f"{vm.name} has {', '.join(more)} beside net0: pulling one cable would not cut it off"
        return f"{vm.name}'s net0 is unplugged already" if DOWN.search(self._net(vm)) else ""

    def runs(self, vm: Vm) -> bool:
        status: Any = self.audit.get("nodes", vm.node, "qemu", vm.vmid, "status", "current")
        return cast("Mapping[str, Any]", status).get("status") == "running"

    def _net(self, vm: Vm) -> str:
        config: Any = self.audit.get("nodes", vm.node, "qemu", vm.vmid, "config")
        net = str(cast("Mapping[str, Any]", config).get("net0") or "")
        if not net:
            raise ProxmoxError(f"{vm.name} has no net0 whose cable could be pulled")
        return net

    def _task(self, vm: Vm, verb: Literal["post", "put"], path: tuple[str, ...], fields: Mapping[str, str]) -> None:
        """Start it and wait for its end."""
        upid: Any = ask(self.write, verb, ("nodes", vm.node, "qemu", vm.vmid, *path), fields)
        if not (isinstance(upid, str) and upid.startswith("UPID:")):
            return
        began = time.monotonic()
        while True:
            said = cast("Mapping[str, Any]", self.write.get("nodes", vm.node, "tasks", upid, "status"))
            if said.get("status") == "stopped":
                break
            if time.monotonic() - began > TASK_S:
                raise ProxmoxError(f"{path[-1]} of {vm.name} did not end within {TASK_S:.0f} s")
            time.sleep(LOOK_S)
        if said.get("exitstatus") != "OK":
            raise ProxmoxError(f"{path[-1]} of {vm.name}: {said.get('exitstatus')}")
