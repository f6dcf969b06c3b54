"""One Cedar policy with what its annotations say: the approval a permit takes, the words of a refusal."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bot.domain.people import Role
from bot.policy.problems import PolicyError

APPROVAL = ("quorum", "approvers", "expires", "exclude_requesters", "typed", "grant", "stepup")
WORDS = ("why", "instead")
EXPIRY = re.compile(r"([1-9][0-9]{0,2})([mh])")
LONGEST_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Ask:
    """The approval one permit takes. `typed`: the approver types the names of what is destroyed."""

    quorum: int
    approvers: frozenset[str]
    expires_s: int
    exclude_requesters: bool
    typed: bool
    grant_s: int = 0  # for how long the approvers may let the same call run again
    totp: bool = False  # the approver gives a one-time code


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy by its name, "policies/terraform.cedar: change". `ask` is None for a permit that asks nobody."""

    name: str
    effect: Literal["permit", "forbid"]
    ask: Ask | None = None
    why: str = ""
    instead: str = ""


def read_rule(file: str, effect: Literal["permit", "forbid"], annotations: Mapping[str, str]) -> Rule:
    """The rule of one policy. Raises PolicyError for a missing id, an unknown annotation or a bad value."""
    key = annotations.get("id", "")
    if not key:
        raise PolicyError(file, "", "a policy has no @id", 'Write @id("a-name") above it')
    name = f"{file}: {key}"
    known = ("id", *(APPROVAL if effect == "permit" else WORDS))
    for annotation in sorted(annotations):
        if annotation not in known:
            raise PolicyError(
                name, f"@{annotation}", f"a {effect} has no such annotation", f"Known: @{', @'.join(known)}"
            )
    if effect == "forbid":
        return Rule(name, effect, None, annotations.get("why", "a policy forbids it"), annotations.get("instead", ""))
    return Rule(name, effect, _ask(name, annotations))


def _ask(name: str, annotations: Mapping[str, str]) -> Ask | None:
    if not any(annotation in annotations for annotation in APPROVAL):
        return None
    for annotation in ("quorum", "approvers", "expires"):
        if annotation not in annotations:
            raise PolicyError(
                name, f"@{annotation}", "it is missing", "An approval needs @quorum, @approvers, @expires"
            )
    return Ask(
        quorum=_quorum(name, annotations["quorum"]),
        approvers=_approvers(name, annotations["approvers"]),
        expires_s=_seconds(name, "expires", annotations["expires"]),
        exclude_requesters=_choice(name, "exclude_requesters", annotations, {"true": True, "false": False}, "true"),
        typed=_choice(name, "typed", annotations, {"names": True, "nothing": False}, "nothing"),
        totp=_choice(name, "stepup", annotations, {"totp": True, "none": False}, "none"),
        grant_s=_seconds(name, "grant", annotations["grant"]) if "grant" in annotations else 0,
    )


def _quorum(name: str, text: str) -> int:
    if not re.fullmatch(r"[1-9]", text):
        raise PolicyError(name, "@quorum", f"{text!r} is no number of people", "Write a number from 1 to 9")
    return int(text)


def _approvers(name: str, text: str) -> frozenset[str]:
    roles = frozenset(text.replace(",", " ").split())
    unknown = roles - {role.value for role in Role}
    if unknown or not roles:
        known = ", ".join(role.value for role in Role)
        raise PolicyError(name, "@approvers", f"{text!r} names no roles that exist", f"Roles: {known}")
    return roles


def _seconds(name: str, field: str, text: str) -> int:
    found = EXPIRY.fullmatch(text)
    seconds = int(found[1]) * (3600 if found[2] == "h" else 60) if found else 0
    if not 0 < seconds <= LONGEST_S:
        raise PolicyError(
            name, f"@{field}", f"{text!r} is no time", 'Write minutes or hours, at most a day: "30m", "4h"'
        )
    return seconds


def _choice(name: str, field: str, annotations: Mapping[str, str], choices: Mapping[str, bool], default: str) -> bool:
    text = annotations.get(field, default)
    if text not in choices:
        raise PolicyError(name, f"@{field}", f"{text!r} is not known", f"Write one of: {', '.join(choices)}")
    return choices[text]
