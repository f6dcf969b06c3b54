"""The composition root: the only file that names concrete classes. Reads every file, opens every part, runs until a signal."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot import log as logs
from bot.agents.answering import Answering
from bot.agents.loop import AgentLoop, Over
from bot.agents.persona import Persona, PersonaError, load_personas
from bot.answers import Answers, Silent
from bot.cards import Titles
from bot.clock import SystemClock
from bot.domain.ids import PersonaName
from bot.domain.model import ToolSpec
from bot.domain.outcomes import LimitReached
from bot.domain.ports import Tool
from bot.domain.state import Mission
from bot.engine import Engine
from bot.engine import Parts as EngineParts
from bot.gate import ExecutionLedger, Gate
from bot.gate import Parts as GateParts
from bot.immediate import Desk
from bot.lane import LaneRules
from bot.llm.anthropic import Anthropic
from bot.llm.models import LanguageModels
from bot.llm.openai import OpenAi
from bot.llm.prices import Prices, load_prices
from bot.llm.provider import Endpoint, ProviderError
from bot.policy.loading import Policies, load_policies, read_people
from bot.policy.people import LivePeople
from bot.policy.problems import PolicyError
from bot.policy.redaction import SecretRedactor
from bot.record import broken_places, exported
from bot.settings import ROOT, Settings
from bot.slack.gateway import Connection, Gateway
from bot.slack.identities import SlackSettingError
from bot.slack.manifest import manifests as slack_manifests
from bot.store.errors import StoreSetupError
from bot.store.store import Store, open_store
from bot.turn import Turns, Warn
from tools import TOOL_NAMES, Equipment, HostAccess, all_tools, closing
from tools.crew import crew_tools
from tools.proxmox import Cluster, ProxmoxError
from tools.rights import describe_confinement

WATCHBILL = PersonaName("watchbill")
WATCHBILL_TOOLS = ("proxmox_read",)  # what /cluster-status looks at, through the same door as everyone
LOG = logs.logger("app")


class CannotStartError(Exception):
    """Something the operator has to mend first. The text says what and how."""


@dataclass(frozen=True, slots=True)
class Rules:  # what the files say, read once and checked against each other
    policies: Policies
    prices: Prices


@dataclass(frozen=True, slots=True)
class Program:  # the parts, put together
    store: Store
    slack: Connection
    engine: Engine
    gateway: Gateway


def read_rules(settings: Settings) -> Rules:
    """Raises CannotStartError for the first file that does not fit."""
    try:
        policies = load_policies(settings.policies, people=settings.people, environments=settings.environments)
        return Rules(policies, load_prices(settings.policies / "prices.yaml"))
    except PolicyError as error:
        raise CannotStartError(str(error)) from error


def read_personas(settings: Settings, rules: Rules, tools: Mapping[str, Tool]) -> dict[PersonaName, Persona]:
    """Raises CannotStartError for an unknown tool or model, naming file and field."""
    try:
        return load_personas(settings.personas, tools=tools, models=rules.prices.models, model=settings.model)
    except PersonaError as error:
        raise CannotStartError(str(error)) from error


def serve(settings: Settings, command: str, ready_file: Path | None) -> int:
    """Run gateway, worker, or both until SIGTERM or SIGINT; 0 after an orderly end. Raises CannotStartError."""
    return asyncio.run(_serve(settings, command, ready_file))


def manifests(prefix: str = "") -> Mapping[str, str]:
    """Slack app manifests by app name, as YAML."""
    return slack_manifests(prefix)


def export_audit(settings: Settings) -> int:
    """Print every audit event as one JSON line, oldest first."""
    return asyncio.run(_export(settings))


def verify_audit(settings: Settings) -> int:
    """Walk the hash chains of the audit record and of every mission log; 1 where one is broken."""
    return asyncio.run(_verify(settings))


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[Program]:
    """Everything put together and connected; closed in reverse order on the way out."""
    rules = read_rules(settings)
    redactor = SecretRedactor(*settings.secrets())
    logs.set_up(settings.log_level, redactor.text)
    for warning in rules.policies.warnings:
        LOG.warning("policy.warned", text=warning)
    clock = SystemClock()
    try:
        async with contextlib.AsyncExitStack() as stack:
            store = await _store(settings)
            stack.push_async_callback(store.aclose)
            slack = Connection(
                settings.slack_tokens(), clock, base_url=settings.slack_api_url, prefix=settings.command_prefix
            )
            await stack.enter_async_context(slack)
            models = _models(settings, rules, store, clock)
            stack.push_async_callback(models.close)
            yield _composed(settings, rules, redactor, store, slack, models)
    except (StoreSetupError, SlackSettingError) as error:
        raise CannotStartError(str(error)) from error


# What the doctor looks at, one part at a time


async def look_at_store(settings: Settings) -> str:
    """Open and close it; where it is. Raises CannotStartError."""
    store = await _open_existing(settings)
    await store.aclose()
    return "redis as set" if settings.redis_url.get_secret_value() else f"private store in {settings.data}"


async def look_at_slack(settings: Settings) -> str:
    """Connect all five apps. Raises CannotStartError with one line per token."""
    try:
        async with Connection(settings.slack_tokens(), SystemClock(), base_url=settings.slack_api_url) as slack:
            return f"five apps in workspace {slack.identities.team}"
    except SlackSettingError as error:
        raise CannotStartError(str(error)) from error


async def look_at_models(settings: Settings, wanted: Collection[str]) -> str:
    """Ask each provider for its models. Raises CannotStartError where one does not answer or lacks a model."""
    providers = {"openai": _openai(settings), "anthropic": _anthropic(settings)}
    told: list[str] = []
    for prefix in sorted({model.partition(":")[0] for model in wanted}):
        try:
            known = await providers[prefix].models()
        except ProviderError as error:
            raise CannotStartError(f"{prefix}: {error}") from error
        finally:
            await providers[prefix].close()
        missing = [m for m in wanted if m.startswith(f"{prefix}:") and known and m.partition(":")[2] not in known]
        told.append(f"{prefix} answers" + (f", but does not list {', '.join(missing)}" if missing else ""))
    return "; ".join(told) or "no persona could be read, so no model was asked"


async def look_at_proxmox(settings: Settings) -> str:
    """The cluster's state with the audit token. Raises CannotStartError."""
    cluster = Cluster(settings.proxmox_url, settings.proxmox_audit_token.get_secret_value(), settings.proxmox_ca)
    try:
        return f"{len(await cluster.census())} machines seen at {settings.proxmox_url}"
    except ProxmoxError as error:
        raise CannotStartError(str(error)) from error


