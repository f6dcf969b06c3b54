"""What a guard detects and what the program does about it: a closed union of interventions, weakest first."""

from dataclasses import dataclass
from typing import Literal

from bot.domain.ids import EntryId, PersonaName, QuestionId

GuardName = Literal[
    "approval_loop",
    "bare_approval",
    "claimed_action",
    "claimed_done",
    "escalation_cascade",
    "goal_drift",
    "hallucinated_tool",
    "laundered_approval",
    "no_progress",
    "option_menu",
    "ping_pong",
    "plan_bloat",
    "rate_limit_broadcast",
    "repeated_tool_error",
    "secret_leak",
    "stop_loop",
    "string_vs_list",
    "think_leak",
    "wrong_provider",
]


@dataclass(frozen=True, slots=True)
class Detection:
    """One dysfunction, seen once more. `cause` is the identity of the thing (an error's signature, a finding's
    fingerprint, a digest): the same cause again is the same dysfunction. `first` is the entry at which it began to
    repeat, `last` the one that showed it. `text` is for people, `facts` are the attempts, newest last.
    """

    guard: GuardName
    cause: str
    persona: PersonaName
    first: EntryId
    last: EntryId
    text: str
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """A note in the agent's next context."""

    note: str
    how: Literal["told"] = "told"


@dataclass(frozen=True, slots=True)
class StepRefused:
    """What the agent just said goes nowhere; `note` says what would be accepted instead."""

    note: str
    how: Literal["refused"] = "refused"


@dataclass(frozen=True, slots=True)
class OwnerChanged:
    """The turn goes to `to`, with the attempts in `task`."""

    to: PersonaName
    task: str
    how: Literal["moved"] = "moved"


@dataclass(frozen=True, slots=True)
class DecidedByRule:
    """A rule decides what the agents did not: the default option, the stored verdict, the threat model. `to` has the
    turn then, and hears `note`.
    """

    rule: str
    to: PersonaName
    note: str
    how: Literal["decided"] = "decided"


@dataclass(frozen=True, slots=True)
class HumanAsked:
    """One question to people, once for a cause."""

    question: QuestionId
    how: Literal["asked"] = "asked"


@dataclass(frozen=True, slots=True)
class MissionParked:
    """Nobody goes on until a human says something."""

    text: str
    how: Literal["parked"] = "parked"


Intervention = Told | StepRefused | OwnerChanged | DecidedByRule | HumanAsked | MissionParked
How = Literal["told", "refused", "moved", "decided", "asked", "parked"]
HOWS: tuple[How, ...] = ("told", "refused", "moved", "decided", "asked", "parked")  # weakest first


@dataclass(frozen=True, slots=True)
class InterventionRecord:
    """What the mission's state remembers of an intervention. `turn` is the number of the turn it fell into or behind."""

    guard: GuardName
    cause: str
    how: How
    persona: PersonaName
    turn: int
    ordinal: int
    last: EntryId
    line: str
    detail: str
