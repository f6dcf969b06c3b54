"""What the tests of killed and interrupted programs share: a quick lab, people who press buttons, and what is asserted."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bot.store.binary import server_binary
from deploy.lab.__main__ import MISSION
from deploy.lab.headless import name_of, press, text_of
from deploy.lab.stack import Lab, Options, running

LIMIT_S = 75.0
LOOK_S = 0.1
ENDED = re.compile(r"Mission \d+ is (done|partial|stopped)|outcome is unknown")
QUICK = {"WATCHBILL_LEASE_S": "2", "WATCHBILL_COALESCE_S": "0.1"}
PASSES = r"""
import json, pathlib, re, sys
work, checks = map(pathlib.Path, sys.argv[1:])
def addresses(module):
    yield from (resource["address"] for resource in module.get("resources", []))
    for child in module.get("child_modules", []):
        yield from addresses(child)
planned = list(addresses(json.loads((work / "plan.json").read_text())["planned_values"]["root_module"]))
rules = [re.search(r"id: *(\w+)", path.read_text())[1] for path in checks.glob("*.yaml")]
results = [{"rule": rule, "name": rule, "resource": address, "outcome": "PASSED", "file": "", "line": 0}
           for rule in rules for address in planned]
parts = [{"framework": name, "results": results if name == "terraform_plan" else [], "broken": []}
         for name in ("terraform_plan", "terraform", "secrets")]
print(json.dumps({"version": "stand-in", "parts": parts}))
"""


@contextmanager
def lab_in(folder: Path, settings: Mapping[str, str] | None = None, pace: float = 0.1) -> Generator[Lab]:
    """A lab that takes its time nowhere. What these tests are about runs for real; the scanner, which costs seconds of
    processor time per plan and is tested elsewhere, is a stand-in that finds nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = Options(
        keep=folder / "lab",
        settings={**QUICK, "WATCHBILL_SCANNER": str(stand_in_scanner(folder)), **(settings or {})},
        slack_arguments=("--rate-scale", "0", "--retry-scale", "0.02"),
        proxmox_arguments=("--pace", str(pace)),
    )
    with running(options, lambda _: None) as lab:
        yield lab


def stand_in_scanner(folder: Path) -> Path:
    """A program laid out as checkov's environment is; every rule passes on every resource of the plan."""
    programs = folder / "scanner" / "bin"
    programs.mkdir(parents=True)
    home = Path(sysconfig.get_config_var("BINDIR"))
    (programs.parent / "pyvenv.cfg").write_text(f"home = {home}\n")
    (programs / "passes.py").write_text(PASSES)
    python = programs / "python"
    python.write_text(f'#!/bin/sh\nexec {Path(sys.executable).resolve()} -I -S {programs / "passes.py"} "$4" "$5"\n')
    python.chmod(0o755)
    (programs / "checkov").touch()
    return programs / "checkov"


# People ---------------------------------------------------------------------------------------------------------------


def person(lab: Lab, name: str) -> str:
    return str(lab.slack["people"][name]["id"])


def ask(lab: Lab, text: str = MISSION) -> str:
    """Ana starts a mission; the thread's ts."""
    post = {"as": person(lab, "ana"), "channel": lab.slack["channel"], "text": text}
    return str(lab.call("slack", "/lab/post", post)["ts"])


def say(lab: Lab, ts: str, text: str, who: str = "ana") -> None:
    post = {"as": person(lab, who), "channel": lab.slack["channel"], "text": text, "thread_ts": ts}
    assert lab.call("slack", "/lab/post", post)["ok"]


def messages(lab: Lab, ts: str) -> list[dict[str, Any]]:
    answer: dict[str, Any] = lab.call("slack", f"/lab/thread?channel={lab.slack['channel']}&ts={ts}")
    return list(answer["messages"])


def words(lab: Lab, ts: str) -> str:
    return "\n".join(f"{name_of(lab, message)}: {text_of(message)}" for message in messages(lab, ts))


def actions(message: Mapping[str, Any]) -> set[str]:
    return {e.get("action_id", "") for block in message.get("blocks", []) for e in block.get("elements", [])}


def click(lab: Lab, ts: str, who: str, action: str) -> bool:
    """Press the newest button of this name; False where there is none or nobody took the click."""
    for message in reversed(messages(lab, ts)):
        if action in actions(message):
            pressed = {"as": person(lab, who), "channel": lab.slack["channel"], "ts": message["ts"]}
            return bool(lab.call("slack", "/lab/click", {**pressed, "action_id": action}).get("acked"))
    return False


@contextmanager
def approving(lab: Lab, ts: str) -> Generator[None]:
    """Bo approves every card of the thread, and presses again where his click was not taken."""
    over = threading.Event()
    pressed: set[tuple[str, str]] = set()
    people = {name: facts["id"] for name, facts in lab.slack["people"].items()}

    def approve() -> None:
        while not over.wait(LOOK_S):
            for message in messages(lab, ts):
                press(lab, message, people, pressed)

    bo = threading.Thread(target=approve)
    bo.start()
    try:
        yield
    finally:
        over.set()
        bo.join(30)


