"""From Terraform's plan JSON to what a plan does: class, items, counts, targets. Pure.

Anything this does not know raises the class: an action without a name here is `destroy`, a plan format without a
version here is refused.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from bot.domain.calls import CallClass, Effect, Item, highest
from tools.scan_plan import expressions_of
from tools.scan_report import INSTANCE
from tools.terraform_changes import VM_TYPES, action_of, class_of, first_map, inner_list, inner_map, is_moved
from tools.terraform_targets import nodes_words, some, targets_of, unknown_words
from tools.terraform_volumes import uses_existing

WEIGHTY: Final = frozenset(  # named first where not every attribute of a change has room
    {
        *(
            "kvm_arguments",
            "hook_script_file_id",
            "hostpci",
            "usb",
            "virtiofs",
            "rng",
            "serial_device",
            "disk",
            "cdrom",
        ),
        *("protection", "network_device", "initialization", "node_name", "name", "pool_id"),
    }
)
COMPUTED: Final = frozenset(  # unknown in every plan that changes a machine: Proxmox says them, nobody sets them
    {"id", "ipv4_addresses", "ipv6_addresses", "mac_addresses", "network_interface_names"}
)
GONE: Final = "What is deleted is gone; only a backup brings it back."
UNDO: Final[Mapping[str, str]] = {
    "create": "destroy the {} created",
    "update": "apply the earlier code to the {} changed",
    "forget": "import the {} forgotten again, which still exist",
    "import": "take the {} imported out of the state again, which deletes nothing",
    "move": "move the {} back in the code",
}
SENSITIVE: Final = "(sensitive)"
ORDER: Final = ("delete", "replace", "forget", "update", "create", "import", "move", "output", "read")


class UnusablePlanError(ValueError):
    """The plan may not be applied. The text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A virtual machine that a plan creates or a state holds. `vmid` 0: given by Proxmox at creation. `ip` is its first
    fixed address, without the prefix; "" where it has none.
    """

    address: str
    name: str
    node: str
    vmid: int = 0
    ip: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """A machine that Proxmox has, whoever made it."""

    vmid: int
    name: str
    node: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What a plan does, ready for the card and the log."""

    effect: Effect
    creates: tuple[Machine, ...] = ()
    addresses: tuple[str, ...] = ()
    sensitive: frozenset[str] = field(default_factory=frozenset[str], repr=False)

    @property
    def counts(self) -> str:
        e = self.effect
        more = [(sum(i.action == action for i in e.items), action) for action in ("import", "move")]
        rest = "".join(f", {count} to {action}" for count, action in more if count)
        return f"{e.create} to create, {e.change} to change, {e.destroy} to destroy{rest}"

    @property
    def lines(self) -> list[str]:
        sign = {"create": "+", "delete": "−", "replace": "±", "update": "~", "forget": "−", "import": "←", "move": "→"}
        return [describe(sign.get(i.action, "·"), i) for i in self.effect.items] + list(self.effect.notes)


def describe(sign: str, item: Item) -> str:
    """`+ cp1 on pve1 · 2 CPU 4 GiB 30 GiB · 192.168.178.21`."""
    place = f" on {item.where}" if item.where else ""
    return f"{sign} {item.name}{place}" + (f" · {item.detail}" if item.detail else "")


def summarise(plan: Mapping[str, Any]) -> Summary:
    """Raises UnusablePlanError where the plan is errored, incomplete, or of a format unknown here."""
    _check_usable(plan)
    changes = inner_list(plan, "resource_changes")
    items = [item for change in changes for item in _items(change)]
    items += [Item("output", name, _output_words(change)) for name, change in _outputs(plan)]
    items.sort(key=lambda i: ORDER.index(i.action) if i.action in ORDER else -1)
    vanished = tuple(_vanished(plan))
    classes = [class_of(change) for change in changes]
    cls = highest(CallClass.CHANGE, *classes, *(CallClass.DESTROY for _ in vanished))
    notes = list(vanished)
    if plan.get("deferred_changes") or plan.get("action_invocations"):
        cls = CallClass.DESTROY
        notes.append("part of the plan is deferred or runs actions that cannot be foreseen")
    counted = [a for a in (action_of(change) for change in changes) if a]
    create = sum(a in {"create", "replace"} for a in counted)
    change_count = counted.count("update")
    destroy = sum(a not in {"create", "update", "read", "import", "move"} for a in counted)
    targets = targets_of(plan)
    notes += unknown_words(targets)
    existing = _existing(plan, changes)
    if existing:
        notes.insert(0, f"Uses what exists already: {some(existing)}")
    if counted and set(counted) <= {"create", "read"} and not existing and not vanished:
        notes.insert(0, "Touches nothing that exists.")
    effect = Effect(
        cls=cls,
        rule=f"terraform plan, {cls}",
        reason=_reason(cls, vanished),
        title=f"Apply Terraform plan{nodes_words(targets)}",
        targets=targets,
        items=tuple(items),
        create=create,
        change=change_count,
        destroy=destroy,
        undo=_undo(items),
        notes=tuple(notes),
    )
    machines = tuple(m for c in changes if action_of(c) in {"create", "replace"} for m in _machine(c))
    changed = tuple(str(c.get("address", "?")) for c in changes if action_of(c) not in {"", "read"})
    return Summary(effect, machines, changed, frozenset(sensitive_values(plan)))


