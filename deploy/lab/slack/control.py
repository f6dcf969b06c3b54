"""The control API under /lab: what the page and the tests use to be people and to make trouble."""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from . import modals
from .elements import find_element
from .events import emit
from .interactions import click_message, run_command, run_shortcut
from .messages import change, message_of_person, post, remove
from .methods.conversations import add_member
from .methods.people import describe_person
from .methods.reactions import react, unreact
from .readings import READS, channel_of, person_of
from .text import rich_text, type_text
from .wire import SlackError
from .workspace import Workspace
from .world import Channel, Json

Action = Callable[[Workspace, Json], Awaitable[Json]]


async def _post(workspace: Workspace, body: Json) -> Json:
    user_id = person_of(workspace, body)
    channel = channel_of(workspace, body)
    typed = str(body.get("text", ""))
    text = typed if body.get("raw") else type_text(workspace.world, typed)
    if body.get("subtype") in ("edit", "unfurl", "delete"):
        return _edit(workspace, channel, user_id, text, body)
    thread_ts = str(body.get("thread_ts") or "")
    if thread_ts:
        parent = channel.messages.get(thread_ts)
        if parent is None:
            raise SlackError("thread_not_found")
        thread_ts = parent.get("thread_ts") or thread_ts
    message = post(workspace, channel, message_of_person(workspace, user_id, text), thread_ts)
    return {"ok": True, "ts": message["ts"]}


def _edit(workspace: Workspace, channel: Channel, user_id: str, text: str, body: Json) -> Json:
    message = channel.messages.get(str(body.get("ts", "")))
    if message is None or message.get("user") != user_id:
        raise SlackError("message_not_found" if message is None else "cant_update_message")
    if body["subtype"] == "delete":
        remove(workspace, channel, message["ts"])
    elif body["subtype"] == "unfurl":  # the text stays the same, Slack adds a preview of the link
        preview = {
            "from_url": body.get("url", "https://example.com/"),
            "title": "Example",
            "id": 1,
            "fallback": "Example",
        }
        change(workspace, channel, message["ts"], attachments=[preview])
    else:
        edited = {"user": user_id, "ts": workspace.stamps.new_ts()}
        change(workspace, channel, message["ts"], text=text, blocks=[rich_text(text)], edited=edited)
    return {"ok": True, "ts": message["ts"]}


async def _command(workspace: Workspace, body: Json) -> Json:
    person_of(workspace, body)
    return await run_command(workspace, channel_of(workspace, body), body)


async def _click(workspace: Workspace, body: Json) -> Json:
    user_id = person_of(workspace, body)
    if "view_id" in body:
        return await modals.click_view(workspace, body)
    channel = channel_of(workspace, body)
    ts = str(body.get("ts", ""))
    message = workspace.find_ephemeral(user_id, ts) if body.get("ephemeral") else channel.messages.get(ts)
    if message is None:
        raise SlackError("message_not_found")
    if body.get("stale"):  # a client that has not seen the latest edit still shows the old buttons
        shown = [
            old
            for old in workspace.revisions.get(ts, ())
            if find_element(old.get("blocks", []), body["action_id"], None)
        ]
        message = shown[-1] if shown else message
    return await click_message(workspace, channel, message, body)


async def _shortcut(workspace: Workspace, body: Json) -> Json:
    person_of(workspace, body)
    if "channel" not in body:
        return await run_shortcut(workspace, body, None, None)
    channel = channel_of(workspace, body)
    message = channel.messages.get(str(body.get("ts", "")))
    if message is None:
        raise SlackError("message_not_found")
    return await run_shortcut(workspace, body, channel, message)


async def _view_submit(workspace: Workspace, body: Json) -> Json:
    person_of(workspace, body)
    return await modals.submit(workspace, body)


async def _view_close(workspace: Workspace, body: Json) -> Json:
    person_of(workspace, body)
    return await modals.close(workspace, body)


async def _home_opened(workspace: Workspace, body: Json) -> Json:
    person_of(workspace, body)
    return modals.open_home(workspace, body)


async def _react(workspace: Workspace, body: Json) -> Json:
    channel = channel_of(workspace, body)
    message = channel.messages.get(str(body.get("ts", "")))
    if message is None:
        raise SlackError("message_not_found")
    work = unreact if body.get("remove") else react
    work(workspace, channel, message, person_of(workspace, body), str(body["name"]).strip(":"))
    return {"ok": True}


async def _person(workspace: Workspace, body: Json) -> Json:
    """Change what users.info says of a person: is_admin, is_restricted, deleted, team_id."""
    person = workspace.world.people[person_of(workspace, body)]
    for name in ("is_admin", "is_restricted", "deleted"):
        setattr(person, name, bool(body.get(name, getattr(person, name))))
    person.team_id = str(body.get("team_id", person.team_id))
    shown = describe_person(person)
    event = {"type": "user_change", "user": shown, "cache_ts": 0, "event_ts": workspace.stamps.new_ts()}
    channel = workspace.world.channels["C0LAB00001"]
    emit(workspace, channel, event, list(workspace.world.apps.values()))
    return {"ok": True, "user": shown}


