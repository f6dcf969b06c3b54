"""Calls that reach into a running machine through its guest agent."""

from typing import Any

from deploy.lab.proxmox.answers import failed, wrong_parameters
from deploy.lab.proxmox.options import parse_options
from deploy.lab.proxmox.qemu_calls import find_machine
from deploy.lab.proxmox.site import Call, Routes, Site
from deploy.lab.proxmox.world import Machine

ROUTES = Routes()


def _reach_agent(site: Site, call: Call, *privileges: str) -> Machine:
    call.caller.require(f"/vms/{call.path['vmid']}", *privileges, "VM.GuestAgent.Unrestricted")
    machine = find_machine(site, call)
    if machine["status"] != "running":
        raise failed(f"VM {call.vmid} is not running")
    options = parse_options(str(machine["config"].get("agent", "0")))
    if "1" not in {options.get("enabled"), options.get("")}:
        raise failed("No QEMU guest agent configured")
    if not site.hardware.is_answering(call.vmid, machine):
        raise failed("QEMU guest agent is not running")
    return machine


@ROUTES.on("GET", "/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces")
async def read_interfaces(site: Site, call: Call) -> Any:
    machine = _reach_agent(site, call, "VM.GuestAgent.Audit")
    return {"result": await site.hardware.list_interfaces(call.vmid, machine)}


@ROUTES.on("POST", "/nodes/{node}/qemu/{vmid}/agent/ping")
def ping(site: Site, call: Call) -> Any:
    _reach_agent(site, call, "VM.GuestAgent.Audit")
    return {"result": {}}


@ROUTES.on("GET", "/nodes/{node}/qemu/{vmid}/agent/get-host-name")
async def read_host_name(site: Site, call: Call) -> Any:
    machine = _reach_agent(site, call, "VM.GuestAgent.Audit")
    return {"result": {"host-name": await site.hardware.read_host_name(call.vmid, machine)}}


@ROUTES.on("GET", "/nodes/{node}/qemu/{vmid}/agent/get-osinfo")
async def read_os(site: Site, call: Call) -> Any:
    machine = _reach_agent(site, call, "VM.GuestAgent.Audit")
    return {"result": await site.hardware.read_os(call.vmid, machine)}


@ROUTES.on("GET", "/nodes/{node}/qemu/{vmid}/agent/file-read")
async def read_guest_file(site: Site, call: Call) -> Any:
    """PVEAuditor may not: reading files in a guest is VM.GuestAgent.FileRead since Proxmox VE 9."""
    machine = _reach_agent(site, call, "VM.GuestAgent.FileRead")
    path = call.given.get("file")
    if not path:
        raise wrong_parameters({"file": "property is missing and it is not optional"})
    return await site.hardware.read_file(call.vmid, machine, path)
