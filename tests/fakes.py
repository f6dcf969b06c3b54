"""Strict in-memory ports. Each does what bot/domain/ports.py promises and fails loudly on what nobody should ask."""
# ruff: noqa: ARG002  # a port names arguments that its fake has no use for

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from bot.domain.approvals import ApprovalRequest, NotCounted, RequestStatus, Vote
from bot.domain.calls import CallClass, Effect, Prepared, ToolCall, ToolResult
from bot.domain.estate import Machine
from bot.domain.grants import FREEZES, Freeze
from bot.domain.ids import ArtifactId, CallId, Json, LaneKey, MissionId, PersonaName, RequestId, Thread, Token, UserId
from bot.domain.people import Human, Role
from bot.domain.ports import ArgumentError, Cannot, Done, Scope, Watch
from bot.domain.state import Mission
from bot.domain.storage import AuditEvent, StoreUnavailableError

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
THREAD = Thread("T1", "C1", "1700000000.000100")
ANA, BO, CHRIS, MALLORY = UserId("U0ANA00001"), UserId("U0BO000001"), UserId("U0CHRIS001"), UserId("U0MALLORY1")
BUILDER, SENTINEL, ARCHITECT, QA = (PersonaName(name) for name in ("builder", "sentinel", "architect", "qa"))


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self, now: datetime = NOW) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def move(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        self.move(seconds)
        await asyncio.sleep(0)


@dataclass
class FakeInventory:
    """`known` None: it cannot be read."""

    known: tuple[Machine, ...] | None = ()

    def machines(self, estate: str) -> Sequence[Machine] | None:
        return self.known


class FakePeople:
    """ana asks, bo and chris approve, mallory is a guest. Change `humans` to take a role away."""

    def __init__(self) -> None:
        self.humans = {
            ANA: Human(ANA, "ana", frozenset({Role.REQUESTER})),
            BO: Human(BO, "bo", frozenset({Role.APPROVER})),
            CHRIS: Human(CHRIS, "chris", frozenset({Role.APPROVER, Role.RISK_OWNER, Role.ADMIN})),
            MALLORY: Human(MALLORY, "mallory", frozenset(), "guest"),
        }

    async def human(self, user: UserId) -> Human:
        return self.humans.get(user) or Human(user, user, frozenset(), "unlisted")

    def with_role(self, role: str) -> tuple[UserId, ...]:
        return tuple(user for user, human in self.humans.items() if role in {r.value for r in human.roles})


class MemoryAudit:
    """Keeps every event. `broken` makes it refuse, as a store that is away."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self.broken = False

    async def append(self, event: AuditEvent) -> None:
        if self.broken:
            raise StoreUnavailableError("the audit record is away")
        self.events.append(event)

    async def read(self, after: str = "", limit: int = 100) -> Sequence[tuple[str, datetime, AuditEvent]]:
        rows = [(str(number), NOW, event) for number, event in enumerate(self.events)]
        return [row for row in rows if not after or int(row[0]) > int(after)][:limit]

    async def verify(self) -> str | None:
        return None

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


class MemoryArtifacts:
    def __init__(self) -> None:
        self.stored: dict[ArtifactId, tuple[bytes, str]] = {}

    async def put(self, content: bytes, *, name: str, kind: str = "text/plain") -> ArtifactId:
        artifact = ArtifactId(hashlib.sha256(content).hexdigest()[:16])
        self.stored[artifact] = (content, name)
        return artifact

    async def get(self, artifact: ArtifactId) -> bytes | None:
        found = self.stored.get(artifact)
        return found[0] if found else None


class MemoryLeases:
    """Counts STOPs; every lane has the one token that `token` names."""

    def __init__(self) -> None:
        self.counts: dict[LaneKey, int] = {}
        self.pressed: set[str] = set()

    async def acquire(self, lane: LaneKey, holder: str, ttl_s: float) -> Token | None:
        return Token(lane, 1, holder)

    async def renew(self, token: Token, ttl_s: float) -> bool:
        return True

    async def release(self, token: Token) -> None:
        return None

    async def raise_stop(self, lane: LaneKey, once: str) -> int:
        self.counts[lane] = self.counts.get(lane, 0) + (once not in self.pressed)
        self.pressed.add(once)
        return self.counts[lane]

    async def stops(self, lane: LaneKey) -> int:
        return self.counts.get(lane, 0)


class Frozen(Protocol):
    async def frozen(self) -> Freeze | None: ...


class MemoryApprovals:
    """Requests with the transitions of the port. `durable` False: the start cannot be made durable."""

    def __init__(self, clock: FakeClock, leases: MemoryLeases, token: Token) -> None:
        self._clock = clock
        self._leases = leases
        self.token = token
        self.durable = True
        self.switch: Frozen | None = None
        self.requests: dict[RequestId, ApprovalRequest] = {}
        self.asked_quorum: dict[RequestId, int] = {}
        self.results: dict[RequestId, ToolResult] = {}
        self.before_consume: Callable[[], Awaitable[object]] | None = None
        self.after_create: Callable[[], Awaitable[object]] | None = None
        self.before_vote: Callable[[], Awaitable[object]] | None = None

    async def create(self, request: ApprovalRequest) -> ApprovalRequest:
        for stored in self.requests.values():
            waits = stored.status in {"pending", "approved"} and stored.thread == request.thread
            if waits and stored.digest == request.digest:
                return stored
        assert request.id not in self.requests, "an id is used once"
        self.requests[request.id] = request
        if self.after_create is not None:
            await self.after_create()
        return request

    async def get(self, request: RequestId) -> ApprovalRequest | None:
        return self.requests.get(request)

    async def pending(self, thread: Thread | None = None) -> Sequence[ApprovalRequest]:
        found = [request for request in self.requests.values() if request.status == "pending"]
        return [request for request in found if thread is None or request.thread == thread]

    async def vote(self, request: RequestId, vote: Vote, now: datetime) -> ApprovalRequest | NotCounted:
        if self.before_vote is not None:
            await self.before_vote()
        stored = self.requests[request]
        if stored.status != "pending":
            return NotCounted("already_decided", "decided", stored)
        if now >= stored.expires_at:
            return NotCounted("expired", "", stored)
        if any(earlier.user == vote.user for earlier in stored.votes):
            return NotCounted("already_voted", "voted", stored)
        stored = replace(stored, votes=(*stored.votes, vote))
        if vote.ballot == "deny":
            stored = replace(stored, status="denied", note=vote.reason)
        elif sum(one.ballot == "approve" for one in stored.votes) >= stored.terms.quorum:
            stored = replace(stored, status="approved", approved_at=now)
        self.requests[request] = stored
        return stored

    async def raise_quorum(self, request: RequestId, quorum: int) -> bool:
        stored = self.requests[request]
        if stored.status != "pending":
            return False
        raised = replace(stored.terms, quorum=max(quorum, stored.terms.quorum))
        self.asked_quorum.setdefault(request, stored.terms.quorum)
        self.requests[request] = replace(stored, terms=raised)
        return True

    async def lower_quorum(self, request: RequestId, without: Sequence[UserId]) -> bool:
        stored = self.requests[request]
        if stored.status != "pending" or request not in self.asked_quorum:
            return False
        terms = replace(stored.terms, quorum=self.asked_quorum.pop(request))
        votes = tuple(one for one in stored.votes if one.user not in without)
        self.requests[request] = replace(stored, terms=terms, votes=votes)
        return True

    async def end(self, request: RequestId, status: RequestStatus, note: str) -> bool:
        assert status in {"denied", "expired", "cancelled", "superseded"}, f"{status} is no end without a run"
        stored = self.requests[request]
        if stored.status not in {"pending", "approved"}:
            return False
        self.requests[request] = replace(stored, status=status, note=note)
        return True

    async def consume(self, request: ApprovalRequest, token: Token, *, stops: int, start_within_s: float) -> str:
        if self.before_consume is not None:
            await self.before_consume()
        stored = self.requests[request.id]
        if stored.status != "approved" or stored.approved_at is None:
            return "not_approved"
        if token != self.token:
            return "stale_token"
        if await self._leases.stops(token.lane) != stops:
            return "stopped"
        if self.switch is not None and stored.effect.cls in FREEZES and await self.switch.frozen() is not None:
            return "frozen"
        if stored.digest != request.digest:
            return "digest"
        if (self._clock.now() - stored.approved_at).total_seconds() > start_within_s:
            return "too_late"
        self.requests[request.id] = replace(stored, status="executing" if self.durable else "cancelled")
        return "" if self.durable else "not_durable"

    async def finish(self, request: RequestId, status: RequestStatus, result: ToolResult) -> None:
        stored = self.requests[request]
        assert stored.status == "executing", f"{stored.status} is not executing"
        assert status in {"done", "unknown_outcome"}
        self.requests[request] = replace(stored, status=status)
        self.results[request] = result

    async def executing(self, thread: Thread) -> Sequence[ApprovalRequest]:
        return [one for one in self.requests.values() if one.status == "executing" and one.thread == thread]

    async def result(self, request: RequestId) -> ToolResult | None:
        return self.results.get(request)


class FakeWatch:
    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []
        self.stops = 0
        self.living = True

    async def progress(self, *parts: str) -> None:
        self.told.append(parts)

    def stopping(self) -> int:
        return self.stops

    def alive(self) -> bool:
        return self.living


READ_EFFECT = Effect(CallClass.READ, "fake-read", "it only looks")


@dataclass
class FakeTool:
    """A tool that does what its fields say and counts how often it ran."""

    name: str
    durable: bool = False
    timeout_s: float = 5.0
    together: bool = False
    effect: Effect = READ_EFFECT
    text: str = "looked"
    revision: str = ""
    full_text: str = ""
    facts: dict[str, Json] = field(default_factory=dict[str, Json])
    status: Literal["ok", "failed", "unknown_outcome"] = "ok"
    state_pins: dict[str, str] = field(default_factory=dict[str, str])
    alike: tuple[str, ...] = ()
    binding: dict[str, Json] = field(default_factory=dict[str, Json])
    cannot: str = ""
    raises: dict[str, Exception] = field(default_factory=dict[str, Exception])
    required: tuple[str, ...] = ()
    ran: int = 0
    recovered: int = 0
    on_run: Callable[[], Awaitable[None]] | None = None
    description: str = "A tool of the tests."
    schema: Mapping[str, Json] = field(default_factory=dict[str, Json])

    def parse(self, arguments: Mapping[str, Json]) -> Any:
        self._raise("parse")
        for name in self.required:
            if name not in arguments:
                raise ArgumentError(f"{name} is missing; the schema is {{{name}: string}}")
        return dict(arguments)

    async def prepare(self, call: ToolCall, arguments: Any, scope: Scope) -> Prepared | Cannot:
        self._raise("prepare")
        if self.cannot:
            return Cannot(self.cannot, "fake-cannot")
        binding = {"arguments": arguments, **self.binding}
        return Prepared(
            call, self.effect, binding, "", dict(self.state_pins), self.revision, self.full_text, self.alike
        )

    async def pins(self, prepared: Prepared, arguments: Any) -> Mapping[str, str]:
        self._raise("pins")
        return dict(self.state_pins)

    async def run(self, prepared: Prepared, arguments: Any, scope: Scope, watch: Watch) -> Done:
        self.ran += 1
        if self.on_run is not None:
            await self.on_run()
        self._raise("run")
        return Done(self._result(prepared))

    async def recover(self, prepared: Prepared, arguments: Any, scope: Scope, watch: Watch) -> Done:
        self.recovered += 1
        self._raise("recover")
        return Done(self._result(prepared))

    def _result(self, prepared: Prepared) -> ToolResult:
        changed = prepared.effect.cls is not CallClass.READ
        return ToolResult(
            prepared.call.id, self.name, self.status, self.text, facts=dict(self.facts), changed=changed, seconds=41.0
        )

    def _raise(self, step: str) -> None:
        if step in self.raises:
            raise self.raises[step]


def mission(**changes: Any) -> Mission:
    """Mission 7 of ana, in production."""
    base = Mission(MissionId("7"), THREAD, "home", "production", ANA, "three machines", NOW)
    return replace(base, **changes)


def call(tool: str, persona: PersonaName = BUILDER, number: int = 0, **arguments: Json) -> ToolCall:
    return ToolCall(CallId(f"7-1-0-{number}"), tool, arguments, persona, MissionId("7"), 1)


def scope(state: Mission | None = None, persona: PersonaName = BUILDER) -> Scope:
    return Scope(state or mission(), persona, 1, NOW)
