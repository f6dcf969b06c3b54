"""policies/ansible.yaml: which modules there are, which class they have, what may be looked up. Typed."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

from bot.domain.calls import CallClass
from bot.domain.ids import Json

BUILTIN = ("ansible.builtin.", "ansible.legacy.")
Cls = Literal["read", "sensitive-read", "change", "destroy"]


class ModuleRule(BaseModel):
    """`class` of a module; `destroy_if`: argument → values that make it destroy."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    cls: Cls
    destroy_if: dict[str, list[str | bool]] = {}

    def __init__(self, **written: object) -> None:
        super().__init__(**{"cls" if key == "class" else key: value for key, value in written.items()})


class PlaybookPolicy(BaseModel):
    """policies/ansible.yaml as written."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    modules: dict[str, dict[str, Json]]
    commands: frozenset[str]
    lookups: frozenset[str]
    file_lookups: frozenset[str]
    refused_filters: frozenset[str]
    guarded_paths: tuple[str, ...]

    def rule(self, module: str) -> ModuleRule | None:
        written = self.modules.get(short(module))
        return ModuleRule(**written) if written is not None else None

    def guards(self, path: str) -> bool:
        return any(fnmatchcase(path, pattern) for pattern in self.guarded_paths)


def short(name: str) -> str:
    """A builtin's short name; anything else as it is."""
    return next((name.removeprefix(prefix) for prefix in BUILTIN if name.startswith(prefix)), name)


def load_playbook_policy(path: Path) -> PlaybookPolicy:
    """Raises pydantic's ValidationError or ValueError for a file that does not fit: the program does not start."""
    policy = PlaybookPolicy.model_validate(yaml.safe_load(path.read_text()))
    for name in policy.modules:
        policy.rule(name)
    return policy


def raised(rule: ModuleRule, arguments: dict[str, Json]) -> str:
    """Which argument makes a call of the module destroy, as words; "" for none. A value that is only known when the
    playbook runs counts as the worst.
    """
    for name, values in rule.destroy_if.items():
        if name not in arguments:
            continue
        given = arguments[name]
        if isinstance(given, str) and "{{" in given:
            return f"{name} is known only when it runs"
        if given in values or _truth(given) in values:
            return f"{name}: {given}"
    return ""


def _truth(given: Json) -> Json:
    words = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
    return words.get(str(given).lower(), given)


def class_of(rule: ModuleRule) -> CallClass:
    return CallClass(rule.cls)
