"""Asynchronous operations: a UPID at once, the work after a while, the outcome to be polled."""

import asyncio
import inspect
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deploy.lab.proxmox.answers import Refused, wrong_parameters
from deploy.lab.proxmox.faults import Faults
from deploy.lab.proxmox.world import World

Work = Callable[[], Any]  # what it returns is awaited if it can be


@dataclass(frozen=True)
class Order:
    """One task to be: what it is called, what it does when its time has passed, and how it fails.

    `work` may raise Refused; then `undo` runs and the message, after `prefix`, is the exit status.
    `about` are the machines besides `subject` that a fault may name.
    """

    node: str
    kind: str
    subject: str
    user: str
    work: Work
    undo: Work | None = None
    about: tuple[int, ...] = ()
    prefix: str = ""

    @property
    def machines(self) -> set[int]:
        return {*self.about, *([int(self.subject)] if self.subject.isdigit() else [])}


class Tasks:
    """Runs each task as one asyncio task: sleep, then do the work, then record the end."""

    def __init__(self, world: World, faults: Faults, pace: float) -> None:
        self._world = world
        self._faults = faults
        self._pace = pace
        self._serial = itertools.count(os.getpid() * 16)
        self._running: set[asyncio.Task[None]] = set()

    def start(self, order: Order) -> str:
        """Begin a task and return its UPID."""
        now = int(time.time())
        pid, pstart = next(self._serial) & 0xFFFFFFFF, now & 0xFFFFFFF
        upid = f"UPID:{order.node}:{pid:08X}:{pstart:08X}:{now:08X}:{order.kind}:{order.subject}:{order.user}:"
        task: dict[str, Any] = {"status": "running", "starttime": now, "log": []}
        self._world.tasks[upid] = task
        self._world.save()
        running = asyncio.get_running_loop().create_task(self._run(task, order))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return upid

    async def _run(self, task: dict[str, Any], order: Order) -> None:
        slow = self._faults.slow_seconds(order.kind)
        await asyncio.sleep(self._pace if slow is None else slow)
        failure = await self._carry_out(order)
        task["log"].append("TASK OK" if failure is None else f"TASK ERROR: {failure}")
        task.update(status="stopped", exitstatus=failure or "OK", endtime=int(time.time()))
        self._world.save()

    async def _carry_out(self, order: Order) -> str | None:
        failure = self._faults.take_task_failure(order.kind, order.machines)
        if failure is None:
            try:
                await _do(order.work)
            except Refused as refused:
                failure = refused.reason
        if failure is None:
            return None
        if order.undo is not None:
            await _do(order.undo)
        return f"{order.prefix}{failure}"

    async def stop(self) -> None:
        for running in list(self._running):
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def find(self, node: str, upid: str) -> dict[str, Any]:
        if not upid.startswith("UPID:") or upid.count(":") < 8:
            raise wrong_parameters({"upid": f"unable to parse worker upid '{upid}'"})
        if upid not in self._world.tasks or upid.split(":")[1] != node:
            raise wrong_parameters({"upid": "no such task"})
        return self._world.tasks[upid]


async def _do(work: Work) -> None:
    done = work()
    if inspect.isawaitable(done):
        await done


def describe_task(upid: str, task: dict[str, Any]) -> dict[str, Any]:
    """A task in the shape that /status answers with."""
    _, node, pid, pstart, start, kind, subject, identity, _ = upid.split(":")
    user, _, token = identity.partition("!")
    shown: dict[str, Any] = {
        "upid": upid,
        "node": node,
        "pid": int(pid, 16),
        "pstart": int(pstart, 16),
        "starttime": int(start, 16),
        "type": kind,
        "id": subject,
        "user": user,
        "status": task["status"],
    }
    if token:
        shown["tokenid"] = token
    if task["status"] == "stopped":
        shown["exitstatus"] = task["exitstatus"]
    return shown
