"""The whole program in the lab, played by itself: one message, one plan, one approval, one real apply (acceptance 1 and 5)."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 280

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


def play(*arguments: str) -> tuple[int, dict[str, Any], str]:
    """Run the demo as `make demo-headless` does; its exit code, the JSON of its last line, everything it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "bot", "demo", "--headless", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip
    lines = done.stdout.strip().splitlines()
    assert lines, done.stderr
    assert lines[-1].startswith("{"), done.stdout[-3000:] + done.stderr[-3000:]
    return done.returncode, json.loads(lines[-1]), done.stdout


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_rule_8_one_message_becomes_machines_with_evidence(provider: str) -> None:
    code, result, text = play("--provider", provider)
    assert (code, result["outcome"]) == (0, "done"), text[-4000:]
    assert result["criteria"]
    assert all(criterion["passed"] and criterion["evidence"] for criterion in result["criteria"])
    assert result["applied"] == {"created": 3, "changed": 0, "destroyed": 0}
    assert result["approvals"] == {"asked": 1, "approved": 1, "denied": 0}
    assert result["thoughts_posted"] == result["overlapping_turns"] == result["secrets_seen"] == 0
    assert result["double_creates"] == 0
    assert result["model_calls"] > 5
    assert result["prompt_tokens"] > 0
    assert result["cost_usd"] > 0
    assert "appeared in the output of" not in text  # rule 23's warning is for what untrusted text asked for
    assert "audit head: " in text


def test_rule_8_what_cannot_be_probed_ends_partial_not_done() -> None:
    code, result, text = play("--scenario", "whole-cluster")
    assert (code, result["outcome"]) == (1, "partial"), text[-4000:]
    assert not all(criterion["passed"] for criterion in result["criteria"])
    assert any(criterion["passed"] for criterion in result["criteria"])
