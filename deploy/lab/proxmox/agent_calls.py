"""Calls that reach into a running machine through its guest agent."""

from typing import Any

from deploy.lab.proxmox.answers import failed, wrong_parameters
from deploy.lab.proxmox.guest import list_interfaces, read_file
from deploy.lab.proxmox.options import parse_options
from deploy.lab.proxmox.qemu_calls import find_machine, is_booted
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
    if not is_booted(site, machine):
        raise failed("QEMU guest agent is not running")
    return machine


@ROUTES.on("GET", "/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces")
def read_interfaces(site: Site, call: Call) -> Any:
    machine = _reach_agent(site, call, "VM.GuestAgent.Audit")
    return {"result": list_interfaces(machine["config"])}


@ROUTES.on("POST", "/nodes/{node}/qemu/{vmid}/agent/ping")
def ping(site: Site, call: Call) -> Any:
    _reach_agent(site, call, "VM.GuestAgent.Audit")
    return {"result": {}}


@ROUTES.on("GET", "/nodes/{node}/qemu/{vmid}/agent/get-host-name")
def read_host_name(site: Site, call: Call) -> Any:
    machine = _reach_agent(site, call, "VM.GuestAgent.Audit")
    return {"result": {"host-name": machine["config"].get("name", "localhost")}}


@ROUTES.on("GET", "/nodes/{node}/qemu/{vmid}/agent/get-osinfo")
def read_os(site: Site, call: Call) -> Any:
    _reach_agent(site, call, "VM.GuestAgent.Audit")
    return {
        "result": {
            "id": "debian",
            "name": "Debian GNU/Linux",
            "pretty-name": "Debian GNU/Linux 12 (bookworm)",
            "version-id": "12",
            "machine": "x86_64",
            "kernel-release": "6.1.0-41-cloud-amd64",
        }
    }


@ROUTES.on("GET", "/nodes/{node}/qemu/{vmid}/agent/file-read")
def read_guest_file(site: Site, call: Call) -> Any:
    """PVEAuditor may not: reading files in a guest is VM.GuestAgent.FileRead since Proxmox VE 9."""
    machine = _reach_agent(site, call, "VM.GuestAgent.FileRead")
    path = call.given.get("file")
    if not path:
        raise wrong_parameters({"file": "property is missing and it is not optional"})
    return read_file(machine["config"], machine["host_key"], path)
