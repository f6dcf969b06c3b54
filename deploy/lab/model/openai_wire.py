"""OpenAI chat completions as its API speaks them."""

import re
import time
from collections.abc import Mapping
from typing import Any

from deploy.lab.model.conversation import Answer, Call, Conversation, Turn
from deploy.lab.model.faults import Fault
from deploy.lab.model.wire import Counted, Reply, RequestError, canonical, delay_headers, random_id, text_of

NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
CALL_ID_LENGTH = 40
ROLES = ("system", "developer", "user", "assistant", "tool")
CACHE_LEAST = 1024 * 4
CACHE_STEP = 128 * 4


class OpenAiWire:
    name = "openai"

    def authorised(self, headers: Mapping[str, str], key: str) -> bool:
        return headers.get("Authorization") == f"Bearer {key}"

    def read(self, body: Any, headers: Mapping[str, str]) -> Conversation:
        del headers
        if not isinstance(body, dict):
            raise _invalid("We could not parse the JSON body of your request.")
        if not isinstance(body.get("model"), str):
            raise _invalid("you must provide a model parameter")
        if body.get("stream"):
            raise _invalid("The lab does not stream.", param="stream", code="unsupported_value")
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise _invalid(
                "Missing required parameter: 'messages'.", param="messages", code="missing_required_parameter"
            )
        system = "\n".join(text_of(m.get("content")) for m in messages if m.get("role") in ROLES[:2])
        turns = tuple(
            _turn(index, message) for index, message in enumerate(messages) if message.get("role") not in ROLES[:2]
        )
        _check_order(turns)
        return Conversation(system, turns, _tools(body.get("tools") or []))

    def prefix(self, body: Mapping[str, Any]) -> str:
        return canonical(body.get("tools") or []) + "".join(canonical(message) for message in body["messages"])

    def cacheable(self, body: Mapping[str, Any], shared: int) -> int:
        del body
        return shared // CACHE_STEP * CACHE_STEP if shared >= CACHE_LEAST else 0

    def write(self, model: str, answer: Answer, counted: Counted) -> Reply:
        refused = answer.stop == "refused"
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if refused or (answer.calls and not answer.text) else answer.text,
            "refusal": answer.text if refused else None,
            "annotations": [],
        }
        if answer.thought:  # not OpenAI itself, but what compatible servers send
            message["reasoning_content"] = answer.thought
        if answer.calls:
            message["tool_calls"] = [
                {"id": random_id("call_"), "type": "function", "function": {"name": call.tool, "arguments": call.raw}}
                for call in answer.calls
            ]
        finish = "length" if answer.stop == "truncated" else "tool_calls" if answer.calls else "stop"
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        body = {
            "id": random_id("chatcmpl-"),
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model,
            "choices": [choice],
            "usage": _usage(counted, len(answer.thought) // 4),
            "service_tier": "default",
            "system_fingerprint": None,
        }
        return Reply(200, body, {"x-request-id": random_id("req_"), "openai-version": "2020-10-01"})

    def refuse(self, error: RequestError) -> Reply:
        body = {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}
        return Reply(error.status, {"error": body}, {"x-request-id": random_id("req_")})

    def fail(self, fault: Fault) -> Reply:
        match fault.kind:
            case "rate_limited":
                text = (
                    "Rate limit reached for this model in organization org-lab on tokens per min (TPM): Limit 500000, "
                    f"Used 496112, Requested 9120. Please try again in {fault.retry_after_s:g}s. "
                    "Visit https://platform.openai.com/account/rate-limits to learn more."
                )
                reply = self.refuse(RequestError(429, "tokens", text, code="rate_limit_exceeded"))
                return Reply(429, reply.body, {**reply.headers, **delay_headers(fault)})
            case "quota":
                text = (
                    "You exceeded your current quota, please check your plan and billing details. For more information "
                    "on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
                )
                return self.refuse(RequestError(429, "insufficient_quota", text, code="insufficient_quota"))
            case "overloaded":
                text = "The engine is currently overloaded, please try again later"
                return self.refuse(RequestError(503, "service_unavailable_error", text, code="server_is_overloaded"))
            case "server_error":
                text = "The server had an error while processing your request. Sorry about that!"
                return self.refuse(RequestError(500, "server_error", text))
            case _:
                return _proxy_page(fault)


def _proxy_page(fault: Fault) -> Reply:
    status = 200 if fault.kind == "not_json" else 502
    return Reply(status, "<html><body><h1>502 Bad Gateway</h1></body></html>", {"content-type": "text/html"})


def _invalid(message: str, *, param: str | None = None, code: str | None = None) -> RequestError:
    return RequestError(400, "invalid_request_error", message, param=param, code=code)


def _turn(index: int, message: Mapping[str, Any]) -> Turn:
    role = message.get("role")
    where = f"messages[{index}]"
    if role not in ROLES:
        text = f"Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'."
        raise _invalid(text, param=f"{where}.role", code="invalid_value")
    content = message.get("content")
    if content is None and not (role == "assistant" and message.get("tool_calls")):
        text = f"Invalid value for 'content': expected a string, got null. ({where}.content)"
        raise _invalid(text, param=f"{where}.content")
    if role == "tool":
        if not isinstance(message.get("tool_call_id"), str):
            raise _invalid(f"Missing required parameter: '{where}.tool_call_id'.", param=where)
        return Turn("tool", text_of(content), call_id=message["tool_call_id"])
    if role == "user":
        return Turn("user", text_of(content))
    return Turn(
        "assistant", text_of(content), tuple(_call(where, n, c) for n, c in enumerate(message.get("tool_calls") or []))
    )


def _call(where: str, number: int, call: Mapping[str, Any]) -> Call:
    place = f"{where}.tool_calls[{number}]"
    function = call.get("function")
    if call.get("type") != "function" or not isinstance(function, dict):
        raise _invalid(
            f"Missing required parameter: '{place}.function'.", param=place, code="missing_required_parameter"
        )
    call_id = str(call.get("id", ""))
    if not call_id or len(call_id) > CALL_ID_LENGTH:
        text = (
            f"Invalid '{place}.id': string too long. Expected a string with maximum length {CALL_ID_LENGTH}, "
            f"but got a string with length {len(call_id)} instead."
        )
        raise _invalid(text, param=f"{place}.id", code="string_above_max_length")
    if not NAME.match(str(function.get("name", ""))):
        text = f"Invalid '{place}.function.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
        raise _invalid(text, param=f"{place}.function.name", code="invalid_value")
    if not isinstance(function.get("arguments"), str):
        raise _invalid(
            f"Invalid type for '{place}.function.arguments': expected a string.", param=place, code="invalid_type"
        )
    return Call(call_id, str(function["name"]), function["arguments"])


def _check_order(turns: tuple[Turn, ...]) -> None:
    """Every call has its result before anything else is said, and every result its call."""
    open_calls: list[str] = []
    for index, turn in enumerate(turns):
        if turn.role == "tool":
            if turn.call_id not in open_calls:
                text = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                raise _invalid(text, param=f"messages.[{index}].role")
            open_calls.remove(turn.call_id)
            continue
        if open_calls:
            raise _unanswered(open_calls)
        open_calls = [call.id for call in turn.calls]
    if open_calls:
        raise _unanswered(open_calls)


def _unanswered(calls: list[str]) -> RequestError:
    return _invalid(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(calls)}",
        param="messages",
    )


def _tools(tools: list[Any]) -> dict[str, tuple[str, ...]]:
    offered: dict[str, tuple[str, ...]] = {}
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name", "") if isinstance(function, dict) else ""
        if not NAME.match(str(name)):
            text = f"Invalid 'tools[{index}].function.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
            raise _invalid(text, param=f"tools[{index}].function.name", code="invalid_value")
        schema = function.get("parameters") or {}
        if schema and schema.get("type") != "object":
            text = f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{schema.get('type')}\"'."
            raise _invalid(text, param=f"tools[{index}].function.parameters", code="invalid_function_parameters")
        offered[name] = tuple(schema.get("required") or ())
    return offered


def _usage(counted: Counted, reasoning: int) -> dict[str, Any]:
    return {
        "prompt_tokens": counted.prompt,
        "completion_tokens": counted.completion,
        "total_tokens": counted.prompt + counted.completion,
        "prompt_tokens_details": {"cached_tokens": counted.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
