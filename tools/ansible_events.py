"""What a playbook's run says, event by event, and what became of each host. Pure.

The lines are ansible-runner's events. `no_log` is honoured: a censored result gives no message, whatever it holds.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from bot.domain.calls import ResultStatus
from bot.domain.ids import Json
from tools.run_directory import Ended, Status

SHOWN: Final = 600  # characters of a failed task's message
DIFF: Final = 40  # lines of one task's diff
COUNTS: Final = ("ok", "changed", "failed", "unreachable", "skipped")
MENDS: Final[Mapping[str, str]] = {
    "Missing sudo password": "let the user use sudo without a password (cloud-init: sudo ALL=(ALL) NOPASSWD:ALL)",
    "a password is required": "let the user use sudo without a password (cloud-init: sudo ALL=(ALL) NOPASSWD:ALL)",
    "REMOTE HOST IDENTIFICATION HAS CHANGED": "the host key changed: a person has to find out why before anything is run",
    "Host key verification failed": "the host key changed: a person has to find out why before anything is run",
    "Permission denied (publickey": "the bot's public key is not in the machine's authorized_keys (cloud-init)",
    "Connection timed out": "the host does not answer: is it up, and is its address right?",
    "Connection refused": "nothing listens on the SSH port: is the machine up?",
    "No route to host": "the host does not answer: is it up, and is its address right?",
    "Could not get lock": "apt is locked by another process (often unattended-upgrades at first boot): wait, then run again",
    "No space left on device": "the disk is full: look with ssh df -h before running again",
    "/usr/bin/python3: No such file": "the host has no Python: install python3 with ssh (apt-get), then run again",
}


@dataclass
class HostLine:
    """One host so far. `task`: what it did last, or does now (`busy`)."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    task: str = ""
    busy: bool = False
    broken: bool = False

    @property
    def text(self) -> str:
        return " ".join(f"{name} {self.counts[name]}" for name in COUNTS)


@dataclass(frozen=True, slots=True)
class Failure:
    host: str
    task: str
    where: str
    text: str


@dataclass(frozen=True, slots=True)
class Changed:
    """A task that changed a host, or would (dry run). `diff`: what, as text."""

    host: str
    task: str
    diff: str


@dataclass
class Progress:
    """The events heard so far."""

    hosts: dict[str, HostLine] = field(default_factory=dict[str, HostLine])
    tasks: int = 0
    now: str = ""
    failures: list[Failure] = field(default_factory=list[Failure])
    changes: list[Changed] = field(default_factory=list[Changed])
    finished: bool = False
    said: list[str] = field(default_factory=list[str])  # warnings and errors outside of tasks

    def hear(self, lines: Sequence[str]) -> None:
        for event in _events(lines):
            self._one(str(event.get("event")), _map(event, "event_data"), str(event.get("stdout", "")))

    def words(self, total: int) -> tuple[str, str]:
        """`31 of 58 tasks`, `cp2: install containerd`."""
        count = f"{min(self.tasks, total)} of {total} tasks" if total else f"{self.tasks} tasks"
        busy = next((f"{name}: {line.task}" for name, line in self.hosts.items() if line.busy), self.now)
        return count, busy

    def _one(self, kind: str, facts: Mapping[str, Any], said: str) -> None:
        task, host = str(facts.get("task", "")), str(facts.get("host", ""))
        match kind:
            case "playbook_on_task_start" | "playbook_on_handler_task_start":
                self.now = str(facts.get("name") or task)
                self.tasks += 0 if _gathers(facts) else 1
            case "runner_on_start":
                line = self._host(host)
                line.task, line.busy = task, True
            case "runner_on_ok" | "runner_on_skipped" | "runner_on_failed" | "runner_on_unreachable":
                self._ended(kind, host, task, facts)
            case "playbook_on_stats":
                self._stats(facts)
            case "error" | "warning" | "verbose" | "playbook_on_no_hosts_matched":
                self.said += [said.strip()] if said.strip() and kind != "verbose" else []
            case _:
                pass

    def _ended(self, kind: str, host: str, task: str, facts: Mapping[str, Any]) -> None:
        line, result = self._host(host), _map(facts, "res")
        line.task, line.busy = task, False
        ignored = bool(facts.get("ignore_errors"))
        if kind == "runner_on_ok":
            line.counts["ok"] += 1
            if result.get("changed"):
                line.counts["changed"] += 1
                self.changes.append(Changed(host, task, _diff(result)))
        elif kind == "runner_on_skipped":
            line.counts["skipped"] += 1
        elif ignored:
            line.counts["ok"] += 1
        else:
            word = "failed" if kind == "runner_on_failed" else "unreachable"
            line.counts[word] += 1
            line.broken = True
            self.failures.append(Failure(host, task, _place(facts), message(result)))

    def _stats(self, facts: Mapping[str, Any]) -> None:
        """The last word: what was rescued is no failure."""
        self.finished = True
        for line in self.hosts.values():
            line.counts = dict.fromkeys(COUNTS, 0)
        names = {"ok": "ok", "changed": "changed", "failures": "failed", "dark": "unreachable", "skipped": "skipped"}
        for theirs, ours in names.items():
            for host, count in _map(facts, theirs).items():
                self._host(host).counts[ours] = int(count)
        for line in self.hosts.values():
            line.broken = bool(line.counts["failed"] or line.counts["unreachable"])
            line.busy = False
        self.failures = [f for f in self.failures if self._host(f.host).broken]

    def _host(self, name: str) -> HostLine:
        return self.hosts.setdefault(name, HostLine())


