"""What comes in from Slack (and from deadlines), parsed at the edge. Nothing downstream sees a Slack dict."""

from dataclasses import dataclass, field
from typing import Literal

from bot.domain.ids import LaneKey, QuestionId, RequestId, Thread, UserId


@dataclass(frozen=True, slots=True)
class Reply:
    """Where an answer to a click or command goes: only the person sees it."""

    team: str
    channel: str
    thread_ts: str
    user: UserId
    trigger: str = ""  # opens a modal within 3 s
    app: str = ""  # app id that received the click
    message_ts: str = ""  # the message that carried the button
    ephemeral: bool = False  # that message is for this person only: no post of the outbox
    foreign: bool = False  # pressed by somebody of a connected workspace, as Slack's payload says
    home: bool = False  # pressed in the App Home, which is no channel: the answer stands at its top


@dataclass(frozen=True, slots=True)
class Said:
    """A human's message. `to` are the persona names (and "watchbill") that it mentions, first mention first, as
    facts merged over the apps that received it. `edited_at` is Slack's time of the edit that changed the text of an earlier
    message, or "".
    """

    thread: Thread
    ts: str
    user: UserId
    text: str
    to: tuple[str, ...]
    in_thread: bool
    edited_at: str = ""
    kind: Literal["said"] = "said"

    @property
    def edited(self) -> bool:
        return bool(self.edited_at)


@dataclass(frozen=True, slots=True)
class VoteCast:
    request: RequestId
    ballot: Literal["approve", "deny"]
    reason: str
    typed: str
    reply: Reply
    grant: bool = False  # approve, and the same call again for a while
    leave_out: tuple[str, ...] = ()  # deny just these
    code: str = field(default="", repr=False)  # one-time code, where the request asks for one
    kind: Literal["vote_cast"] = "vote_cast"


@dataclass(frozen=True, slots=True)
class GrantRevoked:
    """Somebody pressed Revoke on a mission card. `grant` is the id of the request that it came from."""

    grant: RequestId
    reply: Reply
    kind: Literal["grant_revoked"] = "grant_revoked"


@dataclass(frozen=True, slots=True)
class ModalAsked:
    """A press that needs a form first: deny (a reason), approve_typed, narrow (names), answer (own words), amend (words
    that are added to the request), details.
    """

    what: Literal["deny", "approve_typed", "narrow", "answer", "amend", "details"]
    subject: str  # request id, question id, or mission id
    reply: Reply
    kind: Literal["modal_asked"] = "modal_asked"


@dataclass(frozen=True, slots=True)
class AnswerGiven:
    question: QuestionId
    answer: str
    option: int | None
    reply: Reply
    kind: Literal["answer_given"] = "answer_given"


@dataclass(frozen=True, slots=True)
class ExtendAsked:
    mission: str
    reply: Reply
    kind: Literal["extend_asked"] = "extend_asked"


@dataclass(frozen=True, slots=True)
class Ruled:
    """A person's word on a finding (`subject`: fingerprint or rule) or a criterion (its number), or words (`reason`) that
    are added to the request of a mission (its number).
    """

    what: Literal["accept", "waive", "amend"]
    subject: str
    reason: str
    reply: Reply
    kind: Literal["ruled"] = "ruled"


@dataclass(frozen=True, slots=True)
class StopAsked:
    """STOP as text, button or command. `force` is true for a second one by a person. `clear` is CLEAR: inbox only."""

    thread: Thread
    user: UserId
    reply: Reply
    clear: bool = False
    kind: Literal["stop_asked"] = "stop_asked"


@dataclass(frozen=True, slots=True)
class Commanded:
    """A slash command or its mention twin. `name` without slash and prefix: cluster-status, mission, approvals, crew."""

    name: str
    text: str
    reply: Reply
    thread: Thread | None = None
    kind: Literal["commanded"] = "commanded"


@dataclass(frozen=True, slots=True)
class HomeOpened:
    """Somebody looks at Watchbill's App Home."""

    reply: Reply
    kind: Literal["home_opened"] = "home_opened"


@dataclass(frozen=True, slots=True)
class Settled:
    """A request left `pending`: the lane has to execute it, or tell the agent."""

    lane: LaneKey
    request: RequestId
    kind: Literal["settled"] = "settled"


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """`subject` is a question id, or the id of a request: it expires, waits for people since half its time, starts
    under a grant; or the id of a grant that ends.
    """

    lane: LaneKey
    what: Literal["request", "question", "start", "reminder", "grant"]
    subject: str
    kind: Literal["deadline_reached"] = "deadline_reached"


@dataclass(frozen=True, slots=True)
class Continue:
    """Look at this lane: a turn may be unfinished or a wake unserved."""

    lane: LaneKey
    why: str
    kind: Literal["continue"] = "continue"


# At once, in any worker, without the lane's lease; at least once, so their effects are idempotent.
Immediate = VoteCast | ModalAsked | StopAsked | Commanded | GrantRevoked | HomeOpened
# In order, by the one holder of the lane's lease.
Ordered = Said | AnswerGiven | ExtendAsked | Ruled | Settled | DeadlineReached | Continue | StopAsked
Inbound = Immediate | Said | AnswerGiven | ExtendAsked | Settled | DeadlineReached | Continue