def is_empty(plan: Mapping[str, Any]) -> bool:
    """Nothing would change, not even an output."""
    return not any(action_of(c) not in {"", "read"} for c in inner_list(plan, "resource_changes")) and not list(
        _outputs(plan)
    )


def machines_of_state(state: Mapping[str, Any]) -> tuple[Machine, ...]:
    """The virtual machines that a state (version 4) holds."""
    found: list[Machine] = []
    for resource in inner_list(state, "resources"):
        if resource.get("mode") != "managed" or resource.get("type") not in VM_TYPES:
            continue
        prefix = f"{resource['module']}." if resource.get("module") else ""
        for instance in inner_list(resource, "instances"):
            key = instance.get("index_key")
            index = "" if key is None else f"[{key}]" if isinstance(key, int) else f'["{key}"]'
            values = inner_map(instance, "attributes")
            address = f"{prefix}{resource['type']}.{resource.get('name')}{index}"
            found.append(_read_machine(address, values))
    return tuple(found)


def addresses_of_state(state: Mapping[str, Any]) -> tuple[str, ...]:
    """Every managed resource's address with its id, as `address (id)`."""
    lines: list[str] = []
    for resource in inner_list(state, "resources"):
        if resource.get("mode") != "managed":
            continue
        prefix = f"{resource['module']}." if resource.get("module") else ""
        for instance in inner_list(resource, "instances"):
            key = instance.get("index_key")
            index = "" if key is None else f"[{key}]" if isinstance(key, int) else f'["{key}"]'
            number = inner_map(instance, "attributes").get("id", "")
            tainted = " tainted" if instance.get("status") == "tainted" else ""
            lines.append(f"{prefix}{resource['type']}.{resource.get('name')}{index} ({number}){tainted}")
    return tuple(lines)


def sensitive_values(plan: Mapping[str, Any]) -> Iterator[str]:
    """Every text that Terraform marks as sensitive in this plan, for the redactor."""
    for change in (*inner_list(plan, "resource_changes"), *(c for _, c in _outputs(plan))):
        inner = inner_map(change, "change") if "change" in change else change
        for side in ("before", "after"):
            yield from _marked(inner.get(side), inner.get(f"{side}_sensitive"))


def _marked(value: Any, mark: Any) -> Iterator[str]:
    if mark is True:
        yield from _leaves(value)
    elif isinstance(mark, dict) and isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", mark).items():
            yield from _marked(cast("dict[str, Any]", value).get(key), inner)
    elif isinstance(mark, list) and isinstance(value, list):
        for inner, item in zip(cast("list[Any]", mark), cast("list[Any]", value), strict=False):
            yield from _marked(item, inner)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in cast("dict[str, Any]", value).values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from _leaves(inner)
    elif isinstance(value, str) and value:
        yield value


def _check_usable(plan: Mapping[str, Any]) -> None:
    version = str(plan.get("format_version", ""))
    if version.partition(".")[0] != "1":
        raise UnusablePlanError(f"plan format {version or 'without a version'} is not known here; use Terraform 1.x")
    if plan.get("errored"):
        raise UnusablePlanError("the plan ended with an error; mend it and plan again")
    if plan.get("complete") is False:
        raise UnusablePlanError("the plan is incomplete (something was deferred); plan again without deferrals")
    failed = [c for c in inner_list(plan, "checks") if c.get("status") in {"fail", "error"}]
    if failed and not plan.get("applyable", True):
        raise UnusablePlanError("a check of the plan fails; mend it and plan again")


def _items(change: Mapping[str, Any]) -> Iterator[Item]:
    action = action_of(change)
    address = str(change.get("address", "?"))
    inner = inner_map(change, "change")
    if inner.get("importing") and action != "import":
        yield Item("import", address, f"id {inner_map(inner, 'importing').get('id', '?')}")
    if is_moved(change) and action != "move":
        yield Item("move", address, f"was {change['previous_address']}")
    if not action or action == "read":
        return
    after, before = inner_map(inner, "after"), inner_map(inner, "before")
    masks = (
        inner_map(inner, "before_sensitive") if action in {"delete", "forget"} else inner_map(inner, "after_sensitive")
    )
    values = before if action in {"delete", "forget"} else after
    where = _plain(values, masks, "node_name")
    if change.get("type") not in VM_TYPES:
        name, detail = address, _differences(inner) if action in {"update", "replace"} else ""
    else:
        name = _plain(values, masks, "name") or address
        detail = _differences(inner) if action in {"update", "replace"} else _machine_words(values)
    if action == "move":
        detail = f"was {change['previous_address']}"
    if change.get("deposed"):
        detail = f"left-over copy {change['deposed']}"
    yield Item(action, name, detail, where)


