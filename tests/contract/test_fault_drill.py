"""`fault_drill` against the lab's Proxmox API and probes on loopback: taken, asked, given back, whatever happens."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from bot.domain.approvals import Counted, Held, NotCounted
from bot.domain.calls import CallClass, Prepared, ToolResult
from bot.domain.ids import Json
from bot.domain.ports import Cannot, Scope
from tests.fakes import BO, QA, FakeWatch, call, mission, scope
from tests.gate_house import House as GateHouse
from tests.tool_house import LabProxmox, MemoryLocks, run_lab_proxmox
from tools.drill_course import Pace
from tools.estate import Estates
from tools.fault_drill import DrillYard, FaultDrill
from tools.hosts import Roster
from tools.kubeconfig import Kubeconfigs
from tools.kubernetes_api import Clusters
from tools.proxmox_api import Cluster, ProxmoxError, ask
from tools.proxmox_power import Power, Vm, What
from tools.ssh_connection import Connections
from tools.targets import Targets
from tools.trace import Trace

pytestmark = pytest.mark.slow
PACE = Pace(every_s=0.05, look_s=0.05, steady=3, restore_s=2, again_s=0.1, back_s=20, going_s=5)
NAMES = ("cp1", "cp2")
WHY = "shows that the app answers while one control plane is away"


@dataclass
class Services:
    """An app that always answers, and one that does not while cp1 is off. `mute`: neither answers."""

    house: "House"
    url: str = ""
    mute: bool = False

    async def app(self, _request: web.Request) -> web.Response:
        return web.Response(status=503 if self.mute else 200, text="Hello, world")

    async def tied(self, _request: web.Request) -> web.Response:
        up = await asyncio.to_thread(self.house.runs, "cp1")
        return web.Response(status=503 if self.mute or not up else 200)


@dataclass
class House:
    data: Path
    lab: LabProxmox
    power: Power
    scope: Scope = field(default_factory=lambda: scope(mission(estate="home"), QA))
    watch: FakeWatch = field(default_factory=FakeWatch)
    locks: MemoryLocks = field(default_factory=MemoryLocks)
    pace: Pace = PACE
    calls: int = 0

    def __post_init__(self) -> None:
        self.estates = Estates(self.data, self.data / "none")
        self.services = Services(self)
        machines = [(name, number, "pve1") for number, name in enumerate(NAMES, 121)]
        self.roster("home").note_apply("vms", "a" * 64, machines, [])

    def roster(self, estate: str) -> Roster:
        return Roster(self.estates.named(estate).root / "hosts")

    @property
    def tool(self) -> FaultDrill:
        clusters = Clusters(Kubeconfigs(self.estates, self.roster, Connections(None), lambda *_: None))
        yard = DrillYard(
            self.power, clusters, Targets(("127.0.0.1",)), self.estates, self.roster, self.locks, self.pace
        )
        return FaultDrill(yard)

    def runs(self, name: str) -> bool:
        return next(one for one in self.power.machines().values() if one.name == name).status == "running"

    def app(self) -> dict[str, Json]:
        return {"name": "app", "kind": "http", "url": f"{self.services.url}/app", "contains": "Hello"}

    async def prepare(self, **more: Any) -> Prepared | Cannot:
        self.calls += 1
        arguments = {"targets": list(NAMES), "seconds": 5, "probes": [self.app()], "words": WHY, **more}
        made = call("fault_drill", number=self.calls)
        made = type(made)(made.id, made.tool, arguments, QA, made.mission, made.turn)
        return await self.tool.prepare(made, self.tool.parse(arguments), self.scope)

    async def approved(self, **more: Any) -> Prepared:
        prepared = await self.prepare(**more)
        assert isinstance(prepared, Prepared), prepared
        return prepared

    async def run(self, prepared: Prepared) -> ToolResult:
        parsed = self.tool.parse(prepared.call.arguments)
        assert dict(await self.tool.pins(prepared, parsed)) == dict(prepared.pins)
        return (await self.tool.run(prepared, parsed, self.scope, self.watch)).result

    async def recover(self, prepared: Prepared) -> ToolResult:
        parsed = self.tool.parse(prepared.call.arguments)
        return (await self.tool.recover(prepared, parsed, self.scope, self.watch)).result

    async def until(self, words: str) -> None:
        while not any(words in part for told in self.watch.told for part in told):
            await asyncio.sleep(0.02)


class StubbornPower(Power):
    """A machine that the cluster keeps up."""

    def away(self, vm: Vm, what: What) -> bool:
        del vm, what
        return False

    def _task(self, *given: Any, **more: Any) -> None:
        """Asked for, and good."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabProxmox]:
    with run_lab_proxmox(tmp_path_factory.mktemp("proxmox")) as one:
        write = Cluster(one.url, one.write_token, one.ca)
        for number, name in enumerate((*NAMES, "stranger"), 121):
            fields = {"newid": str(number), "name": name, "full": "1", "storage": "ceph"}
            finish(write, ask(write, "post", ("nodes", "pve1", "qemu", "9000", "clone"), fields))
        yield one


