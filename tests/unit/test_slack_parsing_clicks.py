"""Buttons, forms and slash commands → domain values."""

import json
from typing import Any

import pytest

from bot.domain.ids import QuestionId, RequestId, Thread, UserId
from bot.domain.inbound import (
    AnswerGiven,
    Commanded,
    ExtendAsked,
    GrantRevoked,
    Immediate,
    ModalAsked,
    Reply,
    StopAsked,
    VoteCast,
)
from bot.slack.mentions import Crew
from bot.slack.parse import Dropped, InOrder, Known, Urgent, Why, parse

TEAM, CHANNEL, BO = "T0LAB00001", "C0LAB00001", UserId("U0BO000001")
REQUEST = RequestId("a7f3")
KNOWN = Known(
    TEAM,
    Crew({"U0WATC00001": "watchbill"}, {"watchbill": "Watchbill"}),
    frozenset({"B0WATC00001"}),
    {"A0WATC00001": "watchbill", "A0ARCH00001": "architect"},
    prefix="wb-",
)
THREAD = Thread(TEAM, CHANNEL, "99.000001")
REPLY = Reply(TEAM, CHANNEL, THREAD.ts, BO, "trigger", "A0WATC00001", "100.000002")


def click(action_id: str, value: str = "a7f3", **fields: Any) -> dict[str, Any]:
    return {
        "type": "block_actions",
        "team": {"id": TEAM, "domain": "lab"},
        "user": {"id": BO, "team_id": TEAM},
        "api_app_id": "A0WATC00001",
        "trigger_id": "trigger",
        "container": {"type": "message", "message_ts": "100.000002", "channel_id": CHANNEL, "thread_ts": THREAD.ts},
        "channel": {"id": CHANNEL, "name": "platform"},
        "message": {"ts": "100.000002", "thread_ts": THREAD.ts, "blocks": []},
        "actions": [{"action_id": action_id, "block_id": "b1", "value": value, "action_ts": "101.5", "type": "button"}],
        **fields,
    }


@pytest.mark.parametrize(
    ("action_id", "item"),
    [
        ("approve", VoteCast(REQUEST, "approve", "", "", REPLY)),
        ("approve_grant", VoteCast(REQUEST, "approve", "", "", REPLY, grant=True)),
        ("revoke", GrantRevoked(REQUEST, REPLY)),
        ("deny", ModalAsked("deny", "a7f3", REPLY)),
        ("approve_typed", ModalAsked("approve_typed", "a7f3", REPLY)),
        ("request_details", ModalAsked("details", "a7f3", REPLY)),
        ("mission_details", ModalAsked("details", "a7f3", REPLY)),
        ("answer_text", ModalAsked("answer", "a7f3", REPLY)),
        ("stop", StopAsked(THREAD, BO, REPLY)),
    ],
)
def test_buttons_for_any_worker(action_id: str, item: Immediate) -> None:
    parsed = parse(click(action_id), KNOWN, "watchbill")
    assert parsed == Urgent(item, f"click/A0WATC00001/101.5/{BO}/{action_id}/a7f3")


def test_buttons_that_wait_for_their_turn() -> None:
    assert parse(click("answer:1", "q9"), KNOWN, "watchbill") == InOrder(
        THREAD.lane, AnswerGiven(QuestionId("q9"), "", 1, REPLY)
    )
    assert parse(click("extend", "7"), KNOWN, "watchbill") == InOrder(THREAD.lane, ExtendAsked("7", REPLY))


def test_rule_15_a_button_gives_an_id_and_nothing_else() -> None:
    forged = click("approve")
    forged["message"]["metadata"] = {"event_payload": {"request": "other", "quorum": 0}}
    forged["actions"][0]["text"] = {"type": "plain_text", "text": "Approve a different thing"}
    assert parse(forged, KNOWN, "watchbill") == parse(click("approve"), KNOWN, "watchbill")


@pytest.mark.parametrize(
    ("payload", "app", "why"),
    [
        (click("approve", api_app_id="A0EVIL00001"), "watchbill", "other_app"),
        (click("approve", api_app_id="A0ARCH00001"), "architect", "other_app"),
        (click("approve"), "architect", "other_app"),
        (click("mission_details", team={"id": "T0OTHER"}), "watchbill", "other_team"),
        (click("answer:1", team=None), "watchbill", "other_team"),
        (click("approve", ""), "watchbill", "malformed"),
        (click("format_disk"), "watchbill", "unknown_action"),
        (click("answer:x"), "watchbill", "unknown_action"),
        (click("approve", actions=[]), "watchbill", "malformed"),
        (click("approve", channel=None, container={}), "watchbill", "malformed"),
    ],
)
def test_rule_12_clicks_from_elsewhere_are_dropped(payload: object, app: str, why: Why) -> None:
    assert parse(payload, KNOWN, app) == Dropped(why)


@pytest.mark.parametrize("team", [{"id": "T0OTHER"}, None])
@pytest.mark.parametrize("action_id", ["approve", "approve_grant", "approve_typed", "deny", "narrow"])
def test_rule_12_a_vote_from_another_workspace_reaches_the_gate_as_one(
    team: dict[str, str] | None, action_id: str
) -> None:
    parsed = parse(click(action_id, team=team), KNOWN, "watchbill")
    assert isinstance(parsed, Urgent) and isinstance(parsed.item, VoteCast)
    assert parsed.item.reply.foreign
    assert not parsed.item.grant


