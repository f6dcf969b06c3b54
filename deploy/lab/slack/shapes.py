"""Checks for JSON shapes, built from small parts; each adds what it finds in Slack's words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .world import Json


@dataclass(frozen=True)
class Problem:
    """Something that Slack refuses: its words, where, and the code that blocks.validate uses."""

    message: str
    pointer: str
    code: str = "failed_constraint"

    def words(self) -> str:
        return f"{self.message} [json-pointer:{self.pointer}]"


Found = list[Problem]
Check = Callable[[Any, str, Found], None]


@dataclass(frozen=True)
class Shape:
    """An object: its fields, which of them must be there, and of which at least one."""

    fields: Mapping[str, Check]
    required: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    also: Callable[[Json, str, Found], None] | None = None
    open: bool = field(default=False)  # other fields are let through


def anything(_value: Any, _pointer: str, _found: Found) -> None:
    """Accept whatever is there."""


def boolean(value: Any, pointer: str, found: Found) -> None:
    if not isinstance(value, bool):
        found.append(Problem("must provide a boolean", pointer, "invalid_type"))


def integer(least: int, most: int) -> Check:
    def check(value: Any, pointer: str, found: Found) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            found.append(Problem("must provide an integer", pointer, "invalid_type"))
        elif not least <= value <= most:
            found.append(Problem(f"must be between {least} and {most}", pointer))

    return check


def string(most: int, least: int = 0) -> Check:
    def check(value: Any, pointer: str, found: Found) -> None:
        if not isinstance(value, str):
            found.append(Problem("must provide a string", pointer, "invalid_type"))
        elif len(value) > most:
            found.append(Problem(f"must be less than {most + 1} characters", pointer))
        elif len(value) < least:
            found.append(Problem(f"must be more than {least - 1} characters", pointer))

    return check


def one_word(*allowed: str) -> Check:
    def check(value: Any, pointer: str, found: Found) -> None:
        if value not in allowed:
            found.append(Problem(f"value must be one of: {', '.join(allowed)}", pointer))

    return check


def many(check_one: Check, least: int, most: int) -> Check:
    def check(value: Any, pointer: str, found: Found) -> None:
        if not isinstance(value, list):
            found.append(Problem("must provide an array", pointer, "invalid_type"))
            return
        if len(value) > most:
            found.append(Problem(f"no more than {most} items allowed", pointer))
        if len(value) < least:
            found.append(Problem(f"no fewer than {least} items allowed", pointer))
        for index, one in enumerate(value):
            check_one(one, f"{pointer}/{index}", found)

    return check


def fits(shape: Shape) -> Check:
    def check(value: Any, pointer: str, found: Found) -> None:
        if not isinstance(value, dict):
            found.append(Problem("must provide an object", pointer, "invalid_type"))
            return
        check_fields(shape, value, pointer, found)

    return check


def check_fields(shape: Shape, value: Json, pointer: str, found: Found) -> None:
    before = len(found)
    for name in shape.required:
        if value.get(name) is None:
            found.append(Problem(f"missing required field: {name}", pointer, "missing_field"))
    if shape.one_of and not any(value.get(name) for name in shape.one_of):
        names = " or ".join(f"`{name}`" for name in shape.one_of)
        found.append(Problem(f"must define either {names}", pointer, "missing_field"))
    for name, inner in value.items():
        check = shape.fields.get(name)
        if check is None:
            if not shape.open:
                found.append(Problem(f"invalid additional property: {name}", pointer, "additional_property"))
        elif inner is not None:
            check(inner, f"{pointer}/{name}", found)
    if shape.also is not None and len(found) == before:  # it may rely on the fields
        shape.also(value, pointer, found)


def text(most: int, *kinds: str) -> Check:
    """A text object of one of `kinds`, 1 to `most` characters."""
    inner = Shape(
        {"type": one_word(*kinds), "text": string(most, 1), "emoji": boolean, "verbatim": boolean},
        required=("type", "text"),
    )

    def check(value: Any, pointer: str, found: Found) -> None:
        own: Found = []
        fits(inner)(value, pointer, own)
        if own:
            found.append(Problem("failed to match all allowed schemas", pointer, "schema_mismatch"))
            found.extend(own)

    return check


def plain(most: int) -> Check:
    return text(most, "plain_text")


def rich(most: int) -> Check:
    return text(most, "plain_text", "mrkdwn")


def typed(shapes: Mapping[str, Shape], allowed: Callable[[], set[str]]) -> Check:
    """An object whose `type` picks its shape."""

    def check(value: Any, pointer: str, found: Found) -> None:
        if not isinstance(value, dict):
            found.append(Problem("must provide an object", pointer, "invalid_type"))
            return
        kind = value.get("type")
        if kind is None:
            found.append(Problem("missing required field: type", pointer, "missing_field"))
        elif not isinstance(kind, str) or kind not in allowed() or kind not in shapes:
            found.append(Problem(f"unsupported type: {kind}", f"{pointer}/type", "unsupported_type"))
        else:
            check_fields(shapes[kind], value, pointer, found)

    return check
