"""May this call run, and what approval does it take? Cedar decides over facts; every doubt is a no (rule 9).

The class of a call is Cedar's action, the tool its resource, the persona its principal; the rest is context.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.domain.approvals import Allowed, Decision, Denied, NeedsApproval, Terms
from bot.domain.calls import CallClass
from bot.domain.estate import Window
from bot.domain.grants import GRANTABLE
from bot.domain.ids import Json, MissionId, PersonaName
from bot.policy.cedar import CedarPolicies, Uid
from bot.policy.problems import PolicyError
from bot.policy.rules import Ask, Rule

ASKING = (CallClass.SENSITIVE_READ, CallClass.CHANGE, CallClass.DESTROY, CallClass.UNKNOWN)
MOST = 1_000_000  # counts above it are this: Cedar's numbers overflow at 2^63, and an overflow is an error
TYPED_AT_MOST = 4  # names; of more, the approver types how many they are
NOBODY = "·"  # a name that no persona, tool or environment can have: "any other" in the check at load
PLURALS = {
    CallClass.READ: "reads",
    CallClass.SENSITIVE_READ: "reads of sensitive values",
    CallClass.CHANGE: "changes",
    CallClass.DESTROY: "destructive changes",
    CallClass.UNKNOWN: "calls that are not fully understood",
    CallClass.FORBIDDEN: "forbidden calls",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a call when it is decided. `names` are what it destroys or touches, for typing."""

    persona: PersonaName
    tool: str
    cls: CallClass
    environment: str
    mission: MissionId
    estate: str
    create: int = 0
    change: int = 0
    destroy: int = 0
    needs_verdict: bool = False
    verdict_passed: bool = False
    names: tuple[str, ...] = ()
    resources: int = 0
    quorum_share: int = 0  # percent: the largest share of a voting group that it touches
    loses_quorum: bool = False
    last_of: frozenset[str] = frozenset()  # voting groups of which nothing would be left
    window: Window = "none"
    maintenance: bool = False  # everything that it touches is in maintenance


# What circumstances can be at their mildest and at their worst: for checks at load that ask about every call there is.
EXTREMES: tuple[Mapping[str, Any], ...] = (
    {"window": "open", "maintenance": True},
    {"window": "closed", "resources": 1_000, "quorum_share": 100, "loses_quorum": True},
)


