"""The contract, the plan, findings, verdicts and evidence."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bot.domain.ids import CallId, Json, PersonaName, UserId

Severity = Literal["info", "low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "low", "medium", "high", "critical")


@dataclass(frozen=True, slots=True)
class Criterion:
    """Something that must be true at the end. Exactly one of `quote` (the human's words) and `standard` (a key of
    policies/standards.yaml) is set. `number` counts from 1 within the mission.
    """

    number: int
    text: str
    quote: str = ""
    standard: str = ""


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One step of the plan. `serves` are criterion numbers; `verify` says how the step is checked."""

    number: int
    title: str
    owner: PersonaName
    serves: tuple[int, ...]
    verify: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One risk. `fingerprint` is stable over revisions: SHA-256 of rule and resource, 12 digits."""

    fingerprint: str
    rule: str
    resource: str
    severity: Severity
    text: str
    status: Literal["open", "mitigated", "accepted"] = "open"
    accepted_by: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the findings add up to on exactly one revision. `checks` are the calls whose results were looked at,
    `blocking` the fingerprints of the findings for which it does not pass.
    """

    revision: str
    by: PersonaName
    passed: bool
    checks: tuple[CallId, ...]
    findings: tuple[Finding, ...]
    words: str = ""
    tools: tuple[str, ...] = ()
    blocking: tuple[str, ...] = ()


EvidenceOutcome = Literal["passed", "failed", "unverifiable"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A tool result that shows (or fails to show) a criterion. `call` is empty only for `unverifiable`.

    `tool` and `arguments` are the probe, so that it can be run again; `check` is the JMESPath expression that was true
    (false where it failed) of its facts.
    """

    criterion: int
    outcome: EvidenceOutcome
    call: CallId
    words: str
    by: PersonaName
    check: str = ""
    tool: str = ""
    arguments: Mapping[str, Json] = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True)
class Waiver:
    """A human's word that a criterion need not be shown."""

    criterion: int
    by: UserId
    reason: str
