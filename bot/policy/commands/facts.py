"""Facts that hold whichever program meets them (policies/commands/facts.yaml): paths, environment, languages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bot.policy.commands.entries import Judgement
from bot.policy.commands.entry_file import Judged, Words, judged

FILE = "policies/commands/facts.yaml"
Act = Literal["read", "write", "remove"]
PATTERN = Annotated[str, Field(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class PathFact:
    """What follows from reading, writing or removing a path that one of the globs matches."""

    name: str
    like: tuple[str, ...]
    acts: Mapping[Act, Judgement]


@dataclass(frozen=True, slots=True)
class Environment:
    """Names of environment variables, as globs."""

    harmless: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    loads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    paths: tuple[PathFact, ...] = ()
    sinks: frozenset[str] = frozenset()
    environment: Environment = field(default_factory=Environment)
    languages: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


class PathFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    like: Annotated[list[PATTERN], Field(min_length=1)]
    read: Judged | None = None
    write: Judged | None = None
    remove: Judged | None = None


class EnvironmentFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    harmless: Words
    runs: Words
    loads: Words


class LanguageFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    destroys: list[PATTERN]


class FactsFile(BaseModel):
    """facts.yaml as written."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    paths: dict[str, PathFile]
    sinks: Words
    environment: EnvironmentFile
    languages: dict[Annotated[str, Field(pattern="^[a-z]+$")], LanguageFile]

    def typed(self) -> Facts:
        return Facts(
            paths=tuple(PathFact(name, tuple(path.like), _acts(path)) for name, path in self.paths.items()),
            sinks=frozenset(self.sinks),
            environment=Environment(
                tuple(self.environment.harmless), tuple(self.environment.runs), tuple(self.environment.loads)
            ),
            languages={name: tuple(language.destroys) for name, language in self.languages.items()},
        )


def _acts(path: PathFile) -> dict[Act, Judgement]:
    acts: dict[Act, Judgement | None] = {
        "read": judged(path.read),
        "write": judged(path.write),
        "remove": judged(path.remove),
    }
    return {act: judgement for act, judgement in acts.items() if judgement is not None}
