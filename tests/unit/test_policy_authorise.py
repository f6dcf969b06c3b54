"""Cedar's decisions, and what makes policies unfit to be loaded."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.approvals import Allowed, Denied, NeedsApproval
from bot.domain.calls import CallClass
from bot.domain.ids import MissionId, PersonaName
from bot.policy.authorise import MOST, Authoriser, Facts, strictest
from bot.policy.problems import PolicyError
from bot.policy.rules import Ask, Rule
from tests.gate_house import POLICIES, authoriser

SCHEMA = (POLICIES / "schema.cedarschema").read_text()
APPLY = Facts(
    PersonaName("builder"), "terraform_apply", CallClass.CHANGE, "production", MissionId("7"), "home", 3, verdict_passed=True
)  # fmt: skip
READS = '@id("r") permit (principal, action == Action::"read", resource);'


def asked(quorum: str = "1", approvers: str = "approver", expires: str = "1h") -> str:
    return f'@quorum("{quorum}") @approvers("{approvers}") @expires("{expires}")'


ASK = asked()


def made(text: str, **more: str) -> Authoriser:
    return Authoriser(
        SCHEMA, {"policies/a.cedar": text, **{f"policies/{name}.cedar": t for name, t in more.items()}}, "v"
    )


def needs(decision: object) -> NeedsApproval:
    assert isinstance(decision, NeedsApproval), decision
    return decision


def denied(decision: object) -> Denied:
    assert isinstance(decision, Denied), decision
    return decision


@pytest.mark.parametrize(
    ("persona", "tool"),
    [
        ("architect", "plan"), ("architect", "http_probe"), ("builder", "workspace_write"), ("builder", "terraform_plan"), ("qa", "terraform_plan"),
        ("sentinel", "record_verdict"), ("sentinel", "scan"), ("qa", "record_evidence"), ("qa", "http_probe"),
        ("qa", "hand_off"), ("architect", "proxmox_read"),
    ],
)  # fmt: skip
def test_reads_are_allowed_per_persona(persona: str, tool: str) -> None:
    facts = replace(APPLY, persona=PersonaName(persona), tool=tool, cls=CallClass.READ)
    assert isinstance(authoriser().decide(facts), Allowed)


@pytest.mark.parametrize(
    ("persona", "tool", "cls"),
    [
        ("architect", "workspace_write", CallClass.READ), ("sentinel", "workspace_write", CallClass.READ),
        ("qa", "terraform_validate", CallClass.READ), ("qa", "terraform_apply", CallClass.CHANGE),
        ("builder", "record_verdict", CallClass.READ), ("builder", "record_evidence", CallClass.READ),
        ("builder", "terraform_apply", CallClass.READ), ("builder", "rm", CallClass.READ),
        ("builder", "workspace_write", CallClass.CHANGE), ("architect", "terraform_plan", CallClass.UNKNOWN),
        ("qa", "scan", CallClass.UNKNOWN), ("nobody", "plan", CallClass.READ),
    ],
)  # fmt: skip
def test_rule_9_no_rule_means_deny(persona: str, tool: str, cls: CallClass) -> None:
    decision = denied(authoriser().decide(replace(APPLY, persona=PersonaName(persona), tool=tool, cls=cls)))
    assert decision.reason == f"no policy lets {persona} call {tool} as {cls} in production"


def test_a_change_in_production_takes_somebody_who_did_not_ask() -> None:
    decision = needs(authoriser().decide(APPLY))
    assert (decision.terms.quorum, decision.terms.expires_s, decision.terms.exclude_requesters) == (1, 14_400, True)
    assert decision.reason == (
        "changes in production need 1 approver who did not ask for them (policies/terraform.cedar: change)"
    )


@pytest.mark.parametrize("environment", ["lab", "homelab", "staging"])
def test_a_change_elsewhere_may_be_approved_by_who_asked(environment: str) -> None:
    decision = needs(authoriser().decide(replace(APPLY, environment=environment)))
    assert not decision.terms.exclude_requesters
    assert decision.reason == f"changes in {environment} need 1 approver (policies/terraform.cedar: change-elsewhere)"


def test_destroying_in_production_takes_typed_names_and_one_hour() -> None:
    facts = replace(APPLY, cls=CallClass.DESTROY, names=("cp1", "cp2", "cp3"))
    decision = needs(authoriser().decide(facts))
    assert (decision.terms.typed_names, decision.terms.expires_s) == (("cp1", "cp2", "cp3"), 3600)
    assert (
        "destructive changes in production need 1 approver who did not ask for them, and the names typed"
        in decision.reason
    )
    many = needs(authoriser().decide(replace(facts, names=tuple("abcdefgh"))))
    assert many.terms.typed_names == ("destroy 8",)
    unnamed = needs(authoriser().decide(replace(facts, names=())))
    assert unnamed.terms.typed_names == ("production",)
    elsewhere = needs(authoriser().decide(replace(facts, environment="lab")))
    assert (elsewhere.terms.typed_names, elsewhere.terms.exclude_requesters) == ((), True)


@pytest.mark.parametrize("cls", [CallClass.UNKNOWN, CallClass.SENSITIVE_READ])
def test_unknown_and_sensitive_reads_ask(cls: CallClass) -> None:
    terms = needs(authoriser().decide(replace(APPLY, tool="terraform_plan", cls=cls))).terms
    assert (terms.quorum, terms.expires_s, terms.exclude_requesters) == (1, 3600, True)


def test_rule_17_without_the_verdict_the_way_is_named() -> None:
    decision = denied(authoriser().decide(replace(APPLY, verdict_passed=False)))
    assert "no passing verdict on exactly this plan" in decision.reason
    assert decision.instead.startswith("hand_off to sentinel with the plan id")
    other = replace(APPLY, tool="terraform_plan", cls=CallClass.UNKNOWN, needs_verdict=True, verdict_passed=False)
    assert "bounds.cedar: verdict-missing" in denied(authoriser().decide(other)).reason


def test_rule_14_forbidden_is_denied_before_cedar_and_by_cedar() -> None:
    facts = replace(APPLY, cls=CallClass.FORBIDDEN)
    assert denied(authoriser().decide(facts)).policies == ("forbidden",)
    assert denied(made(f'{READS} @id("x") {ASK} permit (principal, action, resource);').decide(facts)).policies == (
        "forbidden",
    )
    alone = made(f'{READS} @id("no") forbid (principal, action == Action::"forbidden", resource);')
    assert "no" in {rule.name.split(": ")[1] for rule in alone.rules if rule.effect == "forbid"}


def test_rule_9_a_policy_that_cannot_be_evaluated_denies() -> None:
    """Cedar skips an erroring forbid and allows: measured, and the reason for this guard."""
    shaky = made(
        f'{READS} @id("f") forbid (principal, action, resource) when {{ context.create + 9223372036854775807 > 5 }};'
    )
    decision = denied(shaky.decide(replace(APPLY, cls=CallClass.READ)))
    assert decision.reason.startswith("the policies could not be evaluated: ")


def test_counts_beyond_cedars_numbers_do_not_err() -> None:
    assert isinstance(authoriser().decide(replace(APPLY, create=2**70)), NeedsApproval)
    limited = made(
        f'{READS} @id("few") {ASK} permit (principal, action == Action::"change", resource) when {{ context.create < 5 }};'
    )
    assert isinstance(limited.decide(replace(APPLY, create=MOST * 10)), Denied)


def test_where_several_permit_the_strictest_join_counts() -> None:
    both = made(
        '@id("one") @quorum("1") @approvers("approver admin") @expires("4h") @exclude_requesters("false") '
        'permit (principal, action == Action::"change", resource); '
        '@id("two") @quorum("2") @approvers("approver, risk_owner") @expires("30m") @typed("names") '
        'permit (principal, action == Action::"change", resource); ' + READS
    )
    decision = needs(both.decide(replace(APPLY, names=("cp1",))))
    terms = decision.terms
    assert (terms.quorum, terms.approvers, terms.expires_s) == (2, frozenset({"approver"}), 1800)
    assert (terms.exclude_requesters, terms.typed_names) == (True, ("cp1",))
    assert decision.policies == ("policies/a.cedar: one", "policies/a.cedar: two")
    assert decision.reason == (
        "changes in production need 2 approvers who did not ask for them, and the names typed "
        "(policies/a.cedar: one; policies/a.cedar: two)"
    )


def test_permits_that_share_no_approver_deny() -> None:
    apart = made(
        f'{READS} @id("one") @quorum("1") @approvers("approver") @expires("1h") permit (principal, action == Action::"change", resource);'
        '@id("two") @quorum("1") @approvers("admin") @expires("1h") permit (principal, action == Action::"change", resource);'
    )
    assert "share no approver role" in denied(apart.decide(APPLY)).reason


def test_a_read_that_one_policy_asks_for_is_asked_for() -> None:
    asking = made(f'{READS} @id("ask") {ASK} permit (principal, action == Action::"read", resource);')
    decision = needs(asking.decide(replace(APPLY, cls=CallClass.READ)))
    assert decision.reason == "reads in production need 1 approver who did not ask for them (policies/a.cedar: ask)"


def test_roles_are_named_in_words() -> None:
    ask = Ask(2, frozenset({"risk_owner"}), 60, exclude_requesters=False, typed=False)
    assert strictest([ask], ["x"]).approvers == {"risk_owner"}
    asked = made(
        f'{READS} @id("a") @quorum("2") @approvers("risk_owner") @expires("5m") permit (principal, action == Action::"change", resource);'
    )
    assert "need 2 risk owners who did not ask" in needs(asked.decide(APPLY)).reason


BAD: Mapping[str, tuple[str, str]] = {
    "no id": ('permit (principal, action == Action::"read", resource);', "a policy has no @id"),
    "twice": (f"{READS} {READS}", "two policies have this name"),
    "strange annotation": ('@id("r") @quorm("1") permit (principal, action, resource);', "@quorm: a permit has no such annotation"),
    "forbid that asks": (f'@id("r") {ASK} forbid (principal, action, resource);', "@approvers: a forbid has no such annotation"),
    "half an approval": ('@id("r") @quorum("1") permit (principal, action, resource);', "@approvers: it is missing"),
    "quorum": (f'@id("r") {asked(quorum="0")} permit (principal, action, resource);', "'0' is no number of people"),
    "role": (f'@id("r") {asked(approvers="boss")} permit (principal, action, resource);', "'boss' names no roles"),
    "no role": (f'@id("r") {asked(approvers="")} permit (principal, action, resource);', "'' names no roles"),
    "expiry": (f'@id("r") {asked(expires="forever")} permit (principal, action, resource);', "'forever' is no time"),
    "long expiry": (f'@id("r") {asked(expires="25h")} permit (principal, action, resource);', "'25h' is no time"),
    "typed": (f'@id("r") {ASK} @typed("yes") permit (principal, action, resource);', "@typed: 'yes' is not known"),
    "syntax": ("permit (principal", "Mend the policy's syntax"),
    "schema": ('@id("r") permit (principal == User::"x", action, resource);', "Use the names of policies/schema.cedarschema"),
    "attribute": ('@id("r") permit (principal, action == Action::"read", resource) when { context.sudo };', "schema.cedarschema"),
    "template": ('@id("r") permit (principal == ?principal, action == Action::"read", resource);', "a template with ?principal"),
    "nothing permitted": ('@id("f") forbid (principal, action, resource);', "no policy permits anything"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(BAD))
def test_policies_that_cannot_be_trusted_do_not_load(name: str) -> None:
    text, wrong = BAD[name]
    with pytest.raises(PolicyError) as caught:
        made(text)
    assert wrong in str(caught.value)
    assert str(caught.value).startswith("policies")


UNASKED = {
    "any action": "permit (principal, action, resource);",
    "change by name": 'permit (principal, action == Action::"change", resource);',
    "in a list": 'permit (principal, action in [Action::"read", Action::"destroy"], resource);',
    "behind a condition": 'permit (principal, action == Action::"unknown", resource) when { context.verdict_passed };',
    "for one persona": 'permit (principal == Persona::"builder", action == Action::"change", resource == Tool::"x");',
    "for the rest": 'permit (principal, action, resource) unless { principal in [Persona::"builder"] };',
    "for a tool in a condition": 'permit (principal, action == Action::"sensitive-read", resource) when { resource in [Tool::"x"] };',
    "that could err": "permit (principal, action, resource) when { context.create + 9223372036854775807 > 0 };",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(UNASKED))
def test_a_permit_without_approval_must_not_reach_what_has_to_be_asked(name: str) -> None:
    with pytest.raises(PolicyError, match="says nothing about approval"):
        made(f'{READS} @id("x") {UNASKED[name]}')
    assert made(f'{READS} @id("x") {ASK} {UNASKED[name]}').decide(replace(APPLY, cls=CallClass.READ))


class Unchecked(Authoriser):
    """As if the check at load had missed a permit."""

    def _check_asks(self, rule: Rule) -> None:
        assert rule.name


def test_a_permit_that_slipped_through_the_load_still_does_not_permit() -> None:
    text = '@id("x") permit (principal, action, resource);'
    decision = denied(Unchecked(SCHEMA, {"policies/a.cedar": text}, "v").decide(APPLY))
    assert decision.reason == "no policy says what approval changes take"


def test_a_broken_schema_is_named() -> None:
    with pytest.raises(PolicyError, match=r"schema\.cedarschema"):
        Authoriser("entity ;", {"policies/a.cedar": READS}, "v")


def test_every_tool_of_every_persona_has_a_policy_and_an_invented_one_has_none() -> None:
    assert authoriser().speaks_of("terraform_apply", PersonaName("builder"))
    assert authoriser().speaks_of("read_artifact", PersonaName("qa"))
    made_up = made(
        '@id("r") permit (principal, action == Action::"read", resource) when { resource in [Tool::"plan"] };'
    )
    assert not made_up.speaks_of("invented", PersonaName("qa"))
    assert made_up.speaks_of("plan", PersonaName("qa"))


def test_what_production_can_ask_for_is_known() -> None:
    terms = authoriser().terms_in("production")
    assert {term.approvers for term in terms} == {frozenset({"approver"})}
    assert all(term.exclude_requesters for term in terms)
    assert any(term.typed_names for term in terms)


def test_the_policies_name_only_what_exists() -> None:
    assert authoriser().named("Persona") == {"architect", "builder", "sentinel", "qa"}
    assert authoriser().named("Environment") == {"production"}
    assert Path(POLICIES / "README.md").exists()


def test_a_grant_is_as_long_as_the_shortest_permit_and_none_where_one_says_nothing() -> None:
    change = 'permit (principal, action == Action::"change", resource);'
    long, short = f'@id("a") {ASK} @grant("2h") {change}', f'@id("b") {ASK} @grant("30m") {change}'
    assert needs(made(f"{long} {short}").decide(APPLY)).terms.grant_s == 1800
    assert needs(made(f'{long} @id("c") {ASK} {change}').decide(APPLY)).terms.grant_s == 0


@pytest.mark.parametrize("action", ['action == Action::"destroy"', 'action == Action::"unknown"', "action"])
def test_rule_12_a_grant_for_what_destroys_or_is_not_understood_fails_at_load(action: str) -> None:
    with pytest.raises(PolicyError, match="which no grant covers") as error:
        made(f'{READS} @id("a") {ASK} @grant("1h") permit (principal, {action}, resource);')
    assert error.value.field == "@grant"
