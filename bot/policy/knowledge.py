"""Knowledge of errors: personas/skills/errors/*.md, a header that says which error, then cause, check and mend.

Read at start and proven on the file's own examples. The error's words come from tools and are never shown with it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.policy.problems import PolicyError
from bot.policy.signatures import signature_of

FENCE = "---\n"
LINES = 25  # of a file's text
TEXT = 1800  # characters of it
REMEMBERED = 512  # results whose knowledge is not looked up twice
TITLE = "## Known error"
PARTS = ("Cause:", "Check:", "Mend:")
ENDLESS = 2  # how many * and + a pattern may hold
ESCAPED = re.compile(r"(\\.)|[^\\]+", re.DOTALL)
GROUP_AGAIN = re.compile(r"(?<!\\)\)[*+{]")

LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader  # a quarter of the time for all files

Family = Literal["terraform", "ansible", "proxmox", "kubernetes", "kubeadm", "ssh", "http", "workspace", "scan", "apt",
                 "systemd", "python"]  # fmt: skip
Pattern = Annotated[str, Field(min_length=4, max_length=200)]
Example = Annotated[str, Field(min_length=8, max_length=2000)]


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{2,40}$")]
    patterns: Annotated[list[Pattern], Field(min_length=1, max_length=12)]
    tools: list[Family] = []
    match: Annotated[list[Example], Field(min_length=1, max_length=12)]
    not_match: Annotated[list[Example], Field(min_length=1, max_length=12)]


@dataclass(frozen=True, slots=True)
class Known:
    """One error of which something is known. `families` is empty where it does not matter which tool met it."""

    name: str
    patterns: tuple[re.Pattern[str], ...]
    families: frozenset[str]
    text: str


class Knowledge:
    """Every known error. Where several fit, the one that explains the longest piece of the error."""

    def __init__(self, known: Sequence[Known]) -> None:
        self._known = tuple(known)
        self._texts = {one.name: f"{TITLE}: {one.name}\n{one.text}" for one in known}
        self._told = lru_cache(maxsize=REMEMBERED)(self._look_up)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._texts)

    def fitting(self, core: str, family: str) -> str | None:
        """The name of what is known about an error in its normal form; the first by name where two explain alike."""
        core = core.lower()
        best, longest = None, 0
        for one in self._known:
            if one.families and family not in one.families:
                continue
            length = max((len(found.group()) for p in one.patterns if (found := p.search(core))), default=0)
            if length > longest:
                best, longest = one.name, length
        return best

    def told(self, text: str, tool: str) -> str:
        """What an agent should read beside this output of `tool`, headed "## Known error"; empty if nothing is known."""
        return self._told(text, tool)

    def _look_up(self, text: str, tool: str) -> str:
        name = signature_of(text, tool, self).knowledge
        return self._texts[name] if name else ""


def load_knowledge(personas: Path) -> Knowledge:
    """Every file of `personas`/skills/errors, each proven on its examples among all the others; none is no error.

    Raises PolicyError for the first file that does not fit, naming file and field.
    """
    read = [_read(path) for path in sorted((personas / "skills" / "errors").glob("*.md"))]
    knowledge = Knowledge([known for _, _, known in read])
    for path, header, known in read:
        _prove(path, header, known, knowledge)
    return knowledge


def _read(path: Path) -> tuple[Path, _Header, Known]:
    pieces = _text(path).split(FENCE, 2)
    if len(pieces) != 3 or pieces[0]:
        raise _wrong(
            path, "", "there is no header", "Begin with a YAML header between two lines of '---', then the text"
        )
    try:
        raw: Any = yaml.load(pieces[1], LOADER)  # noqa: S506 # both are safe loaders
        header = _Header.model_validate(raw)
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise _wrong(path, "header", f"this is no YAML: {said}", "Put patterns in single quotes") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "header"
        known = ", ".join(_Header.model_fields)
        raise _wrong(path, field, first["msg"], f"Known fields: {known}") from error
    if header.name != path.stem:
        raise _wrong(path, "name", f"'{header.name}' is not the file's name", f"Write name: {path.stem}")
    patterns = tuple(_pattern(path, number, text) for number, text in enumerate(header.patterns))
    return path, header, Known(header.name, patterns, frozenset(header.tools), _body(path, pieces[2]))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(path, "", f"it cannot be read ({type(error).__name__})", "Restore it, as UTF-8") from error


def _pattern(path: Path, number: int, text: str) -> re.Pattern[str]:
    """Compiled; refused where it could take long on a hostile line or would fit everything."""
    field = f"patterns.{number}"
    try:
        # Lower case on both sides finds in a third of the time that IGNORECASE takes.
        pattern = re.compile(ESCAPED.sub(lambda found: found[1] or found[0].lower(), text))
    except re.error as error:
        raise _wrong(path, field, f"this is no pattern: {error}", "Escape ( ) [ ] . with a backslash") from error
    if pattern.search("") or pattern.search("zq"):
        raise _wrong(path, field, "it fits any error", "Name words that only this error has")
    bare = re.sub(r"\\.|\[[^\]]*\]", "", text)
    if GROUP_AGAIN.search(text) or bare.count("*") + bare.count("+") > ENDLESS or re.search(r",\}", bare):
        raise _wrong(path, field, "its repeats are unbounded", "Write .{0,60} and repeat no group")
    return pattern


def _body(path: Path, text: str) -> str:
    body = text.strip()
    if body.count("\n") >= LINES or len(body) > TEXT:
        raise _wrong(
            path,
            "text",
            f"longer than {LINES} lines or {TEXT} characters",
            "It stands in a model's context: shorten it",
        )
    missing = [part for part in PARTS if not re.search(rf"^{part}", body, re.MULTILINE)]
    if missing:
        raise _wrong(path, "text", f"there is no line that begins with {missing[0]}", f"Write {', '.join(PARTS)}")
    return body


def _prove(path: Path, header: _Header, known: Known, knowledge: Knowledge) -> None:
    tool = min(known.families, default="")
    for number, example in enumerate(header.match):
        found = signature_of(example, tool, knowledge)
        if found.knowledge != header.name:
            other = f"{found.knowledge} fits it" if found.knowledge else "no pattern fits it"
            raise _wrong(path, f"match.{number}", f"{other}; its normal form is: {found.words}", "Mend the pattern")
    for number, example in enumerate(header.not_match):
        found = signature_of(example, tool, knowledge)
        if found.knowledge == header.name:
            raise _wrong(
                path, f"not_match.{number}", f"it fits; its normal form is: {found.words}", "Narrow the pattern"
            )


def _wrong(path: Path, field: str, wrong: str, mend: str) -> PolicyError:
    return PolicyError(f"{path.parent.name}/{path.name}", field, wrong, mend)
