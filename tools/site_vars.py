"""What the operator says of this place for every playbook: addresses of mirrors, versions, images. Read again at every call.

The file is one mapping, a variable to its value, and becomes `all: vars:` of the inventory: it beats the roles' defaults
and is beaten by plays and extra variables. Values are data. What looks like a template is refused rather than escaped:
the inventory's own values are evaluated on the machine that runs Ansible, outside of what the scan of a playbook read,
and a text that is silently never evaluated would be a surprise as well.
"""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from bot.domain.digest import canonical
from bot.domain.ids import Json
from bot.policy.problems import PolicyError
from bot.policy.yaml_files import locate, parse_yaml, read_text
from tools.ansible_jinja import is_template
from tools.ansible_scan import RESERVED
from tools.hosts import HostsFileError

VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Ansible's own words, which a variable of this name would hide or be hidden by.
MAGIC: Final = frozenset({
    "all", "environment", "group_names", "groups", "hosts", "hostvars", "inventory_hostname", "item", "name", "omit",
    "play_hosts", "playbook_dir", "role_name", "role_path", "roles", "tags", "tasks", "vars",
})  # fmt: skip
MOST_BYTES: Final = 256 * 1024


class SiteFileError(HostsFileError):
    """The operator's site variables cannot be used. The text names the file, the line, the key and the mend."""


@dataclass(frozen=True, slots=True)
class SiteVariables:
    """`shown` is the file's name in texts."""

    values: Mapping[str, Json] = field(default_factory=dict[str, Json])
    shown: str = "site_vars.yaml"

    @property
    def digest(self) -> str:
        return hashlib.sha256(canonical(dict(self.values))).hexdigest()


@dataclass(frozen=True, slots=True)
class SiteFile:
    """`needed`: the operator named it, so its absence is a mistake."""

    path: Path | None = None
    needed: bool = False

    def read(self) -> SiteVariables:
        """None at all where there is no file. Raises SiteFileError."""
        if self.path is None or not (self.needed or self.path.exists()):
            return SiteVariables()
        shown = f"{self.path.parent.name}/{self.path.name}"
        try:
            return SiteVariables(_read(read_text(self.path), shown), shown)
        except PolicyError as error:
            raise SiteFileError(str(error)) from None


NO_SITE_FILE: Final = SiteFile()


def _read(text: str, shown: str) -> dict[str, Json]:
    """Raises PolicyError for the first mistake, with its line."""
    if len(text) > MOST_BYTES:
        raise PolicyError(shown, "", f"it is longer than {MOST_BYTES // 1024} KiB", "Keep values here, no files")
    content: Any = parse_yaml(shown, text)
    if not isinstance(content, dict | None):
        raise PolicyError(shown, "", "it is no mapping", "Write one `variable: value` a line")
    values = cast("dict[str, Json]", content or {})
    for path, wrong, mend in _mistakes(values):
        line, _ = locate(text, path)
        raise PolicyError(f"{shown}:{line}", ".".join(path), wrong, mend)
    return values


def _mistakes(values: Mapping[Any, Any]) -> Iterator[tuple[list[str], str, str]]:
    """Place, what is wrong, and its mend."""
    for name, value in values.items():
        if not isinstance(name, str) or not VARIABLE.fullmatch(name):
            yield [str(name)], "this is no variable's name", "Letters, digits and `_`, no digit first"
        elif RESERVED.match(name) or name in MAGIC or name.startswith("ansible_"):
            yield [name], "this name is Ansible's own", "How hosts are reached stands in hosts.yaml and the settings"
        else:
            yield from _in_value([name], value)


def _in_value(path: list[str], value: Any) -> Iterator[tuple[list[str], str, str]]:
    """JSON's types only, and no templates, in keys as well."""
    if isinstance(value, str):
        if is_template(value) or "{#" in value:
            yield path, "values are data, not templates", "Write the value itself, or move the expression to a role"
    elif isinstance(value, dict):
        for key, inner in cast("dict[Any, Any]", value).items():
            if not isinstance(key, str) or is_template(key):
                yield [*path, str(key)], "a key is a text", "Put it in quotes"
            else:
                yield from _in_value([*path, key], inner)
    elif isinstance(value, list):
        for number, inner in enumerate(cast("Sequence[Any]", value)):
            yield from _in_value([*path, str(number)], inner)
    elif not isinstance(value, int | float | None) or (isinstance(value, float) and not math.isfinite(value)):
        yield path, f"{str(value)[:40]!r} is neither text, number, truth, list nor mapping", "Put it in quotes"
