"""What the catalogue says of a program, as frozen types. Read from YAML by entry_file.py, used by grammar.py."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from bot.domain.calls import CallClass

# Weakest first. Harm that is seen outranks doubt: people are asked for both, and told the worse (ADR 10).
RANKS = (
    CallClass.READ,
    CallClass.SENSITIVE_READ,
    CallClass.CHANGE,
    CallClass.UNKNOWN,
    CallClass.DESTROY,
    CallClass.FORBIDDEN,
)


def rank(cls: CallClass) -> int:
    return RANKS.index(cls)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A class and why, as a clause that goes after the command: "removes a namespace and everything in it"."""

    cls: CallClass
    reason: str


class Kind(StrEnum):
    """What an option's value or an operand is."""

    FLAG = "flag"  # an option without a value
    TEXT = "text"  # nothing follows from it
    READS = "reads"  # a file or folder whose content is shown
    WRITES = "writes"  # a file that is created or overwritten
    OUTPUTS = "outputs"  # the same, and harmless in the working folder (terraform plan -out)
    REMOVES = "removes"  # a path that is removed, with what is below it
    SENDS = "sends"  # a file whose content leaves the machine
    EXECUTES = "executes"  # a file, library or program that is loaded and run
    SHELL = "shell"  # a command line for a shell
    REMOTE = "remote"  # words that a shell elsewhere reads again, joined by spaces
    COMMAND = "command"  # a program and its arguments, word by word
    UNTIL = "until"  # the same, up to `;` or `+` (find)
    CODE = "code"  # text in another language
    ASSIGNS = "assigns"  # NAME=value, as env takes it
    IMAGE = "image"  # a container image; one that is named after a program is taken for it
    HOST = "host"  # where a command goes


class Others(StrEnum):
    """Options that the entry does not list."""

    NO = "no"  # the command is not understood
    FLAGS = "flags"  # taken, without a value
    VALUES = "values"  # taken, each with one value
    ANY = "any"  # taken, with every word up to the next option as value


class Style(StrEnum):
    """How a program reads its options."""

    GNU = "gnu"  # -abc, -ofile, -o file, --long=value, --long value, unambiguous beginnings of --long
    GO = "go"  # the same without abbreviations; --flag=true and --flag=false
    SINGLE = "single"  # -long or --long, with =value or value; no clusters (find, terraform, openssl, java)
    NONE = "none"  # every word is an operand (echo, test)


@dataclass(frozen=True, slots=True)
class Option:
    """One option by all its names. `target` is the kind of target that its value names ("context")."""

    names: tuple[str, ...]
    kind: Kind
    attached_only: bool = False
    language: str = ""
    target: str = ""

    @property
    def name(self) -> str:
        """The longest name stands for it."""
        return max(self.names, key=len)


@dataclass(frozen=True, slots=True)
class Slot:
    """A place among the operands. It exists only if one of `given` was given and none of `unless`."""

    kind: Kind
    many: bool = False
    language: str = ""
    given: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()

    def is_there(self, has: Callable[[tuple[str, ...]], bool]) -> bool:
        """Whether it exists, by what says whether one of some options was given."""
        return (not self.given or has(self.given)) and not (self.unless and has(self.unless))


@dataclass(frozen=True, slots=True)
class Condition:
    """An option, with any value or with one that matches (or, negated, does not match) one of the patterns."""

    option: str
    patterns: tuple[str, ...] = ()
    negated: bool = False

    def fits(self, value: str | None, *, unknown: bool) -> bool:
        """Whether it holds for one occurrence; `unknown` is the answer where the value is not known (None)."""
        if not self.patterns:
            return True
        if value is None:
            return unknown
        return any(fnmatchcase(value, pattern) for pattern in self.patterns) != self.negated


@dataclass(frozen=True, slots=True)
class But:
    """What takes the place of the entry's class: any of `given` in every occurrence, none of `absent`, operands alike."""

    judgement: Judgement
    given: tuple[Condition, ...] = ()
    absent: tuple[Condition, ...] = ()
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stdin:
    """Standard input is read as code of `language`: always, without operands, or with one of `given`; not with `unless`."""

    language: str
    always: bool = False
    given: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A program or one of its verbs. Options of an outer level are in `options` only where that level spreads them."""

    name: str
    judgement: Judgement | None = None
    bare: Judgement | None = None
    but: tuple[But, ...] = ()
    raises: tuple[tuple[Condition, Judgement], ...] = ()
    spread_raises: tuple[tuple[Condition, Judgement], ...] = ()
    words: tuple[tuple[str, Judgement], ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict[str, Option])
    helps: frozenset[str] = frozenset()
    others: Others = Others.NO
    operands: tuple[Slot, ...] = ()
    stops: bool = False
    numbers: bool = False
    bundle: bool = False
    verbs: Mapping[str, "Entry"] = field(default_factory=dict[str, "Entry"])
    patterns: tuple[tuple[str, "Entry"], ...] = ()
    verb_after: int = 0
    fold: bool = False
    abbreviate_verbs: bool = False
    stdin: Stdin | None = None
    appends: bool = False
    complete: bool = False
    outermost: bool = False
    network: bool = False
    marker: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """One program. `file` is "policies/commands/kubectl.yaml", which rules are named after."""

    name: str
    file: str
    also: tuple[str, ...]
    style: Style
    abbreviates: bool
    entry: Entry
    environment: frozenset[str] = frozenset()
    match: tuple[tuple[CallClass, str], ...] = ()
    not_match: tuple[tuple[CallClass, str], ...] = ()

    def rule(self, *parts: str) -> str:
        """Such as "policies/commands/zfs.yaml: zpool destroy"; a file named after its program does not name it again."""
        stem = self.file.rsplit("/", 1)[-1].removesuffix(".yaml")
        words = [part for part in parts if part]
        return f"{self.file}: {' '.join(words if stem == self.name and words else [self.name, *words])}"
