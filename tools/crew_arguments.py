"""What the crew's own tools take, as the model sees it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bot.domain.contract import EvidenceOutcome, Severity
from bot.policy.evidence import LONGEST

CRITERIA_MOST = 20
STEPS_MOST = 30


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CriterionArgument(_Arguments):
    text: Annotated[str, Field(min_length=3, max_length=300)]
    quote: str = Field("", max_length=600, description="the words of the request this comes from, verbatim")
    standard: str = Field("", description="or the key of a standard of the house")


class StepArgument(_Arguments):
    title: Annotated[str, Field(min_length=3, max_length=200)]
    owner: str
    serves: list[int] = Field(description="numbers of the criteria this step serves, counted from 1")
    verify: str = Field("", max_length=300)


class PlanArguments(_Arguments):
    criteria: list[CriterionArgument] = Field(max_length=CRITERIA_MOST)
    steps: list[StepArgument] = Field(max_length=STEPS_MOST)


class HandOffArguments(_Arguments):
    to: str
    task: Annotated[str, Field(min_length=3, max_length=2000)]
    step: int | None = None


class AskArguments(_Arguments):
    question: Annotated[str, Field(min_length=3, max_length=600)]
    options: Annotated[list[Annotated[str, Field(min_length=1, max_length=75)]], Field(min_length=1, max_length=3)]
    default: int = Field(ge=0, description="index of the option that counts when nobody answers")
    minutes: int = Field(10, ge=1, le=1440)


class FindingArgument(_Arguments):
    rule: Annotated[str, Field(min_length=1, max_length=120)]
    resource: Annotated[str, Field(min_length=1, max_length=200)]
    severity: Severity
    text: Annotated[str, Field(max_length=500)]
    status: Literal["open", "mitigated"] = "open"


class VerdictArguments(_Arguments):
    revision: Annotated[str, Field(min_length=8, description="the plan id that was reviewed")]
    checks: list[str] = Field(description="ids of the tool results that were looked at")
    findings: Annotated[list[FindingArgument], Field(max_length=50)] = []
    words: str = Field("", max_length=600)


class EvidenceArguments(_Arguments):
    criterion: int
    outcome: EvidenceOutcome
    result: str = Field("", description="id of the tool result that shows it; empty only for unverifiable")
    check: str = Field(
        "",
        max_length=LONGEST,
        description="JMESPath over that result's facts: true exactly when the criterion holds, false when it does not, "
        "e.g. length(vms[?status=='running' && starts_with(name, 'cp')]) == `3`. Empty only for unverifiable",
    )
    words: Annotated[str, Field(min_length=3, max_length=400)]


class ReadArguments(_Arguments):
    id: str
    offset: int = Field(0, ge=0)
    limit: int = Field(4000, ge=1, le=12_000)