def test_rule_5_a_guest_of_another_team_may_press_stop() -> None:
    parsed = parse(click("stop", team={"id": "T0OTHER"}), KNOWN, "watchbill")
    assert isinstance(parsed, Urgent)
    assert isinstance(parsed.item, StopAsked)


def test_a_click_on_an_ephemeral_message_has_its_place_from_the_container() -> None:
    payload = click("extend", "7")
    del payload["message"], payload["channel"]
    assert parse(payload, KNOWN, "watchbill") == InOrder(THREAD.lane, ExtendAsked("7", REPLY))


def submission(callback_id: str, words: str | None = "too big", **view: Any) -> dict[str, Any]:
    return {
        "type": "view_submission",
        "team": {"id": TEAM},
        "user": {"id": BO},
        "api_app_id": "A0WATC00001",
        "trigger_id": "trigger",
        "view": {
            "id": "V1",
            "callback_id": callback_id,
            "private_metadata": json.dumps({"subject": "a7f3", "channel": CHANNEL, "thread_ts": THREAD.ts}),
            "state": {"values": {"input": {"value": {"type": "plain_text_input", "value": words}}}},
            **view,
        },
    }


def test_forms() -> None:
    reply = Reply(TEAM, CHANNEL, THREAD.ts, BO, "trigger", "A0WATC00001")
    once = f"view/A0WATC00001/V1/{BO}"
    deny = parse(submission("deny"), KNOWN, "watchbill")
    assert deny == Urgent(VoteCast(REQUEST, "deny", "too big", "", reply), once)
    typed = parse(submission("approve_typed", "cp1 cp2"), KNOWN, "watchbill")
    assert typed == Urgent(VoteCast(REQUEST, "approve", "", "cp1 cp2", reply), once)
    answer = parse(submission("answer", "it is pi4"), KNOWN, "watchbill")
    assert answer == InOrder(THREAD.lane, AnswerGiven(QuestionId("a7f3"), "it is pi4", None, reply))
    empty = parse(submission("deny", None), KNOWN, "watchbill")
    assert isinstance(empty, Urgent)
    assert isinstance(empty.item, VoteCast)
    assert empty.item.reason == ""


def test_forms_that_are_not_ours() -> None:
    assert parse(submission("other"), KNOWN, "watchbill") == Dropped("unknown_view")
    assert parse(submission("deny", private_metadata="junk"), KNOWN, "watchbill") == Dropped("malformed")
    assert parse(submission("deny") | {"team": {"id": "T0OTHER"}}, KNOWN, "watchbill") == Dropped("other_team")


def command(name: str, text: str = "") -> dict[str, Any]:
    return {
        "command": name,
        "text": text,
        "team_id": TEAM,
        "channel_id": CHANNEL,
        "user_id": BO,
        "trigger_id": "t1",
        "api_app_id": "A0WATC00001",
    }


def test_slash_commands_take_the_prefix_all_but_the_first() -> None:
    reply = Reply(TEAM, CHANNEL, "", BO, "t1", "A0WATC00001")
    shown = parse(command("/wb-mission", " 7 &amp; 8 "), KNOWN, "watchbill")
    assert shown == Urgent(Commanded("mission", "7 & 8", reply), "command/t1")
    status = parse(command("/cluster-status"), KNOWN, "watchbill")
    assert status == Urgent(Commanded("cluster-status", "", reply), "command/t1")
    assert parse(command("/mission"), KNOWN, "watchbill") == Dropped("unknown_command")
    assert parse(command("/cluster-status"), KNOWN, "qa") == Dropped("other_app")


def test_names_to_leave_out_come_as_names() -> None:
    parsed = parse(submission("narrow", " cp2, cp3;cp4\ncp5 "), KNOWN, "watchbill")
    assert isinstance(parsed, Urgent)
    assert isinstance(parsed.item, VoteCast)
    assert (parsed.item.ballot, parsed.item.leave_out) == ("deny", ("cp2", "cp3", "cp4", "cp5"))


def test_a_button_in_a_list_for_one_person_begins_no_thread() -> None:
    container = {"type": "message", "message_ts": "100.000002", "channel_id": CHANNEL, "is_ephemeral": True}
    parsed = parse(click("approve", message=None, container=container), KNOWN, "watchbill")
    assert isinstance(parsed, Urgent)
    assert isinstance(parsed.item, VoteCast)
    assert (parsed.item.reply.thread_ts, parsed.item.reply.ephemeral) == ("", True)


def test_a_form_with_names_and_a_code() -> None:
    state = {"values": {"input": {"value": {"value": "cp1 cp2"}}, "code": {"value": {"value": "123 456"}}}}
    parsed = parse(submission("approve_typed", None, state=state), KNOWN, "watchbill")
    assert isinstance(parsed, Urgent)
    assert isinstance(parsed.item, VoteCast)
    assert (parsed.item.typed, parsed.item.code) == ("cp1 cp2", "123 456")
    assert "123 456" not in repr(parsed.item)


def test_refresh_asks_the_same_command_again_and_no_other() -> None:
    asked = parse(click("refresh", "cluster-status"), KNOWN, "watchbill")
    assert isinstance(asked, Urgent) and asked.item == Commanded("cluster-status", "", REPLY)
    for name in ("mission", "freeze", "nothing"):
        assert parse(click("refresh", name), KNOWN, "watchbill") == Dropped("unknown_action")
