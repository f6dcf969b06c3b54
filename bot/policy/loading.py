"""Reading policy files: the edge where text becomes types. Every error names file, field and mend."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from bot.policy.authorise import Authoriser
from bot.policy.blast import QuorumsFile
from bot.policy.commands.classify import Classifier
from bot.policy.commands.loading import PROOF, load_classifier
from bot.policy.environments import PRODUCTION, EnvironmentMap, EnvironmentsFile
from bot.policy.limits import Limits, LimitsFile
from bot.policy.maintenance import Maintenance, MaintenanceFile
from bot.policy.people import PeopleFile, Roster, check_approvers
from bot.policy.problems import PolicyError
from bot.policy.secret_bindings import BoundSecrets, SecretsFile, SecretValues
from bot.policy.standards import StandardsFile
from bot.policy.threat import ThreatFile, ThreatModel
from bot.policy.yaml_files import read_bytes, read_text, shown, validate

File = TypeVar("File", bound=BaseModel)

SCHEMA = "schema.cedarschema"
# What decides whether something may run. people.yaml and maintenance.yaml are not among them: people are read again at
# every click, the calendar at every call and before every execution.
DECIDING = (
    *("*.cedar", SCHEMA, "environments.yaml", "threat_model.yaml", "ansible.yaml", "commands/*.yaml"),
    "secrets.yaml",
    "quorums.yaml",
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
    quorums: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def load_policies(
    folder: Path, *, people: Path | None = None, environments: Path | None = None, data: Path | None = None
) -> Policies:
    """Everything under `folder`, checked file by file and against each other. Raises PolicyError.

    `people` and `environments` stand in for the folder's own files; `data` is where is kept what was proved once.
    """
    people_path = people or folder / "people.yaml"
    environments_path = environments or folder / "environments.yaml"
    authoriser, known = read_authoriser(folder, environments_path)
    version = authoriser.version
    threat = read_yaml(folder / "threat_model.yaml", ThreatFile).typed()
    limits = read_yaml(folder / "limits.yaml", LimitsFile).typed()
    standards = read_yaml(folder / "standards.yaml", StandardsFile).typed()
    _check_environments(authoriser, known, threat, folder.name)
    roster = read_people(people_path)
    warnings = check_approvers(roster, authoriser.terms_in(PRODUCTION), PRODUCTION, str(people_path))
    commands = load_classifier(folder / "commands", data / PROOF if data else None)
    quorums = _read_quorums(folder / "quorums.yaml")
    _check_windows(read_maintenance(folder), known, folder.name)
    return Policies(authoriser, known, threat, limits, standards, roster, version, commands, quorums, warnings)


def read_secrets(folder: Path, values: Path | None) -> BoundSecrets:
    """secrets.yaml, and the operator's file of values where there is one. Raises PolicyError."""
    path = folder / "secrets.yaml"
    bindings = read_yaml(path, SecretsFile).secrets if path.exists() else {}
    if values is None:
        return BoundSecrets(bindings)
    if values.exists() and values.stat().st_mode & 0o077:
        raise PolicyError(str(values), "", "others may read it", f"chmod 600 {values}")
    mend = "Write `secrets:` with one `name: value` per line; a value has at least 6 characters"
    found = read_yaml(values, SecretValues, mend).secrets
    if loose := sorted(found.keys() - bindings.keys()):
        raise PolicyError(str(values), loose[0], "it is bound to nothing", "Bind it in policies/secrets.yaml")
    return BoundSecrets(bindings, found)


def read_authoriser(folder: Path, environments: Path | None = None) -> tuple[Authoriser, EnvironmentMap]:
    """What decides over calls, without the people who approve them. Raises PolicyError."""
    path = environments or folder / "environments.yaml"
    cedar = {f"policies/{file.name}": read_text(file) for file in sorted(folder.glob("*.cedar"))}
    return Authoriser(read_text(folder / SCHEMA), cedar, version_of(folder, path)), read_environments(path)


def read_people(path: Path) -> Roster:
    """people.yaml as it is now."""
    mend = "Write `people:` with one line per person: U0123456789: {name: bo, roles: [approver]}"
    return read_yaml(path, PeopleFile, mend).typed()


def read_environments(path: Path) -> EnvironmentMap:
    """environments.yaml as it is now. Raises PolicyError, also where a member's environment is not ordered."""
    file = read_yaml(path, EnvironmentsFile)
    for name in file.members:
        if name not in file.order:
            raise PolicyError(shown(path), f"members.{name}", "this environment is not in `order`", "Add it there")
    return file.typed()


def read_maintenance(folder: Path) -> Maintenance:
    """maintenance.yaml as it is now; nothing to keep where there is none. Raises PolicyError."""
    path = folder / "maintenance.yaml"
    return read_yaml(path, MaintenanceFile).typed() if path.exists() else Maintenance()


def _read_quorums(path: Path) -> tuple[str, ...]:
    return tuple(dict.fromkeys(read_yaml(path, QuorumsFile).groups)) if path.exists() else ()


def _check_windows(maintenance: Maintenance, known: EnvironmentMap, folder: str) -> None:
    for name in maintenance.windows:
        if name not in known.order:
            order = ", ".join(known.order)
            raise PolicyError(
                f"{folder}/maintenance.yaml", f"windows.{name}", "there is no such environment", f"Known: {order}"
            )


def version_of(folder: Path, environments: Path | None = None) -> str:
    """SHA-256 over the names and bytes of every file that decides whether something may run."""
    files = {path.relative_to(folder).as_posix(): path for pattern in DECIDING for path in folder.glob(pattern)}
    if environments is not None:
        files["environments.yaml"] = environments
    whole = hashlib.sha256()
    for name, path in sorted(files.items()):
        whole.update(f"{name}\0{hashlib.sha256(read_bytes(path)).hexdigest()}\n".encode())
    return whole.hexdigest()


def read_yaml(path: Path, model: type[File], mend: str = "") -> File:
    """One file as its model. Raises PolicyError with file, line, field and mend."""
    return validate(shown(path), read_text(path), model, mend)


def _check_environments(authoriser: Authoriser, known: EnvironmentMap, threat: ThreatModel, folder: str) -> None:
    order = ", ".join(known.order)
    for name in sorted(authoriser.named("Environment") - set(known.order)):
        raise PolicyError(
            f"{folder}/*.cedar", f'Environment::"{name}"', "there is no such environment", f"Known: {order}"
        )
    named = {*threat.blocks_from, *(environment for _, environment in threat.accepted)}
    for name in sorted(named - set(known.order)):
        raise PolicyError(f"{folder}/threat_model.yaml", name, "there is no such environment", f"Known: {order}")
