"""Manifests of the mission's code as data: which objects, and how they differ from what is there. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import yaml

from tools.kubernetes_rows import Fields, fields, rows_of

MOST: Final = 60  # objects of one call
LONGEST: Final = 160  # characters of a value in the diff
MANAGER: Final = "watchbill"
FIRST: Final = (
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "StorageClass",
    "ServiceAccount",
    "ClusterRole",
    "Role",
)
MERGE_KEYS: Final = ("name", "containerPort", "port", "mountPath", "key", "ip", "topologyKey", "type")
UNSET: Final = object()


class ManifestError(ValueError):
    """The file cannot be applied as it is. The text says what to change."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One object as the file has it."""

    api_version: str
    kind: str
    name: str
    namespace: str
    body: Fields

    @property
    def label(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class _NoAliases(yaml.SafeLoader):
    """Anchors could make a small file a huge one, and hide what a reader looks for."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ManifestError("anchors and aliases (`&x`, `*x`) are not taken: write it out")
        return super().compose_node(parent, index)


def read(text: str) -> tuple[Thing, ...]:
    """The objects in the order in which they are applied. Raises ManifestError."""
    try:
        loaded = list[Any](yaml.load_all(text, _NoAliases))
    except yaml.YAMLError as error:
        raise ManifestError(f"this is no YAML: {' '.join(str(error).split())[:300]}") from None
    flat = [one for document in loaded if document is not None for one in _flat(document)]
    things = [_thing(one) for one in flat]
    if not things or len(things) > MOST:
        raise ManifestError(f"the file has {len(things)} objects; one call applies 1 to {MOST}")
    if twice := {one.label for one in things if sum(other.label == one.label for other in things) > 1}:
        raise ManifestError(f"{', '.join(sorted(twice))} stands twice")
    return tuple(sorted(things, key=lambda one: FIRST.index(one.kind) if one.kind in FIRST else len(FIRST)))


def packed(things: tuple[Thing, ...]) -> str:
    """The text that an approval is bound to, and that is sent."""
    return json.dumps([one.body for one in things], sort_keys=True, ensure_ascii=False, default=str)


def unpacked(text: str) -> tuple[Thing, ...]:
    return tuple(_thing(one) for one in json.loads(text))


def differences(wanted: Fields, live: Fields | None) -> list[str]:
    """Lines of the fields that the file sets: `+` where there was nothing, `~` where it differs. Nothing else is touched."""
    body = {key: value for key, value in wanted.items() if key != "status"}
    if live is None:
        return [f"+ {line}" for line in leaves(body, "")]
    return list(compared(body, live))


def _flat(document: Any) -> Iterator[Any]:
    if isinstance(document, Mapping) and str(cast("Fields", document).get("kind", "")).endswith("List"):
        yield from cast("list[Any]", cast("Fields", document).get("items") or [])
    else:
        yield document


def _thing(body: Any) -> Thing:
    if not isinstance(body, Mapping):
        raise ManifestError("every document is one object with apiVersion, kind and metadata")
    plain = cast("Fields", body)
    about = fields(plain, "metadata")
    version, kind, name = plain.get("apiVersion"), plain.get("kind"), about.get("name")
    if not (isinstance(version, str) and isinstance(kind, str) and isinstance(name, str)):
        raise ManifestError("every object needs apiVersion, kind and metadata.name as texts (no generateName)")
    thing = Thing(version, kind, name, str(about.get("namespace") or ""), plain)
    if kind == "Secret" and (plain.get("data") or plain.get("stringData")):
        raise ManifestError(
            f"{thing.label} holds values: what lies in the code is no secret. Let the cluster or its owner make it, and refer to it"
        )
    if about.get("managedFields") or plain.get("status"):
        raise ManifestError(f"{thing.label}: leave out status and managedFields; they are the cluster's")
    return thing


def compared(wanted: Any, live: Any, place: str = "") -> Iterator[str]:
    """The lines of `differences` below `place`."""
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        for key, value in cast("Fields", wanted).items():
            yield from compared(value, cast("Fields", live).get(key, UNSET), f"{place}.{key}".lstrip("."))
    elif isinstance(wanted, list) and isinstance(live, list) and (key := merge_key(wanted)):
        there = {one.get(key): one for one in rows_of(live)}
        for one in rows_of(wanted):
            yield from compared(one, there.get(one.get(key), UNSET), f"{place}[{one.get(key)}]")
    elif live is UNSET:
        yield from (f"+ {line}" for line in leaves(wanted, place))
    elif not _same(wanted, live):
        yield f"~ {place}: {_short(live)} → {_short(wanted)}"


def merge_key(wanted: Any) -> str:
    """What names the members of a list, where something does."""
    rows = rows_of(wanted)
    if not rows or len(rows) != len(cast("list[Any]", wanted)):
        return ""
    return next((key for key in MERGE_KEYS if len({str(row.get(key)) for row in rows if key in row}) == len(rows)), "")


def _same(wanted: Any, live: Any) -> bool:
    """Numbers and texts of the same quantity are the same where Kubernetes writes them in another way."""
    return wanted == live or (
        not isinstance(wanted, dict | list) and not isinstance(live, dict | list) and str(wanted) == str(live)
    )


def leaves(value: Any, place: str) -> Iterator[str]:
    """`place: value` of everything in `value` that has no parts."""
    if isinstance(value, Mapping) and value:
        for key, inner in cast("Fields", value).items():
            yield from leaves(inner, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list) and (key := merge_key(value)):
        for one in rows_of(value):
            yield from leaves(one, f"{place}[{one.get(key)}]")
    else:
        yield f"{place}: {_short(value)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split("\n"))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"
