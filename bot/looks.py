"""What the doctor looks at, one part at a time: the same parts that the program is composed of, opened and closed."""

from collections.abc import Collection

from bot.agents.persona import Persona, PersonaError, load_personas
from bot.app import CannotStartError, anthropic_of, open_existing, openai_of, read_rules, site_file_of, terraform_of
from bot.clock import SystemClock
from bot.domain.ids import PersonaName
from bot.llm.provider import ProviderError
from bot.settings import Settings
from bot.slack.gateway import Connection
from bot.slack.identities import SlackSettingError
from tools import TOOL_NAMES
from tools.proxmox_api import Cluster, ProxmoxError
from tools.rights import describe_confinement
from tools.site_vars import SiteFileError


async def look_at_store(settings: Settings) -> str:
    """Open and close it; where it is. Raises CannotStartError."""
    store = await open_existing(settings)
    await store.aclose()
    return "redis as set" if settings.redis_url.get_secret_value() else f"private store in {settings.data}"


def count_site_variables(settings: Settings) -> int:
    """How many there are. Raises CannotStartError where the file cannot be used."""
    try:
        return len(site_file_of(settings).read().values)
    except SiteFileError as error:
        raise CannotStartError(str(error)) from error


async def look_at_slack(settings: Settings) -> str:
    """Connect all five apps. Raises CannotStartError with one line per token."""
    try:
        async with Connection(settings.slack_tokens(), SystemClock(), base_url=settings.slack_api_url) as slack:
            return f"five apps in workspace {slack.identities.team}"
    except SlackSettingError as error:
        raise CannotStartError(str(error)) from error


async def look_at_models(settings: Settings, wanted: Collection[str]) -> str:
    """Ask each provider for its models. Raises CannotStartError where one does not answer or lacks a model."""
    providers = {"openai": openai_of(settings), "anthropic": anthropic_of(settings)}
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
    if not told:
        raise CannotStartError("no persona could be read, so no model was asked: mend the personas first")
    return "; ".join(told)


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