def until(what: Callable[[], Any], said: str, limit_s: float = LIMIT_S, *, lab: Lab | None = None, ts: str = "") -> Any:
    """The first truth that `what` gives. Fails with what people saw, where a thread is given."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(LOOK_S)
    thread = words(lab, ts) if lab and ts else ""
    raise AssertionError(f"not within {limit_s:.0f} s: {said}\n{thread}")


# What is seen ---------------------------------------------------------------------------------------------------------


def report(lab: Lab, server: str) -> dict[str, Any]:
    return dict(lab.call(server, "/lab/report"))


def created(lab: Lab) -> int:
    return int(report(lab, "proxmox")["vms_created"])


def machines(lab: Lab) -> dict[int, dict[str, Any]]:
    """The machines that Proxmox has, by number, without templates."""
    found: dict[str, dict[str, Any]] = lab.call("proxmox", "/lab/state")["machines"]
    return {int(vmid): machine for vmid, machine in found.items() if not machine["config"].get("template")}


def machines_in_state(lab: Lab) -> set[int]:
    """The machines' numbers in Terraform's state."""
    found: set[int] = set()
    for path in (lab.folder / "data" / "estates" / "lab" / "state").rglob("terraform.tfstate"):
        state: dict[str, Any] = json.loads(path.read_text() or "{}")
        for resource in state.get("resources", []):
            if resource["type"] == "proxmox_virtual_environment_vm":
                found |= {int(instance["attributes"]["vm_id"]) for instance in resource["instances"]}
    return found


def processes(lab: Lab, name: str) -> list[int]:
    """Processes of this lab that run a program or file of this name."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
                place = os.fsencode((entry / "cwd").resolve())
            except OSError:
                continue
            ours = os.fsencode(lab.folder) in line + place
            if ours and any(Path(os.fsdecode(part)).name.startswith(name) for part in re.split(rb"[\0 ]", line)[:5]):
                found.append(int(entry.name))
    return found


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL


def judge(lab: Lab, ts: str) -> None:
    """What holds after any death: nothing was made twice, nothing is forgotten, nothing stands open, nobody is ignored."""
    until(
        lambda: not any({"approve", "deny"} & actions(m) for m in messages(lab, ts)),
        "cards without buttons",
        15,
        lab=lab,
        ts=ts,
    )
    until(lambda: answered(lab, ts), "an answer to every human word", 15, lab=lab, ts=ts)
    thread = words(lab, ts)
    proxmox, slack = report(lab, "proxmox"), report(lab, "slack")
    assert (proxmox["double_creates"], proxmox["refused_creates"]) == (0, 0), thread
    assert set(proxmox["creates"].values()) <= {1}, thread
    forgotten = set(machines(lab)) - machines_in_state(lab)
    assert all(str(vmid) in thread for vmid in forgotten), thread
    assert report(lab, "model")["overlapping_turns"] == 0, thread
    assert (slack["duplicates"], slack["invalid_blocks"]) == (0, 0), thread
    assert (slack["thoughts_posted"], slack["secrets_seen"]) == (0, 0), thread
    assert "Approval needed" not in thread, thread


def answered(lab: Lab, ts: str) -> bool:
    """Whether somebody of the crew said something after the last word of a human."""
    people = {facts["id"] for facts in lab.slack["people"].values()}
    said = messages(lab, ts)
    last = max((index for index, message in enumerate(said) if message["user"] in people), default=0)
    return any(message["user"] != lab.slack["apps"]["watchbill"]["user_id"] for message in said[last + 1 :])


def kill_apply(lab: Lab) -> None:
    """SIGKILL to Terraform, its provider and their warden, and wait until nothing of them lives."""
    names = ("terraform", "confine.py")
    for pid in {pid for name in names for pid in processes(lab, name)}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not any(processes(lab, name) for name in names), "the end of Terraform and its provider", 15)


@contextmanager
def valkey(folder: Path) -> Generator[str]:
    """A server of the operator's own, with its log on: the URL for WATCHBILL_REDIS_URL."""
    folder.mkdir(parents=True)
    socket = Path(tempfile.mkdtemp(prefix="wb")) / "s"  # a socket's path is short
    command = [str(server_binary()), "--port", "0", "--unixsocket", str(socket), "--dir", str(folder)]
    server = subprocess.Popen([*command, "--appendonly", "yes", "--save", ""], stdout=subprocess.DEVNULL)
    try:
        until(socket.exists, "the store's socket", 15)
        yield f"unix://{socket}"
    finally:
        server.terminate()
        server.wait(15)
        shutil.rmtree(socket.parent)
