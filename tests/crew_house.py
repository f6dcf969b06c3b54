"""The whole program between Slack's edge and the tools: real store, engine, lanes, desk, turns, loop, gate and policies.

Only the model, the tools behind the gate and the clock are played.
"""
# ruff: noqa: ARG002 - a double takes what the port takes

import asyncio
import contextlib
import hashlib
import json
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

from bot.agents.answering import Answering
from bot.agents.health import CrewHealth
from bot.agents.loop import AgentLoop
from bot.agents.persona import Persona, load_personas
from bot.answers import Answers, Silent
from bot.audit_heads import Heads
from bot.closing import Closing
from bot.domain.calls import CallClass, Effect, Item, Prepared, ResultStatus, Target, ToolCall, ToolResult
from bot.domain.ids import Json, LaneKey, MissionId, PersonaName, Thread, UserId
from bot.domain.model import Answered, ModelReply, ModelRequest, ToolSpec
from bot.domain.outcomes import LimitReached
from bot.domain.people import Human, Role
from bot.domain.ports import Cannot, Done, Scope, Tool, Watch
from bot.domain.posts import Post
from bot.domain.state import Mission
from bot.engine import Engine
from bot.engine import Parts as EngineParts
from bot.gate import ExecutionLedger, Gate
from bot.gate import Parts as GateParts
from bot.immediate import Desk
from bot.lane import LaneRules
from bot.llm.prices import load_prices
from bot.mission import fold
from bot.policy.authorise import Authoriser
from bot.policy.environments import EnvironmentMap, Mapped
from bot.policy.knowledge import Knowledge, load_knowledge
from bot.policy.limits import Limit, Limits
from bot.policy.maintenance import Maintenance
from bot.policy.redaction import SecretRedactor
from bot.policy.stepup import TotpCodes
from bot.policy.threat import ThreatModel
from bot.store.store import Store
from bot.turn import Turns
from bot.verifying import Verifier
from tests.core_fakes import pairs_hold
from tests.fakes import ANA, BO, CHRIS, MALLORY, FakeInventory, FakePeople
from tools.crew import crew_tools

ROOT = Path(__file__).resolve().parent.parent
THREAD = Thread("T1", "C1", "1700000000.000100")
DANA, EVE = UserId("U0DANA0001"), UserId("U0EVE00001")
USERS = {"ana": ANA, "bo": BO, "chris": CHRIS, "dana": DANA, "eve": EVE, "mallory": MALLORY}
READS = (
    "workspace_list", "workspace_read", "workspace_write", "workspace_patch", "terraform_validate", "terraform_plan",
    "terraform_show", "terraform_output", "terraform_state", "proxmox_read", "http_probe", "scan",
    "tcp_probe", "dns_probe", "ssh", "ansible_check", "ansible_run", "kubernetes_read", "kubernetes_apply",
    "kubernetes_change", "fault_drill",
)  # fmt: skip
TOGETHER = frozenset({"workspace_list", "workspace_read", "proxmox_read", "http_probe", "scan", "terraform_show"})


class ShiftedClock:
    """The real time, and what `later` added to it."""

    def __init__(self) -> None:
        self.shift = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.shift

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.05))


