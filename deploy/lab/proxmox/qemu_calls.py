"""Calls about machines: the list, their configuration, clone, power, disks and delete."""

import functools
import re
from collections.abc import Awaitable, Callable
from typing import Any

from deploy.lab.proxmox.answers import failed, wrong_parameters
from deploy.lab.proxmox.machines import compute_digest, read_id, read_list, require_digest, require_unlocked
from deploy.lab.proxmox.node_calls import describe_machine, require_node
from deploy.lab.proxmox.options import DISK_KEY, check_parameters, parse_options, parse_size
from deploy.lab.proxmox.power import SHUTDOWN_SECONDS
from deploy.lab.proxmox.site import Call, Routes, Site
from deploy.lab.proxmox.tasks import Order, Work
from deploy.lab.proxmox.world import Machine

ROUTES = Routes()
CLONE_PARAMETERS = frozenset(
    ["bwlimit", "description", "format", "full", "name", "newid", "pool", "snapname", "storage", "target"]
)
# Which privilege a changed parameter needs; what matches nothing here is VM.Config.Options.
_PRIVILEGES = (
    (re.compile(r"^(cores|sockets|cpu|cpulimit|cpuunits|vcpus|numa\d*|affinity)$"), "VM.Config.CPU"),
    (re.compile(r"^(memory|balloon|shares|hugepages|keephugepages)$"), "VM.Config.Memory"),
    (re.compile(r"^net\d+$"), "VM.Config.Network"),
    (re.compile(r"^(ipconfig\d+|nameserver|searchdomain|ci\w+|sshkeys)$"), "VM.Config.Cloudinit"),
    (re.compile(r"^(scsi|virtio|sata|ide|efidisk|tpmstate|unused)\d+$"), "VM.Config.Disk"),
    (re.compile(r"^(bios|machine|scsihw|vga|serial\d+|usb\d+|hostpci\d+|audio0|rng0|watchdog)$"), "VM.Config.HWType"),
)


def find_machine(site: Site, call: Call) -> Machine:
    require_node(site, call.node)
    if not call.path["vmid"].isdigit():
        raise wrong_parameters({"vmid": "type check ('integer') failed - got '" + call.path["vmid"] + "'"})
    return site.machines.get(call.node, call.path["vmid"])


def _may_write(site: Site, call: Call, *privileges: str) -> None:
    call.caller.require(f"/vms/{call.path['vmid']}", *privileges)
    site.require_quorum()


@ROUTES.on("GET", "/nodes/{node}/qemu")
def list_machines(site: Site, call: Call) -> Any:
    require_node(site, call.node)
    if not call.caller.may("VM.Audit"):
        return []
    here = {vmid: machine for vmid, machine in site.world.machines.items() if machine["node"] == call.node}
    return [describe_machine(site, int(vmid), machine) for vmid, machine in here.items()]


@ROUTES.on("GET", "/nodes/{node}/lxc")
def list_containers(site: Site, call: Call) -> Any:
    require_node(site, call.node)
    return []


@ROUTES.on("GET", "/nodes/{node}/qemu/{vmid}/config")
def read_config(site: Site, call: Call) -> Any:
    call.caller.require(f"/vms/{call.path['vmid']}", "VM.Audit")
    config = find_machine(site, call)["config"]
    shown = {key: value for key, value in config.items() if key != "cipassword"}
    if "cipassword" in config:
        shown["cipassword"] = "**********"
    return shown | {"digest": compute_digest(config)}


@ROUTES.on("GET", "/nodes/{node}/qemu/{vmid}/pending")
def read_pending(site: Site, call: Call) -> Any:
    return [{"key": key, "value": value} for key, value in read_config(site, call).items()]


def _update(site: Site, call: Call) -> tuple[dict[str, Any], list[str]]:
    """Check an update in Proxmox's order: rights, parameters, quorum, existence, lock, digest."""
    values, errors = check_parameters(call.given)
    delete = read_list(call.given.get("delete", ""))
    for key in [*values, *delete]:
        needed = next((privilege for pattern, privilege in _PRIVILEGES if pattern.match(key)), "VM.Config.Options")
        call.caller.require(f"/vms/{call.path['vmid']}", needed)
    if errors:
        raise wrong_parameters(errors)
    if not values and not delete and "digest" not in call.given:
        raise failed("no options specified")
    site.require_quorum()
    machine = find_machine(site, call)
    if call.given.get("skiplock") != "1":
        require_unlocked(machine)
    require_digest(machine["config"], call.given.get("digest"))
    return values, delete


