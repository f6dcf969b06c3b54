"""`/cluster-status`: live sources side by side, each degraded by itself, and who has the estate."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from bot.answers import Answers, Silent
from bot.domain.approvals import ApprovalRequest, Ran, Refused, Submitted
from bot.domain.calls import CallClass, ToolCall, ToolResult
from bot.domain.contract import Criterion, Evidence
from bot.domain.deputies import Deputy
from bot.domain.ids import CallId, MissionId, Thread
from bot.domain.inbound import Commanded, Reply
from bot.domain.ports import Scope, Watch
from bot.domain.posts import ApprovalCard, Private
from bot.domain.state import CallRecord, Mission, Shown
from bot.status import Status
from bot.verifying import Verifier
from tests.fakes import ANA, QA, THREAD, FakeClock, mission

ASKED = Commanded("cluster-status", "", Reply("T0", "C0", "1.0", ANA), THREAD)
PROXMOX: dict[str, dict[str, Any]] = {
    "cluster": {"name": "lab", "quorate": True},
    "nodes": {"nodes": [{"name": "pve1", "status": "online", "cpus": 4, "memory_gib": 16, "memory_used_gib": 4}]},
    "vms": {"vms": [{"name": "cp1", "vmid": 121, "node": "pve1", "status": "running"}]},
    "storage": {
        "storage": [
            {"storage": "ceph", "node": node, "shared": True, "free_gib": 3, "size_gib": 100}
            for node in ("pve1", "pve2")
        ]
    },
}
KUBERNETES: dict[str, dict[str, Any]] = {
    "health": {
        "ready": True, "failed": [], "version": "v1.33.13", "server": "https://192.168.178.20:6443", "etcd_check": True, "etcd_ready": 2,
        "etcd": [{"name": f"etcd-cp{n}", "node": f"cp{n}", "ready": n < 3} for n in (1, 2, 3)], "certificate_days": 5, "kubeconfig_days": 300,
    },
    "nodes": {"nodes": [
        {"name": "cp1", "ready": True, "schedulable": True, "roles": ["control-plane"], "version": "v1.33.13", "pressure": []},
        {"name": "cp2", "ready": False, "schedulable": False, "roles": [], "version": "v1.33.13", "pressure": ["DiskPressure"]},
    ]},
    "pods": {"count": 20, "unhealthy": 1, "pods": [{"namespace": "web", "name": "hello-1", "phase": "Running", "why": "CrashLoopBackOff"}]},
}  # fmt: skip
NOWHERE = "No kubeconfig is held for estate home."


@dataclass
class Door:
    """Answers of both tools, and of http_probe; `away` names tools that never answer."""

    away: frozenset[str] = frozenset()
    kubernetes: Mapping[str, Any] | None = None
    status: int = 200
    asks: bool = False
    asked: list[str] = field(default_factory=list[str])

    async def submit(self, call: ToolCall, scope: Scope, words: str, watch: Watch) -> Submitted:
        raise AssertionError("nobody is asked by looking", call, scope, words, watch)

    async def probe(self, call: ToolCall, scope: Scope, watch: Watch) -> Ran | Refused:
        assert watch.stopping() == 0
        self.asked.append(call.tool)
        if call.tool in self.away:
            await asyncio.Event().wait()
        if self.asks:
            text = f"{call.tool} asks people each time it is change."
            return Refused(ToolResult(call.id, call.tool, "refused", text, facts={"asks": True}))
        if call.tool == "http_probe":
            assert scope.persona == QA
            return Ran(ToolResult(call.id, call.tool, "ok", f"{self.status} in 9 ms", facts={"status": self.status}))
        assert scope.persona == "watchbill"
        if call.tool == "kubernetes_read" and self.kubernetes is None:
            return Ran(ToolResult(call.id, call.tool, "failed", NOWHERE))
        facts = (PROXMOX if call.tool == "proxmox_read" else self.kubernetes or {})[str(call.arguments["what"])]
        return Ran(ToolResult(call.id, call.tool, "ok", "", facts=facts))

    async def deputies(self) -> tuple[Deputy, ...]:
        raise AssertionError

    def card(self, request: ApprovalRequest, result: ToolResult | None = None) -> ApprovalCard:
        raise AssertionError((request, result))


class NothingWaits:
    async def pending(self, thread: Thread | None = None) -> Sequence[ApprovalRequest]:
        assert thread is None
        return ()


@dataclass
class Journal:
    state: Mission | None = None

    async def missions(self, *, running: bool) -> tuple[MissionId, ...]:
        assert not running
        return (self.state.id,) if self.state else ()

    async def kept(self, mission: MissionId) -> Mission | None:
        assert self.state is not None and mission == self.state.id
        return self.state

    async def read(self, mission: MissionId, after: str) -> Sequence[Any]:
        assert self.state is not None and (mission, after) == (self.state.id, self.state.last)
        return ()


class Silence:
    """The outbox of a status: a look tells nobody."""

    async def put(self, *posts: Any) -> None:
        raise AssertionError(posts)


def proved(tool: str = "http_probe", cls: CallClass = CallClass.READ) -> Mission:
    """A mission that ended with one criterion shown."""
    probe = {"url": "http://hello.lab/"}
    evidence = Evidence(
        1, "passed", CallId("c1"), "200 in 8 ms", QA, check="status == `200`", tool=tool, arguments=probe
    )
    record = CallRecord(CallId("c1"), tool, "ok", "", cls=cls)
    criteria = (Criterion(1, "hello answers", "hello", ""),)
    return replace(
        mission(estate="home"),
        ended="done",
        criteria=criteria,
        evidence={1: Shown(evidence, 5)},
        results={CallId("c1"): record},
    )


async def show(door: Door, state: Mission | None = None, held: tuple[str, str] | None = None) -> Private:
    async def lock() -> tuple[str, str] | None:
        return held

    clock, waits, journal = FakeClock(), cast("Any", NothingWaits()), cast("Any", Journal(state))
    verifier = Verifier(door, cast("Any", Silence()), clock, Silent())
    status = Status(door=door, approvals=waits, journal=journal, clock=clock, watch=Silent(), verifier=verifier, lock=lock,
                    estate="home", patience_s=0.2)  # fmt: skip
    return await status.show(ASKED)


async def test_what_would_ask_people_is_not_probed_and_says_so() -> None:
    """It was a read when it was recorded, or nobody knows any more: what it is today counts."""
    door = Door(asks=True)
    verifier = Verifier(door, cast("Any", Silence()), FakeClock(), Silent())
    (one,) = await verifier.look(replace(proved(), results={}))
    assert (one.standing, door.asked) == ("not probed", ["http_probe"])
    assert one.seen.startswith("http_probe asks people each time it is change.")


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (("3", "from plan to apply"), "1 nodes, 1 VMs, 0 approvals waiting. Mission 3 has the estate, from plan to apply."),
        (None, "1 nodes, 1 VMs, 0 approvals waiting."),
    ],
)  # fmt: skip
async def test_cluster_status_names_who_has_the_estate(held: tuple[str, str] | None, said: str) -> None:
    shown = await show(Door(), held=held)
    assert shown.text == f"{said}\nNot well: storage ceph is nearly full."
    assert shown.rows == (
        ("what", "name", "state", "detail"), ("quorum", "lab", "yes", ""), ("node", "pve1", "online", "4 CPU, 4 of 16 GiB"),
        ("storage", "ceph", "nearly full", "3 of 100 GiB free"), ("VM", "cp1", "running", "121 on pve1"),
        ("Kubernetes", "", "none known", NOWHERE),
    )  # fmt: skip
    assert shown.refresh == "cluster-status"


async def test_the_command_shows_it() -> None:
    async def lock() -> None:
        return None

    door, clock, unused = Door(), FakeClock(), cast("Any", None)
    answers = Answers(
        journal=cast("Any", Journal()), approvals=cast("Any", NothingWaits()), door=door, personas={}, clock=clock, titles=str,
        watch=Silent(), estate="home", audit=unused, limit_usd=5.0, lock=lock,
        verifier=Verifier(door, unused, clock, Silent()),
    )  # fmt: skip
    assert (await answers.answer(ASKED)).title == "Estate home"


async def test_kubernetes_its_members_nodes_and_certificates() -> None:
    shown = await show(Door(kubernetes=KUBERNETES))
    assert shown.rows[5:] == (
        ("Kubernetes", "192.168.178.20:6443", "ready", "v1.33.13"),
        ("etcd", "3 members", "2 healthy", "check ok, etcd-cp3 on cp3"),
        ("certificate", "API server", "ends soon", "5 days left"),
        ("certificate", "kubeconfig", "ok", "300 days left"),
        ("k8s node", "cp1", "Ready", "control-plane v1.33.13"),
        ("k8s node", "cp2", "NOT READY, cordoned", "worker v1.33.13 DiskPressure"),
        ("pods", "20", "1 not healthy", "web/hello-1 CrashLoopBackOff"),
    )
    for words in ("1 of 2 Kubernetes nodes ready", "etcd: etcd-cp3 on cp3", "Kubernetes node cp2 is not ready", "cp2: DiskPressure",
                  "certificate of API server: 5 days left", "pods: web/hello-1 CrashLoopBackOff"):  # fmt: skip
        assert words in shown.text


@pytest.mark.parametrize(("away", "left"), [("proxmox_read", "Kubernetes"), ("kubernetes_read", "quorum")])
async def test_a_source_that_is_away_is_a_row_and_the_others_are_shown(away: str, left: str) -> None:
    shown = await show(Door(frozenset({away}), KUBERNETES))
    name = "Proxmox" if away == "proxmox_read" else "Kubernetes"
    assert (name, "", "no answer", "no answer within 0.2 s") in shown.rows
    assert left in {row[0] for row in shown.rows}
    assert f"{name}: no answer within 0.2 s" in shown.text


async def test_what_a_mission_proved_is_asked_again_and_nobody_is_told() -> None:
    shown = await show(Door(), proved())
    assert shown.rows[-2:] == (
        ("answers", "http://hello.lab/", "holds", "mission 7, criterion 1: 200 in 8 ms"),
        ("evidence", "mission 7", "1 of 1 hold", ""),
    )
    gone = await show(Door(status=503), proved())
    assert gone.rows[-1] == ("evidence", "mission 7", "0 of 1 hold", "1 hello answers")
    assert "mission 7, criterion 1 no longer holds" in gone.text
    late = await show(Door(frozenset({"http_probe"})), proved())
    assert late.rows[-1] == ("evidence", "mission 7", "0 of 1 hold", "1 not asked here")


async def test_a_fault_drill_is_never_repeated_by_a_look() -> None:
    door = Door()
    shown = await show(door, proved("fault_drill", CallClass.DESTROY))
    assert "fault_drill" not in door.asked
    assert shown.rows[-1] == ("evidence", "mission 7", "0 of 1 hold", "1 not asked here")
