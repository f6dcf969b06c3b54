"""Drill files: one misbehaviour of the lab's model, what people do meanwhile, and the bounds that the crew has to keep."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.lab.model.scenario import Pattern, Scenario, ScenarioError, load

# How a mission can come to rest: over, parked, or waiting for people in a way that its card says.
Rest = Literal["done", "partial", "stopped", "parked", "asked", "approval", "waiting"]


class DrillError(Exception):
    """A drill file that cannot be played. The text names the file and the field."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Words(Strict):
    """Something that a person says in the thread, once, when `after` stands there. Several in a row: `lines`."""

    after: Pattern
    by: Literal["ana", "bo", "chris"] = "ana"
    text: str = ""
    lines: list[str] = []


class People(Strict):
    """What people do. By themselves they do nothing: cards and questions wait."""

    approve: bool = False  # bo approves every card
    answer: int | None = None  # ana presses the button of this option, counted from 0, at every question
    says: list[Words] = []


class Bounds(Strict):
    """The most that the mission may take, as the lab's servers count it."""

    turns: int
    calls: int  # of the model
    messages: int  # in the thread, by the crew and the program


class Arranged(Strict):
    """One call of a lab server's control API, made before the request."""

    server: Literal["slack", "model", "proxmox"]
    path: str
    body: dict[str, Any] = {}


class Recorded(Strict):
    """Messages of a real crew's recording that `persona` says, one after the other, before the base's rules answer."""

    persona: Literal["architect", "builder", "sentinel", "qa"]
    log: Annotated[str, Field(pattern=r"^[\w.-]+$")]  # a file of the recordings, without its ending
    messages: list[int]  # their numbers in it


class Drill(Strict):
    name: str
    about: Annotated[str, Field(min_length=30)]
    request: str = "@Architect Please show that both nodes are online and that the cluster has quorum."
    base: str = "two-nodes"  # a scenario of the lab's model: what it plays where it does not misbehave
    values: dict[str, str] = {}
    personas: dict[str, list[dict[str, Any]]] = {}  # rules before the base's own: the misbehaviour
    recorded: Recorded | None = None
    before: list[Arranged] = []
    people: People = People()
    terraform: bool = False  # plans, which takes the estate: such drills play one after the other
    ends: Rest
    question: Pattern = ""  # where it ends parked or asked: what people read then
    sees: list[Pattern] = []  # lines of the thread, in this order
    never: list[Pattern] = []  # in no line of the thread
    unplayed: dict[str, Annotated[str, Field(min_length=20)]] = {}  # own rules that need not come up, and why
    bounds: Bounds


def own_rules(drill: Drill) -> set[str]:
    """The rules that make it this drill and not its base, each as persona.rule."""
    found = {f"{who}.{rule.get('rule')}" for who, rules in drill.personas.items() for rule in rules}
    if drill.recorded is not None:
        found |= {f"{drill.recorded.persona}.recorded-{number}" for number in drill.recorded.messages}
    return found


def read_drills(folder: Path) -> list[Drill]:
    """Every drill of a folder by name. Raises DrillError."""
    drills = [read_drill(path) for path in sorted(folder.glob("*.yaml"))]
    if not drills:
        raise DrillError(f"there is no drill in {folder}")
    return drills


def read_drill(path: Path) -> Drill:
    """Raises DrillError."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        drill = Drill.model_validate({"name": path.stem} | dict(raw))
    except (OSError, yaml.YAMLError, TypeError) as error:
        raise DrillError(f"{path.name}: cannot be read: {error}") from error
    except ValidationError as error:
        lines = (f"{path.name}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise DrillError("\n".join(lines)) from error
    if drill.ends in {"parked", "asked"} and not drill.question:
        raise DrillError(f"{path.name}: question: one that ends {drill.ends} says what people are asked")
    if strange := sorted(drill.unplayed.keys() - own_rules(drill)):
        raise DrillError(f"{path.name}: unplayed.{strange[0]}: the drill has no such rule")
    return drill


def write_scenario(drill: Drill, scenarios: Path, folder: Path, recordings: Path) -> Path:
    """The drill's scenario as a file of its own, checked. Raises DrillError."""
    for path in scenarios.glob("*.yaml"):
        (folder / path.name).write_bytes(path.read_bytes())
    path = folder / f"drill-{drill.name}.yaml"
    personas = {name: list(rules) for name, rules in drill.personas.items()}
    if drill.recorded is not None:
        personas.setdefault(drill.recorded.persona, []).extend(_as_recorded(drill, drill.recorded, recordings))
    raw = {"about": drill.about, "include": f"{drill.base}.yaml", "values": drill.values, "personas": personas}
    path.write_text(yaml.safe_dump(raw, sort_keys=False, allow_unicode=True), encoding="utf-8")
    try:
        scenario: Scenario = load(path)
    except ScenarioError as error:
        raise DrillError(str(error)) from error
    del scenario
    return path


def missing_recording(drill: Drill, recordings: Path) -> str:
    """Why this drill cannot be played here, or ""."""
    if drill.recorded is None or (recordings / f"{drill.recorded.log}.jsonl").is_file():
        return ""
    return f"the recording {drill.recorded.log} is not in {recordings}"


def _as_recorded(drill: Drill, recorded: Recorded, recordings: Path) -> list[dict[str, Any]]:
    """A rule for each message. Raises DrillError where the recording has no such message."""
    path = recordings / f"{recorded.log}.jsonl"
    said = {row["i"]: str(row["content"]) for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    if unknown := [number for number in recorded.messages if number not in said]:
        raise DrillError(f"{drill.name}: recorded.messages: {recorded.log} has no message {unknown[0]}")
    return [
        {"rule": f"recorded-{number}", "at_most": 1, "say": said[number].replace("{{", "{ {")}
        for number in recorded.messages
    ]