def look_at_crew(settings: Settings) -> dict[PersonaName, Persona]:
    """Policies, prices, people and personas against the real list of tools, without a store. Raises CannotStartError."""
    rules = read_rules(settings)
    names = frozenset(TOOL_NAMES)
    try:
        return load_personas(settings.personas, tools=names, models=rules.prices.models, model=settings.model)
    except PersonaError as error:
        raise CannotStartError(str(error)) from error


def look_at_rights(settings: Settings) -> tuple[str, ...]:
    """Which least rights a child process gets on this machine (rule 16)."""
    return describe_confinement(settings.data.resolve(), terraform_of(settings)).words


async def _store(settings: Settings, *, join: bool = False) -> Store:
    settings.data.mkdir(parents=True, exist_ok=True)
    url = settings.redis_url.get_secret_value() or None
    return await open_store(
        url, settings.data.resolve(), settings.redis_prefix, fsync=settings.fsync, join=join, reclaim_s=settings.lease_s
    )


def _models(settings: Settings, rules: Rules, store: Store, clock: SystemClock) -> LanguageModels:
    providers = {"openai": _openai(settings), "anthropic": _anthropic(settings)}
    return LanguageModels(
        providers, rules.prices, budget=store.budget, clock=clock, per_minute=settings.tokens_per_minute
    )


def _openai(settings: Settings) -> OpenAi:
    return OpenAi(Endpoint(settings.openai_base_url, settings.openai_api_key.get_secret_value()))


