"""What a plan touches, as targets that policies/environments.yaml maps. Pure.

The code is the agent's, so what the plan does not know yet (a name made from another resource's output) is no name:
it becomes a target that nothing can map, and so production. Nothing is cut here; only words for people are.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bot.domain.calls import Target
from tools.terraform_changes import VM_TYPES, action_of, inner_list, inner_map

POOL_TYPES: Final = frozenset({"proxmox_virtual_environment_pool"})
UNMAPPABLE: Final = "unknown"  # a kind that environments.yaml does not have
NAMED: Final = (("node_name", "node"), ("name", "vm"))
SHOWN: Final = 5


def targets_of(plan: Mapping[str, Any]) -> tuple[Target, ...]:
    """Every target of every change, each once, in the plan's order."""
    found: dict[Target, None] = {}
    for change in inner_list(plan, "resource_changes"):
        if action_of(change) not in {"", "read"}:
            found |= dict.fromkeys(_targets(change))
    for name in ("deferred_changes", "action_invocations"):
        if plan.get(name):
            found[Target(UNMAPPABLE, name.replace("_", " "))] = None
    return tuple(found)


def nodes_words(targets: Sequence[Target]) -> str:
    """` on pve1, pve2`, or nothing."""
    nodes = sorted(target.name for target in targets if target.kind == "node")
    return f" on {some(nodes)}" if nodes else ""


def unknown_words(targets: Sequence[Target]) -> list[str]:
    """A line for the card where something counts as production because the plan does not name it."""
    unknown = [target.name for target in targets if target.kind == UNMAPPABLE]
    return [f"Counts as production, since the plan cannot say where it belongs: {some(unknown)}"] if unknown else []


def some(names: Sequence[str], most: int = SHOWN) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def _targets(change: Mapping[str, Any]) -> Iterator[Target]:
    """Both sides of a change: what there is, and what will be."""
    kind, address = change.get("type"), str(change.get("address", "?"))
    inner = inner_map(change, "change")
    sides = [
        (inner_map(inner, side), inner_map(inner, f"{side}_unknown"))
        for side in ("before", "after")
        if isinstance(inner.get(side), dict)
    ]
    if not sides or kind not in VM_TYPES | POOL_TYPES:
        yield Target(UNMAPPABLE, address)
        return
    for values, unknown in sides:
        if kind in VM_TYPES:
            for name, of in NAMED:
                yield _target(of, values.get(name), f"{name} of {address}")
        if kind in POOL_TYPES or values.get("pool_id") or unknown.get("pool_id"):
            yield _target("pool", values.get("pool_id"), f"pool_id of {address}")


def _target(kind: str, value: object, what: str) -> Target:
    return Target(kind, value) if isinstance(value, str) and value else Target(UNMAPPABLE, what)