class Gates:
    """Named places where the model or a tool waits until the test lets it go on."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = {}
        self.reached: set[str] = set()
        self.open = False

    def event(self, name: str) -> asyncio.Event:
        return self._events.setdefault(name, asyncio.Event())

    def open_all(self) -> None:
        """The test is over: nobody waits any more."""
        self.open = True
        for event in self._events.values():
            event.set()

    async def wait(self, name: str) -> None:
        if name and not self.open:
            self.reached.add(name)
            await self.event(name).wait()


# the model --------------------------------------------------------------------------------------------------------


class PlayedModel:
    """Answers each persona from its own list; `wrong` collects what nobody expected."""

    def __init__(self, answer: Callable[[str, ModelRequest], Any]) -> None:
        self._answer = answer
        self.asked: list[str] = []
        self.wrong: list[str] = []
        self.now = 0
        self.most = 0

    async def ask(self, request: ModelRequest) -> ModelReply:
        persona = (request.tag or {}).get("persona", "")
        self.asked.append(persona)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            pairs_hold(request)
            return await self._answer(persona, request)
        except AssertionError as error:
            self.wrong.append(f"{persona}: {error}")
            raise
        finally:
            self.now -= 1


def filled(value: Json, request: ModelRequest) -> Json:
    """`{plan}`: the newest plan id that this agent has read; `{result <tool>}`: the id of its newest result of a tool."""
    match value:
        case str():
            text = "\n".join(_texts(request))
            value = re.sub(r"\{plan\}", lambda _: re.findall(r"[Pp]lan ([0-9a-f]{12,64})", text)[-1], value)

            def newest(found: re.Match[str]) -> str:
                return re.findall(rf"\[result (\S+)\] {found[1]} ", text)[-1]

            return re.sub(r"\{result (\w+)\}", newest, value)
        case Mapping():
            return {key: filled(item, request) for key, item in value.items()}
        case None | bool() | int() | float():
            return value
        case _:
            return [filled(item, request) for item in value]


def _texts(request: ModelRequest) -> list[str]:
    """Everything of the agent's own exchange: the state before it names other agents' plans too."""
    proposed = (
        [dict(call.arguments) for call in m.calls] if isinstance(m, Answered) else "" for m in request.messages[1:]
    )
    return [f"{message.text} {more}" for message, more in zip(request.messages[1:], proposed, strict=True)]


# tools ------------------------------------------------------------------------------------------------------------


def plan_id(number: int) -> str:
    return hashlib.sha256(f"plan {number}".encode()).hexdigest()


@dataclass(frozen=True)
class Play:
    """What one run of a tool does. `until_stopped`: it runs until so many STOPs."""

    status: ResultStatus = "ok"
    text: str = ""
    facts: Mapping[str, Json] = field(default_factory=dict[str, Json])
    waits: str = ""
    until_stopped: int = 0


class PlayedTool:
    """A tool behind the gate. `plays` are used in order; then it does what is usual for its name."""

    timeout_s = 30.0
    description = "A tool of the tests."

    def __init__(self, name: str, house: "CrewHouse") -> None:
        self.name = name
        self.durable = name == "terraform_apply"
        self.together = name in TOGETHER
        self.schema: Mapping[str, Json] = {"type": "object"}
        self.plays: list[Play] = []
        self.ran = 0
        self.recovered = 0
        self._house = house

    def parse(self, arguments: Mapping[str, Json]) -> Any:
        return dict(arguments)

    async def prepare(self, call: ToolCall, arguments: Any, scope: Scope) -> Prepared | Cannot:
        binding: dict[str, Json] = {"arguments": dict(call.arguments)}
        if not self.durable and self.name in self._house.sensitive:
            effect = Effect(CallClass.SENSITIVE_READ, "played", "it shows a secret", title=f"Read with {self.name}")
            return Prepared(call, effect, binding)
        if not self.durable:
            return Prepared(call, Effect(CallClass.READ, "played", "it only looks"), binding)
        given = str(arguments.get("plan", ""))
        known = [r for r in self._house.plans if given and r.startswith(given)]
        if not known:
            return Cannot(f"There is no plan '{given}'.", "no-plan")
        destroys = self._house.destroys
        effect = Effect(
            CallClass.DESTROY if destroys else CallClass.CHANGE, "played", "it changes machines",
            title="Destroy cp1" if destroys else f"Apply plan {known[0][:12]}", targets=(Target("node", "pve1"),),
            items=tuple(Item("delete" if destroys else "create", name, "2 CPU", "pve1") for name in self._house.names),
            create=int(not destroys), destroy=int(destroys),
        )  # fmt: skip
        pins = {"serial": str(self._house.serial)}
        alike = (f"{self._house.codes[known[0]]} {self._house.serial}",)
        return Prepared(call, effect, binding, pins=pins, revision=known[0], alike=alike)

    async def pins(self, prepared: Prepared, arguments: Any) -> Mapping[str, str]:
        return {"serial": str(self._house.serial)} if self.durable else {}

    async def run(self, prepared: Prepared, arguments: Any, scope: Scope, watch: Watch) -> Done:
        self.ran += 1
        play = self.plays.pop(0) if self.plays else Play()
        self._house.runs.append(self.name)
        self._house.gates.reached.add(f"{self.name} runs")
        await self._house.gates.wait(play.waits)
        while play.until_stopped and watch.stopping() < play.until_stopped and not self._house.gates.open:
            await asyncio.sleep(0.01)
        text, facts = self._usual(arguments)
        if play.until_stopped:
            text = "interrupted by STOP" if watch.stopping() < 2 else "ended by force"
        status: ResultStatus = "interrupted" if play.until_stopped else play.status
        done = play.text or text
        changed = self.durable and status != "failed"
        seen = play.facts or (facts if self.durable or status == "ok" else {})
        return Done(ToolResult(prepared.call.id, self.name, status, done, facts=seen, changed=changed))

    async def recover(self, prepared: Prepared, arguments: Any, scope: Scope, watch: Watch) -> Done:
        self.recovered += 1
        status: ResultStatus = "ok" if self.ran else "unknown_outcome"
        text, facts = self._usual(arguments) if self.ran else ("Nobody knows how far it came.", {"orphans": ["cp1"]})
        return Done(ToolResult(prepared.call.id, self.name, status, text, facts=facts, changed=True))

    def _usual(self, arguments: Mapping[str, Json]) -> tuple[str, Mapping[str, Json]]:
        match self.name:
            case "terraform_plan":
                revision = plan_id(len(self._house.plans) + 1)
                self._house.plans.append(revision)
                self._house.codes[revision] = json.dumps(self._house.written, sort_keys=True)
                return f"Plan {revision[:12]}: 1 to create, 0 to change, 0 to destroy", {"plan": revision}
            case "workspace_write":
                self._house.written[str(arguments.get("path"))] = str(arguments.get("content"))
                return f"{self.name} fine", {}
            case "scan":
                revision = next((r for r in self._house.plans if r.startswith(str(arguments.get("plan")))), "")
                found: list[Json] = list(self._house.findings)
                return f"{len(found)} findings", {"revision": revision, "scanners": ["checkov"], "findings": found}
            case "terraform_apply":
                return "Applied: 1 created", {"created": 1, "changed": 0, "destroyed": 0, "exists": ["cp1"]}
            case "proxmox_read":
                there = ("cp1", "cp2", "cp3") if "terraform_apply" in self._house.runs else ()
                vms: list[Json] = [{"name": name, "node": "pve1", "status": "running"} for name in there]
                return "cp1 runs on pve1", {
                    "nodes": [{"name": "pve1", "status": "online"}],
                    "vms": vms,
                    "quorate": True,
                }
            case _:
                return f"{self.name} fine", {}


# the house --------------------------------------------------------------------------------------------------------


@cache
def rules(version: str = "v1") -> Authoriser:
    policies = ROOT / "policies"
    files = {f"policies/{path.name}": path.read_text() for path in policies.glob("*.cedar")}
    return Authoriser((policies / "schema.cedarschema").read_text(), files, version)


@cache
def crew() -> Mapping[PersonaName, Persona]:
    names = {
        *READS,
        "terraform_apply",
        "plan",
        "hand_off",
        "ask_human",
        "record_verdict",
        "record_evidence",
        "read_artifact",
    }
    return load_personas(ROOT / "personas", tools=names, models=load_prices(ROOT / "policies" / "prices.yaml").models)


@cache
def knowledge() -> Knowledge:
    return load_knowledge(ROOT / "personas")


def title(name: str) -> str:
    persona = crew().get(PersonaName(name))
    return persona.title if persona else name


def listed() -> FakePeople:
    people = FakePeople()
    people.humans[DANA] = Human(DANA, "dana", frozenset({Role.REQUESTER}))
    return people


class CrewHouse:
    """One deployment; `work()` runs a worker in it. What Slack would show is collected by `pump`."""

    def __init__(self, store: Store, folder: Path, answer: Callable[[str, ModelRequest], Any]) -> None:
        self.store = store
        self.folder = folder
        self.clock = ShiftedClock()
        self.gates = Gates()
        self.people = listed()
        self.model = PlayedModel(answer)
        self.plans: list[str] = []
        self.codes: dict[str, str] = {}  # by plan, what the files were
        self.written: dict[str, str] = {}
        self.runs: list[str] = []
        self.findings: list[Json] = []
        self.serial = 1
        self.destroys = False
        self.names: tuple[str, ...] = ("cp1",)
        self.policy_version = "v1"
        self.sensitive: frozenset[str] = frozenset()  # tools whose reads show a secret
        self.environment = "production"
        self.steps_most = 300
        self.tools: dict[str, PlayedTool] = {
            name: PlayedTool(name, self) for name in (*READS, "terraform_apply")
        }  # fmt: skip
        self._sending = asyncio.Lock()
        self.shown: list[Post] = []
        self.latest: dict[str, Post] = {}

    def engine(self, store: Store | None = None, worker: str = "w1", lease_s: float = 15.0) -> Engine:
        """A worker's engine, over its own connection where one is given."""
        store = store or self.store
        personas = crew()
        environments = EnvironmentMap(
            ("lab", "homelab", "staging", "production"), (Mapped(self.environment, "estate", "home"), Mapped(self.environment, "node", "pve1"))
        )  # fmt: skip
        threat = ThreatModel({"production": "medium", "lab": "critical"}, {})
        own = crew_tools(
            personas=tuple(personas), standards={}, artifacts=store.artifacts, blocks=threat.blocks
        )  # fmt: skip
        tools: dict[str, Tool] = {**self.tools, **{tool.name: tool for tool in own}}
        gate = Gate(
            GateParts(
                tools=tools,
                crew={**{n: p.tools for n, p in personas.items()}, PersonaName("watchbill"): ("proxmox_read",)},
                authoriser=rules(self.policy_version), threat=threat, environments=environments,
                inventory=FakeInventory(), calendar=Maintenance(), quorums=("control_plane",), people=self.people,
                approvals=store.approvals, codes=TotpCodes(dict, store.codes, self.clock), grants=store.grants, switch=store.switch, artifacts=store.artifacts, audit=store.audit, leases=store.leases,
                redactor=SecretRedactor(), clock=self.clock, ledger=ExecutionLedger(self.folder / "executions"), deputies=store.deputies,
            )
        )  # fmt: skip
        limits, closing = self._limits(), Closing(store.artifacts, self.clock, title, str, Heads(store.audit, None).now)
        specs = {name: ToolSpec(name, tool.description, tool.schema) for name, tool in tools.items()}
        together = frozenset(name for name, tool in tools.items() if tool.together)

        def over(state: Mission, persona: PersonaName) -> LimitReached | None:
            return limits.reached(state, persona, self.clock.now(), tokens=1000)

        def warn(state: Mission, persona: PersonaName) -> Sequence[tuple[str, str]]:
            return [
                (used.what, f"Nearly used up: {used.text}") for used in limits.near(state, persona, self.clock.now())
            ]

        health = CrewHealth(store.journal, self.clock, title)
        loop = AgentLoop(
            self.model, Answering(gate, together, title), personas, specs, over, title, health, knowledge().told
        )
        turns = Turns(
            journal=store.journal, loop=loop, cards=gate, clock=self.clock, titles=title, limit_usd=5.0, warn=warn,
            closing=closing,
        )  # fmt: skip
        lanes = LaneRules(
            journal=store.journal, approvals=store.approvals, gate=gate, people=self.people, environments=environments,
            personas=personas, clock=self.clock, titles=title, estate="home", limit_usd=5.0,
            extenders=limits.extenders, extend_factor=limits.factor, closing=closing,
        )  # fmt: skip
        answers = Answers(journal=store.journal, approvals=store.approvals, door=gate, personas=personas,
                          clock=self.clock, titles=title, watch=Silent(), estate="home",
                          audit=store.audit, limit_usd=5.0, lock=partial(store.locks.holder, "estate/home"),
                          verifier=Verifier(gate, store.outbox, self.clock, Silent()))  # fmt: skip
        desk = Desk(gate=gate, answers=answers, inbox=store.inbox, outbox=store.outbox, leases=store.leases,
                    journal=store.journal, approvals=store.approvals, people=self.people)  # fmt: skip
        return Engine(
            EngineParts(journal=store.journal, inbox=store.inbox, leases=store.leases, outbox=store.outbox,
                        clock=self.clock, turns=turns, rules=lanes, desk=desk, worker=worker, lease_s=lease_s, at_once=4)
        )  # fmt: skip

    def _limits(self) -> Limits:
        roles = frozenset({Role.RISK_OWNER, Role.ADMIN})
        return Limits(Limit(5.0, 2_000_000, self.steps_most), 100_000, {}, 0.8, roles, 1.5)

    @contextlib.asynccontextmanager
    async def work(self, *engines: Engine) -> AsyncGenerator[None]:
        stop = asyncio.Event()
        running = [asyncio.create_task(engine.run(stop)) for engine in engines or (self.engine(),)]
        sender = asyncio.create_task(self.send())
        try:
            yield
        finally:
            sender.cancel()
            self.gates.open_all()
            stop.set()
            await asyncio.gather(*running)

    async def pump(self) -> None:
        """What the sender does: show every post, oldest first."""
        async with self._sending:
            while items := await self.store.outbox.waiting():
                for item in items:
                    self.shown.append(item.post)
                    self.latest[item.post.key] = item.post
                    await self.store.outbox.sent(item, f"{len(self.shown)}.0")

    async def send(self) -> None:
        """Show posts as they come, until cancelled."""
        while True:
            await self.pump()
            await asyncio.sleep(0.01)

    async def quiet(self, seconds: float = 20.0) -> None:
        """Until nothing waits, nobody holds a lane and no click is being answered."""
        link, calm = self.store.link, 0
        async with asyncio.timeout(seconds):
            while calm < 2:
                held = await link.read("HLEN", f"{link.prefix}held")
                due = await link.read("ZCARD", f"{link.prefix}due")
                clicks = await link.read("XLEN", f"{link.prefix}now")
                reached = await link.read("ZCOUNT", f"{link.prefix}deadlines", "-inf", round(time.time() * 1000))
                calm = 0 if int(held) + int(due) + int(clicks) + int(reached) else calm + 1
                await asyncio.sleep(0.005)
        await self.pump()

    async def later(self, seconds: float) -> None:
        """Move the clock on; what is due by then is due now."""
        self.clock.shift += timedelta(seconds=seconds)
        link, now = self.store.link, self.clock.now().timestamp() * 1000
        for what in await link.read("ZRANGEBYSCORE", f"{link.prefix}deadlines", "-inf", round(now)):
            await link.write("ZADD", f"{link.prefix}deadlines", 0, what)
        await link.write("RPUSH", f"{link.prefix}wake", "1")

    async def mission(self, lane: LaneKey = THREAD.lane) -> Mission:
        return fold(await self.store.journal.read(await self.mission_id(lane)))

    async def mission_id(self, lane: LaneKey = THREAD.lane) -> MissionId:
        team, channel, ts = lane.split("/")
        mission = await self.store.journal.mission_of(Thread(team, channel, ts))
        assert mission is not None, "there is no mission in this thread"
        return mission
