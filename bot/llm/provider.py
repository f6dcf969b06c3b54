"""What a provider's file has to give, and what both do alike with messages and answers. Knows neither SDK."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, cast

from bot.domain.ids import Json
from bot.domain.model import Answered, Heard, Message, ModelRequest, ProposedCall, StopReason, ToolSpec, Usage

CHARACTERS_PER_TOKEN = 4  # an estimate, for the shared budget only
CALL_ID_LENGTH = 40
CALL_ID = re.compile(r"[^a-zA-Z0-9_-]")
ARGUMENTS_MOST = 256 * 1024
GO_ON = Heard("Go on.")


@dataclass(frozen=True, slots=True)
class Completion:
    """A provider's answer, before speech is parted from leaked thoughts. `written` tokens went into its cache."""

    text: str
    thought: str
    calls: tuple[ProposedCall, ...]
    stop: StopReason
    usage: Usage
    written: int = 0


@dataclass(frozen=True, slots=True)
class RawCall:
    id: str
    tool: str
    arguments: str | dict[str, Any]


class ProviderError(Exception):
    """A provider gave no answer. `text` is for people, without secrets. `again`: a later try may get one.

    `limited`: everybody who shares the account should wait `retry_after_s`.
    """

    def __init__(
        self, text: str, *, again: bool, retry_after_s: float | None = None, limited: bool = False, slow: bool = False
    ) -> None:
        super().__init__(text)
        self.text = text
        self.again = again
        self.retry_after_s = retry_after_s
        self.limited = limited
        self.slow = slow  # it cost the whole time-out


class Provider(Protocol):
    """One provider. `title` is its name in texts for people."""

    @property
    def title(self) -> str: ...

    async def complete(self, model: str, request: ModelRequest) -> Completion:
        """One try. Raises ProviderError."""
        ...

    async def models(self) -> tuple[str, ...]:
        """Names that the endpoint offers, for `check`. Raises ProviderError."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a provider listens and with what key. An empty `url` is the provider's own."""

    url: str = ""
    key: str = field(default="", repr=False)
    timeout_s: float = 180.0


def prepared(messages: Sequence[Message]) -> list[Message]:
    """The messages as every provider takes them: no empty ones, and the last one not the agent's own."""
    kept = [message for message in messages if not _empty(message)]
    if not kept or isinstance(kept[0], Answered):
        kept.insert(0, GO_ON)
    if isinstance(kept[-1], Answered):
        kept.append(GO_ON)
    return kept


def wire_id(call: str) -> str:
    """A call's id as every provider takes it: at most 40 letters, digits, _ and -."""
    plain = CALL_ID.sub("_", call) or "_"
    if len(plain) <= CALL_ID_LENGTH:
        return plain
    return f"{plain[:23]}_{hashlib.sha256(call.encode()).hexdigest()[:16]}"


def estimated_tokens(request: ModelRequest) -> int:
    """About how many tokens a call will take, so that the shared budget can be asked first."""
    size = len(request.system) + sum(_size(message) for message in request.messages)
    size += sum(len(tool.name) + len(tool.description) + len(json.dumps(plain(tool))) for tool in request.tools)
    return size // CHARACTERS_PER_TOKEN + min(request.max_tokens, 1000)


def plain(tool: ToolSpec) -> dict[str, Any]:
    """A tool's schema as SDKs want it: a JSON Schema of an object."""
    return {"type": "object", "properties": {}, **dict(tool.schema)}


def proposed(calls: Sequence[RawCall], *, truncated: bool) -> tuple[ProposedCall, ...]:
    """The calls of an answer. What is no JSON object becomes a problem that the model hears of; of an answer that was
    cut at its limit the last call is never run, whole or not.
    """
    found = [_proposed(call, number) for number, call in enumerate(calls)]
    if truncated and found:
        last = found[-1]
        problem = "the answer was cut at its limit before the call was whole"
        found[-1] = ProposedCall(last.id, last.tool, {}, problem)
    return tuple(found)


def readable(text: str) -> str:
    """`text` without lone surrogates, which no store and no wire takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _proposed(call: RawCall, number: int) -> ProposedCall:
    call_id, tool = call.id or f"call_{number}", readable(call.tool).strip()[:200]
    arguments, problem = _arguments(call.arguments)
    return ProposedCall(call_id, tool, arguments, problem)


def _arguments(raw: str | dict[str, Any]) -> tuple[dict[str, Json], str]:
    """(arguments, ""), or ({}, what is wrong)."""
    try:
        text = raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False)
        if len(text) > ARGUMENTS_MOST:
            return {}, f"{len(text)} characters of arguments; at most {ARGUMENTS_MOST} are taken"
        text.encode("utf-8")
        parsed: Any = json.loads(text, parse_constant=_refuse) if text.strip() else {}
        json.dumps(parsed, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        return {}, f"{type(error).__name__}: {readable(str(error))[:200]}"
    if not isinstance(parsed, dict):
        return {}, f"a JSON object is needed, this is {type(parsed).__name__}"
    return cast("dict[str, Json]", parsed), ""


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _empty(message: Message) -> bool:
    match message:
        case Heard(text):
            return not text.strip()
        case Answered(text, calls):
            return not calls and not text.strip()
        case _:
            return False


def _size(message: Message) -> int:
    match message:
        case Answered(text, calls):
            return len(text) + sum(len(call.tool) + len(json.dumps(dict(call.arguments))) for call in calls)
        case _:
            return len(message.text)
