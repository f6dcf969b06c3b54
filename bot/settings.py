"""The environment, read once into frozen Settings: the only reader of the environment in the program.

`.env.example` is generated from this file (`python -m bot settings --write`); a test fails when it is stale.
"""

import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
URL_PASSWORD = re.compile(r"[a-z+]+://[^/@:]*:([^/@]+)@")
APPS = ("watchbill", "architect", "builder", "sentinel", "qa")


class SettingsError(Exception):
    """The environment does not fit. The text names each variable and what it should be."""


class Settings(BaseSettings):
    """Everything the operator can set. Every name is an environment variable with the prefix WATCHBILL_."""

    model_config = SettingsConfigDict(
        env_prefix="WATCHBILL_", env_file=".env", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    estate: str = Field(
        "home", pattern=r"^[a-z][a-z0-9-]{0,30}$", description="Name of the estate this crew looks after."
    )
    data: Path = Field(
        Path(".data"), description="Folder for the private store, Terraform state, workspaces. Mode 0700."
    )
    policies: Path = Field(ROOT / "policies", description="Folder of Cedar policies, limits, prices, threat model.")
    people: Path | None = Field(None, description="people.yaml, if it is not in the policies folder.")
    totp_secrets: Path | None = Field(
        None, description='File of authenticator secrets by person, mode 0600, where a policy asks @stepup("totp").'
    )
    environments: Path | None = Field(None, description="environments.yaml, if it is not in the policies folder.")
    personas: Path = Field(ROOT / "personas", description="Folder of the four personas.")
    blueprints: Path = Field(
        ROOT / "deploy" / "blueprints", description="Vetted Terraform modules the Builder fills in."
    )

    slack_api_url: str = Field(
        "https://slack.com/api/", description="Web API base: GovSlack, a proxy, or a test server."
    )
    slack_watchbill_bot_token: SecretStr = Field(SecretStr(""), description="xoxb- token of the Watchbill app.")
    slack_watchbill_app_token: SecretStr = Field(
        SecretStr(""), description="xapp- token (Socket Mode) of the Watchbill app."
    )
    slack_architect_bot_token: SecretStr = Field(SecretStr(""), description="xoxb- token of the Architect app.")
    slack_architect_app_token: SecretStr = Field(SecretStr(""), description="xapp- token of the Architect app.")
    slack_builder_bot_token: SecretStr = Field(SecretStr(""), description="xoxb- token of the Builder app.")
    slack_builder_app_token: SecretStr = Field(SecretStr(""), description="xapp- token of the Builder app.")
    slack_sentinel_bot_token: SecretStr = Field(SecretStr(""), description="xoxb- token of the Sentinel app.")
    slack_sentinel_app_token: SecretStr = Field(SecretStr(""), description="xapp- token of the Sentinel app.")
    slack_qa_bot_token: SecretStr = Field(SecretStr(""), description="xoxb- token of the QA app.")
    slack_qa_app_token: SecretStr = Field(SecretStr(""), description="xapp- token of the QA app.")
    command_prefix: str = Field(
        "", pattern=r"^[a-z0-9-]*$", description="Put before slash commands, e.g. 'wb-' for /wb-mission."
    )

    redis_url: SecretStr = Field(
        SecretStr(""), description="redis:// or rediss:// URL. Empty: a private store in the data folder."
    )
    redis_prefix: str = Field("wb:", description="Prefix of every key, where several deployments share one server.")
    fsync: Literal["everysec", "always"] = Field("everysec", description="appendfsync of the private store.")

    openai_api_key: SecretStr = Field(SecretStr(""), description="Key for openai: models.")
    openai_base_url: str = Field("", description="Any compatible endpoint. Empty: the provider's own.")
    anthropic_api_key: SecretStr = Field(SecretStr(""), description="Key for anthropic: models.")
    anthropic_base_url: str = Field("", description="Empty: the provider's own.")
    model: str = Field("", description="Use this model for every persona, e.g. 'anthropic:claude-sonnet-5-5'.")
    tokens_per_minute: int = Field(500_000, gt=0, description="Shared by all agents, per provider.")

    proxmox_url: str = Field("", description="https://<node>:8006 of one node of the cluster.")
    proxmox_audit_token: SecretStr = Field(
        SecretStr(""), description="user@realm!name=uuid with PVEAuditor: reads and plans."
    )
    proxmox_write_token: SecretStr = Field(SecretStr(""), description="user@realm!name=uuid for approved applies only.")
    proxmox_agent_token: SecretStr = Field(
        SecretStr(""), description="user@realm!name=uuid with VM.GuestAgent.FileRead: reads new machines' host keys."
    )
    proxmox_ca: Path | None = Field(None, description="PEM file of the CA that signed the nodes' certificate.")
    hosts: Path | None = Field(
        None, description="hosts.yaml: machines with pinned host keys, if it is not in the policies folder."
    )
    site_vars: Path | None = Field(
        None, description="site_vars.yaml: this site's variables for playbooks, if it is not in the policies folder."
    )
    ssh_key: Path | None = Field(None, description="Private key, without a passphrase, that logs in to the hosts.")
    ssh_user: str = Field(
        "debian", pattern=r"^[a-z_][a-z0-9_-]{0,31}$", description="Who logs in where cloud-init names nobody."
    )
    ansible: Path = Field(ROOT / ".cache" / "ansible", description="Environment with ansible-core, -runner and -lint.")
    terraform: str = Field("", description="Path of terraform or tofu. Empty: the first on PATH.")
    terraform_mirror: Path | None = Field(
        None, description="Filesystem mirror of providers. Empty: the registry, by the lock file."
    )
    probe_targets: str = Field("", description="Hosts and networks that the probes may reach, separated by commas.")
    secrets_file: Path | None = Field(
        None, description="YAML of `secrets: {name: value}`, mode 0600, for what policies/secrets.yaml binds."
    )
    scanner: Path | None = Field(None, description="Path of the checkov program. Empty: .cache/scanner, then PATH.")

    audit_key: Path | None = Field(
        None, description="PEM file of an Ed25519 key (`openssl genpkey -algorithm ed25519`) that signs audit heads."
    )
    audit_channel: str = Field(
        "",
        pattern=r"^([CG][A-Z0-9]+)?$",
        description="Channel id for the audit record's daily head. Empty: the channels of the newest missions.",
    )

    verify_every_h: float = Field(
        24.0,
        ge=0,
        description="Hours between looks whether the evidence of ended missions still holds. 0: only on demand.",
    )

    lease_s: float = Field(15.0, gt=0, description="A dead worker's missions move to another after this many seconds.")
    coalesce_s: float = Field(1.5, ge=0, description="Messages of one author within this time are one message.")
    missions_at_once: int = Field(8, gt=0, description="Missions one worker holds turns of at the same time.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Of the JSON log on stderr.")

    def secrets(self) -> tuple[str, ...]:
        """Every secret value that is set."""
        return tuple(self.named_secrets().values())

    def named_secrets(self) -> dict[str, str]:
        """Every secret that is set, by its setting's name: what stands for it in texts is ‹secret:name›."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        found = {name: v.get_secret_value() for name, v in values.items() if isinstance(v, SecretStr)}
        if given := URL_PASSWORD.match(found["redis_url"]):  # a client's error may show it without its URL
            found |= {"redis_password": given[1], "redis_password_typed": unquote(given[1])}
        return {name: value for name, value in found.items() if value}

    def slack_tokens(self) -> dict[str, tuple[str, str]]:
        """App name → (bot token, app token), for the five apps."""
        fields: dict[str, SecretStr] = {
            name: getattr(self, name) for name in type(self).model_fields if "_token" in name
        }
        return {
            app: (
                fields[f"slack_{app}_bot_token"].get_secret_value(),
                fields[f"slack_{app}_app_token"].get_secret_value(),
            )
            for app in APPS
        }


def load(**overrides: Any) -> Settings:
    """Settings from the environment and `.env`. Raises SettingsError with one line per variable."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [f"WATCHBILL_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors()]
        raise SettingsError("\n".join(lines)) from error


def example() -> str:
    """The text of `.env.example`: every setting with its meaning and default, in the order of this file."""
    lines = ["# Generated by `python -m bot settings --write` from bot/settings.py. Copy to .env and fill in."]
    for name, field in Settings.model_fields.items():
        default = field.default
        text = default.get_secret_value() if isinstance(default, SecretStr) else "" if default is None else str(default)
        text = text.replace(f"{ROOT}/", "")
        lines += ["", f"# {field.description}", f"WATCHBILL_{name.upper()}={text}"]
    return "\n".join(lines) + "\n"
