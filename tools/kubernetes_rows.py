"""What Kubernetes says of its objects → short rows, and what may be shown of an object at all. Pure."""

import base64
import binascii
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from bot.domain.ids import Json, texts

Row = dict[str, Json]
Fields = Mapping[str, Any]
ROLE: Final = "node-role.kubernetes.io/"
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
MIRROR: Final = "kubernetes.io/config.mirror"
NOTHING: Final[Fields] = {}
SECRETS: Final = frozenset({"secret", "secrets"})


def fields(value: Any, *path: str) -> Fields:
    """A mapping inside a mapping; empty where it is none."""
    for part in path:
        value = cast("Fields", value).get(part) if isinstance(value, Mapping) else None
    return cast("Fields", value) if isinstance(value, Mapping) else {}


def rows_of(value: Any) -> list[Fields]:
    return (
        [cast("Fields", one) for one in cast("list[Any]", value) if isinstance(one, Mapping)]
        if isinstance(value, list)
        else []
    )


def items(answer: Fields) -> list[Fields]:
    return rows_of(answer.get("items"))


def meta(thing: Fields, key: str) -> str:
    return str(fields(thing, "metadata").get(key) or "")


def node_row(node: Fields) -> Row:
    status, info = fields(node, "status"), fields(node, "status", "nodeInfo")
    conditions = {str(c.get("type")): str(c.get("status")) for c in rows_of(status.get("conditions"))}
    labels = fields(node, "metadata", "labels")
    roles = sorted(str(label).removeprefix(ROLE) for label in labels if str(label).startswith(ROLE))
    addresses = rows_of(status.get("addresses"))
    return {
        "name": meta(node, "name"),
        "ready": conditions.get("Ready") == "True",
        "roles": roles,
        "version": str(info.get("kubeletVersion", "")),
        "schedulable": not fields(node, "spec").get("unschedulable"),
        "pressure": sorted(k for k, v in conditions.items() if k != "Ready" and v == "True"),
        "address": next((str(a.get("address")) for a in addresses if a.get("type") == "InternalIP"), ""),
        "taints": [f"{t.get('key')}:{t.get('effect')}" for t in rows_of(fields(node, "spec").get("taints"))],
    }


def node_line(row: Row) -> str:
    words = [str(row["name"]), "Ready" if row["ready"] else "NOT READY", ",".join(texts(row["roles"])) or "worker"]
    words += [str(row["version"]), str(row["address"])]
    words += [] if row["schedulable"] else ["cordoned"]
    words += [*texts(row["pressure"]), *(f"taint {one}" for one in texts(row["taints"]))]
    return " ".join(word for word in words if word)


def pod_row(pod: Fields) -> Row:
    status = fields(pod, "status")
    states = rows_of(status.get("containerStatuses"))
    waiting = [fields(one, "state", "waiting") or fields(one, "state", "terminated") for one in states]
    why = next((str(one["reason"]) for one in waiting if one.get("reason") not in {None, "Completed"}), "")
    unscheduled = [
        c for c in rows_of(status.get("conditions")) if c.get("type") == "PodScheduled" and c.get("status") == "False"
    ]
    why = why or (str(unscheduled[0].get("reason") or "") if unscheduled else "")
    owners = rows_of(fields(pod, "metadata").get("ownerReferences"))
    return {
        "namespace": meta(pod, "namespace"),
        "name": meta(pod, "name"),
        "phase": "Terminating" if meta(pod, "deletionTimestamp") else str(status.get("phase", "")),
        "why": why,
        "ready": sum(bool(one.get("ready")) for one in states),
        "containers": len(rows_of(fields(pod, "spec").get("containers"))),
        "restarts": sum(int(one.get("restartCount") or 0) for one in states),
        "node": str(fields(pod, "spec").get("nodeName") or ""),
        "owner": str(owners[0].get("kind") or "") if owners else "",
    }


def pod_line(row: Row) -> str:
    why = f" {row['why']}" if row["why"] else ""
    restarts = f" {row['restarts']} restarts" if row["restarts"] else ""
    place = f" on {row['node']}" if row["node"] else ""
    return f"{row['namespace']}/{row['name']} {row['phase']}{why} {row['ready']}/{row['containers']} ready{restarts}{place}"


def healthy(row: Row) -> bool:
    return row["phase"] == "Succeeded" or (
        row["phase"] == "Running" and row["ready"] == row["containers"] and not row["why"]
    )


