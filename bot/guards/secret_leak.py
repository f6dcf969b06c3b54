"""A secret where people or other agents could read it: in speech, in a task, or in a result that was not redacted."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.ids import EntryId, PersonaName
from bot.domain.log import Logged
from bot.guards.guard import NOTHING, Found, Guard, seen
from bot.policy.placeholders import MARK
from bot.policy.secret_patterns import find_secrets, names_secret

ENVIRONMENT = re.compile(r"^([A-Za-z_][A-Za-z0-9_]{1,80})=(\S.*)$", re.MULTILINE)
DUMP = 8  # lines NAME=value: an environment, no configuration
STAND_IN = re.compile(
    r"(?ix)^(?: [A-Z0-9_]*(?:YOUR|MY)_[A-Z0-9_]* | <[^>]*>? | \$.* | \{\{.* | \(.* | x{3,} | \*{3,} | \.{3,} | … | changeme.*"
    r" | change_me.* | replace.* | example.* | placeholder.* | redacted.* | secret | password | token | true | false | null | none"
    r" | var\..* | lookup\(.* | vault.* | pass | user | pw | passphrase | present | set | unset | missing | empty | required | sensitive.* | known.* )[\"'`,;.)]*$"
)
KEY_BYTES = re.compile(r"(?:\\n|\s)[A-Za-z0-9+/=]{32,}")
REFERENCE = re.compile(r"[$%]\{|\$\(|\{\{|\$[A-Za-z_]|\[[A-Za-z0-9^][^\]]{0,20}\]|[()|\\]")
LONG = 12  # characters from which an assigned value is taken for one
MIXED = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])")
LEARNED = 200


@dataclass(frozen=True, slots=True)
class Secrets:
    """Values that were shown once: shown again, they leak again. Never written anywhere."""

    values: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"Secrets({len(self.values)})"


def step(state: Secrets, logged: Logged) -> tuple[Secrets, Found]:
    match logged.entry:
        case log.Spoke(_, by, text) | log.HandedOff(_, by, _, text):
            return _looked(state, by, text, logged.id, "said")
        case log.ToolReturned(persona=by, result=result):
            return _looked(state, by, result.text, logged.id, f"has in a result of {result.tool}")
        case _:
            return state, NOTHING


def _looked(state: Secrets, by: PersonaName, text: str, at: EntryId, how: str) -> tuple[Secrets, Found]:
    text = seen(text)
    values = frozenset(secrets_in(text))
    if not values and not any(value in text for value in state.values):
        return state, NOTHING
    if len(state.values) < LEARNED:
        state = Secrets(state.values | {value for value in values if len(value) >= LONG})
    return state, (Detection("secret_leak", by, by, at, at, f"{by} {how} something that looks like a secret"),)


@lru_cache(maxsize=32)  # the same words stand in an answer, in the speech and in the task that it becomes
def secrets_in(text: str) -> tuple[str, ...]:
    """The values in `text` that are secrets by their shape, or by their name in a dump of an environment."""
    return tuple(dict.fromkeys(_secrets_in(text)))


@lru_cache(maxsize=32)
def suspicious(text: str) -> tuple[tuple[int, int, str], ...]:
    """Where something in `text` has a secret's shape or name: start, end, kind."""
    return tuple(find_secrets(text))


def _secrets_in(text: str) -> Iterator[str]:
    rows = ENVIRONMENT.findall(text) if text.count("=") >= DUMP else []
    if len(rows) >= DUMP:
        named = (value.strip() for name, value in rows if names_secret(name) and MARK not in value)
        yield from (value for value in named if not STAND_IN.match(value))
    for start, end, kind in suspicious(text):
        value = text[start:end]
        if MARK in value or MARK in text[max(0, start - 12) : start] or STAND_IN.match(value):
            continue
        if _whole(kind, value):
            yield value


def _whole(kind: str, value: str) -> bool:
    """False for names, patterns and references that stand where a secret would."""
    match kind:
        case "pem":
            return KEY_BYTES.search(value) is not None  # not the expression of a program that looks for keys
        case "header":
            return REFERENCE.search(value) is None
        case "assigned":
            return len(value) >= LONG and MIXED.match(value) is not None and REFERENCE.search(value) is None
        case _:
            return True


GUARD = Guard("secret_leak", (log.Spoke, log.HandedOff, log.ToolReturned), Secrets(), step)
