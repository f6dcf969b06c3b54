"""The operator's own tests of their policies: policies/tests/*.yaml, each case given, when, expect."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, assert_never

from pydantic import BaseModel, ConfigDict, Field

from bot.domain.approvals import Allowed, Decision, Denied, NeedsApproval
from bot.policy.authorise import Authoriser
from bot.policy.environments import EnvironmentMap
from bot.policy.explaining import Given, When, facts_of, span
from bot.policy.loading import read_yaml
from bot.policy.problems import PolicyError

Word = Literal["allow", "needs-approval", "deny"]
MEND = "Write `cases:` with a list of {name, given, when: {persona, tool, class}, expect: {decision}}; see policies/README.md"


class Expect(BaseModel):
    """What must come out. What is not written is not looked at."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    decision: Word
    quorum: Annotated[int, Field(ge=1)] | None = None
    approvers: list[str] | None = None
    expires: str | None = None
    requester: Literal["excluded", "may approve"] | None = None
    typed: list[str] | None = None
    grant: str | None = None  # "none", or how long
    policy: str | None = None  # the name of one that speaks, "terraform.cedar: change"
    reason: str | None = None  # words of it


class Case(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Annotated[str, Field(min_length=3)]
    given: Given = Given()
    when: When
    expect: Expect


class CaseFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    cases: Annotated[list[Case], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`problem` is empty where the case holds."""

    name: str
    problem: str


def run_cases(authoriser: Authoriser, environments: EnvironmentMap, folder: Path) -> list[Outcome]:
    """Every case of every file. Raises PolicyError for a file that cannot be read: a case that does not run is no pass."""
    outcomes: list[Outcome] = []
    for path in sorted(folder.glob("*.yaml")):
        for case in read_yaml(path, CaseFile, MEND).cases:
            name = f"{path.name}: {case.name}"
            try:
                decision = authoriser.decide(facts_of(case.given, case.when, environments))
            except PolicyError as error:
                raise PolicyError(name, "", str(error), "Correct the case") from error
            outcomes.append(Outcome(name, "; ".join(_differences(case.expect, decision))))
    return outcomes


def _differences(expect: Expect, decision: Decision) -> list[str]:
    found: dict[str, object] = {"decision": "", "policy": decision.policies, "reason": ""}
    match decision:
        case Allowed():
            found["decision"] = "allow"
        case Denied(reason):
            found |= {"decision": "deny", "reason": reason}
        case NeedsApproval(terms, _, reason):
            found |= {
                "decision": "needs-approval",
                "reason": reason,
                "quorum": terms.quorum,
                "approvers": sorted(terms.approvers),
                "expires": span(terms.expires_s),
                "requester": "excluded" if terms.exclude_requesters else "may approve",
                "typed": list(terms.typed_names),
                "grant": span(terms.grant_s) if terms.grant_s else "none",
            }
        case _:
            assert_never(decision)
    problems: list[str] = []
    for field, wanted in expect.model_dump(exclude_none=True).items():
        got = found.get(field)
        holds = got == (sorted(wanted) if field == "approvers" else wanted)
        if field in {"policy", "reason"}:
            text = " ".join(decision.policies) if field == "policy" else str(got)
            holds, got = wanted in text, text
        if not holds:
            problems.append(f"{field} should be {wanted}, is {got if got not in (None, '') else 'nothing'}")
    return problems
