"""Block elements and composition objects with Slack's limits (docs.slack.dev, Block Kit reference)."""

from collections.abc import Mapping

from .shapes import (
    Check,
    Found,
    Problem,
    Shape,
    anything,
    boolean,
    fits,
    integer,
    many,
    one_word,
    plain,
    rich,
    string,
    typed,
)
from .world import Json

CONFIRM = fits(
    Shape(
        {
            "title": plain(100),
            "text": rich(300),
            "confirm": plain(30),
            "deny": plain(30),
            "style": one_word("primary", "danger"),
        },
        required=("title", "text"),
    )
)
OPTION_FIELDS: Mapping[str, Check] = {"value": string(150, 1), "description": plain(75), "url": string(3000)}
OPTION = fits(Shape({**OPTION_FIELDS, "text": plain(75)}, required=("text", "value")))
RICH_OPTION = fits(Shape({**OPTION_FIELDS, "text": rich(75), "description": rich(75)}, required=("text", "value")))
GROUP = fits(Shape({"label": plain(75), "options": many(OPTION, 1, 100)}, required=("label", "options")))
DISPATCH = fits(Shape({"trigger_actions_on": many(one_word("on_enter_pressed", "on_character_entered"), 1, 2)}))
SLACK_FILE = fits(Shape({"id": string(255), "url": string(3000)}))

COMMON: Mapping[str, Check] = {
    "type": string(50),
    "action_id": string(255, 1),
    "confirm": CONFIRM,
    "focus_on_load": boolean,
}
PLACED: Mapping[str, Check] = {**COMMON, "placeholder": plain(150)}


def _initial_is_an_option(element: Json, pointer: str, found: Found) -> None:
    """An initial option must be one of the options."""
    initial = element.get("initial_option")
    options = [*(element.get("options") or ())]
    for group in element.get("option_groups") or ():
        options.extend(group.get("options") or ())
    if initial is not None and initial not in options:
        found.append(Problem("initial_option must be one of the provided options", f"{pointer}/initial_option"))


def _select(**more: Check) -> Shape:
    choices: dict[str, Check] = {"options": many(OPTION, 1, 100), "option_groups": many(GROUP, 1, 100)}
    fields = {**PLACED, **choices, "initial_option": OPTION, **more}
    return Shape(fields, required=("type",), one_of=("options", "option_groups"), also=_initial_is_an_option)


def _chooser(option: Check, most: int, initial: str, initial_check: Check) -> Shape:
    fields = {**COMMON, "options": many(option, 1, most), initial: initial_check}
    return Shape(fields, required=("type", "options"), also=_initial_is_an_option)


def _picker(initial: str, **more: Check) -> Shape:
    return Shape({**PLACED, initial: anything, **more}, required=("type",))


def _input(longest: int) -> Shape:
    fields = {**PLACED, "initial_value": string(longest), "dispatch_action_config": DISPATCH}
    return Shape(fields, required=("type",))


MANY = {"max_selected_items": integer(1, 100)}
IMAGE_FIELDS: Mapping[str, Check] = {
    "type": string(50),
    "image_url": string(3000, 1),
    "slack_file": SLACK_FILE,
    "alt_text": string(2000, 1),
}

ELEMENTS: dict[str, Shape] = {
    "button": Shape(
        {
            **COMMON,
            "text": plain(75),
            "value": string(2000),
            "url": string(3000),
            "style": one_word("primary", "danger"),
            "accessibility_label": string(75),
        },
        required=("type", "text"),
    ),
    "static_select": _select(),
    "multi_static_select": _select(initial_options=many(OPTION, 1, 100), **MANY),
    "external_select": _picker("initial_option", min_query_length=integer(0, 100)),
    "multi_external_select": _picker("initial_options", min_query_length=integer(0, 100), **MANY),
    "users_select": _picker("initial_user"),
    "multi_users_select": _picker("initial_users", **MANY),
    "channels_select": _picker("initial_channel", response_url_enabled=boolean),
    "multi_channels_select": _picker("initial_channels", **MANY),
    "conversations_select": _picker(
        "initial_conversation", default_to_current_conversation=boolean, response_url_enabled=boolean, filter=anything
    ),
    "multi_conversations_select": _picker(
        "initial_conversations", default_to_current_conversation=boolean, filter=anything, **MANY
    ),
    "overflow": Shape({**COMMON, "options": many(OPTION, 1, 5)}, required=("type", "options")),
    "radio_buttons": _chooser(RICH_OPTION, 10, "initial_option", RICH_OPTION),
    "checkboxes": _chooser(RICH_OPTION, 10, "initial_options", many(RICH_OPTION, 1, 10)),
    "datepicker": _picker("initial_date"),
    "timepicker": _picker("initial_time", timezone=string(100)),
    "datetimepicker": _picker("initial_date_time"),
    "plain_text_input": Shape(
        {
            **PLACED,
            "initial_value": string(3000),
            "multiline": boolean,
            "min_length": integer(0, 3000),
            "max_length": integer(1, 3000),
            "dispatch_action_config": DISPATCH,
        },
        required=("type",),
    ),
    "email_text_input": _input(3000),
    "url_text_input": _input(3000),
    "number_input": Shape(
        {
            **PLACED,
            "initial_value": string(100),
            "is_decimal_allowed": boolean,
            "min_value": string(100),
            "max_value": string(100),
            "dispatch_action_config": DISPATCH,
        },
        required=("type", "is_decimal_allowed"),
    ),
    "rich_text_input": _picker("initial_value", dispatch_action_config=DISPATCH),
    "file_input": Shape({**COMMON, "filetypes": many(string(20), 1, 100), "max_files": integer(1, 10)}),
    "image": Shape(IMAGE_FIELDS, required=("type", "alt_text"), one_of=("image_url", "slack_file")),
    "workflow_button": Shape({**COMMON, "text": plain(75), "workflow": anything}, required=("text",), open=True),
    "feedback_buttons": Shape({**COMMON, "positive_button": anything, "negative_button": anything}),
    "icon_button": Shape({**COMMON, "text": plain(75), "icon": string(50)}, required=("text", "icon"), open=True),
}

SELECTS = {name for name in ELEMENTS if name.endswith("_select")}
PICKERS = {"datepicker", "timepicker", "datetimepicker"}
CHOOSERS = {"radio_buttons", "checkboxes"}
IN_ACTIONS = SELECTS | PICKERS | CHOOSERS | {"button", "overflow", "rich_text_input", "workflow_button"}
IN_SECTION = (IN_ACTIONS - {"rich_text_input"}) | {"image"}
IN_INPUT = (
    SELECTS
    | PICKERS
    | CHOOSERS
    | {"plain_text_input", "email_text_input", "url_text_input", "number_input", "rich_text_input", "file_input"}
)


def element(allowed: set[str]) -> Check:
    return typed(ELEMENTS, lambda: allowed)
