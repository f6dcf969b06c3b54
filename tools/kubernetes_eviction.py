"""Which pods a drained node loses, and how they are driven off: through the eviction API, so that disruption budgets hold."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bot.domain.calls import ResultStatus
from bot.domain.ports import Watch
from tools.kubernetes_api import Api, KubernetesError
from tools.kubernetes_rows import MIRROR, Fields, fields, items, meta, rows_of
from tools.run_directory import seconds_since

AGAIN_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Leaving:
    """A pod that has to go. `lost`: nothing makes it again. `data`: volumes that go with it."""

    namespace: str
    name: str
    uid: str
    owner: str
    lost: bool
    data: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def words(self) -> str:
        gone = f"; its emptyDir {', '.join(self.data)} is lost" if self.data else ""
        return f"{'nothing brings it back' if self.lost else f'{self.owner} makes it again elsewhere'}{gone}"


@dataclass(frozen=True, slots=True)
class Staying:
    label: str
    why: str


def pods_of(api: Api, node: str) -> tuple[tuple[Leaving, ...], tuple[Staying, ...]]:
    """Who leaves and who stays when `node` is drained, in one order. Blocking."""
    leaving: list[Leaving] = []
    staying: list[Staying] = []
    for pod in items(api.get("/api/v1/pods", fieldSelector=f"spec.nodeName={node}")):
        owner = next(
            (one for one in rows_of(fields(pod, "metadata").get("ownerReferences")) if one.get("controller")), None
        )
        label = f"{meta(pod, 'namespace')}/{meta(pod, 'name')}"
        if MIRROR in fields(pod, "metadata", "annotations"):
            staying.append(Staying(label, "the node's own static pod"))
        elif owner is not None and owner.get("kind") == "DaemonSet":
            staying.append(Staying(label, f"DaemonSet {owner.get('name')}"))
        else:
            leaving.append(_leaving(pod, owner))
    leaving.sort(key=lambda one: one.label)
    staying.sort(key=lambda one: one.label)
    return tuple(leaving), tuple(staying)


def _leaving(pod: Fields, owner: Fields | None) -> Leaving:
    finished = str(fields(pod, "status").get("phase")) in {"Succeeded", "Failed"}
    data = tuple(str(one.get("name")) for one in rows_of(fields(pod, "spec").get("volumes")) if "emptyDir" in one)
    kind = f"{owner.get('kind')} {owner.get('name')}" if owner is not None else ""
    return Leaving(
        meta(pod, "namespace"), meta(pod, "name"), meta(pod, "uid"), kind, owner is None and not finished, data
    )


def came(api: Api, node: str, leaving: Sequence[Leaving]) -> str:
    """Pods that were no line of the card. Once the node is cordoned no more can come. Blocking."""
    known = {one.uid for one in leaving}
    return ", ".join(one.label for one in pods_of(api, node)[0] if one.uid not in known)


async def drive_off(
    api: Api, node: str, leaving: Sequence[Leaving], timeout_s: float, watch: Watch
) -> tuple[ResultStatus, str]:
    """Evict each pod, wait for budgets and for the pods to be gone. STOP leaves the node cordoned."""
    began = time.monotonic()
    waiting: list[Leaving] = list(leaving)
    asked, why = set[str](), dict[str, str]()
    while waiting:
        left = ", ".join(one.label for one in waiting)
        if watch.stopping() or not watch.alive():
            return "interrupted", f"STOP: {node} stays cordoned; still there: {left}. Uncordon it, or drain it again."
        if time.monotonic() - began > timeout_s:
            reasons = "; ".join(f"{label}: {text}" for label, text in why.items()) or "they did not end in time"
            return (
                "failed",
                f"{node} is cordoned, {len(leaving) - len(waiting)} of {len(leaving)} pods left. Not {left}: {reasons}.",
            )
        for one in waiting:
            if one.uid not in asked:
                await asyncio.to_thread(_evict, api, one, asked, why)
        waiting = [one for one in waiting if await asyncio.to_thread(_there, api, one)]
        await watch.progress(
            "kubernetes drain", node, f"{len(leaving) - len(waiting)} of {len(leaving)} pods left", seconds_since(began)
        )
        if waiting:
            await asyncio.sleep(AGAIN_S)
    return "ok", f"{node} is cordoned and drained: {len(leaving)} pods left in {time.monotonic() - began:.0f} s."


def _evict(api: Api, pod: Leaving, asked: set[str], why: dict[str, str]) -> None:
    """Ask once; a budget that says no (429) is asked again by the caller's next round."""
    about = {"name": pod.name, "namespace": pod.namespace}
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": about,
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    }
    try:
        api.ask("POST", f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/eviction", None, body)
    except KubernetesError as error:
        if error.status == 429:
            why[pod.label] = str(error)
            return
        if error.status not in {404, 409}:  # gone, or another pod of that name
            raise
    why.pop(pod.label, None)
    asked.add(pod.uid)


def _there(api: Api, pod: Leaving) -> bool:
    try:
        return meta(api.get(f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"), "uid") == pod.uid
    except KubernetesError as error:
        if error.status == 404:
            return False
        raise
