"""The way to a decision, in words: what is asked, which policies speak and which do not, what their join is. Pure."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, assert_never

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.domain.approvals import Allowed, Denied, NeedsApproval, Terms
from bot.domain.calls import CallClass
from bot.domain.estate import Window
from bot.domain.ids import MissionId, PersonaName
from bot.policy.authorise import Authoriser, Facts
from bot.policy.environments import EnvironmentMap, Kind
from bot.policy.problems import PolicyError
from bot.policy.rules import Rule

COUNT = Annotated[int, Field(ge=0, le=1_000_000)]
EXAMPLE = '{"persona": "builder", "tool": "terraform_apply", "class": "change", "environment": "production", "create": 3, "verdict": "passed"}'


class Given(BaseModel):
    """What is known of a call. Without `environment` it comes from `targets`, else it is production."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    environment: str = ""
    targets: dict[Kind, list[str]] = {}
    estate: str = "home"
    mission: str = "7"
    create: COUNT = 0
    change: COUNT = 0
    destroy: COUNT = 0
    verdict: Literal["none needed", "missing", "passed"] = "none needed"
    names: list[str] = []
    resources: COUNT = 0
    quorum_share: Annotated[int, Field(ge=0, le=100)] = 0
    loses_quorum: bool = False
    last_of: list[str] = []
    window: Window = "none"
    maintenance: bool = False


class When(BaseModel):
    """Who calls what, as what."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    persona: str
    tool: str
    cls: CallClass = Field(alias="class")


class Call(Given, When):
    """Both, as one object."""


def read_call(text: str) -> Call:
    """A call as JSON. Raises PolicyError with what is wrong and an example."""
    try:
        return Call.model_validate(json.loads(text))
    except ValueError as error:
        first: Any = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        field = ".".join(map(str, first["loc"]))
        raise PolicyError("the call", field, first["msg"], f"Write it like {EXAMPLE}") from error


def environment_of(given: Given, environments: EnvironmentMap) -> str:
    """As the gate finds it: the strictest of what is touched. Raises PolicyError for one that there is not."""
    if given.environment and given.environment not in environments.order:
        known = ", ".join(environments.order)
        raise PolicyError(
            "the call", "environment", f"there is no environment {given.environment!r}", f"Known: {known}"
        )
    found = [environments.of(kind, name) for kind, names in given.targets.items() for name in names]
    return given.environment or (environments.strictest(found) if found else "production")


def facts_of(given: Given, when: When, environments: EnvironmentMap) -> Facts:
    return Facts(
        persona=PersonaName(when.persona),
        tool=when.tool,
        cls=when.cls,
        environment=environment_of(given, environments),
        mission=MissionId(given.mission),
        estate=given.estate,
        create=given.create,
        change=given.change,
        destroy=given.destroy,
        needs_verdict=given.verdict != "none needed",
        verdict_passed=given.verdict == "passed",
        names=tuple(given.names) or tuple(name for names in given.targets.values() for name in names),
        resources=given.resources or given.create + given.change + given.destroy,
        quorum_share=given.quorum_share,
        loses_quorum=given.loses_quorum,
        last_of=frozenset(given.last_of),
        window=given.window,
        maintenance=given.maintenance,
    )


def explain(authoriser: Authoriser, environments: EnvironmentMap, call: Call) -> str:
    """Lines for a terminal."""
    facts = facts_of(call, call, environments)
    decision = authoriser.decide(facts)
    said = decision.policies
    rules = {rule.name: rule for rule in authoriser.rules}
    speaking = [rules[name] for name in said if name in rules]
    where = [
        f"  {kind} {name} is {environments.of(kind, name)} (environments.yaml)"
        for kind, names in call.targets.items()
        for name in names
    ]
    counts = f"{facts.create} created, {facts.change} changed, {facts.destroy} destroyed"
    lines = [
        f"call      {facts.persona} calls {facts.tool} as {facts.cls} in {facts.environment}",
        f"          {counts}; verdict: {call.verdict}; estate {facts.estate}",
        f"          {_circumstances(facts)}",
        *where,
        *(_spoken(rule) for rule in speaking),
    ]
    if not any(rule.effect == "forbid" for rule in speaking):  # a forbid beats every permit, whatever those say
        lines += [
            f"silent    {rule.name}: its condition does not hold here" for rule in authoriser.not_here(facts, said)
        ]
    match decision:
        case Allowed():
            lines.append("decision  allow: it runs without asking")
        case NeedsApproval(terms, policies, _):
            lines += _joined(terms, policies)
        case Denied(reason, instead, _):
            lines.append(f"decision  deny: {reason}" + (f"; instead: {instead}" if instead else ""))
        case _:
            assert_never(decision)
    return "\n".join([*lines, f"version   {authoriser.version[:12]}"])


def _circumstances(facts: Facts) -> str:
    """The blast radius and the calendar, as the policies were told."""
    votes = f"{facts.quorum_share} % of a voting group, majority {'lost' if facts.loses_quorum else 'kept'}"
    last = f"nothing left of {', '.join(sorted(facts.last_of))}" if facts.last_of else "the last of nothing"
    mode = "all in maintenance" if facts.maintenance else "not in maintenance"
    count = f"{facts.resources} resource{'s' * (facts.resources != 1)}"
    return f"{count}; {votes}; {last}; change window: {facts.window}; {mode}"


def _spoken(rule: Rule) -> str:
    if rule.effect == "forbid":
        return f"forbids   {rule.name}: {rule.why}"
    ask = rule.ask
    if ask is None:
        return f"permits   {rule.name}: asks nobody"
    words = [f"quorum {ask.quorum}", f"of {', '.join(sorted(ask.approvers))}", f"within {span(ask.expires_s)}"]
    words += ["not who asked"] * ask.exclude_requesters + ["names typed"] * ask.typed
    words += ["a one-time code"] * ask.totp
    words += [f"grant up to {span(ask.grant_s)}"] if ask.grant_s else []
    return f"permits   {rule.name}: {', '.join(words)}"


def _joined(terms: Terms, policies: Sequence[str]) -> list[str]:
    several = len(policies) > 1
    words = [
        f"{terms.quorum} of {', '.join(sorted(terms.approvers))} within {span(terms.expires_s)}",
        "nobody who asked" if terms.exclude_requesters else "who asked may approve too",
    ]
    words += [f"typing “{' '.join(terms.typed_names)}”"] if terms.typed_names else []
    words += ["a one-time code"] if terms.totp else []
    words += [f"or for {span(terms.grant_s)}"] if terms.grant_s else []
    join = ["join      the strictest of all that permit counts"] if several else []
    return [*join, f"decision  needs approval: {'; '.join(words)}"]


def span(seconds: int) -> str:
    """As the annotations write it: 30m, 4h."""
    return f"{seconds // 3600}h" if seconds % 3600 == 0 else f"{seconds // 60}m"
