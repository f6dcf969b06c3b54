"""policies/commands/*.yaml as written: the edge where an entry becomes types."""

from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from bot.domain.calls import CallClass
from bot.policy.commands.entries import Judgement, Others, Style

CLASS = Literal["read", "sensitive-read", "change", "destroy", "forbidden", "unknown"]
SLOT = (
    r"^(text|reads|writes|outputs|removes|sends|executes|shell|remote|command|assigns|host|image|code:[a-z]+)(\.\.\.)?"
    r"( (with|unless)( [^ ]+)+)?$"
)


def _judged(value: object) -> object:
    """[class, reason]; a comma in the reason makes more parts of it."""
    if isinstance(value, dict):
        return cast("object", value)
    parts = [str(part) for part in cast("list[object]", value)] if isinstance(value, list) else []
    if len(parts) < 2:  # class and reason
        raise ValueError("write [class, reason]")
    return {"cls": parts[0], "reason": ", ".join(parts[1:])}


def _listed(value: object) -> object:
    """Words apart by spaces, or a list: "-a,--all -b" and [x, y]."""
    return value.split() if isinstance(value, str) else value


Words = Annotated[list[str], BeforeValidator(_listed)]


class JudgementFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    cls: CLASS
    reason: Annotated[str, StringConstraints(min_length=3, max_length=160)]

    def typed(self) -> Judgement:
        return Judgement(CallClass(self.cls), self.reason)


def judged(written: JudgementFile | None) -> Judgement | None:
    return None if written is None else written.typed()


Judged = Annotated[JudgementFile, BeforeValidator(_judged)]


class ButFile(BaseModel):
    """`with`: any of these conditions, in every occurrence of its option. `without`: none of them. `only`: each operand
    matches one of these globs. All that are written must hold.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    given: Annotated[Words, Field(alias="with")] = []
    absent: Annotated[Words, Field(alias="without")] = []
    only: Words = []
    judged: Annotated[Judged, Field(alias="is")]

    @model_validator(mode="after")
    def _has_condition(self) -> "ButFile":
        if not (self.given or self.absent or self.only):
            raise ValueError("write what it depends on: with, without or only")
        return self


class StdinFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    code: str
    always: bool = False
    given: Annotated[Words, Field(alias="with")] = []
    unless: Words = []


def _entry(value: object) -> object:
    """A verb's short form: [class, reason]."""
    return {"is": cast("object", value)} if isinstance(value, list) else value


class EntryFile(BaseModel):
    """A program or a verb. README.md beside the files says what each key means."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    judged: Annotated[Judged | None, Field(alias="is")] = None
    bare: Judged | None = None
    but: list[ButFile] = []
    raises: dict[str, Judged] = {}
    words: dict[str, Judged] = {}
    flags: Words = []
    values: Words = []
    optional: Words = []
    reads: Words = []
    writes: Words = []
    outputs: Words = []
    removes: Words = []
    sends: Words = []
    executes: Words = []
    shell: Words = []
    command: Words = []
    until: Words = []
    hosts: Words = []
    code: dict[str, Words] = {}
    names: dict[str, Words] = {}
    helps: Words = []
    others: Others | None = None
    operands: Annotated[list[Annotated[str, StringConstraints(pattern=SLOT)]], BeforeValidator(lambda v: [v] if isinstance(v, str) else v)] | None = None  # fmt: skip
    stops: bool = False
    spread: bool = False
    numbers: bool = False
    bundle: bool = False
    verbs: dict[str, Annotated["EntryFile", BeforeValidator(_entry)]] = {}
    verb_after: Annotated[int, Field(ge=0, le=3)] = 0
    fold: bool = False
    abbreviate_verbs: bool = False
    stdin: StdinFile | None = None
    appends: bool = False
    marker: Words = []
    network: bool = False
    complete: bool = False
    outermost: bool = False

    @model_validator(mode="after")
    def _decides(self) -> "EntryFile":
        if self.judged is None and not self.verbs and self.bare is None:
            raise ValueError("it says no class: write `is: [class, reason]` or `verbs`")
        return self


Examples = dict[CLASS, Annotated[list[str], Field(min_length=1)]]


class ProgramFile(EntryFile):
    """A program: an entry with its names, its style of options and the examples that are verified at load."""

    also: Words = []
    style: Style = Style.GNU
    abbreviates: bool | None = None
    environment: Words = []
    match: Annotated[Examples, Field(min_length=1)]
    not_match: Examples = {}

    @model_validator(mode="after")
    def _shows_what_is_no_read(self) -> "ProgramFile":
        if CallClass.READ in self.match and CallClass.READ not in self.not_match:
            raise ValueError("not_match has no `read`: show a command that looks like its reads and is none")
        return self


def as_programs(content: Any) -> dict[str, ProgramFile]:
    """For type checkers: what a catalogue file's root holds."""
    return dict(content)
