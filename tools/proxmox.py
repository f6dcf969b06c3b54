"""`proxmox_read`: typed looks at the cluster with the audit token. Nothing here can write (GET only)."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

from pydantic import Field

from bot.domain.calls import Prepared, Target, ToolCall
from bot.domain.ids import Json, texts
from bot.domain.ports import Cannot, Done, Scope, Watch
from tools.proxmox_api import Cluster, ProxmoxError, float_of, int_of, rows_of
from tools.typed import Arguments, TypedTool, answer, bind, read_effect

GIB = 1 << 30
TASKS_SHOWN = 20
Row = dict[str, Json]
Found = tuple[str, Mapping[str, Json]]


class ProxmoxArguments(Arguments):
    what: Literal["nodes", "cluster", "vms", "vm", "storage", "tasks", "agent_addresses"]
    node: str = Field("", pattern=r"^[A-Za-z0-9.-]{0,63}$", description="for vm, storage, tasks, agent_addresses")
    vmid: int = Field(0, ge=0, le=999_999_999, description="for vm and agent_addresses; 0: every machine")


class ProxmoxRead(TypedTool[ProxmoxArguments]):
    """`proxmox_read`."""

    name = "proxmox_read"
    description = (
        "What Proxmox VE says now: nodes, cluster (quorum), vms, one vm, storage, tasks, agent_addresses (of every running "
        "machine, or of one vmid). Reads only; to change machines write Terraform."
    )
    timeout_s = 60.0
    together = True
    arguments = ProxmoxArguments

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def prepare(self, call: ToolCall, arguments: ProxmoxArguments, scope: Scope) -> Prepared | Cannot:  # noqa: ARG002 - port
        if arguments.what == "vm" and not (arguments.node and arguments.vmid):
            return Cannot("proxmox_read vm needs node and vmid; proxmox_read vms lists both.", "proxmox")
        targets = (Target("node", arguments.node),) if arguments.node else ()
        return bind(call, read_effect("proxmox: GET", "a read with the audit token", *targets), arguments)

    async def run(self, prepared: Prepared, arguments: ProxmoxArguments, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002 - port
        look: Callable[[Cluster, ProxmoxArguments], Found] = LOOKS[arguments.what]
        try:
            text, facts = await asyncio.to_thread(look, self._cluster, arguments)
        except ProxmoxError as error:
            return answer(prepared, "failed", str(error))
        return answer(prepared, "ok", text, facts=facts)


def _nodes(cluster: Cluster, arguments: ProxmoxArguments) -> Found:  # noqa: ARG001 - every look has this shape
    rows: list[Row] = [
        {
            "name": str(row.get("node", "")),
            "status": str(row.get("status", "")),
            "cpus": int_of(row, "maxcpu"),
            "memory_gib": _gib(row, "maxmem"),
            "memory_used_gib": _gib(row, "mem"),
        }
        for row in rows_of(cluster.get("nodes"))
    ]
    rows.sort(key=lambda row: str(row["name"]))
    lines = [
        f"{r['name']} {r['status']} {r['cpus']} CPU, {r['memory_used_gib']} of {r['memory_gib']} GiB used" for r in rows
    ]
    return "\n".join(lines), {"nodes": rows}


def _cluster(cluster: Cluster, arguments: ProxmoxArguments) -> Found:  # noqa: ARG001 - every look has this shape
    rows = rows_of(cluster.get("cluster", "status"))
    nothing: Mapping[str, Any] = {}
    about = next((row for row in rows if row.get("type") == "cluster"), nothing)
    name, quorate = str(about.get("name", "no cluster")), bool(about.get("quorate", len(rows) == 1))
    nodes = [
        f"{row.get('name')} {'online' if row.get('online') else 'offline'}" for row in rows if row.get("type") == "node"
    ]
    text = f"{name}: quorum {'yes' if quorate else 'NO'}, {len(nodes)} nodes: {', '.join(sorted(nodes))}"
    return text, {"name": name, "quorate": quorate, "nodes": sorted(nodes)}


def _machines(cluster: Cluster, arguments: ProxmoxArguments) -> Found:
    found = [row for row in rows_of(cluster.get("cluster", "resources")) if row.get("type") == "qemu"]
    rows: list[Row] = [
        {
            "vmid": int_of(row, "vmid"),
            "name": str(row.get("name", "")),
            "node": str(row.get("node", "")),
            "status": str(row.get("status", "")),
            "cpus": int_of(row, "maxcpu"),
            "memory_gib": _gib(row, "maxmem"),
            "disk_gib": _gib(row, "maxdisk"),
            "template": bool(row.get("template")),
        }
        for row in found
        if arguments.node in {"", row.get("node")}
    ]
    rows.sort(key=lambda row: int(str(row["vmid"])))
    lines = [
        f"{r['vmid']} {r['name']} on {r['node']} {'template' if r['template'] else r['status']} · {r['cpus']} CPU "
        f"{r['memory_gib']} GiB {r['disk_gib']} GiB disk"
        for r in rows
    ]
    return "\n".join(lines) or "no machines", {"vms": rows}


def _machine(cluster: Cluster, arguments: ProxmoxArguments) -> Found:
    base = ("nodes", arguments.node, "qemu", arguments.vmid)
    config = cast("Mapping[str, Any]", cluster.get(*base, "config"))
    status = cast("Mapping[str, Any]", cluster.get(*base, "status", "current"))
    facts = {str(key): str(value) for key, value in sorted(config.items()) if key not in {"cipassword", "sshkeys"}}
    lines = [f"status {status.get('status')}", *(f"{key}: {value}" for key, value in facts.items())]
    return "\n".join(lines), {"vmid": arguments.vmid, "status": str(status.get("status", "")), "config": facts}


def _storage(cluster: Cluster, arguments: ProxmoxArguments) -> Found:
    rows: list[Row] = [
        {
            "storage": str(row.get("storage", "")),
            "node": str(row.get("node", "")),
            "free_gib": round((float_of(row, "maxdisk") - float_of(row, "disk")) / GIB, 1),
            "size_gib": _gib(row, "maxdisk"),
            "shared": bool(row.get("shared")),
        }
        for row in rows_of(cluster.get("cluster", "resources"))
        if row.get("type") == "storage" and arguments.node in {"", row.get("node")}
    ]
    rows.sort(key=lambda row: (str(row["node"]), str(row["storage"])))
    lines = [f"{r['storage']} on {r['node']}: {r['free_gib']} of {r['size_gib']} GiB free" for r in rows]
    return "\n".join(lines) or "no storage", {"storage": rows}


def _tasks(cluster: Cluster, arguments: ProxmoxArguments) -> Found:
    names = [arguments.node] if arguments.node else [str(row.get("node")) for row in rows_of(cluster.get("nodes"))]
    found = [row for name in names for row in rows_of(cluster.get("nodes", name, "tasks"))]
    found.sort(key=lambda row: float_of(row, "starttime"), reverse=True)
    rows: list[Row] = [
        {"type": str(row.get("type", "")), "id": str(row.get("id", "")), "node": str(row.get("node", "")),
         "status": str(row.get("status", "running"))}
        for row in found[:TASKS_SHOWN]
    ]  # fmt: skip
    lines = [f"{r['type']} {r['id']} on {r['node']}: {r['status']}" for r in rows]
    return "\n".join(lines) or "no tasks", {"tasks": rows}


def _addresses(cluster: Cluster, arguments: ProxmoxArguments) -> Found:
    found = [
        row
        for row in rows_of(cluster.get("cluster", "resources"))
        if row.get("type") == "qemu" and not row.get("template")
    ]
    rows: list[Row] = []
    for row in sorted(found, key=lambda row: int_of(row, "vmid")):
        if arguments.vmid not in {0, int_of(row, "vmid")} or arguments.node not in {"", row.get("node")}:
            continue
        addresses, problem = _agent(cluster, str(row.get("node")), int_of(row, "vmid"))
        rows.append({"vmid": int_of(row, "vmid"), "name": str(row.get("name", "")), "node": str(row.get("node", "")),
                     "addresses": addresses, "problem": problem})  # fmt: skip
    lines = [
        f"{r['vmid']} {r['name']} on {r['node']}: {', '.join(texts(r['addresses'])) or r['problem']}" for r in rows
    ]
    return "\n".join(lines) or "no such machine", {"machines": rows}


def _agent(cluster: Cluster, node: str, vmid: int) -> tuple[list[str], str]:
    """The guest agent's own addresses of one machine, loopback left out, or why there are none."""
    try:
        answered = cluster.get("nodes", node, "qemu", vmid, "agent", "network-get-interfaces")
    except ProxmoxError as error:
        return [], str(error)
    interfaces = rows_of(
        cast("Mapping[str, Any]", answered).get("result") if isinstance(answered, Mapping) else answered
    )
    found = [
        str(address.get("ip-address", ""))
        for interface in interfaces
        if interface.get("name") != "lo"
        for address in rows_of(interface.get("ip-addresses"))
    ]
    return [address for address in found if address and not address.startswith("fe80:")], "no address yet"


LOOKS: Mapping[str, Callable[[Cluster, ProxmoxArguments], Found]] = {
    "nodes": _nodes,
    "cluster": _cluster,
    "vms": _machines,
    "vm": _machine,
    "storage": _storage,
    "tasks": _tasks,
    "agent_addresses": _addresses,
}


def _gib(row: Mapping[str, Any], key: str) -> float:
    gib = round(float_of(row, key) / GIB, 1)
    return int(gib) if gib == int(gib) else gib