@ROUTES.on("PUT", "/nodes/{node}/qemu/{vmid}/config")
def update_config(site: Site, call: Call) -> Any:
    values, delete = _update(site, call)
    site.machines.configure(call.node, call.vmid, values, delete)


@ROUTES.on("POST", "/nodes/{node}/qemu/{vmid}/config")
def update_config_later(site: Site, call: Call) -> Any:
    values, delete = _update(site, call)
    return _start(site, call, "qmconfig", lambda: site.machines.configure(call.node, call.vmid, values, delete))


@ROUTES.on("POST", "/nodes/{node}/qemu")
def create_machine(site: Site, call: Call) -> Any:
    require_node(site, call.node)
    vmid = read_id(call.given.get("vmid"), "vmid")
    call.caller.require(f"/vms/{vmid}", "VM.Allocate")
    steering = {"vmid", "pool", "start", "storage", "archive", "unique", "bwlimit", "ha-managed", "live-restore"}
    values, errors = check_parameters({key: value for key, value in call.given.items() if key not in steering})
    if errors:
        raise wrong_parameters(errors)
    site.require_quorum()
    _count_double(site, vmid, str(values.get("name", "")))
    site.machines.require_unused(vmid)
    site.machines.add(call.node, vmid, {"lock": "create", "name": f"VM{vmid}"})

    async def work() -> None:
        site.world.machines[str(vmid)]["config"].pop("lock", None)
        site.machines.configure(call.node, vmid, values, [])
        if call.given.get("start") == "1":
            await site.power.start(call.node, vmid)

    return _start(site, call, "qmcreate", work, undo=lambda: site.power.forget(vmid), subject=vmid)


@ROUTES.on("POST", "/nodes/{node}/qemu/{vmid}/clone")
def clone_machine(site: Site, call: Call) -> Any:
    unknown = call.given.keys() - CLONE_PARAMETERS
    newid = read_id(call.given.get("newid"), "newid")
    call.caller.require(f"/vms/{call.path['vmid']}", "VM.Clone")
    call.caller.require(f"/vms/{newid}", "VM.Allocate")
    if unknown:
        raise wrong_parameters(dict.fromkeys(unknown, "property is not defined in schema"))
    source = find_machine(site, call)
    target, storage = call.given.get("target", call.node), call.given.get("storage")
    full = call.given.get("full", "0" if source["config"].get("template") else "1") == "1"
    _check_clone(site, call, source, target, storage, full=full)
    name = call.given.get("name", f"Copy-of-VM-{source['config'].get('name', call.vmid)}")
    wanted: dict[str, Any] = {"name": name, "lock": "clone"}
    values, errors = check_parameters({"name": name})
    if errors:
        raise wrong_parameters(errors)
    if "description" in call.given:
        wanted["description"] = call.given["description"]
    _count_double(site, newid, str(values["name"]))
    site.machines.require_unused(newid)
    site.machines.add(call.node, newid, wanted)
    pool = call.given.get("pool")
    if pool:
        site.world.pools[pool]["members"].append(newid)

    async def work() -> None:
        await site.hardware.copy_disk(call.vmid, newid)
        site.machines.complete_clone(source, newid, target, storage, full=full)

    undo = _forget_clone(site, newid)
    return _start(site, call, "qmclone", work, undo=undo, about=(newid,), prefix="clone failed: ")


