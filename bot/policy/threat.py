"""The threat model: from which severity a finding blocks, and which rules are accepted where (rule 18)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bot.domain.contract import SEVERITIES, Finding, Severity, Verdict
from bot.domain.state import Mission
from bot.policy.environments import NAME, PRODUCTION

REASON = Annotated[str, Field(min_length=10, max_length=300)]


class AcceptedEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    rule: Annotated[str, Field(min_length=1, max_length=100)]
    environments: Annotated[list[NAME], Field(min_length=1)]
    reason: REASON


class ThreatFile(BaseModel):
    """policies/threat_model.yaml as written."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    blocks_from: dict[NAME, Severity]
    accepted: list[AcceptedEntry] = []

    def typed(self) -> "ThreatModel":
        accepted = {(entry.rule, name): entry.reason for entry in self.accepted for name in entry.environments}
        return ThreatModel(dict(self.blocks_from), accepted)


@dataclass(frozen=True, slots=True)
class ThreatModel:
    """`blocks_from` by environment; `accepted` reasons by rule and environment."""

    blocks_from: Mapping[str, Severity]
    accepted: Mapping[tuple[str, str], str]

    def threshold(self, environment: str) -> Severity:
        """From which severity findings block. An environment that is not listed is as strict as production."""
        return self.blocks_from.get(environment, self.blocks_from.get(PRODUCTION, "medium"))

    def accepts(self, rule: str, environment: str) -> str:
        """The reason why this rule's findings do not count here, or ""."""
        return self.accepted.get((rule, environment), "")

    def blocks(self, finding: Finding, environment: str) -> bool:
        """True for an open finding at or above the threshold whose rule is not accepted here."""
        severe = SEVERITIES.index(finding.severity) >= SEVERITIES.index(self.threshold(environment))
        return finding.status == "open" and severe and not self.accepts(finding.rule, environment)

    def blocking(
        self, findings: Sequence[Finding], known: Mapping[str, Finding], environment: str
    ) -> tuple[Finding, ...]:
        """The findings that block. `known` are the mission's by fingerprint: what a human accepted there cannot block
        again. What another revision's verdict called mitigated says nothing about this one.
        """
        return tuple(
            finding
            for finding in findings
            if known.get(finding.fingerprint, finding).status != "accepted" and self.blocks(finding, environment)
        )

    def passed(self, mission: Mission, revision: str, environment: str) -> bool:
        """True if the mission has a verdict with checks on exactly `revision` and nothing in it blocks (rule 17)."""
        verdict = mission.verdicts.get(revision) if revision else None
        if verdict is None or verdict.revision != revision or not verdict.checks:
            return False
        return not self.blocking(verdict.findings, mission.findings, environment)

    def line(self, mission: Mission, revision: str, environment: str) -> str:
        """The verdict on `revision` in one line for the card; "" where none is needed."""
        verdict = mission.verdicts.get(revision)
        if not revision:
            return ""
        if verdict is None:
            return "no verdict on this revision"
        blocks = self.blocking(verdict.findings, mission.findings, environment)
        if blocks:
            return f"{_title(verdict)}: blocked by {', '.join(f'{f.rule} on {f.resource}' for f in blocks[:3])}"
        if not verdict.checks:
            return f"{_title(verdict)}: no checks were run"
        looked = f"{len(verdict.checks)} checks" if len(verdict.checks) > 1 else "1 check"
        low = _harmless(len(verdict.findings))
        return f"{_title(verdict)}: pass on exactly this plan, {looked}{low}"


def _title(verdict: Verdict) -> str:
    return verdict.by.capitalize()


def _harmless(count: int) -> str:
    if count == 0:
        return ""
    return ", 1 finding that does not block" if count == 1 else f", {count} findings that do not block"
