"""Every setting explains itself, and `.env.example` is what the settings say."""

from pathlib import Path

import pytest

from bot.policy.redaction import SecretRedactor
from bot.settings import Settings, SettingsError, example, load

ROOT = Path(__file__).resolve().parents[2]


def test_env_example_is_up_to_date() -> None:
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == example(), "run: python -m bot settings --write"


def test_a_copied_env_example_changes_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # its paths are relative to the project, where the program is started
    copied, none = (Settings(_env_file=file) for file in (".env.example", None))  # pyright: ignore[reportCallIssue] # pydantic-settings takes it
    for name in Settings.model_fields:
        set_, default = getattr(copied, name), getattr(none, name)
        assert (set_.resolve(), name) == (default.resolve(), name) if isinstance(default, Path) else set_ == default


def test_every_setting_has_a_meaning() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_a_wrong_setting_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHBILL_LEASE_S", "soon")
    with pytest.raises(SettingsError, match="WATCHBILL_LEASE_S"):
        load()


def test_rule_22_the_password_in_a_url_is_a_secret_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHBILL_REDIS_URL", "rediss://wb:long%2Fredis-pass@db:6379/0")
    shown = SecretRedactor(**load().named_secrets()).text("AUTH long%2Fredis-pass, or typed long/redis-pass")
    assert "redis-pass" not in shown


def test_rule_22_secrets_do_not_print(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHBILL_OPENAI_API_KEY", "sk-do-not-show")
    settings = load()
    assert "sk-do-not-show" not in repr(settings)
    assert settings.secrets() == ("sk-do-not-show",)
