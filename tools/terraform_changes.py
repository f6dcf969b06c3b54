"""One change of a plan's JSON, read: its action, its class, its values. Pure."""

from collections.abc import Mapping
from typing import Any, Final, cast

from bot.domain.calls import CallClass

VM_TYPES: Final = frozenset({"proxmox_virtual_environment_vm", "proxmox_virtual_environment_vm2", "proxmox_vm"})
ACTIONS: Final[Mapping[tuple[str, ...], tuple[str, CallClass]]] = {
    ("no-op",): ("", CallClass.READ),
    ("read",): ("read", CallClass.READ),
    ("create",): ("create", CallClass.CHANGE),
    ("update",): ("update", CallClass.CHANGE),
    ("delete",): ("delete", CallClass.DESTROY),
    ("delete", "create"): ("replace", CallClass.DESTROY),
    ("create", "delete"): ("replace", CallClass.DESTROY),
    ("forget",): ("forget", CallClass.DESTROY),
    ("create", "forget"): ("replace", CallClass.DESTROY),
}


def action_of(change: Mapping[str, Any]) -> str:
    actions = tuple(str(a) for a in cast("list[Any]", inner_map(change, "change").get("actions") or []))
    if change.get("deposed"):
        return "delete"
    name = ACTIONS.get(actions, (",".join(actions) or "unknown", CallClass.DESTROY))[0]
    return name or ("import" if inner_map(change, "change").get("importing") else "move" if is_moved(change) else "")


def is_moved(change: Mapping[str, Any]) -> bool:
    return change.get("previous_address") not in {None, change.get("address")}


def class_of(change: Mapping[str, Any]) -> CallClass:
    actions = tuple(str(a) for a in cast("list[Any]", inner_map(change, "change").get("actions") or []))
    if change.get("deposed"):
        return CallClass.DESTROY
    return ACTIONS.get(actions, ("", CallClass.DESTROY))[1]


def inner_map(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = value.get(name)
    return cast("Mapping[str, Any]", inner) if isinstance(inner, dict) else {}


def inner_list(value: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    inner = value.get(name)
    items = cast("list[Any]", inner) if isinstance(inner, list) else []
    return [cast("Mapping[str, Any]", i) for i in items if isinstance(i, dict)]


def first_map(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = inner_list(value, name)
    return inner[0] if inner else {}
