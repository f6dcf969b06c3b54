"""anthropic: models, over messages. The only file that imports anthropic.

Thinking is left as the model has it by default. Its blocks stay private and are not sent back: they are tied to the
exact conversation, and ours begins anew with the mission's state at each call.
"""

import asyncio
import importlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bot.domain.model import Answered, Heard, Message, ModelRequest, Returned, StopReason, Usage
from bot.llm.failure import bad_answer, unreachable, unserved
from bot.llm.provider import Completion, Endpoint, ProviderError, RawCall, plain, prepared, proposed, readable, wire_id
from bot.llm.retry import delay_in

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

OWN_URL = "https://api.anthropic.com"
STOPS: dict[str, StopReason] = {
    "max_tokens": "truncated",
    "model_context_window_exceeded": "truncated",
    "refusal": "refused",
}


class Anthropic:
    title = "Anthropic"

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client: AsyncAnthropic | None = None

    async def complete(self, model: str, request: ModelRequest) -> Completion:
        create: Any = (await self._connected()).messages.create
        import anthropic  # noqa: PLC0415 # imported by now

        try:
            reply = await create(**_parameters(model, request))
        except anthropic.APIResponseValidationError as error:
            raise bad_answer(self.title) from error
        except anthropic.APIError as error:
            raise self._failed(error, model) from error
        except ValueError as error:  # a body that is no JSON
            raise bad_answer(self.title) from error
        return _completion(self.title, reply)

    async def models(self) -> tuple[str, ...]:
        client = await self._connected()
        import anthropic  # noqa: PLC0415 # imported by now

        try:
            return tuple([model.id async for model in client.models.list()])
        except anthropic.APIError as error:
            raise self._failed(error, "") from error

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _connected(self) -> "AsyncAnthropic":
        if self._client is None:
            await asyncio.to_thread(importlib.import_module, "anthropic")
            from anthropic import AsyncAnthropic  # noqa: PLC0415 # imported above, in a thread

            if not self._endpoint.key:
                text = "There is no key for anthropic: models. Set WATCHBILL_ANTHROPIC_API_KEY."
                raise ProviderError(text, again=False)
            self._client = AsyncAnthropic(
                api_key=self._endpoint.key,
                base_url=self._endpoint.url or OWN_URL,
                timeout=self._endpoint.timeout_s,
                max_retries=0,  # retries are ours: under the shared budget
            )
        return self._client

    def _failed(self, error: Exception, model: str) -> ProviderError:
        import anthropic  # noqa: PLC0415 # imported by now

        if isinstance(error, anthropic.APITimeoutError):
            return unreachable(self.title, self._endpoint.timeout_s)
        if not isinstance(error, anthropic.APIStatusError):
            return unreachable(self.title, None)
        return unserved(
            self.title,
            error.status_code,
            model=model,
            code=str(error.type or ""),
            said=str(error.api_message or error.message),
            delay_s=delay_in(error.response.headers, time.time()),
            again=error.response.headers.get("x-should-retry"),
            setting="WATCHBILL_ANTHROPIC_API_KEY",
        )


def _parameters(model: str, request: ModelRequest) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "model": model,
        "max_tokens": request.max_tokens,
        "messages": _messages(prepared(request.messages)),
    }
    if request.system:  # one mark: tools and persona stand before it and are the same in every call
        mark = {"type": "ephemeral"}
        parameters["system"] = [{"type": "text", "text": readable(request.system), "cache_control": mark}]
    if request.tools:
        parameters["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": plain(tool)} for tool in request.tools
        ]
    return parameters


def _messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages of alternating roles: what follows each other on one side becomes blocks of one message."""
    joined: list[dict[str, Any]] = []
    for message in messages:
        role, blocks = _blocks(message)
        if joined and joined[-1]["role"] == role:
            joined[-1]["content"] += blocks
        else:
            joined.append({"role": role, "content": blocks})
    return joined


def _blocks(message: Message) -> tuple[str, list[dict[str, Any]]]:
    match message:
        case Heard(text):
            return "user", [{"type": "text", "text": readable(text)}]
        case Returned(call_id, text, failed):
            result: dict[str, Any] = {"type": "tool_result", "tool_use_id": wire_id(call_id), "is_error": failed}
            return "user", [result | {"content": readable(text)}]
        case Answered(text, calls):
            said = [{"type": "text", "text": readable(text).rstrip()}] if text.strip() else []
            return "assistant", [
                *said,
                *(
                    {
                        "type": "tool_use",
                        "id": wire_id(call.id),
                        "name": wire_id(call.tool),
                        "input": dict(call.arguments),
                    }
                    for call in calls
                ),
            ]


def _completion(title: str, reply: Any) -> Completion:
    content: list[Any] | None = getattr(reply, "content", None)
    if content is None or getattr(reply, "usage", None) is None:
        raise bad_answer(title)
    reason = str(reply.stop_reason or "")
    text = readable("\n".join(str(block.text) for block in content if block.type == "text"))
    raw = [RawCall(str(block.id), str(block.name), block.input) for block in content if block.type == "tool_use"]
    calls = proposed(raw, truncated=reason in {"max_tokens", "model_context_window_exceeded"})
    thoughts = [readable(str(block.thinking)) for block in content if block.type == "thinking"]
    stop = STOPS.get(reason) or ("calls" if calls else "end" if text.strip() else "empty")
    if stop == "refused":
        why = getattr(getattr(reply, "stop_details", None), "explanation", None) or text
        text, thoughts = "", [*thoughts, f"refusal: {why}"]
    read, written = (int(getattr(reply.usage, f"cache_{kind}_input_tokens", 0) or 0) for kind in ("read", "creation"))
    prompt = int(reply.usage.input_tokens or 0) + read + written
    usage = Usage(prompt, int(reply.usage.output_tokens or 0), read)
    return Completion(text, "\n".join(thought for thought in thoughts if thought), calls, stop, usage, written)
