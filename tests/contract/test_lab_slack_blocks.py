"""Block Kit's limits in the lab's Slack, each refused with Slack's words and the place."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.lab.slack.blocks import find_problems, find_view_problems, with_ids
from deploy.lab.slack.elements import state_values
from deploy.lab.slack.workspace import Options
from tests.contract.lab_slack import BUTTON, CARD, CHANNEL, Json, Lab, error_of, open_lab


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def section(text: str = "x", **more: Any) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def options(count: int, text: str = "o") -> list[Json]:
    return [{"text": plain(text), "value": str(number)} for number in range(count)]


def select(**more: Any) -> Json:
    return {"type": "static_select", "action_id": "s", "options": options(2), **more}


GOOD: list[list[Json]] = [
    CARD,
    [section("x" * 3000, fields=[{"type": "mrkdwn", "text": "y" * 2000}] * 10, accessory=BUTTON)],
    [{"type": "header", "text": plain("h" * 150)}, {"type": "divider"}],
    [{"type": "context", "elements": [{"type": "mrkdwn", "text": "c"}] * 10}],
    [actions(*[{**BUTTON, "action_id": f"b{number}"} for number in range(25)])],
    [actions(select(initial_option=options(2)[1]))],
    [{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "x"}]}]}],
    [{"type": "input", "label": plain("Why"), "element": {"type": "plain_text_input", "multiline": True}}],
    [{"type": "image", "image_url": "https://lab.example/t.png", "alt_text": "topology"}],
    [{"type": "markdown", "text": "# x"}],
]
BAD: list[tuple[list[Json], str]] = [
    ([section()] * 51, "no more than 50 items allowed [json-pointer:/blocks]"),
    ([section("x" * 3001)], "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"),
    ([section("")], "must be more than 0 characters [json-pointer:/blocks/0/text/text]"),
    ([section(fields=[plain("f")] * 11)], "no more than 10 items allowed [json-pointer:/blocks/0/fields]"),
    ([section(fields=[plain("f" * 2001)])], "must be less than 2001 characters [json-pointer:/blocks/0/fields/0/text]"),
    ([{"type": "section"}], "must define either `text` or `fields` [json-pointer:/blocks/0]"),
    (
        [{"type": "header", "text": plain("h" * 151)}],
        "must be less than 151 characters [json-pointer:/blocks/0/text/text]",
    ),
    ([{"type": "header", "text": {"type": "mrkdwn", "text": "h"}}], "value must be one of: plain_text"),
    ([actions({**BUTTON, "text": plain("t" * 76)})], "must be less than 76 characters"),
    (
        [actions({**BUTTON, "value": "v" * 2001})],
        "must be less than 2001 characters [json-pointer:/blocks/0/elements/0/value]",
    ),
    ([actions({**BUTTON, "action_id": "a" * 256})], "must be less than 256 characters"),
    ([actions({**BUTTON, "style": "green"})], "value must be one of: primary, danger"),
    (
        [actions({**BUTTON, "disabled": True})],
        "invalid additional property: disabled [json-pointer:/blocks/0/elements/0]",
    ),
    ([actions(BUTTON, BUTTON)], '`action_id` "approve" already exists'),
    ([actions(*[{**BUTTON, "action_id": str(n)} for n in range(26)])], "no more than 25 items allowed"),
    ([actions()], "no fewer than 1 items allowed"),
    ([section(block_id="b" * 256)], "must be less than 256 characters [json-pointer:/blocks/0/block_id]"),
    ([section(block_id="b"), section(block_id="b")], '`block_id` "b" already exists [json-pointer:/blocks/1/block_id]'),
    ([{"type": "context", "elements": [plain("c")] * 11}], "no more than 10 items allowed"),
    ([actions(select(options=options(101)))], "no more than 100 items allowed"),
    ([actions(select(options=options(1, "t" * 76)))], "must be less than 76 characters"),
    ([actions(select(initial_option=options(3)[2]))], "initial_option must be one of the provided options"),
    ([actions({"type": "overflow", "action_id": "o", "options": options(6)})], "no more than 5 items allowed"),
    ([{"type": "sparkle"}], "unsupported type: sparkle [json-pointer:/blocks/0/type]"),
    ([{"text": plain("x")}], "missing required field: type [json-pointer:/blocks/0]"),
    ([actions({"type": "plain_text_input", "action_id": "i"})], "unsupported type: plain_text_input"),
    ([{"type": "markdown", "text": "m" * 12_001}], "must be less than 12001 characters"),
]


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with open_lab(Options(rate_scale=0)) as opened:
        yield opened


@pytest.mark.parametrize("blocks", GOOD)
def test_blocks_within_the_limits_pass(blocks: list[Json]) -> None:
    assert find_problems(blocks, "message") == []


@pytest.mark.parametrize(("blocks", "words"), BAD)
def test_blocks_beyond_a_limit_are_refused_with_the_place(blocks: list[Json], words: str) -> None:
    assert any(words in problem.words() for problem in find_problems(blocks, "message"))


def test_a_view_holds_a_hundred_blocks_and_needs_title_and_submit() -> None:
    view: Json = {"type": "modal", "title": plain("t"), "blocks": [section()] * 100}
    assert find_view_problems(view) == []
    too_many = find_view_problems({**view, "blocks": [section()] * 101})
    assert too_many[0].words() == "no more than 100 items allowed [json-pointer:/view/blocks]"
    long_title = find_view_problems({**view, "title": plain("t" * 25)})
    assert long_title[1].pointer == "/view/title/text"
    asks = {**view, "blocks": [{"type": "input", "label": plain("Why"), "element": {"type": "plain_text_input"}}]}
    assert find_view_problems(asks)[0].message == "missing required field: submit"
    assert find_view_problems({**view, "blocks": [{"type": "markdown", "text": "m"}]})[0].code == "unsupported_type"


KEYS = [
    "text",
    "elements",
    "fields",
    "accessory",
    "element",
    "label",
    "options",
    "initial_option",
    "option_groups",
    "action_id",
    "block_id",
    "value",
    "placeholder",
    "confirm",
    "rows",
    "title",
    "alt_text",
    "image_url",
]
KINDS = [
    "section",
    "actions",
    "context",
    "input",
    "header",
    "table",
    "alert",
    "card",
    "plan",
    "rich_text",
    "button",
    "static_select",
    "multi_static_select",
    "checkboxes",
    "plain_text_input",
    "plain_text",
    "mrkdwn",
    "image",
]
LEAF = st.none() | st.booleans() | st.integers() | st.sampled_from(KINDS) | st.text(max_size=5)
TREE = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYS, "type"]), inner, max_size=5),
    max_leaves=20,
)
BLOCK = st.fixed_dictionaries({"type": st.sampled_from(KINDS)}, optional=dict.fromkeys(KEYS, TREE))


@given(st.lists(BLOCK | TREE, max_size=4))
def test_no_blocks_break_the_checks_and_what_passes_can_be_stored(blocks: list[Any]) -> None:
    if find_problems(blocks, "message"):
        return
    stored = with_ids(blocks, iter(map(str, range(1000))).__next__)
    assert all(block["block_id"] for block in stored)
    assert isinstance(state_values(stored, {}), dict)


async def test_a_refused_message_says_why_and_is_counted(lab: Lab) -> None:
    body = await error_of(lab.client().chat_postMessage(channel=CHANNEL, text="t", blocks=[section("x" * 3001)]))
    assert body["error"] == "invalid_blocks"
    messages = body["response_metadata"]["messages"]
    assert "[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]" in messages
    assert (await lab.read("report"))["invalid_blocks"] == 1
    markdown = [{"type": "markdown", "text": "m" * 7000}] * 2
    assert (await error_of(lab.client().chat_postMessage(channel=CHANNEL, text="t", blocks=markdown)))["error"] == (
        "msg_blocks_too_long"
    )


async def test_ids_that_an_app_left_out_are_added(lab: Lab) -> None:
    button = {"type": "button", "text": plain("Stop")}
    answer = await lab.client().chat_postMessage(channel=CHANNEL, text="t", blocks=[actions(button)])
    block = answer["message"]["blocks"][0]
    assert block["block_id"]
    assert block["elements"][0]["action_id"]


async def test_blocks_can_be_validated_without_a_message(lab: Lab) -> None:
    client = lab.client()
    assert (await client.api_call("blocks.validate", json={"blocks": CARD}))["ok"] is True
    body = await error_of(client.api_call("blocks.validate", json={"blocks": [{"type": "sparkle"}]}))
    assert (body["error"], body["errors"][0]["pointer"]) == ("invalid_blocks", "/0/type")
    view = await error_of(client.api_call("blocks.validate", json={"view": {"type": "modal", "blocks": []}}))
    assert view["error"] == "invalid_view"
