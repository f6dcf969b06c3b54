"""What can be done to a machine: create, clone, configure, resize, move, start, stop, delete."""

import hashlib
import time
from typing import Any

from deploy.lab.proxmox.answers import failed, wrong_parameters
from deploy.lab.proxmox.options import DISK_KEY, parse_options, parse_size, print_options, print_size
from deploy.lab.proxmox.volumes import Volumes
from deploy.lab.proxmox.world import Machine, World, make_mac, make_machine, make_uuid

BRIDGES = frozenset({"vmbr0"})
CLOUD_INIT_SIZE = 4 * 1024**2


class Machines:
    """Every method changes the world at once; the callers decide in which task and when."""

    def __init__(self, world: World, volumes: Volumes) -> None:
        self._world = world
        self._volumes = volumes

    def get(self, node: str, vmid: str | int) -> Machine:
        machine = self._world.machines.get(str(vmid))
        if machine is None or machine["node"] != node:
            raise failed(f"Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist")
        return machine

    def require_unused(self, vmid: int) -> None:
        other = self._world.machines.get(str(vmid))
        if other is not None:
            raise failed(f"VM {vmid} already exists on node '{other['node']}'")

    def add(self, node: str, vmid: int, config: dict[str, Any]) -> Machine:
        machine = make_machine(node, config)
        self._world.machines[str(vmid)] = machine
        counts = self._world.counts
        counts["vms_created"] += 1
        counts["creates"][str(vmid)] = counts["creates"].get(str(vmid), 0) + 1
        return machine

    def remove(self, vmid: int) -> None:
        """Forget a machine and its disks, as a failed clone and a finished delete do."""
        self._volumes.free_all(vmid)
        self._world.machines.pop(str(vmid), None)
        for pool in self._world.pools.values():
            pool["members"] = [member for member in pool["members"] if member != vmid]

    def complete_clone(self, source: Machine, vmid: int, node: str, storage: str | None, *, full: bool) -> None:
        """Copy the disks of `source` and give the clone its own identity; its lock is gone afterwards."""
        machine = self._world.machines[str(vmid)]
        wanted = machine["config"]
        config = {key: value for key, value in source["config"].items() if key not in {"template", "lock", "digest"}}
        for key in [key for key in config if DISK_KEY.match(key)]:
            config[key] = self._clone_disk(config[key], vmid, node, storage, full=full)
        for key in [key for key in config if key.startswith("net")]:
            config[key] = _renew_mac(config[key])
        config.update(
            vmgenid=make_uuid(), smbios1=f"uuid={make_uuid()}", meta=f"creation-qemu=10.1.2,ctime={int(time.time())}"
        )
        config.update({key: value for key, value in wanted.items() if key != "lock"})
        machine.update(config=config, node=node)

    def configure(self, node: str, vmid: int, values: dict[str, Any], delete: list[str]) -> None:
        """Apply parameters as PUT …/config does; disks that are named for the first time are allocated."""
        machine = self.get(node, vmid)
        config = machine["config"]
        for key in delete:
            self._drop_key(config, key)
        for key, value in values.items():
            if DISK_KEY.match(key):
                config[key] = self._settle_disk(config, node, vmid, value)
            elif key.startswith("net"):
                config[key] = _settle_net(value, config.get(key))
            elif key == "tags":
                config[key] = ";".join(
                    sorted({tag for tag in value.replace(",", ";").replace(" ", ";").split(";") if tag})
                )
            else:
                config[key] = value

    def resize(self, node: str, vmid: int, disk: str, text: str) -> None:
        config = self.get(node, vmid)["config"]
        if disk not in config:
            raise failed(f"disk '{disk}' does not exist")
        options = parse_options(config[disk])
        volid, current = options[""], self._volumes.size_of(options[""])
        wanted = current + parse_size(text[1:]) if text.startswith("+") else parse_size(text)
        if wanted < current:
            raise failed("shrinking disks is not supported")
        self._volumes.require_space(volid.partition(":")[0], node, wanted - current)
        self._world.volumes[volid]["size"] = wanted
        config[disk] = print_options({**options, "size": print_size(wanted)})

    def move_disk(self, node: str, vmid: int, disk: str, storage: str) -> None:
        config = self.get(node, vmid)["config"]
        options = parse_options(config[disk])
        old = options[""]
        new = self._volumes.allocate(storage, node, vmid, self._volumes.size_of(old))
        self._volumes.free(old)
        config[disk] = print_options({**options, "": new})

    def migrate(self, node: str, vmid: int, target: str, storage: str | None) -> None:
        machine = self.get(node, vmid)
        config = machine["config"]
        for key in [key for key in config if DISK_KEY.match(key)]:
            options = parse_options(config[key])
            if self._volumes.is_shared(options[""]) and not storage:
                continue
            size = self._volumes.size_of(options[""])
            name = "cloudinit" if "cloudinit" in options[""] else ""
            self._volumes.free(options[""])
            place = storage or options[""].partition(":")[0]
            config[key] = print_options({**options, "": self._volumes.allocate(place, target, vmid, size, name=name)})
        machine["node"] = target
        config.pop("lock", None)

    def start(self, node: str, vmid: int) -> None:
        machine = self.get(node, vmid)
        require_unlocked(machine)
        if machine["config"].get("template"):
            raise failed("you can't start a vm if it's a template")
        if machine["status"] == "running":
            raise failed(f"VM {vmid} already running")
        for key, value in machine["config"].items():
            bridge = parse_options(value).get("bridge") if key.startswith("net") else None
            if bridge and bridge not in BRIDGES:
                raise failed(f"bridge '{bridge}' does not exist")
        machine.update(status="running", started=time.time())

    def stop(self, node: str, vmid: int) -> None:
        self.get(node, vmid).update(status="stopped", started=None)

    def restart(self, node: str, vmid: int) -> None:
        machine = self.get(node, vmid)
        if machine["status"] != "running":
            raise failed(f"VM {vmid} not running")
        machine["started"] = time.time()

    def delete(self, node: str, vmid: int) -> None:
        require_unlocked(self.get(node, vmid))
        self.remove(vmid)
        self._world.counts["vms_destroyed"] += 1

    def require_deletable(self, node: str, vmid: int) -> None:
        """What Proxmox refuses before it starts a destroy task."""
        machine = self.get(node, vmid)
        config = machine["config"]
        if config.get("protection"):
            raise failed(f"can't remove VM {vmid} - protection mode enabled")
        if machine["status"] == "running":
            raise failed(f"VM {vmid} is running - destroy failed")
        used = [
            volid for volid, volume in self._world.volumes.items() if volume.get("parent") and volume["vmid"] != vmid
        ]
        if config.get("template"):
            for volid in used:
                if self._world.volumes[volid]["parent"] in {parse_options(str(v)).get("") for v in config.values()}:
                    raise failed(
                        f"base volume '{self._world.volumes[volid]['parent']}' is still in use by linked cloned"
                    )

    def make_template(self, node: str, vmid: int) -> None:
        config = self.get(node, vmid)["config"]
        for key in [key for key in config if DISK_KEY.match(key)]:
            options = parse_options(config[key])
            if "cloudinit" in options[""]:
                continue
            base = options[""].replace(f"vm-{vmid}-", f"base-{vmid}-")
            self._world.volumes[base] = self._world.volumes.pop(options[""])
            config[key] = print_options({**options, "": base})
        config["template"] = 1

    def _clone_disk(self, text: str, vmid: int, node: str, storage: str | None, *, full: bool) -> str:
        options = parse_options(text)
        volid = options[""]
        if volid == "none":
            return text
        place = storage or volid.partition(":")[0]
        if "cloudinit" in volid:
            new = self._volumes.allocate(place, node, vmid, CLOUD_INIT_SIZE, name="cloudinit")
        else:
            size = self._volumes.size_of(volid)
            new = self._volumes.allocate(place, node, vmid, size, parent="" if full else volid)
        return print_options({**options, "": new})

    def _drop_key(self, config: dict[str, Any], key: str) -> None:
        """Proxmox only warns about a key that is not set. A cloud-init drive goes at once, a disk becomes unused."""
        value = config.pop(key, None)
        if value is None or not DISK_KEY.match(key):
            return
        volid = parse_options(value).get("", "none")
        if "cloudinit" in volid:
            self._volumes.free(volid)
        elif volid != "none" and "media=cdrom" not in value:
            number = next(number for number in range(256) if f"unused{number}" not in config)
            config[f"unused{number}"] = volid

    def _settle_disk(self, config: dict[str, Any], node: str, vmid: int, text: str) -> str:
        options = parse_options(text)
        volid = options.pop("file", options.get("", ""))
        options.pop("import-from", None)
        storage, _, rest = volid.partition(":")
        if rest == "cloudinit":
            options.pop("format", None)
            size = CLOUD_INIT_SIZE
            new = self._volumes.allocate(storage, node, vmid, size, name="cloudinit")
            return print_options({**options, "": new, "media": "cdrom", "size": print_size(size)})
        if volid in {"none", "cdrom"} or options.get("media") == "cdrom":
            return print_options({**options, "": volid, "media": "cdrom"})
        if rest.isdigit():
            size = (int(rest) or 3) * 1024**3
            options.pop("format", None)
            volid = self._volumes.allocate(storage, node, vmid, size)
        else:
            size = self._volumes.size_of(volid)
        for unused in [other for other, value in config.items() if other.startswith("unused") and value == volid]:
            del config[unused]
        return print_options({**options, "": volid, "size": print_size(size)})


