"""users.* and usergroups.*: who is who."""

from deploy.lab.slack.wire import Arguments, SlackError, paginate
from deploy.lab.slack.workspace import Workspace
from deploy.lab.slack.world import TEAM_ID, App, Json, Person

from .conversations import describe


def describe_person(person: Person) -> Json:
    shown: Json = {
        "id": person.id,
        "team_id": person.team_id,
        "name": person.name,
        "deleted": person.deleted,
        "color": person.color.lstrip("#"),
        "profile": {
            "real_name": person.name.capitalize(),
            "display_name": person.name,
            "title": person.title,
            "email": f"{person.name}@lab.example",
            "team": person.team_id,
        },
        "is_bot": False,
        "is_app_user": False,
        "updated": 1_700_000_000,
    }
    if person.team_id != TEAM_ID:
        shown["is_stranger"] = True
        del shown["profile"]["email"]
    if person.deleted:  # Slack sends less about people who are gone
        return shown | {"is_forgotten": False}
    return shown | {
        "real_name": person.name.capitalize(),
        "tz": "Europe/Berlin",
        "tz_label": "Central European Time",
        "tz_offset": 3600,
        "is_admin": person.is_admin,
        "is_owner": False,
        "is_primary_owner": False,
        "is_restricted": person.is_restricted,
        "is_ultra_restricted": False,
    }


def describe_bot(app: App) -> Json:
    return {
        "id": app.user_id,
        "team_id": TEAM_ID,
        "name": app.name.lower(),
        "deleted": False,
        "real_name": app.name,
        "profile": {
            "real_name": app.name,
            "display_name": "",
            "api_app_id": app.app_id,
            "bot_id": app.bot_id,
            "team": TEAM_ID,
            "always_active": True,
        },
        "is_admin": False,
        "is_owner": False,
        "is_primary_owner": False,
        "is_restricted": False,
        "is_ultra_restricted": False,
        "is_bot": True,
        "is_app_user": False,
        "updated": 1_700_000_000,
    }


def info(workspace: Workspace, _app: App, args: Arguments) -> Json:
    user_id = args.need("user")
    if user_id in workspace.world.people:
        return {"user": describe_person(workspace.world.people[user_id])}
    if user_id in workspace.world.by_bot_user:
        return {"user": describe_bot(workspace.world.by_bot_user[user_id])}
    raise SlackError("user_not_found")


def list_all(workspace: Workspace, _app: App, args: Arguments) -> Json:
    people = [describe_person(one) for one in workspace.world.people.values() if one.team_id == TEAM_ID]
    everyone = people + [describe_bot(one) for one in workspace.world.apps.values()]
    page, cursor = paginate(everyone, args, default=200, most=1000)
    return {"members": page, "cache_ts": 1_700_000_000, "response_metadata": {"next_cursor": cursor}}


def conversations(workspace: Workspace, app: App, args: Arguments) -> Json:
    kinds = (args.text("types") or "public_channel").split(",")
    user_id = args.text("user") or app.user_id
    channels = [
        describe(workspace, app, channel)
        for channel in workspace.world.channels.values()
        if user_id in channel.members and ("im" if channel.is_im else "public_channel") in kinds
    ]
    page, cursor = paginate(channels, args, default=100, most=999)
    return {"channels": page, "response_metadata": {"next_cursor": cursor}}


def lookup_by_email(workspace: Workspace, _app: App, args: Arguments) -> Json:
    email = args.need("email")
    for person in workspace.world.people.values():
        if email == f"{person.name}@lab.example" and not person.deleted:
            return {"user": describe_person(person)}
    raise SlackError("users_not_found")


def list_group_users(workspace: Workspace, _app: App, args: Arguments) -> Json:
    group = workspace.world.usergroups.get(args.need("usergroup"))
    if group is None:
        raise SlackError("no_such_subteam")
    return {"users": group[1]}


def list_groups(workspace: Workspace, _app: App, _args: Arguments) -> Json:
    groups = [
        {"id": group_id, "team_id": TEAM_ID, "handle": handle, "name": handle, "user_count": len(users), "users": users}
        for group_id, (handle, users) in workspace.world.usergroups.items()
    ]
    return {"usergroups": groups}


METHODS = {
    "users.info": info,
    "users.list": list_all,
    "users.conversations": conversations,
    "users.lookupByEmail": lookup_by_email,
    "usergroups.users.list": list_group_users,
    "usergroups.list": list_groups,
}
