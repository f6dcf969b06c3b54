"""Calls about the cluster as a whole: version, status, resources, ids, pools, access."""

from typing import Any

from deploy.lab.proxmox.access import ROLES, TREES, USERS
from deploy.lab.proxmox.answers import Refused, failed, wrong_parameters
from deploy.lab.proxmox.machines import read_id, read_list
from deploy.lab.proxmox.node_calls import describe_machine, describe_node
from deploy.lab.proxmox.site import Call, Routes, Site
from deploy.lab.proxmox.tasks import describe_task
from deploy.lab.proxmox.world import make_uuid

ROUTES = Routes()
VERSION = {"version": "9.1.1", "release": "9.1", "repoid": "42db4a6cf33dac83"}


@ROUTES.on("GET", "/version")
def read_version(site: Site, call: Call) -> Any:
    del site, call
    return VERSION


@ROUTES.on("GET", "/cluster/status")
def read_cluster_status(site: Site, call: Call) -> Any:
    call.caller.require("/", "Sys.Audit")
    state = site.world.state
    rows: list[dict[str, Any]] = [
        {
            "type": "cluster",
            "id": "cluster",
            "name": state["name"],
            "version": 2,
            "nodes": len(state["nodes"]),
            "quorate": int(state["quorate"]),
        }
    ]
    for name, node in state["nodes"].items():
        rows.append(
            {
                "type": "node",
                "id": f"node/{name}",
                "name": name,
                "nodeid": node["nodeid"],
                "ip": node["address"],
                "online": int(node["online"]),
                "local": int(name == "pve1"),
                "level": "",
            }
        )
    return rows


@ROUTES.on("GET", "/cluster/resources")
def list_resources(site: Site, call: Call) -> Any:
    wanted = call.given.get("type")
    if wanted not in (None, "vm", "storage", "node", "sdn"):
        raise wrong_parameters(
            {"type": f"value '{wanted}' does not have a value in the enumeration 'vm, storage, node, sdn'"}
        )
    rows: list[dict[str, Any]] = []
    if wanted in (None, "vm") and call.caller.may("VM.Audit"):
        rows += [_show_machine(site, vmid) for vmid in site.world.machines]
    if wanted in (None, "node"):
        rows += [describe_node(site, name) | {"id": f"node/{name}", "type": "node"} for name in site.world.nodes]
    if wanted in (None, "storage") and call.caller.may("Datastore.Audit"):
        rows += [_show_storage(site, node, storage) for node in site.world.nodes for storage in site.world.storages]
    if wanted in (None, "sdn"):
        rows += [
            {"id": f"sdn/{node}/localnetwork", "node": node, "sdn": "localnetwork", "status": "ok", "type": "sdn"}
            for node in site.world.nodes
        ]
    return rows


def _show_machine(site: Site, vmid: str) -> dict[str, Any]:
    machine = site.world.machines[vmid]
    pool = next((name for name, pool in site.world.pools.items() if int(vmid) in pool["members"]), None)
    shown = describe_machine(site, int(vmid), machine)
    shown |= {"id": f"qemu/{vmid}", "type": "qemu", "node": machine["node"], "maxcpu": shown["cpus"]}
    shown["template"] = int(machine["config"].get("template", 0))
    if pool:
        shown["pool"] = pool
    return {key: value for key, value in shown.items() if key not in {"cpus", "qmpstatus", "pid"}}


def _show_storage(site: Site, node: str, storage: str) -> dict[str, Any]:
    settings = site.world.storages[storage]
    return {
        "id": f"storage/{node}/{storage}",
        "type": "storage",
        "storage": storage,
        "node": node,
        "plugintype": settings["type"],
        "content": settings["content"],
        "shared": int(settings["shared"]),
        "status": "available",
        "maxdisk": settings["total"],
        "disk": site.volumes.used(storage, node),
    }


@ROUTES.on("GET", "/cluster/nextid")
def read_next_id(site: Site, call: Call) -> Any:
    if "vmid" not in call.given:
        return str(site.world.next_id())
    vmid = read_id(call.given["vmid"], "vmid")
    if str(vmid) in site.world.machines:
        raise wrong_parameters({"vmid": f"VM {vmid} already exists"})
    return str(vmid)


@ROUTES.on("GET", "/cluster/tasks")
def list_cluster_tasks(site: Site, call: Call) -> Any:
    del call
    return [describe_task(upid, task) for upid, task in reversed(site.world.tasks.items())]


