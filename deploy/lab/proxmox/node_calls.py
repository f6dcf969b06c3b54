"""Calls about one node: its status, network, storages and tasks."""

import time
from typing import Any

from deploy.lab.proxmox.answers import Refused, failed
from deploy.lab.proxmox.options import DISK_KEY, parse_options, parse_size
from deploy.lab.proxmox.site import Call, Routes, Site
from deploy.lab.proxmox.tasks import describe_task
from deploy.lab.proxmox.volumes import describe_volume
from deploy.lab.proxmox.world import GIB, Machine

ROUTES = Routes()
GATEWAY = "192.168.178.1"


def require_node(site: Site, name: str) -> dict[str, Any]:
    """595 is what Proxmox's proxy answers when it cannot reach the node that a call is for."""
    node = site.world.nodes.get(name)
    if node is None:
        raise Refused(
            596, f"hostname lookup '{name}' failed - failed to get address info for: {name}: Name or service not known"
        )
    if not node["online"]:
        raise Refused(595, "No route to host")
    return node


def describe_node(site: Site, name: str) -> dict[str, Any]:
    node = site.world.nodes[name]
    if not node["online"]:
        return {"node": name, "status": "offline", "level": ""}
    return {
        "node": name,
        "status": "online",
        "level": "",
        "cpu": 0.04,
        "maxcpu": node["cpus"],
        "mem": 3 * GIB + _memory_in_use(site, name),
        "maxmem": node["memory"],
        "disk": 9 * GIB,
        "maxdisk": 94 * GIB,
        "uptime": int(time.time()) - site.world.state["started"],
    }


def describe_machine(site: Site, vmid: int, machine: Machine) -> dict[str, Any]:
    """A machine as lists and status/current show it."""
    config = machine["config"]
    running = machine["status"] == "running"
    used = site.hardware.read_memory(vmid) if running else 0
    options = parse_options(str(config.get("memory", "512")))
    memory = options.get("", options.get("current", "512"))
    disks = [
        parse_options(str(value)) for key, value in config.items() if DISK_KEY.match(key) and "media=cdrom" not in value
    ]
    shown: dict[str, Any] = {
        "vmid": vmid,
        "name": config.get("name", f"VM {vmid}"),
        "status": machine["status"],
        "qmpstatus": machine["status"],
        "cpus": int(config.get("cores", 1)) * int(config.get("sockets", 1)),
        "cpu": 0.01 if running else 0,
        "maxmem": int(memory) * 1024**2,
        "mem": int(memory) * 1024**2 // 3 if used is None else used,
        "maxdisk": max([parse_size(disk["size"]) for disk in disks if "size" in disk], default=0),
        "disk": 0,
        "diskread": 0,
        "diskwrite": 0,
        "netin": 0,
        "netout": 0,
        "uptime": int(time.time() - machine["started"]) if running else 0,
    }
    if running:
        shown["pid"] = 100_000 + vmid
    for key in ("lock", "tags"):
        if config.get(key):
            shown[key] = config[key]
    if config.get("template"):
        shown["template"] = 1
    return shown


def _memory_in_use(site: Site, node: str) -> int:
    machines = [(int(vmid), machine) for vmid, machine in site.world.machines.items() if machine["node"] == node]
    return sum(describe_machine(site, vmid, machine)["mem"] for vmid, machine in machines)


@ROUTES.on("GET", "/nodes")
def list_nodes(site: Site, call: Call) -> Any:
    del call
    return [describe_node(site, name) | {"id": f"node/{name}", "type": "node"} for name in site.world.nodes]


