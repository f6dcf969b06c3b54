"""The identity of a failure: the error's signature, and for a missing thing also its name."""

import re

from bot.domain.calls import ToolResult
from bot.domain.ids import Json
from bot.guards.guard import seen
from bot.policy.signatures import signature_of

FAILING = frozenset({"failed", "refused", "denied"})
MISSING = re.compile(
    r"(?:cannot access|no such file or directory|not found|does not exist|can't cd to|did not match)[:,]?\s*['\"“]?([^\s'\"”:,]+)"
    r"|['\"“]?([^\s'\"”:]+)['\"”]?: (?:no such file or directory|not found)",
    re.IGNORECASE,
)
QUOTED = re.compile(r"[\"“`]([^\"“”`\n]{6,200})[\"”`]")


def failure_of(result: ToolResult) -> str:
    """Identity of what went wrong, or "" where nothing did. Missing files and programs are told apart by name."""
    if result.status not in FAILING:
        return ""
    text = seen(result.text)
    key = signature_of(text, result.tool).key
    if not key:
        return f"{result.tool}|{result.status}"
    missing = MISSING.search(text)
    name = (missing[1] or missing[2]) if missing else ""
    return f"{key}|{name.rstrip('/.').rsplit('/', 1)[-1]}" if name else key


def quoted_failures(text: str) -> tuple[str, ...]:
    """Identities of the error messages that a report quotes word for word."""
    found = (signature_of(quote).key for quote in QUOTED.findall(seen(text)))
    return tuple(dict.fromkeys(key for key in found if key))[:8]


def fingerprint(tool: str, arguments: Json) -> str:
    """Identity of a call: its tool and its arguments."""
    return f"{tool}|{arguments!r}"[:2000]
