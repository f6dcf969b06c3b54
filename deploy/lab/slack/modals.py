"""What people do in modals and the App Home: submit, close, click, open the home tab."""

from typing import Any

from .blocks import input_blocks
from .elements import MANY_CHOICES, SINGLE_CHOICE, action_of, elements_of, find_element, state_values, value_field
from .events import emit
from .interactions import interaction, new_trigger
from .methods.views import build_view, change_view, check_view, show_view
from .wire import SlackError
from .workspace import Workspace
from .world import App, Channel, Json

REQUIRED = "Please complete this required field."


def find_view(workspace: Workspace, user_id: str, view_id: str) -> tuple[App, Json]:
    """An open modal of this person, or one of their home tabs."""
    candidates = [workspace.views[one] for one in workspace.view_stacks.get(user_id, ()) if one in workspace.views]
    candidates += [view for (_key, owner), view in workspace.homes.items() if owner == user_id]
    view = next((one for one in candidates if one["id"] == view_id), None)
    app = workspace.world.app_by_id(view["app_id"]) if view else None
    if view is None or app is None:
        raise SlackError("view_not_found")
    return app, view


async def submit(workspace: Workspace, body: Json) -> Json:
    """Press Submit; what the app acks decides what happens to the modal."""
    user_id = body["as"]
    app, view = find_view(workspace, user_id, str(body.get("view_id", "")))
    errors = _fill(view, body.get("values") or {})
    if errors:
        return {"ok": False, "errors": errors}
    payload = interaction(workspace, app, user_id, "view_submission") | {
        "trigger_id": new_trigger(workspace, app, user_id, view["id"]),
        "view": view,
        "response_urls": [],
    }
    ack = await workspace.hub.ask(app, "interactive", "view_submission", payload, accepts_payload=True)
    if not ack.acked:
        return {"ok": False, "error": ack.error}
    return _obey(workspace, app, user_id, view, ack.payload or {})


def _fill(view: Json, values: Json) -> Json:
    """Put what the person entered into the view's state; the errors are those that Slack's client shows itself."""
    errors: Json = {}
    chosen: Json = {}
    for block, element in elements_of(view["blocks"]):
        entered = values.get(block["block_id"], {}).get(element["action_id"])
        if entered is None:
            continue
        field = value_field(element["type"])
        given = entered.get(field) if isinstance(entered, dict) else entered
        if isinstance(given, str) and element["type"] in SINGLE_CHOICE | MANY_CHOICES:
            given = (action_of(block, element, {"value": given}) or {}).get(field)
        chosen.setdefault(block["block_id"], {})[element["action_id"]] = {field: given}
    state = state_values(view["blocks"], _merge(view["state"]["values"], chosen))
    view["state"] = {"values": state}
    for block in input_blocks(view["blocks"]):
        element = block["element"]
        entered = state.get(block["block_id"], {}).get(element["action_id"], {})
        problem = _refuse(block, element, entered.get(value_field(element["type"])))
        if problem:
            errors[block["block_id"]] = problem
    return errors


def _merge(old: Json, new: Json) -> Json:
    return {block_id: {**old.get(block_id, {}), **new.get(block_id, {})} for block_id in {*old, *new}}


def _refuse(block: Json, element: Json, value: Any) -> str:
    if not value:
        return "" if block.get("optional") else REQUIRED
    if isinstance(value, str):
        least, most = element.get("min_length") or 0, element.get("max_length") or 3000
        if len(value) < least:
            return f"Please enter at least {least} characters."
        if len(value) > most:
            return f"Please enter no more than {most} characters."
    return ""


def _obey(workspace: Workspace, app: App, user_id: str, view: Json, answer: Json) -> Json:
    action = answer.get("response_action")
    workspace.ledger.note_call(app, "ack.view_submission", answer, {"ok": True})
    if action == "errors":
        return {"ok": False, "errors": answer.get("errors") or {}}
    if action in ("update", "push"):
        try:
            wanted = check_view(answer.get("view") or {})
        except SlackError as error:
            return {"ok": False, **error.body()}
        if action == "update":
            change_view(workspace, user_id, build_view(workspace, app, wanted, view))
        else:
            show_view(workspace, user_id, build_view(workspace, app, wanted), view)
        return {"ok": True}
    _take_away(workspace, user_id, view, everything=action == "clear")
    return {"ok": True}


def _take_away(workspace: Workspace, user_id: str, view: Json, *, everything: bool) -> list[Json]:
    """Remove a modal (or the whole stack) from the screen; answers with the views that are gone."""
    stack = workspace.view_stacks.get(user_id, [])
    gone = list(stack) if everything else [view["id"]]
    workspace.view_stacks[user_id] = [one for one in stack if one not in gone]
    closed = [workspace.views.pop(one) for one in gone if one in workspace.views]
    for one in closed:
        workspace.stream.tell("view_closed", user=user_id, view=one)
    return closed


async def close(workspace: Workspace, body: Json) -> Json:
    """Press Cancel or the cross; `clear` closes the whole stack."""
    user_id = body["as"]
    app, view = find_view(workspace, user_id, str(body.get("view_id", "")))
    cleared = bool(body.get("clear")) or bool(view["clear_on_close"])
    acked = True
    for one in _take_away(workspace, user_id, view, everything=cleared):
        if one["notify_on_close"]:
            payload = interaction(workspace, app, user_id, "view_closed") | {"view": one, "is_cleared": cleared}
            ack = await workspace.hub.ask(app, "interactive", "view_closed", payload, accepts_payload=False)
            acked = acked and ack.acked
    return {"ok": True, "acked": acked}


async def click_view(workspace: Workspace, body: Json) -> Json:
    """Press an element inside a modal or the home tab."""
    user_id = body["as"]
    app, view = find_view(workspace, user_id, str(body.get("view_id", "")))
    found = find_element(view["blocks"], body["action_id"], body.get("block_id"))
    if found is None:
        return {"ok": False, "acked": False, "error": "no_such_element"}
    block, element = found
    action = action_of(block, element, body)
    if action is None:
        return {"ok": False, "acked": False, "error": "no_such_option"}
    chosen = {block["block_id"]: {element["action_id"]: action}}
    view["state"] = {"values": state_values(view["blocks"], _merge(view["state"]["values"], chosen))}
    payload = interaction(workspace, app, user_id, "block_actions") | {
        "container": {"type": "view", "view_id": view["id"]},
        "trigger_id": new_trigger(workspace, app, user_id, view["id"] if view["type"] == "modal" else ""),
        "view": view,
        "actions": [action | {"action_ts": workspace.stamps.new_ts()}],
    }
    ack = await workspace.hub.ask(app, "interactive", "block_actions", payload, accepts_payload=False)
    return {"ok": ack.acked, "acked": ack.acked} | ({"error": ack.error} if ack.error else {})


def open_home(workspace: Workspace, body: Json) -> Json:
    """A person opens an app's home tab; the app learns it as app_home_opened."""
    app = workspace.world.apps[body.get("app", "watchbill")]
    user_id = body["as"]
    channel: Channel = workspace.world.open_im(app, user_id)
    view = workspace.homes.get((app.key, user_id))
    event = {"type": "app_home_opened", "user": user_id, "channel": channel.id, "tab": "home"}
    event |= {"event_ts": workspace.stamps.new_ts()} | ({"view": view} if view else {})
    emit(workspace, channel, event, [app])
    return {"ok": True, "view": view, "channel": channel.id}
