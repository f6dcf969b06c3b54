"""Requests and errors of the Web API as they look on the wire."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from .world import Json

MAX_BODY = 1024 * 1024


class SlackError(Exception):
    """An answer with ok=false: Slack's own error string and what goes with it."""

    def __init__(
        self, error: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(error)
        self.error = error
        self.status = status
        self.headers = dict(headers or {})
        self.extra = extra

    def body(self) -> Json:
        return {"ok": False, "error": self.error, **self.extra}


def invalid_arguments(*messages: str) -> SlackError:
    found = [f"[ERROR] {message}" for message in messages]
    return SlackError("invalid_arguments", response_metadata={"messages": found})


class Arguments:
    """A call's arguments, wherever they came from (query, form, JSON): typed getters with Slack's leniency."""

    def __init__(self, values: Json) -> None:
        self.values = values

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def text(self, name: str) -> str:
        value = self.values.get(name)
        return value if isinstance(value, str) else "" if value is None else str(value)

    def need(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise invalid_arguments(f"missing required field: {name}")
        return value

    def number(self, name: str, default: int) -> int:
        try:
            return int(self.values.get(name) or default)
        except (TypeError, ValueError) as error:
            raise invalid_arguments(f"must be a valid integer [json-pointer:/{name}]") from error

    def flag(self, name: str) -> bool:
        return self.values.get(name) in (True, 1, "1", "true", "True")

    def structure(self, name: str, kind: type, error: str) -> Any:
        """A JSON argument, given as JSON or as a string of JSON; None where it is absent."""
        value = self.values.get(name)
        if isinstance(value, str):
            if not value:
                return None
            try:
                value = json.loads(value)
            except ValueError as problem:
                raise SlackError(error) from problem
        if value is not None and not isinstance(value, kind):
            raise SlackError(error)
        return value


async def read_arguments(request: web.Request) -> tuple[Json, str]:
    """The arguments of a call and its token ("" where none was sent)."""
    header = request.headers.get("Authorization", "")
    token = header.removeprefix("Bearer ").strip() if header.startswith("Bearer ") else ""
    values: Json = dict(request.query)
    if request.method == "POST":
        if (request.content_length or 0) > MAX_BODY:
            raise SlackError("http_413", status=413)
        values.update(await _read_body(request))
    return values, str(values.pop("token", "") or token)


async def _read_body(request: web.Request) -> Json:
    if request.content_type != "application/json":
        return dict(await request.post())
    raw = await request.read()
    if not raw:
        return {}
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise SlackError("invalid_json") from error
    if not isinstance(body, dict):
        raise SlackError("json_not_object")
    return body


def paginate(items: list[Any], args: Arguments, *, default: int, most: int) -> tuple[list[Any], str]:
    """One page of `items` and the cursor of the next ("" at the end)."""
    limit = min(max(args.number("limit", default), 1), most)
    cursor = args.text("cursor")
    start = 0
    if cursor:
        if not cursor.startswith("next:") or not cursor[5:].isdigit():
            raise SlackError("invalid_cursor")
        start = int(cursor[5:])
    following = start + limit
    return items[start:following], f"next:{following}" if following < len(items) else ""