async def _usergroup(workspace: Workspace, body: Json) -> Json:
    """Set the members of a user group."""
    handle, _users = workspace.world.usergroups[body["usergroup"]]
    workspace.world.usergroups[body["usergroup"]] = (handle, list(body["users"]))
    return {"ok": True}


async def _invite(workspace: Workspace, body: Json) -> Json:
    """Put an app (by key) or a person into a channel, or with `remove` out of it."""
    channel = channel_of(workspace, body)
    app = workspace.world.apps.get(str(body.get("app", "")))
    user_id = app.user_id if app else person_of(workspace, body)
    if body.get("remove"):
        channel.members.discard(user_id)
    else:
        add_member(workspace, channel, user_id)
    return {"ok": True}


async def _channel(workspace: Workspace, body: Json) -> Json:
    """A further channel with the people and apps of the first one."""
    world = workspace.world
    name = str(body["name"])
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,79}", name) or world.find_channel(f"#{name}"):
        raise SlackError("invalid_name" if not world.find_channel(f"#{name}") else "name_taken")
    first = world.channels["C0LAB00001"]
    made = Channel(f"C0LAB{len(world.channels) + 1:05d}", name, str(body.get("topic", "")), set(first.members))
    world.channels[made.id] = made
    return {"ok": True, "channel": made.id}


async def _fault(workspace: Workspace, body: Json) -> Json:
    kind = body.get("kind")
    if kind == "drop_socket":
        return {"ok": True, "hit": workspace.hub.drop(body.get("app"), body.get("how", "abort"))}
    if kind == "disconnect":
        return {"ok": True, "hit": workspace.hub.disconnect(body.get("app"), body.get("reason", "refresh_requested"))}
    if kind == "clear":
        workspace.faults.clear()
    elif kind in ("delay", "delay_ack", "duplicate", "fail"):
        workspace.faults.plant(body)
    else:
        raise SlackError("unknown_fault")
    return {"ok": True}


async def _canaries(workspace: Workspace, body: Json) -> Json:
    workspace.ledger.plant(list(body.get("secrets", [])), list(body.get("thoughts", [])))
    return {"ok": True}


async def _suggestions(workspace: Workspace, body: Any) -> Json:
    workspace.suggestions = [{"title": str(one["title"]), "text": str(one["text"])} for one in body]
    workspace.stream.tell("control", suggestions=workspace.suggestions)
    return {"ok": True}


async def _burst(workspace: Workspace, body: Json) -> Json:
    """Post `count` messages at `per_second`; "{n}" in the text becomes the number. For the bench."""
    user_id = person_of(workspace, body)
    channel = channel_of(workspace, body)
    count, pace = int(body["count"]), float(body["per_second"])
    began, clock = time.time(), time.monotonic()
    stamps: list[str] = []
    while len(stamps) < count:
        due = min(count, int((time.monotonic() - clock) * pace) + 1)
        for number in range(len(stamps), due):
            text = type_text(workspace.world, str(body.get("text", "burst {n}")).replace("{n}", str(number)))
            stamps.append(post(workspace, channel, message_of_person(workspace, user_id, text))["ts"])
        await asyncio.sleep(0.002 if pace > 100 else 0.5 / pace)
    seconds = time.monotonic() - clock
    return {"ok": True, "posted": count, "seconds": seconds, "began": began, "ts": [stamps[0], stamps[-1]]}


ACTIONS: dict[str, Action] = {
    "post": _post,
    "command": _command,
    "click": _click,
    "shortcut": _shortcut,
    "view_submit": _view_submit,
    "view_close": _view_close,
    "home_opened": _home_opened,
    "react": _react,
    "person": _person,
    "usergroup": _usergroup,
    "invite": _invite,
    "channel": _channel,
    "fault": _fault,
    "canaries": _canaries,
    "suggestions": _suggestions,
    "burst": _burst,
}


async def read(workspace: Workspace, request: web.Request) -> web.Response:
    reader = READS.get(request.match_info["name"])
    if reader is None:
        return web.json_response({"ok": False, "error": "unknown_control"}, status=404)
    try:
        return web.json_response(reader(workspace, dict(request.query)))
    except SlackError as error:
        return web.json_response(error.body())
    except ValueError as error:
        return web.json_response({"ok": False, "error": "bad_request", "detail": repr(error)}, status=400)


async def act(workspace: Workspace, request: web.Request) -> web.Response:
    action = ACTIONS.get(request.match_info["name"])
    if action is None:
        return web.json_response({"ok": False, "error": "unknown_control"}, status=404)
    try:
        body = json.loads(await request.read() or b"{}")
        return web.json_response(await action(workspace, body))
    except SlackError as error:
        return web.json_response(error.body())
    except (KeyError, ValueError, TypeError) as error:
        return web.json_response({"ok": False, "error": "bad_request", "detail": repr(error)}, status=400)
