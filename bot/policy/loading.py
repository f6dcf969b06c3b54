"""Reading policy files: the edge where text becomes types. Every error names file, field and mend."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from bot.policy.authorise import Authoriser
from bot.policy.commands.classify import Classifier
from bot.policy.commands.loading import load_classifier
from bot.policy.environments import PRODUCTION, EnvironmentMap, EnvironmentsFile
from bot.policy.limits import Limits, LimitsFile
from bot.policy.people import PeopleFile, Roster, check_approvers
from bot.policy.problems import PolicyError
from bot.policy.secret_bindings import BoundSecrets, SecretsFile, SecretValues
from bot.policy.standards import StandardsFile
from bot.policy.threat import ThreatFile, ThreatModel

File = TypeVar("File", bound=BaseModel)

SCHEMA = "schema.cedarschema"
# What decides whether something may run. people.yaml is not among them: it is read again at every click.
DECIDING = (
    *("*.cedar", SCHEMA, "environments.yaml", "threat_model.yaml", "ansible.yaml", "commands/*.yaml"),
    "secrets.yaml",
)


@dataclass(frozen=True, slots=True)
class Policies:
    """Every policy of a deployment, read once. `people` is what people.yaml said at that time."""

    authoriser: Authoriser
    environments: EnvironmentMap
    threat: ThreatModel
    limits: Limits
    standards: Mapping[str, str]
    people: Roster
    version: str
    commands: Classifier
    warnings: tuple[str, ...] = ()


def load_policies(folder: Path, *, people: Path | None = None, environments: Path | None = None) -> Policies:
    """Everything under `folder`, checked file by file and against each other. Raises PolicyError.

    `people` and `environments` stand in for the folder's own files.
    """
    people_path = people or folder / "people.yaml"
    environments_path = environments or folder / "environments.yaml"
    authoriser, known = read_authoriser(folder, environments_path)
    version = authoriser.version
    threat = _read(folder / "threat_model.yaml", ThreatFile).typed()
    limits = _read(folder / "limits.yaml", LimitsFile).typed()
    standards = _read(folder / "standards.yaml", StandardsFile).typed()
    _check_environments(authoriser, known, threat, folder.name)
    roster = read_people(people_path)
    warnings = check_approvers(roster, authoriser.terms_in(PRODUCTION), PRODUCTION, str(people_path))
    commands = load_classifier(folder / "commands")
    return Policies(authoriser, known, threat, limits, standards, roster, version, commands, warnings)


def read_secrets(folder: Path, values: Path | None) -> BoundSecrets:
    """secrets.yaml, and the operator's file of values where there is one. Raises PolicyError."""
    path = folder / "secrets.yaml"
    bindings = _read(path, SecretsFile).secrets if path.exists() else {}
    if values is None:
        return BoundSecrets(bindings)
    if values.exists() and values.stat().st_mode & 0o077:
        raise PolicyError(str(values), "", "others may read it", f"chmod 600 {values}")
    mend = "Write `secrets:` with one `name: value` per line; a value has at least 6 characters"
    found = _read(values, SecretValues, mend).secrets
    if loose := sorted(found.keys() - bindings.keys()):
        raise PolicyError(str(values), loose[0], "it is bound to nothing", "Bind it in policies/secrets.yaml")
    return BoundSecrets(bindings, found)


def read_authoriser(folder: Path, environments: Path | None = None) -> tuple[Authoriser, EnvironmentMap]:
    """What decides over calls, without the people who approve them. Raises PolicyError."""
    path = environments or folder / "environments.yaml"
    cedar = {f"policies/{file.name}": _text(file) for file in sorted(folder.glob("*.cedar"))}
    return Authoriser(_text(folder / SCHEMA), cedar, version_of(folder, path)), read_environments(path)


def read_yaml(path: Path, model: type[File], mend: str = "") -> File:
    """One file as its model. Raises PolicyError with file, field and mend."""
    return _read(path, model, mend)


def read_people(path: Path) -> Roster:
    """people.yaml as it is now."""
    mend = "Write `people:` with one line per person: U0123456789: {name: bo, roles: [approver]}"
    return _read(path, PeopleFile, mend).typed()


def read_environments(path: Path) -> EnvironmentMap:
    """environments.yaml as it is now. Raises PolicyError, also where a member's environment is not ordered."""
    file = _read(path, EnvironmentsFile)
    for name in file.members:
        if name not in file.order:
            raise PolicyError(_shown(path), f"members.{name}", "this environment is not in `order`", "Add it there")
    return file.typed()


def version_of(folder: Path, environments: Path | None = None) -> str:
    """SHA-256 over the names and bytes of every file that decides whether something may run."""
    files = {path.relative_to(folder).as_posix(): path for pattern in DECIDING for path in folder.glob(pattern)}
    if environments is not None:
        files["environments.yaml"] = environments
    whole = hashlib.sha256()
    for name, path in sorted(files.items()):
        whole.update(f"{name}\0{hashlib.sha256(_bytes(path)).hexdigest()}\n".encode())
    return whole.hexdigest()


def _read(path: Path, model: type[File], mend: str = "") -> File:
    try:
        content = yaml.load(_text(path), _StrictLoader)  # noqa: S506 # a SafeLoader that refuses a key twice
    except yaml.YAMLError as error:
        raise PolicyError(
            _shown(path), "", f"this is no YAML: {_line(error)}", "Mend the line, or restore the file"
        ) from error
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise PolicyError(_shown(path), field, first["msg"], mend or _mend(first["type"], model)) from error


def _check_environments(authoriser: Authoriser, known: EnvironmentMap, threat: ThreatModel, folder: str) -> None:
    order = ", ".join(known.order)
    for name in sorted(authoriser.named("Environment") - set(known.order)):
        raise PolicyError(
            f"{folder}/*.cedar", f'Environment::"{name}"', "there is no such environment", f"Known: {order}"
        )
    named = {*threat.blocks_from, *(environment for _, environment in threat.accepted)}
    for name in sorted(named - set(known.order)):
        raise PolicyError(f"{folder}/threat_model.yaml", name, "there is no such environment", f"Known: {order}")


def _mend(kind: str, model: type[BaseModel]) -> str:
    if kind == "extra_forbidden":
        return f"Remove it. Known at the top: {', '.join(model.model_fields)}"
    return "Add it" if kind == "missing" else "Correct it"


def _line(error: yaml.YAMLError) -> str:
    return " ".join(str(error).split())


def _shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode()
    except UnicodeDecodeError as error:
        raise PolicyError(_shown(path), "", "this is not UTF-8", "Save the file as UTF-8") from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        wrong = f"it cannot be read ({error.strerror})"
        raise PolicyError(
            str(path), "", wrong, "Restore it, or point WATCHBILL_POLICIES at the right folder"
        ) from error


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice: YAML would silently keep the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 # yaml's signature
        keys = [key.value for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)
