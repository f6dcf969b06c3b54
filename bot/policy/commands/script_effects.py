"""What a script in a language that is read here does."""

from dataclasses import dataclass, field

from bot.domain.calls import CallClass
from bot.policy.commands.entries import Judgement


@dataclass(slots=True)
class Script:
    """Filled by the readers of sed, awk, jq and SQL."""

    judgements: list[Judgement] = field(default_factory=list[Judgement])
    commands: list[str] = field(default_factory=list[str])
    reads: list[str] = field(default_factory=list[str])
    writes: list[str] = field(default_factory=list[str])

    def add(self, cls: CallClass, reason: str) -> None:
        self.judgements.append(Judgement(cls, reason))
