"""Events and messages → Said, StopAsked, Commanded, or why they were dropped."""

from typing import Any

import pytest

from bot.domain.ids import Thread, UserId
from bot.domain.inbound import Commanded, Said, StopAsked
from bot.slack.mentions import Crew
from bot.slack.parse import Dropped, Known, Parsed, Spoken, Urgent, Why, parse

TEAM, CHANNEL, ANA = "T0LAB00001", "C0LAB00001", UserId("U0ANA00001")
TITLES = {
    "watchbill": "Watchbill",
    "architect": "Architect",
    "builder": "Builder",
    "sentinel": "Sentinel",
    "qa": "QA",
}
KNOWN = Known(
    TEAM,
    Crew({f"U0{name.upper()}": name for name in TITLES}, TITLES),
    frozenset(f"B0{name.upper()}" for name in TITLES),
    {f"A0{name.upper()}": name for name in TITLES},
)


def event(app: str = "architect", **fields: Any) -> dict[str, Any]:
    inner = {"type": "message", "channel": CHANNEL, "user": ANA, "ts": "100.000001", "text": "hello", **fields}
    return {
        "type": "event_callback",
        "team_id": TEAM,
        "api_app_id": f"A0{app.upper()}",
        "event_id": "Ev1",
        "event": {name: value for name, value in inner.items() if value is not None},
    }


def heard(text: str, app: str = "architect", **fields: Any) -> Parsed:
    return parse(event(app, text=text, **fields), KNOWN, app)


def said(text: str, **fields: Any) -> Said:
    parsed = heard(text, **fields)
    assert isinstance(parsed, Spoken), parsed
    return parsed.said


def test_a_message_becomes_said_with_its_thread() -> None:
    assert said("build it", thread_ts="99.000001") == Said(
        Thread(TEAM, CHANNEL, "99.000001"), "100.000001", ANA, "build it", (), in_thread=True
    )
    assert said("build it").thread == Thread(TEAM, CHANNEL, "100.000001")
    assert not said("parent with replies", thread_ts="100.000001").in_thread


@pytest.mark.parametrize(
    ("text", "to"),
    [
        ("<@U0ARCHITECT> build", ("architect",)),
        ("<@U0QA|qa> and <@U0ARCHITECT> and <@U0QA>", ("qa", "architect")),
        ("@Architect build", ("architect",)),
        ("ask @builder, then @QA.", ("builder", "qa")),
        ("(@Sentinel)", ("sentinel",)),
        ("me@architect.example is an address", ()),
        ("@qa.example.com is a host", ()),
        ("@architects are people, @builder-lab is a host", ()),
        ("see /@qa and @@builder", ()),
        ("`@Architect` in code", ()),
        ("```\n@Architect\n<@U0QA>\n``` @Builder", ("builder",)),
        ("&gt; <@U0ARCHITECT> was asked\nnot you, @Builder", ("builder",)),
        ("fine\n&gt;&gt;&gt; all\nof <@U0QA> this", ()),
        ("<@U0STRANGER1> hi", ()),
    ],
)
def test_who_is_addressed(text: str, to: tuple[str, ...]) -> None:
    assert said(text).to == to


@pytest.mark.parametrize(
    ("wire", "typed"),
    [
        ("<@U0ARCHITECT> a &lt;b&gt; &amp;&amp; c", "@Architect a <b> && c"),
        ("&amp;lt; stays an entity", "&lt; stays an entity"),
        ("<https://hello.lab/|hello.lab/> and <http://x.lab>", "hello.lab/ and http://x.lab"),
        ("<https://a.lab|click here>", "click here (https://a.lab)"),
        ("<#C0LAB00002|random> <!here> <!subteam^S1|@sre>", "#random @here @sre"),
        ("<@U0BO000001> stays", "<@U0BO000001> stays"),
        ("line 1\nline 2\n\n  line 4", "line 1\nline 2\n\n  line 4"),
    ],
)
def test_the_text_is_what_was_typed(wire: str, typed: str) -> None:
    assert said(wire).text == typed


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"user": "U0BUILDER"}, "own_post"),
        ({"bot_id": "B0QA"}, "own_post"),
        ({"bot_id": "B0STRANGER"}, "bot"),
        ({"user": None}, "bot"),
        ({"user": "USLACKBOT"}, "bot"),
        ({"subtype": "bot_message"}, "bot"),
        ({"subtype": "channel_join"}, "subtype"),
        ({"subtype": "message_deleted"}, "subtype"),
        ({"text": "  \n"}, "no_text"),
        ({"ts": "not a ts"}, "malformed"),
        ({"channel": "../x"}, "malformed"),
        ({"text": 7}, "malformed"),
        ({"type": "reaction_added"}, "not_ours"),
    ],
)
def test_what_is_dropped_says_why(fields: dict[str, Any], why: Why) -> None:
    assert parse(event(**fields), KNOWN, "architect") == Dropped(why)


