"""The program's parts over a real store, put together as bot/app.py does, with the outer world left out: no Slack, no
Terraform. The gate has the real policies, the personas are the real ones, every tool answers at once.
"""

import contextlib
import secrets
import tempfile
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bot import log as logs
from bot.agents.answering import Answering
from bot.agents.health import CrewHealth
from bot.agents.loop import AgentLoop
from bot.agents.persona import Persona, load_personas
from bot.answers import Answers, Silent
from bot.clock import SystemClock
from bot.closing import Closing
from bot.domain.calls import CallClass, Effect, Target
from bot.domain.ids import PersonaName, UserId
from bot.domain.model import ModelReply, ModelRequest, ToolSpec
from bot.domain.ports import Model, Tool
from bot.engine import Engine
from bot.engine import Parts as EngineParts
from bot.gate import ExecutionLedger, Gate
from bot.gate import Parts as GateParts
from bot.immediate import Desk
from bot.lane import LaneRules
from bot.llm.prices import Prices, load_prices
from bot.policy.loading import Policies, load_policies, read_maintenance, read_people
from bot.policy.maintenance import LiveCalendar
from bot.policy.people import LivePeople
from bot.policy.redaction import SecretRedactor
from bot.policy.stepup import TotpCodes
from bot.store.store import Store
from bot.turn import Turns
from bot.verifying import Verifier
from tests.bench.processes import ROOT
from tests.fakes import FakeInventory, FakeTool
from tools import TOOL_NAMES

ANA, BO, CHRIS = UserId("U0ANA00001"), UserId("U0BO000001"), UserId("U0CHRIS001")
ARCHITECT, BUILDER = PersonaName("architect"), PersonaName("builder")
PEOPLE = f"""people:
  {ANA}: {{name: ana, roles: [requester]}}
  {BO}: {{name: bo, roles: [requester, approver]}}
  {CHRIS}: {{name: chris, roles: [requester, approver, risk_owner, admin]}}
"""
PLAIN = tuple(name for name in TOOL_NAMES if name != "terraform_apply")
APPLY = Effect(
    CallClass.CHANGE, "terraform-create", "it creates machines", "Apply Terraform plan on pve1", (Target("node", "pve1"),),
    create=1,
)  # fmt: skip
LOOKED = "pve1 online, 16 CPU, 64 GiB, 40 % used; pve2 online, 16 CPU, 64 GiB, 12 % used\n" * 4


class Members:
    """Slack's word on people: all are members. What the gateway keeps for a minute."""

    async def standing(self, user: UserId) -> tuple[str, str]:
        return "member", user


@dataclass(frozen=True, slots=True)
class House:
    """The parts a bench drives."""

    store: Store
    policies: Policies
    prices: Prices
    personas: Mapping[PersonaName, Persona]
    tools: Mapping[str, Tool]
    specs: Mapping[str, ToolSpec]
    gate: Gate
    clock: SystemClock
    turns: Turns
    desk: Desk
    rules: LaneRules

    def engine(self, worker: str = "bench") -> Engine:
        """A worker without anything in memory."""
        store = self.store
        return Engine(
            EngineParts(
                journal=store.journal, inbox=store.inbox, leases=store.leases, outbox=store.outbox, clock=self.clock,
                turns=self.turns, rules=self.rules, desk=self.desk, worker=worker, lease_s=15.0, at_once=8,
            )
        )  # fmt: skip


@contextlib.asynccontextmanager
async def open_house(store: Store, model: Model | None) -> AsyncGenerator[House]:
    """Everything over `store`; `model` answers the agents (None where no turn is run)."""
    with tempfile.TemporaryDirectory(prefix="wb-bench-") as folder:
        yield _house(store, model or _Mute(), Path(folder))


class _Mute:
    async def ask(self, request: ModelRequest) -> ModelReply:
        raise AssertionError(f"no turn was expected, but {request.model} was asked")


