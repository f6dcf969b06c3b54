"""A worker killed at every step of the approval pipeline and during the apply (acceptance 3, rules 4, 12 and 13)."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.lab.__main__ import MISSION
from deploy.lab.headless import name_of, play, text_of
from deploy.lab.stack import Lab, Options, running
from tests.e2e.killed_program import POINTS

LIMIT_S = 75.0
QUICK = {"WATCHBILL_LEASE_S": "2", "WATCHBILL_COALESCE_S": "0.1"}

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


@contextmanager
def lab_in(tmp_path: Path) -> Generator[Lab]:
    options = Options(
        keep=tmp_path / "lab", settings=QUICK, slack_arguments=("--rate-scale", "0", "--retry-scale", "0.02"),
        proxmox_arguments=("--pace", "0.3"),
    )  # fmt: skip
    lines: list[str] = []
    with running(options, lines.append) as lab:
        yield lab


def play_through_a_death(lab: Lab, point: str) -> None:
    """The mission is played while the first program dies at `point` and a second one carries on."""
    first = lab.start_program("first", point, module="tests.e2e.killed_program")
    ended = threading.Event()
    player = threading.Thread(target=play, args=(lab, MISSION, ended, LIMIT_S))
    player.start()
    try:
        assert first.wait(LIMIT_S) == -9, f"the program was to die at {point}"
        lab.processes.pop("first")
        lab.start_program("second")
        player.join(LIMIT_S + 20)
    finally:
        ended.set()
        player.join(20)


def words(lab: Lab) -> str:
    state: dict[str, Any] = lab.call("slack", f"/lab/state?channel={lab.slack['channel']}")
    threads = {m.get("thread_ts") for m in state["messages"] if m.get("thread_ts")} | {
        m["ts"] for m in state["messages"] if m.get("reply_count")
    }
    found: list[str] = []
    for ts in sorted(threads):
        answer: dict[str, Any] = lab.call("slack", f"/lab/thread?channel={lab.slack['channel']}&ts={ts}")
        found += [f"{name_of(lab, message)}: {text_of(message)}" for message in answer["messages"]]
    return "\n".join(found)


def machines_in_state(lab: Lab) -> int:
    count = 0
    for path in (lab.folder / "data" / "estates" / "lab" / "state").rglob("terraform.tfstate"):
        state: dict[str, Any] = json.loads(path.read_text() or "{}")
        count += sum(len(resource["instances"]) for resource in state.get("resources", []))
    return count


@pytest.mark.parametrize("point", POINTS)
def test_rule_13_killed_at_any_step_it_runs_once_or_is_an_unknown_outcome(tmp_path: Path, point: str) -> None:
    with lab_in(tmp_path) as lab:
        play_through_a_death(lab, point)
        thread = words(lab)
        proxmox: dict[str, Any] = lab.call("proxmox", "/lab/report")
        slack: dict[str, Any] = lab.call("slack", "/lab/report")
        assert proxmox["double_creates"] == 0
        assert slack["duplicates"] == 0, thread
        assert (slack["thoughts_posted"], slack["secrets_seen"]) == (0, 0)
        assert proxmox["vms_created"] in {0, 3}, thread
        if "Mission 1 is done" in thread:
            assert proxmox["vms_created"] == 3
        else:
            assert "outcome is unknown" in thread, thread
        assert machines_in_state(lab) == proxmox["vms_created"], "never an empty state"
        assert "Approval needed" not in thread, "every card says what became of it"