def _machine_words(values: Mapping[str, Any]) -> str:
    cpu = first_map(values, "cpu").get("cores")
    memory = first_map(values, "memory").get("dedicated")
    disks = [d.get("size") for d in inner_list(values, "disk") if isinstance(d.get("size"), int)]
    sizes = [
        f"{cpu} CPU" if isinstance(cpu, int) else "",
        f"{memory / 1024:g} GiB" if isinstance(memory, int) else "",
        " + ".join(f"{d} GiB" for d in disks),
    ]
    address = ""
    for config in inner_list(first_map(values, "initialization"), "ip_config"):
        address = address or str(first_map(config, "ipv4").get("address") or "").split("/")[0]
    return " · ".join(part for part in (" ".join(s for s in sizes if s), address) if part)


def _differences(change: Mapping[str, Any]) -> str:
    """`memory, tags`: which attributes differ; values stay out, they may be secret or long."""
    before, after = inner_map(change, "before"), inner_map(change, "after")
    unknown = inner_map(change, "after_unknown")
    names = [
        f"{n} (known at apply)" if unknown.get(n) is True else n
        for n in sorted({*before, *after, *unknown}, key=lambda n: (n not in WEIGHTY, n))
        if (n not in COMPUTED if unknown.get(n) is True else before.get(n) != after.get(n))
    ]
    paths = [
        ".".join(str(s) for s in cast("list[Any]", p)) for p in cast("list[Any]", change.get("replace_paths") or [])
    ]
    forced = f"because of {', '.join(paths)}" if paths else ""
    return "; ".join(part for part in (some(names, 8) if names else "", forced) if part)


def _outputs(plan: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, change in inner_map(plan, "output_changes").items():
        inner = cast("dict[str, Any]", change)
        if inner.get("actions") != ["no-op"]:
            yield name, inner


def _output_words(change: Mapping[str, Any]) -> str:
    actions = ",".join(str(a) for a in cast("list[Any]", change.get("actions") or []))
    return f"{actions} {SENSITIVE}" if change.get("after_sensitive") is True else actions


def _vanished(plan: Mapping[str, Any]) -> Iterator[str]:
    for drift in inner_list(plan, "resource_drift"):
        if "delete" in (inner_map(drift, "change").get("actions") or []):
            yield f"{drift.get('address', '?')} is in the state but gone from Proxmox: somebody deleted it outside"


def _existing(plan: Mapping[str, Any], changes: Sequence[Mapping[str, Any]]) -> list[str]:
    """`cp9: /dev/sda`: volumes and devices that the machines of a plan name. A clone's source is no such thing."""
    said = dict(expressions_of(inner_map(inner_map(plan, "configuration"), "root_module"), ""))
    found: list[str] = []
    for change in changes:
        inner = inner_map(change, "change")
        if change.get("type") not in VM_TYPES or action_of(change) not in {"create", "update", "replace"}:
            continue
        before = uses_existing(inner_map(inner, "before"), {}, {})
        written = said.get(INSTANCE.sub("", str(change.get("address"))))
        after = uses_existing(inner_map(inner, "after"), inner_map(inner, "after_unknown"), written)
        name = _plain(inner_map(inner, "after"), inner_map(inner, "after_sensitive"), "name") or change.get("address")
        found += [f"{name}: {what}" for what in after if what not in before]
    return found


def _machine(change: Mapping[str, Any]) -> Iterator[Machine]:
    if change.get("type") in VM_TYPES:
        yield _read_machine(str(change.get("address", "?")), inner_map(inner_map(change, "change"), "after"))


def _read_machine(address: str, values: Mapping[str, Any]) -> Machine:
    vmid = values.get("vm_id")
    number = vmid if isinstance(vmid, int) else 0
    fixed = (
        str(inner.get("address") or "").partition("/")[0]
        for start in inner_list(values, "initialization")
        for config in inner_list(start, "ip_config")
        for inner in inner_list(config, "ipv4")
    )
    ip = next((found for found in fixed if found not in {"", "dhcp"}), "")
    return Machine(address, str(values.get("name") or ""), str(values.get("node_name") or ""), number, ip)


def _reason(cls: CallClass, vanished: Sequence[str]) -> str:
    if vanished:
        return "something the state knows is gone from Proxmox"
    return {CallClass.DESTROY: "the plan deletes, replaces or forgets something"}.get(
        cls, "the plan creates or changes"
    )


def _undo(items: Sequence[Item]) -> str:
    """What takes it back, for each kind of thing that is done; nothing where only outputs differ."""
    count = Counter(item.action for item in items)
    known = {"create", "update", "forget", "import", "move", "read", "output"}
    gone = [GONE] if set(count) - known else []
    said = [words.format(count[action]) for action, words in UNDO.items() if count[action]]
    words = " and ".join(said)
    return " ".join((*gone, f"{words[:1].upper()}{words[1:]}.")) if words else "".join(gone)


def _plain(values: Mapping[str, Any], masks: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return SENSITIVE if masks.get(name) is True else str(value) if value else ""
