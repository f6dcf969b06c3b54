"""What both wire formats have in common."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from deploy.lab.model.conversation import Answer, Conversation
from deploy.lab.model.faults import Fault

CONTEXT_TOKENS = 400_000


class RequestError(Exception):
    """The provider would refuse this request: `status` and `kind` are its own."""

    def __init__(
        self, status: int, kind: str, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.param = param
        self.code = code


@dataclass(frozen=True, slots=True)
class Counted:
    """Tokens of one exchange: about four characters each."""

    prompt: int
    completion: int
    cached: int


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: Mapping[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)


class Wire(Protocol):
    """One provider's format."""

    name: str

    def authorised(self, headers: Mapping[str, str], key: str) -> bool: ...
    def read(self, body: Any, headers: Mapping[str, str]) -> Conversation:
        """Raises RequestError with the provider's own words."""
        ...

    def prefix(self, body: Mapping[str, Any]) -> str:
        """The part of the request that the provider's cache works on, as text, oldest first."""
        ...

    def cacheable(self, body: Mapping[str, Any], shared: int) -> int:
        """How many of the `shared` leading characters the provider would have in its cache."""
        ...

    def write(self, model: str, answer: Answer, counted: Counted) -> Reply: ...
    def refuse(self, error: RequestError) -> Reply: ...
    def fail(self, fault: Fault) -> Reply: ...


def canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def random_id(prefix: str) -> str:
    return prefix + secrets.token_hex(12)


def delay_headers(fault: Fault) -> dict[str, str]:
    """Both headers that the SDKs read; whole seconds in the one, as real servers send them."""
    return {
        "retry-after": str(max(1, round(fault.retry_after_s))),
        "retry-after-ms": str(round(fault.retry_after_s * 1000)),
    }


def text_of(content: Any) -> str:
    """The text of a message's content, a string or text parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""