@ROUTES.on("GET", "/cluster/ha/status/current")
@ROUTES.on("GET", "/cluster/ha/status")
def read_ha_status(site: Site, call: Call) -> Any:
    call.caller.require("/", "Sys.Audit")
    quorate = site.world.state["quorate"]
    status = "OK" if quorate else "No quorum on node 'pve1'!"
    return [{"id": "quorum", "type": "quorum", "node": "pve1", "quorate": int(quorate), "status": status}]


@ROUTES.on("GET", "/cluster/ha/resources")
@ROUTES.on("GET", "/cluster/ha/rules")
@ROUTES.on("GET", "/cluster/backup")
@ROUTES.on("GET", "/cluster/replication")
@ROUTES.on("GET", "/cluster/sdn/vnets")
@ROUTES.on("GET", "/cluster/sdn/zones")
def list_nothing(site: Site, call: Call) -> Any:
    """Things that a cluster may have and this one has none of."""
    del site
    call.caller.require("/", "Sys.Audit", "SDN.Audit")
    return []


@ROUTES.on("GET", "/cluster/ha/resources/{sid}")
def read_ha_resource(site: Site, call: Call) -> Any:
    del site
    raise failed(f"no such resource '{call.path['sid']}'")


@ROUTES.on("GET", "/cluster/options")
def read_options(site: Site, call: Call) -> Any:
    del site
    call.caller.require("/", "Sys.Audit")
    return {"keyboard": "de", "mac_prefix": "BC:24:11"}


@ROUTES.on("GET", "/storage")
def list_storage_settings(site: Site, call: Call) -> Any:
    call.caller.require("/storage", "Datastore.Audit")
    return [_show_settings(site, storage) for storage in site.world.storages]


@ROUTES.on("GET", "/storage/{storage}")
def read_storage_settings(site: Site, call: Call) -> Any:
    call.caller.require(f"/storage/{call.path['storage']}", "Datastore.Audit")
    site.volumes.get_storage(call.path["storage"])
    return _show_settings(site, call.path["storage"])


def _show_settings(site: Site, storage: str) -> dict[str, Any]:
    settings = site.world.storages[storage]
    return {
        "storage": storage,
        "type": settings["type"],
        "content": settings["content"],
        "shared": int(settings["shared"]),
    }


@ROUTES.on("GET", "/pools")
@ROUTES.on("GET", "/pools/{poolid}")
def list_pools(site: Site, call: Call) -> Any:
    wanted = call.path.get("poolid") or call.given.get("poolid")
    if wanted is None:
        return [{"poolid": name, "comment": pool["comment"]} for name, pool in site.world.pools.items()]
    call.caller.require(f"/pool/{wanted}", "Pool.Audit")
    pool = site.world.pools.get(wanted)
    if pool is None:
        raise failed(f"pool '{wanted}' does not exist")
    members = [_show_machine(site, str(vmid)) for vmid in pool["members"]]
    shown = {"comment": pool["comment"], "members": members}
    return shown if "poolid" in call.path else [shown | {"poolid": wanted}]


@ROUTES.on("POST", "/pools")
def create_pool(site: Site, call: Call) -> Any:
    name = call.given.get("poolid", "")
    call.caller.require(f"/pool/{name}", "Pool.Allocate")
    site.require_quorum()
    if name in site.world.pools:
        raise failed(f"create pool failed: pool '{name}' already exists")
    site.world.pools[name] = {"comment": call.given.get("comment", ""), "members": []}


@ROUTES.on("PUT", "/pools")
@ROUTES.on("PUT", "/pools/{poolid}")
def update_pool(site: Site, call: Call) -> Any:
    name = call.path.get("poolid") or call.given.get("poolid", "")
    call.caller.require(f"/pool/{name}", "Pool.Allocate")
    site.require_quorum()
    if name not in site.world.pools:
        raise failed(f"update pools failed: pool '{name}' does not exist")
    pool = site.world.pools[name]
    vmids = [int(vmid) for vmid in read_list(call.given.get("vms", ""))]
    if call.given.get("delete") == "1":
        pool["members"] = [vmid for vmid in pool["members"] if vmid not in vmids]
    else:
        pool["members"] = sorted({*pool["members"], *vmids})
    pool["comment"] = call.given.get("comment", pool["comment"])


