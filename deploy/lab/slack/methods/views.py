"""views.*: modals and the App Home, as apps open and change them."""

import secrets
import time

from deploy.lab.slack.blocks import find_view_problems, with_ids
from deploy.lab.slack.elements import state_values
from deploy.lab.slack.wire import Arguments, SlackError, invalid_arguments
from deploy.lab.slack.workspace import Trigger, Workspace
from deploy.lab.slack.world import TEAM_ID, App, Json

MOST_STACKED = 3


def take_view(args: Arguments) -> Json:
    view = args.structure("view", dict, "invalid_arguments")
    if view is None:
        raise invalid_arguments("missing required field: view")
    return check_view(view)


def check_view(view: Json) -> Json:
    problems = find_view_problems(view)
    if problems:
        raise invalid_arguments(*[problem.words() for problem in problems])
    return view


def build_view(workspace: Workspace, app: App, wanted: Json, known: Json | None = None) -> Json:
    """The stored view: what the app asked for with Slack's own fields; an update keeps id and stack."""
    view_id = known["id"] if known else workspace.stamps.new_id("V")
    blocks = with_ids(wanted["blocks"], lambda: secrets.token_urlsafe(4))
    view: Json = {
        "id": view_id,
        "team_id": TEAM_ID,
        "type": wanted["type"],
        "blocks": blocks,
        "private_metadata": wanted.get("private_metadata") or "",
        "callback_id": wanted.get("callback_id") or "",
        "state": {"values": state_values(blocks, {})},
        "hash": f"{int(time.time())}.{secrets.token_hex(4)}",
        "title": wanted.get("title") or {"type": "plain_text", "text": "View Title", "emoji": True},
        "clear_on_close": bool(wanted.get("clear_on_close")),
        "notify_on_close": bool(wanted.get("notify_on_close")),
        "close": wanted.get("close"),
        "submit": wanted.get("submit"),
        "previous_view_id": known["previous_view_id"] if known else None,
        "root_view_id": known["root_view_id"] if known else view_id,
        "app_id": app.app_id,
        "external_id": wanted.get("external_id") or "",
        "app_installed_team_id": TEAM_ID,
        "bot_id": app.bot_id,
    }
    return view


def show_view(workspace: Workspace, user_id: str, view: Json, previous: Json | None = None) -> None:
    """Put a new modal on a person's screen, on top of `previous` where there is one."""
    if previous is not None:
        view["previous_view_id"], view["root_view_id"] = previous["id"], previous["root_view_id"]
    else:
        for view_id in workspace.view_stacks.get(user_id, ()):  # a new modal replaces whatever was open
            gone = workspace.views.pop(view_id, None)
            workspace.stream.tell("view_closed", user=user_id, view=gone)
        workspace.view_stacks[user_id] = []
    workspace.views[view["id"]] = view
    workspace.view_stacks[user_id].append(view["id"])
    workspace.stream.tell("view_opened", user=user_id, view=view)


def change_view(workspace: Workspace, user_id: str, view: Json) -> None:
    workspace.views[view["id"]] = view
    workspace.stream.tell("view_updated", user=user_id, view=view)


def owner_of(workspace: Workspace, view_id: str) -> str:
    return next((user for user, stack in workspace.view_stacks.items() if view_id in stack), "")


def _use_trigger(workspace: Workspace, app: App, args: Arguments) -> Trigger:
    trigger = workspace.triggers.get(args.need("trigger_id"))
    if trigger is None or trigger.app_key != app.key:
        raise SlackError("invalid_trigger_id")
    if trigger.used:
        raise SlackError("exchanged_trigger_id")
    if time.monotonic() > trigger.expires:
        raise SlackError("expired_trigger_id")
    return trigger


def _check_external_id(workspace: Workspace, app: App, view: Json, own: str = "") -> None:
    name = view.get("external_id")
    taken = any(
        v["external_id"] == name and v["app_id"] == app.app_id and v["id"] != own for v in workspace.views.values()
    )
    if name and taken:
        raise SlackError("duplicate_external_id")


def open_modal(workspace: Workspace, app: App, args: Arguments) -> Json:
    trigger = _use_trigger(workspace, app, args)
    wanted = take_view(args)
    if wanted["type"] != "modal":
        raise invalid_arguments("view type must be modal [json-pointer:/view/type]")
    _check_external_id(workspace, app, wanted)
    trigger.used = True
    view = build_view(workspace, app, wanted)
    show_view(workspace, trigger.user_id, view)
    return {"view": view}


def push(workspace: Workspace, app: App, args: Arguments) -> Json:
    trigger = _use_trigger(workspace, app, args)
    wanted = take_view(args)
    previous = workspace.views.get(trigger.view_id)
    if previous is None:
        raise SlackError("not_found")
    if len(workspace.view_stacks.get(trigger.user_id, ())) >= MOST_STACKED:
        raise SlackError("push_limit_reached")
    _check_external_id(workspace, app, wanted)
    trigger.used = True
    view = build_view(workspace, app, wanted)
    show_view(workspace, trigger.user_id, view, previous)
    return {"view": view}


def update(workspace: Workspace, app: App, args: Arguments) -> Json:
    view_id, external_id = args.text("view_id"), args.text("external_id")
    if not (view_id or external_id):
        raise invalid_arguments("either view_id or external_id is required")
    known = next(
        (
            view
            for view in workspace.views.values()
            if view["app_id"] == app.app_id
            and (view["id"] == view_id or (external_id and view["external_id"] == external_id))
        ),
        None,
    )
    if known is None:
        raise SlackError("not_found")
    if "hash" in args and args.text("hash") != known["hash"]:
        raise SlackError("hash_conflict")
    wanted = take_view(args)
    _check_external_id(workspace, app, wanted, known["id"])
    view = build_view(workspace, app, wanted, known)
    change_view(workspace, owner_of(workspace, known["id"]), view)
    return {"view": view}


def publish(workspace: Workspace, app: App, args: Arguments) -> Json:
    user_id = args.need("user_id")
    if user_id not in workspace.world.people:
        raise SlackError("user_not_found")
    wanted = take_view(args)
    if wanted["type"] != "home":
        raise invalid_arguments("view type must be home [json-pointer:/view/type]")
    known = workspace.homes.get((app.key, user_id))
    if known is not None and "hash" in args and args.text("hash") != known["hash"]:
        raise SlackError("hash_conflict")
    view = build_view(workspace, app, wanted, known)
    workspace.homes[(app.key, user_id)] = view
    workspace.stream.tell("home_updated", user=user_id, view=view, app=app.key)
    return {"view": view}


METHODS = {"views.open": open_modal, "views.push": push, "views.update": update, "views.publish": publish}
