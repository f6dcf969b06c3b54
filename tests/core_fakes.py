"""Strict doubles of what the core talks to: a log in memory, a model that reads its answers from a list, a door."""
# ruff: noqa: ARG002 - a double takes what the port takes

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bot.agents.answering import Answering
from bot.agents.health import CrewHealth
from bot.agents.hold import Hold
from bot.agents.loop import AgentLoop
from bot.agents.persona import Persona, TurnLimits
from bot.domain import log
from bot.domain.approvals import ApprovalRequest, Held, Ran, Refused, Submitted, Terms
from bot.domain.calls import CallClass, Effect, Prepared, ResultStatus, ToolCall, ToolResult
from bot.domain.contract import Criterion, PlanStep
from bot.domain.ids import CallId, Digest, EntryId, Json, MissionId, PersonaName, RequestId, Token, UserId
from bot.domain.log import Entry, Logged
from bot.domain.model import ModelReply, ModelRequest, ProposedCall, Returned, StopReason, ToolSpec, Usage
from bot.domain.outcomes import LimitReached
from bot.domain.ports import Scope, Watch
from bot.domain.posts import Body, Post
from bot.domain.state import Mission
from bot.domain.storage import Commit, Deadline, StaleTokenError
from bot.mission import fold
from tests.fakes import ANA, ARCHITECT, BUILDER, NOW, QA, SENTINEL, THREAD, FakeClock, FakeWatch

M = MissionId("7")
TOKEN = Token(THREAD.lane, 1, "w1")
REQUEST = "Build three VMs, spread over both nodes, with fixed addresses."
TITLES = {"architect": "Architect", "builder": "Builder", "sentinel": "Sentinel", "qa": "QA"}
CREW = (ARCHITECT, BUILDER, SENTINEL, QA)
OPENED = log.MissionOpened(M, "home", "production", ANA, THREAD, REQUEST, ARCHITECT)


def title(name: str) -> str:
    return TITLES.get(name, name)


# the log ----------------------------------------------------------------------------------------------------------


def logged(entries: Iterable[Entry], *, start: int = 1, at: datetime = NOW, step_s: float = 1.0) -> list[Logged]:
    return [
        Logged(EntryId(f"{number}-0"), at + timedelta(seconds=step_s * number), entry)
        for number, entry in enumerate(entries, start)
    ]


def folded(*entries: Entry, step_s: float = 1.0) -> Mission:
    """The state after the opening and `entries`, one second each."""
    return fold(logged((OPENED, *entries), step_s=step_s))


class MemoryJournal:
    """One mission's log. `fail_at` breaks the n-th commit (counted from 1) as a lost lane would."""

    def __init__(self, entries: Sequence[Logged] = ()) -> None:
        self.logged = list(entries)
        self.commits: list[Commit] = []
        self.fail_at = 0

    async def commit(self, token: Token, mission: MissionId | None, commit: Commit) -> Sequence[Logged]:
        assert token == TOKEN, "written with the token of the hold"
        if self.fail_at and len(self.commits) + 1 >= self.fail_at:
            raise StaleTokenError("somebody else holds the lane")
        self.commits.append(commit)
        new = logged(commit.entries, start=len(self.logged) + 1)
        self.logged += new
        return new

    @property
    def entries(self) -> list[Entry]:
        return [one.entry for one in self.logged]

    @property
    def posts(self) -> list[Post]:
        return [post for commit in self.commits for post in commit.posts]

    @property
    def bodies(self) -> list[Body]:
        return [post.body for post in self.posts]

    @property
    def deadlines(self) -> list[Deadline]:
        return [deadline for commit in self.commits for deadline in commit.deadlines]

    def state(self) -> Mission:
        return fold(self.logged)

    async def open(self, token: Token, opened: log.MissionOpened, commit: Commit) -> tuple[MissionId, Sequence[Logged]]:
        raise AssertionError("nobody opens a mission here")

    async def mission_of(self, thread: object) -> MissionId | None:
        return M if self.logged else None

    async def thread_of(self, mission: MissionId) -> None:
        return None

    async def missions(self, *, running: bool) -> tuple[MissionId, ...]:
        return (M,) if self.logged else ()

    async def read(self, mission: MissionId, after: EntryId = EntryId("0-0")) -> Sequence[Logged]:
        first = int(after.partition("-")[0])
        return self.logged[first:] if mission == M else []

    async def keep(self, state: Mission) -> None:
        return None

    async def kept(self, mission: MissionId) -> Mission | None:
        return None

    async def verify(self, mission: MissionId) -> EntryId | None:
        return None