def test_another_team_or_app_is_dropped() -> None:
    assert parse(event() | {"team_id": "T0OTHER"}, KNOWN, "architect") == Dropped("other_team")
    assert parse(event() | {"team_id": "T0OTHER", "context_team_id": TEAM}, KNOWN, "architect") != Dropped("other_team")
    assert parse(event("builder"), KNOWN, "architect") == Dropped("other_app")


def test_rule_4_the_same_message_reads_the_same_through_every_app() -> None:
    text = "<@U0ARCHITECT> build with @Builder"
    mention = {"type": "app_mention"}
    assert heard(text, "architect", **mention) == heard(text, "builder") == heard(text, "watchbill")


def changed(before: str, after: str, **message: Any) -> dict[str, Any]:
    new = {"user": ANA, "ts": "100.000001", "text": after, "edited": {"user": ANA, "ts": "105.000000"}, **message}
    return event(
        subtype="message_changed",
        ts="105.000000",
        user=None,
        text=None,
        message={name: value for name, value in new.items() if value is not None},
        previous_message={"user": ANA, "ts": "100.000001", "text": before},
    )


def test_rule_4_an_edit_counts_only_if_its_text_differs() -> None:
    parsed = parse(changed("two VMs", "three VMs"), KNOWN, "architect")
    assert isinstance(parsed, Spoken)
    assert (parsed.said.text, parsed.said.ts, parsed.said.edited) == ("three VMs", "100.000001", True)
    unfurl = changed("see <https://x.lab>", "see <https://x.lab>", attachments=[{"id": 1}])
    assert parse(unfurl, KNOWN, "architect") == Dropped("edit_without_change")
    assert parse(changed("a", "b", edited=None), KNOWN, "architect") == Dropped("edit_without_change")
    assert parse(changed("a", "b", user="U0QA"), KNOWN, "architect") == Dropped("own_post")


@pytest.mark.parametrize(
    "text",
    [
        "STOP",
        "stop",
        " Stop. ",
        "<@U0ARCHITECT> stop",
        "@Builder STOP!",
        "STOP stop",
        "*STOP*",
        "_STOP_",
        "~stop~",
        "Stop 🛑",
        "STOP :octagonal_sign:",
        "please stop",
        "STOP everyone",
        "STOP\nnow",
        "ＳＴＯＰ",
        "stop, now!",
    ],
)
def test_rule_5_stop_in_a_thread_is_urgent(text: str) -> None:
    parsed = heard(text, thread_ts="99.000001")
    assert isinstance(parsed, Urgent)
    assert isinstance(parsed.item, StopAsked)
    assert parsed.item.thread == Thread(TEAM, CHANNEL, "99.000001")
    assert not parsed.item.clear
    assert parsed.once == f"message:{TEAM}/{CHANNEL}/100.000001"


@pytest.mark.parametrize(
    "text",
    [
        "stop the VM",
        "don't stop",
        "`stop`",
        "full stop",
        "STOP\nand plan again",
        "stop the apply",
        "is it ok to stop",
        "STOP 7",
        "stop не надо",
        "🛑",
    ],
)
def test_a_sentence_with_stop_is_no_stop(text: str) -> None:
    assert said(text, thread_ts="99.000001").text == text


def test_stop_outside_a_thread_needs_a_mention() -> None:
    assert said("stop").text == "stop"
    parsed = heard("<@U0WATCHBILL> stop")
    assert isinstance(parsed, Urgent)


def test_clear_and_an_edit_to_stop() -> None:
    clear = heard("CLEAR", thread_ts="99.000001")
    assert isinstance(clear, Urgent)
    assert isinstance(clear.item, StopAsked)
    assert clear.item.clear
    edited = parse(changed("go on", "STOP", thread_ts="99.000001"), KNOWN, "architect")
    assert isinstance(edited, Urgent)
    assert edited.once != f"message:{TEAM}/{CHANNEL}/100.000001"


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("<@U0WATCHBILL> cluster-status", "cluster-status", ""),
        ("@Watchbill mission 7", "mission", "7"),
        ("@watchbill  /mission stop 7 ", "mission", "stop 7"),
        ("<@U0WATCHBILL> Approvals", "approvals", ""),
        ("<@U0WATCHBILL> crew", "crew", ""),
    ],
)
def test_mention_twins_of_commands(text: str, name: str, arguments: str) -> None:
    parsed = heard(text, "watchbill", thread_ts="99.000001")
    assert isinstance(parsed, Urgent)
    assert isinstance(parsed.item, Commanded)
    assert (parsed.item.name, parsed.item.text) == (name, arguments)
    assert parsed.item.thread == Thread(TEAM, CHANNEL, "99.000001")
    assert parsed.item.reply.thread_ts == "99.000001"


@pytest.mark.parametrize(
    "text",
    ["crew", "@Architect crew", "the @Watchbill crew", "@Watchbill who is there", "@Watchbill crew\nand more"],
)
def test_no_command_without_watchbill_first_and_alone(text: str) -> None:
    assert said(text).text == text
