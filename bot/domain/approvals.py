"""Approval requests, votes, and the answers to a click."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from bot.domain.calls import Effect, Prepared, ToolResult
from bot.domain.grants import Grant
from bot.domain.ids import Digest, PersonaName, RequestId, Thread, UserId

if TYPE_CHECKING:
    from bot.domain.log import Entry

RequestStatus = Literal[
    "pending", "approved", "denied", "expired", "cancelled", "superseded", "executing", "done", "unknown_outcome"
]
Ballot = Literal["approve", "deny"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What approval a call takes: the strictest join of the permitting policies' annotations."""

    quorum: int
    approvers: frozenset[str]  # roles of people.yaml, e.g. {"approver"}
    expires_s: int
    exclude_requesters: bool
    typed_names: tuple[str, ...] = ()  # what the approver has to type (destroy in production), empty: nothing
    grant_s: int = 0  # for how long approvers may let the same call run again; 0: not at all
    totp: bool = False  # the approver gives a one-time code


@dataclass(frozen=True, slots=True)
class Allowed:
    policies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NeedsApproval:
    terms: Terms
    policies: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Denied:
    """`instead` tells the agent what would be accepted."""

    reason: str
    instead: str = ""
    policies: tuple[str, ...] = ()


Decision = Allowed | NeedsApproval | Denied


@dataclass(frozen=True, slots=True)
class Vote:
    user: UserId
    ballot: Ballot
    reason: str
    at: datetime
    grant: bool = False  # an approval of the same call again, for as long as the terms say
    left_out: tuple[str, ...] = ()  # a denial of just these: without them it may be asked anew
    through: str = ""  # as whom, where not as an approver of people.yaml: a deputy, or by break-glass


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """The stored question. Everything a card shows and an execution needs; nothing comes from the click."""

    id: RequestId
    prepared: Prepared
    digest: Digest
    environment: str
    terms: Terms
    reason: str
    policy_version: str
    requesters: frozenset[UserId]
    thread: Thread
    asked_by: PersonaName
    words: str  # the agent's words, unverified
    verdict_line: str
    created_at: datetime
    expires_at: datetime
    stops: int = 0  # STOPs of the lane when it was asked: a later one voids it (rule 5)
    status: RequestStatus = "pending"
    votes: tuple[Vote, ...] = ()
    approved_at: datetime | None = None
    note: str = ""  # why it ended: the denier's reason, what was superseded
    warnings: tuple[str, ...] = ()  # the gate's own: untrusted output asked for this (rule 23)
    scope: str = ""  # digest of what a grant given with it covers, "" where its policies allow none
    grant: RequestId | None = None  # the grant under which it was approved, where nobody was asked
    without: tuple[str, ...] = ()  # names that people took out of earlier requests of this mission
    blast: tuple[str, ...] = ()  # what it takes with it: shares of groups that vote; looked at again before execution
    timing: str = ""  # how it fits change windows and maintenance, "" where there is nothing to say

    @property
    def names(self) -> tuple[str, ...]:
        """What can be taken out of it: everything it changes, and every target."""
        changed = [item.name for item in self.effect.items if item.action not in {"read", "output"}]
        return tuple(dict.fromkeys((*changed, *(target.name for target in self.effect.targets))))

    @property
    def marks(self) -> tuple[str, ...]:
        """Who approved it in another's place, in words for the card and the report."""
        return tuple(vote.through for vote in self.votes if vote.ballot == "approve" and vote.through)

    @property
    def left_out(self) -> tuple[str, ...]:
        return next((vote.left_out for vote in self.votes if vote.ballot == "deny"), ())

    @property
    def short(self) -> str:
        return self.id[:4]

    @property
    def effect(self) -> Effect:
        return self.prepared.effect


# What the gate answers to a submitted call -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ran:
    """Run now. `entries` are for the mission log (crew tools)."""

    result: ToolResult
    entries: "tuple[Entry, ...]" = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Not run. The result's text says why and what to do instead."""

    result: ToolResult


@dataclass(frozen=True, slots=True)
class Held:
    """A human has to decide; the turn ends. `fresh` is false when the same digest already waited."""

    request: ApprovalRequest
    result: ToolResult
    fresh: bool = True


Submitted = Ran | Refused | Held


# What the gate answers to a click -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counted:
    """The vote counts; `request.status` says whether it is now decided, `grant` what was let run again with it."""

    request: ApprovalRequest
    grant: Grant | None = None


@dataclass(frozen=True, slots=True)
class NotCounted:
    """The click changed nothing. `why` is one of the audit codes, `text` is what only the clicker sees."""

    why: Literal[
        "not_an_approver", "is_requester", "already_decided", "already_voted", "expired", "superseded", "unknown",
        "wrong_place", "typed_wrong", "cancelled", "frozen", "not_named", "code_wrong",
    ]  # fmt: skip
    text: str
    request: ApprovalRequest | None = None
    mention: tuple[UserId, ...] = ()  # people who could do it instead; the renderer adds them as mentions


VoteAnswer = Counted | NotCounted


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a request: executed (`result` says how it went) or not (`request.status` and `note` say why).

    `entries` are for the mission log, as in `Ran`.
    """

    request: ApprovalRequest
    result: ToolResult
    orphans: tuple[str, ...] = field(default_factory=tuple[str, ...])
    entries: "tuple[Entry, ...]" = ()