def _anthropic(settings: Settings) -> Anthropic:
    return Anthropic(Endpoint(settings.anthropic_base_url, settings.anthropic_api_key.get_secret_value()))


def _composed(
    settings: Settings, rules: Rules, redactor: SecretRedactor, store: Store, slack: Connection, models: LanguageModels
) -> Program:
    clock, policies = SystemClock(), rules.policies
    people = LivePeople(lambda: read_people(settings.people or settings.policies / "people.yaml"), slack)
    tools = {tool.name: tool for tool in _tools(settings, policies, store, redactor)}
    personas = read_personas(settings, rules, tools)
    titles = _titles(personas)
    gate = Gate(
        GateParts(
            tools=tools,
            crew={**{name: persona.tools for name, persona in personas.items()}, WATCHBILL: WATCHBILL_TOOLS},
            authoriser=policies.authoriser,
            threat=policies.threat,
            environments=policies.environments,
            people=people,
            approvals=store.approvals,
            artifacts=store.artifacts,
            audit=store.audit,
            leases=store.leases,
            redactor=redactor,
            clock=clock,
            ledger=ExecutionLedger(settings.data.resolve() / "executions"),
        )
    )
    over, warn = _limits(policies, personas, clock)
    together = frozenset(name for name, tool in tools.items() if tool.together)
    specs = {name: ToolSpec(name, tool.description, tool.schema) for name, tool in tools.items()}
    loop = AgentLoop(models, Answering(gate, together, titles), personas, specs, over, titles)
    limit_usd = policies.limits.mission.usd
    turns = Turns(
        journal=store.journal, loop=loop, cards=gate, clock=clock, titles=titles, limit_usd=limit_usd, warn=warn
    )
    rules_of_lanes = LaneRules(
        journal=store.journal, approvals=store.approvals, gate=gate, people=people, environments=policies.environments,
        personas=personas, clock=clock, titles=titles, estate=settings.estate, limit_usd=limit_usd,
        extenders=policies.limits.extenders, extend_factor=policies.limits.factor,
    )  # fmt: skip
    answers = Answers(
        journal=store.journal, approvals=store.approvals, door=gate, personas=personas, clock=clock,
        titles=titles, watch=Silent(), estate=settings.estate,
    )  # fmt: skip
    desk = Desk(
        gate=gate, answers=answers, inbox=store.inbox, outbox=store.outbox, leases=store.leases,
        journal=store.journal, approvals=store.approvals, people=people,
    )  # fmt: skip
    worker = f"{socket.gethostname()}:{os.getpid()}"
    parts = EngineParts(
        journal=store.journal, inbox=store.inbox, leases=store.leases, outbox=store.outbox, clock=clock, turns=turns,
        rules=rules_of_lanes, desk=desk, worker=worker, lease_s=settings.lease_s, at_once=settings.missions_at_once,
        close=closing(settings.data.resolve(), settings.blueprints / "terraform", store.locks),
    )  # fmt: skip
    gateway = Gateway(
        slack, store.inbox, store.outbox, store.artifacts, clock, worker=worker, coalesce_s=settings.coalesce_s
    )
    return Program(store, slack, Engine(parts), gateway)


def _tools(settings: Settings, policies: Policies, store: Store, redactor: SecretRedactor) -> tuple[Tool, ...]:
    names = [PersonaName(path.stem) for path in sorted(settings.personas.glob("*.md")) if path.name != "README.md"]
    crew = crew_tools(
        personas=names, standards=policies.standards, artifacts=store.artifacts, blocks=policies.threat.blocks
    )
    hosts, agent = settings.hosts or settings.policies / "hosts.yaml", settings.proxmox_agent_token.get_secret_value()
    equipment = Equipment(
        data=settings.data.resolve(),
        blueprints=settings.blueprints / "terraform",
        policies=settings.policies,
        terraform=terraform_of(settings),
        mirror=settings.terraform_mirror,
        scanner=scanner_of(settings),
        proxmox_url=settings.proxmox_url,
        proxmox_ca=settings.proxmox_ca,
        audit_token=settings.proxmox_audit_token.get_secret_value(),
        write_token=settings.proxmox_write_token.get_secret_value(),
        probe_targets=tuple(part.strip() for part in settings.probe_targets.split(",") if part.strip()),
        locks=store.locks,
        learn=redactor.learn,
        hosts=HostAccess(hosts, settings.ssh_key, settings.ssh_user, agent, settings.ansible),
        alert=lambda kind, facts: LOG.critical("host.alerted", kind=kind, **facts),
        blocks=policies.threat.blocks,
    )
    return all_tools(equipment, crew)