# the model --------------------------------------------------------------------------------------------------------


def says(text: str, *, stop: StopReason = "end", thought: str = "") -> ModelReply:
    return ModelReply("openai:test", thought, text, (), stop, Usage(1000, 50), 0.01)


def calls(*proposed: ProposedCall, text: str = "", thought: str = "") -> ModelReply:
    return ModelReply("openai:test", thought, text, proposed, "calls", Usage(1000, 50), 0.01)


def to(tool: str, problem: str = "", **arguments: Json) -> ProposedCall:
    return ProposedCall(f"provider-{tool}", tool, arguments, problem)


def useless(stop: StopReason, text: str = "") -> ModelReply:
    return ModelReply("openai:test", "", text, (), stop, Usage(1000, 0), 0.01)


class ScriptedModel:
    """Answers in order; asked once more than it has answers, it fails, and `used_up` says that nothing was left."""

    def __init__(self, *replies: ModelReply | Exception | Callable[[], ModelReply]) -> None:
        self.replies: list[ModelReply | Exception | Callable[[], ModelReply]] = list(replies)
        self.asked: list[ModelRequest] = []
        self.before: Callable[[], None] = lambda: None

    async def ask(self, request: ModelRequest) -> ModelReply:
        pairs_hold(request)
        self.asked.append(request)
        self.before()
        assert self.replies, f"the model was asked once too often: {request.messages[-1]}"
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply() if callable(reply) else reply

    def then(self, *replies: ModelReply) -> None:
        """What it answers from now on."""
        self.replies = list(replies)

    def used_up(self) -> bool:
        return not self.replies


def pairs_hold(request: ModelRequest) -> None:
    """Every call of an answer has exactly one result, right after it; the last message is not the agent's own."""
    waiting: list[str] = []
    for message in request.messages:
        if isinstance(message, Returned):
            assert waiting, f"a result without its call: {message.call_id}"
            assert message.call_id == waiting.pop(0), "results come in the order of their calls"
            continue
        assert not waiting, f"calls without results: {waiting}"
        waiting = [call.id for call in getattr(message, "calls", ())]
    assert not waiting, f"calls without results at the end: {waiting}"
    assert type(request.messages[-1]).__name__ != "Answered", "a model is not given its own words as the last message"


# the door ---------------------------------------------------------------------------------------------------------


Answer = Callable[[ToolCall, Scope], Submitted]


@dataclass
class ScriptedDoor:
    """Answers by tool, each a list used in order or a function; a tool that it does not know fails the test."""

    answers: Mapping[str, Answer]
    submitted: list[ToolCall] = field(default_factory=list[ToolCall])
    words: list[str] = field(default_factory=list[str])
    running: int = 0
    most_at_once: int = 0

    async def submit(self, call: ToolCall, scope: Scope, words: str, watch: Watch) -> Submitted:
        assert call.tool in self.answers, f"nobody expected {call.tool}"
        assert CallId(call.id) not in scope.mission.results, "submitted again though it has a result"
        self.submitted.append(call)
        self.words.append(words)
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        return self.answers[call.tool](call, scope)

    async def probe(self, call: ToolCall, scope: Scope, watch: Watch) -> Ran | Refused:
        answer = await self.submit(call, scope, "", watch)
        assert not isinstance(answer, Held)
        return answer


def result(call: ToolCall, status: ResultStatus = "ok", text: str = "fine", **more: Any) -> ToolResult:
    return ToolResult(call.id, call.tool, status, text, **more)


def ran(call: ToolCall, scope: Scope) -> Submitted:
    return Ran(result(call))


def refused(call: ToolCall, scope: Scope) -> Submitted:
    return Refused(result(call, "refused", f"There is no tool '{call.tool}'."))


def held(call: ToolCall, scope: Scope) -> Submitted:
    return Held(request_for(call), result(call, "held", "People have to decide."))


