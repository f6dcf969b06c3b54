"""openai: models, over chat completions: OpenAI's own endpoint or any compatible one. The only file that imports openai."""

import asyncio
import importlib
import json
import time
from typing import TYPE_CHECKING, Any, cast

from bot.domain.model import Answered, Heard, Message, ModelRequest, ProposedCall, Returned, StopReason, Usage
from bot.llm.failure import bad_answer, unreachable, unserved
from bot.llm.provider import Completion, Endpoint, ProviderError, RawCall, plain, prepared, proposed, readable, wire_id
from bot.llm.retry import delay_in

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OWN_URL = "https://api.openai.com/v1"
OWN_KEY: Any = {"security": {"bearer_auth": True}}  # not the admin key that the environment may hold
ADJUSTMENTS = 2  # of one call: what a model turned out not to take


class OpenAi:
    title = "OpenAI"

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client: AsyncOpenAI | None = None
        self._quirks: dict[str, dict[str, Any]] = {}  # model → what it wants otherwise, as learnt from its refusals

    async def complete(self, model: str, request: ModelRequest) -> Completion:
        for _ in range(ADJUSTMENTS + 1):
            parameters = self._parameters(model, request)
            try:
                reply = await self._post(parameters)
            except _NotTakenError as refusal:
                self._quirks[model] = self._quirks.get(model, {}) | refusal.instead
                continue
            return _completion(self.title, reply)
        raise ProviderError(f"{self.title} refuses every form of this request for {model}.", again=False)

    async def models(self) -> tuple[str, ...]:
        client = await self._connected()
        import openai  # noqa: PLC0415 # one to two seconds: on first use

        try:
            return tuple([model.id async for model in client.models.list()])
        except openai.APIError as error:
            raise self._failed(error, "") from error

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _connected(self) -> "AsyncOpenAI":
        if self._client is None:
            await asyncio.to_thread(importlib.import_module, "openai")
            from openai import AsyncOpenAI  # noqa: PLC0415 # imported above, in a thread

            own = not self._endpoint.url
            if own and not self._endpoint.key:
                raise ProviderError("There is no key for openai: models. Set WATCHBILL_OPENAI_API_KEY.", again=False)
            self._client = AsyncOpenAI(
                api_key=self._endpoint.key or "none",  # local servers want none, the SDK wants one
                base_url=self._endpoint.url or OWN_URL,
                timeout=self._endpoint.timeout_s,
                max_retries=0,  # retries are ours: under the shared budget
            )
        return self._client

    async def _post(self, parameters: dict[str, Any]) -> Any:
        client = await self._connected()
        import openai  # noqa: PLC0415 # imported by now
        from openai.types.chat import ChatCompletion  # noqa: PLC0415 # imported by now

        try:
            # `create` walks every message by its TypedDict first, which takes longer than the rest of the call.
            reply = await client.post("/chat/completions", body=parameters, cast_to=ChatCompletion, options=OWN_KEY)
        except openai.BadRequestError as error:
            instead = _instead(str(error.message), parameters)
            if instead:
                raise _NotTakenError(instead) from error
            raise self._failed(error, parameters["model"]) from error
        except openai.APIError as error:
            raise self._failed(error, parameters["model"]) from error
        except ValueError as error:  # a body that is no JSON
            raise bad_answer(self.title) from error
        return reply

    def _parameters(self, model: str, request: ModelRequest) -> dict[str, Any]:
        messages = [{"role": "system", "content": request.system}] if request.system else []
        parameters: dict[str, Any] = {
            "model": model,
            "messages": [*messages, *(_message(message) for message in prepared(request.messages))],
            "max_completion_tokens": request.max_tokens,
        }
        if request.tools:
            parameters["tools"] = [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": plain(tool)},
                }
                for tool in request.tools
            ]
        quirks = self._quirks.get(model, {})
        if "max_tokens" in quirks:
            del parameters["max_completion_tokens"]
            quirks = quirks | {"max_tokens": request.max_tokens}
        return parameters | quirks

    def _failed(self, error: Exception, model: str) -> ProviderError:
        import openai  # noqa: PLC0415 # imported by now

        if isinstance(error, openai.APITimeoutError):
            return unreachable(self.title, self._endpoint.timeout_s)
        if not isinstance(error, openai.APIStatusError):
            return unreachable(self.title, None)
        return unserved(
            self.title,
            error.status_code,
            model=model,
            code=str(error.code or error.type or ""),
            said=str(error.message),
            delay_s=delay_in(error.response.headers, time.time()),
            again=error.response.headers.get("x-should-retry"),
            setting="WATCHBILL_OPENAI_API_KEY",
        )


