"""`kubernetes_change`: scale, restart, cordon, uncordon, drain, delete; one thing at a time, after people approved it."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from bot.domain.calls import CallClass, Effect, Item, Prepared, ResultStatus, Target, ToolCall
from bot.domain.ids import Json
from bot.domain.ports import Cannot, Done, Scope, Watch
from bot.domain.storage import Locks
from tools.estate import Estates, estate_in_use, estate_lock
from tools.kubeconfig import KubeconfigError
from tools.kubernetes_api import MERGE, NAME, Api, Clusters, KubernetesError, Resource
from tools.kubernetes_eviction import Leaving, Staying, came, drive_off, pods_of
from tools.kubernetes_rows import Fields, fields, items, meta, rows_of
from tools.run_directory import seconds_since
from tools.trace import Trace
from tools.typed import Arguments, TypedTool, answer

RULE: Final = "kubernetes_change"
NAMESPACE: Final = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$|^$"
SCALED: Final = ("Deployment", "StatefulSet", "ReplicaSet")
RESTARTED: Final = ("Deployment", "StatefulSet", "DaemonSet")
ON_NODES: Final = ("cordon", "uncordon", "drain")
KEPT: Final = frozenset({"kube-system", "kube-public", "kube-node-lease", "default"})
HOLDS_DATA: Final = frozenset(
    {"PersistentVolume", "PersistentVolumeClaim", "Namespace", "StatefulSet", "CustomResourceDefinition"}
)
GONE_S: Final = 120.0
LOOK_S: Final = 1.0


class ChangeArguments(Arguments):
    action: Literal["scale", "restart", "cordon", "uncordon", "drain", "delete"]
    kind: str = Field("", max_length=100, pattern=r"^[A-Za-z]*$", description="for scale, restart, delete")
    api_version: str = Field(
        "", max_length=120, pattern=r"^[a-z0-9./-]*$", description="where the kind alone is not clear"
    )
    namespace: str = Field("", pattern=NAMESPACE)
    name: str = Field(pattern=NAME, description="of the object; of the node for cordon, uncordon, drain")
    replicas: int | None = Field(None, ge=0, le=200, description="for scale")
    unmanaged: bool = Field(default=False, description="drain: also pods that nothing brings back")
    timeout_s: int = Field(300, ge=30, le=1500, description="drain: for pods that may not leave yet")
    words: str = Field(description="why, in one sentence, for the people who approve", max_length=500)

    @model_validator(mode="after")
    def _fits_the_action(self) -> Self:
        if self.action not in ON_NODES and not self.kind:
            raise ValueError(f"{self.action} needs kind")
        if (self.action == "scale") != (self.replicas is not None):
            raise ValueError("replicas belongs to scale, and scale needs it")
        return self


@dataclass(frozen=True, slots=True)
class Seen:
    """The object as it is now, for the card and the pins."""

    resource: Resource
    live: Fields
    cluster: str
    leaving: tuple[Leaving, ...] = ()
    staying: tuple[Staying, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        space = meta(self.live, "namespace")
        return (
            f"{self.resource.kind} {space}/{meta(self.live, 'name')}"
            if space
            else f"{self.resource.kind} {meta(self.live, 'name')}"
        )

    @property
    def replicas(self) -> int:
        return int(fields(self.live, "spec").get("replicas") or 0)

    @property
    def cordoned(self) -> bool:
        return bool(fields(self.live, "spec").get("unschedulable"))

    @property
    def pins(self) -> dict[str, str]:
        found = {"cluster": self.cluster, "object": meta(self.live, "uid")}
        if self.resource.kind == "Node":
            return found | {
                "node": "cordoned" if self.cordoned else "schedulable",
                "pods": " ".join(sorted(one.uid for one in self.leaving)),
            }
        return found | {"replicas": str(self.replicas)}


class NotThisError(Exception):
    """The change makes no sense, or may not be. The text says what instead."""


class KubernetesChange(TypedTool[ChangeArguments]):
    """`kubernetes_change`."""

    name = "kubernetes_change"
    description = (
        "Change one thing of the estate's cluster after people approved it: scale or restart a workload, cordon, uncordon or "
        "drain a node (the card lists every pod that has to leave), delete one object by name. What should stay as code belongs "
        "into a manifest: kubernetes_apply."
    )
    timeout_s = 1800.0
    durable = True
    arguments = ChangeArguments

    def __init__(self, clusters: Clusters, estates: Estates, locks: Locks) -> None:
        self._clusters = clusters
        self._estates = estates
        self._locks = locks

    async def prepare(self, call: ToolCall, arguments: ChangeArguments, scope: Scope) -> Prepared | Cannot:
        estate = scope.mission.estate
        try:
            seen = await asyncio.to_thread(see, self._clusters.view(estate), arguments)
            effect = effect_of(arguments, estate, seen)
        except (NotThisError, KubernetesError, KubeconfigError) as error:
            return Cannot(str(error), RULE)
        forbidden = effect.cls is CallClass.FORBIDDEN  # it never runs, so it keeps nobody else away
        if not forbidden and (in_use := await estate_in_use(self._locks, scope, effect.title)):
            return in_use
        plain = arguments.model_dump(mode="json", exclude={"words"})
        binding: dict[str, Json] = {"tool": call.tool, "estate": estate, "arguments": plain}
        return Prepared(call, effect, binding, pins=seen.pins, full_text=_whole(arguments, seen))

    async def pins(self, prepared: Prepared, arguments: ChangeArguments) -> Mapping[str, str]:
        try:
            return (await asyncio.to_thread(see, self._clusters.view(str(prepared.binding["estate"])), arguments)).pins
        except (NotThisError, KubernetesError, KubeconfigError) as error:
            return {"unreadable": str(error)}

    async def run(self, prepared: Prepared, arguments: ChangeArguments, scope: Scope, watch: Watch) -> Done:
        trace = Trace.of(self._estates, prepared)
        if not trace.begin():
            return answer(prepared, "refused", "This was begun before; kubernetes_read says what there is.")
        api = self._clusters.write(str(prepared.binding["estate"]))
        try:
            seen = await asyncio.to_thread(see, api, arguments)
        except (NotThisError, KubernetesError, KubeconfigError) as error:
            trace.end("failed", str(error))
            return answer(prepared, "failed", f"Nothing was changed: {error}")
        if moved := sorted(
            name for name in {*seen.pins, *prepared.pins} if seen.pins.get(name) != prepared.pins.get(name)
        ):
            text = f"Nothing was changed: the writing access sees another {', '.join(moved)} than people approved. Ask again."
            trace.end("failed", text)
            return answer(prepared, "failed", text)
        status: ResultStatus
        try:
            status, text = await _do(api, seen, arguments, watch)
        except (KubernetesError, KubeconfigError) as error:
            status, text = "failed", f"{seen.label}: {error}"
        trace.end(status, text)
        if status == "ok":
            await self._locks.unlock(estate_lock(scope.mission.estate), str(scope.mission.id))
        destroyed = int(arguments.action == "delete" and status == "ok")
        facts: dict[str, Json] = {
            "action": arguments.action, "object": seen.label, "destroyed": destroyed, "changed": 1 - destroyed, "orphans": [],
        }  # fmt: skip
        return answer(prepared, status, text, facts=facts, changed=True)

    async def recover(self, prepared: Prepared, arguments: ChangeArguments, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002 - port
        """Look at the object; where it is as approved, that proves how it went. Sends nothing again."""
        noted = Trace.of(self._estates, prepared).read()
        if noted is None:
            return answer(prepared, "failed", "The program stopped before anything was sent. Ask again.")
        if noted[0]:
            return answer(prepared, "ok" if noted[0] == "ok" else "failed", noted[1], changed=True)
        try:
            proved, text = await asyncio.to_thread(
                _is_done, self._clusters.view(str(prepared.binding["estate"])), arguments, prepared.pins
            )
        except (KubernetesError, KubeconfigError) as error:
            proved, text = False, f"the cluster cannot be asked: {error}"
        head = "The program stopped while this was done; nothing is sent again. Now: "
        return answer(prepared, "ok" if proved else "unknown_outcome", head + text, facts={"orphans": []}, changed=True)


def see(api: Api, arguments: ChangeArguments) -> Seen:
    """Raises NotThisError, KubernetesError. Blocking."""
    kind = "Node" if arguments.action in ON_NODES else arguments.kind
    resource = api.resource(kind, "v1" if kind == "Node" else arguments.api_version)
    if resource.namespaced and not arguments.namespace:
        raise NotThisError(f"{resource.kind} lives in a namespace: give it.")
    cluster = meta(api.get("/api/v1/namespaces/kube-system"), "uid")
    live = api.get(resource.path(arguments.namespace if resource.namespaced else "", arguments.name))
    if arguments.action != "drain":
        return Seen(resource, live, cluster, notes=tuple(_contents(api, resource, arguments)))
    leaving, staying = pods_of(api, arguments.name)
    return Seen(resource, live, cluster, leaving, staying, tuple(_obstacles(api, leaving, arguments.name)))


def effect_of(arguments: ChangeArguments, estate: str, seen: Seen) -> Effect:
    """What the card shows. Raises NotThisError where there is nothing to do or it may not be done."""
    match arguments.action:
        case "scale":
            cls, reason, item, undo = _scaled(arguments, seen)
        case "restart":
            if seen.resource.kind not in RESTARTED:
                raise NotThisError(f"restart is for {', '.join(RESTARTED)}.")
            cls, reason, undo = CallClass.CHANGE, "replaces its pods, as its update strategy says", "none needed"
            item = Item("update", seen.label, "every pod is made anew")
        case "cordon" | "uncordon":
            if seen.cordoned is (arguments.action == "cordon"):
                raise NotThisError(f"{arguments.name} is {'cordoned' if seen.cordoned else 'schedulable'} already.")
            cls, reason = CallClass.CHANGE, "decides whether new pods may come to the node"
            undo = "uncordon" if arguments.action == "cordon" else "cordon"
            item = Item("update", seen.label, f"{arguments.action}ed")
        case "drain":
            cls, reason, item, undo = _drained(arguments, seen)
        case "delete":
            cls, reason, item, undo = _deleted(seen)
    pods = [Item("delete" if one.lost else "move", one.label, one.words) for one in seen.leaving]
    return Effect(
        cls=cls, rule=f"kubernetes: {arguments.action}", reason=reason, title=f"{arguments.action.capitalize()} {seen.label}{_to(arguments)}",
        targets=(Target("context", estate),), items=(item, *pods), change=int(arguments.action != "delete"),
        destroy=int(arguments.action == "delete") + sum(one.lost for one in seen.leaving), undo=undo, notes=seen.notes,
    )  # fmt: skip


def _to(arguments: ChangeArguments) -> str:
    return "" if arguments.replicas is None else f" to {arguments.replicas}"


def _scaled(arguments: ChangeArguments, seen: Seen) -> tuple[CallClass, str, Item, str]:
    if seen.resource.kind not in SCALED:
        raise NotThisError(f"scale is for {', '.join(SCALED)}.")
    if seen.replicas == arguments.replicas:
        raise NotThisError(f"{seen.label} has {seen.replicas} replicas already.")
    out = arguments.replicas == 0
    item = Item("delete" if out else "update", seen.label, f"replicas {seen.replicas} → {arguments.replicas}")
    cls = CallClass.DESTROY if out else CallClass.CHANGE
    return cls, "takes it out of service" if out else "changes how many pods it has", item, f"scale to {seen.replicas}"


def _drained(arguments: ChangeArguments, seen: Seen) -> tuple[CallClass, str, Item, str]:
    lost = [one.label for one in seen.leaving if one.lost]
    if lost and not arguments.unmanaged:
        raise NotThisError(
            f"Nothing brings {', '.join(lost)} back. Set unmanaged=true if they may be lost, or move them first."
        )
    stays = f"; {len(seen.staying)} of DaemonSets and the node's own stay" if seen.staying else ""
    item = Item("replace", arguments.name, f"cordoned, {len(seen.leaving)} pods leave{stays}")
    return (
        CallClass.DESTROY,
        "drives every pod off a node",
        item,
        f"uncordon {arguments.name}; pods do not move back by themselves",
    )


def _deleted(seen: Seen) -> tuple[CallClass, str, Item, str]:
    owners = rows_of(fields(seen.live, "metadata").get("ownerReferences"))
    back = f"; its {owners[0].get('kind')} {owners[0].get('name')} makes it again" if owners else ""
    item = Item("delete", seen.label, f"deleted{back}")
    if (seen.resource.kind == "Namespace" and meta(seen.live, "name") in KEPT) or seen.resource.kind == "APIService":
        return CallClass.FORBIDDEN, f"the cluster lives on {seen.label}", item, ""
    holds = " and what it holds" if seen.resource.kind in HOLDS_DATA else ""
    return (
        CallClass.DESTROY,
        f"deletes an object{holds}",
        item,
        "apply its manifest again; what it held does not come back",
    )


def _contents(api: Api, resource: Resource, arguments: ChangeArguments) -> list[str]:
    """What goes with it."""
    if arguments.action != "delete" or resource.kind != "Namespace":
        return []
    counts: list[str] = []
    for plural in ("pods", "services", "persistentvolumeclaims"):
        try:
            counts.append(f"{len(items(api.get(f'/api/v1/namespaces/{arguments.name}/{plural}')))} {plural}")
        except KubernetesError:
            counts.append(f"{plural}: may not be read")
    return [f"With everything in it: {', '.join(counts)}"]


def _obstacles(api: Api, leaving: Sequence[Leaving], node: str) -> list[str]:
    """What a drain will wait for, and whether anybody can take the pods."""
    spaces = {one.namespace for one in leaving}
    budgets = [
        f"{meta(one, 'namespace')}/{meta(one, 'name')}"
        for one in items(api.get("/apis/policy/v1/poddisruptionbudgets"))
        if meta(one, "namespace") in spaces and not fields(one, "status").get("disruptionsAllowed")
    ]
    notes = [f"PodDisruptionBudget {one} allows no disruption now: its pods wait" for one in budgets]
    others = [
        one
        for one in items(api.get("/api/v1/nodes"))
        if meta(one, "name") != node and not fields(one, "spec").get("unschedulable")
    ]
    ready = [
        meta(one, "name") for one in others
        if any(c.get("type") == "Ready" and c.get("status") == "True" for c in rows_of(fields(one, "status").get("conditions")))
    ]  # fmt: skip
    return [
        *notes,
        f"Other nodes that can take them: {', '.join(ready)}"
        if ready
        else "No other node is ready: the pods will wait",
    ]


async def _do(api: Api, seen: Seen, arguments: ChangeArguments, watch: Watch) -> tuple[ResultStatus, str]:
    place = seen.resource.path(arguments.namespace, arguments.name)
    match arguments.action:
        case "scale":
            await _patch(api, f"{place}/scale", {"spec": {"replicas": arguments.replicas}})
            return (
                "ok",
                f"{seen.label}: replicas {seen.replicas} → {arguments.replicas}. kubernetes_read rollout says when they are there.",
            )
        case "restart":
            mark = {"watchbill/restarted-at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
            await _patch(api, place, {"spec": {"template": {"metadata": {"annotations": mark}}}})
            return "ok", f"{seen.label}: every pod is made anew now. kubernetes_read rollout says when they are there."
        case "cordon" | "uncordon":
            await _patch(api, place, {"spec": {"unschedulable": True if arguments.action == "cordon" else None}})
            return "ok", f"{arguments.name} is {'cordoned' if arguments.action == 'cordon' else 'schedulable'}."
        case "drain":
            await _patch(api, place, {"spec": {"unschedulable": True}})
            if late := await asyncio.to_thread(came, api, arguments.name, seen.leaving):
                text = f"{arguments.name} is cordoned and nobody was driven off: {late} came since people saw who leaves. Ask again."
                return "failed", text
            return await drive_off(api, arguments.name, seen.leaving, arguments.timeout_s, watch)
        case "delete":
            body = {"propagationPolicy": "Background", "preconditions": {"uid": meta(seen.live, "uid")}}
            await asyncio.to_thread(api.ask, "DELETE", place, None, body)
            return await _until_gone(api, seen, place, watch)


async def _patch(api: Api, place: str, body: Any) -> None:
    await asyncio.to_thread(api.ask, "PATCH", place, {"fieldManager": "watchbill"}, body, MERGE)


async def _until_gone(api: Api, seen: Seen, place: str, watch: Watch) -> tuple[ResultStatus, str]:
    began = time.monotonic()
    while True:
        try:
            live = await asyncio.to_thread(api.get, place)
        except KubernetesError as error:
            if error.status == 404:
                return "ok", f"{seen.label} is gone."
            raise
        if meta(live, "uid") != meta(seen.live, "uid"):
            return "ok", f"{seen.label} is gone; another of that name is there already."
        if time.monotonic() - began > GONE_S or watch.stopping() or not watch.alive():
            held = ", ".join(map(str, fields(live, "metadata").get("finalizers") or [])) or "nothing that it names"
            return "failed", f"{seen.label} is marked for deletion and not gone yet; it waits for: {held}."
        await watch.progress("kubernetes delete", seen.label, seconds_since(began))
        await asyncio.sleep(LOOK_S)


def _is_done(api: Api, arguments: ChangeArguments, pins: Mapping[str, str]) -> tuple[bool, str]:
    try:
        seen = see(api, arguments)
    except KubernetesError as error:
        if error.status == 404:
            return arguments.action == "delete", f"{arguments.kind or 'Node'} {arguments.name} is not there."
        raise
    except NotThisError as error:
        return False, str(error)
    match arguments.action:
        case "scale":
            return seen.replicas == arguments.replicas, f"{seen.label} has {seen.replicas} replicas."
        case "cordon" | "uncordon":
            done = seen.cordoned is (arguments.action == "cordon")
            return done, f"{seen.label} is {'cordoned' if seen.cordoned else 'schedulable'}."
        case "drain":
            return (
                seen.cordoned and not seen.leaving,
                f"{seen.label} is {'cordoned' if seen.cordoned else 'schedulable'}, {len(seen.leaving)} pods are still there.",
            )
        case "delete":
            return meta(seen.live, "uid") != pins.get("object"), f"{seen.label} is there."
        case "restart":
            return (
                False,
                f"{seen.label} is there; whether its pods were made anew, kubernetes_read pods says by their age.",
            )


def _whole(arguments: ChangeArguments, seen: Seen) -> str:
    """The file above the card: everything that a drain moves and leaves."""
    if arguments.action != "drain":
        return ""
    rows = [f"leaves: {one.label} · {one.words}" for one in seen.leaving]
    rows += [f"stays:  {one.label} · {one.why}" for one in seen.staying]
    return "\n".join((f"Drain of {arguments.name}", *rows)) + "\n"
