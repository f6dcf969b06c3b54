"""The mission log: everything that happened in one mission, as closed union of frozen entries. State is a fold over it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bot.domain.approvals import RequestStatus
from bot.domain.calls import CallClass, ToolResult
from bot.domain.contract import Criterion, Evidence, PlanStep, Verdict
from bot.domain.grants import GrantStatus
from bot.domain.guarding import Detection, Intervention
from bot.domain.ids import (
    CallId,
    Digest,
    EntryId,
    MissionId,
    PersonaName,
    QuestionId,
    RequestId,
    Thread,
    UserId,
)
from bot.domain.model import ProposedCall, StopReason, Usage

TurnEnd = Literal["spoke", "handed_off", "asked", "suspended", "limit_reached", "stopped", "failed", "cut_short"]
MissionEnd = Literal["done", "partial", "stopped"]


@dataclass(frozen=True, slots=True)
class MissionOpened:
    mission: MissionId
    estate: str
    environment: str
    requester: UserId
    thread: Thread
    request: str  # verbatim
    addressed: PersonaName
    kind: Literal["mission_opened"] = "mission_opened"


@dataclass(frozen=True, slots=True)
class RequestAmended:
    by: UserId
    text: str
    kind: Literal["request_amended"] = "request_amended"


@dataclass(frozen=True, slots=True)
class HumanSaid:
    by: UserId
    text: str
    to: PersonaName
    ts: str
    kind: Literal["human_said"] = "human_said"


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """`cause` is the wake's key that the router consumed (see bot.mission.Wake)."""

    turn: int
    persona: PersonaName
    cause: str
    kind: Literal["turn_started"] = "turn_started"


@dataclass(frozen=True, slots=True)
class ModelAsked:
    """Written before the provider is called, so that a budget holds over a crash."""

    turn: int
    persona: PersonaName
    kind: Literal["model_asked"] = "model_asked"


@dataclass(frozen=True, slots=True)
class ModelReplied:
    """One step. `calls` carry ids already made unique. `thought` stays in the trace."""

    turn: int
    persona: PersonaName
    model: str
    thought: str
    text: str
    calls: tuple[ProposedCall, ...]
    stop: StopReason
    usage: Usage
    cost_usd: float
    leaks: int = 0
    kind: Literal["model_replied"] = "model_replied"


@dataclass(frozen=True, slots=True)
class ToolReturned:
    """`cls` is the class the gate gave the call. A later entry for the same call replaces an earlier `held` one."""

    turn: int
    persona: PersonaName
    cls: CallClass
    result: ToolResult
    request: RequestId | None = None
    kind: Literal["tool_returned"] = "tool_returned"


@dataclass(frozen=True, slots=True)
class TurnEnded:
    turn: int
    persona: PersonaName
    how: TurnEnd
    note: str = ""
    kind: Literal["turn_ended"] = "turn_ended"


@dataclass(frozen=True, slots=True)
class Spoke:
    turn: int
    persona: PersonaName
    text: str
    kind: Literal["spoke"] = "spoke"


@dataclass(frozen=True, slots=True)
class HandedOff:
    turn: int
    by: PersonaName
    to: PersonaName
    task: str
    step: int | None
    fingerprint: str  # of owner and normalised task
    kind: Literal["handed_off"] = "handed_off"


@dataclass(frozen=True, slots=True)
class Planned:
    """The Architect's plan. `criteria` are appended to the contract; `steps` replace the earlier steps.
    `uncovered` are words of the request that no criterion quotes.
    """

    criteria: tuple[Criterion, ...]
    steps: tuple[PlanStep, ...]
    uncovered: tuple[str, ...]
    kind: Literal["planned"] = "planned"


@dataclass(frozen=True, slots=True)
class Asked:
    question: QuestionId
    by: PersonaName
    text: str
    options: tuple[str, ...]
    default: int  # index into options
    deadline: datetime
    kind: Literal["asked"] = "asked"


@dataclass(frozen=True, slots=True)
class QuestionAnswered:
    """`by` is "" where the deadline took the default."""

    question: QuestionId
    answer: str
    by: str
    kind: Literal["question_answered"] = "question_answered"


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    request: RequestId
    call: CallId
    by: PersonaName
    digest: Digest
    cls: CallClass
    title: str
    kind: Literal["approval_asked"] = "approval_asked"


