"""What people do to an app's surfaces: clicks, commands, shortcuts, and the answers through response_url."""

import secrets
import time
from typing import Any

from aiohttp import web

from .blocks import find_problems, with_ids
from .elements import action_of, find_element, state_values
from .events import shown
from .messages import change, drop_ephemeral, message_of_app, post, remove, show_ephemeral
from .sockets import Ack
from .wire import SlackError
from .workspace import ResponseUrl, Trigger, Workspace
from .world import TEAM_DOMAIN, TEAM_ID, App, Channel, Json

RESPONSE_SECONDS = 30 * 60


def new_trigger(workspace: Workspace, app: App, user_id: str, view_id: str = "") -> str:
    trigger_id = f"{secrets.randbelow(10**13)}.{secrets.randbelow(10**12)}.{secrets.token_hex(16)}"
    expires = time.monotonic() + workspace.options.trigger_seconds
    workspace.triggers[trigger_id] = Trigger(app.key, user_id, expires, view_id=view_id)
    return trigger_id


def new_response_url(workspace: Workspace, kind: str, target: ResponseUrl) -> str:
    token = secrets.token_urlsafe(18)
    workspace.response_urls[token] = target
    return f"{workspace.url}/{kind}/{TEAM_ID}/{secrets.randbelow(10**12)}/{token}"


def interaction(workspace: Workspace, app: App, user_id: str, kind: str) -> Json:
    """The fields that every interactive payload has."""
    name = workspace.world.name_of(user_id)
    person = workspace.world.people.get(user_id)
    return {
        "type": kind,
        "user": {"id": user_id, "username": name, "name": name, "team_id": person.team_id if person else TEAM_ID},
        "api_app_id": app.app_id,
        "token": "lab",
        "team": {"id": TEAM_ID, "domain": TEAM_DOMAIN},
        "enterprise": None,
        "is_enterprise_install": False,
    }


async def click_message(workspace: Workspace, channel: Channel, message: Json, body: Json) -> Json:
    """Press an element of a stored message as a person; the payload comes from the message alone."""
    user_id = body["as"]
    app = workspace.world.app_by_id(message.get("app_id", ""))
    found = find_element(message.get("blocks", []), body["action_id"], body.get("block_id"))
    if app is None or found is None:
        return {"ok": False, "acked": False, "error": "no_such_element"}
    block, element = found
    action = action_of(block, element, body)
    if action is None:
        return {"ok": False, "acked": False, "error": "no_such_option"}
    ephemeral = "ephemeral_for" in message
    choices = workspace.choices.setdefault((user_id, message["ts"]), {})
    choices.setdefault(block["block_id"], {})[element["action_id"]] = action
    target = ResponseUrl(app.key, user_id, channel.id, time.monotonic() + RESPONSE_SECONDS)
    target.message_ts, target.is_ephemeral = message["ts"], ephemeral
    container: Json = {"type": "message", "message_ts": message["ts"], "channel_id": channel.id}
    container["is_ephemeral"] = ephemeral
    if message.get("thread_ts"):
        container["thread_ts"] = message["thread_ts"]
    payload = interaction(workspace, app, user_id, "block_actions") | {
        "container": container,
        "trigger_id": new_trigger(workspace, app, user_id),
        "channel": {"id": channel.id, "name": channel.name or "directmessage"},
        "state": {"values": state_values(message["blocks"], choices)},
        "response_url": new_response_url(workspace, "actions", target),
        "actions": [action | {"action_ts": workspace.stamps.new_ts()}],
    }
    if not ephemeral:
        payload["message"] = shown(message)
    ack = await workspace.hub.ask(app, "interactive", "block_actions", payload, accepts_payload=False)
    return _told(ack)


async def run_command(workspace: Workspace, channel: Channel, body: Json) -> Json:
    """Run a slash command as a person; an ack with text is shown as Slack shows it."""
    user_id, name = body["as"], body["command"]
    command = next((one for one in workspace.commands if one.command == name), None)
    if command is None:
        return {"ok": False, "ack": None, "error": "invalid_command"}
    app = workspace.world.apps[command.app_key]
    target = ResponseUrl(app.key, user_id, channel.id, time.monotonic() + RESPONSE_SECONDS)
    payload = {
        "token": "lab",
        "team_id": TEAM_ID,
        "team_domain": TEAM_DOMAIN,
        "channel_id": channel.id,
        "channel_name": channel.name or "directmessage",
        "user_id": user_id,
        "user_name": workspace.world.name_of(user_id),
        "command": name,
        "text": str(body.get("text", "")),
        "api_app_id": app.app_id,
        "is_enterprise_install": "false",
        "response_url": new_response_url(workspace, "commands", target),
        "trigger_id": new_trigger(workspace, app, user_id),
    }
    ack = await workspace.hub.ask(app, "slash_commands", name, payload, accepts_payload=True)
    if not ack.acked:
        return {"ok": False, "ack": None, "error": ack.error}
    if ack.payload:
        workspace.ledger.note_call(app, "ack.command", ack.payload, {"ok": True})
        try:
            _publish(workspace, app, channel, target, ack.payload)
        except SlackError as error:
            return {"ok": False, "ack": ack.payload, "error": error.error}
    return {"ok": True, "ack": ack.payload}