class _NotTakenError(Exception):
    """The model does not take a parameter; `instead` is what it takes."""

    def __init__(self, instead: dict[str, Any]) -> None:
        super().__init__()
        self.instead = instead


def _instead(said: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """What to send instead of a parameter that this model or server does not know. Empty: the refusal is about
    something else.
    """
    if "max_completion_tokens" in said and "max_completion_tokens" in parameters:
        return {"max_tokens": parameters["max_completion_tokens"]}
    # Newer reasoning models take tools in chat completions only without reasoning.
    if "reasoning_effort" in said and "tool" in said.lower() and "reasoning_effort" not in parameters:
        return {"reasoning_effort": "none"}
    return {}


def _message(message: Message) -> dict[str, Any]:
    match message:
        case Heard(text):
            return {"role": "user", "content": readable(text)}
        case Returned(call_id, text):
            return {"role": "tool", "tool_call_id": wire_id(call_id), "content": readable(text)}
        case Answered(text, calls):
            said: dict[str, Any] = {"role": "assistant", "content": readable(text) or None}
            if calls:
                said["tool_calls"] = [_call(call) for call in calls]
            return said


def _call(call: ProposedCall) -> dict[str, Any]:
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
    return {
        "id": wire_id(call.id),
        "type": "function",
        "function": {"name": wire_id(call.tool), "arguments": readable(arguments)},
    }


def _completion(title: str, reply: Any) -> Completion:
    """A chat completion, which compatible servers also send with parts missing."""
    choices = cast("list[Any]", getattr(reply, "choices", None) or [])
    message = getattr(choices[0], "message", None) if choices else None
    if message is None:
        raise bad_answer(title)
    finish = str(getattr(choices[0], "finish_reason", "") or "")
    functions = [(str(call.id or ""), call.function) for call in message.tool_calls or () if call.type == "function"]
    raw = [RawCall(call_id, str(function.name), str(function.arguments or "")) for call_id, function in functions]
    calls = proposed(raw, truncated=finish == "length")
    refusal = str(getattr(message, "refusal", None) or "")
    text = readable(str(message.content or ""))
    reasoning = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None) or ""
    thoughts = [
        readable(str(reasoning)) if isinstance(reasoning, str) else "",
        f"refusal: {refusal}" if refusal else "",
    ]
    return Completion(
        text="" if refusal else text,
        thought="\n".join(thought for thought in thoughts if thought),
        calls=calls,
        stop=_stop(finish, refused=bool(refusal), called=bool(calls), said=bool(text.strip())),
        usage=_usage(getattr(reply, "usage", None)),
    )


def _stop(finish: str, *, refused: bool, called: bool, said: bool) -> StopReason:
    if finish == "length":
        return "truncated"
    if refused or finish == "content_filter":
        return "refused"
    if called:
        return "calls"
    return "end" if said else "empty"


def _usage(usage: Any) -> Usage:
    if usage is None:
        return Usage()
    details = getattr(usage, "prompt_tokens_details", None)
    cached = int(getattr(details, "cached_tokens", 0) or 0)
    return Usage(int(usage.prompt_tokens or 0), int(usage.completion_tokens or 0), cached)
