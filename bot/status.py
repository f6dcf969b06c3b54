"""`/cluster-status`: every source asked at the same time, as reads through the gate, each with the same patience.

What does not answer in time is a row that says so; the others are shown all the same.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from bot.domain.approvals import Ran
from bot.domain.calls import ToolCall, ToolResult
from bot.domain.ids import CallId, Json, MissionId, PersonaName, Thread, UserId, texts
from bot.domain.inbound import Commanded
from bot.domain.ports import Clock, Door, Scope, Watch
from bot.domain.posts import Private
from bot.domain.state import Mission
from bot.domain.storage import Approvals, Journal
from bot.remembered import remembered
from bot.verifying import Reprobed, Verifier

WATCHBILL = PersonaName("watchbill")
NAME: Final = "cluster-status"
PATIENCE_S: Final = 2.2  # the answer is there in less than 3 s, whoever is away
VMS_SHOWN: Final = 12
LATEST: Final = 5  # missions among which the newest with evidence is looked for
SOON_DAYS: Final = 21
FULL: Final = 0.9
HEAD: Final = ("what", "name", "state", "detail")
PROXMOX: Final = ("cluster", "nodes", "vms", "storage")
KUBERNETES: Final = ("health", "nodes", "pods")
Row = tuple[str, ...]


@dataclass
class Found:
    """Rows, a few words for the first line, and what is not well."""

    rows: list[Row] = field(default_factory=list[Row])
    words: list[str] = field(default_factory=list[str])
    unwell: list[str] = field(default_factory=list[str])


class Status:
    """Looks, changes nothing."""

    def __init__(
        self, *, door: Door, approvals: Approvals, journal: Journal, clock: Clock, watch: Watch, verifier: Verifier,
        lock: Callable[[], Awaitable[tuple[str, str] | None]], estate: str, patience_s: float = PATIENCE_S,
    ) -> None:  # fmt: skip
        self._door = door
        self._approvals = approvals
        self._journal = journal
        self._clock = clock
        self._watch = watch
        self._verifier = verifier
        self._lock = lock
        self._estate = estate
        self._patience_s = patience_s

    async def show(self, asked: Commanded) -> Private:
        parts = await asyncio.gather(
            self._machines(asked), self._cluster(asked), self._evidence(), self._waiting()
        )  # fmt: skip
        rows = [row for part in parts for row in part.rows]
        unwell = [words for part in parts for words in part.unwell]
        text = ", ".join(words for part in parts for words in part.words) + "."
        if held := await self._lock():
            text += f" Mission {held[0]} has the estate, {held[1]}."
        if unwell:
            text += f"\nNot well: {'; '.join(unwell)}."
        return Private(asked.reply.user, text, (HEAD, *rows), title=f"Estate {self._estate}", refresh=NAME)

    async def _machines(self, asked: Commanded) -> Found:
        said = await self._all("proxmox_read", PROXMOX, asked)
        if all(isinstance(one, str) for one in said.values()):
            why = str(said["cluster"])
            return Found([("Proxmox", "", "no answer", why)], ["Proxmox does not answer"], [f"Proxmox: {why}"])
        found = Found()
        for what, read in (("cluster", _quorum), ("nodes", _nodes), ("storage", _storage), ("vms", _vms)):
            one = said[what]
            if isinstance(one, str):
                found.rows.append(("Proxmox", what, "no answer", one))
                found.unwell.append(f"Proxmox {what}: no answer")
            else:
                read(one.facts, found)
        return found

    async def _cluster(self, asked: Commanded) -> Found:
        said = await self._all("kubernetes_read", KUBERNETES, asked)
        if all(isinstance(one, str) for one in said.values()):
            why = str(said["health"])
            none = "kubeconfig" in why or "does not have" in why
            return Found(
                [("Kubernetes", "", "none known" if none else "no answer", why)],
                [],
                [] if none else [f"Kubernetes: {why}"],
            )
        found = Found()
        for what, read in (("health", _health), ("nodes", _kubernetes_nodes), ("pods", _pods)):
            one = said[what]
            if isinstance(one, str):
                found.rows.append(("Kubernetes", what, "no answer", one))
                found.unwell.append(f"Kubernetes {what}: no answer")
            else:
                read(one.facts, found)
        return found

    async def _evidence(self) -> Found:
        """What the newest mission that ended with evidence had shown, asked again: what answers, and what drifted."""
        try:
            async with asyncio.timeout(self._patience_s):
                state = await self._proved()
        except TimeoutError:
            return Found([("evidence", "", "no answer", "the missions could not be read in time")])
        if state is None:
            return Found()
        probed = await self._verifier.look(state, self._patience_s)
        found = Found([_answers(one, state) for one in probed if one.service])
        held = sum(one.standing == "holds" for one in probed)
        gone = [one for one in probed if one.standing == "does not hold"]
        later = sum(one.standing in {"not probed", "no answer"} for one in probed)
        detail = "; ".join(f"{one.criterion.number} {one.criterion.text}" for one in gone) or (
            f"{later} not asked here" if later else ""
        )
        found.rows.append(("evidence", f"mission {state.id}", f"{held} of {len(probed)} hold", detail))
        found.unwell += [f"mission {state.id}, criterion {one.criterion.number} no longer holds" for one in gone]
        return found

    async def _waiting(self) -> Found:
        waiting = await self._approvals.pending()
        rows = (
            [("approvals", ", ".join(one.short for one in waiting[:8]), f"{len(waiting)} waiting", "")]
            if waiting
            else []
        )
        return Found(rows, [f"{len(waiting)} approvals waiting"])

    async def _proved(self) -> Mission | None:
        for number in (await self._journal.missions(running=False))[:LATEST]:
            state = await remembered(self._journal, number)
            if state is not None and state.ended in {"done", "partial"} and state.evidence:
                return state
        return None

    async def _all(self, tool: str, looks: Sequence[str], asked: Commanded) -> Mapping[str, ToolResult | str]:
        said = await asyncio.gather(*(self._look(tool, what, asked) for what in looks))
        return dict(zip(looks, said, strict=True))

    async def _look(self, tool: str, what: str, asked: Commanded) -> ToolResult | str:
        """The result, or why there is none."""
        now = self._clock.now()
        state = nobody(asked, self._estate, now)
        call = ToolCall(CallId(f"status-{what}"), tool, {"what": what}, WATCHBILL, state.id, 0)
        try:
            async with asyncio.timeout(self._patience_s):
                answer = await self._door.probe(call, Scope(state, WATCHBILL, 0, now), self._watch)
        except TimeoutError:
            return f"no answer within {self._patience_s:g} s"
        if isinstance(answer, Ran) and answer.result.status == "ok":
            return answer.result
        return (answer.result.text.strip().splitlines() or [answer.result.status])[0]


def nobody(asked: Commanded, estate: str, now: datetime) -> Mission:
    """The scope of a look that belongs to no mission."""
    thread = asked.thread or Thread(asked.reply.team, asked.reply.channel, asked.reply.thread_ts)
    return Mission(MissionId("0"), thread, estate, "production", UserId(asked.reply.user), "", now)


def _quorum(facts: Mapping[str, Json], found: Found) -> None:
    quorate = bool(facts.get("quorate"))
    found.rows.append(("quorum", str(facts.get("name", "")), "yes" if quorate else "NO", ""))
    found.unwell += [] if quorate else ["Proxmox has no quorum"]


def _nodes(facts: Mapping[str, Json], found: Found) -> None:
    nodes = _dicts(facts.get("nodes"))
    for one in nodes:
        name, status, used, size = (one.get(key, "?") for key in ("name", "status", "memory_used_gib", "memory_gib"))
        memory = f"{used} of {size} GiB" if "memory_used_gib" in one else f"{size} GiB"
        found.rows.append(("node", str(name), str(status), f"{one.get('cpus', '?')} CPU, {memory}"))
        found.unwell += [] if status == "online" else [f"{name} is {status}"]
        found.unwell += [f"{name}: memory {used} of {size} GiB"] if _number(used) > FULL * _number(size) > 0 else []
    found.words.append(f"{len(nodes)} nodes")


def _storage(facts: Mapping[str, Json], found: Found) -> None:
    """Shared and nearly full ones by name, the nodes' own as one row."""
    whole = [one for one in _dicts(facts.get("storage")) if _number(one.get("size_gib"))]
    own = [one for one in whole if not one.get("shared")]
    named = {str(one.get("storage", "")): one for one in whole if one.get("shared")}
    named |= {f"{one.get('storage', '')} on {one.get('node', '')}": one for one in own if _is_full(one)}
    for name, one in named.items():
        state = "nearly full" if _is_full(one) else "ok"
        found.rows.append(("storage", name, state, f"{one.get('free_gib')} of {one.get('size_gib')} GiB free"))
        found.unwell += [f"storage {name} is nearly full"] if _is_full(one) else []
    left = [one for one in own if not _is_full(one)]
    if left:
        free = sum(_number(one.get("free_gib")) for one in left)
        found.rows.append(("storage", f"{len(left)} of nodes", "ok", f"{free:.0f} GiB free"))


