"""What goes out to Slack, as values; bot/slack/render.py lays them out. All text here is already redacted.

A post has a key. The first post of a key is sent, a later one with the same key edits that message in place.
Text from people, models and tools is plain text here: render escapes it; only `Mention` fields become mentions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from bot.domain.ids import ArtifactId, QuestionId, RequestId, Thread, UserId


@dataclass(frozen=True, slots=True)
class CriterionLine:
    number: int
    text: str
    source: str  # “the human's words” or the standard's name
    mark: Literal["open", "passed", "failed", "unverifiable", "waived"]


@dataclass(frozen=True, slots=True)
class GrantLine:
    grant: RequestId
    title: str
    by: tuple[UserId, ...]
    until: datetime


@dataclass(frozen=True, slots=True)
class MissionCard:
    mission: str
    title: str  # "Mission 7"
    requester: UserId
    environment: str
    state: str  # "Turn: Architect", "Waiting for approval a7f3", "Done" …
    criteria: tuple[CriterionLine, ...]
    uncovered: tuple[str, ...]
    spent_usd: float
    limit_usd: float
    ended: bool
    buttons: tuple[Literal["edit_criteria", "details", "stop", "extend"], ...]
    note: str = ""
    frozen: str = ""  # words where all changes are frozen
    grants: tuple[GrantLine, ...] = ()  # each has a Revoke button
    forecast_usd: float | None = None  # at the end, at the pace so far
    kind: Literal["mission_card"] = "mission_card"


@dataclass(frozen=True, slots=True)
class Speech:
    text: str
    to: str = ""  # persona's title of a hand-off, shown as "→ Builder: step 1"
    task: str = ""
    kind: Literal["speech"] = "speech"


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress line of one long call, edited in place: parts joined by " · "."""

    parts: tuple[str, ...]
    done: bool = False
    kind: Literal["progress"] = "progress"


@dataclass(frozen=True, slots=True)
class QuestionCard:
    question: QuestionId
    asker: str
    asked: UserId
    text: str
    options: tuple[str, ...]
    default: int
    deadline: datetime
    answer: str = ""  # set: the card shows it and has no buttons
    answered_by: str = ""  # user id, or "" for the default
    kind: Literal["question"] = "question"


@dataclass(frozen=True, slots=True)
class ApprovalCard:
    """Rendered from the stored request only. `outcome` set: no buttons. Lines are laid out as in THREAD.md."""

    request: RequestId
    cls: str
    environment: str
    title: str
    create: int
    change: int
    destroy: int
    items: tuple[str, ...]
    more_items: int
    facts: tuple[str, ...]  # "Touches nothing that exists. Undo: …"
    why: str
    verdict: str
    digest: str
    file: ArtifactId | None
    file_sha256: str
    requesters: tuple[UserId, ...]
    expires_at: datetime
    votes: int
    quorum: int
    voters: tuple[UserId, ...]
    who_may: tuple[UserId, ...]
    words_by: str
    words: str
    typed: str
    file_name: str = ""  # as it is uploaded above the card
    grant_s: int = 0  # Approve may hold for so long
    narrow: bool = False  # some of it may be taken out
    code: bool = False  # approving takes a one-time code
    outcome: str = ""
    outcome_kind: Literal["", "good", "bad", "neutral"] = ""
    kind: Literal["approval_card"] = "approval_card"


@dataclass(frozen=True, slots=True)
class Notice:
    """A short statement by Watchbill: an intervention, a park, a refusal that everyone should see."""

    text: str
    detail: str = ""
    button: Literal["", "extend"] = ""
    mission: str = ""
    mention: tuple[UserId, ...] = ()  # people named at the end of the text
    kind: Literal["notice"] = "notice"


@dataclass(frozen=True, slots=True)
class Report:
    mission: str
    outcome: str  # done, partial, stopped
    seconds: int
    waiting_seconds: int
    cost_usd: float
    tokens: int
    approvals: tuple[tuple[str, int], ...]  # user id and how many they approved
    exists: tuple[str, ...]
    criteria: tuple[CriterionLine, ...]
    evidence: tuple[str, ...]
    not_covered: tuple[str, ...]
    code: str
    marks: tuple[str, ...] = ()  # approvals in another's place: deputies, break-glass
    audit_head: str = ""  # COUNT:HASH, or COUNT:HASH:SIGNATURE, of the audit record when the report was made
    kind: Literal["report"] = "report"


@dataclass(frozen=True, slots=True)
class Private:
    """Only `to` sees it (an ephemeral message); sent at most once, never edited. Tables are rows of equal length."""

    to: UserId
    text: str
    rows: tuple[tuple[str, ...], ...] = ()
    title: str = ""
    cards: "tuple[ApprovalCard, ...]" = ()  # requests that wait for this person, each with its buttons
    refresh: str = ""  # the command that a Refresh button asks again
    kind: Literal["private"] = "private"


@dataclass(frozen=True, slots=True)
class Home:
    """The App Home of one person, published whole each time. `note` answers what they pressed there."""

    to: UserId
    note: str
    text: str
    cards: "tuple[ApprovalCard, ...]"
    lines: tuple[str, ...]  # what waits for others, deputies, missions
    kind: Literal["home"] = "home"


@dataclass(frozen=True, slots=True)
class Modal:
    """A form for one person, opened with the trigger of their click. `action` comes back with the submission."""

    trigger: str
    action: Literal["deny", "approve_typed", "narrow", "answer", "amend", "details"]
    subject: str
    title: str
    text: str
    label: str = ""
    submit: str = ""
    optional: bool = False
    verbatim: str = ""  # under the text, as it stands
    code: bool = False  # asks for a one-time code as well, or alone where `label` is empty
    to: UserId | None = None  # who pressed: told to press again where the trigger has expired
    kind: Literal["modal"] = "modal"


@dataclass(frozen=True, slots=True)
class File:
    artifact: ArtifactId
    name: str
    title: str
    kind: Literal["file"] = "file"


Body = MissionCard | Speech | Progress | QuestionCard | ApprovalCard | Notice | Report | Private | Home | Modal | File


@dataclass(frozen=True, slots=True)
class Post:
    """`identity` is "watchbill" or a persona's name. `key` is stable for what the post shows, e.g. "card:7"."""

    key: str
    thread: Thread
    identity: str
    body: Body
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
