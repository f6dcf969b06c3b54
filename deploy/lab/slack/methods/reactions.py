"""reactions.*: emoji on messages."""

from deploy.lab.slack.events import emit, shown
from deploy.lab.slack.wire import Arguments, SlackError
from deploy.lab.slack.workspace import Workspace
from deploy.lab.slack.world import App, Channel, Json

from .chat import member_channel


def _message(workspace: Workspace, app: App, args: Arguments) -> tuple[Channel, Json]:
    channel = member_channel(workspace, app, args.need("channel"))
    message = channel.messages.get(args.need("timestamp"))
    if message is None:
        raise SlackError("message_not_found")
    return channel, message


def react(workspace: Workspace, channel: Channel, message: Json, user_id: str, name: str) -> None:
    """Add a reaction; a second one of the same person is refused."""
    reactions = message.setdefault("reactions", [])
    entry = next((one for one in reactions if one["name"] == name), None)
    if entry is None:
        entry = {"name": name, "users": [], "count": 0}
        reactions.append(entry)
    if user_id in entry["users"]:
        raise SlackError("already_reacted")
    entry["users"].append(user_id)
    entry["count"] = len(entry["users"])
    _announce(workspace, channel, message, {"type": "reaction_added", "user": user_id, "reaction": name})


def unreact(workspace: Workspace, channel: Channel, message: Json, user_id: str, name: str) -> None:
    entry = next((one for one in message.get("reactions", ()) if one["name"] == name), None)
    if entry is None or user_id not in entry["users"]:
        raise SlackError("no_reaction")
    entry["users"].remove(user_id)
    entry["count"] = len(entry["users"])
    message["reactions"] = [one for one in message["reactions"] if one["users"]]
    _announce(workspace, channel, message, {"type": "reaction_removed", "user": user_id, "reaction": name})


def _announce(workspace: Workspace, channel: Channel, message: Json, event: Json) -> None:
    workspace.stream.tell("message_changed", channel=channel.id, message=message)
    item = {"type": "message", "channel": channel.id, "ts": message["ts"]}
    event |= {"item": item, "item_user": message.get("user", ""), "event_ts": workspace.stamps.new_ts()}
    emit(workspace, channel, event, workspace.world.members_apps(channel))


def add(workspace: Workspace, app: App, args: Arguments) -> Json:
    channel, message = _message(workspace, app, args)
    react(workspace, channel, message, app.user_id, args.need("name").strip(":"))
    return {}


def remove(workspace: Workspace, app: App, args: Arguments) -> Json:
    channel, message = _message(workspace, app, args)
    unreact(workspace, channel, message, app.user_id, args.need("name").strip(":"))
    return {}


def get(workspace: Workspace, app: App, args: Arguments) -> Json:
    channel, message = _message(workspace, app, args)
    return {"type": "message", "channel": channel.id, "message": shown(message)}


METHODS = {"reactions.add": add, "reactions.remove": remove, "reactions.get": get}
