"""What was found about a command, and the place where it is collected."""

from dataclasses import dataclass, field

from bot.domain.calls import CallClass, Target
from bot.policy.commands.entries import Judgement, rank
from bot.policy.commands.lines import Doubt


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that follows from a segment. `reason` goes after the segment: `"rm x" removes files for good`."""

    cls: CallClass
    segment: str
    rule: str
    reason: str

    @classmethod
    def of(cls, judgement: Judgement, segment: str, rule: str) -> "Finding":
        return cls(judgement.cls, segment, rule, judgement.reason)

    @classmethod
    def of_doubt(cls, doubt: Doubt) -> "Finding":
        return cls(doubt.cls, doubt.segment, doubt.rule, doubt.reason)


@dataclass(slots=True)
class Found:
    """Everything found so far, in the order of the line. `written` are the files that it writes."""

    findings: list[Finding] = field(default_factory=list[Finding])
    targets: list[Target] = field(default_factory=list[Target])
    written: set[str] = field(default_factory=set[str])

    def add(self, cls: CallClass, segment: str, rule: str, reason: str) -> None:
        self.findings.append(Finding(cls, segment, rule, reason))

    def worst(self, since: int = 0) -> Finding | None:
        """Of the most severe after the first `since`: the last, most specific one about the first segment with one."""
        findings = self.findings[since:]
        most = max((rank(finding.cls) for finding in findings), default=0)
        worst = [finding for finding in findings if rank(finding.cls) == most]
        return next((finding for finding in reversed(worst) if finding.segment == worst[0].segment), None)