def finish(cluster: Cluster, upid: str) -> None:
    while cluster.get("nodes", "pve1", "tasks", upid, "status")["status"] != "stopped":
        time.sleep(0.05)


@pytest.fixture
async def house(lab: LabProxmox, tmp_path: Path) -> AsyncIterator[House]:
    power = Power(Cluster(lab.url, lab.audit_token, lab.ca), Cluster(lab.url, lab.write_token, lab.ca))
    for vm in power.machines().values():
        power.give(vm, "network")
        power.give(vm, "power")
    one = House(tmp_path, lab, power)
    server = web.Application()
    server.add_routes([web.get("/app", one.services.app), web.get("/tied", one.services.tied)])
    runner = web.AppRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    one.services.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield one
    await runner.cleanup()


async def test_the_card_says_what_is_taken_how_long_and_what_is_asked(house: House) -> None:
    prepared = await house.approved(seconds=60)
    effect = prepared.effect
    assert effect.cls is CallClass.DESTROY
    assert effect.title == "Fault drill: power off cp1, cp2 in turn, 60 s each, and start them again"
    assert [(one.kind, one.name) for one in effect.targets] == [("vm", "cp1"), ("vm", "cp2")]
    assert "with “Hello”" in effect.notes[0] and "on STOP" in effect.notes[1]
    assert prepared.pins == {"vm.cp1": "pve1/121 running", "vm.cp2": "pve1/122 running"}
    assert house.runs("cp1") and house.runs("cp2")


async def test_each_in_turn_measured_and_given_back_and_no_evidence_ages(house: House) -> None:
    tied = {"name": "tied", "kind": "http", "url": f"{house.services.url}/tied"}
    prepared = await house.approved(probes=[house.app(), tied])
    seen: list[tuple[bool, ...]] = []
    running = asyncio.ensure_future(house.run(prepared))
    while not running.done():
        seen.append(tuple(await asyncio.gather(*(asyncio.to_thread(house.runs, name) for name in NAMES))))
        await asyncio.sleep(0.1)
    result = await running
    assert (result.status, result.changed) == ("ok", False), result.text
    assert (False, True) in seen and (True, False) in seen and (False, False) not in seen
    assert house.runs("cp1") and house.runs("cp2")
    probes = cast("list[dict[str, Any]]", result.facts["probes"])
    app, other = sorted(probes, key=lambda one: str(one["probe"]))
    assert app["share"] == 1 and app["outage_s"] == 0 and app["asked"] == app["answered"] > 0
    assert 0 < other["share"] < 1 and other["outage_s"] > 0
    turns = cast("list[dict[str, Any]]", result.facts["targets"])
    assert result.facts["restored"] is True and [one["target"] for one in turns] == ["cp1", "cp2"]
    assert house.locks.held == {}
    assert (await house.run(prepared)).status == "refused"


async def test_rule_5_stop_gives_back_at_once(house: House) -> None:
    prepared = await house.approved(seconds=600)
    running = asyncio.ensure_future(house.run(prepared))
    await house.until("cp1 away")
    while await asyncio.to_thread(house.runs, "cp1"):
        await asyncio.sleep(0.05)
    house.watch.stops = 1
    result = await running
    assert (result.status, result.changed) == ("interrupted", False)
    assert "STOP was pressed" in result.text and "Everything that was taken away is back." in result.text
    assert house.runs("cp1")


