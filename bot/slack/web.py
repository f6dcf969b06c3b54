"""Slack's Web API behind one typed call: what was refused, and what may or may not have got through."""

import io
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.ids import Json

# Answers with ok=false after which the call may nevertheless have been carried out.
UNSURE = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout", "error"})


class RefusedError(Exception):
    """Slack said no: this call did nothing. `error` is Slack's own word. `unsure` is set where another call of the same
    delivery did something, or where it could not be seen whether an earlier one did.
    """

    def __init__(self, method: str, error: str, retry_after: float = 0.0, detail: str = "") -> None:
        super().__init__(f"{method}: {error}{': ' if detail else ''}{detail}")
        self.method = method
        self.error = error
        self.retry_after = retry_after
        self.unsure = False


class UnreachableError(Exception):
    """No clear answer (5xx, time-out, connection lost): the call may have been carried out."""

    def __init__(self, method: str, why: str) -> None:
        super().__init__(f"{method}: {why}")
        self.method = method


def sdk_logger(name: str, level: int = logging.ERROR) -> logging.Logger:
    """A logger of its own level for an SDK: its debug and info lines contain what people wrote."""
    logger = logging.getLogger(f"slack.{name}")
    logger.setLevel(level)
    return logger


@dataclass(frozen=True, slots=True)
class Uploaded:
    file: str
    ts: str  # of the message that shares it; "" where Slack has not said yet


class WebApi:
    """One token's calls. Retries belong to the caller: the SDK's own would post twice after a lost answer."""

    def __init__(self, token: str, *, base_url: str, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._client: Any = AsyncWebClient(  # its methods are untyped: this file is where that stops
            token=token, base_url=base_url, session=session, retry_handlers=[], logger=sdk_logger("web")
        )

    async def call(self, method: str, **arguments: Json) -> Mapping[str, Json]:
        """The answer's fields. Raises RefusedError or UnreachableError."""
        data = {name: _form(value) for name, value in arguments.items() if value is not None}
        try:
            response = await self._client.api_call(method, data=data)
        except SlackApiError as error:
            raise _refusal(method, error) from error
        except (aiohttp.ClientError, SlackClientError, TimeoutError, OSError, ValueError) as error:
            raise UnreachableError(method, type(error).__name__) from error
        return _object(response.data)

    async def upload(self, content: bytes, *, name: str, title: str, channel: str, thread_ts: str) -> Uploaded:
        """The three steps of an upload. Raises as `call` does."""
        ticket = await self.call("files.getUploadURLExternal", filename=name, length=len(content))
        try:
            async with self._session.post(
                text_of(ticket, "upload_url"), data=io.BytesIO(content), proxy=self._client.proxy
            ) as answer:
                if answer.status != 200:
                    raise UnreachableError("files.upload", f"status {answer.status}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError("files.upload", type(error).__name__) from error
        file = text_of(ticket, "file_id")
        done = await self.call(
            "files.completeUploadExternal",
            files=[{"id": file, "title": title}],
            channel_id=channel,
            thread_ts=thread_ts or None,
        )
        shared = next((share_ts(one, channel) for one in dicts(done.get("files"))), "")
        return Uploaded(file, shared)


def text_of(fields: Mapping[str, Json], name: str) -> str:
    """A text field, "" where it is missing or something else."""
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def fields_of(fields: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    value = fields.get(name)
    return value if isinstance(value, Mapping) else {}


def dicts(value: Json) -> list[Mapping[str, Json]]:
    """The objects in a JSON list."""
    items = value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, Mapping)]


def share_ts(file: Mapping[str, Json], channel: str) -> str:
    """The ts of the message by which a file was shared to a channel, "" if Slack does not say."""
    shares = fields_of(file, "shares")
    for kind in ("public", "private"):
        for share in dicts(fields_of(shares, kind).get(channel)):
            return text_of(share, "ts")
    return ""


def _object(value: object) -> Mapping[str, Json]:
    return cast("dict[str, Json]", value) if isinstance(value, dict) else {}


def _form(value: Json) -> str:
    """Slack takes every argument of every method as a form field: structures as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=True)


def _refusal(method: str, error: SlackApiError) -> RefusedError | UnreachableError:
    response: Any = error.response  # a response of the SDK, or aiohttp's where the body could not be read
    status = int(getattr(response, "status_code", 0) or getattr(response, "status", 0) or 0)
    fields = _object(getattr(response, "data", None))
    word = text_of(fields, "error")
    if status == 429 or word in ("ratelimited", "rate_limited"):
        return RefusedError(method, "ratelimited", _seconds(str(response.headers.get("Retry-After", ""))))
    if status == 413:
        return RefusedError(method, "msg_too_long", detail="HTTP 413")
    if not word or word in UNSURE or status >= 500:
        return UnreachableError(method, word or f"status {status}")
    messages = fields_of(fields, "response_metadata").get("messages")
    detail = "; ".join(str(one) for one in messages) if isinstance(messages, list) else ""
    return RefusedError(method, word, detail=detail[:500])


def _seconds(text: str) -> float:
    try:
        return max(1.0, float(text))
    except ValueError:
        return 5.0