@dataclass(frozen=True, slots=True)
class ApprovalEnded:
    """`by` are the people who decided; `reason` a denier's words or what voided the request."""

    request: RequestId
    status: RequestStatus
    by: tuple[UserId, ...]
    reason: str
    left_out: tuple[str, ...] = ()  # names that a denier took out: nothing of this mission may touch them
    marks: tuple[str, ...] = ()  # who approved it in another's place, in words
    kind: Literal["approval_ended"] = "approval_ended"


@dataclass(frozen=True, slots=True)
class GrantOpened:
    """The approvers of a request let the same call run again until `until`."""

    grant: RequestId
    title: str
    by: tuple[UserId, ...]
    until: datetime
    kind: Literal["grant_opened"] = "grant_opened"


@dataclass(frozen=True, slots=True)
class GrantEnded:
    grant: RequestId
    how: GrantStatus
    note: str
    kind: Literal["grant_ended"] = "grant_ended"


@dataclass(frozen=True, slots=True)
class FreezeSeen:
    """The mission learned that changes are frozen, in words; "" where they run again."""

    words: str
    kind: Literal["freeze_seen"] = "freeze_seen"


@dataclass(frozen=True, slots=True)
class VerdictRecorded:
    verdict: Verdict
    kind: Literal["verdict_recorded"] = "verdict_recorded"


@dataclass(frozen=True, slots=True)
class EvidenceRecorded:
    evidence: Evidence
    kind: Literal["evidence_recorded"] = "evidence_recorded"


@dataclass(frozen=True, slots=True)
class CriterionWaived:
    criterion: int
    by: UserId
    reason: str
    kind: Literal["criterion_waived"] = "criterion_waived"


@dataclass(frozen=True, slots=True)
class FindingAccepted:
    fingerprint: str
    by: UserId
    reason: str
    kind: Literal["finding_accepted"] = "finding_accepted"


@dataclass(frozen=True, slots=True)
class BudgetWarned:
    what: str
    kind: Literal["budget_warned"] = "budget_warned"


@dataclass(frozen=True, slots=True)
class BudgetExtended:
    """Multiplies every limit of the mission by `factor`, which is at least 1."""

    by: UserId
    factor: float
    kind: Literal["budget_extended"] = "budget_extended"


@dataclass(frozen=True, slots=True)
class Parked:
    """Nobody has the turn until a human (or what `why` names) moves the mission on."""

    why: Literal["budget", "approval_expired", "unknown_outcome", "model_unavailable", "failed", "guard"]
    text: str
    kind: Literal["parked"] = "parked"


@dataclass(frozen=True, slots=True)
class Noted:
    """A note of the program to one agent, which gives it the turn. `returned`: the agent it had handed work to spoke
    and did not hand the turn back.
    """

    to: PersonaName
    text: str
    why: Literal["returned", "extended", "recovered", "decided"]
    kind: Literal["noted"] = "noted"


@dataclass(frozen=True, slots=True)
class Intervened:
    """A guard saw a dysfunction and the program did something about it. `line` is what the thread shows of it."""

    turn: int
    detection: Detection
    action: Intervention
    line: str
    kind: Literal["intervened"] = "intervened"


@dataclass(frozen=True, slots=True)
class StopPressed:
    by: UserId
    kind: Literal["stop_pressed"] = "stop_pressed"


@dataclass(frozen=True, slots=True)
class MissionEnded:
    outcome: MissionEnd
    text: str
    kind: Literal["mission_ended"] = "mission_ended"


Entry = (
    MissionOpened
    | RequestAmended
    | HumanSaid
    | TurnStarted
    | ModelAsked
    | ModelReplied
    | ToolReturned
    | TurnEnded
    | Spoke
    | HandedOff
    | Planned
    | Asked
    | QuestionAnswered
    | ApprovalAsked
    | ApprovalEnded
    | GrantOpened
    | GrantEnded
    | FreezeSeen
    | VerdictRecorded
    | EvidenceRecorded
    | CriterionWaived
    | FindingAccepted
    | BudgetWarned
    | BudgetExtended
    | Parked
    | Noted
    | Intervened
    | StopPressed
    | MissionEnded
)


@dataclass(frozen=True, slots=True)
class Logged:
    """An entry with its place in the log. `at` is the store's time."""

    id: EntryId
    at: datetime
    entry: Entry
