"""Interactive elements inside blocks: finding one, what pressing it sends, and the state of all."""

from collections.abc import Iterator
from typing import Any

from .world import Json

PICKERS = {
    "datepicker": "selected_date",
    "timepicker": "selected_time",
    "datetimepicker": "selected_date_time",
    "users_select": "selected_user",
    "channels_select": "selected_channel",
    "conversations_select": "selected_conversation",
    "multi_users_select": "selected_users",
    "multi_channels_select": "selected_channels",
    "multi_conversations_select": "selected_conversations",
}
SINGLE_CHOICE = {"static_select", "radio_buttons", "overflow", "external_select"}
MANY_CHOICES = {"multi_static_select", "checkboxes", "multi_external_select"}
TYPED = {"plain_text_input", "email_text_input", "url_text_input", "number_input"}
STATELESS = {"button", "overflow", "image", "workflow_button"}


def parts_of(block: Json) -> list[Json]:
    """The objects in a block's `elements`, however loosely the block was checked."""
    parts = block.get("elements")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def elements_of(blocks: list[Json]) -> Iterator[tuple[Json, Json]]:
    """Every interactive element with the block it is in."""
    for block in blocks:
        for element in (*parts_of(block), block.get("accessory"), block.get("element")):
            if _is_interactive(element):
                yield block, element


def _is_interactive(element: Any) -> bool:
    return isinstance(element, dict) and all(isinstance(element.get(name), str) for name in ("type", "action_id"))


def find_element(blocks: list[Json], action_id: str, block_id: str | None) -> tuple[Json, Json] | None:
    for block, element in elements_of(blocks):
        if element["action_id"] == action_id and block_id in (None, block.get("block_id")):
            return block, element
    return None


def value_field(element_type: str) -> str:
    """The field of state.values that holds what was chosen."""
    if element_type in SINGLE_CHOICE:
        return "selected_option"
    if element_type in MANY_CHOICES:
        return "selected_options"
    return PICKERS.get(element_type, "rich_text_value" if element_type == "rich_text_input" else "value")


def action_of(block: Json, element: Json, body: Json) -> Json | None:
    """The entry of `actions`, without its time; None where the chosen option does not exist."""
    kind = element["type"]
    action: Json = {"type": kind, "action_id": element["action_id"], "block_id": block.get("block_id", "")}
    if kind in ("button", "workflow_button"):
        copied = {key: element[key] for key in ("text", "value", "style", "url") if key in element}
        return action | copied
    chosen = body.get("value", body.get(value_field(kind)))
    if kind in SINGLE_CHOICE:
        option = _option(element, chosen)
        return None if option is None else action | {"selected_option": option}
    if kind in MANY_CHOICES:
        options = [_option(element, one) for one in (chosen if isinstance(chosen, list) else [chosen])]
        return None if None in options else action | {"selected_options": options}
    return action | {value_field(kind): chosen}


def _option(element: Json, chosen: Any) -> Json | None:
    value = chosen.get("value") if isinstance(chosen, dict) else chosen
    options = [*element.get("options", ())]
    for group in element.get("option_groups", ()):
        options.extend(group.get("options", ()))
    if not options and isinstance(chosen, dict):  # external selects have no options of their own
        return chosen
    return next((option for option in options if option.get("value") == value), None)


def state_values(blocks: list[Json], choices: Json) -> Json:
    """state.values: the initial or chosen value of every element that keeps one."""
    values: Json = {}
    for block, element in elements_of(blocks):
        kind = element["type"]
        if kind in STATELESS:
            continue
        field = value_field(kind)
        initial = element.get(field.replace("selected", "initial") if field != "value" else "initial_value")
        if initial is None and field == "selected_options":
            initial = []
        chosen = choices.get(block.get("block_id", ""), {}).get(element["action_id"], {})
        value = chosen.get(field, initial)
        values.setdefault(block["block_id"], {})[element["action_id"]] = {"type": kind, field: value}
    return values
