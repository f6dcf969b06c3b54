"""`/approvals delegate | accept | end | break-glass`: the words, read. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from bot.domain.ids import UserId

USAGE: Final = (
    "Write “approvals delegate @who for 4h reason” (30m, 4h or 3d), “approvals accept number”, “approvals end number”, or "
    "where no approver answers “approvals break-glass request reason”, by two people."
)
_DELEGATE: Final = re.compile(
    r"(?:<@(?P<id>[UW][A-Z0-9]{5,20})(?:\|[^>]*)?>|@?(?P<name>\S+))\s+for\s+(?P<count>\d{1,4})\s?(?P<unit>[mhd])\b[\s:,]*(?P<reason>.*)",
    re.DOTALL,
)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Delegate:
    """`who` is a Slack id, or a name of people.yaml."""

    who: str
    lasts: timedelta
    reason: str


@dataclass(frozen=True, slots=True)
class Accept:
    deputy: str


@dataclass(frozen=True, slots=True)
class End:
    deputy: str


@dataclass(frozen=True, slots=True)
class BreakGlass:
    request: str
    reason: str


Order = Delegate | Accept | End | BreakGlass


def read_order(text: str) -> Order | str | None:
    """The order; USAGE where it is one and cannot be read; None where it is none."""
    word, _, rest = text.strip().partition(" ")
    rest = rest.strip()
    first, _, more = rest.partition(" ")
    match word.lower():
        case "delegate":
            found = _DELEGATE.fullmatch(rest)
            if found is None:
                return USAGE
            lasts = timedelta(**{_UNITS[found["unit"]]: int(found["count"])})
            return Delegate(found["id"] or found["name"], lasts, found["reason"].strip())
        case "accept":
            return Accept(first) if first else USAGE
        case "end":
            return End(first) if first else USAGE
        case "break-glass":
            return BreakGlass(first, more.strip()) if first else USAGE
        case _:
            return None


def named(who: str, names: Mapping[UserId, str]) -> UserId | None:
    """The person that `who` means: an id as it is, a name where exactly one person has it."""
    if UserId(who) in names:
        return UserId(who)
    found = [user for user, name in names.items() if name.casefold() == who.casefold()]
    return found[0] if len(found) == 1 else None
