"""Small values for the store's tests."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bot.domain.approvals import ApprovalRequest, Ballot, Terms, Vote
from bot.domain.calls import CallClass, Effect, Prepared, ToolCall, ToolResult
from bot.domain.ids import CallId, Digest, MissionId, PersonaName, RequestId, Thread, UserId
from bot.domain.inbound import Reply, Said
from bot.domain.log import MissionOpened
from bot.domain.posts import Notice, Post

ANA = UserId("UANA")
BO = UserId("UBO")
ARCHITECT = PersonaName("architect")
TS = "1795000000.000100"
THREAD = Thread("T1", "C1", TS)
LANE = THREAD.lane
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def said(text: str = "hello", *, ts: str = TS, user: UserId = ANA, to: tuple[str, ...] = (), thread: str = "") -> Said:
    """In a thread where `thread` is given, else top-level."""
    return Said(Thread("T1", "C1", thread or ts), ts, user, text, to, in_thread=bool(thread))


def edit(text: str, *, ts: str = TS, to: tuple[str, ...] = (), thread: str = "", number: int = 1) -> Said:
    """The message's edit of this number, by Slack's time."""
    return replace(said(text, ts=ts, to=to, thread=thread), edited_at=f"179500{number:04d}.000100")


def opened(thread: Thread = THREAD) -> MissionOpened:
    return MissionOpened(MissionId(""), "home", "lab", ANA, thread, "three VMs", ARCHITECT)


def post(key: str = "card:1", text: str = "hello") -> Post:
    return Post(key, THREAD, "watchbill", Notice(text))


def reply(user: UserId = ANA) -> Reply:
    return Reply("T1", "C1", TS, user)


def call(arguments: str = "a") -> ToolCall:
    return ToolCall(CallId("1.1.c"), "terraform_apply", {"plan": arguments}, PersonaName("builder"), MissionId("1"), 1)


def request(
    number: int = 1, *, digest: str = "d" * 64, quorum: int = 1, thread: Thread = THREAD, lasts: timedelta | None = None
) -> ApprovalRequest:
    """Asked just now by the real clock: the store compares it with the server's."""
    now = datetime.now(UTC)
    return ApprovalRequest(
        id=RequestId(f"{number:032x}"),
        prepared=Prepared(call(), Effect(CallClass.CHANGE, "terraform.apply", "creates"), {"tool": "terraform_apply"}),
        digest=Digest(digest),
        environment="lab",
        terms=Terms(quorum, frozenset({"approver"}), 3600, exclude_requesters=False),
        reason="creates three VMs",
        policy_version="p1",
        requesters=frozenset({ANA}),
        thread=thread,
        asked_by=PersonaName("builder"),
        words="it is fine",
        verdict_line="",
        created_at=now,
        expires_at=now + (lasts or timedelta(hours=1)),
    )


def vote(user: UserId = BO, ballot: Ballot = "approve", reason: str = "") -> Vote:
    return Vote(user, ballot, reason, datetime.now(UTC))


def result(text: str = "applied") -> ToolResult:
    return ToolResult(CallId("1.1.c"), "terraform_apply", "ok", text, changed=True)
