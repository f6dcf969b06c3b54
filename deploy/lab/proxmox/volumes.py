"""Storages and the disks on them: names as each storage type gives them, and an end to the space."""

import time
from typing import Any

from deploy.lab.proxmox.answers import failed
from deploy.lab.proxmox.faults import Faults
from deploy.lab.proxmox.world import World


class Volumes:
    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self._faults = faults

    def get_storage(self, storage: str) -> dict[str, Any]:
        found = self._world.storages.get(storage)
        if found is None:
            raise failed(f"storage '{storage}' does not exist")
        return found

    def used(self, storage: str, node: str) -> int:
        settings = self.get_storage(storage)
        sizes = [
            volume["size"]
            for volid, volume in self._world.volumes.items()
            if volid.startswith(f"{storage}:") and (settings["shared"] or volume["node"] == node)
        ]
        if storage in self._faults.full_storages:
            return int(settings["total"])
        return int(settings["base_used"]) + sum(sizes)

    def require_space(self, storage: str, node: str, size: int) -> None:
        settings = self.get_storage(storage)
        if self.used(storage, node) + size <= settings["total"]:
            return
        if settings["type"] == "rbd":
            raise failed("rbd error: rbd: create error: (28) No space left on device")
        if settings["type"] == "lvmthin":
            raise failed("  Cannot create new thin volume, free space in thin pool pve/data reached threshold.".strip())
        raise failed("unable to create image: No space left on device")

    def allocate(self, storage: str, node: str, vmid: int, size: int, *, name: str = "", parent: str = "") -> str:
        """Make a volume and return its id, e.g. "ceph:vm-101-disk-0" or "local:101/vm-101-disk-0.qcow2"."""
        settings = self.get_storage(storage)
        if "images" not in settings["content"]:
            raise failed(f"storage '{storage}' does not support content-type 'images'")
        self.require_space(storage, node, size)
        for number in range(256):
            volid = _name_volume(storage, settings["type"], vmid, name or f"disk-{number}", parent)
            if self._find(volid, node) is None:
                break
            if name:
                return volid
        self._world.volumes[volid] = {
            "size": size,
            "vmid": vmid,
            "node": node,
            "ctime": int(time.time()),
            "parent": parent or None,
        }
        return volid

    def free(self, volid: str) -> None:
        self._world.volumes.pop(volid, None)

    def free_all(self, vmid: int) -> None:
        for volid in [volid for volid, volume in self._world.volumes.items() if volume["vmid"] == vmid]:
            self.free(volid)

    def size_of(self, volid: str) -> int:
        volume = self._world.volumes.get(volid)
        if volume is None:
            raise failed(f"volume '{volid}' does not exist")
        return int(volume["size"])

    def is_shared(self, volid: str) -> bool:
        return bool(self.get_storage(volid.partition(":")[0])["shared"])

    def list_content(self, storage: str, node: str) -> list[dict[str, Any]]:
        settings = self.get_storage(storage)
        return [
            describe_volume(volid, volume)
            for volid, volume in self._world.volumes.items()
            if volid.startswith(f"{storage}:") and (settings["shared"] or volume["node"] == node)
        ]

    def _find(self, volid: str, node: str) -> dict[str, Any] | None:
        tail = volid.rpartition("/")[2]
        del node  # machine ids are unique in the cluster, so are volume names
        return next((v for known, v in self._world.volumes.items() if known.rpartition("/")[2] == tail), None)


def _name_volume(storage: str, kind: str, vmid: int, name: str, parent: str) -> str:
    if kind == "dir":
        return f"{storage}:{vmid}/vm-{vmid}-{name}.qcow2"
    base = f"{parent.partition(':')[2]}/" if parent else ""
    return f"{storage}:{base}vm-{vmid}-{name}"


def describe_volume(volid: str, volume: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "volid": volid,
        "content": "images",
        "format": "qcow2" if volid.endswith(".qcow2") else "raw",
        "size": volume["size"],
        "vmid": volume["vmid"],
        "ctime": volume["ctime"],
    }
    if volume.get("parent"):
        shown["parent"] = volume["parent"].partition(":")[2]
    return shown
