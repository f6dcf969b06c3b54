"""Misfortune on demand: what POST /lab/fault arranges. Nothing of it survives a restart."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class UnknownFaultError(ValueError):
    """The request names no fault of this lab; the text says which there are."""


@dataclass
class HttpFault:
    """`after`: the call is carried out and only its answer is lost. `drop`: no answer, the connection closes."""

    method: str | None
    path: re.Pattern[str]
    status: int | None
    reason: str
    delay: float
    after: bool
    drop: bool
    skip: int
    count: int

    def matches(self, method: str, path: str) -> bool:
        return self.method in (None, method) and bool(self.path.search(path))


@dataclass
class TaskFault:
    kind: str | None
    vmid: int | None
    message: str
    skip: int
    count: int

    def matches(self, kind: str, machines: set[int]) -> bool:
        return self.kind in (None, kind) and (self.vmid is None or self.vmid in machines)


@dataclass
class Slowness:
    kind: str | None
    seconds: float


class Faults:
    """`skip` lets the first matches pass: {"skip": 1, "count": 1} hits the second clone of three."""

    def __init__(self) -> None:
        self._http: list[HttpFault] = []
        self._tasks: list[TaskFault] = []
        self._slow: list[Slowness] = []
        self.full_storages: set[str] = set()

    def clear(self) -> None:
        self.__init__()

    def arrange(self, wanted: dict[str, Any]) -> None:
        match wanted.get("kind"):
            case "http":
                self._http.append(_read_http(wanted))
            case "task_fails":
                self._tasks.append(_read_task(wanted))
            case "slow_tasks":
                self._slow = [slow for slow in self._slow if slow.kind != wanted.get("type")]
                if wanted.get("seconds"):
                    self._slow.append(Slowness(wanted.get("type"), float(wanted["seconds"])))
            case "storage_full":
                change = self.full_storages.add if wanted.get("full", True) else self.full_storages.discard
                change(str(wanted["storage"]))
            case "clear":
                self.clear()
            case other:
                raise UnknownFaultError(
                    f"no fault of kind {other!r}: http, task_fails, slow_tasks, storage_full, quorum, lock, node, clear; in real "
                    "machines power_off, network, disk_full, missing_binary, host_key, apt_lock"
                )

    def take_http(self, method: str, path: str) -> HttpFault | None:
        return _take(self._http, lambda fault: fault.matches(method, path))

    def take_task_failure(self, kind: str, machines: set[int]) -> str | None:
        taken = _take(self._tasks, lambda fault: fault.matches(kind, machines))
        return taken.message if taken else None

    def slow_seconds(self, kind: str) -> float | None:
        fitting = [slow.seconds for slow in self._slow if slow.kind in (None, kind)]
        return fitting[-1] if fitting else None


def _take(faults: list[Any], fits: Callable[[Any], bool]) -> Any:
    for fault in faults:
        if not fits(fault):
            continue
        if fault.skip > 0:
            fault.skip -= 1
            continue
        fault.count -= 1
        if fault.count <= 0:
            faults.remove(fault)
        return fault
    return None


def _read_http(wanted: dict[str, Any]) -> HttpFault:
    return HttpFault(
        method=wanted.get("method"),
        path=re.compile(wanted.get("path_regex", "")),
        status=wanted.get("status"),
        reason=wanted.get("reason", "internal error"),
        delay=float(wanted.get("delay_ms", 0)) / 1000,
        after=wanted.get("when", "before") == "after",
        drop=bool(wanted.get("drop", False)),
        skip=int(wanted.get("skip", 0)),
        count=int(wanted.get("count", 1)),
    )


def _read_task(wanted: dict[str, Any]) -> TaskFault:
    return TaskFault(
        kind=wanted.get("type"),
        vmid=int(wanted["vmid"]) if wanted.get("vmid") is not None else None,
        message=wanted.get("message", "command failed: exit code 1"),
        skip=int(wanted.get("skip", 0)),
        count=int(wanted.get("count", 1)),
    )
