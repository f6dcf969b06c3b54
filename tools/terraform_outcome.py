"""What became of an apply, in words: from its machine-readable lines, the state, and what Proxmox has. Pure but for `read`."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from bot.domain.calls import ResultStatus
from bot.domain.ids import Json
from tools.run_directory import Ended, Status
from tools.terraform_cli import diagnostics, json_lines
from tools.terraform_plan import Machine, Seen, addresses_of_state, machines_of_state

SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Planned:
    """What was written down before the apply began. `before`: the machines Proxmox had, None where it did not say."""

    count: int
    addresses: tuple[str, ...]
    creates: tuple[Machine, ...]
    before: tuple[Seen, ...] | None

    def names(self, addresses: Sequence[str]) -> list[str]:
        """Addresses as people read them: a machine that the plan makes by its name."""
        known = {m.address: m.name for m in self.creates if m.name}
        return [known.get(address, address) for address in addresses]

    @classmethod
    def read(cls, path: Path) -> "Planned":
        plain = json.loads(path.read_text())
        before = plain["before"]
        return cls(
            plain["count"],
            tuple(plain["addresses"]),
            tuple(Machine(**m) for m in plain["creates"]),
            None if before is None else tuple(Seen(**s) for s in before),
        )


@dataclass
class Progress:
    """What the apply's machine-readable lines have said so far."""

    created: list[str] = field(default_factory=list[str])
    changed: list[str] = field(default_factory=list[str])
    destroyed: list[str] = field(default_factory=list[str])
    failed: list[str] = field(default_factory=list[str])
    under_way: list[str] = field(default_factory=list[str])
    errors: list[str] = field(default_factory=list[str])

    @property
    def finished(self) -> int:
        return len(self.created) + len(self.changed) + len(self.destroyed)

    def hear(self, lines: Sequence[str]) -> None:
        for line in json_lines("\n".join(lines)):
            kind = line.get("type")
            if kind == "diagnostic" and line.get("@level") == "error":
                self.errors += diagnostics(iter([line]))
            elif kind in {"apply_start", "apply_complete", "apply_errored"}:
                hook: Mapping[str, Any] = line.get("hook") or {}
                self._count(kind, str(hook.get("resource", {}).get("addr", "?")), str(hook.get("action", "")))

    def _count(self, kind: str, address: str, action: str) -> None:
        if kind == "apply_start":
            self.under_way.append(address)
            return
        with contextlib.suppress(ValueError):
            self.under_way.remove(address)
        if kind == "apply_errored":
            self.failed.append(address)
        elif action != "read":
            lists = {"create": self.created, "update": self.changed, "delete": self.destroyed}
            lists.get(action, self.changed).append(address)


@dataclass(frozen=True, slots=True)
class Ending:
    """How the process ended, or "left" where the lease was lost and it was told to stop."""

    end: Status | Literal["left"]
    progress: Progress
    planned: Planned
    stopped: bool = False
    recovered: bool = False

    @property
    def ok(self) -> bool:
        return isinstance(self.end, Ended) and self.end.ok and not self.progress.failed


@dataclass(frozen=True, slots=True)
class Told:
    status: ResultStatus
    text: str
    facts: Mapping[str, Json]


def find_orphans(planned: Planned, state: Sequence[Machine], seen: Sequence[Seen] | None) -> tuple[Seen, ...]:
    """Machines that Proxmox has, that are not in the state, and that this apply can have made: new since it began, or
    named or numbered as the plan says where nobody knows what was there before.
    """
    known = {m.vmid for m in state}
    there = {s.vmid for s in planned.before or ()}
    names = {m.name for m in planned.creates if m.name}
    numbers = {m.vmid for m in planned.creates if m.vmid}
    unknown = [s for s in seen or () if s.vmid not in known and s.vmid not in there]
    if planned.before is None:
        unknown = [s for s in unknown if s.name in names or s.vmid in numbers]
    return tuple(unknown)


