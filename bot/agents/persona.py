"""Personas: data in personas/*.md, a YAML header and a prompt, parsed and cross-checked at load."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.domain.ids import PersonaName

FENCE = "---\n"


class PersonaError(Exception):
    """A persona file cannot be used. The text names the file, the field and the mend."""


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """`steps` model calls in one turn; `answer_tokens` of one answer; `context_tokens` of one request."""

    steps: int
    answer_tokens: int
    context_tokens: int


@dataclass(frozen=True, slots=True)
class Persona:
    name: PersonaName
    title: str
    role: str
    emoji: str
    model: str
    fallback: str
    tools: tuple[str, ...]
    limits: TurnLimits
    prompt: str


class _Limits(BaseModel):
    model_config = ConfigDict(extra="forbid")
    steps: Annotated[int, Field(gt=0, le=200)] = 30
    answer_tokens: Annotated[int, Field(ge=256, le=64_000)] = 4096
    context_tokens: Annotated[int, Field(ge=4000, le=200_000)] = 16_000


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=2, max_length=30)]
    role: Annotated[str, Field(min_length=3, max_length=200)]
    emoji: Annotated[str, Field(pattern=r"^:[a-z0-9_+-]+:$")]
    model: str
    fallback: str = ""
    tools: list[str]
    limits: _Limits = _Limits()


def load_personas(
    folder: Path, *, tools: Collection[str] | None, models: Collection[str] | None, model: str = ""
) -> dict[PersonaName, Persona]:
    """Every persona of `folder` by file name. `model` replaces each persona's own, if given. None leaves a check out.

    Raises PersonaError for an unknown tool or model, naming file and field.
    """
    files = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    if not files:
        raise PersonaError(f"{folder}: no persona files. Each is <name>.md with a YAML header and a prompt")
    return {PersonaName(path.stem): _persona(path, tools, models, model) for path in files}


def _persona(path: Path, tools: Collection[str] | None, models: Collection[str] | None, model: str) -> Persona:
    header, prompt = _parts(path)
    for tool in header.tools:
        if tools is not None and tool not in tools:
            raise PersonaError(f"{path.name}: tools: there is no tool '{tool}'. Known: {', '.join(sorted(tools))}")
    for field, value in (("model", model or header.model), ("fallback", header.fallback)):
        if models is not None and value and value not in models:
            known = ", ".join(sorted(models))
            raise PersonaError(f"{path.name}: {field}: no price for '{value}' in prices.yaml. Known: {known}")
    first = f"# You are {header.name}"
    if not prompt.startswith(first):
        raise PersonaError(f"{path.name}: prompt: its first line has to be '{first}'")
    limits = TurnLimits(header.limits.steps, header.limits.answer_tokens, header.limits.context_tokens)
    return Persona(
        name=PersonaName(path.stem),
        title=header.name,
        role=header.role,
        emoji=header.emoji,
        model=model or header.model,
        fallback="" if model else header.fallback,
        tools=tuple(header.tools),
        limits=limits,
        prompt=prompt,
    )


def _parts(path: Path) -> tuple[_Header, str]:
    text = path.read_text(encoding="utf-8")
    pieces = text.split(FENCE, 2)
    if len(pieces) != 3 or pieces[0]:
        raise PersonaError(f"{path.name}: begin with a YAML header between two lines of '---', then the prompt")
    try:
        raw: Any = yaml.safe_load(pieces[1])
        return _Header.model_validate(raw), pieces[2].strip() + "\n"
    except yaml.YAMLError as error:
        raise PersonaError(f"{path.name}: header: not YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "header"
        raise PersonaError(f"{path.name}: {field}: {first['msg']}") from error
