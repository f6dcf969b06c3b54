"""Texts with names in double braces: {{plan}}, {{memory|mib}}."""

import re
from collections.abc import Callable, Mapping
from typing import Any

SLOT = re.compile(r"\{\{\s*([\w.]+)\s*(?:\|\s*(\w+)\s*)?\}\}")
DEPTH = 3  # values may name values; deeper than this is a circle

FILTERS: Mapping[str, Callable[[str], str | int]] = {
    "int": lambda text: int(float(text)),
    "mib": lambda text: int(float(text) * 1024),
    "short": lambda text: text[:12],
    "line": lambda text: text.strip().splitlines()[0] if text.strip() else "",
    "upper": str.upper,
    "title": str.title,
}


class UnresolvedError(LookupError):
    """A name has no value in this conversation: the rule does not apply."""


def names_in(template: Any) -> set[tuple[str, str]]:
    """(name, filter) of all slots in a text or in a nested JSON value."""
    if isinstance(template, str):
        return {(slot.group(1), slot.group(2) or "") for slot in SLOT.finditer(template)}
    if isinstance(template, Mapping):
        return {found for value in template.values() for found in names_in(value)}
    if isinstance(template, list):
        return {found for value in template for found in names_in(value)}
    return set()


def render(template: Any, look_up: Callable[[str], str]) -> Any:
    """Fill the slots. A text that is one slot only takes the type that its filter gives."""
    if isinstance(template, Mapping):
        return {key: render(value, look_up) for key, value in template.items()}
    if isinstance(template, list):
        return [render(value, look_up) for value in template]
    if not isinstance(template, str):
        return template
    return _render_text(template, look_up, DEPTH)


def _render_text(template: str, look_up: Callable[[str], str], depth: int) -> str | int:
    whole = SLOT.fullmatch(template.strip())
    if whole:
        return _filled(whole, look_up, depth)
    return SLOT.sub(lambda slot: str(_filled(slot, look_up, depth)), template)


def _filled(slot: re.Match[str], look_up: Callable[[str], str], depth: int) -> str | int:
    value = look_up(slot.group(1))
    if depth and SLOT.search(value):
        value = str(_render_text(value, look_up, depth - 1))
    name = slot.group(2)
    if not name:
        return value
    try:
        return FILTERS[name](value)
    except ValueError as error:
        raise UnresolvedError(slot.group(0)) from error
