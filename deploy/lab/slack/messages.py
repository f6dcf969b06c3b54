"""Messages in channels: posting, editing, deleting, and who is told."""

import copy
import uuid

from .events import emit, message_event, shown
from .text import mentioned_ids, rich_text
from .workspace import Workspace
from .world import TEAM_ID, App, Channel, Json

MOST_REVISIONS = 20


def message_of_app(app: App, text: str) -> Json:
    return {
        "type": "message",
        "user": app.user_id,
        "bot_id": app.bot_id,
        "app_id": app.app_id,
        "team": TEAM_ID,
        "bot_profile": {
            "id": app.bot_id,
            "app_id": app.app_id,
            "user_id": app.user_id,
            "name": app.name,
            "icons": {},
            "deleted": False,
            "updated": 0,
            "team_id": TEAM_ID,
        },
        "text": text,
    }


def message_of_person(workspace: Workspace, user_id: str, text: str) -> Json:
    message: Json = {"type": "message", "user": user_id, "text": text, "client_msg_id": str(uuid.uuid4())}
    message["blocks"] = [rich_text(text)]
    person = workspace.world.people[user_id]
    message["team"] = TEAM_ID
    if person.team_id != TEAM_ID:
        message.update({"team": person.team_id, "user_team": person.team_id, "source_team": person.team_id})
    return message


def post(workspace: Workspace, channel: Channel, message: Json, thread_ts: str = "") -> Json:
    """Store a message, tell the tabs, deliver it to every app in the channel and the mention to the mentioned."""
    message["ts"] = workspace.stamps.new_ts()
    message["channel"] = channel.id
    if thread_ts:
        _join_thread(workspace, channel, message, thread_ts)
    channel.messages[message["ts"]] = message
    workspace.stream.tell("message", channel=channel.id, message=message)
    event = message_event(channel, message)
    emit(workspace, channel, event, workspace.world.members_apps(channel))
    _mention(workspace, channel, message, mentioned_ids(message["text"]))
    return message


def change(workspace: Workspace, channel: Channel, ts: str, **fields: object) -> Json:
    """Replace fields of a message (None removes one) and send message_changed."""
    message = channel.messages[ts]
    previous = copy.deepcopy(message)
    kept = workspace.revisions.setdefault(ts, [])
    kept[:] = [*kept[1 - MOST_REVISIONS :], previous]
    for name, value in fields.items():
        if value is None:
            message.pop(name, None)
        else:
            message[name] = value
    workspace.stream.tell("message_changed", channel=channel.id, message=message)
    stamp = workspace.stamps.new_ts()
    event = {
        "type": "message",
        "subtype": "message_changed",
        "message": shown(message),
        "previous_message": shown(previous),
        "channel": channel.id,
        "hidden": True,
        "ts": stamp,
        "event_ts": stamp,
        "channel_type": "im" if channel.is_im else "channel",
    }
    emit(workspace, channel, event, workspace.world.members_apps(channel))
    new = mentioned_ids(message["text"]) - mentioned_ids(previous["text"])
    _mention(workspace, channel, message, new)
    return message


def remove(workspace: Workspace, channel: Channel, ts: str) -> None:
    """Delete a message; a parent with replies leaves a tombstone, as in Slack."""
    message = channel.messages[ts]
    previous = copy.deepcopy(message)
    if channel.threads.get(ts):
        for name in ("blocks", "attachments", "files", "metadata", "bot_id", "app_id", "bot_profile"):
            message.pop(name, None)
        message.update({"subtype": "tombstone", "text": "This message was deleted.", "user": "USLACKBOT"})
        message.update({"hidden": True, "deleted": True})
    else:
        del channel.messages[ts]
        _leave_thread(workspace, channel, message)
    workspace.stream.tell("message_deleted", channel=channel.id, message={**previous, "deleted": True})
    stamp = workspace.stamps.new_ts()
    event = {
        "type": "message",
        "subtype": "message_deleted",
        "previous_message": shown(previous),
        "channel": channel.id,
        "hidden": True,
        "deleted_ts": ts,
        "ts": stamp,
        "event_ts": stamp,
        "channel_type": "im" if channel.is_im else "channel",
    }
    emit(workspace, channel, event, workspace.world.members_apps(channel))


def show_ephemeral(workspace: Workspace, channel: Channel, user_id: str, message: Json, thread_ts: str = "") -> Json:
    """A message that one person sees; no app gets an event for it and no history holds it."""
    message["ts"] = workspace.stamps.new_ts()
    message.update({"channel": channel.id, "ephemeral_for": user_id})
    if thread_ts:
        message["thread_ts"] = thread_ts
    workspace.ephemerals.setdefault(user_id, []).append(message)
    workspace.stream.tell("ephemeral", channel=channel.id, user=user_id, message=message)
    return message


def drop_ephemeral(workspace: Workspace, user_id: str, ts: str) -> None:
    kept = [message for message in workspace.ephemerals.get(user_id, []) if message["ts"] != ts]
    workspace.ephemerals[user_id] = kept


def _mention(workspace: Workspace, channel: Channel, message: Json, user_ids: set[str]) -> None:
    author = message.get("user")
    mentioned = [
        app
        for app in workspace.world.members_apps(channel)
        if app.user_id in user_ids and app.user_id != author and not channel.is_im
    ]
    event = {**message_event(channel, message), "type": "app_mention"}
    for name in ("channel_type", "subtype", "reply_count", "latest_reply", "reply_users", "reply_users_count"):
        event.pop(name, None)
    emit(workspace, channel, event, mentioned)


def _join_thread(workspace: Workspace, channel: Channel, message: Json, thread_ts: str) -> None:
    parent = channel.messages[thread_ts]
    replies = channel.threads.setdefault(thread_ts, [])
    replies.append(message["ts"])
    message["thread_ts"] = thread_ts
    author = message.get("user", "")
    message["parent_user_id"] = parent.get("user", "")
    users = list(dict.fromkeys([*parent.get("reply_users", []), author]))
    parent.update({"thread_ts": thread_ts, "reply_count": len(replies), "latest_reply": message["ts"]})
    parent.update({"reply_users": users, "reply_users_count": len(users), "is_locked": False, "subscribed": False})
    workspace.stream.tell("message_changed", channel=channel.id, message=parent)


def _leave_thread(workspace: Workspace, channel: Channel, message: Json) -> None:
    parent = channel.messages.get(message.get("thread_ts", ""))
    replies = channel.threads.get(message.get("thread_ts", ""), [])
    if parent is None or message["ts"] not in replies:
        return
    replies.remove(message["ts"])
    if replies:
        parent.update({"reply_count": len(replies), "latest_reply": replies[-1]})
    else:
        for name in ("thread_ts", "reply_count", "latest_reply", "reply_users", "reply_users_count"):
            parent.pop(name, None)
    workspace.stream.tell("message_changed", channel=channel.id, message=parent)