def prices_of_the_house() -> tuple[Prices, SystemClock]:
    """For a model port that is made before the house."""
    return load_prices(ROOT / "policies" / "prices.yaml"), SystemClock()


def _house(store: Store, model: Model, folder: Path) -> House:
    people_file = folder / "people.yaml"
    people_file.write_text(PEOPLE)
    policies = load_policies(ROOT / "policies", people=people_file)
    prices = load_prices(ROOT / "policies" / "prices.yaml")
    redactor = SecretRedactor(*(f"xoxb-{secrets.token_hex(20)}" for _ in range(14)))
    logs.set_up("info", redactor.text)
    clock, people = SystemClock(), LivePeople(lambda: read_people(people_file), Members())
    tools = _tools()
    personas = load_personas(ROOT / "personas", tools=tools, models=prices.models)
    specs = {name: ToolSpec(name, tool.description, tool.schema) for name, tool in tools.items()}
    crew = {name: persona.tools for name, persona in personas.items()}
    gate = Gate(
        GateParts(
            tools=tools, crew=crew, authoriser=policies.authoriser, threat=policies.threat,
            environments=policies.environments, inventory=FakeInventory(), calendar=LiveCalendar(partial(read_maintenance, ROOT / "policies")), quorums=policies.quorums,
            people=people, approvals=store.approvals, codes=TotpCodes(dict, store.codes, clock), grants=store.grants, switch=store.switch, artifacts=store.artifacts,
            audit=store.audit, leases=store.leases, redactor=redactor, clock=clock,
            ledger=ExecutionLedger(folder / "executions"), deputies=store.deputies,
        )
    )  # fmt: skip
    limits, usd = policies.limits, policies.limits.mission.usd
    loop = AgentLoop(
        model, Answering(gate, frozenset(PLAIN), str), personas, specs,
        lambda state, persona: limits.reached(state, persona, clock.now(), tokens=4096), str,
        CrewHealth(store.journal, clock, str),
    )  # fmt: skip
    closing = Closing(store.artifacts, clock, str, str)
    turns = Turns(
        journal=store.journal, loop=loop, cards=gate, clock=clock, titles=str, limit_usd=usd,
        warn=lambda state, persona: [(used.what, used.text) for used in limits.near(state, persona, clock.now())],
        closing=closing,
    )  # fmt: skip
    rules = LaneRules(
        journal=store.journal, approvals=store.approvals, gate=gate, people=people, environments=policies.environments,
        personas=personas, clock=clock, titles=str, estate="lab", limit_usd=usd, extenders=limits.extenders,
        extend_factor=limits.factor, closing=closing,
    )  # fmt: skip
    answers = Answers(
        journal=store.journal, approvals=store.approvals, door=gate, personas=personas, clock=clock, titles=str,
        watch=Silent(), estate="lab", audit=store.audit, limit_usd=usd,
        lock=partial(store.locks.holder, "estate/lab"),
        verifier=Verifier(gate, store.outbox, clock, Silent()),
    )  # fmt: skip
    desk = Desk(
        gate=gate, answers=answers, inbox=store.inbox, outbox=store.outbox, leases=store.leases, journal=store.journal,
        approvals=store.approvals, people=people,
    )  # fmt: skip
    return House(store, policies, prices, personas, tools, specs, gate, clock, turns, desk, rules)


def _tools() -> dict[str, Tool]:
    plain = [FakeTool(name, together=True, text=LOOKED, schema=SCHEMA, description=WORDS) for name in PLAIN]
    apply = FakeTool("terraform_apply", durable=True, effect=APPLY, full_text="the whole plan", text="Applied")
    return {tool.name: tool for tool in (*plain, apply)}


WORDS = "Look at one thing of the estate. Not for changing anything: that takes a plan and an approval."
SCHEMA = {
    "properties": {
        "what": {"type": "string", "enum": ["nodes", "vms", "storage"], "description": "what to look at"},
        "node": {"type": "string", "default": "", "description": "one node only"},
    },
    "required": ["what"],
}
