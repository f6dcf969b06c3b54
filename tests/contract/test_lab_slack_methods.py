"""The Web API of the lab's Slack: answers and errors as the real SDK gets them."""

from collections.abc import AsyncIterator

import pytest

from deploy.lab.slack.workspace import Options
from tests.contract.lab_slack import ANA, BO, CARD, CHANNEL, DAN, EVE, LOBBY, QUICK, Json, Lab, error_of, open_lab


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with open_lab(Options(ack_seconds=0.4, retry_scale=0.002, rate_scale=0)) as opened:
        yield opened


async def test_history_and_replies_hold_threads_metadata_and_pages(lab: Lab) -> None:
    client = lab.client()
    metadata: Json = {"event_type": "watchbill_outbox", "event_payload": {"id": "o1"}}
    root = await client.chat_postMessage(channel=CHANNEL, text="root", metadata=metadata)
    for number in range(3):
        await client.chat_postMessage(channel=CHANNEL, text=f"reply {number}", thread_ts=root["ts"])
    await lab.say("outside")
    plain = await client.conversations_history(channel=CHANNEL)
    assert [message["text"] for message in plain["messages"]] == ["outside", "root"]
    assert "metadata" not in plain["messages"][1]
    assert plain["messages"][1]["reply_count"] == 3
    full = await client.conversations_history(
        channel=CHANNEL, include_all_metadata=True, latest=root["ts"], inclusive=True
    )
    assert full["messages"][0]["metadata"] == metadata
    page = await client.conversations_replies(channel=CHANNEL, ts=root["ts"], limit=3)
    rest = await client.conversations_replies(
        channel=CHANNEL, ts=root["ts"], limit=3, cursor=page["response_metadata"]["next_cursor"]
    )
    texts = [message["text"] for message in page["messages"] + rest["messages"]]
    assert texts == ["root", "reply 0", "reply 1", "reply 2"]
    assert (page["has_more"], rest["has_more"]) == (True, False)


async def test_errors_are_slacks_own(lab: Lab) -> None:
    client, other = lab.client(), lab.client("builder")
    posted = await client.chat_postMessage(channel=CHANNEL, text="mine")
    ts = str(posted["ts"])
    here: Json = {"channel": CHANNEL}
    wanted: list[tuple[str, Json, str]] = [
        ("chat.postMessage", {"channel": "C0NOPE", "text": "x"}, "channel_not_found"),
        ("chat.postMessage", {"channel": LOBBY, "text": "x"}, "not_in_channel"),
        ("chat.postMessage", {**here, "text": "  "}, "no_text"),
        ("chat.postMessage", {**here, "text": "x", "thread_ts": "1.2"}, "thread_not_found"),
        ("chat.postMessage", {**here, "text": "x", "metadata": {"event_type": 1}}, "invalid_metadata_format"),
        ("chat.postMessage", {**here, "blocks": "{"}, "invalid_blocks_format"),
        ("chat.postMessage", {"text": "x"}, "invalid_arguments"),
        ("chat.update", {**here, "ts": "1.2", "text": "x"}, "message_not_found"),
        ("chat.update", {**here, "ts": ts, "text": "x" * 4001}, "msg_too_long"),
        ("chat.postEphemeral", {**here, "user": EVE, "text": "x"}, "user_not_in_channel"),
        ("conversations.replies", {**here, "ts": "1.2"}, "thread_not_found"),
        ("conversations.history", {**here, "cursor": "bad"}, "invalid_cursor"),
        ("users.info", {"user": "U0NOPE"}, "user_not_found"),
        ("usergroups.users.list", {"usergroup": "S0NOPE"}, "no_such_subteam"),
        ("reactions.remove", {**here, "timestamp": ts, "name": "eyes"}, "no_reaction"),
        ("chat.nothing", {}, "unknown_method"),
    ]
    for method, arguments, error in wanted:
        assert (await error_of(client.api_call(method, json=arguments)))["error"] == error, method
    assert (await error_of(other.chat_update(channel=CHANNEL, ts=ts, text="x")))["error"] == "cant_update_message"
    assert (await error_of(other.chat_delete(channel=CHANNEL, ts=ts)))["error"] == "cant_delete_message"


async def test_updates_keep_or_drop_blocks_as_slack_does(lab: Lab) -> None:
    client = lab.client()
    ts = await lab.card()
    kept = await client.api_call("chat.update", json={"channel": CHANNEL, "ts": ts, "attachments": []})
    assert kept["message"]["blocks"]
    assert "edited" not in (await client.chat_update(channel=CHANNEL, ts=ts, text="b", blocks=CARD))["message"]
    dropped = await client.chat_update(channel=CHANNEL, ts=ts, text="only text")
    assert "blocks" not in dropped["message"]
    assert dropped["message"]["edited"]["user"] == lab.apps["watchbill"].user_id


async def test_form_and_json_bodies_mean_the_same(lab: Lab) -> None:
    client = lab.client()
    form = await client.api_call("chat.postMessage", data={"channel": "#platform", "text": "a &amp; b"})
    query = await client.api_call("chat.postMessage", params={"channel": CHANNEL, "text": "a &amp; b"})
    body = await client.api_call("chat.postMessage", json={"channel": CHANNEL, "text": "a &amp; b"})
    assert {answer["message"]["text"] for answer in (form, query, body)} == {"a &amp; b"}
    assert form["channel"] == CHANNEL