def terraform_of(settings: Settings) -> Path:
    """The program that the setting names, else terraform or tofu on PATH. Its absence is told when it is used."""
    return Path(settings.terraform or shutil.which("terraform") or shutil.which("tofu") or "terraform")


def scanner_of(settings: Settings) -> Path:
    """The scanner that the setting names, else the one that `make setup` brought, else the one on PATH."""
    brought = ROOT / ".cache" / "scanner" / "bin" / "checkov"
    return settings.scanner or (brought if brought.exists() else Path(shutil.which("checkov") or brought))


def _titles(personas: Mapping[PersonaName, Persona]) -> Titles:
    def title(name: str) -> str:
        persona = personas.get(PersonaName(name))
        return persona.title if persona else name

    return title


def _limits(policies: Policies, personas: Mapping[PersonaName, Persona], clock: SystemClock) -> tuple[Over, Warn]:
    def over(state: Mission, persona: PersonaName) -> LimitReached | None:
        steps = personas[persona].limits.steps
        if state.turn is not None and state.turn.steps >= steps * state.factor:
            return LimitReached(
                "turn steps", f"The limit is reached: {personas[persona].title} took {steps} steps in one turn"
            )
        return policies.limits.reached(state, persona, clock.now(), tokens=personas[persona].limits.answer_tokens)

    def warn(state: Mission, persona: PersonaName) -> Sequence[tuple[str, str]]:
        return [
            (used.what, f"Nearly used up: {used.text}") for used in policies.limits.near(state, persona, clock.now())
        ]

    return over, warn


async def _serve(settings: Settings, command: str, ready_file: Path | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with opened(settings) as program:
        running = [asyncio.create_task(part) for part in _parts(program, command, stop)]
        if command != "worker":
            listening = asyncio.create_task(program.gateway.listening.wait())
            await asyncio.wait({listening, *running}, return_when=asyncio.FIRST_COMPLETED)
            listening.cancel()
        _say_ready(ready_file, command)
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        stop.set()  # one part that ends takes the other with it; its error comes out below
        await asyncio.gather(*running)
    return 0


def _parts(program: Program, command: str, stop: asyncio.Event) -> Sequence[Coroutine[None, None, None]]:
    gateway = () if command == "worker" else (program.gateway.run(stop),)
    return gateway if command == "gateway" else (*gateway, program.engine.run(stop))


def _say_ready(ready_file: Path | None, command: str) -> None:
    LOG.info("program.listened", command=command)
    if ready_file is None:
        sys.stderr.write(f"watchbill {command}: ready\n")
        return
    partial = ready_file.with_suffix(".tmp")
    partial.write_text(json.dumps({"pid": os.getpid(), "command": command}), encoding="utf-8")
    partial.replace(ready_file)


async def _export(settings: Settings) -> int:
    store = await _open_existing(settings)
    try:
        async for line in exported(store.audit):
            sys.stdout.write(line)
    finally:
        await store.aclose()
    return 0


async def _verify(settings: Settings) -> int:
    store = await _open_existing(settings)
    try:
        places = await broken_places(store.audit, store.journal)
    finally:
        await store.aclose()
    sys.stdout.write("".join(f"broken at {place}\n" for place in places) or "every chain holds\n")
    return 1 if places else 0


async def _open_existing(settings: Settings) -> Store:
    try:
        return await _store(settings, join=True)
    except StoreSetupError as error:
        raise CannotStartError(str(error)) from error
