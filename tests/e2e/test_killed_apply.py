"""An apply that is killed, slow, half done, overtaken or taken over: once, or an unknown outcome with every orphan named."""

import json
import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.lab.stack import Lab
from tests.e2e.killed_lab import (
    actions,
    answered,
    approving,
    ask,
    click,
    created,
    judge,
    kill,
    kill_apply,
    lab_in,
    machines,
    machines_in_state,
    messages,
    processes,
    report,
    say,
    until,
    valkey,
    words,
)

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
ALL = {121, 122, 123}


@contextmanager
def applied(tmp_path: Path, reached: Callable[[Lab], object], **fault: Any) -> Generator[tuple[Lab, str]]:
    """A lab whose first program is in the middle of the approved apply."""
    with lab_in(tmp_path) as lab:
        lab.start_program("first")
        if fault:
            lab.call("proxmox", "/lab/fault", fault)
        ts = ask(lab)
        until(lambda: click(lab, ts, "bo", "approve"), "an approved card", lab=lab, ts=ts)
        until(lambda: reached(lab), "the point in the apply", lab=lab, ts=ts)
        yield lab, ts


def cloning(lab: Lab) -> bool:
    return created(lab) == 3


def cloned_not_started(lab: Lab) -> bool:
    found = machines(lab)
    return len(found) == 3 and all(m["status"] == "stopped" and "lock" not in m["config"] for m in found.values())


def parked_with_orphans(lab: Lab, ts: str) -> str:
    """The thread's words, once the mission stands still and every machine that no state has is named."""
    until(lambda: "outcome is unknown" in words(lab, ts), "an unknown outcome", lab=lab, ts=ts)
    until(lambda: "Parked" in words(lab, ts), "a card that says it stands still", lab=lab, ts=ts)  # edits are paced
    judge(lab, ts)
    thread = words(lab, ts)
    orphans = set(machines(lab)) - machines_in_state(lab)
    assert orphans
    assert "In no state, but in Proxmox" in thread, thread
    return thread


def test_rule_13_a_dead_worker_s_terraform_goes_on_and_is_waited_for(tmp_path: Path) -> None:
    with applied(tmp_path, cloning, kind="slow_tasks", type="qmclone", seconds=4) as (lab, ts):
        kill(lab.processes.pop("first"))
        assert processes(lab, "terraform"), "an apply survives its worker"
        lab.start_program("second")
        until(lambda: "Mission 1 is done" in words(lab, ts), "the end", lab=lab, ts=ts)
        judge(lab, ts)
        assert machines_in_state(lab) == set(machines(lab)) == ALL
        assert "by an earlier worker" in words(lab, ts) or "3 created" in words(lab, ts)


@pytest.mark.parametrize(
    ("reached", "kind"),
    [(cloning, "qmclone"), (cloned_not_started, "qmstart")],
    ids=["in-the-clone", "before-the-start"],
)
def test_rule_13_worker_and_terraform_killed_names_every_orphan(
    tmp_path: Path, reached: Callable[[Lab], object], kind: str
) -> None:
    with applied(tmp_path, reached, kind="slow_tasks", type=kind, seconds=3) as (lab, ts):
        kill(lab.processes.pop("first"))
        kill_apply(lab)
        lab.call("proxmox", "/lab/fault", {"kind": "clear"})
        lab.start_program("second")
        thread = parked_with_orphans(lab, ts)
        assert all(f"{name} (VM {vmid} on" in thread for name, vmid in (("cp1", 121), ("cp2", 122), ("cp3", 123))), (
            thread
        )
        say(lab, ts, "@Architect how far is it?")
        until(lambda: answered(lab, ts), "an answer", lab=lab, ts=ts)
        assert created(lab) == 3, "nothing is retried"


def test_rule_13_terraform_killed_under_a_living_worker_is_an_unknown_outcome(tmp_path: Path) -> None:
    with applied(tmp_path, cloning, kind="slow_tasks", type="qmclone", seconds=3) as (lab, ts):
        kill_apply(lab)
        parked_with_orphans(lab, ts)
        assert created(lab) == 3


