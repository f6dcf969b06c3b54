"""`bot eval`: which model with which settings, and what the table says of few runs."""

from pathlib import Path
from typing import Any

import pytest

from deploy.lab.evaluate import Run, mean, measured, row, settings_of, wilson
from deploy.lab.stack import MODELS, Lab, LabError

KEY = {"WATCHBILL_OPENAI_API_KEY": "sk-x", "HOME": "/root"}


def test_without_a_key_the_labs_own_model_plays() -> None:
    assert settings_of((), {"HOME": "/root"}) == {MODELS["openai"]: {}}


def test_a_key_or_an_address_names_the_real_endpoint() -> None:
    found = settings_of((), KEY)
    assert found == {
        MODELS["openai"]: {
            "WATCHBILL_OPENAI_API_KEY": "sk-x", "WATCHBILL_OPENAI_BASE_URL": "", "WATCHBILL_MODEL": MODELS["openai"],
        }
    }  # fmt: skip
    local = settings_of(("openai:qwen3",), {"WATCHBILL_OPENAI_BASE_URL": "http://127.0.0.1:1234/v1"})
    assert local["openai:qwen3"]["WATCHBILL_OPENAI_BASE_URL"] == "http://127.0.0.1:1234/v1"
    assert local["openai:qwen3"]["WATCHBILL_OPENAI_API_KEY"] == "none"
    with pytest.raises(LabError, match="WATCHBILL_ANTHROPIC_API_KEY"):
        settings_of(("anthropic:claude-sonnet-5-5",), KEY)


def test_a_share_of_few_runs_has_a_wide_interval() -> None:
    low, high = wilson(3, 3)
    assert (round(low, 2), round(high, 2)) == (0.44, 1.0)
    low, high = wilson(0, 10)
    assert (round(low, 2), round(high, 2)) == (0.0, 0.28)
    assert mean([1.0, 2.0, 3.0]) == "2.0 ± 1.1"
    assert mean([7]) == "7.0"


def test_a_run_is_what_people_read_of_it(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {}, {"people": {}, "apps": {"watchbill": {"user_id": "U0W"}}}, {}, {}, {}, [])
    texts = (
        "✓ Approved by bo · 3 created in 5 s\nchange · production · request 5b7a",
        "Builder claims. It was not posted, and Builder was told why.",
        "Mission 1 is done · 48 s · $0.03, 61k tokens · 1 approval",
    )
    messages: list[dict[str, Any]] = [{"user": "U0W", "text": text} for text in texts]
    run = measured(lab, "openai:x", "three-vms", messages, "done", 48.04)
    assert run == Run("openai:x", "three-vms", "done", 1, 1, 61_000, 0.03, 48.0)
    assert row("openai:x", "three-vms", [run, run])["done"] == "2 of 2"
