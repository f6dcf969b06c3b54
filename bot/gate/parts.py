"""What the gate is made of, and the few things every part of it does."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.domain.approvals import ApprovalRequest
from bot.domain.calls import CallClass, Effect, Prepared, ToolCall
from bot.domain.deputies import Deputies, Deputy
from bot.domain.estate import Calendar, Inventory
from bot.domain.ids import Json, PersonaName
from bot.domain.ports import Clock, Codes, Environments, People, Redactor, Scope, Tool
from bot.domain.state import Mission
from bot.domain.storage import Approvals, Artifacts, Audit, AuditEvent, Grants, Leases, Switch
from bot.gate.ledger import ExecutionLedger
from bot.policy.authorise import Authoriser, Facts
from bot.policy.blast import Blast, blast_of
from bot.policy.threat import ThreatModel

DESTROYING = frozenset({"delete", "replace", "forget"})
CHANGING = frozenset({CallClass.CHANGE, CallClass.DESTROY})


@dataclass(frozen=True, slots=True)
class Parts:
    """`crew` says which tools each persona has. `start_within_s`: approved and not started voids after that."""

    tools: Mapping[str, Tool]
    crew: Mapping[PersonaName, tuple[str, ...]]
    authoriser: Authoriser
    threat: ThreatModel
    environments: Environments
    inventory: Inventory
    calendar: Calendar
    quorums: tuple[str, ...]
    people: People
    codes: Codes
    approvals: Approvals
    grants: Grants
    switch: Switch
    artifacts: Artifacts
    audit: Audit
    leases: Leases
    redactor: Redactor
    clock: Clock
    ledger: ExecutionLedger
    deputies: Deputies
    start_within_s: float = 300.0
    shown: int = 6000  # characters of a result that the model sees at once
    known_deputies: list[Deputy] = field(default_factory=list[Deputy])  # as last read: for cards, which decide nothing

    async def tell(self, kind: str, mission: str, who: str, **facts: Json) -> None:
        """Append one audit event. What cannot be audited does not happen: StoreUnavailableError goes up."""
        await self.audit.append(AuditEvent(kind, mission, who, clean(self.redactor, facts)))

    def environment_of(self, effect: Effect, mission: Mission) -> str:
        """The strictest environment of what the call touches; the mission's only where it changes nothing.

        A change that names no target is unmapped, and that is production: who writes the code chooses the names.
        """
        found = [self.environments.of(target.kind, target.name) for target in effect.targets]
        if found or effect.cls in CHANGING:
            return self.environments.strictest(found)
        return mission.environment

    def blast_of(self, effect: Effect, environment: str, mission: Mission) -> Blast:
        """What it takes with it, and how it fits the calendar, as both are now."""
        now = self.clock.now()
        machines = self.inventory.machines(mission.estate)
        away = self.calendar.away(machines or (), now)
        timing = self.calendar.timing(environment, effect.targets, now)
        return blast_of(effect, machines, self.quorums, away, timing)

    def facts_of(self, prepared: Prepared, environment: str, scope: Scope, blast: Blast) -> Facts:
        """What the policies are asked about."""
        effect = prepared.effect
        return Facts(
            persona=prepared.call.persona,
            tool=prepared.call.tool,
            cls=effect.cls,
            environment=environment,
            mission=scope.mission.id,
            estate=scope.mission.estate,
            create=effect.create,
            change=effect.change,
            destroy=effect.destroy,
            needs_verdict=bool(prepared.revision),
            verdict_passed=self.threat.passed(scope.mission, prepared.revision, environment),
            names=_names(effect),
            resources=blast.resources,
            quorum_share=blast.quorum_share,
            loses_quorum=blast.loses_quorum,
            last_of=blast.last_of,
            window=blast.timing.window,
            maintenance=blast.timing.covered,
        )


def clean(redactor: Redactor, facts: Mapping[str, Json]) -> Mapping[str, Json]:
    """The same facts, redacted. A redactor that does not give facts back is an error, and nothing goes out."""
    redacted = redactor.json(dict(facts))
    assert isinstance(redacted, Mapping)
    return redacted


def call_facts(call: ToolCall, **more: Json) -> dict[str, Json]:
    """What every audit event of a call says."""
    return {"call": call.id, "tool": call.tool, "turn": call.turn, **more}


def request_facts(request: ApprovalRequest, **more: Json) -> dict[str, Json]:
    """What every audit event of a request says."""
    return {
        "request": request.id,
        "digest": request.digest,
        "tool": request.prepared.call.tool,
        "class": request.effect.cls.value,
        "environment": request.environment,
        "policy_version": request.policy_version,
        **more,
    }


def _names(effect: Effect) -> tuple[str, ...]:
    """What an approver has to type: what is destroyed, else what is touched."""
    destroyed = [item.name for item in effect.items if item.action in DESTROYING]
    names = destroyed or [target.name for target in effect.targets]
    return tuple(dict.fromkeys(names))
