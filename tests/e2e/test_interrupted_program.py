"""The program told to stop, its store killed, STOP pressed during an apply: nothing is lost and nothing runs twice."""

import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.lab.__main__ import MISSION
from deploy.lab.headless import play
from deploy.lab.stack import Lab
from tests.e2e.test_killed_program import LIMIT_S, lab_in, machines_in_state, words

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


def until(what: Callable[[], Any], said: str, limit_s: float = LIMIT_S) -> Any:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"not within {limit_s:.0f} s: {said}")


@contextmanager
def played(lab: Lab) -> Generator[threading.Thread]:
    """People who ask, approve and answer, beside the test."""
    ended = threading.Event()
    player = threading.Thread(target=play, args=(lab, MISSION, ended, LIMIT_S))
    player.start()
    try:
        yield player
    finally:
        ended.set()
        player.join(30)


def ask(lab: Lab) -> str:
    people = lab.slack["people"]
    post = {"as": people["ana"]["id"], "channel": lab.slack["channel"], "text": MISSION}
    return str(lab.call("slack", "/lab/post", post)["ts"])


def press(lab: Lab, who: str, action: str) -> dict[str, Any]:
    """Press a button of the newest message that has it."""
    threads: dict[str, Any] = lab.call("slack", f"/lab/state?channel={lab.slack['channel']}")
    roots = [m["ts"] for m in threads["messages"] if m.get("reply_count")]
    for ts in reversed(roots):
        answer: dict[str, Any] = lab.call("slack", f"/lab/thread?channel={lab.slack['channel']}&ts={ts}")
        for message in reversed(answer["messages"]):
            elements = [e for b in message.get("blocks", []) for e in b.get("elements", [])]
            if any(element.get("action_id") == action for element in elements):
                click = {"as": lab.slack["people"][who]["id"], "channel": lab.slack["channel"], "ts": message["ts"]}
                return lab.call("slack", "/lab/click", {**click, "action_id": action})
    return {}


def applying(lab: Lab) -> bool:
    report: dict[str, Any] = lab.call("proxmox", "/lab/report")
    return report["vms_created"] > 0


def test_rule_1_sigterm_in_the_middle_leaves_the_turn_to_the_next_program(tmp_path: Path) -> None:
    with lab_in(tmp_path) as lab:
        lab.start_program("first")
        with played(lab) as player:
            until(lambda: "Plan: 2 steps" in words(lab), "the plan")
            assert lab.end("first", signal.SIGTERM) == 0
            lab.start_program("second")
            player.join(LIMIT_S)
        assert "Mission 1 is done" in words(lab)
        assert lab.call("slack", "/lab/report")["duplicates"] == 0
        assert lab.call("proxmox", "/lab/report")["double_creates"] == 0


def test_rule_13_sigterm_during_an_apply_lets_it_end_and_exits_0(tmp_path: Path) -> None:
    with lab_in(tmp_path) as lab:
        lab.start_program("first")
        with played(lab) as player:
            until(lambda: applying(lab), "the apply")
            assert lab.end("first", signal.SIGTERM) == 0
            lab.start_program("second")
            player.join(LIMIT_S)
        assert "Mission 1 is done" in words(lab)
        assert machines_in_state(lab) == lab.call("proxmox", "/lab/report")["vms_created"] == 3


def test_rule_4_the_store_is_killed_while_an_approval_waits(tmp_path: Path) -> None:
    with lab_in(tmp_path) as lab:
        lab.start_program("first")
        ask(lab)
        until(lambda: "Approval needed" in words(lab), "the card")
        os.kill(store_of(lab), signal.SIGKILL)
        until(lambda: press(lab, "bo", "approve").get("acked"), "a click that is stored")
        until(lambda: "Mission 1 is done" in words(lab), "the end")
        assert lab.call("proxmox", "/lab/report")["double_creates"] == 0


def store_of(lab: Lab) -> int:
    """The pid of the private store that this lab's program started."""
    data = str(lab.folder / "data").encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if b"valkey-server" in line and data in line + os.fsencode((folder / "cwd").resolve()):
                return int(folder.name)
    raise AssertionError("no private store runs")


def test_rule_5_stop_during_an_apply_says_what_it_left(tmp_path: Path) -> None:
    with lab_in(tmp_path) as lab:
        lab.start_program("first")
        lab.call("proxmox", "/lab/fault", {"kind": "slow_tasks", "seconds": 2})
        ask(lab)
        until(lambda: "Approval needed" in words(lab), "the card")
        until(lambda: applying(lab) or not press(lab, "bo", "approve"), "the apply")
        until(lambda: applying(lab), "the apply")
        assert press(lab, "mallory", "stop").get("acked")
        until(lambda: "Mission 1 is stopped" in words(lab), "the end")
        until(lambda: "Approval needed" not in words(lab), "the card's outcome", 10)
        thread = words(lab)
        created: int = lab.call("proxmox", "/lab/report")["vms_created"]
        assert machines_in_state(lab) == created, "what exists is in the state"
        assert f"{created} created" in thread, thread
        assert lab.end("first", signal.SIGTERM) == 0


def test_rule_12_the_same_click_twice_and_from_two_people_runs_once(tmp_path: Path) -> None:
    with lab_in(tmp_path) as lab:
        lab.start_program("first")
        lab.call("slack", "/lab/fault", {"kind": "duplicate", "count": 50})
        ask(lab)
        until(lambda: "Approval needed" in words(lab), "the card")
        people = [
            threading.Thread(target=press, args=(lab, who, "approve")) for who in ("bo", "chris", "bo", "mallory")
        ]
        for person in people:
            person.start()
        for person in people:
            person.join(20)
        until(lambda: "Mission 1 is done" in words(lab), "the end")
        report: dict[str, Any] = lab.call("proxmox", "/lab/report")
        assert (report["vms_created"], report["double_creates"]) == (3, 0)
        assert lab.call("slack", "/lab/report")["duplicates"] == 0