async def run_shortcut(workspace: Workspace, body: Json, channel: Channel | None, message: Json | None) -> Json:
    """A message shortcut (with a message) or a global one, of the app named by `app` (Watchbill by default)."""
    app = workspace.world.apps[body.get("app", "watchbill")]
    user_id = body["as"]
    payload = interaction(workspace, app, user_id, "message_action" if message else "shortcut") | {
        "callback_id": body["callback_id"],
        "trigger_id": new_trigger(workspace, app, user_id),
        "action_ts": workspace.stamps.new_ts(),
    }
    if channel is not None and message is not None:
        target = ResponseUrl(app.key, user_id, channel.id, time.monotonic() + RESPONSE_SECONDS)
        payload["response_url"] = new_response_url(workspace, "app", target)
        payload |= {"channel": {"id": channel.id, "name": channel.name}, "message_ts": message["ts"]}
        payload["message"] = shown(message)
    return _told(await workspace.hub.ask(app, "interactive", payload["type"], payload, accepts_payload=False))


def _told(ack: Ack) -> Json:
    return {"ok": ack.acked, "acked": ack.acked} | ({"error": ack.error} if ack.error else {})


async def answer_response_url(workspace: Workspace, request: web.Request) -> web.Response:
    """POST to a response_url: a new message, or the original replaced or deleted."""
    target = workspace.response_urls.get(request.match_info["secret"])
    if target is None:
        return web.Response(status=404, text="no_team")
    app = workspace.world.apps[target.app_key]
    try:
        body: Any = await request.json()
    except ValueError:
        return web.Response(status=400, text="invalid_payload")
    if not isinstance(body, dict):
        return web.Response(status=400, text="invalid_payload")
    error = _use(workspace, app, target, body)
    answer: Json = {"ok": not error} | ({"error": error} if error else {})
    workspace.ledger.note_call(app, "response_url", body, answer)
    if error:
        return web.Response(status=404 if error in ("used_url", "expired_url") else 400, text=error)
    return web.Response(text="ok")


def _use(workspace: Workspace, app: App, target: ResponseUrl, body: Json) -> str:
    if time.monotonic() > target.expires:
        return "expired_url"
    if target.uses_left <= 0:
        return "used_url"
    target.uses_left -= 1
    channel = workspace.world.channels[target.channel_id]
    try:
        if body.get("delete_original"):
            _delete_original(workspace, channel, target)
        else:
            _publish(workspace, app, channel, target, body)
    except SlackError as error:
        return error.error
    return ""


def _delete_original(workspace: Workspace, channel: Channel, target: ResponseUrl) -> None:
    if target.is_ephemeral:
        drop_ephemeral(workspace, target.user_id, target.message_ts)
        gone = {"ts": target.message_ts, "deleted": True, "ephemeral_for": target.user_id}
        workspace.stream.tell("message_deleted", channel=channel.id, user=target.user_id, message=gone)
    elif target.message_ts in channel.messages:
        remove(workspace, channel, target.message_ts)
    else:
        raise SlackError("message_not_found")


def _publish(workspace: Workspace, app: App, channel: Channel, target: ResponseUrl, body: Json) -> None:
    blocks = body.get("blocks") or None
    text = str(body.get("text") or "")
    if not (text or blocks or body.get("attachments")):
        raise SlackError("no_text")
    if blocks is not None:
        if not isinstance(blocks, list) or find_problems(blocks, "message"):
            raise SlackError("invalid_blocks")
        blocks = with_ids(blocks, lambda: secrets.token_urlsafe(4))
    fields: Json = {"text": text, "blocks": blocks, "attachments": body.get("attachments")}
    if body.get("replace_original") and target.message_ts:
        _replace_original(workspace, channel, target, fields)
        return
    message = message_of_app(app, text) | {key: value for key, value in fields.items() if value}
    thread_ts = str(body.get("thread_ts") or "")
    if body.get("response_type") == "in_channel":
        post(workspace, channel, message, thread_ts if thread_ts in channel.messages else "")
    else:
        show_ephemeral(workspace, channel, target.user_id, message, thread_ts)


def _replace_original(workspace: Workspace, channel: Channel, target: ResponseUrl, fields: Json) -> None:
    if not target.is_ephemeral:
        if target.message_ts not in channel.messages:
            raise SlackError("message_not_found")
        change(workspace, channel, target.message_ts, **fields)
        return
    message = workspace.find_ephemeral(target.user_id, target.message_ts)
    if message is None:
        raise SlackError("message_not_found")
    for name, value in fields.items():
        if value is None:
            message.pop(name, None)
        else:
            message[name] = value
    workspace.stream.tell("ephemeral", channel=channel.id, user=target.user_id, message=message)
