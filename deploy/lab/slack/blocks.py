"""Block Kit: what Slack accepts in a message, a modal and the App Home, and the words it refuses the rest with."""

from collections.abc import Callable, Iterator
from typing import Any

from .element_shapes import IMAGE_FIELDS, IN_ACTIONS, IN_INPUT, IN_SECTION, element
from .elements import parts_of
from .shapes import Check, Found, Problem, Shape, anything, boolean, check_fields, many, plain, rich, string, typed
from .world import Json

MOST_BLOCKS = {"message": 50, "modal": 100, "home": 100}
BLOCK: dict[str, Check] = {"type": string(50), "block_id": string(255)}


def _context_element(value: Any, pointer: str, found: Found) -> None:
    is_image = isinstance(value, dict) and value.get("type") == "image"
    (element({"image"}) if is_image else rich(3000))(value, pointer, found)


def _loose(*required: str) -> Shape:
    """A newer block whose inside the lab does not check."""
    return Shape(dict.fromkeys(required, anything) | BLOCK, required=required, open=True)


RICH_PARTS = {"rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote"}
RICH_PART = typed(
    {name: Shape({"elements": many(anything, 0, 10_000)}, open=True) for name in RICH_PARTS}, lambda: RICH_PARTS
)
CELL = typed(
    {
        "raw_text": Shape({"type": string(20), "text": string(2000)}, required=("text",)),
        "rich_text": _loose("elements"),
    },
    lambda: {"raw_text", "rich_text"},
)
BLOCKS: dict[str, Shape] = {
    "section": Shape(
        {
            **BLOCK,
            "text": rich(3000),
            "fields": many(rich(2000), 1, 10),
            "accessory": element(IN_SECTION),
            "expand": boolean,
        },
        one_of=("text", "fields"),
    ),
    "header": Shape({**BLOCK, "text": plain(150)}, required=("text",)),
    "divider": Shape(BLOCK),
    "context": Shape({**BLOCK, "elements": many(_context_element, 1, 10)}, required=("elements",)),
    "actions": Shape({**BLOCK, "elements": many(element(IN_ACTIONS), 1, 25)}, required=("elements",)),
    "context_actions": Shape(
        {**BLOCK, "elements": many(element({"feedback_buttons", "icon_button"}), 1, 5)}, required=("elements",)
    ),
    "image": Shape(
        {**BLOCK, **IMAGE_FIELDS, "title": plain(2000)}, required=("alt_text",), one_of=("image_url", "slack_file")
    ),
    "input": Shape(
        {
            **BLOCK,
            "label": plain(2000),
            "element": element(IN_INPUT),
            "hint": plain(2000),
            "optional": boolean,
            "dispatch_action": boolean,
        },
        required=("label", "element"),
    ),
    "rich_text": Shape({**BLOCK, "elements": many(RICH_PART, 1, 1000)}, required=("elements",)),
    "markdown": Shape({**BLOCK, "text": string(12_000, 1)}, required=("text",)),
    "table": Shape(
        {**BLOCK, "rows": many(many(CELL, 1, 20), 1, 100), "column_settings": many(anything, 0, 20)}, required=("rows",)
    ),
    "file": Shape({**BLOCK, "external_id": string(255), "source": string(20)}, required=("external_id", "source")),
    "video": _loose("video_url", "thumbnail_url", "alt_text", "title"),
    "task_card": _loose("task_id", "title"),
    "plan": _loose("title"),
    "data_visualization": Shape({**BLOCK, "title": string(50)}, open=True),
    **{name: _loose() for name in ("alert", "card", "carousel", "container", "data_table")},
}
MESSAGE_ONLY = {"markdown", "table", "file", "context_actions", "task_card", "plan", "data_visualization", "data_table"}
MESSAGE_ONLY |= {"card", "carousel"}
MOST_OF_A_KIND = {"table": 1, "data_visualization": 2}

