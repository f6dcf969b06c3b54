"""A command line as it was understood: words, redirects, simple commands and how they hang together."""

import shlex
from dataclasses import dataclass, replace

from bot.domain.calls import CallClass

# Stands in a word for what is only known when the command runs. It cannot be in the input: the byte check refuses it.
HOLE = "\ufffc"
# Whatever lies below a folder: told by the places that are there, not by names that files anywhere might have.
BELOW = HOLE * 2
WILD = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Word:
    """One word after quotes are taken off.

    `shell` is the same word quoted again for a shell; globs and a leading tilde stay bare in it. `fed`: the hole in it
    is what another command wrote (xargs). `computed`: what it holds is the output of a command or a variable.
    """

    text: str
    shell: str
    glob: bool = False
    tilde: bool = False
    fed: bool = False

    @classmethod
    def of(cls, text: str) -> "Word":
        return cls(text, shlex.quote(text))

    @property
    def known(self) -> bool:
        """Whether it is exactly `text` when it runs."""
        return HOLE not in self.text and not self.glob

    @property
    def may_be_option(self) -> bool:
        """Whether what it becomes could begin with a dash though it is not written so."""
        return self.text[:1] == HOLE or (self.glob and self.text[:1] in WILD)


@dataclass(frozen=True, slots=True)
class Redirect:
    """`<`, `>`, `>>` … with a file, or a copied or closed file descriptor (`target` is None)."""

    operator: str
    target: Word | None
    shell: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a command line, or a part of it, is more than its commands say."""

    cls: CallClass
    rule: str
    reason: str
    segment: str


@dataclass(frozen=True, slots=True)
class Simple:
    """One simple command. `feeds` are the commands before it in its pipeline; `stdin` is text given to it in place."""

    words: tuple[Word, ...]
    assigns: tuple[tuple[str, Word], ...] = ()
    redirects: tuple[Redirect, ...] = ()
    feeds: tuple["Simple", ...] = ()
    stdin: Word | None = None

    @property
    def shell(self) -> str:
        """The command quoted again."""
        parts = [*(f"{name}={word.shell}" for name, word in self.assigns), *(word.shell for word in self.words)]
        return " ".join([*parts, *(redirect.shell for redirect in self.redirects)])

    @property
    def shown(self) -> str:
        """For people: as `shell`, with holes shown."""
        return self.shell.replace(HOLE, "…")

    def without_stdin_of(self, original: "Simple") -> "Simple":
        """The command with the feeds and stdin that `original` has."""
        return replace(self, feeds=original.feeds, stdin=original.stdin)

    def with_words(self, words: tuple[Word, ...]) -> "Simple":
        return replace(self, words=words)


@dataclass(frozen=True, slots=True)
class Line:
    """What was read. `order` lists commands by number and what stands between them: (0, "|", 1, "&&", "!", 2)."""

    commands: tuple[Simple, ...] = ()
    order: tuple[int | str, ...] = ()
    doubts: tuple[Doubt, ...] = ()

    def requoted(self, commands: tuple[Simple, ...]) -> str:
        """The line with `commands` in the places of its own."""
        parts = [commands[part].shell if isinstance(part, int) else part for part in self.order]
        return " ".join(parts).replace(" ;", ";")


@dataclass(frozen=True, slots=True)
class Judged:
    """A command line as it may be run: `text` quoted again, `plain` where all of it was understood."""

    line: Line
    commands: tuple[Simple, ...]

    @property
    def plain(self) -> bool:
        return not self.line.doubts

    @property
    def text(self) -> str:
        return self.line.requoted(self.commands)
