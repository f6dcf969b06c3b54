"""conversations.*: channels, their members and messages."""

import math

from deploy.lab.slack.events import emit, shown
from deploy.lab.slack.wire import Arguments, SlackError, paginate
from deploy.lab.slack.workspace import Workspace
from deploy.lab.slack.world import TEAM_ID, App, Channel, Json

from .chat import member_channel


def known_channel(workspace: Workspace, app: App, args: Arguments) -> Channel:
    channel = workspace.world.find_channel(args.need("channel"))
    if channel is None or (channel.is_im and app.user_id not in channel.members):
        raise SlackError("channel_not_found")
    return channel


def describe(workspace: Workspace, app: App, channel: Channel) -> Json:
    common = {"id": channel.id, "created": 1_700_000_000, "is_archived": False, "context_team_id": TEAM_ID}
    if channel.is_im:
        other = next((one for one in channel.members if one in workspace.world.people), "")
        return {**common, "is_im": True, "user": other, "is_org_shared": False, "priority": 0}
    return {
        **common,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": True,
        "is_group": False,
        "is_im": False,
        "is_mpim": False,
        "is_private": False,
        "is_general": False,
        "is_shared": channel.is_ext_shared,
        "is_ext_shared": channel.is_ext_shared,
        "is_org_shared": False,
        "is_member": app.user_id in channel.members,
        "topic": {"value": channel.topic, "creator": "", "last_set": 0},
        "purpose": {"value": "", "creator": "", "last_set": 0},
        "num_members": len(channel.members),
    }


def info(workspace: Workspace, app: App, args: Arguments) -> Json:
    return {"channel": describe(workspace, app, known_channel(workspace, app, args))}


def list_all(workspace: Workspace, app: App, args: Arguments) -> Json:
    kinds = (args.text("types") or "public_channel").split(",")
    channels = [
        describe(workspace, app, channel)
        for channel in workspace.world.channels.values()
        if ("im" in kinds and channel.is_im and app.user_id in channel.members)
        or ("public_channel" in kinds and not channel.is_im)
    ]
    page, cursor = paginate(channels, args, default=100, most=1000)
    return {"channels": page, "response_metadata": {"next_cursor": cursor}}


def members(workspace: Workspace, app: App, args: Arguments) -> Json:
    channel = known_channel(workspace, app, args)
    page, cursor = paginate(sorted(channel.members), args, default=100, most=1000)
    return {"members": page, "response_metadata": {"next_cursor": cursor}}


def _within(args: Arguments, ts: str) -> bool:
    oldest, latest = _bound(args, "oldest", 0), _bound(args, "latest", math.inf)
    if args.flag("inclusive"):
        return oldest <= float(ts) <= latest
    return oldest < float(ts) < latest


def _bound(args: Arguments, name: str, default: float) -> float:
    try:
        return float(args.text(name) or default)
    except ValueError as error:
        raise SlackError(f"invalid_ts_{name}") from error


def history(workspace: Workspace, app: App, args: Arguments) -> Json:
    channel = member_channel(workspace, app, args.need("channel"))
    found = [
        shown(message, with_metadata=args.flag("include_all_metadata"))
        for ts, message in reversed(channel.messages.items())
        if (message.get("thread_ts") in (None, ts) or message.get("subtype") == "thread_broadcast")
        and _within(args, ts)
    ]
    page, cursor = paginate(found, args, default=100, most=999)
    answer: Json = {"messages": page, "has_more": bool(cursor), "pin_count": 0}
    return answer | ({"response_metadata": {"next_cursor": cursor}} if cursor else {})


def replies(workspace: Workspace, app: App, args: Arguments) -> Json:
    channel = member_channel(workspace, app, args.need("channel"))
    message = channel.messages.get(args.need("ts"))
    if message is None:
        raise SlackError("thread_not_found")
    root = message.get("thread_ts") or message["ts"]
    with_metadata = args.flag("include_all_metadata")
    stamps = [ts for ts in channel.threads.get(root, ()) if _within(args, ts)]
    page, cursor = paginate([root, *stamps], args, default=1000, most=1000)
    found = [shown(channel.messages[ts], with_metadata=with_metadata) for ts in page]
    answer: Json = {"messages": found, "has_more": bool(cursor)}
    return answer | ({"response_metadata": {"next_cursor": cursor}} if cursor else {})


def open_im(workspace: Workspace, app: App, args: Arguments) -> Json:
    users = [one for one in args.text("users").split(",") if one]
    if args.text("channel"):
        channel = known_channel(workspace, app, args)
        if not channel.is_im:
            raise SlackError("method_not_supported_for_channel_type")
        return {"channel": {"id": channel.id}, "already_open": True}
    if len(users) != 1:
        raise SlackError("users_list_not_supplied" if not users else "too_many_users")
    person = workspace.world.people.get(users[0])
    if person is None:
        raise SlackError("user_not_found")
    if person.deleted:
        raise SlackError("user_disabled")
    known = len(workspace.world.channels)
    channel = workspace.world.open_im(app, person.id)
    new = len(workspace.world.channels) > known
    return {"channel": {"id": channel.id}} | ({} if new else {"no_op": True, "already_open": True})


def join(workspace: Workspace, app: App, args: Arguments) -> Json:
    channel = known_channel(workspace, app, args)
    if channel.is_im:
        raise SlackError("method_not_supported_for_channel_type")
    if app.user_id in channel.members:
        already: Json = {"warning": "already_in_channel", "response_metadata": {"warnings": ["already_in_channel"]}}
        return {"channel": describe(workspace, app, channel), **already}
    add_member(workspace, channel, app.user_id)
    return {"channel": describe(workspace, app, channel)}


def add_member(workspace: Workspace, channel: Channel, user_id: str) -> None:
    channel.members.add(user_id)
    stamp = workspace.stamps.new_ts()
    event = {"type": "member_joined_channel", "user": user_id, "channel": channel.id, "channel_type": "C"}
    event |= {"team": TEAM_ID, "event_ts": stamp}
    emit(workspace, channel, event, workspace.world.members_apps(channel))


METHODS = {
    "conversations.info": info,
    "conversations.list": list_all,
    "conversations.members": members,
    "conversations.history": history,
    "conversations.replies": replies,
    "conversations.open": open_im,
    "conversations.join": join,
}
