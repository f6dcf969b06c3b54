"""POST and GET /api/<method>: tokens, limits, planted faults, and the ledger around every call."""

from collections.abc import Callable

from aiohttp import web

from .faults import Fault
from .methods import assistant, chat, conversations, files, identity, people, reactions, validate, views
from .wire import Arguments, SlackError, read_arguments
from .workspace import Workspace
from .world import App, Json

Method = Callable[[Workspace, App, Arguments], Json]
METHODS: dict[str, Method] = {
    **identity.METHODS,
    **chat.METHODS,
    **conversations.METHODS,
    **people.METHODS,
    **reactions.METHODS,
    **files.METHODS,
    **views.METHODS,
    **validate.METHODS,
    **assistant.METHODS,
}
APP_TOKEN_METHODS = {"apps.connections.open"}
TRANSPORT_ERRORS = {"http_500": 500, "http_502": 502, "http_503": 503, "http_413": 413}


async def call_method(workspace: Workspace, request: web.Request) -> web.StreamResponse:
    name = request.match_info["method"]
    app: App | None = None
    values: Json = {}
    fault: Fault | None = None
    headers: dict[str, str] = {}
    status = 200
    try:
        values, token = await read_arguments(request)
        app = _authenticate(workspace, name, token)
        headers = {"x-oauth-scopes": "connections:write" if name in APP_TOKEN_METHODS else app.scopes}
        fault = workspace.faults.take("fail", app.key, name)
        if fault is not None and fault.error != "lost":
            _raise_planted(fault)
        method = _find_method(name)
        _limit(workspace, app, name, values)
        answer = {"ok": True, **method(workspace, app, Arguments(values))}
    except SlackError as error:
        answer, status = error.body(), error.status
        headers.update(error.headers)
    workspace.ledger.note_call(app, name, values, answer, status)
    if fault is not None and fault.error == "lost" and request.transport is not None:
        request.transport.abort()  # the call was carried out, its answer never arrives
    if status >= 500 or status == 413:
        return web.Response(status=status, text="<html>Server error</html>", content_type="text/html")
    return web.json_response(answer, status=status, headers=headers)


def _authenticate(workspace: Workspace, name: str, token: str) -> App:
    world = workspace.world
    if not token:
        raise SlackError("not_authed")
    wanted, other = world.by_bot_token, world.by_app_token
    if name in APP_TOKEN_METHODS:
        wanted, other = other, wanted
    if token in other:
        raise SlackError("not_allowed_token_type")
    if token not in wanted:
        raise SlackError("invalid_auth")
    return wanted[token]


def _find_method(name: str) -> Method:
    if name not in METHODS:
        raise SlackError("unknown_method", req_method=name)
    return METHODS[name]


def _limit(workspace: Workspace, app: App, name: str, values: Json) -> None:
    wait = workspace.buckets.take(app.key, name, str(values.get("channel", "")))
    if wait:
        raise SlackError("ratelimited", status=429, headers={"Retry-After": str(wait)})


def _raise_planted(fault: Fault) -> None:
    if fault.error == "ratelimited":
        raise SlackError("ratelimited", status=429, headers={"Retry-After": str(fault.retry_after)})
    raise SlackError(fault.error, status=TRANSPORT_ERRORS.get(fault.error, 200))
