"""The manifests people paste into Slack."""

from pathlib import Path

import pytest
import yaml

from bot.slack.commands import COMMANDS
from bot.slack.manifest import HEAD, manifests

FOLDER = Path(__file__).parents[2] / "deploy" / "slack"


def test_the_files_are_up_to_date() -> None:
    for name, text in manifests().items():
        written = (FOLDER / f"{name}.yaml").read_text()
        assert written == f"{HEAD}{text}", f"{name}.yaml is stale: bot.slack.manifest.write(Path('deploy/slack'))"
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(manifests())


@pytest.mark.parametrize("name", ["architect", "builder", "sentinel", "qa"])
def test_rule_15_only_watchbill_has_buttons_and_commands(name: str) -> None:
    persona, owner = (yaml.safe_load(manifests()[one]) for one in (name, "watchbill"))
    assert persona["settings"]["interactivity"] == {"is_enabled": False}
    assert "slash_commands" not in persona["features"]
    assert owner["settings"]["interactivity"] == {"is_enabled": True}


def test_commands_take_the_prefix() -> None:
    commands = yaml.safe_load(manifests("wb-")["watchbill"])["features"]["slash_commands"]
    assert [one["command"] for one in commands] == [
        "/cluster-status",
        *("/wb-mission", "/wb-approvals", "/wb-crew", "/wb-cost", "/wb-audit"),
    ]
    assert {one["description"] for one in commands} <= {one.description for one in COMMANDS}


def test_every_app_may_read_and_post_and_no_more_than_it_uses() -> None:
    for name, text in manifests().items():
        loaded = yaml.safe_load(text)
        scopes = set(loaded["oauth_config"]["scopes"]["bot"])
        assert {"app_mentions:read", "channels:history", "chat:write"} <= scopes
        assert not any(scope.startswith(("admin", "chat:write.", "users:write")) for scope in scopes)
        assert ("commands" in scopes) == (name == "watchbill")
        assert loaded["settings"]["socket_mode_enabled"]
