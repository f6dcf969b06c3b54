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
    missing = next((found for pattern in MISSING if (found := pattern.search(text))), None)
    if missing:
        return Failure(
            f"{result.tool}|missing", missing["name"].rstrip("/.").rsplit("/", 1)[-1], signature.knowledge or ""
        )
    return Failure(signature.key or f"{result.tool}|{result.status}", knowledge=signature.knowledge or "")


def _lines(text: str) -> str:
    """What is looked at: errors are told at the beginning of a line."""
    return "\n".join(line[:LINE] for line in seen(text).splitlines())


def quoted_failures(text: str) -> tuple[str, ...]:
    """Identities of the error messages that a report repeats word for word."""
    text = _lines(text)
    found = [signature_of(quote).key for quote in QUOTED.findall(text)[:24]]
    found += [said.casefold() for said in SAID_BY_SYSTEMS.findall(text)]
    return tuple(dict.fromkeys(key for key in found if key))[:12]


def fingerprint(tool: str, arguments: Json) -> str:
    """Identity of a call: its tool and its arguments."""
    return hashlib.sha256(f"{tool}|{arguments!r}".encode(errors="replace")).hexdigest()[:16]
