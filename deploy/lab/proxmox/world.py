"""The cluster as it is: nodes, storages, machines, tasks. One JSON file, written through on every change."""

import json
import os
import secrets
import time
import uuid
from pathlib import Path
from typing import Any

from deploy.lab.proxmox.guest import make_host_key

NODES = ("pve1", "pve2")
TEMPLATE_ID = 9000
GIB = 1024**3
KEPT_TASKS = 500

Machine = dict[str, Any]


class World:
    """Holds the state; `save` makes it durable. Everything runs on one event loop, so no locks."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "cluster.json"
        if self.file.exists():
            self.state: dict[str, Any] = json.loads(self.file.read_text())
            for identity, token in _build_tokens().items():  # of a lab that was begun before there was such a token
                self.state["tokens"].setdefault(identity, token)
            self._end_interrupted_tasks()
        else:
            self.state = _build_cluster()
        self.save()

    @property
    def nodes(self) -> dict[str, Any]:
        return self.state["nodes"]

    @property
    def storages(self) -> dict[str, Any]:
        return self.state["storages"]

    @property
    def volumes(self) -> dict[str, Any]:
        return self.state["volumes"]

    @property
    def machines(self) -> dict[str, Machine]:
        return self.state["machines"]

    @property
    def tasks(self) -> dict[str, Any]:
        return self.state["tasks"]

    @property
    def pools(self) -> dict[str, Any]:
        return self.state["pools"]

    @property
    def counts(self) -> dict[str, Any]:
        return self.state["counts"]

    def save(self) -> None:
        finished = [upid for upid, task in self.tasks.items() if task["status"] == "stopped"]
        for upid in finished[: max(0, len(finished) - KEPT_TASKS)]:
            del self.tasks[upid]
        draft = self.file.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            json.dump(self.state, out)
        draft.replace(self.file)

    def find_by_name(self, name: str) -> list[int]:
        return [int(vmid) for vmid, machine in self.machines.items() if machine["config"].get("name") == name]

    def next_id(self) -> int:
        return next(number for number in range(100, 1_000_000_000) if str(number) not in self.machines)

    def _end_interrupted_tasks(self) -> None:
        """A cluster that went down in the middle of a task: the task is over, its machine stays locked."""
        for task in self.tasks.values():
            if task["status"] == "running":
                task.update(status="stopped", exitstatus="unexpected status", endtime=int(time.time()))


def make_machine(node: str, config: dict[str, Any]) -> Machine:
    return {"node": node, "status": "stopped", "started": None, "config": config, "host_key": make_host_key()}


def make_mac() -> str:
    """Proxmox's own prefix, BC:24:11, and three random bytes."""
    return "BC:24:11:" + ":".join(f"{byte:02X}" for byte in secrets.token_bytes(3))


def make_uuid() -> str:
    return str(uuid.uuid4())


def _build_cluster() -> dict[str, Any]:
    return {
        "name": "lab",
        "quorate": True,
        "started": int(time.time()) - 86_400,
        "nodes": {
            "pve1": {"address": "192.168.178.11", "nodeid": 1, "online": True, "cpus": 8, "memory": 32 * GIB},
            "pve2": {"address": "192.168.178.12", "nodeid": 2, "online": True, "cpus": 8, "memory": 32 * GIB},
        },
        "storages": {
            "local": _storage("dir", "iso,vztmpl,backup,import,snippets", 94, shared=False),
            "local-lvm": _storage("lvmthin", "images,rootdir", 350, shared=False),
            "ceph": _storage("rbd", "images,rootdir", 800, shared=True),
        },
        "volumes": {
            f"ceph:base-{TEMPLATE_ID}-disk-0": _volume(3 * GIB, TEMPLATE_ID, "pve1"),
            f"ceph:vm-{TEMPLATE_ID}-cloudinit": _volume(4 * 1024**2, TEMPLATE_ID, "pve1"),
        },
        "machines": {str(TEMPLATE_ID): _build_template()},
        "pools": {"lab": {"comment": "machines of the lab", "members": []}},
        "tasks": {},
        "tokens": _build_tokens(),
        "passwords": {"root@pam": secrets.token_urlsafe(18)},
        "counts": {
            "vms_created": 0,
            "vms_destroyed": 0,
            "double_creates": 0,
            "writes_by_audit_token": 0,
            "creates": {},
        },
    }


def _build_tokens() -> dict[str, Any]:
    purposes = {"audit": "reads", "builder": "changes", "keys": "reads host keys"}
    return {
        f"{user}@pve!watchbill": {"value": make_uuid(), "comment": purpose, "privsep": 1, "expire": 0}
        for user, purpose in purposes.items()
    }


def _storage(kind: str, content: str, gib: int, *, shared: bool) -> dict[str, Any]:
    return {"type": kind, "content": content, "total": gib * GIB, "base_used": gib * GIB // 20, "shared": shared}


def _volume(size: int, vmid: int, node: str) -> dict[str, Any]:
    return {"size": size, "vmid": vmid, "node": node, "ctime": int(time.time()), "parent": None}


def _build_template() -> Machine:
    config = {
        "agent": "enabled=1",
        "boot": "order=scsi0",
        "cores": 2,
        "cpu": "x86-64-v2-AES",
        "ide2": f"ceph:vm-{TEMPLATE_ID}-cloudinit,media=cdrom,size=4M",
        "ipconfig0": "ip=dhcp",
        "memory": "2048",
        "meta": "creation-qemu=10.1.2,ctime=1760000000",
        "name": "debian-12-cloud",
        "net0": f"virtio={make_mac()},bridge=vmbr0",
        "numa": 0,
        "onboot": 0,
        "ostype": "l26",
        "scsi0": f"ceph:base-{TEMPLATE_ID}-disk-0,discard=on,size=3G",
        "scsihw": "virtio-scsi-pci",
        "serial0": "socket",
        "smbios1": f"uuid={make_uuid()}",
        "sockets": 1,
        "template": 1,
        "vmgenid": make_uuid(),
    }
    return make_machine("pve1", config)
