"""A mission's state: what the fold in bot/mission.py makes of its log. Frozen; `ordinal` counts log entries from 1."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from bot.domain.calls import CallClass
from bot.domain.contract import Criterion, Evidence, Finding, PlanStep, Verdict, Waiver
from bot.domain.guarding import InterventionRecord
from bot.domain.ids import CallId, Digest, EntryId, Json, MissionId, PersonaName, QuestionId, RequestId, Thread, UserId
from bot.domain.model import ProposedCall


@dataclass(frozen=True, slots=True)
class Wake:
    """A reason for somebody to have the turn. `key` is unique in the mission; the router serves the oldest first."""

    key: str
    persona: PersonaName
    text: str  # what the agent hears
    cause: Literal["said", "handed_off", "settled", "answered", "noted", "returned"]
    humans: frozenset[UserId] = frozenset()  # whose words began it: they count as requesters of what it proposes


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One result of a call as the exchange shows it. `status` as in ToolResult."""

    call: CallId
    tool: str
    status: str
    text: str
    cls: CallClass
    artifact: str = ""
    size: int = 0
    request: RequestId | None = None
    ordinal: int = 0
    changed: bool = False
    facts: Mapping[str, Json] = field(default_factory=dict[str, Json])
    digest: Digest | None = None
    persona: PersonaName = PersonaName("")


@dataclass(frozen=True, slots=True)
class HeardItem:
    text: str