def event_row(event: Fields) -> Row:
    about = fields(event, "involvedObject")
    series = fields(event, "series")
    return {
        "at": str(
            event.get("lastTimestamp")
            or series.get("lastObservedTime")
            or event.get("eventTime")
            or meta(event, "creationTimestamp")
        ),
        "type": str(event.get("type") or ""),
        "reason": str(event.get("reason") or ""),
        "about": f"{about.get('kind', '')} {about.get('namespace', '')}/{about.get('name', '')}".replace(" /", " "),
        "count": int(event.get("count") or series.get("count") or 1),
        "text": " ".join(str(event.get("message") or "").split())[:400],
    }


def event_line(row: Row) -> str:
    often = f" ×{row['count']}" if row["count"] != 1 else ""
    return f"{row['at']} {row['type']} {row['reason']} {row['about']}{often}: {row['text']}"


def rollout(thing: Fields) -> tuple[bool, str, Row]:
    """Complete or not, in words, and the counts; as `kubectl rollout status` judges."""
    spec, status, kind = fields(thing, "spec"), fields(thing, "status"), str(thing.get("kind", ""))
    seen = int(status.get("observedGeneration") or 0) >= int(fields(thing, "metadata").get("generation") or 0)
    if kind == "DaemonSet":
        wanted, updated = _int(status, "desiredNumberScheduled"), _int(status, "updatedNumberScheduled")
        available, total = _int(status, "numberAvailable"), _int(status, "currentNumberScheduled")
    else:
        wanted = int(spec["replicas"]) if spec.get("replicas") is not None else 1
        updated, total = _int(status, "updatedReplicas"), _int(status, "replicas")
        available = _int(status, "readyReplicas" if kind == "StatefulSet" else "availableReplicas")
    progressing = next((c for c in rows_of(status.get("conditions")) if c.get("type") == "Progressing"), NOTHING)
    counts: Row = {"wanted": wanted, "updated": updated, "available": available, "total": total}
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return False, f"stuck: {progressing.get('message', 'its progress deadline passed')}", counts
    complete = seen and updated >= wanted and available >= wanted and (kind == "DaemonSet" or total <= wanted)
    if kind == "StatefulSet" and status.get("updateRevision") and wanted:
        complete = complete and status.get("currentRevision") == status.get("updateRevision")
    counts["complete"] = complete
    text = f"{updated} of {wanted} updated, {available} of {wanted} available"
    return complete, f"complete: {text}" if complete else f"under way: {text}", counts


def shown(thing: Any) -> Any:
    """An object without what nobody reads, and without any value of a Secret: only names of keys and sizes."""
    if not isinstance(thing, Mapping):
        return thing
    plain = {str(key): value for key, value in cast("Mapping[Any, Any]", thing).items()}
    if isinstance(plain.get("items"), list):
        kind = str(plain.get("kind", "")).removesuffix("List")
        return plain | {
            "items": [shown({"kind": kind, **fields(one)} if kind else one) for one in rows_of(plain["items"])]
        }
    metadata = {str(k): v for k, v in fields(plain, "metadata").items() if k != "managedFields"}
    notes = {str(k): v for k, v in fields(metadata, "annotations").items() if k != LAST_APPLIED}
    if "annotations" in metadata:
        metadata["annotations"] = notes
    if metadata:
        plain["metadata"] = metadata
    if str(plain.get("kind", "")).casefold() == "secret":
        for part in ("data", "stringData"):
            if part in plain:
                plain[part] = {
                    str(key): _hidden(value, encoded=part == "data") for key, value in fields(plain, part).items()
                }
        if "annotations" in metadata:  # tools keep what they applied there under names of their own
            metadata["annotations"] = dict.fromkeys(notes, "[not shown]")
    return plain


def certificate_note(days: int | None) -> str:
    return "unknown" if days is None else "EXPIRED" if days < 0 else f"{days} days left"


def readiness(text: str) -> tuple[list[str], list[str]]:
    """Checks of `/readyz?verbose` that passed, and that failed."""
    lines = [line.strip() for line in text.splitlines()]
    good = [line[3:].split(" ")[0] for line in lines if line.startswith("[+]")]
    bad = [line[3:].split(" ")[0].rstrip(":") for line in lines if line.startswith("[-]")]
    return good, bad


def newest(rows: Sequence[Row], most: int) -> list[Row]:
    return sorted(rows, key=lambda row: str(row["at"]), reverse=True)[:most]


def _hidden(value: Any, *, encoded: bool) -> str:
    size = len(str(value).encode())
    if encoded:
        with contextlib.suppress(binascii.Error, ValueError):
            size = len(base64.b64decode(str(value), validate=True))
    return f"[not shown: {size} bytes]"


def _int(thing: Fields, key: str) -> int:
    return int(thing.get(key) or 0)
