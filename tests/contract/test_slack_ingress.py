"""Listening, against the lab's Slack over real sockets: ack only after the write, once through five apps, reconnect."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.domain.inbound import AnswerGiven, Commanded, ModalAsked, StopAsked, VoteCast
from bot.slack.gateway import Connection
from bot.slack.identities import SlackSettingError
from tests.contract.slack_lab import ANA, BO, CHANNEL, Lab, listening, running_lab, until
from tests.unit.slack_ports import MemoryInbox, WallClock


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with running_lab(ack_seconds=0.6, retry_scale=0.005) as running:
        yield running


@pytest.fixture
def inbox() -> MemoryInbox:
    return MemoryInbox()


async def settled(lab: Lab) -> bool:
    return (await lab.see("acks"))["waiting"] == 0


async def test_rule_4_one_message_through_five_apps_counts_once(lab: Lab, inbox: MemoryInbox) -> None:
    async with listening(lab, inbox):
        ts = await lab.post("@Architect build three VMs with @Builder")
        await until(lambda: inbox.writes >= 7)  # five message events, two app_mention
        (said,) = inbox.said.values()
    assert (said.ts, said.to) == (ts, ("architect", "builder"))
    assert said.text == "@Architect build three VMs with @Builder"


async def test_rule_4_no_ack_before_the_inbox_has_it(lab: Lab, inbox: MemoryInbox) -> None:
    inbox.delay_s = 0.2
    async with listening(lab, inbox):
        await lab.post("@Architect hello")
        await asyncio.sleep(0.1)
        assert (await lab.see("acks"))["acked"] == 0
        await until(lambda: settled(lab))
        acks = await lab.see("acks")
    assert acks["acked"] == 6
    assert acks["p50_ms"] >= 200


async def test_rule_4_a_failed_write_gives_no_ack_and_slack_sends_again(lab: Lab, inbox: MemoryInbox) -> None:
    inbox.broken = 3
    async with listening(lab, inbox) as (ingress, _):
        await lab.post("@Architect hello")
        await until(lambda: inbox.writes >= 6)
        await until(lambda: settled(lab))
        report = await lab.see("report")
        assert sum(link.refused for link in ingress.health().values()) == 3
    assert report["redelivered"] == 3
    assert report["unacked"] == 0
    assert len(inbox.said) == 1


async def test_rule_4_a_dropped_socket_mends_and_nothing_is_lost(lab: Lab, inbox: MemoryInbox) -> None:
    async with listening(lab, inbox) as (ingress, _):
        cut = await lab.fault("drop_socket", app=None)
        first = await lab.post("@Architect while the line is cut")
        await until(lambda: all(link.connected for link in ingress.health().values()))
        second = await lab.post("@Architect and after")
        await until(lambda: {said.ts for said in inbox.said.values()} >= {first, second})
        await until(lambda: settled(lab))
        report = await lab.see("report")
    assert cut["hit"] == 5, "every app's line was cut"
    assert [said.ts for said in inbox.said.values()] == [first, second]
    assert report["unacked"] == 0


async def test_rule_4_slack_asks_to_reconnect(lab: Lab, inbox: MemoryInbox) -> None:
    async with listening(lab, inbox):
        asked = await lab.fault("disconnect", reason="refresh_requested", app=None)
        stamps = {await lab.post(f"@Architect number {number}") for number in range(3)}
        await until(lambda: {said.ts for said in inbox.said.values()} >= stamps)
        await until(lambda: settled(lab))
        report = await lab.see("report")
    assert asked["hit"] == 5, "every app was asked"
    assert {said.ts for said in inbox.said.values()} == stamps
    assert report["unacked"] == 0


async def test_rule_4_an_edit_counts_and_an_unfurled_link_does_not(lab: Lab, inbox: MemoryInbox) -> None:
    async with listening(lab, inbox):
        ts = await lab.post("@Architect see https://example.com/x")
        await until(lambda: inbox.writes >= 6)
        await lab.post("", subtype="unfurl", ts=ts)
        await lab.post("@Architect see https://example.com/y", subtype="edit", ts=ts)
        await until(lambda: any(said.edited for said in inbox.said.values()))
        await until(lambda: settled(lab))
    edited = [said for said in inbox.said.values() if said.edited]
    assert [said.text for said in edited] == ["@Architect see https://example.com/y"]
    assert len(inbox.said) == 2


async def test_own_posts_and_peers_are_dropped(lab: Lab, inbox: MemoryInbox) -> None:
    async with (
        listening(lab, inbox) as (ingress, _),
        lab.http.post(
            f"{lab.url}/api/chat.postMessage",
            data={"channel": CHANNEL, "text": "@Builder do it", "token": lab.tokens["architect"][0]},
        ),
    ):
        await until(lambda: sum(link.received for link in ingress.health().values()) == 5)
        await until(lambda: settled(lab))
    assert inbox.writes == 0
    assert (await lab.see("report"))["unacked"] == 0


async def test_rule_5_stop_is_stored_once(lab: Lab, inbox: MemoryInbox) -> None:
    async with listening(lab, inbox):
        root = await lab.post("@Architect build")
        await lab.post("STOP", thread_ts=root)
        await until(lambda: inbox.writes >= 11)
        await until(lambda: settled(lab))
    (stop,) = inbox.immediate.values()
    assert isinstance(stop, StopAsked)
    assert stop.thread.ts == root
    assert stop.user == ANA


async def card(lab: Lab, root: str, *elements: tuple[str, str], app: str = "watchbill") -> str:
    """A message with buttons, posted by an app."""
    blocks = [
        {
            "type": "actions",
            "elements": [
                {"type": "button", "action_id": action, "value": value, "text": {"type": "plain_text", "text": "x"}}
                for action, value in elements
            ],
        }
    ]
    data = {
        "channel": CHANNEL,
        "thread_ts": root,
        "text": "card",
        "blocks": json.dumps(blocks),
        "token": lab.tokens[app][0],
    }
    async with lab.http.post(f"{lab.url}/api/chat.postMessage", data=data) as answer:
        return (await answer.json())["ts"]


async def click(lab: Lab, ts: str, action: str, who: str = BO) -> Any:
    return await lab.do("click", **{"as": who, "channel": CHANNEL, "ts": ts, "action_id": action})


async def test_clicks_arrive_with_their_place(lab: Lab, inbox: MemoryInbox) -> None:
    async with listening(lab, inbox):
        root = await lab.post("mission")
        ts = await card(lab, root, ("approve", "a7f3"), ("deny", "a7f3"), ("answer:1", "q1"))
        for action in ("approve", "deny", "answer:1"):
            assert (await click(lab, ts, action))["acked"]
    vote, deny = inbox.immediate.values()
    assert isinstance(vote, VoteCast)
    assert (vote.request, vote.reply.user, vote.reply.thread_ts, vote.reply.message_ts) == ("a7f3", BO, root, ts)
    assert isinstance(deny, ModalAsked)
    assert deny.reply.trigger
    ((lane, answer),) = inbox.ordered
    assert lane == f"T0LAB00001/{CHANNEL}/{root}"
    assert isinstance(answer, AnswerGiven)
    assert answer.option == 1


async def test_rule_12_a_button_on_a_personas_post_is_no_vote(lab: Lab, inbox: MemoryInbox) -> None:
    async with listening(lab, inbox):
        root = await lab.post("mission")
        ts = await card(lab, root, ("approve", "a7f3"), app="builder")
        assert (await click(lab, ts, "approve"))["acked"]
    assert inbox.immediate == {}


async def test_rule_4_a_click_that_is_not_stored_is_not_acked(lab: Lab, inbox: MemoryInbox) -> None:
    async with listening(lab, inbox):
        root = await lab.post("mission")
        ts = await card(lab, root, ("approve", "a7f3"))
        await until(lambda: settled(lab))
        inbox.broken = 1
        assert not (await click(lab, ts, "approve"))["acked"]
        assert (await click(lab, ts, "approve"))["acked"]
    assert len(inbox.immediate) == 1


async def test_a_slash_command_is_acked_with_nothing_to_see(lab: Lab, inbox: MemoryInbox) -> None:
    async with listening(lab, inbox):
        answer = await lab.do("command", **{"as": ANA, "channel": CHANNEL, "command": "/mission", "text": "7"})
        assert answer == {"ok": True, "ack": None}
    (asked,) = inbox.immediate.values()
    assert isinstance(asked, Commanded)
    assert (asked.name, asked.text, asked.reply.user) == ("mission", "7", ANA)


async def test_every_token_that_does_not_work_is_named_at_once(lab: Lab) -> None:
    tokens = lab.tokens | {"qa": ("xoxb-wrong", lab.tokens["qa"][1]), "builder": (lab.tokens["builder"][0], "xapp-no")}
    with pytest.raises(SlackSettingError) as error:
        async with Connection(tokens, WallClock(), base_url=f"{lab.url}/api"):
            pass
    lines = str(error.value).split("\n")
    assert len(lines) == 2
    assert lines[0].startswith("WATCHBILL_SLACK_BUILDER_APP_TOKEN: Slack answers invalid_auth")
    assert lines[1].startswith("WATCHBILL_SLACK_QA_BOT_TOKEN: Slack answers invalid_auth")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"qa": ("", "xapp-1")}, "WATCHBILL_SLACK_QA_BOT_TOKEN is not set"),
        ({"qa": ("xapp-1", "xoxb-1")}, "WATCHBILL_SLACK_QA_BOT_TOKEN must begin with xoxb-"),
        ({"qa": ("xoxb-builder", "xapp-qa")}, "is the same token as WATCHBILL_SLACK_BUILDER_BOT_TOKEN"),
    ],
)
async def test_a_token_that_cannot_be_right_is_refused_without_asking_slack(
    change: dict[str, tuple[str, str]], says: str
) -> None:
    names = ("watchbill", "architect", "builder", "sentinel", "qa")
    tokens = {name: (f"xoxb-{name}", f"xapp-{name}") for name in names} | change
    with pytest.raises(SlackSettingError, match=says):
        async with Connection(tokens, WallClock(), base_url="http://127.0.0.1:1/"):
            pass
