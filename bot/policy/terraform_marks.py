"""Terraform's own sensitivity marks, applied to the JSON of plans and states (rule 22).

`terraform show -json` prints sensitive values in clear, beside a mask of the same shape: `before_sensitive`,
`after_sensitive`, `sensitive_values`, `sensitive: true`. A raw state has `sensitive_attributes`, paths into attributes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from bot.domain.ids import Json
from bot.policy.placeholders import placeholder

MARKED = placeholder("marked")
# A value beside the mask that speaks of it.
MASKS = (("before", "before_sensitive"), ("after", "after_sensitive"), ("values", "sensitive_values"))


@dataclass(slots=True)
class Masked:
    """The document without marked values, and these values, for the redactor to learn."""

    document: Json
    secrets: frozenset[str]


@dataclass(slots=True)
class _Found:
    secrets: set[str] = field(default_factory=set[str])


def mask(document: Json) -> Masked:
    """Every value that Terraform marks as sensitive, anywhere in a plan, a state or the outputs, replaced."""
    found = _Found()
    variables = _sensitive_variables(document)
    clean = _walk(document, found, variables)
    return Masked(clean, frozenset(found.secrets))


def _walk(value: Json, found: _Found, variables: frozenset[str]) -> Json:
    match value:
        case Mapping():
            return _object(value, found, variables)
        case str() | None | bool() | int() | float():
            return value
        case Sequence():
            return [_walk(item, found, variables) for item in value]
        case _:
            assert_never(value)


def _object(value: Mapping[str, Json], found: _Found, variables: frozenset[str]) -> dict[str, Json]:
    clean = {key: _walk(item, found, variables) for key, item in value.items()}
    for name, marks in MASKS:
        if name in value and marks in value:
            clean[name] = _masked(clean[name], value[marks], found)
    if value.get("sensitive") is True:
        clean |= {name: _masked(clean[name], True, found) for name in ("value", "default") if name in value}
    paths = value.get("sensitive_attributes")
    if "attributes" in value and isinstance(paths, Sequence) and not isinstance(paths, str):
        attributes = clean["attributes"]
        for path in paths:
            attributes = _at(attributes, _steps(path), found)
        clean["attributes"] = attributes
    given = clean.get("variables")
    if isinstance(given, Mapping) and "planned_values" in value:
        clean["variables"] = {name: _masked(item, {"value": name in variables}, found) for name, item in given.items()}
    return clean


def _masked(value: Json, marks: Json, found: _Found) -> Json:
    """`value` where `marks`, of the same shape, says true somewhere: that part replaced."""
    match marks:
        case True:
            _collect(value, found)
            return value if value is None else MARKED
        case Mapping() if isinstance(value, Mapping):
            return {key: _masked(item, marks.get(key, False), found) for key, item in value.items()}
        case str() | None | bool() | int() | float() | Mapping():
            return value
        case Sequence() if isinstance(value, Sequence) and not isinstance(value, str):
            more = [False] * (len(value) - len(marks))
            return [_masked(item, mark, found) for item, mark in zip(value, [*marks, *more], strict=False)]
        case _:
            return value


def _at(value: Json, steps: Sequence[str | int], found: _Found) -> Json:
    """`value` with what stands at the end of a path replaced; a path that leads nowhere changes nothing."""
    if not steps:
        return _masked(value, True, found)
    step, rest = steps[0], steps[1:]
    if isinstance(value, Mapping) and isinstance(step, str) and step in value:
        return {**value, step: _at(value[step], rest, found)}
    if isinstance(value, Sequence) and not isinstance(value, str) and isinstance(step, int) and step < len(value):
        return [_at(item, rest, found) if index == step else item for index, item in enumerate(value)]
    return value


def _steps(path: Json) -> list[str | int]:
    """A path of a raw state: [{"type": "get_attr", "value": "password"}, {"type": "index", "value": {"value": 0}}]."""
    if not isinstance(path, Sequence) or isinstance(path, str):
        return []
    steps: list[str | int] = []
    for part in path:
        step = part.get("value") if isinstance(part, Mapping) else None
        step = step.get("value") if isinstance(step, Mapping) else step
        if isinstance(step, str | int):
            steps.append(step)
    return steps


def _collect(value: Json, found: _Found) -> None:
    match value:
        case str():
            found.secrets.update({value} - {MARKED})
        case Mapping():
            for item in value.values():
                _collect(item, found)
        case None | bool() | int() | float():
            pass
        case Sequence():
            for item in value:
                _collect(item, found)
        case _:
            assert_never(value)


def _sensitive_variables(document: Json) -> frozenset[str]:
    """Names of root variables that the configuration marks: a plan lists their values without a mark."""
    at = document
    for name in ("configuration", "root_module", "variables"):
        at = at.get(name) if isinstance(at, Mapping) else None
    if not isinstance(at, Mapping):
        return frozenset()
    return frozenset(name for name, item in at.items() if isinstance(item, Mapping) and item.get("sensitive") is True)