def _check_clone(site: Site, call: Call, source: Machine, target: str, storage: str | None, *, full: bool) -> None:
    if target not in site.world.nodes:
        raise wrong_parameters({"target": f"no such cluster node '{target}'"})
    require_node(site, target)
    disks = [parse_options(str(value)).get("", "") for key, value in source["config"].items() if DISK_KEY.match(key)]
    places = {storage} if storage else {disk.partition(":")[0] for disk in disks if ":" in disk}
    for place in places:
        call.caller.require(f"/storage/{place}", "Datastore.AllocateSpace")
        if target != call.node and not site.volumes.get_storage(place)["shared"]:
            raise failed(f"can't clone to non-shared storage '{place}'")
    if not full and storage:
        raise wrong_parameters({"storage": "parameter 'storage' not allowed for linked clones"})
    if not full and not source["config"].get("template"):
        raise failed("Linked clone feature is not supported for drive 'scsi0'")
    if call.given.get("pool") and call.given["pool"] not in site.world.pools:
        raise failed(f"pool '{call.given['pool']}' does not exist")
    require_unlocked(source)
    site.require_quorum()


def _forget_clone(site: Site, vmid: int) -> Work:
    """A clone that failed leaves nothing behind on a real node either, and it was never created."""

    async def undo() -> None:
        await site.power.forget(vmid)
        site.world.counts["vms_created"] -= 1
        site.world.counts["creates"][str(vmid)] -= 1

    return undo


def _count_double(site: Site, vmid: int, name: str) -> None:
    if str(vmid) in site.world.machines:
        site.world.counts["refused_creates"] = site.world.counts.get("refused_creates", 0) + 1
    elif name and site.world.find_by_name(name):
        site.world.counts["double_creates"] += 1


@ROUTES.on("DELETE", "/nodes/{node}/qemu/{vmid}")
def delete_machine(site: Site, call: Call) -> Any:
    _may_write(site, call, "VM.Allocate")
    find_machine(site, call)
    site.machines.require_deletable(call.node, call.vmid)
    return _start(site, call, "qmdestroy", lambda: site.power.delete(call.node, call.vmid))


@ROUTES.on("PUT", "/nodes/{node}/qemu/{vmid}/resize")
def resize_disk(site: Site, call: Call) -> Any:
    _may_write(site, call, "VM.Config.Disk")
    machine = find_machine(site, call)
    disk, size = call.given.get("disk", ""), call.given.get("size", "")
    if not DISK_KEY.match(disk):
        raise wrong_parameters({"disk": f"value '{disk}' does not have a value in the enumeration"})
    try:
        parse_size(size.removeprefix("+"))
    except ValueError:
        raise wrong_parameters({"size": "value does not match the regex pattern"}) from None
    require_unlocked(machine)
    require_digest(machine["config"], call.given.get("digest"))
    return _start(site, call, "resize", lambda: site.machines.resize(call.node, call.vmid, disk, size))


@ROUTES.on("POST", "/nodes/{node}/qemu/{vmid}/move_disk")
def move_disk(site: Site, call: Call) -> Any:
    _may_write(site, call, "VM.Config.Disk")
    config = find_machine(site, call)["config"]
    disk, storage = call.given.get("disk", ""), call.given.get("storage", "")
    if disk not in config:
        raise failed(f"disk '{disk}' does not exist")
    if config[disk].startswith(f"{storage}:"):
        raise failed("you can't move to the same storage with same format")
    site.volumes.get_storage(storage)
    return _start(site, call, "qmmove", lambda: site.machines.move_disk(call.node, call.vmid, disk, storage))


@ROUTES.on("POST", "/nodes/{node}/qemu/{vmid}/migrate")
def migrate_machine(site: Site, call: Call) -> Any:
    _may_write(site, call, "VM.Migrate")
    machine = find_machine(site, call)
    target = call.given.get("target", "")
    if target == call.node:
        raise wrong_parameters({"target": "target is local node."})
    require_node(site, target)
    require_unlocked(machine)
    if machine["status"] == "running" and call.given.get("online") != "1":
        raise failed("can't migrate running VM without --online")
    storage = call.given.get("targetstorage")
    machine["config"]["lock"] = "migrate"
    return _start(
        site,
        call,
        "qmigrate",
        lambda: site.machines.migrate(call.node, call.vmid, target, storage),
        undo=lambda: machine["config"].pop("lock", None),
    )


@ROUTES.on("POST", "/nodes/{node}/qemu/{vmid}/template")
def convert_to_template(site: Site, call: Call) -> Any:
    _may_write(site, call, "VM.Allocate")
    if find_machine(site, call)["status"] == "running":
        raise failed("you can't convert a VM to template if VM is running")
    return _start(site, call, "qmtemplate", lambda: site.machines.make_template(call.node, call.vmid))