@dataclass(frozen=True, slots=True)
class Ending:
    """How the process ended, "left" where the lease was lost. `wanted`: the hosts it was meant for."""

    end: Status | Literal["left"]
    progress: Progress
    wanted: tuple[str, ...]
    total: int
    stopped: bool = False
    recovered: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    status: ResultStatus
    text: str
    facts: Mapping[str, Json]


def tell(ending: Ending, playbook: str) -> Told:
    """The result: what happened, host by host, and what to do about it. No host is left unmentioned."""
    progress = ending.progress
    status = _status(ending)
    untouched = [name for name in ending.wanted if name not in progress.hosts]
    half = [n for n, line in progress.hosts.items() if not progress.finished and not line.broken]
    lines = [_headline(ending, status, playbook)]
    lines += [f"{name}: {line.text}" for name, line in sorted(progress.hosts.items())]
    lines += [f"{name}: nothing was done" for name in untouched]
    lines += [f"Failed on {f.host}: {f.task}{f.where}: {f.text}" for f in progress.failures[:10]]
    lines += progress.said[:5] if status != "ok" else []
    for name in half:
        line = progress.hosts[name]
        doing = "cut off in" if line.busy else "after"
        lines.append(f"{name} is half done, {doing}: {line.task}. What it had done before stays.")
    mends = {mend for sign, mend in MENDS.items() for f in progress.failures if sign in f.text}
    lines += [f"Mend: {mend}." for mend in sorted(mends)]
    if status not in {"ok", "unknown_outcome"}:
        lines.append("Mend the cause, check again and run again: what is done already stays and is not done twice.")
    if status == "unknown_outcome":
        lines.append("Look at these hosts with ssh before anything else; nothing is run again by itself.")
    facts: dict[str, Json] = {
        "playbook": playbook,
        "hosts": {name: dict(line.counts) for name, line in sorted(progress.hosts.items())},
        "changed": sum(line.counts["changed"] for line in progress.hosts.values()),
        "failed": [f.host for f in progress.failures],
        "half_done": list(half),
        "untouched": list(untouched),
        "tasks": progress.tasks,
    }
    return Told(status, "\n".join(lines), facts)


def message(result: Mapping[str, Any]) -> str:
    """A failed task's own words, or that they are hidden."""
    if "censored" in result or result.get("_ansible_no_log"):
        return "its output is hidden (no_log)"
    parts = [
        str(result.get(name) or "").strip() for name in ("msg", "stderr", "module_stderr", "stdout", "module_stdout")
    ]
    text = "\n".join(dict.fromkeys(part for part in parts if part)) or "it gave no message"
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]} … {text[-SHOWN // 2 :]}"


def _status(ending: Ending) -> ResultStatus:
    end, progress = ending.end, ending.progress
    if not isinstance(end, Ended):
        return "unknown_outcome"
    if end.ok and progress.finished and progress.hosts and not progress.failures:
        return "ok"
    return "interrupted" if ending.stopped else "failed"


def _headline(ending: Ending, status: ResultStatus, playbook: str) -> str:
    progress, end = ending.progress, ending.end
    done = f"{progress.tasks} of {ending.total} tasks begun" if ending.total else f"{progress.tasks} tasks begun"
    changed = sum(line.counts["changed"] for line in progress.hosts.values())
    again = " (by an earlier worker, which was interrupted)" if ending.recovered else ""
    if isinstance(end, Ended):
        seconds = f"in {end.seconds:.0f} s"
        if status == "ok":
            return f"Ran {playbook} on {len(progress.hosts)} hosts {seconds}: {changed} changes{again}"
        word = {"interrupted": "Stopped", "failed": "Failed"}.get(status, "Ended")
        why = f", {end.why}" if end.why != "exit" else ""
        nothing = "; no host matched, so nothing was done" if not progress.hosts else ""
        return f"{word} {seconds}: {playbook}, {done}, {changed} changes (exit {end.code}{why}){nothing}{again}"
    if end == "left":
        return f"The lease was lost: {playbook} was told to stop. So far {done}, {changed} changes"
    return f"Unknown outcome: {playbook} is gone and left no exit code. It had reported {done}, {changed} changes"


def _events(lines: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        if line.startswith("{"):
            try:
                event: Any = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield cast("dict[str, Any]", event)


def _gathers(facts: Mapping[str, Any]) -> bool:
    return str(facts.get("task", "")) == "Gathering Facts"


def _place(facts: Mapping[str, Any]) -> str:
    """` (roles/base/tasks/main.yml:12)`: where the task stands, without the folder that it was copied to."""
    path = str(facts.get("task_path", "")).rpartition("/project/")[2]
    return f" ({path})" if path else ""


def _diff(result: Mapping[str, Any]) -> str:
    if "censored" in result or result.get("_ansible_no_log"):
        return "(hidden: no_log)"
    raw = result.get("diff")
    found = cast("list[Any]", raw) if isinstance(raw, list) else [raw]
    texts: list[str] = []
    for one in found:
        if isinstance(one, Mapping):
            texts += _diff_lines(cast("Mapping[str, Any]", one))
    return "\n".join(texts[:DIFF] + (["…"] if len(texts) > DIFF else []))


def _diff_lines(one: Mapping[str, Any]) -> list[str]:
    import difflib  # noqa: PLC0415 - for dry runs only

    if one.get("prepared"):
        return str(one["prepared"]).splitlines()
    before, after = (_text(one.get(side)) for side in ("before", "after"))
    names = (str(one.get("before_header") or "before"), str(one.get("after_header") or "after"))
    return list(difflib.unified_diff(before, after, *names, lineterm="", n=1))


def _text(value: Any) -> list[str]:
    plain = value if isinstance(value, str) else json.dumps(value, indent=1, sort_keys=True) if value else ""
    return plain.splitlines()


def _map(facts: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = facts.get(key)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