@ROUTES.on("GET", "/nodes/{node}/status")
def read_node_status(site: Site, call: Call) -> Any:
    call.caller.require(f"/nodes/{call.node}", "Sys.Audit")
    node = require_node(site, call.node)
    used = 3 * GIB + _memory_in_use(site, call.node)
    return {
        "uptime": int(time.time()) - site.world.state["started"],
        "loadavg": ["0.12", "0.10", "0.08"],
        "cpu": 0.04,
        "wait": 0,
        "cpuinfo": {
            "cpus": node["cpus"],
            "cores": 4,
            "sockets": 1,
            "model": "Intel(R) N100",
            "mhz": "2900.000",
            "hvm": "1",
        },
        "memory": {"total": node["memory"], "used": used, "free": node["memory"] - used},
        "swap": {"total": 8 * GIB, "used": 0, "free": 8 * GIB},
        "rootfs": {"total": 94 * GIB, "used": 9 * GIB, "free": 85 * GIB, "avail": 80 * GIB},
        "pveversion": "pve-manager/9.1.1/42db4a6cf33dac83",
        "kversion": "Linux 6.17.2-1-pve #1 SMP PREEMPT_DYNAMIC",
        "current-kernel": {"sysname": "Linux", "release": "6.17.2-1-pve", "machine": "x86_64", "version": "#1 SMP"},
        "boot-info": {"mode": "efi", "secureboot": 0},
    }


@ROUTES.on("GET", "/nodes/{node}/version")
def read_node_version(site: Site, call: Call) -> Any:
    require_node(site, call.node)
    return {"version": "9.1.1", "release": "9.1", "repoid": "42db4a6cf33dac83"}


@ROUTES.on("GET", "/nodes/{node}/time")
def read_time(site: Site, call: Call) -> Any:
    call.caller.require(f"/nodes/{call.node}", "Sys.Audit")
    require_node(site, call.node)
    return {"time": int(time.time()), "localtime": int(time.time()), "timezone": "Etc/UTC"}


@ROUTES.on("GET", "/nodes/{node}/dns")
def read_dns(site: Site, call: Call) -> Any:
    call.caller.require(f"/nodes/{call.node}", "Sys.Audit")
    require_node(site, call.node)
    return {"search": "lab", "dns1": GATEWAY}


@ROUTES.on("GET", "/nodes/{node}/network")
def list_network(site: Site, call: Call) -> Any:
    node = require_node(site, call.node)
    address = node["address"]
    wanted = call.given.get("type")
    rows = [
        {"iface": "nic0", "type": "eth", "active": 1, "exists": 1, "method": "manual", "priority": 3},
        {
            "iface": "vmbr0",
            "type": "bridge",
            "active": 1,
            "autostart": 1,
            "method": "static",
            "address": address,
            "netmask": "24",
            "cidr": f"{address}/24",
            "gateway": GATEWAY,
            "bridge_ports": "nic0",
            "bridge_stp": "off",
            "bridge_fd": "0",
            "families": ["inet"],
            "priority": 4,
        },
    ]
    return [
        row for row in rows if wanted in (None, row["type"]) or (wanted == "any_bridge" and row["type"] == "bridge")
    ]


@ROUTES.on("GET", "/nodes/{node}/network/{iface}")
def read_interface(site: Site, call: Call) -> Any:
    call.caller.require(f"/nodes/{call.node}", "Sys.Audit")
    rows = list_network(site, Call(call.caller, "GET", {"node": call.node}, {}))
    found = next((row for row in rows if row["iface"] == call.path["iface"]), None)
    if found is None:
        raise failed(f"interface '{call.path['iface']}' does not exist")
    return found


def _describe_storage(site: Site, node: str, storage: str) -> dict[str, Any]:
    settings = site.volumes.get_storage(storage)
    used = site.volumes.used(storage, node)
    return {
        "type": settings["type"],
        "content": settings["content"],
        "shared": int(settings["shared"]),
        "active": 1,
        "enabled": 1,
        "total": settings["total"],
        "used": used,
        "avail": max(0, settings["total"] - used),
    }


