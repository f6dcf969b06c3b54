"""When a cluster is whole again after one of its machines was away, so that the next one may go.

A probe that answers says little of that: everything may hang on the machine that is next. And for its grace period
a cluster shows a dead machine, and what ran there, as it was: only what was started anew is known to run.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tools.kubeconfig import KubeconfigError
from tools.kubernetes_api import Clusters, KubernetesError
from tools.kubernetes_rows import Fields, fields, healthy, items, meta, node_row, pod_row, rows_of

SHOWN: Final = 3
LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Standing:
    """A cluster before a machine is taken: what was not well anyway, and the containers that run on the machine."""

    node: str
    unwell: frozenset[str]
    containers: frozenset[str]


def standing(node: str, nodes: Sequence[Fields], pods: Sequence[Fields]) -> Standing:
    here = (pod for pod in pods if pod_row(pod)["node"] == node)
    unwell = {meta(one, "name") for one in nodes if not node_row(one)["ready"]}
    return Standing(node, frozenset(unwell | {_name(pod) for pod in pods if not _well(pod)}), _running(here))


def lacks(before: Standing, nodes: Sequence[Fields], pods: Sequence[Fields], *, restarted: bool) -> str:
    """What is not back yet, or "". `restarted`: the machine lost power, so nothing that ran there can run on."""
    missing = [meta(one, "name") for one in nodes if not node_row(one)["ready"]]
    missing += [_name(pod) for pod in pods if not _well(pod)]
    missing = [one for one in missing if one not in before.unwell]
    if restarted and _running(pods) & before.containers:
        missing.append(f"what runs on {before.node}")
    more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    return f"not back yet: {', '.join(missing[:SHOWN])}{more}" if missing else ""


class Recovery:
    """Follows a cluster from before `node` is taken until it has back what it had. `lacking` says what is not, or ""."""

    def __init__(self, clusters: Clusters, estate: str, node: str, *, restarted: bool) -> None:
        self._clusters = clusters
        self._estate = estate
        self._node = node
        self._restarted = restarted
        self._before: Standing | None = None
        self.lacking = ""

    async def look(self) -> None:
        """Before it is taken. A cluster that cannot be looked at is not waited for."""
        with contextlib.suppress(KubernetesError, KubeconfigError):
            self._before = standing(self._node, *await asyncio.to_thread(self._read))

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncGenerator[None]:
        """Keeps `lacking` up to date, once the machine was given back."""
        if self._before is None:
            yield
            return
        self.lacking = "not looked at yet"
        watching = asyncio.ensure_future(self._watch(self._before))
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self, before: Standing) -> None:
        while self.lacking:
            try:
                self.lacking = lacks(before, *await asyncio.to_thread(self._read), restarted=self._restarted)
            except (KubernetesError, KubeconfigError) as error:
                self.lacking = f"not to be looked at: {error}"
            await asyncio.sleep(LOOK_S)

    def _read(self) -> tuple[list[Fields], list[Fields]]:
        api = self._clusters.view(self._estate)
        return items(api.get("/api/v1/nodes")), items(api.get("/api/v1/pods"))


def _well(pod: Fields) -> bool:
    row = pod_row(pod)
    return row["phase"] == "Terminating" or healthy(row)


def _name(pod: Fields) -> str:
    return f"{meta(pod, 'namespace')}/{meta(pod, 'name')}"


def _running(pods: Iterable[Fields]) -> frozenset[str]:
    states = (state for pod in pods for state in rows_of(fields(pod, "status").get("containerStatuses")))
    return frozenset(str(one.get("containerID")) for one in states if fields(one, "state", "running"))
