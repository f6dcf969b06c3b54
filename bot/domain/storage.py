"""The store's ports: log, inbox, outbox, leases, approvals, artifacts, audit, budget, locks. Redis fills them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from bot.domain.approvals import ApprovalRequest, NotCounted, RequestStatus, Vote
from bot.domain.calls import ToolResult
from bot.domain.grants import Freeze, Grant, GrantStatus
from bot.domain.ids import (
    ArtifactId,
    EntryId,
    InboxId,
    Json,
    LaneKey,
    MissionId,
    RequestId,
    Thread,
    Token,
    UserId,
)
from bot.domain.inbound import Immediate, Ordered, Said
from bot.domain.log import Entry, Logged, MissionOpened
from bot.domain.posts import Post
from bot.domain.state import Mission


class StaleTokenError(Exception):
    """Somebody else holds the lane by now: nothing of the write was stored."""


class StoreUnavailableError(Exception):
    """The store did not take a write. Callers do not ack, do not run, do not post."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """At `at` the lane gets `DeadlineReached(lane, what, subject)`. The same (what, subject) replaces the earlier one."""

    lane: LaneKey
    what: Literal["request", "question", "start", "reminder", "grant"]
    subject: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Commit:
    """All or nothing, in one script: entries to the log, posts to the outbox, inbox items done, deadlines set,
    lanes to look at again.
    """

    entries: tuple[Entry, ...] = ()
    posts: tuple[Post, ...] = ()
    consumed: tuple[InboxId, ...] = ()
    deadlines: tuple[Deadline, ...] = ()


class Journal(Protocol):
    """The mission logs: append-only, hash-chained, written only with a live token (rule 1)."""

    async def open(self, token: Token, opened: MissionOpened, commit: Commit) -> tuple[MissionId, Sequence[Logged]]:
        """Give the next mission number, write the opening (its `mission` replaced) and the commit."""
        ...

    async def mission_of(self, thread: Thread) -> MissionId | None: ...

    async def thread_of(self, mission: MissionId) -> Thread | None: ...

    async def missions(self, *, running: bool) -> tuple[MissionId, ...]:
        """Newest first; with `running` only those without a `mission_ended`."""
        ...

    async def read(self, mission: MissionId, after: EntryId = ...) -> Sequence[Logged]: ...

    async def commit(self, token: Token, mission: MissionId | None, commit: Commit) -> Sequence[Logged]:
        """Raises StaleTokenError, or StoreUnavailableError. `mission` None: posts and consumption only."""
        ...

    async def keep(self, state: Mission) -> None:
        """Store a folded state so that a cold worker need not read the whole log. Losing it costs time only."""
        ...

    async def kept(self, mission: MissionId) -> Mission | None: ...

    async def verify(self, mission: MissionId) -> EntryId | None:
        """The first entry whose hash does not fit its predecessor, or None."""
        ...


@dataclass(frozen=True, slots=True)
class LaneWork:
    lane: LaneKey


@dataclass(frozen=True, slots=True)
class ImmediateWork:
    id: InboxId
    item: Immediate


class Inbox(Protocol):
    async def put_said(self, said: Said, *, delay_s: float) -> Literal["new", "merged", "ignored"]:
        """Store a human's message durably before Slack gets its ack. The same (team, channel, ts) again merges its
        mention facts into the waiting one. Messages of one author within `delay_s` share a lane and one turn; a
        top-level message that mentions nobody is `ignored` unless it continues such a run. Raises StoreUnavailableError.
        """
        ...

    async def put(self, lane: LaneKey, item: Ordered) -> None:
        """For the lane's holder, due now."""
        ...

    async def put_immediate(self, item: Immediate, *, once: str) -> bool:
        """For any worker, at once. `once` names the click or command; a second put of the same is dropped."""
        ...

    async def next_immediate(self, worker: str, *, wait_s: float) -> ImmediateWork | None:
        """At-least-once: an item whose worker died comes again to another."""
        ...

    async def done_immediate(self, work: ImmediateWork) -> None: ...

    async def next_lane(self, worker: str, *, wait_s: float) -> LaneWork | None:
        """A lane with due items that nobody holds."""
        ...

    async def read(self, lane: LaneKey) -> Sequence[tuple[InboxId, Ordered]]:
        """Everything that waits in the lane and is due, oldest first. It stays until a commit consumes it."""
        ...

    async def clear(self, lane: LaneKey) -> int:
        """Drop the human messages that wait in the lane (STOP, CLEAR). Returns how many."""
        ...