@ROUTES.on("GET", "/nodes/{node}/storage")
def list_storages(site: Site, call: Call) -> Any:
    require_node(site, call.node)
    if not call.caller.may("Datastore.Audit", "Datastore.AllocateSpace"):
        return []
    rows = []
    for storage, settings in site.world.storages.items():
        content = call.given.get("content")
        if content and not set(content.split(",")) & set(settings["content"].split(",")):
            continue
        shown = _describe_storage(site, call.node, storage)
        rows.append(shown | {"storage": storage, "used_fraction": shown["used"] / shown["total"]})
    return rows


@ROUTES.on("GET", "/nodes/{node}/storage/{storage}/status")
def read_storage_status(site: Site, call: Call) -> Any:
    require_node(site, call.node)
    call.caller.require(f"/storage/{call.path['storage']}", "Datastore.Audit", "Datastore.AllocateSpace")
    return _describe_storage(site, call.node, call.path["storage"])


@ROUTES.on("GET", "/nodes/{node}/storage/{storage}/content")
def list_content(site: Site, call: Call) -> Any:
    require_node(site, call.node)
    call.caller.require(f"/storage/{call.path['storage']}", "Datastore.Audit", "Datastore.AllocateSpace")
    site.volumes.get_storage(call.path["storage"])
    if call.given.get("content", "images") != "images":
        return []
    rows = site.volumes.list_content(call.path["storage"], call.node)
    wanted = call.given.get("vmid")
    return [row for row in rows if wanted in (None, str(row["vmid"]))]


@ROUTES.on("GET", "/nodes/{node}/storage/{storage}/content/{volume*}")
def read_volume(site: Site, call: Call) -> Any:
    require_node(site, call.node)
    call.caller.require(f"/storage/{call.path['storage']}", "Datastore.Audit", "Datastore.AllocateSpace")
    volid = call.path["volume"]
    if ":" not in volid:
        volid = f"{call.path['storage']}:{volid}"
    volume = site.world.volumes.get(volid)
    if volume is None:
        raise failed(f"volume_size_info on '{volid}' failed - no such volume: '{volid}' does not exist")
    shown = describe_volume(volid, volume)
    return {
        "path": f"/dev/{volid.replace(':', '/')}",
        "format": shown["format"],
        "size": shown["size"],
        "used": shown["size"],
    }


@ROUTES.on("GET", "/nodes/{node}/tasks")
def list_tasks(site: Site, call: Call) -> Any:
    require_node(site, call.node)
    wanted = call.given.get("vmid")
    rows = [
        describe_task(upid, task)
        for upid, task in reversed(site.world.tasks.items())
        if upid.split(":")[1] == call.node
    ]
    rows = [row for row in rows if wanted in (None, row["id"])]
    return rows[: int(call.given.get("limit", "50"))]


@ROUTES.on("GET", "/nodes/{node}/tasks/{upid}/status")
def read_task_status(site: Site, call: Call) -> Any:
    require_node(site, call.node)
    return describe_task(call.path["upid"], _find_task(site, call))


@ROUTES.on("GET", "/nodes/{node}/tasks/{upid}/log")
def read_task_log(site: Site, call: Call) -> Any:
    require_node(site, call.node)
    lines = _find_task(site, call)["log"] or ["no content"]
    start, limit = int(call.given.get("start", "0")), int(call.given.get("limit", "50"))
    return [{"n": number + 1, "t": line} for number, line in enumerate(lines)][start : start + limit]


@ROUTES.on("DELETE", "/nodes/{node}/tasks/{upid}")
def stop_task(site: Site, call: Call) -> Any:
    """Accepted for a finished task, as Proxmox does; tasks of this lab cannot be stopped half way."""
    require_node(site, call.node)
    _find_task(site, call)


def _find_task(site: Site, call: Call) -> dict[str, Any]:
    upid = call.path["upid"]
    task = site.tasks.find(call.node, upid)
    if upid.split(":")[7] != call.caller.identity:
        call.caller.require(f"/nodes/{call.node}", "Sys.Audit")
    return task
