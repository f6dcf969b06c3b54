"""What a scanner says and what it weighs: checkov's report, the house's rules, findings. Pure but for reading the rules."""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, cast

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from bot.domain.contract import SEVERITIES, Severity
from bot.domain.ids import Json

NOT_UNDERSTOOD: Final = "file-not-understood"
INSTANCE: Final = re.compile(r"""\[(?:\d+|"(?:[^"\\]|\\.)*")\]""")  # ["web"] or [0] in an address


class ScanError(Exception):
    """The scanner gave no usable answer. Never a pass."""


class Result(BaseModel):
    """One check on one resource. `file` is relative to what was scanned."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    rule: str
    name: str
    resource: str
    outcome: Literal["PASSED", "FAILED", "SKIPPED", "UNKNOWN"]
    file: str
    line: int


class Part(BaseModel):
    """What one framework of checkov said. `broken`: files that it could not read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    framework: Literal["terraform_plan", "terraform", "secrets"]
    results: tuple[Result, ...]
    broken: tuple[str, ...]


class Report(BaseModel):
    """What tools/scan_checkov.py prints."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    version: str
    parts: tuple[Part, ...]

    @classmethod
    def read(cls, output: str) -> "Report":
        """Raises ScanError where this is no report."""
        try:
            return cls.model_validate_json(output)
        except ValidationError as error:
            raise ScanError(f"checkov gave no report: {output[-300:] or 'it said nothing'}") from error

    def part(self, framework: str) -> Part:
        """Raises ScanError where this framework did not run."""
        found = next((part for part in self.parts if part.framework == framework), None)
        if found is None:
            raise ScanError(f"checkov did not run its framework {framework}")
        return found


@dataclass(frozen=True, slots=True)
class Rule:
    """One of the house's checks. `attributes`: the paths it looks at; `*` stands for every item of a list."""

    id: str
    name: str
    types: frozenset[str]
    attributes: tuple[tuple[str, ...], ...]


class SeveritiesFile(BaseModel):
    """policies/scan/severities.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    default: Severity
    rules: dict[str, Severity] = {}

    def of(self, rule: str) -> Severity:
        return self.rules.get(rule, self.default)


@dataclass(frozen=True, slots=True)
class Rules:
    """`digest` names exactly these rules."""

    checks: tuple[Rule, ...]
    severities: SeveritiesFile
    digest: str


@dataclass(frozen=True, slots=True)
class Found:
    """One risk. `file` and `line` where the code says it, if that is known."""

    rule: str
    resource: str
    severity: Severity
    text: str
    file: str = ""
    line: int = 0

    @property
    def fingerprint(self) -> str:
        """The same as of a verdict's finding (rule 18)."""
        return hashlib.sha256(f"{self.rule}|{self.resource}".encode()).hexdigest()[:12]

    def as_json(self) -> Json:
        return {
            "rule": self.rule, "resource": self.resource, "severity": self.severity, "text": self.text,
            "file": self.file, "line": self.line, "fingerprint": self.fingerprint,
        }  # fmt: skip

    def __str__(self) -> str:
        where = f" ({self.file}:{self.line})" if self.line else ""
        return f"{self.severity} {self.rule} {self.resource}: {self.text}{where}"


def read_rules(folder: Path) -> Rules:
    """checks/*.yaml and severities.yaml. Raises ScanError that names the file."""
    contents = {path: path.read_bytes() for path in (folder / "severities.yaml", *sorted(folder.glob("checks/*.yaml")))}
    checks: list[Rule] = []
    severities: SeveritiesFile | None = None
    for path, content in contents.items():
        try:
            plain = yaml.safe_load(content)
            if path.name == "severities.yaml":
                severities = SeveritiesFile.model_validate(plain)
            else:
                checks.append(_rule(plain))
        except (yaml.YAMLError, ValidationError, KeyError, TypeError) as error:
            raise ScanError(f"{path.name} of the scan's rules is wrong: {error}") from error
    if severities is None or not checks:
        raise ScanError(f"there are no rules in {folder}")
    each = (f"{path.name} {hashlib.sha256(content).hexdigest()}" for path, content in contents.items())
    return Rules(tuple(checks), severities, hashlib.sha256("\n".join(each).encode()).hexdigest())


