"""What is asked of a language model and what it answers; no provider's type passes this line."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bot.domain.ids import Json


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it. `schema` is a JSON Schema object for the arguments."""

    name: str
    description: str
    schema: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class ProposedCall:
    """A call in a model's answer. `problem` is set, and `arguments` empty, where the arguments were not a JSON object."""

    id: str
    tool: str
    arguments: Mapping[str, Json]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """Something said to the agent: its task, a human's words, a note of the router. Becomes a user message."""

    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """An earlier answer of this agent, given back to the model."""

    text: str
    calls: tuple[ProposedCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Returned:
    """The result of one call, given back to the model. Every call of an `Answered` has exactly one, right after it."""

    call_id: str
    text: str
    failed: bool = False


Message = Heard | Answered | Returned


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """`model` is "<provider>:<name>". `system` is the stable prefix (persona); messages are oldest first."""

    model: str
    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    max_tokens: int = 4096
    fallback: str = ""  # another "<provider>:<name>", asked when `model` is unavailable
    tag: Mapping[str, str] | None = None  # persona, mission, turn: for traces, never sent to the provider


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them. `cached` is the part of `prompt` read from its cache."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0


StopReason = Literal["end", "calls", "truncated", "refused", "empty"]


@dataclass(frozen=True, slots=True)
class ModelReply:
    """`thought` is private (reasoning items, thinking blocks, and what leaked as `<think>` into the text, cut out of
    `speech`); `leaks` counts such leaks. `retries` is how often the provider was asked again.
    """

    model: str
    thought: str
    speech: str
    calls: tuple[ProposedCall, ...]
    stop: StopReason
    usage: Usage
    cost_usd: float
    leaks: int = 0
    retries: int = 0
    seconds: float = 0.0


class ModelUnavailableError(Exception):
    """The provider did not answer within its retries. `text` is for people, without secrets; never speech."""

    def __init__(self, text: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.retry_after_s = retry_after_s
