"""Plays requester and approver over the lab's control API, prints the thread as text and the lab's own count as JSON."""

import json
import re
import threading
import time
from typing import Any

from deploy.lab.stack import Lab

LIMIT_S = 300.0
LOOK_S = 0.3
SETTLE_S = 15.0
QUIET_S = 2.5
FORM_S = 10.0
TYPE = re.compile(r"Type ([^\n\"]+?) to approve")
# What the program says of a crew that needed help; a healthy mission has none of it.
NOTICES = re.compile(r"was told|was not posted|takes over with the attempts|By rule: |The mission is parked: say how")
ENDED = re.compile(r"Mission \d+ is (done|partial|stopped)")


def play(lab: Lab, request: str, ended: threading.Event, limit_s: float = LIMIT_S) -> int:
    """One mission, played, its thread and the lab's count printed; 0 only if `done`."""
    messages, outcome, seconds = played(lab, request, ended, limit_s)
    for message in messages:
        print(f"{name_of(lab, message)}: {text_of(message)}\n")
    print(json.dumps(count(lab, messages, outcome, seconds)), flush=True)
    return 0 if outcome == "done" else 1


def played(
    lab: Lab, request: str, ended: threading.Event, limit_s: float = LIMIT_S
) -> tuple[list[dict[str, Any]], str, float]:
    """Post the request as ana, approve every card as bo, answer questions with their default: the thread at the end, how
    the mission ended ("" if it did not), and the seconds that it took.
    """
    started = time.monotonic()
    people = {name: facts["id"] for name, facts in lab.slack["people"].items()}
    channel = lab.slack["channel"]
    ts = lab.call("slack", "/lab/post", {"as": people["ana"], "channel": channel, "text": request})["ts"]
    pressed: set[tuple[str, str]] = set()
    outcome = ""
    while not outcome and not ended.is_set() and time.monotonic() - started < limit_s:
        time.sleep(LOOK_S)
        messages = thread(lab, channel, ts)
        for message in messages:
            press(lab, message, people, pressed)
        outcome = next((m.group(1) for m in map(ENDED.search, map(text_of, messages)) if m), "")
    seconds = time.monotonic() - started
    return settled(lab, channel, ts), outcome, seconds


def thread(lab: Lab, channel: str, ts: str) -> list[dict[str, Any]]:
    answer = lab.call("slack", f"/lab/thread?channel={channel}&ts={ts}")
    return list(answer["messages"])


def settled(lab: Lab, channel: str, ts: str) -> list[dict[str, Any]]:
    """The thread once its last edits have arrived: Slack's pace for edits is slower than the end of a mission."""
    messages, quiet = thread(lab, channel, ts), 0
    for _ in range(round(SETTLE_S / LOOK_S)):
        time.sleep(LOOK_S)
        newer = thread(lab, channel, ts)
        quiet = quiet + 1 if newer == messages else 0
        messages = newer
        if quiet * LOOK_S >= QUIET_S:
            break
    return messages


def press(lab: Lab, message: dict[str, Any], people: dict[str, str], pressed: set[tuple[str, str]]) -> None:
    """Approve as bo; take a question's first button as ana."""
    for block in message.get("blocks", []):
        for element in block.get("elements", []):
            action = element.get("action_id", "")
            who = "bo" if action in {"approve", "approve_typed"} else "ana" if action.startswith("answer:") else ""
            if not who or (message["ts"], action.split(":")[0]) in pressed:
                continue
            click = {"as": people[who], "channel": message["channel"], "ts": message["ts"], "action_id": action}
            if lab.call("slack", "/lab/click", click).get("acked"):  # else a person would press again
                pressed.add((message["ts"], action.split(":")[0]))
                if action == "approve_typed":
                    type_names(lab, people[who])


def type_names(lab: Lab, user: str) -> None:
    """Fill in the form that asks for the names of what goes, as somebody who read it would."""
    until = time.monotonic() + FORM_S
    while time.monotonic() < until:
        views = lab.call("slack", f"/lab/views?as={user}")["views"]
        wanted = TYPE.search(json.dumps(views[-1]["blocks"], ensure_ascii=False)) if views else None
        if wanted:
            fields = [block for block in views[-1]["blocks"] if block["type"] == "input"]
            values = {block["block_id"]: {block["element"]["action_id"]: wanted[1]} for block in fields[:1]}
            lab.call("slack", "/lab/view_submit", {"as": user, "view_id": views[-1]["id"], "values": values})
            return
        time.sleep(LOOK_S)


def text_of(message: dict[str, Any]) -> str:
    """The message's plain text, which says the same as its blocks (the browser's tests look at those)."""
    files = "".join(f"[{file.get('name', 'file')}] " for file in message.get("files", []))
    return f"{files}{message.get('text', '')}"


def name_of(lab: Lab, message: dict[str, Any]) -> str:
    names = {facts["id"]: name for name, facts in lab.slack["people"].items()}
    names |= {facts["user_id"]: "QA" if key == "qa" else key.capitalize() for key, facts in lab.slack["apps"].items()}
    return names.get(str(message.get("user")), str(message.get("user")))


def count(lab: Lab, messages: list[dict[str, Any]], outcome: str, seconds: float) -> dict[str, Any]:
    """What the lab's servers counted from what they received; only texts of the report come from the thread."""
    slack, model, proxmox = (lab.call(server, "/lab/report") for server in ("slack", "model", "proxmox"))
    report = next((text_of(m) for m in messages if ENDED.search(text_of(m))), "")
    cards = [text_of(m) for m in messages if "request" in text_of(m) and "class" not in text_of(m)]
    return {
        "outcome": outcome or "none",
        "criteria": criteria(report),
        "approvals": {
            "asked": sum("Approval needed" in c or "Approved" in c or "Denied" in c for c in cards),
            "approved": sum("Approved" in c for c in cards),
            "denied": sum("Denied" in c for c in cards),
        },
        "applied": {"created": proxmox["vms_created"], "changed": 0, "destroyed": proxmox["vms_destroyed"]},
        "double_creates": proxmox["double_creates"],
        "turns": model.get("turns", 0),
        "overlapping_turns": model["overlapping_turns"],
        "interventions": sum(name_of(lab, m) == "Watchbill" and bool(NOTICES.search(text_of(m))) for m in messages),
        "thoughts_posted": slack["thoughts_posted"],
        "secrets_seen": slack["secrets_seen"] + model["secrets_seen"] + proxmox["secrets_seen"],
        "model_calls": model["calls"],
        "prompt_tokens": model["prompt_tokens"],
        "cost_usd": cost(report),
        "seconds": round(seconds, 1),
    }


def criteria(report: str) -> list[dict[str, Any]]:
    """The report's criterion lines with the evidence line of the same number."""
    shown = dict(reversed(re.findall(r"^• (\d+) (.*)$", report, re.MULTILINE)))  # the first of a number
    found: list[dict[str, Any]] = []
    for mark, number, line in re.findall(r"^(\S) (\d+) (.*)$", report, re.MULTILINE):
        if mark == "•":
            continue
        text = line.partition(" — ")[0]
        found.append({"text": text, "passed": mark == "✓", "evidence": shown.get(number, "")})
    return found


def cost(report: str) -> float:
    match = re.search(r"\$(\d+\.\d+)", report)
    return float(match.group(1)) if match else 0.0