async def test_a_name_and_icon_count_only_with_the_scope(lab: Lab) -> None:
    plain = await lab.client().chat_postMessage(channel=CHANNEL, text="x", username="Architect", icon_emoji=":x:")
    assert "username" not in plain["message"]
    async with open_lab(Options(solo=True)) as solo:
        named = await solo.client().chat_postMessage(channel=CHANNEL, text="x", username="Architect", icon_emoji=":x:")
    assert (named["message"]["username"], named["message"]["subtype"]) == ("Architect", "bot_message")


async def test_long_text_is_cut_at_forty_thousand_characters(lab: Lab) -> None:
    answer = await lab.client().chat_postMessage(channel=CHANNEL, text="x" * 40_001)
    assert len(answer["message"]["text"]) == 40_000
    assert answer["warning"] == "message_truncated"


async def test_posts_are_limited_to_one_a_second_and_channel_after_a_burst_of_three() -> None:
    async with open_lab(QUICK) as lab:
        client = lab.client()
        for number in range(3):
            await client.chat_postMessage(channel=CHANNEL, text=str(number))
        async with lab.session.post(
            f"{lab.url}/api/chat.postMessage",
            json={"channel": CHANNEL, "text": "4"},
            headers={"Authorization": f"Bearer {lab.apps['watchbill'].bot_token}"},
        ) as response:
            body = await response.json()
        assert (response.status, response.headers["Retry-After"], body["error"]) == (429, "1", "ratelimited")
        await lab.client("builder").chat_postMessage(channel=CHANNEL, text="another app")
        await client.chat_postMessage(channel="C0LAB00002", text="another channel")
        assert (await lab.read("report"))["rate_limited"] == 1


async def test_files_go_up_in_three_steps_and_can_be_read_back(lab: Lab) -> None:
    root = await lab.say("show me")
    answer = await lab.client().files_upload_v2(
        content="+ cp1\n",
        filename="plan.txt",
        title="Plan",
        channel=CHANNEL,
        thread_ts=root,
        initial_comment="the plan",
    )
    file = answer["file"]
    assert (file["name"], file["title"], file["size"]) == ("plan.txt", "Plan", 6)
    thread = (await lab.read("thread", channel=CHANNEL, ts=root))["messages"]
    assert thread[1]["files"][0]["id"] == file["id"]
    assert thread[1]["ts"] == file["shares"]["public"][CHANNEL][0]["ts"]
    async with lab.session.get(f"{lab.url}/lab/files/{file['id']}") as response:
        assert await response.read() == b"+ cp1\n"
    async with lab.session.get(file["url_private"]) as response:
        assert response.status == 403


async def test_people_show_what_roles_are_decided_by(lab: Lab) -> None:
    client = lab.client()
    assert (await client.users_info(user=DAN))["user"]["deleted"] is True
    assert (await client.users_info(user=EVE))["user"]["team_id"] == "T0EXT00001"
    assert (await client.users_info(user="U0MALLORY1"))["user"]["is_restricted"] is True
    assert (await client.users_info(user=lab.apps["qa"].user_id))["user"]["is_bot"] is True
    assert (await client.usergroups_users_list(usergroup="S0APPROV01"))["users"] == [BO, "U0CHRIS001"]
    changed = await lab.act("person", BO, deleted=True)
    assert changed["user"]["deleted"] is (await client.users_info(user=BO))["user"]["deleted"] is True


async def test_channels_direct_messages_reactions_and_links(lab: Lab) -> None:
    client = lab.client()
    listed = await client.users_conversations(types="public_channel")
    assert {channel["name"] for channel in listed["channels"]} == {"platform", "random"}
    assert (await client.conversations_info(channel=LOBBY))["channel"]["is_member"] is False
    await client.conversations_join(channel=LOBBY)
    assert lab.apps["watchbill"].user_id in (await client.conversations_members(channel=LOBBY))["members"]
    direct = (await client.conversations_open(users=ANA))["channel"]["id"]
    await client.chat_postMessage(channel=direct, text="for you")
    assert (await client.conversations_history(channel=direct))["messages"][0]["text"] == "for you"
    ts = await lab.card()
    await client.reactions_add(channel=CHANNEL, timestamp=ts, name="eyes")
    assert (await error_of(client.reactions_add(channel=CHANNEL, timestamp=ts, name="eyes")))[
        "error"
    ] == "already_reacted"
    assert (await client.reactions_get(channel=CHANNEL, timestamp=ts))["message"]["reactions"][0]["count"] == 1
    link = await client.chat_getPermalink(channel=CHANNEL, message_ts=ts)
    assert ts.replace(".", "") in str(link["permalink"])


async def test_ephemerals_are_for_one_person_and_in_no_history(lab: Lab) -> None:
    client = lab.client()
    await client.chat_postEphemeral(channel=CHANNEL, user=BO, text="not yours to approve")
    assert (await lab.read("ephemerals", **{"as": BO}))["messages"][0]["ephemeral_for"] == BO
    assert (await lab.read("ephemerals", **{"as": ANA}))["messages"] == []
    assert (await client.conversations_history(channel=CHANNEL))["messages"] == []