def test_an_apply_that_fails_half_way_says_what_is_and_what_to_do_and_the_rest_is_planned(tmp_path: Path) -> None:
    fault = {"kind": "task_fails", "type": "qmclone", "vmid": 122, "message": "storage is full"}
    with applied(tmp_path, lambda lab: created(lab) == 2, **fault) as (lab, ts):
        until(lambda: "is stuck" in words(lab, ts), "what the crew makes of it", lab=lab, ts=ts)
        thread = words(lab, ts)
        assert "storage is full" in thread, thread
        assert machines_in_state(lab) == set(machines(lab)) == {121, 123}
        (card,) = (m for m in messages(lab, ts) if "Approved by" in m["text"])
        assert "failed" in card["text"]
        assert not actions(card) & {"approve", "deny"}
        assert "Not done: cp2" in thread, thread
        assert "In the state: cp1 (121) on pve1, cp3 (123) on pve1" in thread, thread
        assert "Mend the cause and plan again: that plan holds only the rest" in thread, thread
        with approving(lab, ts):
            say(lab, ts, "@Builder go on")
            until(lambda: "Mission 1 is done" in words(lab, ts), "the rest", lab=lab, ts=ts)
        judge(lab, ts)
        assert "+ 1 create" in words(lab, ts)
        assert machines_in_state(lab) == set(machines(lab)) == ALL


def test_rule_11_a_plan_whose_state_moved_after_the_card_is_superseded_and_planned_anew(tmp_path: Path) -> None:
    with lab_in(tmp_path) as lab:
        lab.start_program("first")
        ts = ask(lab)
        until(lambda: "Approval needed" in words(lab, ts), "the card", lab=lab, ts=ts)
        move_state(lab)
        assert click(lab, ts, "bo", "approve")
        until(
            lambda: "no longer fits" in words(lab, ts) or "uperseded" in words(lab, ts),
            "that it is void",
            lab=lab,
            ts=ts,
        )
        assert created(lab) == 0
        with approving(lab, ts):
            until(lambda: "Mission 1 is done" in words(lab, ts), "the new plan's end", lab=lab, ts=ts)
        judge(lab, ts)
        thread = words(lab, ts)
        assert "state.lineage changed" in thread, thread
        assert machines_in_state(lab) == set(machines(lab)) == ALL


def move_state(lab: Lab) -> None:
    """What another apply of the same code would leave."""
    (folder,) = (lab.folder / "data" / "estates" / "lab" / "state").iterdir()
    state: dict[str, Any] = {
        "version": 4,
        "terraform_version": "1.11.4",
        "serial": 3,
        "lineage": "another",
        "outputs": {},
        "resources": [],
    }
    (folder / "terraform.tfstate").write_text(json.dumps(state))


def test_rule_1_two_workers_and_a_gateway_carry_on_when_those_that_act_are_killed(tmp_path: Path) -> None:
    with valkey(tmp_path / "valkey") as url, lab_in(tmp_path, {"WATCHBILL_REDIS_URL": url}) as lab:
        lab.call("proxmox", "/lab/fault", {"kind": "slow_tasks", "type": "qmclone", "seconds": 3})
        workers = [lab.start_program(name, "worker") for name in ("one", "two")]
        lab.start_program("gateway", "gateway")
        ts = ask(lab)
        until(lambda: "Plan: 2 steps" in words(lab, ts), "the plan", lab=lab, ts=ts)
        kill(lab.processes.pop("gateway"))
        say(lab, ts, "@Architect how far is it?")  # nobody listens now
        lab.start_program("gateway", "gateway")
        with approving(lab, ts):
            until(lambda: cloning(lab), "the apply", lab=lab, ts=ts)
            holder = holder_of_apply(lab)
            (dead,) = (worker for worker in workers if worker.pid == holder)
            kill(dead)
            until(lambda: "Mission 1 is done" in words(lab, ts), "the end", lab=lab, ts=ts)
        judge(lab, ts)
        assert machines_in_state(lab) == set(machines(lab)) == ALL
        (alive,) = (name for name in ("one", "two") if lab.processes[name].poll() is None)
        assert lab.end(alive, signal.SIGTERM) == lab.end("gateway", signal.SIGTERM) == 0


def holder_of_apply(lab: Lab) -> int:
    """The worker that started the apply's warden."""
    for warden in processes(lab, "confine.py"):
        if "/apply-" in Path(f"/proc/{warden}/cmdline").read_text():
            return int(Path(f"/proc/{warden}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def test_rule_4_an_approval_outlives_the_operators_store(tmp_path: Path) -> None:
    with lab_in(tmp_path) as lab:
        lab.start_program("first")
        ts = ask(lab)
        until(lambda: "Approval needed" in words(lab, ts), "the card", lab=lab, ts=ts)
        kill(lab.processes.pop("first"))
        (store,) = processes(lab, "valkey-server")
        os.kill(store, signal.SIGKILL)
        lab.start_program("second")
        with approving(lab, ts):
            until(lambda: "Mission 1 is done" in words(lab, ts), "the end", lab=lab, ts=ts)
        judge(lab, ts)
        assert report(lab, "proxmox")["vms_created"] == 3
