"""Scenario files: rules per persona, checked when they are loaded. SCENARIOS.md describes the language."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from deploy.lab.model.templates import FILTERS, names_in

FLAGS = re.IGNORECASE | re.MULTILINE
BUILT_IN = {"result_id", "mission", "persona", "heard", "task"}
SOURCES = re.compile(r"heard|task|result( \w+)?|call \w+|section .+")


class ScenarioError(Exception):
    """A scenario file that cannot be played. The text names the file, the rule and the field."""


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern, FLAGS)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ResultMatch(Strict):
    """A tool result. Everything that is given must fit."""

    tool: str = ""
    status: str | list[str] = ""
    text: Pattern = ""


class When(Strict):
    """The conditions of a rule. All that are given must hold; none given holds always."""

    last: Literal["user", "tool", "assistant"] | None = None
    heard: Pattern = ""
    sections: dict[str, Pattern] = {}
    result: ResultMatch | None = None  # the newest result
    had: list[ResultMatch] = []  # each: the latest result of that tool
    lacks: list[ResultMatch] = []  # none of the results
    called: list[str] = []  # "tool" or "tool regex-over-its-arguments"
    not_called: list[str] = []
    offered: list[str] = []
    matched: dict[str, int] = {}  # rule → at least so often before, in this mission
    not_matched: list[str] = []


class Capture(Strict):
    """A value from the conversation: group 1 of the newest match, or the whole match. Without a default, a rule whose
    capture finds nothing does not apply.
    """

    source: str = Field(alias="from")
    match: Pattern
    default: str | None = None
    all: bool = False  # every match, joined with ", "


class ProposedCall(Strict):
    tool: str
    arguments: dict[str, Any] = {}


class Rule(Strict):
    rule: str
    when: When = When()
    capture: dict[str, Capture] = {}
    say: str = ""
    think: str = ""
    calls: list[ProposedCall] = []
    fault: str = ""  # answer with this fault (see README)
    at_most: int = Field(default=20, ge=1)  # per mission


class Scenario(Strict):
    about: str = ""
    include: str = (
        ""  # a file beside this one: its rules come after the ones here, its values fill what is not set here
    )
    models: list[str] = []  # empty: any name is a model
    values: dict[str, str] = {}
    personas: dict[str, list[Rule]]

    def rules(self) -> Iterator[tuple[str, Rule]]:
        for persona, rules in self.personas.items():
            for rule in rules:
                yield persona, rule


def load(path: Path) -> Scenario:
    """Read and check a scenario file with what it includes. Raises ScenarioError."""
    scenario = _read(path)
    while scenario.include:
        scenario = _joined(scenario, _read(path.with_name(scenario.include)))
    problems = list(_problems(scenario))
    if problems:
        raise ScenarioError("\n".join(f"{path.name}: {problem}" for problem in problems))
    return scenario


def _joined(scenario: Scenario, included: Scenario) -> Scenario:
    names = [*scenario.personas, *(name for name in included.personas if name not in scenario.personas)]
    rules = {name: [*scenario.personas.get(name, []), *included.personas.get(name, [])] for name in names}
    update = {
        "include": included.include,
        "models": scenario.models or included.models,
        "values": included.values | scenario.values,
        "personas": rules,
    }
    return scenario.model_copy(update=update)


def _read(path: Path) -> Scenario:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ScenarioError(f"{path.name}: cannot be read: {error}") from error
    try:
        return Scenario.model_validate(raw)
    except ValidationError as error:
        lines = [f"{path.name}: {_place(raw, part['loc'])}: {part['msg']}" for part in error.errors()]
        raise ScenarioError("\n".join(lines)) from error


def patterns_of(when: When) -> list[str]:
    results = [match for match in (when.result, *when.had) if match is not None]
    return [when.heard, *when.sections.values(), *(match.text for match in results)]


def _place(raw: Any, where: tuple[int | str, ...]) -> str:
    """The field's path, with a rule's name instead of its number."""
    parts: list[str] = []
    for key in where:
        raw = (
            raw[key] if (isinstance(raw, dict) and key in raw) or (isinstance(raw, list) and key != len(raw)) else None
        )
        name = raw.get("rule") if isinstance(raw, dict) and isinstance(key, int) else None
        parts.append(str(name or key))
    return ".".join(parts) or "the file"


def _problems(scenario: Scenario) -> Iterator[str]:
    names: set[str] = set()
    for persona, rule in scenario.rules():
        where = f"personas.{persona}.{rule.rule}"
        if f"{persona}.{rule.rule}" in names:
            yield f"{where}: two rules of this persona have this name"
        names.add(f"{persona}.{rule.rule}")
        if not (rule.say or rule.calls or rule.fault):
            yield f"{where}: no answer (say, calls or fault)"
        for name, capture in rule.capture.items():
            if not SOURCES.fullmatch(capture.source):
                yield f"{where}.capture.{name}.from: {capture.source!r} is none of {SOURCES.pattern}"
        yield from _template_problems(scenario, rule, where)
    for persona, rule in scenario.rules():
        for other in [*rule.when.matched, *rule.when.not_matched]:
            if f"{persona}.{other}" not in names:
                yield f"personas.{persona}.{rule.rule}.when: no rule {other!r} in this persona"


def _template_problems(scenario: Scenario, rule: Rule, where: str) -> Iterator[str]:
    known = BUILT_IN | set(scenario.values) | set(rule.capture)
    for pattern in patterns_of(rule.when):
        known |= set(re.compile(pattern, FLAGS).groupindex)
    fields: dict[str, Any] = {"say": rule.say, "think": rule.think}
    fields |= {f"calls.{number}.arguments": call.arguments for number, call in enumerate(rule.calls)}
    pending = [(field, slot) for field, template in fields.items() for slot in names_in(template)]
    visited: set[str] = set()
    for field, (name, wanted) in pending:  # grows while values name further values
        if wanted and wanted not in FILTERS:
            yield f"{where}.{field}: no filter {wanted!r}; there are {', '.join(sorted(FILTERS))}"
        if name not in known and not name.startswith("result_id."):
            yield f"{where}.{field}: unknown name {name!r}; known here: {', '.join(sorted(known))}"
        if name in scenario.values and name not in visited:
            visited.add(name)
            pending.extend((field, slot) for slot in names_in(scenario.values[name]))