def request_for(call: ToolCall, digest: str = "") -> ApprovalRequest:
    effect = Effect(CallClass.CHANGE, "rule", "it changes", title=f"Apply {call.id}")
    terms = Terms(1, frozenset({"approver"}), 3600, exclude_requesters=True)
    return ApprovalRequest(
        RequestId(f"request-of-{call.id}"), Prepared(call, effect, {}), Digest(digest or f"digest-of-{call.id}"),
        "production", terms, "changes need an approver", "v1", frozenset({ANA}), THREAD, call.persona, "words", "",
        NOW, NOW + timedelta(hours=1),
    )  # fmt: skip


# the agent --------------------------------------------------------------------------------------------------------


def persona(name: PersonaName = BUILDER, *, tools: tuple[str, ...] = (), context: int = 16_000) -> Persona:
    limits = TurnLimits(steps=30, answer_tokens=4096, context_tokens=context)
    prompt = f"# You are {title(name)}\nDo it."
    return Persona(name, title(name), "does", ":x:", "openai:test", "", tools, limits, prompt)


def never_over(state: Mission, name: PersonaName) -> LimitReached | None:
    return None


@dataclass
class Stage:
    """One agent's loop over a log in memory, on a turn that has just begun."""

    model: ScriptedModel
    door: ScriptedDoor
    journal: MemoryJournal
    watch: FakeWatch = field(default_factory=FakeWatch)
    clock: FakeClock = field(default_factory=FakeClock)
    over: Callable[[Mission, PersonaName], LimitReached | None] = never_over
    together: frozenset[str] = frozenset({"look", "read"})
    leaving: bool = False

    def hold(self) -> Hold:
        state = self.journal.state()
        assert state.turn is not None
        return Hold(state, state.turn.persona, TOKEN, self.journal, self.clock, self.watch, lambda: self.leaving)

    def loop(self) -> AgentLoop:
        names = sorted({*self.door.answers, "hand_off"})
        crew = {name: persona(name, tools=tuple(names)) for name in CREW}
        specs = {name: ToolSpec(name, name, {}) for name in names}
        answering = Answering(self.door, self.together, title)
        health = CrewHealth(self.journal, self.clock, title)
        return AgentLoop(self.model, answering, crew, specs, self.over, title, health)

    async def run(self) -> object:
        return await self.loop().run(self.hold())


STARTED: tuple[Entry, ...] = (
    log.HandedOff(1, ARCHITECT, BUILDER, "write main.tf", 1, "f1"),
    log.TurnStarted(2, BUILDER, "2-0"),
)


def stage(*replies: ModelReply | Exception, after: Sequence[Entry] = STARTED, **answers: Answer) -> Stage:
    """Builder's turn 2 has just begun with a task from the Architect; `answers` are the door's, by tool."""
    return Stage(ScriptedModel(*replies), ScriptedDoor(answers), MemoryJournal(logged((OPENED, *after))))


# entries ----------------------------------------------------------------------------------------------------------


def planned(*texts: str, quote: str = "three VMs") -> log.Planned:
    criteria = tuple(Criterion(number, text, quote) for number, text in enumerate(texts, 1))
    steps = (PlanStep(1, "do it", BUILDER, tuple(c.number for c in criteria), "look"),)
    return log.Planned(criteria, steps, ())


def returned(
    call: str, tool: str = "look", status: ResultStatus = "ok", *, by: PersonaName = BUILDER, text: str = "fine",
    cls: CallClass = CallClass.READ, request: str = "", **more: Any,
) -> log.ToolReturned:  # fmt: skip
    outcome = ToolResult(CallId(call), tool, status, text, **more)
    return log.ToolReturned(1, by, cls, outcome, RequestId(request) if request else None)


def replied(*proposed: ProposedCall, by: PersonaName = BUILDER, text: str = "", turn: int = 2) -> log.ModelReplied:
    stop: StopReason = "calls" if proposed else "end"
    return log.ModelReplied(turn, by, "openai:test", "a thought", text, proposed, stop, Usage(1000, 50), 0.01)


def said(text: str, *, by: UserId = ANA, name: PersonaName = ARCHITECT, ts: str = "1.0") -> log.HumanSaid:
    return log.HumanSaid(by, text, name, ts)


def asked_approval(request: str = "r1", call: str = "c1", by: PersonaName = BUILDER) -> log.ApprovalAsked:
    return log.ApprovalAsked(RequestId(request), CallId(call), by, Digest(f"d-{request}"), CallClass.CHANGE, "Apply")