def _is_full(storage: Mapping[str, Json]) -> bool:
    return _number(storage.get("free_gib")) < (1 - FULL) * _number(storage.get("size_gib"))


def _vms(facts: Mapping[str, Json], found: Found) -> None:
    vms = [one for one in _dicts(facts.get("vms")) if not one.get("template")]
    vms.sort(key=lambda one: one.get("status") == "running")  # what is off comes first
    for one in vms[:VMS_SHOWN]:
        detail = f"{one.get('vmid', '')} on {one.get('node', '')}"
        found.rows.append(("VM", str(one.get("name", "")), str(one.get("status", "")), detail))
    if len(vms) > VMS_SHOWN:
        found.rows.append(("VM", f"{len(vms) - VMS_SHOWN} more", "running", ""))
    found.words.append(f"{len(vms)} VMs")


def _health(facts: Mapping[str, Json], found: Found) -> None:
    ready, failed = bool(facts.get("ready")), ", ".join(texts(facts.get("failed")))
    server = str(facts.get("server", "")).removeprefix("https://")
    found.rows.append(
        ("Kubernetes", server, "ready" if ready else "NOT READY", failed or str(facts.get("version", "")))
    )
    found.unwell += [] if ready else [f"the Kubernetes API is not ready ({failed})"]
    members, well = _dicts(facts.get("etcd")), _number(facts.get("etcd_ready"))
    bad = [f"{one.get('name')} on {one.get('node')}" for one in members if not one.get("ready")]
    check = "check ok" if facts.get("etcd_check") else "check FAILED"
    state = f"{well:g} healthy" if members else "ok" if facts.get("etcd_check") else "FAILED"
    where = f"{len(members)} members" if members else "no pods here"  # an etcd of its own, outside the cluster
    found.rows.append(("etcd", where, state, ", ".join((check, *bad))))
    found.unwell += [f"etcd: {', '.join(bad) or check}"] if bad or not facts.get("etcd_check") else []
    for what, key in (("API server", "certificate_days"), ("kubeconfig", "kubeconfig_days")):
        days = facts.get(key)
        if isinstance(days, int):
            state = "EXPIRED" if days < 0 else "ends soon" if days < SOON_DAYS else "ok"
            found.rows.append(("certificate", what, state, f"{days} days left"))
            found.unwell += [f"certificate of {what}: {days} days left"] if state != "ok" else []


