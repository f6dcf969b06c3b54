"""Anthropic messages as its API speaks them."""

import json
import re
from collections.abc import Mapping
from typing import Any

from deploy.lab.model.conversation import Answer, Call, Conversation, Turn
from deploy.lab.model.faults import Fault
from deploy.lab.model.wire import Counted, Reply, RequestError, canonical, delay_headers, random_id, text_of

ID = re.compile(r"^[a-zA-Z0-9_-]+$")
NAME = re.compile(r"^[a-zA-Z0-9_-]{1,128}$")
CACHE_LEAST = 1024 * 4
CACHE_MARKS = 4


class AnthropicWire:
    name = "anthropic"

    def authorised(self, headers: Mapping[str, str], key: str) -> bool:
        """Either header: clients have moved from x-api-key to Authorization."""
        return key in {headers.get("x-api-key"), headers.get("Authorization", "").removeprefix("Bearer ")}

    def read(self, body: Any, headers: Mapping[str, str]) -> Conversation:
        if not headers.get("anthropic-version"):
            raise _invalid("anthropic-version: header is required")
        if not isinstance(body, dict):
            raise _invalid("The request body is not valid JSON.")
        for name in ("model", "max_tokens", "messages"):
            if name not in body:
                raise _invalid(f"{name}: Field required")
        if body.get("stream"):
            raise _invalid("stream: the lab does not stream")
        if not isinstance(body["max_tokens"], int) or body["max_tokens"] < 1:
            raise _invalid("max_tokens: Input should be greater than or equal to 1")
        messages = body["messages"]
        if not isinstance(messages, list) or not messages:
            raise _invalid("messages: at least one message is required")
        if messages[0].get("role") != "user":
            raise _invalid('messages: first message must use the "user" role')
        if messages[-1].get("role") != "user":
            raise _invalid(
                "This model does not support assistant message prefill. The conversation must end with a user message."
            )
        _check_cache_marks(body)
        turns = _turns(messages)
        return Conversation(text_of(body.get("system")), turns, _tools(body.get("tools") or []))

    def prefix(self, body: Mapping[str, Any]) -> str:
        return "".join(canonical(part) for part in _parts(body))

    def cacheable(self, body: Mapping[str, Any], shared: int) -> int:
        """Only whole blocks up to one with a cache_control mark."""
        end = found = 0
        for part in _parts(body):
            end += len(canonical(part))
            if end <= shared and part.get("cache_control"):
                found = end
        return found if found >= CACHE_LEAST else 0

    def write(self, model: str, answer: Answer, counted: Counted) -> Reply:
        content: list[dict[str, Any]] = []
        if answer.thought:
            content.append({"type": "thinking", "thinking": answer.thought, "signature": random_id("sig")})
        if answer.text and answer.stop != "refused":
            content.append({"type": "text", "text": answer.text})
        content += [
            {"type": "tool_use", "id": random_id("toolu_"), "name": call.tool, "input": _input(call.raw)}
            for call in answer.calls
        ]
        reasons = {"truncated": "max_tokens", "refused": "refusal"}
        reason = reasons.get(answer.stop, "tool_use" if answer.calls else "end_turn")
        details = (
            {"type": "refusal", "category": None, "explanation": answer.text} if answer.stop == "refused" else None
        )
        body = {
            "id": random_id("msg_"),
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": content,
            "stop_reason": reason,
            "stop_sequence": None,
            "stop_details": details,
            "usage": {
                "input_tokens": counted.prompt - counted.cached,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": counted.cached,
                "output_tokens": counted.completion,
                "service_tier": "standard",
            },
        }
        return Reply(200, body, {"request-id": random_id("req_")})

    def refuse(self, error: RequestError) -> Reply:
        request = random_id("req_")
        body = {"type": "error", "error": {"type": error.kind, "message": error.message}, "request_id": request}
        return Reply(error.status, body, {"request-id": request})

    def fail(self, fault: Fault) -> Reply:
        match fault.kind:
            case "rate_limited":
                text = (
                    "This request would exceed your organization's rate limit of 450,000 input tokens per minute. For details, "
                    "refer to: https://docs.claude.com/en/api/rate-limits."
                )
                reply = self.refuse(RequestError(429, "rate_limit_error", text))
                return Reply(429, reply.body, {**reply.headers, **delay_headers(fault)})
            case "quota":
                text = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."
                return self.refuse(RequestError(400, "invalid_request_error", text))
            case "overloaded":
                return self.refuse(RequestError(529, "overloaded_error", "Overloaded"))
            case "server_error":
                return self.refuse(RequestError(500, "api_error", "Internal server error"))
            case _:
                status = 200 if fault.kind == "not_json" else 502
                page = "<html><body><h1>502 Bad Gateway</h1></body></html>"
                return Reply(status, page, {"content-type": "text/html"})


