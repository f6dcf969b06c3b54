"""YAML of playbooks as data: no tags of Ansible's own, and every mapping says its line."""

from collections.abc import Iterator
from typing import Any, Final, cast

import yaml

LINE: Final = "__line__"  # a key of every mapping


def load_plain(text: str) -> Any:
    """Raises yaml.YAMLError, for tags as well."""
    return yaml.load(text, _Lines)  # noqa: S506 - a SafeLoader


def items(value: Any) -> Iterator[Any]:
    """A list's items; a single value as one, nothing as none."""
    yield from cast("list[Any]", value) if isinstance(value, list) else [] if value is None else [value]


class _Lines(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - yaml's signature
        made = super().construct_mapping(node, deep=deep)
        made[LINE] = node.start_mark.line + 1
        return made
