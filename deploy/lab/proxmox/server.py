"""HTTPS in front of the cluster: credentials, faults, the record, and the right function for each path."""

import asyncio
import inspect
import json
import logging
import time
import urllib.parse
from pathlib import Path
from typing import Any

from aiohttp import web

from deploy.lab.proxmox import agent_calls, cluster_calls, node_calls, qemu_calls
from deploy.lab.proxmox.access import AUDIT_USER, Doorman
from deploy.lab.proxmox.answers import Refused, render_data, render_refusal
from deploy.lab.proxmox.control import Control
from deploy.lab.proxmox.faults import Faults, HttpFault
from deploy.lab.proxmox.hardware import Hardware
from deploy.lab.proxmox.machines import Machines
from deploy.lab.proxmox.power import Power
from deploy.lab.proxmox.record import Record, hide_values
from deploy.lab.proxmox.site import Call, Routes, Site
from deploy.lab.proxmox.tasks import Tasks
from deploy.lab.proxmox.volumes import Volumes
from deploy.lab.proxmox.world import World

LOG = logging.getLogger("lab.proxmox")
PREFIXES = ("/api2/json", "/api2/extjs")
ROUTES = Routes(
    cluster_calls.ROUTES.table + node_calls.ROUTES.table + qemu_calls.ROUTES.table + agent_calls.ROUTES.table
)


def build_site(folder: Path, hardware: Hardware, *, pace: float) -> Site:
    world, faults = World(folder), Faults()
    volumes = Volumes(world, faults)
    machines = Machines(world, volumes)
    return Site(
        world=world,
        faults=faults,
        tasks=Tasks(world, faults, pace),
        volumes=volumes,
        machines=machines,
        hardware=hardware,
        power=Power(world, machines, hardware),
        doorman=Doorman(world.state),
    )


class Api:
    def __init__(self, site: Site, record: Record) -> None:
        self._site = site
        self._record = record

    async def answer(self, request: web.Request) -> web.StreamResponse:
        started = time.monotonic()
        path = _read_path(request)
        body = await request.text()
        given = _read_parameters(request, body)
        noted: dict[str, Any] = {"method": request.method, "path": path, "token": None, "given": hide_values(given)}
        fault = self._site.faults.take_http(request.method, path)
        if fault is not None and fault.delay:
            await asyncio.sleep(fault.delay)
        try:
            if fault is not None and not fault.after:
                _strike(fault)
            response = render_data(await self._decide(request, path, given, noted))
            noted["status"] = 200
            if fault is not None and fault.after:
                _strike(fault)
        except Refused as refused:
            response = render_refusal(refused)
            noted |= {"status": refused.status, "reason": refused.reason}
        noted["ms"] = round((time.monotonic() - started) * 1000, 1)
        self._record.add(noted, f"{urllib.parse.unquote(request.path_qs)}\n{body}\n{urllib.parse.unquote_plus(body)}")
        LOG.info("%(method)s %(path)s %(status)s", noted)
        if fault is not None and fault.drop and request.transport is not None:
            request.transport.abort()
        return response

    async def _decide(self, request: web.Request, path: str, given: dict[str, str], noted: dict[str, Any]) -> Any:
        doorman = self._site.doorman
        if path == "/access/ticket" and request.method == "POST":
            return doorman.open_ticket(given.get("username", ""), given.get("password", ""))
        caller = doorman.identify(request.method, request.headers, request.cookies)
        noted["token"] = caller.identity
        if caller.user == AUDIT_USER and request.method != "GET":
            self._site.world.counts["writes_by_audit_token"] += 1
        answer, matched = ROUTES.find(request.method, path)
        data = answer(self._site, Call(caller, request.method, matched, given))
        if inspect.isawaitable(data):
            data = await data
        if request.method != "GET":
            self._site.world.save()
        return data


def build_app(site: Site, record: Record) -> web.Application:
    api = Api(site, record)

    async def stop_tasks(app: web.Application) -> None:
        del app
        await site.tasks.stop()

    app = web.Application(client_max_size=4 * 1024**2)
    app.add_routes(Control(site, record).list_routes())
    for prefix in PREFIXES:
        app.router.add_route("*", prefix + "/{tail:.*}", api.answer)
    app.on_shutdown.append(stop_tasks)
    return app


def _strike(fault: HttpFault) -> None:
    if fault.status or fault.drop:
        raise Refused(fault.status or 599, fault.reason)


def _read_path(request: web.Request) -> str:
    """The path below /api2/json, each segment decoded: volume ids carry an encoded slash."""
    raw = request.raw_path.partition("?")[0]
    segments = [urllib.parse.unquote(segment) for segment in raw.split("/")[3:]]
    return "/" + "/".join(segment for segment in segments if segment)


def _read_parameters(request: web.Request, body: str) -> dict[str, str]:
    given = dict(request.query)
    if not body:
        return given
    if request.content_type == "application/json":
        try:
            given.update({key: _text(value) for key, value in json.loads(body).items()})
        except (ValueError, AttributeError):
            raise web.HTTPBadRequest(reason="malformed JSON string") from None
    else:
        given.update(urllib.parse.parse_qsl(body, keep_blank_values=True))
    return given


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