def _parts(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The request in the order in which the provider caches it: tools, system, messages block by block."""
    system = body.get("system") or []
    parts = [*(body.get("tools") or []), *([{"text": system}] if isinstance(system, str) else system)]
    for message in body["messages"]:
        content = message["content"]
        blocks = [{"text": content}] if isinstance(content, str) else content
        parts += [{"role": message["role"], **block} for block in blocks]
    return parts


def _input(raw: str) -> Any:
    """Anthropic sends parsed input. What a broken model wrote arrives as a text where an object belongs."""
    try:
        return json.loads(raw)
    except ValueError:
        return raw


def _invalid(message: str) -> RequestError:
    return RequestError(400, "invalid_request_error", message)


def _turns(messages: list[Any]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role not in {"user", "assistant"}:
            raise _invalid(f'messages: Unexpected role "{role}". Allowed roles are "user" or "assistant".')
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not blocks:
            raise _invalid(f"messages.{index}: all messages must have non-empty content")
        if role == "user":
            found = _user_turns(index, blocks, open_calls)
            open_calls = []
        else:
            if open_calls:
                raise _unanswered(index - 1, open_calls)
            found = [_assistant_turn(index, blocks)]
            open_calls = [call.id for call in found[0].calls]
        turns.extend(found)
    return tuple(turns)


def _user_turns(index: int, blocks: list[Any], open_calls: list[str]) -> list[Turn]:
    """Results first, then words: a call must have its result at the start of the next message."""
    turns: list[Turn] = []
    waiting = list(open_calls)
    for number, block in enumerate(blocks):
        where = f"messages.{index}.content.{number}"
        if block.get("type") == "tool_result":
            call_id = block.get("tool_use_id", "")
            if call_id not in waiting:
                text = (
                    f"{where}: unexpected `tool_use_id` found in `tool_result` blocks: {call_id}. Each `tool_result` block "
                    "must have a corresponding `tool_use` block in the previous message."
                )
                raise _invalid(text)
            waiting.remove(call_id)
            turns.append(
                Turn("tool", text_of(block.get("content", "")), call_id=call_id, failed=bool(block.get("is_error")))
            )
            continue
        if waiting:
            break
        turns.append(Turn("user", _text(where, block)))
    if waiting:
        raise _unanswered(index - 1, waiting)
    return turns


def _assistant_turn(index: int, blocks: list[Any]) -> Turn:
    texts: list[str] = []
    calls: list[Call] = []
    for number, block in enumerate(blocks):
        where = f"messages.{index}.content.{number}"
        if block.get("type") == "tool_use":
            if not ID.match(str(block.get("id", ""))):
                raise _invalid(f"{where}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
            if not NAME.match(str(block.get("name", ""))):
                raise _invalid(f"{where}.tool_use.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
            if not isinstance(block.get("input"), dict):
                raise _invalid(f"{where}.tool_use.input: Input should be a valid dictionary")
            calls.append(Call(block["id"], block["name"], json.dumps(block["input"], ensure_ascii=False)))
        elif block.get("type") not in {"thinking", "redacted_thinking"}:
            texts.append(_text(where, block))
    return Turn("assistant", "\n".join(texts), tuple(calls))


def _text(where: str, block: Any) -> str:
    if block.get("type") != "text" or not isinstance(block.get("text"), str):
        raise _invalid(
            f"{where}: Input tag '{block.get('type')}' found using 'type' does not match any of the expected tags"
        )
    if not block["text"]:
        raise _invalid(f"{where}.text: text content blocks must be non-empty")
    if not block["text"].strip():
        raise _invalid(f"{where}.text: text content blocks must contain non-whitespace text")
    return block["text"]


def _unanswered(index: int, calls: list[str]) -> RequestError:
    return _invalid(
        f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(calls)}. "
        "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
    )


def _tools(tools: list[Any]) -> dict[str, tuple[str, ...]]:
    offered: dict[str, tuple[str, ...]] = {}
    for index, tool in enumerate(tools):
        name = tool.get("name", "")
        if not NAME.match(str(name)):
            raise _invalid(f"tools.{index}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        schema = tool.get("input_schema")
        if not isinstance(schema, dict):
            raise _invalid(f"tools.{index}.custom.input_schema: Field required")
        if schema.get("type") != "object":
            raise _invalid(f"tools.{index}.custom.input_schema.type: Input should be 'object'")
        offered[name] = tuple(schema.get("required") or ())
    return offered


def _check_cache_marks(body: Mapping[str, Any]) -> None:
    count = canonical(body).count('"cache_control":{')
    if count > CACHE_MARKS:
        raise _invalid(f"A maximum of {CACHE_MARKS} blocks with cache_control may be provided. Found {count}.")
