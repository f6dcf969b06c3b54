"""The lab's own calls beside the API: look, break, and meddle. Loopback only, no credentials."""

import copy
import json
from typing import Any

from aiohttp import web

from deploy.lab.proxmox.answers import Refused
from deploy.lab.proxmox.faults import UnknownFaultError
from deploy.lab.proxmox.options import check_parameters
from deploy.lab.proxmox.record import Record
from deploy.lab.proxmox.site import Site
from deploy.lab.proxmox.world import make_machine

MACHINE_FAULTS = frozenset({"power_off", "network", "disk_full", "missing_binary", "host_key", "apt_lock"})


class Control:
    def __init__(self, site: Site, record: Record) -> None:
        self._site = site
        self._record = record

    def list_routes(self) -> list[web.RouteDef]:
        return [
            web.get("/lab/state", self.show_state),
            web.get("/lab/record", self.show_record),
            web.get("/lab/report", self.show_report),
            web.get("/lab/logs", self.show_logs),
            web.post("/lab/fault", self.arrange_fault),
            web.post("/lab/out_of_band", self.meddle),
            web.post("/lab/canaries", self.plant_canaries),
        ]

    async def show_state(self, request: web.Request) -> web.Response:
        del request
        state = copy.deepcopy(self._site.world.state)
        state.pop("passwords")
        for token in state["tokens"].values():
            token.pop("value")
        return web.json_response(state)

    async def show_record(self, request: web.Request) -> web.Response:
        del request
        return web.json_response({"calls": self._record.calls})

    async def show_report(self, request: web.Request) -> web.Response:
        del request
        counts = {"refused_creates": 0, **self._site.world.counts}
        return web.json_response(counts | {"secrets_seen": self._record.secrets_seen, "calls": len(self._record.calls)})

    async def show_logs(self, request: web.Request) -> web.Response:
        """A machine's console and journal, newest last."""
        vmid = request.query.get("vmid", "")
        if vmid not in self._site.world.machines:
            return web.json_response({"ok": False, "error": f"there is no machine {vmid!r}"}, status=400)
        return web.json_response(await self._site.hardware.read_logs(int(vmid)))

    async def plant_canaries(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        self._record.plant([str(secret) for secret in wanted.get("secrets", [])])
        return web.json_response({"ok": True})

    async def arrange_fault(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        world = self._site.world
        match wanted.get("kind"):
            case "quorum":
                world.state["quorate"] = not wanted.get("lost", True)
            case "lock":
                return await self._answer(self._lock, wanted)
            case "node":
                return await self._answer(self._switch_node, wanted)
            case kind if kind in MACHINE_FAULTS:
                return await self._answer(self._strike, wanted)
            case _:
                try:
                    self._site.faults.arrange(wanted)
                except (UnknownFaultError, KeyError, ValueError) as wrong:
                    return web.json_response({"ok": False, "error": str(wrong)}, status=400)
                if wanted.get("kind") == "clear":
                    await self._site.hardware.heal()
                    world.state["quorate"] = True
                    for node in world.nodes.values():
                        node["online"] = True
        world.save()
        return web.json_response({"ok": True})

    async def meddle(self, request: web.Request) -> web.Response:
        return await self._answer(self._meddle, await request.json())

    async def _answer(self, act: Any, wanted: dict[str, Any]) -> web.Response:
        try:
            await act(wanted)
        except Refused as refused:
            return web.json_response({"ok": False, "error": refused.reason}, status=400)
        except (KeyError, ValueError) as missing:
            return web.json_response({"ok": False, "error": f"missing or wrong: {missing}"}, status=400)
        self._site.world.save()
        return web.json_response({"ok": True})

    async def _lock(self, wanted: dict[str, Any]) -> None:
        config = self._site.world.machines[str(wanted["vmid"])]["config"]
        lock = wanted.get("lock", "backup")
        if lock:
            config["lock"] = lock
        else:
            config.pop("lock", None)

    async def _switch_node(self, wanted: dict[str, Any]) -> None:
        node = self._site.world.nodes[wanted["node"]]
        node["online"] = bool(wanted.get("online", False))
        if not node["online"]:
            await self._site.power.cut_node(wanted["node"])

    async def _strike(self, wanted: dict[str, Any]) -> None:
        """Faults inside one real machine; losing its power also ends its entry's being "running"."""
        machine = self._site.world.machines.get(str(wanted["vmid"]))
        if machine is None:
            raise ValueError(f"there is no machine {wanted['vmid']}")
        if wanted["kind"] == "power_off":
            await self._site.power.stop(machine["node"], int(wanted["vmid"]))
            return
        if machine["status"] != "running":
            raise ValueError(f"machine {wanted['vmid']} is not running")
        await self._site.hardware.strike(wanted)

    async def _meddle(self, wanted: dict[str, Any]) -> None:
        machines, vmid = self._site.machines, int(wanted["vmid"])
        if wanted["action"] == "create":
            machines.require_unused(vmid)
            config = {"name": wanted.get("name", f"VM{vmid}"), "cores": 1, "memory": "512"}
            self._site.world.machines[str(vmid)] = make_machine(wanted.get("node", "pve1"), config)
            return
        node = self._site.world.machines[str(vmid)]["node"]
        match wanted["action"]:
            case "delete":
                await self._site.power.forget(vmid)
            case "start":
                await self._site.power.start(node, vmid)
            case "stop":
                await self._site.power.stop(node, vmid)
            case "migrate":
                machines.migrate(node, vmid, wanted["node"], None)
            case "config":
                values, errors = check_parameters({key: str(value) for key, value in wanted.get("set", {}).items()})
                if errors:
                    raise ValueError(json.dumps(errors))
                machines.configure(node, vmid, values, list(wanted.get("delete", [])))
            case other:
                raise ValueError(f"action {other!r}: create, delete, start, stop, migrate, config")