class Authoriser:
    """Decides from policies that were parsed, validated and checked once."""

    def __init__(self, schema_text: str, files: Mapping[str, str], version: str) -> None:
        """`files` are Cedar texts by name ("policies/reads.cedar"). Raises PolicyError for what cannot be trusted."""
        self.version = version
        self._cedar = CedarPolicies(schema_text, files)
        if not any(rule.effect == "permit" for rule in self._cedar.rules.values()):
            raise PolicyError("policies", "", "no policy permits anything", "Restore the *.cedar files")
        for rule in self._cedar.rules.values():
            self._check_asks(rule)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Every policy with what its annotations say."""
        return tuple(self._cedar.rules.values())

    @property
    def asks_for_codes(self) -> bool:
        """True if some permit takes a one-time code."""
        return any(rule.ask is not None and rule.ask.totp for rule in self.rules)

    def named(self, kind: str) -> frozenset[str]:
        """The names of this kind (Persona, Tool, Environment) that some policy speaks of."""
        return self._cedar.named[kind]

    def decide(self, facts: Facts) -> Decision:
        """Allowed, NeedsApproval with the strictest terms of all permits, or Denied with the reason."""
        if facts.cls is CallClass.FORBIDDEN:
            return Denied("forbidden calls are never run, and no approval changes that", policies=("forbidden",))
        persona, cls, tool = Uid("Persona", facts.persona), Uid("Action", facts.cls), Uid("Tool", facts.tool)
        answer = self._cedar.ask(persona, cls, tool, _context(facts))
        if answer.errors:
            return Denied(f"the policies could not be evaluated: {answer.errors[0]}")
        rules = [self._cedar.rules[name] for name in answer.policies]
        names = tuple(rule.name for rule in rules)
        if not answer.allowed:
            return _denied(facts, rules)
        asks = [rule.ask for rule in rules if rule.ask is not None]
        if not asks and facts.cls is CallClass.READ:
            return Allowed(names)
        if not asks:  # the check at load makes this impossible; a second lock on the same door
            return Denied(f"no policy says what approval {PLURALS[facts.cls]} take", policies=names)
        terms = strictest(asks, facts.names or (facts.environment,))
        if not terms.approvers:
            return Denied("the policies that permit it share no approver role", policies=names)
        asking = tuple(rule.name for rule in rules if rule.ask is not None)
        return NeedsApproval(terms, asking, _why(facts, terms, asking))

    def not_here(self, facts: Facts, said: Sequence[str]) -> tuple[Rule, ...]:
        """Permits for this persona, tool and class that did not speak: what they ask of the facts does not hold."""
        who, cls, tool = Uid("Persona", facts.persona), Uid("Action", facts.cls), Uid("Tool", facts.tool)
        permits = [rule for rule in self.rules if rule.effect == "permit" and rule.name not in said]
        return tuple(rule for rule in permits if self._cedar.may_permit(rule.name, who, cls, tool))

    def terms_in(self, environment: str) -> tuple[Terms, ...]:
        """Every approval that some call in `environment` can take: for the check that somebody can give it."""
        found: dict[Terms, None] = {}
        for persona, tool in self._pairs():
            for cls in ASKING:
                facts = Facts(PersonaName(persona), tool, cls, environment, MissionId(NOBODY), NOBODY, 1, 1, 1)
                for circumstances in EXTREMES:
                    decision = self.decide(replace(facts, verdict_passed=True, **circumstances))
                    if isinstance(decision, NeedsApproval):
                        found[decision.terms] = None
        return tuple(found)

    def speaks_of(self, tool: str, persona: PersonaName) -> bool:
        """False if no permit could ever let `persona` call `tool`: then the tool has no policy."""
        permits = [rule.name for rule in self._cedar.rules.values() if rule.effect == "permit"]
        who, what = Uid("Persona", persona), Uid("Tool", tool)
        classes = [Uid("Action", cls) for cls in CallClass if cls is not CallClass.FORBIDDEN]
        return any(self._cedar.may_permit(name, who, cls, what) for name in permits for cls in classes)

    def _check_asks(self, rule: Rule) -> None:
        """A permit that asks nobody must not reach a class that has to be asked for.

        It is authorised alone, with the facts unknown, for each such class and each persona and tool it could mean.
        """
        if rule.ask is not None and rule.ask.grant_s:
            self._check_grant(rule)
        if rule.effect == "forbid" or rule.ask is not None:
            return
        for cls in ASKING:
            for persona, tool in self._pairs():
                who, what = Uid("Persona", persona), Uid("Tool", tool)
                if self._cedar.may_permit(rule.name, who, Uid("Action", cls), what):
                    wrong = f"it may permit {PLURALS[cls]} and says nothing about approval"
                    mend = 'Add @quorum, @approvers and @expires, or limit it to action == Action::"read"'
                    raise PolicyError(rule.name, "", wrong, mend)

    def _check_grant(self, rule: Rule) -> None:
        """Nothing that destroys, and nothing that is not understood, is let through twice on one approval."""
        for cls in ASKING:
            for persona, tool in self._pairs() if cls not in GRANTABLE else ():
                if self._cedar.may_permit(rule.name, Uid("Persona", persona), Uid("Action", cls), Uid("Tool", tool)):
                    wrong = f"it may permit {PLURALS[cls]}, which no grant covers"
                    mend = 'Limit it to action == Action::"change" or Action::"sensitive-read", or remove @grant'
                    raise PolicyError(rule.name, "@grant", wrong, mend)

    def _pairs(self) -> Iterator[tuple[str, str]]:
        """Every persona and tool that a policy names, and one of each that none names."""
        for persona in (*sorted(self.named("Persona")), NOBODY):
            for tool in (*sorted(self.named("Tool")), NOBODY):
                yield persona, tool


def strictest(asks: Sequence[Ask], names: Sequence[str]) -> Terms:
    """The join of what several permits take: largest quorum, shortest expiry, every exclusion, common approvers."""
    typed = any(ask.typed for ask in asks)
    shown = tuple(names) if len(names) <= TYPED_AT_MOST else (f"destroy {len(names)}",)
    return Terms(
        quorum=max(ask.quorum for ask in asks),
        approvers=asks[0].approvers.intersection(*(ask.approvers for ask in asks)),
        expires_s=min(ask.expires_s for ask in asks),
        exclude_requesters=any(ask.exclude_requesters for ask in asks),
        typed_names=shown if typed else (),
        grant_s=min(ask.grant_s for ask in asks),
        totp=any(ask.totp for ask in asks),
    )


def _why(facts: Facts, terms: Terms, policies: Sequence[str]) -> str:
    what = f"{PLURALS[facts.cls]} in {facts.environment} need"
    roles = " or ".join(sorted(role.replace("_", " ") for role in terms.approvers))
    who = f"{terms.quorum} {roles}{'s' if terms.quorum > 1 else ''}"
    not_them = " who did not ask for them" if terms.exclude_requesters else ""
    typed = ", and the names typed" if terms.typed_names else ""
    typed += ", and a one-time code" if terms.totp else ""
    return f"{what} {who}{not_them}{typed} ({'; '.join(policies)})"


def _denied(facts: Facts, rules: Sequence[Rule]) -> Denied:
    names = tuple(rule.name for rule in rules)
    if not rules:
        what = f"{facts.tool} as {facts.cls} in {facts.environment}"
        return Denied(f"no policy lets {facts.persona} call {what}", "use another tool, or hand_off to who may do it")
    reason = "; ".join(f"{rule.why} ({rule.name})" for rule in rules)
    instead = next((rule.instead for rule in rules if rule.instead), "")
    return Denied(reason, instead, names)


def _context(facts: Facts) -> dict[str, Json]:
    return {
        "environment": {"__entity": Uid("Environment", facts.environment).as_json()},
        "mission": {"__entity": Uid("Mission", facts.mission).as_json()},
        "estate": facts.estate,
        "create": min(facts.create, MOST),
        "change": min(facts.change, MOST),
        "destroy": min(facts.destroy, MOST),
        "needs_verdict": facts.needs_verdict,
        "verdict_passed": facts.verdict_passed,
        "resources": min(facts.resources, MOST),
        "quorum_share": facts.quorum_share,
        "loses_quorum": facts.loses_quorum,
        "last_of": sorted(facts.last_of),
        "window": facts.window,
        "maintenance": facts.maintenance,
    }
