"""The composition root: the only file that names concrete classes. Reads every file, opens every part, runs until a signal."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bot import log as logs
from bot.agents.answering import Answering
from bot.agents.health import CrewHealth
from bot.agents.loop import AgentLoop, Over
from bot.agents.persona import Persona, PersonaError, load_personas
from bot.answers import Answers, Silent
from bot.audit_heads import Heads, KeyFileError, Signer
from bot.cards import Titles
from bot.clock import SystemClock
from bot.closing import Closing
from bot.domain.ids import PersonaName
from bot.domain.model import ToolSpec
from bot.domain.outcomes import LimitReached
from bot.domain.ports import Tool
from bot.domain.state import Mission
from bot.engine import Engine
from bot.engine import Parts as EngineParts
from bot.gate import ExecutionLedger, Gate
from bot.gate import Parts as GateParts
from bot.heads import DailyHeads
from bot.immediate import Desk
from bot.lane import LaneRules
from bot.llm.anthropic import Anthropic
from bot.llm.models import LanguageModels
from bot.llm.openai import OpenAi
from bot.llm.prices import Prices, load_prices
from bot.llm.provider import Endpoint
from bot.outgoing import DiscreetModel, discreet_body
from bot.policy.knowledge import Knowledge, load_knowledge
from bot.policy.loading import Policies, load_policies, read_maintenance, read_people, read_secrets
from bot.policy.maintenance import LiveCalendar
from bot.policy.people import LivePeople
from bot.policy.problems import PolicyError
from bot.policy.redaction import SecretRedactor
from bot.policy.secret_bindings import BoundSecrets
from bot.policy.stepup import TotpCodes, read_totp_secrets
from bot.rounds import Rounds
from bot.settings import ROOT, Settings
from bot.slack.gateway import Connection, Gateway
from bot.slack.identities import SlackSettingError
from bot.slack.manifest import manifests as slack_manifests
from bot.store.errors import StoreSetupError
from bot.store.store import Store, open_store
from bot.turn import Turns, Warn
from bot.verifying import Verifier
from tools import Equipment, HostAccess, all_tools, closing, estate_lock, warm_up
from tools.crew import crew_tools
from tools.enrolment import HostInventory
from tools.site_vars import SiteFile

WATCHBILL = PersonaName("watchbill")
WATCHBILL_TOOLS = (
    "proxmox_read",
    "kubernetes_read",
)  # what /cluster-status looks at, through the same door as everyone
LOG = logs.logger("app")


class CannotStartError(Exception):
    """Something the operator has to mend first. The text says what and how."""


@dataclass(frozen=True, slots=True)
class Rules:  # what the files say, read once and checked against each other
    policies: Policies
    prices: Prices
    knowledge: Knowledge
    secrets: BoundSecrets


@dataclass(frozen=True, slots=True)
class Program:  # the parts, put together
    store: Store
    slack: Connection
    engine: Engine
    gateway: Gateway
    heads: DailyHeads
    rounds: Rounds


def read_rules(settings: Settings) -> Rules:
    """Raises CannotStartError for the first file that does not fit."""
    try:
        policies = load_policies(
            settings.policies, people=settings.people, environments=settings.environments, data=settings.data
        )
        if not read_totp_secrets(settings.totp_secrets, settings.policies) and policies.authoriser.asks_for_codes:
            raise CannotStartError('a policy says @stepup("totp"), and WATCHBILL_TOTP_SECRETS names nobody\'s secret')
        prices, knowledge = load_prices(settings.policies / "prices.yaml"), load_knowledge(settings.personas)
        return Rules(policies, prices, knowledge, read_secrets(settings.policies, settings.secrets_file))
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


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[Program]:
    """Everything put together and connected; closed in reverse order on the way out."""
    rules = read_rules(settings)
    redactor = SecretRedactor(**{**rules.secrets.values, **settings.named_secrets()})
    redactor.learn(*rules.secrets.values.values())  # of two that share a name, one has the name
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


async def _store(settings: Settings, *, join: bool = False) -> Store:
    settings.data.mkdir(parents=True, exist_ok=True)
    url = settings.redis_url.get_secret_value() or None
    return await open_store(
        url, settings.data.resolve(), settings.redis_prefix, fsync=settings.fsync, join=join, reclaim_s=settings.lease_s
    )


def _models(settings: Settings, rules: Rules, store: Store, clock: SystemClock) -> LanguageModels:
    providers = {"openai": openai_of(settings), "anthropic": anthropic_of(settings)}
    return LanguageModels(
        providers, rules.prices, budget=store.budget, clock=clock, per_minute=settings.tokens_per_minute
    )


def openai_of(settings: Settings) -> OpenAi:
    return OpenAi(Endpoint(settings.openai_base_url, settings.openai_api_key.get_secret_value()))


def anthropic_of(settings: Settings) -> Anthropic:
    return Anthropic(Endpoint(settings.anthropic_base_url, settings.anthropic_api_key.get_secret_value()))


def _composed(
    settings: Settings, rules: Rules, redactor: SecretRedactor, store: Store, slack: Connection, models: LanguageModels
) -> Program:
    clock, policies = SystemClock(), rules.policies
    people = LivePeople(lambda: read_people(settings.people or settings.policies / "people.yaml"), slack)
    tools = {tool.name: tool for tool in _tools(settings, policies, store, redactor, rules.secrets)}
    personas = read_personas(settings, rules, tools)
    titles = _titles(personas)
    gate = _gate(settings, policies, store, redactor, people, tools, personas)
    over, warn = _limits(policies, personas, clock)
    together = frozenset(name for name, tool in tools.items() if tool.together)
    specs = {name: ToolSpec(name, tool.description, tool.schema) for name, tool in tools.items()}
    health = CrewHealth(store.journal, clock, titles)
    loop = AgentLoop(
        DiscreetModel(models, redactor), Answering(gate, together, titles), personas, specs, over, titles, health,
        rules.knowledge.told,
    )  # fmt: skip
    limit_usd, heads = policies.limits.mission.usd, _heads(settings, store, redactor)
    closing_posts = Closing(store.artifacts, clock, titles, redactor.text, heads.now)
    turns = Turns(
        journal=store.journal, loop=loop, cards=gate, clock=clock, titles=titles, limit_usd=limit_usd, warn=warn,
        closing=closing_posts,
    )  # fmt: skip
    rules_of_lanes = LaneRules(
        journal=store.journal, approvals=store.approvals, gate=gate, people=people, environments=policies.environments,
        personas=personas, clock=clock, titles=titles, estate=settings.estate, limit_usd=limit_usd,
        extenders=policies.limits.extenders, extend_factor=policies.limits.factor, closing=closing_posts,
    )  # fmt: skip
    verifier = Verifier(gate, store.outbox, clock, Silent())
    answers = Answers(
        journal=store.journal, approvals=store.approvals, door=gate, personas=personas, clock=clock,
        titles=titles, watch=Silent(), estate=settings.estate, audit=store.audit, limit_usd=limit_usd,
        lock=partial(store.locks.holder, estate_lock(settings.estate)), verifier=verifier,
    )  # fmt: skip
    desk = Desk(
        gate=gate, answers=answers, inbox=store.inbox, outbox=store.outbox, leases=store.leases,
        journal=store.journal, approvals=store.approvals, people=people,
    )  # fmt: skip
    parts = EngineParts(
        journal=store.journal, inbox=store.inbox, leases=store.leases, outbox=store.outbox, clock=clock, turns=turns,
        rules=rules_of_lanes, desk=desk, worker=_worker(), lease_s=settings.lease_s, at_once=settings.missions_at_once,
        close=closing(settings.data.resolve(), settings.blueprints / "terraform", store.locks),
    )  # fmt: skip
    gateway = Gateway(
        slack, store.inbox, store.outbox, store.artifacts, clock, worker=_worker(), coalesce_s=settings.coalesce_s,
        clean=discreet_body(redactor),
    )  # fmt: skip
    rounds = Rounds(verifier, store.journal, store.locks, clock, settings.verify_every_h)
    return Program(store, slack, Engine(parts), gateway, _daily(settings, store, slack, heads, clock), rounds)


def _gate(
    settings: Settings, policies: Policies, store: Store, redactor: SecretRedactor, people: LivePeople,
    tools: Mapping[str, Tool], personas: Mapping[PersonaName, Persona],
) -> Gate:  # fmt: skip
    clock = SystemClock()
    return Gate(
        GateParts(
            tools=tools,
            crew={**{name: persona.tools for name, persona in personas.items()}, WATCHBILL: WATCHBILL_TOOLS},
            authoriser=policies.authoriser, threat=policies.threat, environments=policies.environments,
            inventory=_inventory(settings), calendar=LiveCalendar(partial(read_maintenance, settings.policies)),
            quorums=policies.quorums, people=people, codes=_codes(settings, store, redactor, clock), deputies=store.deputies,
            approvals=store.approvals, grants=store.grants, switch=store.switch, artifacts=store.artifacts,
            audit=store.audit, leases=store.leases, redactor=redactor, clock=clock,
            ledger=ExecutionLedger(settings.data.resolve() / "executions"),
        )
    )  # fmt: skip


def _daily(settings: Settings, store: Store, slack: Connection, heads: Heads, clock: SystemClock) -> DailyHeads:
    team, channel = slack.identities.team, settings.audit_channel
    return DailyHeads(heads, store.journal, store.outbox, clock, team=team, channel=channel)


def _heads(settings: Settings, store: Store, redactor: SecretRedactor) -> Heads:
    signer = signer_of(settings)
    redactor.learn(signer.secret if signer else "")
    return Heads(store.audit, signer)


def signer_of(settings: Settings) -> Signer | None:
    """Who signs audit heads, where the operator gave a key. Raises CannotStartError."""
    try:
        return Signer(settings.audit_key) if settings.audit_key else None
    except KeyFileError as error:
        raise CannotStartError(str(error)) from error


def _tools(
    settings: Settings, policies: Policies, store: Store, redactor: SecretRedactor, secrets: BoundSecrets
) -> tuple[Tool, ...]:
    names = [PersonaName(path.stem) for path in sorted(settings.personas.glob("*.md")) if path.name != "README.md"]
    crew = crew_tools(
        personas=names, standards=policies.standards, artifacts=store.artifacts, blocks=policies.threat.blocks
    )
    hosts, agent = _hosts_file(settings), settings.proxmox_agent_token.get_secret_value()
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
        hosts=HostAccess(hosts, settings.ssh_key, settings.ssh_user, agent, settings.ansible, site_file_of(settings)),
        alert=lambda kind, facts: LOG.critical("host.alerted", kind=kind, **facts),
        blocks=policies.threat.blocks,
        classify=policies.commands.classify,
        secrets=secrets,
    )
    return all_tools(equipment, crew)


def site_file_of(settings: Settings) -> SiteFile:
    """The file that the setting names, which then has to be there, else site_vars.yaml of the policies, if there is one."""
    return SiteFile(settings.site_vars or settings.policies / "site_vars.yaml", needed=settings.site_vars is not None)


def _codes(settings: Settings, store: Store, redactor: SecretRedactor, clock: SystemClock) -> TotpCodes:
    redactor.learn(*read_totp_secrets(settings.totp_secrets, settings.policies).values())
    return TotpCodes(lambda: read_totp_secrets(settings.totp_secrets, settings.policies), store.codes, clock)


def _worker() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _inventory(settings: Settings) -> HostInventory:
    return HostInventory(settings.data.resolve(), settings.blueprints / "terraform", _hosts_file(settings))


def _hosts_file(settings: Settings) -> Path:
    return settings.hosts or settings.policies / "hosts.yaml"


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
        warming = asyncio.create_task(asyncio.to_thread(warm_up, settings.data)) if command != "gateway" else None
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        stop.set()  # one part that ends takes the other with it; its error comes out below
        await asyncio.gather(*running, *([warming] if warming else []))
    return 0


def _parts(program: Program, command: str, stop: asyncio.Event) -> Sequence[Coroutine[None, None, None]]:
    gateway = () if command == "worker" else (program.gateway.run(stop),)
    if command == "gateway":
        return gateway
    return (*gateway, program.engine.run(stop), program.heads.run(stop), program.rounds.run(stop))


def _say_ready(ready_file: Path | None, command: str) -> None:
    LOG.info("program.listened", command=command)
    if ready_file is None:
        sys.stderr.write(f"watchbill {command}: ready\n")
        return
    partial = ready_file.with_suffix(".tmp")
    partial.write_text(json.dumps({"pid": os.getpid(), "command": command}), encoding="utf-8")
    partial.replace(ready_file)


async def open_existing(settings: Settings) -> Store:
    """The store of a deployment, beside its program where that runs. Raises CannotStartError."""
    try:
        return await _store(settings, join=True)
    except StoreSetupError as error:
        raise CannotStartError(str(error)) from error
