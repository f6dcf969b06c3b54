"""A person's word that ends a dispute or widens the contract: a finding is accepted, a criterion need not be shown, words
are added to the request (rules 6, 8 and 18). Pure.
"""

import re
from dataclasses import dataclass
from typing import Literal

from bot.domain import log
from bot.domain.contract import Criterion, Finding
from bot.domain.ids import PersonaName
from bot.domain.inbound import Ruled
from bot.domain.people import Human, Role
from bot.domain.state import Mission

WORDS = re.compile(
    r"(?P<what>accept|waive)\s+(?P<subject>\S+)(?:\s+of\s+#?(?P<mission>\d+))?\s*[:,]?\s*(?P<reason>.*)",
    re.IGNORECASE | re.DOTALL,
)
USAGE = (
    "Write “mission accept <finding> of <mission> <reason>” or “mission waive <criterion number> of <mission> <reason>”; "
    "in the mission's thread without “of …”. Details has the findings and criteria."
)
REASON_MOST = 500


@dataclass(frozen=True, slots=True)
class Words:
    """What was written; `mission` is "" where the thread says which."""

    what: Literal["accept", "waive"]
    subject: str
    mission: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ruling:
    """What it leads to: entries for the log, and what everyone in the thread reads."""

    entries: tuple[log.Entry, ...]
    text: str


def read_words(text: str) -> Words | None:
    """None where the text is no ruling at all."""
    found = WORDS.fullmatch(text.strip())
    if found is None:
        return None
    what: Literal["accept", "waive"] = "accept" if found["what"].lower() == "accept" else "waive"
    return Words(what, found["subject"].rstrip(":,"), found["mission"] or "", found["reason"].strip()[:REASON_MOST])


def rule(state: Mission, human: Human, ruled: Ruled) -> Ruling | str:
    """The ruling, or why it does not count, for the person alone."""
    if state.ended:
        return f"Mission {state.id} is over ({state.ended})."
    if ruled.what == "amend":
        return _amended(human, ruled)
    if not ruled.reason:
        return f"A reason is missing: it stands in the record and in the report. {USAGE}"
    if ruled.what == "accept":
        return _accepted(state, human, ruled)
    return _waived(state, human, ruled)


def _accepted(state: Mission, human: Human, ruled: Ruled) -> Ruling | str:
    if not human.may(Role.RISK_OWNER, Role.ADMIN):
        return "Accepting a finding takes the role risk_owner (people.yaml)."
    able = [f for f in state.findings.values() if f.status != "accepted"]
    found = [f for f in able if ruled.subject in {f.fingerprint, f.rule} or f.fingerprint.startswith(ruled.subject)]
    if len(found) != 1:
        listed = "; ".join(f"{f.fingerprint} {_named(f)}" for f in able) or "none"
        return f"“{ruled.subject}” is not one open finding. Open: {listed}."
    finding = found[0]
    text = f"{human.name} accepts the finding {_named(finding)}: “{ruled.reason}”"
    note = f"{text}. It cannot block again. Record the verdict anew if it was blocked by this."
    entry = log.FindingAccepted(finding.fingerprint, ruled.reply.user, ruled.reason)
    return Ruling((entry, log.Noted(PersonaName("sentinel"), note, "decided")), f"{text}.")


def _waived(state: Mission, human: Human, ruled: Ruled) -> Ruling | str:
    if not (ruled.reply.user in state.requesters or human.may(Role.RISK_OWNER, Role.ADMIN)):
        return (
            "A criterion is waived by who asked for the mission, or by somebody with the role risk_owner (people.yaml)."
        )
    criterion = next((c for c in state.criteria if str(c.number) == ruled.subject.lstrip("#")), None)
    if criterion is None or criterion.number in state.waivers:
        return f"“{ruled.subject}” is no criterion that is open. Criteria: {_numbers(state.criteria)}."
    text = f"{human.name} waives criterion {criterion.number}, {criterion.text}: “{ruled.reason}”"
    entry = log.CriterionWaived(criterion.number, ruled.reply.user, ruled.reason)
    note = f"{text}. It need not be shown. Go on with what is left, or end your turn."
    return Ruling((entry, log.Noted(PersonaName("architect"), note, "decided")), f"{text}.")


def _amended(human: Human, ruled: Ruled) -> Ruling | str:
    """Words are added, none taken away: the Architect draws criteria from them, and who added them is a requester now."""
    if not human.may(Role.REQUESTER, Role.ADMIN):
        return "Adding to a request takes the role requester (people.yaml)."
    words = ruled.reason.strip()
    if not words:
        return "Nothing was added: there were no words."
    text = f"{human.name} adds to the request: “{words}”"
    return Ruling((log.RequestAmended(ruled.reply.user, words),), f"{text}.")


def _named(finding: Finding) -> str:
    return f"{finding.rule} on {finding.resource} ({finding.severity})"


def _numbers(criteria: tuple[Criterion, ...]) -> str:
    return ", ".join(f"{c.number} {c.text}" for c in criteria) or "none yet"
