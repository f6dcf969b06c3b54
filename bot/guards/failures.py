"""The identity of a failure: the error's signature."""

import hashlib
import re
from dataclasses import dataclass

from bot.domain.calls import ToolResult
from bot.domain.ids import Json
from bot.guards.guard import seen
from bot.policy.signatures import signature_of

# A thing that is not there, by its name.
MISSING = (
    re.compile(
        r"(?:cannot access|can't cd to|no such file or directory:|not found:) ?['\"“‘]?(?P<name>[^\s'\"”’:,]+)['\"”’]?",
        re.IGNORECASE,
    ),
    re.compile(
        r"['\"“‘]?(?P<name>[^\s'\"”’:]+)['\"”’]?: (?:no such file or directory|(?:command )?not found)", re.IGNORECASE
    ),
    re.compile(r"(?P<name>[^\s'\"”’:]+)['\"”’]? does not exist", re.IGNORECASE),
)
# What systems say word for word, wherever a report repeats it.
SAID_BY_SYSTEMS = re.compile(
    r"permission denied(?: \([\w,-]+\))?|connection (?:refused|timed out|reset by peer)|no route to host|host key verification failed|"
    r"\b(?:401|403|404|500|502|503) [a-z]+(?: [a-z]+)?|operation not permitted|command not found|no space left on device|"
    r"name or service not known|could not resolve host(?:name)?|certificate (?:verify failed|signed by unknown authority)",
    re.IGNORECASE,
)
TELLING = (
    "rror",
    "fail",
    "denied",
    "refused",
    "cannot",
    "not ",
    "no such",
    "timed",
    "unexp",
    "invalid",
    "fatal",
    "unable",
    "lock",
    "forbid",
)
ABSENT = ("no such file", "not found", "cannot access", "can't cd", "does not exist")
SYSTEMS = (
    "denied",
    "connection",
    "no route",
    "host",
    "40",
    "50",
    "permitted",
    "not found",
    "no space",
    "not known",
    "certificate",
)
LINE = 400  # characters
FAILING = frozenset({"failed", "refused", "denied"})
QUOTED = re.compile(r"[\"“`]([^\"“”`\n]{6,200})[\"”`]")


@dataclass(frozen=True, slots=True)
class Failure:
    """`key` is the error's identity; `missing` names the thing that is not there, where that is what went wrong."""

    key: str
    missing: str = ""
    knowledge: str = ""  # the file of personas/skills/errors that knows this error

    @property
    def named(self) -> str:
        """Identity with the missing thing's name: the same message about another file is another error."""
        return f"{self.key} {self.missing}" if self.missing else self.key


def failure_of(result: ToolResult) -> Failure | None:
    """What went wrong, or None where nothing did."""
    if result.status not in FAILING:
        return None
    text = _lines(result.text)
    signature = signature_of(text, result.tool)
    absent = _holding(text, ABSENT)
    missing = next((found for pattern in MISSING if (found := pattern.search(absent))), None) if absent else None
    if missing:
        return Failure(
            f"{result.tool}|missing", missing["name"].rstrip("/.").rsplit("/", 1)[-1], signature.knowledge or ""
        )
    return Failure(signature.key or f"{result.tool}|{result.status}", knowledge=signature.knowledge or "")


def _lines(text: str) -> str:
    """What is looked at: errors are told at the beginning of a line."""
    return "\n".join(line[:LINE] for line in seen(text).splitlines())


def _holding(text: str, words: tuple[str, ...]) -> str:
    """The lines that hold one of `words`: the expressions look at nothing else."""
    return "\n".join(line for line in text.splitlines() if any(word in line.casefold() for word in words))


def quoted_failures(text: str) -> tuple[str, ...]:
    """Identities of the error messages that a report repeats word for word."""
    text = _lines(text)
    quotes = [quote for quote in QUOTED.findall(text) if any(word in quote.casefold() for word in TELLING)]
    found = [signature_of(quote).key for quote in quotes[:12]]
    found += [said.casefold() for said in SAID_BY_SYSTEMS.findall(_holding(text, SYSTEMS))]
    return tuple(dict.fromkeys(key for key in found if key))[:12]


def fingerprint(tool: str, arguments: Json) -> str:
    """Identity of a call: its tool and its arguments."""
    return hashlib.sha256(f"{tool}|{arguments!r}".encode(errors="replace")).hexdigest()[:16]