def tell_ending(ending: Ending, state: Mapping[str, Any] | str, seen: Sequence[Seen] | None) -> Told:
    """`state`: the parsed state, or why it cannot be read."""
    progress, planned = ending.progress, ending.planned
    machines = () if isinstance(state, str) else machines_of_state(state)
    addresses = () if isinstance(state, str) else addresses_of_state(state)
    others = (a for a in addresses if not any(a.startswith(f"{m.address} ") for m in machines))
    exists = (*map(_machine, machines), *others)
    orphans = find_orphans(planned, machines, seen)
    done = {*progress.created, *progress.changed, *progress.destroyed}
    left = [a for a in planned.addresses if a not in done]
    status = _status(ending, state, orphans)
    lines = [_headline(ending, status), *progress.errors[:SHOWN]]
    if status != "ok" and left:
        lines.append(f"Not done: {', '.join(planned.names(left)[:SHOWN])}")
    lines += [f"In the state: {', '.join(exists[:SHOWN]) or 'nothing'}"] if not isinstance(state, str) else [state]
    lines += [f"In no state, but in Proxmox: {_name(o)}" for o in orphans]
    if seen is None:
        lines.append("Proxmox could not be asked what it has; compare with proxmox_read.")
    if status != "ok":
        lines.append(_advice(ending, orphans))
    facts: dict[str, Json] = {
        "created": len(progress.created),
        "changed": len(progress.changed),
        "destroyed": len(progress.destroyed),
        "planned": planned.count,
        "exists": list(exists),
        "machines": [{"name": m.name, "node": m.node, "vmid": m.vmid, "address": m.ip} for m in machines if m.name],
        "orphans": [_name(o) for o in orphans],
        "not_done": list(left) if status != "ok" else [],
    }
    return Told(status, "\n".join(lines), facts)


def _machine(machine: Machine) -> str:
    """As people know it: cp1 (121) on pve1."""
    return f"{machine.name} ({machine.vmid}) on {machine.node}" if machine.name else machine.address


def _status(ending: Ending, state: Mapping[str, Any] | str, orphans: Sequence[Seen]) -> ResultStatus:
    if ending.end == "left" or not isinstance(ending.end, Ended) or isinstance(state, str):
        return "unknown_outcome"
    if ending.ok:
        return "unknown_outcome" if orphans and ending.recovered else "ok"
    if orphans:
        return "unknown_outcome"
    return "interrupted" if ending.stopped else "failed"


def _headline(ending: Ending, status: ResultStatus) -> str:
    p = ending.progress
    counts = f"{len(p.created)} created, {len(p.changed)} changed, {len(p.destroyed)} destroyed"
    seconds = f" in {ending.end.seconds:.0f} s" if isinstance(ending.end, Ended) else ""
    if ending.ok:
        again = " (by an earlier worker, which was interrupted)" if ending.recovered else ""
        return f"Applied: {counts}{seconds}{again}"
    if ending.end == "left":
        return f"The lease was lost: Terraform was told to stop and ends by itself. So far: {counts}"
    if not isinstance(ending.end, Ended):
        return f"Terraform is gone and left no exit code. It had reported {counts}"
    how = {"interrupted": "Stopped", "failed": "Failed"}.get(status, "Ended")
    why = f", {ending.end.why}" if ending.end.why != "exit" else ""
    return f"{how} after {ending.progress.finished} of {ending.planned.count}: {counts} (exit {ending.end.code}{why}{seconds})"


def _advice(ending: Ending, orphans: Sequence[Seen]) -> str:
    if orphans:
        names = ", ".join(o.name or str(o.vmid) for o in orphans)
        return f"A person decides about {names}: delete it in Proxmox, or import it into the code. Nothing is retried."
    if isinstance(ending.end, Ended):
        return (
            "What was created stays and is in the state. Mend the cause and plan again: that plan holds only the rest."
        )
    return "Look with proxmox_read and terraform_state before anything else; nothing is retried."


def _name(seen: Seen) -> str:
    return f"{seen.name or 'a machine without a name'} (VM {seen.vmid} on {seen.node})"
