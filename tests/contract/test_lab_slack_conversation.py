"""The lab's Slack as the real SDK sees it: messages, mentions, edits, clicks, commands and their acks."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.contract.lab_slack import ANA, BO, CHANNEL, EVE, Json, Lab, collect, error_of, open_lab, until


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with open_lab() as opened:
        yield opened


async def test_a_typed_mention_reaches_members_as_message_and_the_mentioned_as_app_mention(lab: Lab) -> None:
    architect: list[Json] = []
    builder: list[Json] = []
    async with (
        lab.bolt("architect", collect(architect, "message", "app_mention")),
        lab.bolt("builder", collect(builder, "message", "app_mention")),
    ):
        ts = await lab.say("@Architect build it & <run>")
        await until(lambda: len(architect) == 2 and len(builder) == 1)
    assert sorted(body["event"]["type"] for body in architect) == ["app_mention", "message"]
    assert {body["event"]["ts"] for body in architect + builder} == {ts}
    assert len({body["event_id"] for body in architect + builder}) == 3
    assert architect[0]["event"]["text"] == f"<@{lab.apps['architect'].user_id}> build it &amp; &lt;run&gt;"
    assert architect[0]["event"]["user"] == ANA


async def test_raw_text_code_and_addresses_are_no_mentions(lab: Lab) -> None:
    seen: list[Json] = []
    async with lab.bolt("architect", collect(seen, "message", "app_mention")):
        await lab.say("plain @Architect", raw=True)
        await lab.say("mail x@architect.example and `@Architect`")
        await until(lambda: len(seen) == 2)
    assert [body["event"]["type"] for body in seen] == ["message", "message"]


async def test_posts_of_one_app_arrive_at_the_others_with_its_bot_identity(lab: Lab) -> None:
    seen: list[Json] = []
    async with lab.bolt("watchbill", collect(seen, "message")):
        answer = await lab.client("builder").chat_postMessage(channel=CHANNEL, text="plan is ready")
        await until(lambda: len(seen) == 1)
    event, builder = seen[0]["event"], lab.apps["builder"]
    assert (event["bot_id"], event["app_id"], event["user"]) == (builder.bot_id, builder.app_id, builder.user_id)
    assert event["ts"] == answer["ts"]


async def test_edits_and_unfurls_arrive_as_message_changed_and_a_new_mention_as_app_mention(lab: Lab) -> None:
    seen: list[Json] = []
    async with lab.bolt("qa", collect(seen, "message", "app_mention")):
        ts = await lab.say("see https://lab.example/x.")
        await lab.say("", subtype="unfurl", ts=ts)
        await lab.say("@QA see it", subtype="edit", ts=ts)
        await until(lambda: len(seen) == 4)
    by_kind = {body["event"].get("subtype", body["event"]["type"]): body["event"] for body in seen}
    assert by_kind["message"]["text"] == "see <https://lab.example/x>."
    changes = [body["event"] for body in seen if body["event"].get("subtype") == "message_changed"]
    unfurl, edit = sorted(changes, key=lambda event: float(event["ts"]))
    assert unfurl["message"]["text"] == unfurl["previous_message"]["text"]
    assert "edited" not in unfurl["message"]
    assert edit["message"]["edited"]["user"] == ANA
    assert by_kind["app_mention"]["ts"] == ts


async def test_a_partner_from_another_workspace_is_marked_as_such(lab: Lab) -> None:
    seen: list[Json] = []
    async with lab.bolt("watchbill", collect(seen, "message")):
        await lab.say("let me in", person=EVE)
        await until(lambda: len(seen) == 1)
    assert seen[0]["is_ext_shared_channel"] is True
    assert seen[0]["event"]["user_team"] == "T0EXT00001"


async def test_a_click_carries_the_stored_button_and_its_ack_comes_back(lab: Lab) -> None:
    clicks: list[Json] = []

    async def approve(ack: Callable[[], Awaitable[None]], body: Json) -> None:
        await ack()
        clicks.append(body)

    ts = await lab.card()
    async with lab.bolt("watchbill", lambda app: app.action("approve")(approve)):
        clicked = await lab.act("click", BO, channel=CHANNEL, ts=ts, action_id="approve", value="forged")
        missing = await lab.act("click", BO, channel=CHANNEL, ts=ts, action_id="forged")
    assert clicked == {"ok": True, "acked": True}
    assert missing["error"] == "no_such_element"
    action = clicks[0]["actions"][0]
    assert (action["value"], action["block_id"], clicks[0]["user"]["id"]) == ("r1", "votes", BO)
    assert clicks[0]["container"]["message_ts"] == clicks[0]["message"]["ts"] == ts


async def test_a_stale_client_can_press_a_button_that_an_edit_removed(lab: Lab) -> None:
    clicks: list[Json] = []

    async def approve(ack: Callable[[], Awaitable[None]], body: Json) -> None:
        await ack()
        clicks.append(body)

    ts = await lab.card()
    await lab.client().chat_update(channel=CHANNEL, ts=ts, text="decided", blocks=[])
    async with lab.bolt("watchbill", lambda app: app.action("approve")(approve)):
        gone = await lab.act("click", BO, channel=CHANNEL, ts=ts, action_id="approve")
        stale = await lab.act("click", BO, channel=CHANNEL, ts=ts, action_id="approve", stale=True)
    assert (gone["error"], stale["acked"]) == ("no_such_element", True)
    assert [click["actions"][0]["value"] for click in clicks] == ["r1"]


async def test_a_chosen_option_is_in_the_action_and_in_the_state(lab: Lab) -> None:
    clicks: list[Json] = []

    async def keep(ack: Callable[[], Awaitable[None]], body: Json) -> None:
        await ack()
        clicks.append(body)

    options = [{"text": {"type": "plain_text", "text": one}, "value": one} for one in ("a", "b")]
    choice = {"type": "static_select", "action_id": "pick", "options": options}
    blocks = [{"type": "actions", "block_id": "q", "elements": [choice]}]
    posted = await lab.client().chat_postMessage(channel=CHANNEL, text="q", blocks=blocks)
    async with lab.bolt("watchbill", lambda app: app.action("pick")(keep)):
        await lab.act("click", BO, channel=CHANNEL, ts=posted["ts"], action_id="pick", value="b")
        unknown = await lab.act("click", BO, channel=CHANNEL, ts=posted["ts"], action_id="pick", value="c")
    assert unknown["error"] == "no_such_option"
    assert clicks[0]["actions"][0]["selected_option"]["value"] == "b"
    assert clicks[0]["state"]["values"]["q"]["pick"]["selected_option"]["value"] == "b"


async def test_a_command_is_acked_with_text_and_answered_later_through_its_response_url(lab: Lab) -> None:
    async def mission(ack: Callable[..., Awaitable[None]], respond: Callable[..., Awaitable[Any]], body: Json) -> None:
        await ack(f"working on {body['text']}")
        await respond("here it is", response_type="in_channel")

    async with lab.bolt("watchbill", lambda app: app.command("/mission")(mission)):
        answer = await lab.act("command", ANA, channel=CHANNEL, command="/mission", text="show 7")
        await until(lambda: len(lab.workspace.world.channels[CHANNEL].messages) == 1)
    assert answer == {"ok": True, "ack": {"text": "working on show 7"}}
    mine = await lab.read("ephemerals", **{"as": ANA})
    assert [message["text"] for message in mine["messages"]] == ["working on show 7"]
    state = await lab.read("state", channel=CHANNEL)
    assert [message["text"] for message in state["messages"]] == ["here it is"]


async def test_without_a_connection_a_command_fails_as_slack_says_it(lab: Lab) -> None:
    answer = await lab.act("command", ANA, channel=CHANNEL, command="/crew")
    unknown = await lab.act("command", ANA, channel=CHANNEL, command="/nothing")
    assert (answer["error"], unknown["error"]) == ("dispatch_failed", "invalid_command")


async def test_an_answer_can_replace_or_delete_the_clicked_card_five_times_at_most(lab: Lab) -> None:
    urls: list[str] = []

    async def approve(ack: Callable[[], Awaitable[None]], body: Json) -> None:
        await ack()
        urls.append(body["response_url"])

    ts = await lab.card()
    async with lab.bolt("watchbill", lambda app: app.action("approve")(approve)):
        await lab.act("click", BO, channel=CHANNEL, ts=ts, action_id="approve")

    async def send(**body: Any) -> tuple[int, str]:
        async with lab.session.post(urls[0], json=body) as response:
            return response.status, await response.text()

    assert await send(text="decided", replace_original=True) == (200, "ok")
    message = (await lab.read("state"))["messages"][0]
    assert (message["text"], "blocks" in message) == ("decided", False)
    assert await send(text="only you") == (200, "ok")
    assert (await lab.read("ephemerals", **{"as": BO}))["messages"][0]["text"] == "only you"
    assert await send() == (400, "no_text")
    assert await send(delete_original=True) == (200, "ok")
    assert (await lab.read("state"))["messages"] == []
    assert (await send(text="fifth"))[0] == 200
    assert await send(text="sixth") == (404, "used_url")


async def test_wrong_tokens_get_slacks_words(lab: Lab) -> None:
    architect = lab.apps["architect"]
    wrong = {"xoxb-wrong": "invalid_auth", "": "not_authed", architect.app_token: "not_allowed_token_type"}
    for token, error in wrong.items():
        assert (await error_of(lab.client_with(token).auth_test()))["error"] == error
    answer = await lab.client("architect").auth_test()
    assert (answer["user_id"], answer["bot_id"]) == (architect.user_id, architect.bot_id)
    assert "chat:write" in answer.headers["x-oauth-scopes"]