VIEW: dict[str, Check] = {
    "type": string(20),
    "title": plain(24),
    "close": plain(24),
    "submit": plain(24),
    "blocks": anything,
    "private_metadata": string(3000),
    "callback_id": string(255),
    "external_id": string(255),
    "clear_on_close": boolean,
    "notify_on_close": boolean,
    "submit_disabled": boolean,
}
MODAL = Shape(VIEW, required=("type", "title", "blocks"))
HOME_FIELDS = ("type", "blocks", "private_metadata", "callback_id", "external_id")
HOME = Shape({name: VIEW[name] for name in HOME_FIELDS}, required=("type", "blocks"))


def find_problems(blocks: list[Any], surface: str, root: str = "/blocks") -> list[Problem]:
    """Everything that Slack refuses in these blocks on this surface (message, modal or home)."""
    found: Found = []
    most = MOST_BLOCKS[surface]
    if len(blocks) > most:
        found.append(Problem(f"no more than {most} items allowed", root))
    check = typed(BLOCKS, lambda: set(BLOCKS) - (set() if surface == "message" else MESSAGE_ONLY))
    for index, block in enumerate(blocks):
        check(block, f"{root}/{index}", found)
    if not found:
        _check_together(blocks, root, found)
    return found


def find_view_problems(view: Json, root: str = "/view") -> list[Problem]:
    """Everything that Slack refuses in a modal or home view."""
    found: Found = []
    kind = view.get("type")
    if kind not in ("modal", "home"):
        return [Problem(f"unsupported type: {kind}", f"{root}/type", "unsupported_type")]
    check_fields(MODAL if kind == "modal" else HOME, view, root, found)
    blocks = view.get("blocks")
    if blocks is not None:
        if not isinstance(blocks, list):
            return [*found, Problem("must provide an array", f"{root}/blocks", "invalid_type")]
        found += find_problems(blocks, kind, f"{root}/blocks")
        has_input = any(isinstance(block, dict) and block.get("type") == "input" for block in blocks)
        if kind == "modal" and has_input and not view.get("submit"):
            found.append(Problem("missing required field: submit", root, "missing_field"))
    return found


def _check_together(blocks: list[Json], root: str, found: Found) -> None:
    """What only the blocks together can break: unique ids, kinds that may come once."""
    seen: set[str] = set()
    for index, block in enumerate(blocks):
        block_id = block.get("block_id")
        if block_id and block_id in seen:
            found.append(Problem(f'`block_id` "{block_id}" already exists', f"{root}/{index}/block_id"))
        seen.add(block_id or "")
        named = [str(one["action_id"]) for one in parts_of(block) if one.get("action_id")]
        for action_id in sorted({one for one in named if named.count(one) > 1}):
            words = f'`action_id` "{action_id}" already exists for another element in this block'
            found.append(Problem(words, f"{root}/{index}/elements"))
    for kind, most in MOST_OF_A_KIND.items():
        if sum(block["type"] == kind for block in blocks) > most:
            found.append(Problem(f"no more than {most} {kind} allowed", root))


def with_ids(blocks: list[Json], new_id: Callable[[], str]) -> list[Json]:
    """The blocks with a block_id each and an action_id for every element, as Slack adds them."""
    numbered = [{**block, "block_id": block.get("block_id") or new_id()} for block in blocks]
    for block in numbered:
        for name in ("accessory", "element"):
            if isinstance(block.get(name), dict):
                block[name] = _with_action_id(block[name], new_id)
        if block["type"] in ("actions", "context_actions"):
            block["elements"] = [_with_action_id(one, new_id) for one in block["elements"]]
    return numbered


def _with_action_id(one: Json, new_id: Callable[[], str]) -> Json:
    return one if one.get("type") == "image" else {**one, "action_id": one.get("action_id") or new_id()}


def input_blocks(blocks: list[Json]) -> Iterator[Json]:
    return (block for block in blocks if block["type"] == "input")
