"""The whole program in the lab, played by itself: one message, one plan, one approval, one real apply (acceptance 1 and 5)."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.lab.stack import Lab
from tests.e2e.killed_lab import approving, ask, lab_in, say, until, words

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
    assert result["interventions"] == 0, "a healthy mission is left alone"
    assert result["model_calls"] > 5
    assert result["prompt_tokens"] > 0
    assert result["cost_usd"] > 0
    assert "appeared in the output of" not in text  # rule 23's warning is for what untrusted text asked for
    assert "audit head: " in text


def whispers(lab: Lab) -> str:
    """What was shown to ana only."""
    shown = lab.call("slack", f"/lab/ephemerals?as={lab.slack['people']['ana']['id']}")["messages"]
    return "\n".join(str(one) for one in shown)


def test_rule_8_a_machine_destroyed_behind_its_back_is_noticed_when_the_evidence_is_probed_again(
    tmp_path: Path,
) -> None:
    with lab_in(tmp_path) as lab:
        lab.start_program("first")
        ts = ask(lab)
        with approving(lab, ts):
            until(lambda: "Mission 1 is done" in words(lab, ts), "the end", lab=lab, ts=ts)
        say(lab, ts, "@Watchbill mission verify")
        until(lambda: "3 of 3 criteria hold now" in whispers(lab), "what holds", lab=lab, ts=ts)
        lab.call("proxmox", "/lab/out_of_band", {"vmid": 122, "action": "delete"})
        say(lab, ts, "@Watchbill mission verify 1")
        until(lambda: "0 of 3 criteria hold now" in whispers(lab), "what no longer does", lab=lab, ts=ts)
        told = "Mission 1: evidence that held does not hold now, criterion 1, 2, 3."
        until(lambda: told in words(lab, ts), "the notice in the thread", lab=lab, ts=ts)
        thread = words(lab, ts)
        assert thread.count(told) == 1, "said once, not at each probe"
        assert thread.index("Mission 1 is done") < thread.index(told), "the mission's end stays as it was said"


def test_rule_8_what_cannot_be_probed_ends_partial_not_done() -> None:
    code, result, text = play("--scenario", "whole-cluster")
    assert (code, result["outcome"]) == (1, "partial"), text[-4000:]
    assert not all(criterion["passed"] for criterion in result["criteria"])
    assert any(criterion["passed"] for criterion in result["criteria"])
    assert result["interventions"] == 0, "a healthy mission is left alone"
