"""The ports: what the parts need of each other and of the world; the store's are in storage.py. bot/app.py fills them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from bot.domain.approvals import Ran, Refused, Submitted
from bot.domain.calls import Prepared, ToolCall, ToolResult
from bot.domain.ids import (
    Json,
    PersonaName,
    UserId,
)
from bot.domain.log import Entry
from bot.domain.model import ModelReply, ModelRequest
from bot.domain.people import Human
from bot.domain.state import Mission


class ArgumentError(Exception):
    """A model's arguments do not fit a tool. The text says which and what would."""


# Time ---------------------------------------------------------------------------------------------------------------


class Clock(Protocol):
    def now(self) -> datetime:
        """The time, aware, UTC."""
        ...

    async def sleep(self, seconds: float) -> None: ...


# The world ------------------------------------------------------------------------------------------------------------


class Model(Protocol):
    async def ask(self, request: ModelRequest) -> ModelReply:
        """One answer, retried under the shared budget. Raises ModelUnavailableError with a text for people."""
        ...


class People(Protocol):
    """policies/people.yaml and Slack's word on guests, read again at each call (rule 12)."""

    async def human(self, user: UserId) -> Human: ...

    def with_role(self, role: str) -> tuple[UserId, ...]: ...


class Codes(Protocol):
    """One-time codes of people, where a policy asks for one beside the click."""

    async def check(self, user: UserId, code: str) -> str:
        """Empty where it is right, and used up now; else why not, for this person."""
        ...


class Environments(Protocol):
    """policies/environments.yaml. What is not mapped is production."""

    def of(self, kind: str, name: str) -> str: ...

    def strictest(self, environments: Sequence[str]) -> str: ...


class RedactedStream(Protocol):
    """One text in pieces; what comes back, put together, is the text without secrets."""

    def feed(self, piece: str) -> str: ...

    def finish(self) -> str: ...


class Redactor(Protocol):
    """Rule 22. Applied on every way out: model, Slack, log, artifacts, audit."""

    def text(self, text: str) -> str: ...

    def json(self, value: Json) -> Json: ...

    def continued(self, before: str, text: str) -> str:
        """`text` without secrets where it goes on from `before`, which was shown: what began there goes here too."""
        ...

    def stream(self) -> RedactedStream:
        """For a text that comes, or is looked at, in pieces."""
        ...

    def open_end(self, text: str) -> int:
        """How many characters at the end of `text` may be the beginning of a secret that goes on elsewhere."""
        ...

    def learn(self, *secrets: str) -> None:
        """Exact values from now on (a secret loaded later, a value Terraform marks as sensitive)."""
        ...


class Watch(Protocol):
    """What a running tool tells and asks: progress out, stop in."""

    async def progress(self, *parts: str) -> None: ...

    def stopping(self) -> int:
        """0: go on. 1: stop the way the tool declares. 2 or more: force."""
        ...

    def alive(self) -> bool:
        """False when the lease could not be renewed: interrupt the child and go."""
        ...


@dataclass(frozen=True, slots=True)
class Scope:
    """What a tool may know of the mission it works for. Nothing here can be written through."""

    mission: Mission
    persona: PersonaName
    turn: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Done:
    """What a tool's run gives back: the result, and entries for the mission log (crew tools)."""

    result: ToolResult
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Cannot:
    """The tool will not prepare this call; `text` tells the model what to do instead."""

    text: str
    rule: str = ""


class Tool(Protocol):
    """One tool. `arguments` of its methods are what its own `parse` returned.

    `durable` tools have outside effects: they run only through an approved request, and `recover` says what became of
    a run whose worker died.
    """

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def schema(self) -> Mapping[str, Json]: ...
    @property
    def timeout_s(self) -> float: ...
    @property
    def durable(self) -> bool: ...
    @property
    def together(self) -> bool:
        """True for plain reads: several such calls of one model message may run at the same time."""
        ...

    def parse(self, arguments: Mapping[str, Json]) -> Any:
        """Typed arguments. Raises ArgumentError."""
        ...

    async def prepare(self, call: ToolCall, arguments: Any, scope: Scope) -> Prepared | Cannot:
        """Classify, and copy everything the call will read into a snapshot. Changes nothing outside."""
        ...

    async def pins(self, prepared: Prepared, arguments: Any) -> Mapping[str, str]:
        """The state pins as they are now; compared with `prepared.pins` at execution (rule 11)."""
        ...

    async def run(self, prepared: Prepared, arguments: Any, scope: Scope, watch: Watch) -> Done:
        """Do it. Failures that the model can act on are results, not exceptions."""
        ...

    async def recover(self, prepared: Prepared, arguments: Any, scope: Scope, watch: Watch) -> Done:
        """After a crash: wait until the old child is gone and the state lock is free, look, and say what is.
        Runs nothing again. A result of status `unknown_outcome` names every orphan in `facts["orphans"]`.
        """
        ...


class Door(Protocol):
    """The gate, as the agent loop sees it (rule 9)."""

    async def submit(self, call: ToolCall, scope: Scope, words: str, watch: Watch) -> Submitted:
        """Run it, refuse it, or ask people. Never raises for what a model proposed."""
        ...

    async def probe(self, call: ToolCall, scope: Scope, watch: Watch) -> Ran | Refused:
        """Run it where that takes nobody's word; else refuse it, with `asks` among the facts. For what no agent proposed."""
        ...


class Slack(Protocol):
    """The little that the engine asks of Slack beyond posts."""

    async def standing(self, user: UserId) -> tuple[str, str]:
        """("member"|"guest"|"external"|"deactivated"|"bot"|"unknown", display name)."""
        ...