async def test_a_cancelled_drill_leaves_nothing_away(house: House) -> None:
    prepared = await house.approved(seconds=600)
    running = asyncio.ensure_future(house.run(prepared))
    await house.until("cp1 away")
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    while not await asyncio.to_thread(house.runs, "cp1"):
        await asyncio.sleep(0.05)
    assert json.loads(Trace.of(house.estates, prepared).path.read_text())["notes"]["away"] == []


async def test_rule_13_after_a_restart_what_was_away_is_given_back(house: House) -> None:
    prepared = await house.approved()
    untouched = await house.recover(prepared)
    assert untouched.status == "failed" and "before anything was taken away" in untouched.text
    trace = Trace.of(house.estates, prepared)
    vm = house.power.machines()[122]
    trace.begin({"what": "power", "away": [{"name": vm.name, "vmid": vm.vmid, "node": vm.node, "status": "running"}]})
    house.power.take(vm, "power")
    assert not house.runs("cp2")
    result = await house.recover(prepared)
    assert (result.status, result.changed) == ("interrupted", False) and "cp2 was away and runs again" in result.text
    assert house.runs("cp2")
    assert (await house.recover(prepared)).text.startswith("The program stopped during the drill")


async def test_what_cannot_be_given_back_is_said_and_ages_evidence(house: House) -> None:
    prepared = await house.approved(targets=["cp1"])
    running = asyncio.ensure_future(house.run(prepared))
    await house.until("cp1 away")
    house.lab.lab("fault", {"kind": "task_fails", "type": "qmstart", "count": 99, "message": "no space left"})
    result = await running
    house.lab.lab("fault", {"kind": "clear"})
    assert (result.status, result.changed, result.facts["restored"]) == ("failed", True, False)
    assert "cp1 could not be given back" in result.text and "start it by hand" in result.text


