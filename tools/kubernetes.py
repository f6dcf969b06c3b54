"""`kubernetes_read`: typed looks at the estate's cluster with the kubeconfig that can only read."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Literal, cast

import jmespath
import yaml
from jmespath.exceptions import JMESPathError
from pydantic import Field

from bot.domain.calls import CallClass, Effect, Prepared, Target, ToolCall
from bot.domain.ids import Json
from bot.domain.ports import Cannot, Done, Scope, Watch
from tools.kubeconfig import KubeconfigError
from tools.kubernetes_api import (
    NAME,
    Api,
    Clusters,
    KubernetesError,
    certificate_end,
    days_left,
    server_certificate_end,
)
from tools.kubernetes_rows import (
    SECRETS,
    Row,
    certificate_note,
    event_line,
    event_row,
    healthy,
    items,
    meta,
    newest,
    node_line,
    node_row,
    pod_line,
    pod_row,
    readiness,
    rollout,
    rows_of,
    shown,
)
from tools.typed import Arguments, TypedTool, answer, bind, read_effect

NAMESPACE: Final = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$|^$"
EVENTS: Final = 50
ROWS: Final = 300
LOG_BYTES: Final = 400_000
SMALL: Final = 6000  # characters of a value that evidence may check
LOOK_S: Final = 1.0
WORKLOADS: Final = ("Deployment", "StatefulSet", "DaemonSet")
Found = tuple[str, dict[str, Json]]


class KubernetesArguments(Arguments):
    what: Literal["nodes", "pods", "events", "logs", "rollout", "get", "health"]
    namespace: str = Field("", pattern=NAMESPACE, description="empty: all of them; logs and rollout need it")
    kind: str = Field("", max_length=100, pattern=r"^[A-Za-z]*$", description="for get; for rollout a workload's kind")
    api_version: str = Field(
        "", max_length=120, pattern=r"^[a-z0-9./-]*$", description="where the kind alone is not clear"
    )
    name: str = Field("", pattern=f"{NAME}|^$", description="get: empty lists them; events: about this object")
    selector: str = Field("", max_length=300, description="label selector, for pods and get")
    path: str = Field(
        "", max_length=400, description="get: JMESPath of what to show, e.g. status.loadBalancer.ingress[].ip"
    )
    container: str = Field("", pattern=f"{NAME}|^$", description="logs: of a pod with several")
    tail: int = Field(100, ge=1, le=2000, description="logs: lines from the end")
    previous: bool = Field(default=False, description="logs: of the container's last run")
    wait_s: int = Field(0, ge=0, le=300, description="rollout: wait so long for it to be complete")


class KubernetesRead(TypedTool[KubernetesArguments]):
    """`kubernetes_read`."""

    name = "kubernetes_read"
    description = (
        "What the estate's Kubernetes cluster says now: nodes, pods, events (newest first), logs of a pod, rollout of a "
        "Deployment, StatefulSet or DaemonSet, get (one object, or a list by kind; path picks a value), health (API server, "
        "etcd, versions, certificates). Reads only. Secrets ask people, and their values are never shown. To change "
        "something: kubernetes_apply, kubernetes_change."
    )
    timeout_s = 330.0
    together = True
    arguments = KubernetesArguments

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    async def prepare(self, call: ToolCall, arguments: KubernetesArguments, scope: Scope) -> Prepared | Cannot:
        if problem := _unclear(arguments):
            return Cannot(problem, "kubernetes_read")
        context = Target("context", scope.mission.estate)
        if arguments.what == "get" and arguments.kind.casefold() in SECRETS:
            effect = Effect(
                CallClass.SENSITIVE_READ, "kubernetes: Secret", "reads a Secret; its values are not shown, only keys and sizes",
                title=f"Look at Secret {arguments.namespace}/{arguments.name or 'all'}", targets=(context,),
            )  # fmt: skip
        else:
            effect = read_effect(f"kubernetes: {arguments.what}", "a read with the view-only kubeconfig", context)
        return bind(call, effect, arguments, estate=scope.mission.estate)

    async def run(self, prepared: Prepared, arguments: KubernetesArguments, scope: Scope, watch: Watch) -> Done:
        estate = str(prepared.binding["estate"])
        approved = prepared.effect.cls is CallClass.SENSITIVE_READ  # people said yes: view may not read Secrets
        api = self._clusters.write(estate) if approved else self._clusters.view(estate)
        try:
            if arguments.what == "rollout":
                return await _rollout(prepared, api, arguments, watch)
            if arguments.what == "health":
                text, facts = await asyncio.to_thread(_health, api, scope.now)
            else:
                text, facts = await asyncio.to_thread(LOOKS[arguments.what], api, arguments)
        except (KubernetesError, KubeconfigError) as error:
            return answer(prepared, "failed", str(error))
        return answer(prepared, "ok", text, facts=facts)


def _unclear(arguments: KubernetesArguments) -> str:
    match arguments.what:
        case "logs" if not (arguments.namespace and arguments.name):
            return "logs needs namespace and name (of a pod); kubernetes_read pods lists both."
        case "rollout" if not (arguments.namespace and arguments.name) or arguments.kind not in WORKLOADS:
            return f"rollout needs namespace, name and kind ({', '.join(WORKLOADS)})."
        case "get" if not arguments.kind:
            return "get needs kind, e.g. Deployment."
        case _:
            return ""


def _nodes(api: Api, arguments: KubernetesArguments) -> Found:
    rows = [node_row(one) for one in items(api.get("/api/v1/nodes")) if arguments.name in {"", meta(one, "name")}]
    rows.sort(key=lambda row: str(row["name"]))
    facts: dict[str, Json] = {
        "nodes": rows,
        "ready": sum(bool(row["ready"]) for row in rows),
        "versions": sorted({str(row["version"]) for row in rows}),
    }
    return "\n".join(map(node_line, rows)) or "no nodes", facts


def _pods(api: Api, arguments: KubernetesArguments) -> Found:
    place = f"/api/v1/namespaces/{arguments.namespace}/pods" if arguments.namespace else "/api/v1/pods"
    query = {"labelSelector": arguments.selector} if arguments.selector else {}
    rows = [pod_row(one) for one in items(api.get(place, **query))]
    rows = [row for row in rows if arguments.name in ("", row["name"])]
    rows.sort(key=lambda row: (healthy(row), str(row["namespace"]), str(row["name"])))
    unwell = [row for row in rows if not healthy(row)]
    facts: dict[str, Json] = {"count": len(rows), "unhealthy": len(unwell), "pods": rows[:60]}
    head = f"{len(rows)} pods, {len(unwell)} not healthy"
    more = [f"… {len(rows) - ROWS} more: give a namespace or selector"] if len(rows) > ROWS else []
    return "\n".join([head, *map(pod_line, rows[:ROWS]), *more]), facts


def _events(api: Api, arguments: KubernetesArguments) -> Found:
    place = f"/api/v1/namespaces/{arguments.namespace}/events" if arguments.namespace else "/api/v1/events"
    query = {"fieldSelector": f"involvedObject.name={arguments.name}"} if arguments.name else {}
    rows = newest([event_row(one) for one in items(api.get(place, **query))], EVENTS)
    warnings = sum(row["type"] == "Warning" for row in rows)
    facts: dict[str, Json] = {"events": rows[:20], "count": len(rows), "warnings": warnings}
    return "\n".join(map(event_line, rows)) or "no events", facts


def _logs(api: Api, arguments: KubernetesArguments) -> Found:
    query = {"tailLines": str(arguments.tail), "limitBytes": str(LOG_BYTES), "timestamps": "true"}
    query |= {"container": arguments.container} if arguments.container else {}
    query |= {"previous": "true"} if arguments.previous else {}
    _, said = api.raw("GET", f"/api/v1/namespaces/{arguments.namespace}/pods/{arguments.name}/log", query)
    text = said.decode(errors="replace")
    facts: dict[str, Json] = {"lines": text.count("\n"), "bytes": len(said)}
    return text or "the log is empty", facts


def _get(api: Api, arguments: KubernetesArguments) -> Found:
    resource = api.resource(arguments.kind, arguments.api_version)
    if arguments.name and resource.namespaced and not arguments.namespace:
        raise KubernetesError(f"{resource.kind} lives in a namespace: give it.")
    query = {"labelSelector": arguments.selector} if arguments.selector and not arguments.name else {}
    said = api.get(resource.path(arguments.namespace, arguments.name), **query)
    thing = shown({"kind": resource.kind, **said} if arguments.name else {**said, "kind": f"{resource.kind}List"})
    if arguments.path:
        return _picked(thing, arguments.path)
    if arguments.name:
        text = yaml.safe_dump(thing, sort_keys=False, allow_unicode=True, width=120)
        facts: dict[str, Json] = {"kind": resource.kind, "name": arguments.name, "found": True}
        return text, facts
    names = [f"{meta(one, 'namespace')}/{meta(one, 'name')}".lstrip("/") for one in rows_of(thing.get("items"))]
    return "\n".join(names[:ROWS]) or f"no {resource.plural}", {"count": len(names), "names": names[:60]}


def _picked(thing: Any, path: str) -> Found:
    plain = path.strip().removeprefix("{").removesuffix("}").lstrip("$.")  # as kubectl's jsonpath is written
    try:
        value: Any = cast("Any", jmespath).search(plain, thing)
    except (JMESPathError, RecursionError, ValueError, TypeError) as error:
        raise KubernetesError(f"The path is no JMESPath: {str(error).splitlines()[0][:200]}") from None
    text = json.dumps(value, indent=1, ensure_ascii=False)
    facts: dict[str, Json] = {"found": value is not None}
    if len(text) <= SMALL:
        facts["value"] = cast("Json", value)
    return text, facts


async def _rollout(prepared: Prepared, api: Api, arguments: KubernetesArguments, watch: Watch) -> Done:
    resource = await asyncio.to_thread(api.resource, arguments.kind)
    began, said = time.monotonic(), ""
    while True:
        thing = await asyncio.to_thread(api.get, resource.path(arguments.namespace, arguments.name))
        complete, words, counts = rollout({"kind": resource.kind, **thing})
        waited = time.monotonic() - began
        if complete or waited >= arguments.wait_s or words.startswith("stuck") or watch.stopping() or not watch.alive():
            break
        if words != said:
            said = words
            await watch.progress("Rollout", f"{arguments.namespace}/{arguments.name}", words)
        await asyncio.sleep(LOOK_S)
    facts: dict[str, Json] = {**counts, "complete": complete, "waited_s": round(waited)}
    text = f"{resource.kind} {arguments.namespace}/{arguments.name}: {words}"
    return answer(prepared, "ok" if complete or not arguments.wait_s else "failed", text, facts=facts)


def _health(api: Api, now: datetime) -> Found:
    """The API server's own checks, etcd's members as pods, versions, and when certificates end."""
    status, said = api.raw("GET", "/readyz", {"verbose": ""}, bears=(500,))
    good, bad = readiness(said.decode(errors="replace"))
    version = str(api.get("/version").get("gitVersion", ""))
    members = [
        pod_row(one) for one in items(api.get("/api/v1/namespaces/kube-system/pods", labelSelector="component=etcd"))
    ]
    members.sort(key=lambda row: str(row["name"]))
    access = api.access
    ends = {
        "api_server": days_left(server_certificate_end(access.server), now),
        "kubeconfig": days_left(certificate_end(access.certificate), now),
    }
    rows: list[Row] = [{"name": row["name"], "node": row["node"], "ready": healthy(row)} for row in members]
    healthy_members = sum(bool(row["ready"]) for row in rows)
    facts: dict[str, Json] = {
        "ready": status == 200, "failed": bad, "passed": len(good), "version": version, "server": access.server,
        "etcd": rows, "etcd_ready": healthy_members, "etcd_check": "etcd" in good,
        "certificate_days": ends["api_server"], "kubeconfig_days": ends["kubeconfig"],
    }  # fmt: skip
    lines = [f"API server {access.server}: {'ready' if status == 200 else 'NOT READY'}, {version}"]
    lines += [f"failed check: {one}" for one in bad]
    lines.append(
        f"etcd: {healthy_members} of {len(rows)} members healthy, the API server's check {'ok' if 'etcd' in good else 'FAILED'}"
    )
    lines += [f"  {row['name']} on {row['node']}: {'ready' if row['ready'] else 'NOT READY'}" for row in rows]
    lines.append(
        f"certificates: API server {certificate_note(ends['api_server'])}, kubeconfig {certificate_note(ends['kubeconfig'])}"
    )
    return "\n".join(lines), facts


LOOKS: Mapping[str, Callable[[Api, KubernetesArguments], Found]] = {
    "nodes": _nodes,
    "pods": _pods,
    "events": _events,
    "logs": _logs,
    "get": _get,
}