@dataclass(frozen=True, slots=True)
class StepItem:
    """One model answer with its calls. Results stand in Mission.results by call id."""

    text: str
    calls: tuple[ProposedCall, ...]


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one agent went through since it was last given something new to do."""

    persona: PersonaName
    items: tuple[HeardItem | StepItem, ...]
    humans: frozenset[UserId]
    handed_by: PersonaName | None = None

    @property
    def calls(self) -> tuple[ProposedCall, ...]:
        return tuple(call for item in self.items if isinstance(item, StepItem) for call in item.calls)


@dataclass(frozen=True, slots=True)
class ActiveTurn:
    """`since` is the ordinal of its start; `spoke` what the agent said to end it."""

    number: int
    persona: PersonaName
    steps: int = 0
    since: int = 0
    spoke: str = ""


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    question: QuestionId
    by: PersonaName
    text: str
    options: tuple[str, ...]
    default: int
    deadline: datetime


@dataclass(frozen=True, slots=True)
class OpenGrant:
    grant: RequestId
    title: str
    by: tuple[UserId, ...]
    until: datetime


@dataclass(frozen=True, slots=True)
class OpenRequest:
    request: RequestId
    call: CallId
    by: PersonaName
    digest: Digest
    title: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Denial:
    digest: Digest
    reason: str
    by: tuple[UserId, ...]


@dataclass(frozen=True, slots=True)
class HandOffRecord:
    fingerprint: str
    to: PersonaName
    task: str
    progress: int  # Mission.progress when it was made


@dataclass(frozen=True, slots=True)
class Shown:
    """Recorded evidence with its place in the log."""

    evidence: Evidence
    ordinal: int  # of the tool result it names, or of the entry where it names none


@dataclass(frozen=True, slots=True)
class Built:
    """A machine that this mission made. `address` is "" where the code gave none, `vmid` 0 where nobody said it."""

    name: str
    node: str
    vmid: int = 0
    address: str = ""


@dataclass(frozen=True, slots=True)
class Root:
    """What stands now at one place that changes are made from (a tool and its directory), as its last run said."""

    exists: tuple[str, ...] = ()
    machines: tuple[Built, ...] = ()


@dataclass(frozen=True, slots=True)
class Spend:
    usd: float = 0.0
    prompt: int = 0
    completion: int = 0
    steps: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt + self.completion

    def plus(self, more: "Spend") -> "Spend":
        return Spend(
            self.usd + more.usd, self.prompt + more.prompt, self.completion + more.completion, self.steps + more.steps
        )


@dataclass(frozen=True, slots=True)
class Line:
    """One line that everyone in the thread has seen."""

    who: str
    text: str


@dataclass(frozen=True, slots=True)
class Mission:
    id: MissionId
    thread: Thread
    estate: str
    environment: str
    requester: UserId
    request: str
    opened_at: datetime
    amendments: tuple[tuple[UserId, str], ...] = ()
    criteria: tuple[Criterion, ...] = ()
    uncovered: tuple[str, ...] = ()
    steps: tuple[PlanStep, ...] = ()
    hand_offs: tuple[HandOffRecord, ...] = ()
    turn: ActiveTurn | None = None
    turns: int = 0
    last_persona: PersonaName = PersonaName("architect")
    returned_at: int = -1  # Mission.progress when a turn was last given back for want of a hand-off
    wakes: tuple[Wake, ...] = ()
    exchanges: Mapping[PersonaName, Exchange] = field(default_factory=dict[PersonaName, Exchange])
    results: Mapping[CallId, CallRecord] = field(default_factory=dict[CallId, CallRecord])
    questions: Mapping[QuestionId, OpenQuestion] = field(default_factory=dict[QuestionId, OpenQuestion])
    requests: Mapping[RequestId, OpenRequest] = field(default_factory=dict[RequestId, OpenRequest])
    grants: Mapping[RequestId, OpenGrant] = field(default_factory=dict[RequestId, OpenGrant])
    left_out: tuple[str, ...] = ()  # names that people took out of requests
    frozen: str = ""  # words where all changes are frozen
    denials: tuple[Denial, ...] = ()
    verdicts: Mapping[str, Verdict] = field(default_factory=dict[str, Verdict])
    findings: Mapping[str, Finding] = field(default_factory=dict[str, Finding])
    evidence: Mapping[int, Shown] = field(default_factory=dict[int, Shown])
    waivers: Mapping[int, Waiver] = field(default_factory=dict[int, Waiver])
    approvals_by: Mapping[UserId, int] = field(default_factory=dict[UserId, int])
    roots: Mapping[str, Root] = field(default_factory=dict[str, Root])
    applied: tuple[str, ...] = ()  # what exists in all of them
    approval_marks: tuple[str, ...] = ()  # approvals in another's place, in words for the report
    created: int = 0
    changed: int = 0
    destroyed: int = 0
    last_change: int = 0  # ordinal of the last result that changed something outside
    progress: int = 0  # grows with every plan, change, verdict, evidence, answer: "new evidence" for hand-offs
    talk: tuple[Line, ...] = ()
    asking: Mapping[UserId, int] = field(default_factory=dict[UserId, int])  # who spoke, and when last (bot/asking.py)
    led: Mapping[str, frozenset[UserId]] = field(default_factory=dict[str, frozenset[UserId]])  # to which plan
    spend: Spend = Spend()
    spend_by: Mapping[PersonaName, Spend] = field(default_factory=dict[PersonaName, Spend])
    warned: tuple[str, ...] = ()
    factor: float = 1.0
    parked: str = ""
    parked_text: str = ""
    stopped_by: UserId | None = None
    ended: str = ""
    ended_at: datetime | None = None
    waiting_since: datetime | None = None
    waited_s: float = 0.0
    asked: int = 0
    approved: int = 0
    denied: int = 0
    leaks: int = 0
    interventions: tuple[InterventionRecord, ...] = ()
    notes: Mapping[PersonaName, tuple[str, ...]] = field(default_factory=dict[PersonaName, tuple[str, ...]])  # unheard
    health: str = ""  # what the guards remember, as text; empty: nothing yet
    ordinal: int = 0
    last: EntryId = EntryId("0-0")

    @property
    def requesters(self) -> frozenset[UserId]:
        """Everyone whose words started the mission or amended its contract (rule 12; turn starters are added per call)."""
        return frozenset({self.requester, *(by for by, _ in self.amendments)})
