"""A plan as the scanner gets it: secrets masked, unset values gone, and values that come only with the apply filled in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from bot.domain.ids import Json
from bot.policy.placeholders import MARK
from bot.policy.secret_patterns import find_secrets, names_secret
from bot.policy.terraform_marks import mask
from tools.scan_report import INSTANCE, Found, SeveritiesFile

UNKNOWN: Final = "true_after_unknown"  # checkov's own word for a value that is there but not known yet
SECRET_IN_PLAN: Final = "secret-in-plan"  # noqa: S105 - a rule's name
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """`document`: for checkov. `types`: address → type of each managed resource there will be. `unknown`: by address
    the paths that are known only after the apply. `touched`: addresses without instance, of all the plan speaks of.
    """

    document: Json
    types: Mapping[str, str]
    unknown: Mapping[str, frozenset[Path]]
    touched: frozenset[str]


def prepare_plan(plan: Json) -> Planned:
    """`plan` is the whole output of `terraform show -json` for a plan."""
    plain = _at(plan)  # what is unset goes before marks are covered: under its cover an empty password looks like one
    clean = _at(mask({**plain, "planned_values": _without_unset(plain.get("planned_values"))}).document)
    changes = {str(row.get("address")): _at(row.get("change")) for row in _rows(clean.get("resource_changes"))}
    said = dict(expressions_of(_at(_at(clean.get("configuration")).get("root_module")), ""))
    filled = dict(clean)
    filled["planned_values"] = _fill_module(_at(clean.get("planned_values")), changes, said)
    resources = [row for row in resources_of(filled["planned_values"]) if row.get("mode") == "managed"]
    types = {str(row["address"]): str(row["type"]) for row in resources if not _forgotten(changes, row)}
    unknown = {address: frozenset(_unknown_paths(change.get("after_unknown"))) for address, change in changes.items()}
    touched = frozenset(INSTANCE.sub("", address) for address in (*changes, *types))
    return Planned(filled, types, unknown, touched)


def secrets_in_plan(planned: Planned, severities: SeveritiesFile) -> Iterator[Found]:
    """Values that look like secrets, put together from any file, in a plan whose marked values are masked."""
    for row in _rows(_at(planned.document).get("resource_changes")):
        for path, value in _texts(_at(row.get("change")).get("after"), ()):
            named = names_secret(path[-1]) and value and not value.startswith(MARK) if path else False
            kinds = sorted({kind for _, _, kind in find_secrets(value)} | ({"named"} if named else set()))
            if kinds:
                resource = f"{row.get('address')}.{'.'.join(path)}"
                text = f"a value of the plan looks like a secret ({', '.join(kinds)})"
                yield Found(SECRET_IN_PLAN, resource, severities.of(SECRET_IN_PLAN), text)


def _fill_module(
    module: Mapping[str, Json], changes: Mapping[str, Mapping[str, Json]], said: Mapping[str, Json]
) -> Json:
    """`planned_values` or one of its modules."""
    filled: dict[str, Json] = dict(module)
    if "root_module" in module:
        filled["root_module"] = _fill_module(_at(module["root_module"]), changes, said)
    filled |= {"child_modules": [_fill_module(m, changes, said) for m in _rows(module.get("child_modules"))]}
    filled |= {"resources": [_fill_resource(r, changes, said) for r in _rows(module.get("resources"))]}
    return filled


def _fill_resource(
    row: Mapping[str, Json], changes: Mapping[str, Mapping[str, Json]], said: Mapping[str, Json]
) -> Json:
    address = str(row.get("address"))
    change = changes.get(address, {})
    written = said.get(INSTANCE.sub("", address))
    values = _fill(row.get("values"), change.get("after_unknown"), written, change.get("after_sensitive"))
    return {**row, "values": values if isinstance(values, Mapping) else {}}


def _fill(value: Json, unknown: Json, said: Json, secret: Json) -> Json:
    """`value` with UNKNOWN where the value is unknown and the code, or a schema's mark, says that there is one. What
    only the provider computes stays away: it is nobody's doing.
    """
    if unknown is True:
        return UNKNOWN if said is not None or secret is True else value
    if isinstance(unknown, Mapping) and (isinstance(value, Mapping) or value is None):
        filled = dict(value or {})
        for key, mark in unknown.items():
            inner = _fill(filled.get(key), mark, _at(said).get(key), _at(secret).get(key))
            if inner is not None:
                filled[key] = inner
        return filled or value
    if _is_list(unknown) and _is_list(value):
        marks, saids, secrets = _list(unknown), _list(said) or [said], _list(secret)
        return [
            _fill(
                item,
                marks[i] if i < len(marks) else False,
                saids[min(i, len(saids) - 1)],
                secrets[i] if i < len(secrets) else None,
            )
            for i, item in enumerate(_list(value))
        ]
    return value


def _without_unset(value: Json) -> Json:
    """Null is how a plan says that nobody set it; the empty text is how the provider reads the same back from a machine."""
    if isinstance(value, Mapping):
        return {key: _without_unset(item) for key, item in value.items() if item is not None and item != ""}
    return [_without_unset(item) for item in _list(value) if item is not None] if _is_list(value) else value


def expressions_of(module: Mapping[str, Json], prefix: str) -> Iterator[tuple[str, Json]]:
    """Address without instances → what the code says in this resource."""
    for row in _rows(module.get("resources")):
        yield f"{prefix}{row.get('address')}", row.get("expressions")
    for name, called in _at(module.get("module_calls")).items():
        yield from expressions_of(_at(_at(called).get("module")), f"{prefix}module.{name}.")


def resources_of(values: Json) -> Iterator[Mapping[str, Json]]:
    module = _at(_at(values).get("root_module")) or _at(values)
    yield from _rows(module.get("resources"))
    for child in _rows(module.get("child_modules")):
        yield from resources_of(child)


def _forgotten(changes: Mapping[str, Mapping[str, Json]], row: Mapping[str, Json]) -> bool:
    """Terraform lists what it will only drop from the state among the planned values (hashicorp/terraform#38641)."""
    return changes.get(str(row["address"]), {}).get("actions") == ["forget"]


def _unknown_paths(marks: Json, path: Path = ()) -> Iterator[Path]:
    """Paths of what is unknown as a whole, without indexes."""
    if marks is True:
        yield path
    elif isinstance(marks, Mapping):
        for key, inner in marks.items():
            yield from _unknown_paths(inner, (*path, key))
    elif _is_list(marks):
        for inner in _list(marks):
            yield from _unknown_paths(inner, path)


def _texts(value: Json, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, (*path, key))
    elif _is_list(value):
        for inner in _list(value):
            yield from _texts(inner, path)


def _is_list(value: Json) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _list(value: Json) -> list[Json]:
    return list(cast("Sequence[Json]", value)) if _is_list(value) else []


def _at(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _rows(value: Json) -> list[Mapping[str, Json]]:
    return [row for row in _list(value) if isinstance(row, Mapping)]