def _kubernetes_nodes(facts: Mapping[str, Json], found: Found) -> None:
    nodes = _dicts(facts.get("nodes"))
    for one in nodes:
        name, ready = str(one.get("name", "")), bool(one.get("ready"))
        roles, pressure = ",".join(texts(one.get("roles"))) or "worker", texts(one.get("pressure"))
        state = ("Ready" if ready else "NOT READY") + ("" if one.get("schedulable") else ", cordoned")
        found.rows.append(("k8s node", name, state, " ".join((roles, str(one.get("version", "")), *pressure))))
        found.unwell += [] if ready else [f"Kubernetes node {name} is not ready"]
        found.unwell += [f"{name}: {', '.join(pressure)}"] if pressure else []
    found.words.append(f"{sum(bool(one.get('ready')) for one in nodes)} of {len(nodes)} Kubernetes nodes ready")


def _pods(facts: Mapping[str, Json], found: Found) -> None:
    unhealthy = _number(facts.get("unhealthy"))
    bad = [
        f"{one.get('namespace')}/{one.get('name')} {one.get('why') or one.get('phase')}"
        for one in _dicts(facts.get("pods"))
    ]
    detail = "; ".join(bad[: min(int(unhealthy), 3)])
    found.rows.append(("pods", str(facts.get("count", "")), f"{unhealthy:g} not healthy", detail))
    found.unwell += [f"pods: {detail}"] if unhealthy else []


def _answers(one: Reprobed, state: Mission) -> Row:
    return ("answers", one.service, one.standing, f"mission {state.id}, criterion {one.criterion.number}: {one.seen}")


def _dicts(value: Json) -> list[Mapping[str, Json]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []


def _number(value: Json) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
