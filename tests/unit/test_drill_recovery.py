"""When a machine of a cluster may be taken: the one before is back, with everything that ran there started anew."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from tests.kubernetes_house import node, pod
from tools import drill_recovery
from tools.drill_recovery import Recovery, lacks, standing
from tools.kubernetes_api import Clusters, KubernetesError


def machine(name: str, *, ready: bool = True) -> dict[str, Any]:
    thing, status = node(name, ready=ready)
    return {**thing, "status": status}


def runs(name: str, on: str, run: int, *, ready: bool = True, leaves: bool = False) -> dict[str, Any]:
    """A pod whose container is the `run`-th of it."""
    thing = pod(name, on=on)
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    thing["status"] = {"phase": "Running", "containerStatuses": [{"ready": ready, "containerID": f"c://{name}-{run}", "state": state}]}  # fmt: skip
    if leaves:
        thing["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return thing


NODES = [machine("cp1"), machine("cp2")]
PODS = [runs("web-1", "cp1", 1), runs("web-2", "cp2", 1)]
BEFORE = standing("cp1", NODES, PODS)


@pytest.mark.parametrize(
    ("nodes", "pods", "why"),
    [
        (NODES, [runs("web-1", "cp1", 2), PODS[1]], ""),
        (NODES, PODS, "not back yet: what runs on cp1"),  # as the cluster shows a dead machine until it misses it
        ([machine("cp1", ready=False), NODES[1]], [runs("web-1", "cp1", 2), PODS[1]], "not back yet: cp1"),
        (NODES, [runs("web-1", "cp1", 2, ready=False), PODS[1]], "not back yet: web/web-1"),
        (NODES, [runs("web-1", "cp1", 2), runs("web-2", "cp2", 1, ready=False)], "not back yet: web/web-2"),
        (NODES, [runs("web-1", "cp1", 2, leaves=True, ready=False), runs("web-3", "cp2", 1), PODS[1]], ""),
        (NODES, [PODS[1], *(runs(f"web-{n}", "cp1", 2, ready=False) for n in range(3, 8))], "not back yet: web/web-3, web/web-4, web/web-5 and 2 more"),
    ],
)  # fmt: skip
def test_what_is_not_back_is_named(nodes: list[dict[str, Any]], pods: list[dict[str, Any]], why: str) -> None:
    assert lacks(BEFORE, nodes, pods, restarted=True) == why


def test_a_cut_cable_starts_nothing_anew() -> None:
    assert lacks(BEFORE, NODES, PODS, restarted=False) == ""


def test_what_was_not_well_before_is_not_waited_for() -> None:
    nodes, pods = [*NODES, machine("cp3", ready=False)], [*PODS, runs("old", "cp2", 1, ready=False)]
    before = standing("cp1", nodes, pods)
    assert lacks(before, nodes, [runs("web-1", "cp1", 2), *pods[1:]], restarted=True) == ""


@dataclass
class Api:
    """Answers of the API server in their order, the last one again and again; None: it is away."""

    pods: list[list[dict[str, Any]] | None] = field(default_factory=lambda: [PODS])

    def view(self, _estate: str) -> "Api":
        return self

    def get(self, path: str) -> dict[str, Any]:
        if path.endswith("nodes"):
            return {"items": NODES}
        now = self.pods.pop(0) if len(self.pods) > 1 else self.pods[0]
        if now is None:
            raise KubernetesError("no answer")
        return {"items": now}


async def test_a_cluster_is_followed_until_it_has_everything_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill_recovery, "LOOK_S", 0.01)
    api = Api([PODS, PODS, None, [runs("web-1", "cp1", 2), PODS[1]]])
    recovery = Recovery(cast("Clusters", api), "home", "cp1", restarted=True)
    await recovery.look()
    seen = [recovery.lacking]
    async with recovery.watched():
        while recovery.lacking:
            seen += [recovery.lacking] * (recovery.lacking != seen[-1])
            await asyncio.sleep(0.001)
    assert seen == ["", "not looked at yet", "not back yet: what runs on cp1", "not to be looked at: no answer"]


async def test_a_cluster_that_could_not_be_looked_at_before_is_not_waited_for() -> None:
    recovery = Recovery(cast("Clusters", Api([None])), "home", "cp1", restarted=True)
    await recovery.look()
    async with recovery.watched():
        assert recovery.lacking == ""