@ROUTES.on("GET", "/nodes/{node}/qemu/{vmid}/status/current")
def read_status(site: Site, call: Call) -> Any:
    call.caller.require(f"/vms/{call.path['vmid']}", "VM.Audit")
    machine = find_machine(site, call)
    shown = describe_machine(site, call.vmid, machine) | {"ha": {"managed": 0}}
    if parse_options(str(machine["config"].get("agent", "0"))).get("enabled", "0") == "1":
        shown["agent"] = 1
    return shown


@ROUTES.on("POST", "/nodes/{node}/qemu/{vmid}/status/{action}")
def change_power(site: Site, call: Call) -> Any:
    """start, stop, shutdown, reset, reboot: what is refused, is refused inside the task, as on a real node."""
    actions = {
        "start": ("qmstart", site.power.start),
        "stop": ("qmstop", site.power.stop),
        "shutdown": ("qmshutdown", _read_shutdown(site, call)),
        "reset": ("qmreset", site.power.reset),
        "reboot": ("qmreboot", site.power.reboot),
    }
    _may_write(site, call, "VM.PowerMgmt")
    find_machine(site, call)
    if call.path["action"] not in actions:
        raise failed(f"the lab cannot {call.path['action']} a machine")
    kind, act = actions[call.path["action"]]
    return _start(site, call, kind, lambda: act(call.node, call.vmid))


def _read_shutdown(site: Site, call: Call) -> Callable[[str, int], Awaitable[None]]:
    timeout, force = call.given.get("timeout", ""), call.given.get("forceStop") == "1"
    seconds = float(timeout) if timeout.isdigit() else SHUTDOWN_SECONDS
    return functools.partial(site.power.shut_down, timeout_s=seconds, force=force)


@ROUTES.on("GET", "/nodes/{node}/qemu/{vmid}/snapshot")
def list_snapshots(site: Site, call: Call) -> Any:
    call.caller.require(f"/vms/{call.path['vmid']}", "VM.Audit")
    find_machine(site, call)
    return [{"name": "current", "description": "You are here!", "digest": "", "running": 0}]


@ROUTES.on("GET", "/nodes/{node}/qemu/{vmid}/cloudinit")
def read_cloud_init(site: Site, call: Call) -> Any:
    shown = read_config(site, call)
    keys = [key for key in shown if re.match(r"^(ci\w+|ipconfig\d+|nameserver|searchdomain|sshkeys)$", key)]
    return [{"key": key, "value": shown[key]} for key in keys]


@ROUTES.on("PUT", "/nodes/{node}/qemu/{vmid}/cloudinit")
def rebuild_cloud_init(site: Site, call: Call) -> Any:
    _may_write(site, call, "VM.Config.Cloudinit")
    if not any("cloudinit" in str(value) for value in find_machine(site, call)["config"].values()):
        raise failed(f"no cloud-init drive configured for VM {call.vmid}")


@ROUTES.on("GET", "/nodes/{node}/qemu/{vmid}/cloudinit/dump")
def dump_cloud_init(site: Site, call: Call) -> Any:
    call.caller.require(f"/vms/{call.path['vmid']}", "VM.Audit")
    config = find_machine(site, call)["config"]
    if call.given.get("type") == "network":
        options = parse_options(str(config.get("ipconfig0", "")))
        return f"version: 1\nconfig:\n- type: physical\n  name: eth0\n  address: {options.get('ip', 'dhcp')}\n"
    return f"#cloud-config\nhostname: {config.get('name')}\nmanage_etc_hosts: true\nuser: {config.get('ciuser', 'debian')}\n"


def _start(
    site: Site,
    call: Call,
    kind: str,
    work: Work,
    *,
    undo: Work | None = None,
    subject: int | None = None,
    about: tuple[int, ...] = (),
    prefix: str = "",
) -> str:
    order = Order(
        node=call.node,
        kind=kind,
        subject=str(subject or call.vmid),
        user=call.caller.identity,
        work=work,
        undo=undo,
        about=about,
        prefix=prefix,
    )
    return site.tasks.start(order)