async def test_a_machine_that_goes_after_its_stop_was_given_up_comes_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request was lost on the way back, and Proxmox carries it out when everything seems well again."""
    late: list[asyncio.TimerHandle] = []
    loop, power = asyncio.get_running_loop(), house.power

    def stop_later(*_: Any) -> None:
        loop.call_soon_threadsafe(lambda: late.append(loop.call_later(0.15, lambda: loop.run_in_executor(None, go))))
        raise ProxmoxError("no answer")

    def go() -> None:
        ask(power.write, "post", ("nodes", "pve1", "qemu", "121", "status", "stop"), {})

    monkeypatch.setattr(Power, "take", stop_later)
    result = await house.run(await house.approved(targets=["cp1"]))
    assert late and (result.status, result.changed, result.facts["restored"]) == ("failed", False, True)
    assert "no answer" in result.text
    await asyncio.sleep(0.3)
    assert house.runs("cp1")


async def test_a_machine_that_stays_is_no_machine_that_was_away(house: House) -> None:
    """Highly available, a stop is only asked for: the task is good, and the machine runs."""
    house.lab.lab("fault", {"kind": "clear"})
    power = Power(house.power.audit, house.power.write)
    vm = power.machines()[121]
    with pytest.raises(ProxmoxError, match="cp1 was told to go and is still there after 0 s"):
        StubbornPower(power.audit, power.write).take(vm, "power", 0.2, 0.05)
    assert power.runs(vm)


async def test_the_seconds_begin_when_the_machine_is_away(house: House) -> None:
    house.lab.lab("fault", {"kind": "slow_tasks", "type": "qmstop", "seconds": 2})
    tied = {"name": "tied", "kind": "http", "url": f"{house.services.url}/tied"}
    result = await house.run(await house.approved(targets=["cp1"], probes=[house.app(), tied]))
    house.lab.lab("fault", {"kind": "clear"})
    (turn,) = cast("list[dict[str, Any]]", result.facts["targets"])
    (other,) = [one for one in turn["probes"] if one["probe"] == "tied"]
    assert result.status == "ok" and turn["off_s"] == 5
    assert other["answered"] == 0 < other["asked"], "whatever was asked while it was away found it away"


async def test_a_cable_that_would_not_cut_it_off_is_not_pulled(house: House) -> None:
    house.power.take(house.power.machines()[121], "network")
    refused = await house.prepare(stop="network_cut", targets=["cp1"])
    assert isinstance(refused, Cannot) and "cp1's net0 is unplugged already" in refused.text
    house.power.give(house.power.machines()[121], "network")
    ask(house.power.write, "put", ("nodes", "pve1", "qemu", "121", "config"), {"net1": "virtio,bridge=vmbr0"})
    refused = await house.prepare(stop="network_cut", targets=["cp1"])
    ask(house.power.write, "put", ("nodes", "pve1", "qemu", "121", "config"), {"delete": "net1"})
    assert isinstance(refused, Cannot) and "cp1 has net1 beside net0" in refused.text


async def test_the_network_is_cut_and_mended(house: House) -> None:
    vm = house.power.machines()[121]
    net = house.power.audit.get("nodes", "pve1", "qemu", 121, "config")["net0"]
    house.power.take(vm, "network")
    assert house.power.away(vm, "network")
    house.power.give(vm, "network")
    assert house.power.audit.get("nodes", "pve1", "qemu", 121, "config")["net0"] == net
    house.power.give(vm, "network")
    assert not house.power.away(vm, "network")


async def test_it_begins_only_where_everything_is_well_and_ours(house: House) -> None:
    refusals: dict[str, dict[str, Any]] = {
        "stranger is no machine of this estate's plans (cp1, cp2)": {"targets": ["stranger"]},
        "example.org is not among the probe targets": {
            "probes": [{"name": "x", "kind": "http", "url": "http://example.org/"}]
        },
        "app: status 200": {"probes": [house.app() | {"expect_status": 418}]},
        "api: No kubeconfig is held for estate home": {"probes": [{"name": "api", "kind": "kubernetes"}]},
    }
    for words, more in refusals.items():
        refused = await house.prepare(**more)
        assert isinstance(refused, Cannot) and words in refused.text
    house.locks.held["estate/home"] = ("99", "terraform plan 1234")
    taken = await house.prepare()
    assert isinstance(taken, Cannot) and "The estate is in use" in taken.text


async def test_a_target_is_left_alone_while_a_probe_does_not_answer(house: House) -> None:
    house.pace = Pace(every_s=0.05, look_s=0.05, steady=3, restore_s=2, again_s=0.1, back_s=1)
    prepared = await house.approved()
    house.services.mute = True
    result = await house.run(prepared)
    assert (result.status, result.changed) == ("failed", False) and "cp1 was left alone" in result.text


async def test_rule_11_a_machine_that_moved_voids_the_approval(house: House) -> None:
    prepared = await house.approved()
    house.power.take(house.power.machines()[122], "power")
    assert await house.tool.pins(prepared, house.tool.parse(prepared.call.arguments)) != prepared.pins
    refused = await house.prepare()
    assert isinstance(refused, Cannot) and "cp2 does not run" in refused.text


async def test_rule_11_through_the_gate_with_its_names_typed_and_once(house: House, tmp_path: Path) -> None:
    (tmp_path / "gate").mkdir()
    gate = GateHouse(tmp_path / "gate")
    gate.state = house.scope.mission
    gate.set(tools={**gate.parts.tools, "fault_drill": house.tool}, crew={**gate.crew, QA: ("fault_drill",)})
    arguments = {"targets": ["cp2"], "seconds": 5, "probes": [house.app()], "words": WHY}
    asked = await gate.gate.submit(call("fault_drill", QA, 1, **arguments), house.scope, "", house.watch)
    assert isinstance(asked, Held), asked
    assert (asked.request.environment, asked.request.terms.typed_names) == ("production", ("cp2",))
    assert isinstance(await gate.vote(asked.request.id, BO, typed="cp1"), NotCounted)
    assert isinstance(await gate.vote(asked.request.id, BO, typed="cp2"), Counted)
    settled = await gate.settle(asked.request)
    assert (settled.result.status, settled.result.changed) == ("ok", False)
    assert house.runs("cp2")
    assert (await gate.settle(asked.request)).result == settled.result  # told again, not done again