def require_unlocked(machine: Machine) -> None:
    lock = machine["config"].get("lock")
    if lock:
        raise failed(f"VM is locked ({lock})")


def compute_digest(config: dict[str, Any]) -> str:
    """Proxmox hashes the config file's text; this is the text that it would have."""
    text = "".join(f"{key}: {config[key]}\n" for key in sorted(config))
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def require_digest(config: dict[str, Any], digest: str | None) -> None:
    if digest and digest != compute_digest(config):
        raise failed("detected modified configuration - file changed by other user? Try again.")


def read_list(text: str) -> list[str]:
    return [part for part in text.replace(";", ",").replace(" ", ",").split(",") if part]


def read_id(text: str | None, key: str) -> int:
    if text is None:
        raise wrong_parameters({key: "property is missing and it is not optional"})
    if not text.isdigit() or not 100 <= int(text) <= 999_999_999:
        raise wrong_parameters({key: "invalid format - value does not look like a valid VM ID\n"})
    return int(text)


def _renew_mac(text: str) -> str:
    options = parse_options(text)
    model = next(iter(options))
    return _print_net(model, make_mac(), options)


def _settle_net(text: str, current: str | None) -> str:
    """Write the model first with its MAC, keeping the present MAC where none is given."""
    options = parse_options(text)
    model = options.pop("model", None) or options.get("") or next(iter(options))
    before = next(iter(parse_options(current).values())) if current else None
    mac = options.pop("macaddr", None) or options.get(model) or before or make_mac()
    return _print_net(model, mac.upper(), options)


def _print_net(model: str, mac: str, options: dict[str, str]) -> str:
    rest = {key: value for key, value in options.items() if key not in {model, ""}}
    return ",".join([f"{model}={mac}", *(f"{key}={rest[key]}" for key in sorted(rest))])
