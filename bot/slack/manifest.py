"""Slack app manifests as data. `deploy/slack/<app>.yaml` are written from here; a test fails when they are stale."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from bot.domain.ids import Json
from bot.slack.commands import COMMANDS, slash
from bot.slack.identities import TITLES
from bot.slack.parse import OWNER

ABOUT: Mapping[str, tuple[str, str]] = {
    "watchbill": ("Mission cards, approvals, questions and reports of the crew", "#1f2a37"),
    "architect": ("Turns a request into criteria and a plan, hands work out, reports", "#2f5f8f"),
    "builder": ("Writes and applies Terraform and Ansible, through the gate", "#8a5a2b"),
    "sentinel": ("Reviews exact revisions with real scanners", "#4b6b3c"),
    "qa": ("Probes, reads and records evidence for each criterion", "#6a4b8a"),
}
SPEAKING = ("app_mentions:read", "channels:history", "chat:write", "files:write", "groups:history", "users:read")
OWNING = ("channels:join", "channels:read", "commands", "files:read", "groups:read", "im:write", "users:read")
HEAD = "# Generated from bot/slack/manifest.py. With a command prefix: python -m bot manifest <app>\n"
EVENTS = ("app_mention", "message.channels", "message.groups")


def manifest(name: str, prefix: str = "") -> Mapping[str, Json]:
    """One app's manifest. Socket Mode, no public address, nothing that it does not use."""
    title, (about, colour) = TITLES[name], ABOUT[name]
    owner = name == OWNER
    features: dict[str, Json] = {"bot_user": {"display_name": title, "always_online": True}}
    if owner:
        features["app_home"] = {"home_tab_enabled": True, "messages_tab_enabled": False}
        features["slash_commands"] = [
            {
                "command": slash(one, prefix),
                "description": one.description,
                **({"usage_hint": one.usage_hint} if one.usage_hint else {}),
                "should_escape": True,
            }
            for one in COMMANDS
        ]
    return {
        "display_information": {"name": title, "description": about, "background_color": colour},
        "features": features,
        "oauth_config": {"scopes": {"bot": sorted({*SPEAKING, *(OWNING if owner else ())})}},
        "settings": {
            "event_subscriptions": {"bot_events": sorted((*EVENTS, *(("app_home_opened",) if owner else ())))},
            "interactivity": {"is_enabled": owner},
            "org_deploy_enabled": False,
            "socket_mode_enabled": True,
            "token_rotation_enabled": False,
        },
    }


def manifests(prefix: str = "") -> Mapping[str, str]:
    """App name → YAML text of the five apps, ready to paste at api.slack.com/apps, “From a manifest”."""
    return {
        name: yaml.safe_dump(dict(manifest(name, prefix)), sort_keys=False, allow_unicode=True, width=100)
        for name in TITLES
    }


def write(folder: Path) -> None:
    """The manifests without prefix as files."""
    for name, text in manifests().items():
        (folder / f"{name}.yaml").write_text(f"{HEAD}{text}")