class Leases(Protocol):
    async def acquire(self, lane: LaneKey, holder: str, ttl_s: float) -> Token | None: ...

    async def renew(self, token: Token, ttl_s: float) -> bool: ...

    async def release(self, token: Token) -> None: ...

    async def raise_stop(self, lane: LaneKey, once: str) -> int:
        """Count a STOP. Consuming an approval and `stops` see it at once. Returns how many there are. `once` names the
        press: served again, it is counted once, for a second STOP forces.
        """
        ...

    async def stops(self, lane: LaneKey) -> int: ...


@dataclass(frozen=True, slots=True)
class Sent:
    channel: str
    ts: str
    version: int


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """A post whose latest version Slack does not show yet. `tried` is true when a first send may have got through."""

    post: Post
    version: int
    sent: Sent | None
    tried: bool
    order: int


class Outbox(Protocol):
    """Desired posts by key against what Slack shows. Later versions of a key replace earlier ones that wait."""

    async def put(self, *posts: Post) -> None: ...

    async def waiting(self, limit: int = 100) -> Sequence[OutboxItem]:
        """Oldest first."""
        ...

    async def wait(self, seconds: float) -> None:
        """Until something is put, at most `seconds`."""
        ...

    async def trying(self, item: OutboxItem) -> None: ...

    async def sent(self, item: OutboxItem, ts: str) -> None: ...

    async def dropped(self, item: OutboxItem, why: str) -> None:
        """Give up on this version (Slack says it can never work); it stays readable for the operator."""
        ...

    async def sent_as(self, key: str) -> Sent | None: ...

    async def key_of(self, channel: str, ts: str) -> str | None: ...

    async def adopt(self, key: str, sent: Sent) -> bool:
        """Record a ts for a key that has none (a crash lay between sending and recording). False if it has one."""
        ...

    async def hold(self, worker: str, ttl_s: float) -> bool:
        """One sender at a time for the whole deployment."""
        ...


class Approvals(Protocol):
    """Requests and the effect ledger. Every change is one compare-and-set script."""

    async def create(self, request: ApprovalRequest) -> ApprovalRequest:
        """Store it; where the same digest already waits in the same thread, return that one instead."""
        ...

    async def get(self, request: RequestId) -> ApprovalRequest | None: ...

    async def pending(self, thread: Thread | None = None) -> Sequence[ApprovalRequest]: ...

    async def vote(self, request: RequestId, vote: Vote, now: datetime) -> ApprovalRequest | NotCounted:
        """Count one vote of one person: a deny ends it, the quorum approves it, else it stays pending."""
        ...

    async def raise_quorum(self, request: RequestId, quorum: int) -> bool:
        """A pending one takes at least so many votes from now on. False where it is not pending any more."""
        ...

    async def lower_quorum(self, request: RequestId, without: Sequence[UserId]) -> bool:
        """A pending one whose quorum was raised takes as many as it was asked with; votes of these no longer count."""
        ...

    async def end(self, request: RequestId, status: RequestStatus, note: str) -> bool:
        """Pending or approved → denied, expired, cancelled, superseded. False if it was neither any more."""
        ...

    async def consume(self, request: ApprovalRequest, token: Token, *, stops: int, start_within_s: float) -> str:
        """Approved → executing with the intent, in one script, then WAITAOF on the same connection. "" means go. Otherwise
        why nothing may run: `not_approved`, `stale_token`, `stopped`, `frozen`, `digest`, `too_late`, `not_durable`.
        """
        ...

    async def finish(self, request: RequestId, status: RequestStatus, result: ToolResult) -> None:
        """Executing → done or unknown_outcome."""
        ...

    async def executing(self, thread: Thread) -> Sequence[ApprovalRequest]:
        """Begun and not finished: after a crash these are unknown outcomes until looked at."""
        ...

    async def result(self, request: RequestId) -> ToolResult | None: ...


