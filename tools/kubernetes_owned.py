"""What a server-side apply takes away: the fields that our manager owns in the live object and the file no longer sets. Pure.

The API server notes per manager which fields it set (`metadata.managedFields`): `f:name` a field, `k:{…}` a member of a
list by its key, `v:…` a member of a set, `{}` a value that is one whole.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from tools.kubernetes_manifest import MANAGER, UNSET, compared, leaves, merge_key
from tools.kubernetes_rows import Fields, fields, rows_of

Node = Mapping[str, Any]
WHOLE: tuple[Node, ...] = ({},)
CLUSTERS = frozenset({"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"})


def removals(wanted: Fields, live: Fields | None) -> list[str]:
    """A line per field that goes, `- place: value`. What another manager set as well stays, and has none."""
    if live is None:
        return []
    ours: list[Node] = []
    others: list[Node] = []
    for entry in rows_of(fields(live, "metadata").get("managedFields")):
        mine = entry.get("manager") == MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource")
        (ours if mine else others).append(fields(entry, "fieldsV1"))
    return [f"- {line}" for line in _gone(wanted, live, ours, others, "")]


def effects(live: Fields, after: Fields) -> list[str]:
    """The places that differ between two states of an object, but for what the cluster writes itself."""
    before, then = _plain(live), _plain(after)
    there = (line[2:].partition(": ")[0] for line in compared(then, before))
    gone = (line[2:].partition(": ")[0] for line in compared(before, then) if line[0] == "+")
    return list(dict.fromkeys((*there, *gone)))


def unseen(places: Sequence[str], lines: Sequence[str]) -> list[str]:
    """The `places` that no line of a card speaks of, nor of what holds them or what they hold."""
    shown = [line[2:].partition(": ")[0] for line in lines]
    return [one for one in places if not any(_touch(one, other) for other in shown)]


def _touch(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    return long == short or long.startswith((f"{short}.", f"{short}["))


def _plain(body: Fields) -> Fields:
    about = {key: value for key, value in fields(body, "metadata").items() if key not in CLUSTERS}
    return {**{key: value for key, value in body.items() if key != "status"}, "metadata": about}


def _gone(wanted: Any, live: Any, ours: Sequence[Node], others: Sequence[Node], place: str) -> Iterator[str]:
    """`wanted` is UNSET where the file has nothing here any more."""
    if isinstance(live, Mapping):
        yield from _gone_fields(wanted, cast("Fields", live), ours, others, place)
    elif isinstance(live, list) and any(key[:2] == "k:" for node in (*ours, *others) for key in node):
        yield from _gone_members(wanted, rows_of(live), ours, others, place)
    elif isinstance(live, list) and any(key[:2] == "v:" for node in ours for key in node):
        kept = cast("list[Any]", wanted) if isinstance(wanted, list) else []
        for value in cast("list[Any]", live):
            name = f"v:{json.dumps(value, separators=(',', ':'))}"
            if value not in kept and _at(ours, name) and not _at(others, name):
                yield f"{place}: {value}"
    elif isinstance(live, list) and isinstance(wanted, list) and (key := merge_key(cast("list[Any]", wanted))):
        there = {row.get(key): row for row in rows_of(cast("list[Any]", wanted))}  # one whole: it is set anew
        for row in rows_of(cast("list[Any]", live)):
            at = f"{place}[{row.get(key)}]"
            if row.get(key) in there:
                yield from _gone(there[row.get(key)], row, WHOLE, (), at)
            else:
                yield from leaves(row, at)


def _gone_fields(wanted: Any, live: Fields, ours: Sequence[Node], others: Sequence[Node], place: str) -> Iterator[str]:
    kept = cast("Fields", wanted) if isinstance(wanted, Mapping) else dict[str, Any]()
    whole = wanted is not UNSET and any(not node for node in ours)
    for key, value in live.items():
        at = f"{place}.{key}".lstrip(".")
        mine, rest = _at(ours, f"f:{key}"), _at(others, f"f:{key}")
        if key in kept:
            yield from _gone(kept[key], value, mine, rest, at)
        elif whole or any(not node for node in mine):
            if not rest:
                yield from leaves(value, at)
        elif mine:
            yield from _gone(UNSET, value, mine, rest, at)


def _gone_members(
    wanted: Any, live: Sequence[Fields], ours: Sequence[Node], others: Sequence[Node], place: str
) -> Iterator[str]:
    names = dict.fromkeys(key for node in (*ours, *others) for key in node if key[:2] == "k:")
    for name in names:
        key = cast("Fields", json.loads(name[2:]))
        row = next((one for one in live if all(one.get(part) == value for part, value in key.items())), None)
        if row is None:
            continue
        mine, rest = _at(ours, name), _at(others, name)
        at = f"{place}[{next(iter(key.values()))}]"
        # A key may have parts that the file leaves to the cluster, as a port's protocol.
        same = (one for one in rows_of(wanted) if all(one.get(part, value) == value for part, value in key.items()))
        kept = next(same, None) if isinstance(wanted, list) else None
        if kept is not None:
            yield from _gone(kept, row, mine, rest, at)
        elif mine and not rest:
            yield from leaves(row, at)
        elif mine:
            yield from _gone(UNSET, row, mine, rest, at)


def _at(nodes: Sequence[Node], name: str) -> list[Node]:
    """What each has there; a leaf is an empty one."""
    return [cast("Node", node[name]) for node in nodes if name in node]