@ROUTES.on("DELETE", "/pools")
@ROUTES.on("DELETE", "/pools/{poolid}")
def delete_pool(site: Site, call: Call) -> Any:
    name = call.path.get("poolid") or call.given.get("poolid", "")
    call.caller.require(f"/pool/{name}", "Pool.Allocate")
    site.require_quorum()
    pool = site.world.pools.get(name)
    if pool is None:
        raise failed(f"delete pool failed: pool '{name}' does not exist")
    if pool["members"]:
        raise failed(f"delete pool failed: pool '{name}' is not empty (contains VM {pool['members'][0]})")
    del site.world.pools[name]


@ROUTES.on("GET", "/access/permissions")
def read_permissions(site: Site, call: Call) -> Any:
    del site
    privileges = dict.fromkeys(sorted(ROLES[call.caller.role]), 1)
    wanted = call.given.get("path")
    return {wanted: privileges} if wanted else dict.fromkeys(TREES, privileges)


@ROUTES.on("GET", "/access/roles")
def list_roles(site: Site, call: Call) -> Any:
    del site, call
    return [{"roleid": role, "special": 1, "privs": ",".join(sorted(privs))} for role, privs in ROLES.items()]


@ROUTES.on("GET", "/access/acl")
def list_acl(site: Site, call: Call) -> Any:
    call.caller.require("/access", "Permissions.Modify", "Sys.Audit")
    rows = [{"path": "/", "type": "user", "ugid": user, "roleid": role, "propagate": 1} for user, role in USERS.items()]
    for token in site.world.state["tokens"]:
        role = USERS[token.partition("!")[0]]
        rows.append({"path": "/", "type": "token", "ugid": token, "roleid": role, "propagate": 1})
    return rows


@ROUTES.on("GET", "/access/users")
def list_users(site: Site, call: Call) -> Any:
    del site
    seen = USERS if call.caller.may("User.Modify", "Sys.Audit") else {call.caller.user: ""}
    return [{"userid": user, "enable": 1, "expire": 0, "realm-type": user.partition("@")[2]} for user in seen]


@ROUTES.on("GET", "/access/users/{user}")
def read_user(site: Site, call: Call) -> Any:
    user = _require_user(call)
    tokens = dict(_tokens_of(site, user).items())
    return {"enable": 1, "expire": 0, "tokens": tokens}


@ROUTES.on("GET", "/access/users/{user}/token")
def list_tokens(site: Site, call: Call) -> Any:
    user = _require_user(call)
    return [{"tokenid": name} | shown for name, shown in _tokens_of(site, user).items()]


@ROUTES.on("GET", "/access/users/{user}/token/{token}")
def read_token(site: Site, call: Call) -> Any:
    found = _tokens_of(site, _require_user(call)).get(call.path["token"])
    if found is None:
        raise failed(f"no such token '{call.path['token']}' for user '{call.path['user']}'")
    return found


@ROUTES.on("POST", "/access/users/{user}/token/{token}")
def create_token(site: Site, call: Call) -> Any:
    user, token = call.path["user"], call.path["token"]
    if call.caller.user != user:
        call.caller.require(f"/access/users/{user}", "User.Modify")
    identity = f"{user}!{token}"
    if identity in site.world.state["tokens"]:
        raise Refused(400, "Token already exists.", {"tokenid": "Token already exists."})
    value = make_uuid()
    entry: dict[str, Any] = {"value": value, "comment": call.given.get("comment", ""), "expire": 0, "privsep": 1}
    if call.given.get("privsep") == "0":
        entry["privsep"] = 0
    else:
        entry["role"] = "NoAccess"
    site.world.state["tokens"][identity] = entry
    return {"full-tokenid": identity, "info": {"expire": "0", "privsep": str(entry["privsep"])}, "value": value}


@ROUTES.on("DELETE", "/access/users/{user}/token/{token}")
def delete_token(site: Site, call: Call) -> Any:
    user, token = call.path["user"], call.path["token"]
    if call.caller.user != user:
        call.caller.require(f"/access/users/{user}", "User.Modify")
    if site.world.state["tokens"].pop(f"{user}!{token}", None) is None:
        raise failed(f"no such token '{token}' for user '{user}'")


def _require_user(call: Call) -> str:
    user = call.path["user"]
    if call.caller.user != user:
        call.caller.require(f"/access/users/{user}", "User.Modify", "Sys.Audit")
    if user not in USERS:
        raise failed(f"no such user ('{user}')")
    return user


def _tokens_of(site: Site, user: str) -> dict[str, dict[str, Any]]:
    return {
        identity.partition("!")[2]: {key: token[key] for key in ("comment", "expire", "privsep")}
        for identity, token in site.world.state["tokens"].items()
        if identity.startswith(f"{user}!")
    }
