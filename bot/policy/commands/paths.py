"""What follows from reading, writing or removing a path, by the facts of policies/commands/facts.yaml."""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from bot.policy.commands.entries import Judgement
from bot.policy.commands.facts import Act, Facts
from bot.policy.commands.lines import HOLE, Word

HOMES = r"(?:~[^/]*|/root|/home/[^/]+|/Users/[^/]+|/var/root)"
HOME = re.compile(rf"^{HOMES}(?=/|$)")
ANY = "/**"
WILD_END = re.compile(rf"[*?\[\]{HOLE}]")


@dataclass(frozen=True, slots=True)
class PathRule:
    """A fact's glob, ready to be matched. `head` and `tail` are its literal ends."""

    name: str
    pattern: re.Pattern[str]
    head: str
    tail: str
    base: str
    judgement: Judgement


class PathFacts:
    """The facts by what is done with a path."""

    def __init__(self, facts: Facts) -> None:
        self._sinks = facts.sinks
        self._rules: dict[Act, tuple[PathRule, ...]] = {
            act: tuple(_rules(facts, act)) for act in ("read", "write", "remove")
        }
        self._relative: dict[Act, tuple[PathRule, ...]] = {
            act: tuple(rule for rule in rules if not rule.head) for act, rules in self._rules.items()
        }
        # Most paths meet no fact: one look at all of them is enough to know.
        self._any: dict[Act, re.Pattern[str]] = {
            act: re.compile("|".join(f"(?:{rule.pattern.pattern})" for rule in rules) or "(?!)", re.DOTALL)
            for act, rules in self._rules.items()
        }

    def is_sink(self, word: Word) -> bool:
        """Whether writing there changes nothing."""
        return word.known and (word.text in self._sinks or bool(re.fullmatch(r"/dev/fd/[0-9]+", word.text)))

    def judge(self, act: Act, word: Word, folder: str = "") -> Iterator[tuple[str, Judgement]]:
        """Every fact that the path meets or may meet, by name. `folder` is where relative paths begin, "" if unknown."""
        for path in spelled(word.text, folder):
            for rule in self._met(act, path):
                yield rule.name, rule.judgement

    def _met(self, act: Act, path: str) -> list[PathRule]:
        rules = self._rules[act]
        if self._any[act].fullmatch(path):
            return [rule for rule in rules if rule.pattern.fullmatch(path)]
        wild = _first_wild(path)
        if wild < len(path):
            return [rule for rule in self._below_anywhere(act, path) if _may_meet(path, wild, rule)]
        if act != "remove":
            return []
        above = _homely(f"{path.rstrip('/')}/")
        return [rule for rule in rules if rule.head and rule.head.startswith(above)]

    def _below_anywhere(self, act: Act, path: str) -> tuple[PathRule, ...]:
        """The rules that a path which begins like this could meet: a relative one meets no absolute rule."""
        return self._rules[act] if path[:1] in {"/", "~", HOLE} else self._relative[act]

    def is_own_file(self, word: Word) -> bool:
        """Whether it is a file in or below the folder where the command runs, by a name that is wholly known."""
        path = posixpath.normpath(word.text) if word.text else ""
        return word.known and not word.tilde and path[:1] not in {"", "/"} and path.split("/")[0] != ".."


def spelled(text: str, folder: str = "") -> Iterator[str]:
    """The path without detours, as it would be opened."""
    path = text
    if path[:1] not in {"/", "~"} and folder and not path.startswith(HOLE):
        path = f"{folder}/{path}"
    wild = _first_wild(path)
    if wild < len(path) and ".." in path[wild:]:
        path = path[:wild].rsplit("/", 1)[0] + ANY if not path.startswith("/") else ANY
    elif path:
        path = re.sub(r"^//+", "/", posixpath.normpath(path))
    yield path
    if path.endswith(("/*", f"/{HOLE}")):
        yield path.rsplit("/", 1)[0] or "/"


def _may_meet(path: str, wild: int, rule: PathRule) -> bool:
    """Whether a path that is known only up to `wild` could be one of the rule's."""
    if not _tails_agree(path, rule.tail):
        return False
    if path[:1] not in {"/", "~", HOLE}:  # below a folder that is not known; a glob does not match hidden files
        return _bases_agree(path, rule.base)
    known = _homely(path[:wild])
    if not rule.head:
        return HOLE in path or "*" in path.rpartition("/")[0] or _bases_agree(path, rule.base)
    return rule.head.startswith(known) or any(name.startswith(rule.head) for name in known)


def _bases_agree(path: str, base: str) -> bool:
    """Whether the last part of a wild path could begin as the rule's last part does; hidden files need their dot."""
    last = path.rpartition("/")[2]
    known = last[: _first_wild(last)]
    if base.startswith(".") and not known and last[:1] != HOLE:
        return False
    return base.startswith(known) or known.startswith(base)


def _homely(path: str) -> tuple[str, ...]:
    """The path, and with ~ for the home folder that it begins with."""
    return (path, HOME.sub("~", path))


def _tails_agree(path: str, tail: str) -> bool:
    """Whether a wild path could end as the rule's glob ends."""
    end = WILD_END.split(path)[-1]
    return end.endswith(tail) or tail.endswith(end)


def _first_wild(path: str) -> int:
    found = WILD_END.search(path)
    return found.start() if found else len(path)


def _rules(facts: Facts, act: Act) -> Iterator[PathRule]:
    for fact in facts.paths:
        judgement = fact.acts.get(act)
        if judgement is not None:
            for glob in fact.like:
                yield PathRule(fact.name, _compiled(glob), *_ends(glob), _base(glob), judgement)


def _base(glob: str) -> str:
    last = glob.removesuffix("/**").rpartition("/")[2]
    return re.split(r"[*?\[\]]", last)[0]


def _ends(glob: str) -> tuple[str, str]:
    trimmed = glob.removesuffix("/**")
    parts = re.split(r"[*?\[\]]+", trimmed)
    return parts[0], "" if glob.endswith("**") else parts[-1]


@lru_cache(maxsize=2048)
def _compiled(glob: str) -> re.Pattern[str]:
    """`*` stays within a folder, `**` does not, a trailing `/**` is the folder too, `~` is any home."""
    text, below = (glob[:-3], True) if glob.endswith("/**") and glob != "/**" else (glob, False)
    pattern, at = "", 0
    if text.startswith("~"):
        pattern, at = HOMES, 1
    elif text.startswith("**/"):
        pattern, at = "(?:.*/)?", 3
    while at < len(text):
        if text.startswith("**", at):
            pattern, at = pattern + ".*", at + 2
        elif text[at] == "*":
            pattern, at = pattern + "[^/]*", at + 1
        elif text[at] == "?":
            pattern, at = pattern + "[^/]", at + 1
        else:
            pattern, at = pattern + re.escape(text[at]), at + 1
    return re.compile(pattern + ("(?:/.*)?" if below else ""), re.DOTALL)