class Grants(Protocol):
    """Grants of threads. Every change is one compare-and-set script."""

    async def give(self, grant: Grant) -> bool:
        """Store it. False where its request gave one before."""
        ...

    async def get(self, grant: RequestId) -> Grant | None: ...

    async def of(self, thread: Thread | None = None) -> Sequence[Grant]:
        """The live ones, of all threads without one; oldest first. Time is the caller's: one may be past its end."""
        ...

    async def end(self, grant: RequestId, status: GrantStatus, note: str) -> bool:
        """Live → ended. False where it was not live any more."""
        ...

    async def use(self, grant: Grant, request: ApprovalRequest, now: datetime) -> ApprovalRequest | str:
        """Store `request` as approved by the votes of the grant's own request, where the grant is live, not past its
        end, no STOP came since, and nothing is frozen. A text says which it was: `ended`, `stopped`, `frozen`. Where the
        same digest waits already, that request comes back.
        """
        ...


class Switch(Protocol):
    """The freeze of all changes, one for the deployment."""

    async def freeze(self, freeze: Freeze) -> bool:
        """False where it was frozen already: the first reason stays."""
        ...

    async def thaw(self) -> Freeze | None:
        """What was lifted, or None where nothing was frozen."""
        ...

    async def frozen(self) -> Freeze | None: ...


class UsedCodes(Protocol):
    """Codes of step-ups: each is good once."""

    async def take(self, user: UserId, step: int) -> bool:
        """False where this step of this person, or a later one, was taken before."""
        ...

    async def wrong(self, user: UserId) -> int:
        """Wrong codes in a row, of late."""
        ...

    async def note_wrong(self, user: UserId) -> None: ...


class Artifacts(Protocol):
    async def put(self, content: bytes, *, name: str, kind: str = "text/plain") -> ArtifactId:
        """Content must be redacted already. The same bytes give the same id."""
        ...

    async def get(self, artifact: ArtifactId) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One line of the hash-chained record. `facts` are redacted, small, and no secrets."""

    kind: str  # noun.verb_past
    mission: str
    who: str
    facts: Mapping[str, Json] = field(default_factory=dict[str, Json])


class Audit(Protocol):
    async def append(self, event: AuditEvent) -> None:
        """Raises StoreUnavailableError: what must be audited and cannot be does not happen."""
        ...

    async def read(self, after: str = ..., limit: int = ...) -> Sequence[tuple[str, datetime, AuditEvent]]: ...

    async def verify(self) -> str | None:
        """The id of the first event whose hash does not fit, or None."""
        ...


@dataclass(frozen=True, slots=True)
class ChainedEvent:
    """One event as it is stored: `text` is its JSON to the byte, `at` in milliseconds (as it stands there)."""

    id: str
    at: str
    text: str
    hash: str


class AuditChain(Protocol):
    """The audit record as the chain it is, for exports and heads (bot/audit_chain.py)."""

    async def chain(self, after: str = ..., limit: int = ...) -> Sequence[ChainedEvent]: ...

    async def head(self) -> str:
        """`COUNT:HASH` as it stands, or "" of an empty record."""
        ...

    async def head_of_day(self, day: str) -> str:
        """The head when `day` was first asked for, the same for everyone who asks; "" while nothing was added since
        the last day's.
        """
        ...


class TokenBudget(Protocol):
    """Tokens a minute that all agents of a deployment share per provider (rule 21)."""

    async def take(self, pool: str, tokens: int, per_minute: int) -> float:
        """0.0 and the tokens are taken, or how many seconds to wait before asking again."""
        ...

    async def pause(self, pool: str, seconds: float) -> None:
        """The provider said to wait: nobody takes before that."""
        ...

    async def correct(self, pool: str, tokens: int) -> None:
        """Add the difference between what was used and what was taken."""
        ...


class Locks(Protocol):
    """The estate's one lock from plan to apply."""

    async def lock(self, name: str, holder: str, why: str) -> str:
        """Empty text if `holder` (a mission's number) has it now (again is fine), else who has it and why, in words."""
        ...

    async def unlock(self, name: str, holder: str) -> None: ...

    async def claim(self, name: str, number: int) -> bool:
        """True for the first who claims this number under this name (rounds: when one begins, in seconds); a lower one is
        claimed with it.
        """
        ...

    async def holder(self, name: str) -> tuple[str, str] | None:
        """Holder and why."""
        ...