def _rule(plain: Any) -> Rule:
    conditions = list(_conditions(plain["definition"]))
    types = frozenset(str(name) for condition in conditions for name in condition["resource_types"])
    paths = tuple(tuple(str(c["attribute"]).replace("[*]", ".*").split(".")) for c in conditions)
    return Rule(str(plain["metadata"]["id"]), str(plain["metadata"]["name"]), types, paths)


def _conditions(definition: Any) -> Iterator[dict[str, Any]]:
    """The single conditions of a check, out of its `and`, `or` and `not`."""
    if isinstance(definition, list):
        for inner in cast("list[Any]", definition):
            yield from _conditions(inner)
    elif "cond_type" in definition:
        yield definition
    else:
        for inner in definition.values():
            yield from _conditions(inner)


def judge_plan(
    part: Part, rules: Rules, planned: Mapping[str, str], unknown: Mapping[str, Collection[tuple[str, ...]]]
) -> list[Found]:
    """What the plan does wrong. `planned`: address → type of each resource there will be; `unknown`: by address the
    paths whose values come only with the apply. Each rule has its say on each resource: what checkov could not judge
    is a finding too. Raises ScanError where checkov did not read the plan.
    """
    if part.broken:
        raise ScanError("checkov could not read the plan")
    found = _failed(part, rules)
    said = {(result.rule, result.resource) for result in part.results}
    wanted = [(rule, address) for rule in rules.checks for address, kind in planned.items() if kind in rule.types]
    if wanted and not any((rule.id, address) in said for rule, address in wanted):
        raise ScanError("checkov looked at no resource of the plan")
    for rule, address in wanted:
        hidden = any(_hides(known, path) for path in rule.attributes for known in unknown.get(address, ()))
        if (rule.id, address) not in said or (hidden and (rule.id, address) not in found):
            text = f"{rule.name}: cannot be judged before the apply; write plain values"
            found[rule.id, address] = Found(rule.id, address, rules.severities.of(rule.id), text)
    return list(found.values())


def _hides(known: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """True where something above `path` is unknown as a whole: a block that may or may not be there."""
    return len(known) < len(path) and path[: len(known)] == known


def judge_code(part: Part, rules: Rules) -> list[Found]:
    """What the code does wrong, and the files that could not be read."""
    severity = rules.severities.of(NOT_UNDERSTOOD)
    text = "the scanner cannot read this file, so nothing in it was checked"
    broken = [Found(NOT_UNDERSTOOD, path, severity, text, path, 1) for path in part.broken]
    return [*broken, *_failed(part, rules).values()]


def locate(found: Sequence[Found], code: Part) -> list[Found]:
    """Findings of the plan with the place in the code, where the code's resource has the same address."""
    places = {base_address(result.resource): (result.file, result.line) for result in code.results}
    nowhere = ("", 0)
    return [
        replace(one, file=file, line=line)
        for one in found
        for file, line in [places.get(base_address(one.resource), nowhere)]
    ]


def base_address(address: str) -> str:
    """`module.a.type.name["x"]` → `module.a.type.name`: the block that it is written in."""
    return INSTANCE.sub("", address)


def worst_first(found: Sequence[Found]) -> list[Found]:
    """One per fingerprint, the most severe first."""
    kept: dict[str, Found] = {}
    for one in sorted(found, key=lambda one: (-SEVERITIES.index(one.severity), one.rule, one.resource)):
        kept.setdefault(one.fingerprint, one)
    return list(kept.values())


def _failed(part: Part, rules: Rules) -> dict[tuple[str, str], Found]:
    """What failed, and what was skipped: only people in Slack decide that a rule does not count."""
    return {
        (result.rule, result.resource): Found(
            result.rule, result.resource, rules.severities.of(result.rule), result.name, result.file, result.line
        )
        for result in part.results
        if result.outcome != "PASSED"
    }
