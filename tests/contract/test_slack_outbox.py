"""Sending, against the lab's Slack: pace, 429, order, edits, crashes between sending and recording, long texts."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.domain.ids import ArtifactId, QuestionId, RequestId, Thread, UserId
from bot.domain.posts import (
    ApprovalCard,
    Body,
    File,
    Modal,
    Notice,
    Post,
    Private,
    Progress,
    QuestionCard,
    Speech,
)
from bot.slack.delivery import Delivery
from bot.slack.outbox import Sender
from bot.slack.pace import RATES, Pace, Rate
from tests.contract.slack_lab import ANA, BO, CHANNEL, MALLORY, OTHER, Lab, connected, running_lab, until
from tests.unit.slack_ports import MemoryArtifacts, MemoryOutbox, WallClock

FAST = {**dict.fromkeys(RATES, Rate(1_000, 1_000)), "edit": Rate(1_000, 1_000)}
CARD = ApprovalCard(
    request=RequestId("a7f3" * 8),
    cls="change",
    environment="production",
    title="Apply Terraform plan on pve1",
    create=1,
    change=0,
    destroy=0,
    items=("+ cp1 on pve1",),
    more_items=0,
    facts=(),
    why="changes need 1 approver",
    verdict="Sentinel: pass",
    digest="9c1d22" * 8,
    file=None,
    file_sha256="",
    requesters=(UserId(ANA),),
    expires_at=datetime(2026, 11, 23, 14, 6, tzinfo=UTC),
    votes=0,
    quorum=1,
    voters=(),
    who_may=(UserId(BO),),
    words_by="Builder",
    words="Creates it.",
    typed="",
)


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with running_lab(rate_scale=0) as running:
        yield running


@pytest.fixture
def outbox() -> MemoryOutbox:
    return MemoryOutbox()


@pytest.fixture
def artifacts() -> MemoryArtifacts:
    return MemoryArtifacts()


@asynccontextmanager
async def sending(
    lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts, *, rates: Any = FAST, worker: str = "w1"
) -> AsyncGenerator[Sender]:
    clock = WallClock()
    pace = Pace(clock, rates)
    async with connected(lab) as connection:
        delivery = Delivery(connection.identities, outbox, artifacts, pace)
        sender = Sender(outbox, delivery, clock, pace, worker=worker)
        stop = asyncio.Event()
        running = asyncio.create_task(sender.run(stop))
        try:
            yield sender
        finally:
            stop.set()
            await running


def post(root: str, body: Body, key: str, *, identity: str = "watchbill", channel: str = CHANNEL) -> Post:
    return Post(key, Thread("T0LAB00001", channel, root), identity, body)


def shown(outbox: MemoryOutbox, *keys: str) -> bool:
    rows = [outbox.rows[key] for key in keys]
    return all(row.sent is not None and row.sent.version == row.version for row in rows)


async def test_posts_arrive_in_order_under_their_own_names(
    lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts
) -> None:
    root = await lab.post("mission")
    names = ("architect", "builder", "sentinel", "qa", "watchbill")
    await outbox.put(*(post(root, Speech(f"I am {name}"), f"s:{name}", identity=name) for name in names))
    async with sending(lab, outbox, artifacts):
        await until(lambda: shown(outbox, *(f"s:{name}" for name in names)))
    replies = await lab.replies(root)
    assert [one["text"] for one in replies] == [f"I am {name}" for name in names]
    assert [one["user"] for one in replies] == [lab.facts["apps"][name]["user_id"] for name in names]
    assert [one["metadata"]["event_payload"]["key"] for one in replies] == [f"s:{name}" for name in names]
    assert {one["metadata"]["event_type"] for one in replies} == {"watchbill_post"}


async def test_an_edit_changes_the_message_and_only_the_latest_version_is_sent(
    lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts
) -> None:
    root = await lab.post("mission")
    async with sending(lab, outbox, artifacts, rates={**FAST, "edit": Rate(2, 1)}):
        await outbox.put(post(root, Progress(("plan", "1 s")), "p"))
        await until(lambda: shown(outbox, "p"))
        for second in range(2, 40):
            await outbox.put(post(root, Progress(("plan", f"{second} s")), "p"))
            await asyncio.sleep(0.01)
        await until(lambda: shown(outbox, "p"))
    (reply,) = await lab.replies(root)
    assert reply["text"] == "plan · 39 s"
    assert 1 <= len(await lab.calls("chat.update")) <= 4


async def test_rule_15_a_settled_card_has_no_buttons(
    lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts
) -> None:
    root = await lab.post("mission")
    async with sending(lab, outbox, artifacts):
        await outbox.put(post(root, CARD, "card", identity="watchbill"))
        await until(lambda: shown(outbox, "card"))
        (reply,) = await lab.replies(root)
        (actions,) = [block for block in reply["blocks"] if block["type"] == "actions"]
        assert [one["action_id"] for one in actions["elements"]] == ["approve", "deny", "request_details"]
        assert {one["value"] for one in actions["elements"]} == {CARD.request}
        await outbox.put(post(root, replace(CARD, outcome="Approved by bo · applied", outcome_kind="good"), "card"))
        await until(lambda: shown(outbox, "card"))
    (reply,) = await lab.replies(root)
    assert "Approved by bo" in reply["text"]
    assert not [block for block in reply["blocks"] if block["type"] == "actions"]


@pytest.mark.parametrize("body", [Speech("once"), CARD, Notice("once", "only")])
async def test_rule_13_nothing_is_posted_twice_after_a_crash_before_recording(
    lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts, body: Body
) -> None:
    root = await lab.post("mission")
    await outbox.put(post(root, body, "k"))
    outbox.fail_sent = 1_000
    async with sending(lab, outbox, artifacts, worker="killed"):
        await until(lambda: outbox.fail_sent < 1_000)
    outbox.fail_sent = 0
    async with sending(lab, outbox, artifacts, worker="next"):
        await until(lambda: shown(outbox, "k"))
    (reply,) = await lab.replies(root)
    assert outbox.rows["k"].sent is not None
    assert outbox.rows["k"].sent.ts == reply["ts"]
    assert len(await lab.calls("chat.postMessage")) == 1


async def test_a_lost_answer_is_looked_for_before_posting_again(
    lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts
) -> None:
    root = await lab.post("mission")
    await lab.fault("fail", method="chat.postMessage", error="lost")
    await outbox.put(post(root, Speech("did it get through?"), "k", identity="builder"))
    async with sending(lab, outbox, artifacts):
        await until(lambda: shown(outbox, "k"))
    assert len(await lab.replies(root)) == 1


@pytest.mark.parametrize("error", ["http_500", "internal_error", "ratelimited"])
async def test_trouble_at_slack_delays_and_loses_nothing(
    lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts, error: str
) -> None:
    root = await lab.post("mission")
    await lab.fault("fail", method="chat.postMessage", error=error, count=2, retry_after=1)
    await outbox.put(post(root, Speech("first"), "1"), post(root, Speech("second"), "2"))
    async with sending(lab, outbox, artifacts):
        await until(lambda: shown(outbox, "1", "2"))
    assert [one["text"] for one in await lab.replies(root)] == ["first", "second"]


async def test_retry_after_is_honoured(lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts) -> None:
    root = await lab.post("mission")
    await lab.fault("fail", method="chat.postMessage", error="ratelimited", count=1, retry_after=2)
    await outbox.put(post(root, Speech("later"), "1"))
    async with sending(lab, outbox, artifacts):
        await until(lambda: shown(outbox, "1"))
    first, second = await lab.calls("chat.postMessage")
    assert second["at"] - first["at"] >= 1.9


@pytest.mark.slow
async def test_slacks_own_limits_are_met_without_a_single_429(outbox: MemoryOutbox, artifacts: MemoryArtifacts) -> None:
    async with running_lab(rate_scale=1) as lab:
        root = await lab.post("mission")
        await outbox.put(*(post(root, Speech(f"{number}"), f"k{number}") for number in range(6)))
        async with sending(lab, outbox, artifacts, rates=RATES):
            await until(lambda: shown(outbox, "k5"), 12)
        assert [one["text"] for one in await lab.replies(root)] == [str(number) for number in range(6)]
        assert (await lab.see("report"))["rate_limited"] == 0


async def test_one_channel_does_not_block_another(lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts) -> None:
    one = await lab.post("mission")
    two = await lab.post("mission", channel=OTHER)
    slow = {**FAST, "chat.postMessage": Rate(0.2, 1)}
    await outbox.put(*(post(one, Speech(f"{number}"), f"k{number}") for number in range(400)))
    await outbox.put(post(two, Speech("elsewhere"), "other", channel=OTHER))
    async with sending(lab, outbox, artifacts, rates=slow):
        await until(lambda: shown(outbox, "other"), 3)
    assert [reply["text"] for reply in await lab.replies(two, OTHER)] == ["elsewhere"]


@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update"])
async def test_refused_blocks_become_plain_text(
    lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts, method: str
) -> None:
    root = await lab.post("mission")
    async with sending(lab, outbox, artifacts):
        if method == "chat.update":
            await outbox.put(post(root, Progress(("old",)), "k"))
            await until(lambda: shown(outbox, "k"))
        await lab.fault("fail", method=method, error="invalid_blocks")
        await outbox.put(post(root, Progress(("new <!channel>",)), "k"))
        await until(lambda: shown(outbox, "k"))
    (reply,) = await lab.replies(root)
    assert reply["text"] == "new &lt;!channel&gt;"
    assert not reply.get("blocks")


@pytest.mark.parametrize("error", ["http_413", "msg_too_long"])
async def test_what_slack_finds_too_long_is_cut_and_whole_in_a_file(
    lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts, error: str
) -> None:
    root = await lab.post("mission")
    await lab.fault("fail", method="chat.postMessage", error=error)
    await outbox.put(post(root, Speech("word word word\n" * 400), "k"))
    async with sending(lab, outbox, artifacts):
        await until(lambda: shown(outbox, "k"))
    text, file = await lab.replies(root)
    assert text["text"].endswith("… (cut)")
    async with lab.http.get(f"{lab.url}/lab/files/{file['files'][0]['id']}") as answer:
        assert await answer.text() == ("word word word\n" * 400).strip()


async def test_long_speech_continues_in_further_posts_with_keys(
    lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts
) -> None:
    root = await lab.post("mission")
    lines = [f"line {number} {'x' * 90}" for number in range(200)]
    await outbox.put(post(root, Speech("\n".join(lines)), "long"), post(root, Speech("after"), "after"))
    async with sending(lab, outbox, artifacts):
        await until(lambda: shown(outbox, "long", "after"))
    *long, after = await lab.replies(root)
    assert after["text"] == "after"
    assert [one["metadata"]["event_payload"]["key"] for one in long] == ["long", "long#2", "long#3"]
    texts = [element["text"] for one in long for block in one["blocks"] for element in block["elements"][0]["elements"]]
    assert "\n".join(texts).split("\n") == lines


async def test_two_megabytes_become_a_beginning_and_a_file(
    lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts
) -> None:
    root = await lab.post("mission")
    text = "0123456789 abcde\n" * 125_000
    await outbox.put(post(root, Speech(text), "huge", identity="builder"))
    async with sending(lab, outbox, artifacts):
        await until(lambda: shown(outbox, "huge"))
    head, file = await lab.replies(root)
    assert "The whole text (2.1 MB) is in the file." in head["text"]
    assert file["files"][0]["size"] == len(text)


async def test_a_file_is_shared_once_over_a_crash(lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts) -> None:
    root = await lab.post("mission")
    for number in (1, 2):  # the same name twice in a thread is two files
        artifact = await artifacts.put(f"plan {number}".encode(), name="plan.txt")
        await outbox.put(post(root, File(artifact, "plan.txt", "Plan"), f"f{number}"))
        outbox.fail_sent = 1_000
        async with sending(lab, outbox, artifacts, worker=f"killed{number}"):
            await until(lambda: outbox.fail_sent < 1_000)
        outbox.fail_sent = 0
        async with sending(lab, outbox, artifacts, worker=f"next{number}"):
            await until(lambda n=number: shown(outbox, f"f{n}"))
    replies = await lab.replies(root)
    assert [one["files"][0]["name"] for one in replies] == ["plan.txt", "plan.txt"]


async def test_a_file_that_cannot_be_uploaded_shows_its_beginning(
    lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts
) -> None:
    root = await lab.post("mission")
    artifact = await artifacts.put(b"the plan itself", name="plan.txt")
    await lab.fault("fail", method="files.getUploadURLExternal", error="unknown_method")
    await outbox.put(post(root, File(artifact, "plan.txt", "Plan"), "f"))
    await outbox.put(post(root, File(ArtifactId("none"), "x", "x"), "gone"))
    async with sending(lab, outbox, artifacts):
        await until(lambda: shown(outbox, "f") and bool(outbox.rows["gone"].gone))
    (reply,) = await lab.replies(root)
    assert "the plan itself" in reply["text"]
    assert outbox.rows["gone"].gone == "artifact none is gone"


async def test_a_private_answer_is_seen_by_one_person_and_at_most_once(
    lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts
) -> None:
    root = await lab.post("mission")
    rows = (("mission", "state"), ("7", "done"), ("12", "waiting for a7f3"))
    await outbox.put(post(root, Private(UserId(ANA), "Two missions.", rows, "Missions"), "private"))
    outbox.fail_sent = 1_000
    async with sending(lab, outbox, artifacts, worker="killed"):
        await until(lambda: outbox.fail_sent < 1_000)
    outbox.fail_sent = 0
    async with sending(lab, outbox, artifacts, worker="next"):
        await until(lambda: bool(outbox.rows["private"].gone))
    (seen,) = (await lab.see("ephemerals", **{"as": ANA}))["messages"]
    assert seen["thread_ts"] == root
    assert "mission  state\n7        done\n12       waiting for a7f3" in seen["text"]
    assert (await lab.see("ephemerals", **{"as": BO}))["messages"] == []
    assert await lab.replies(root) == []


async def test_a_private_answer_where_the_person_is_not_in_the_channel_goes_direct(
    lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts
) -> None:
    await lab.fault("fail", method="chat.postEphemeral", error="user_not_in_channel")
    await outbox.put(post("", Private(UserId(MALLORY), "You may only press STOP."), "p"))
    async with sending(lab, outbox, artifacts):
        await until(lambda: shown(outbox, "p"))
    (call,) = await lab.calls("chat.postMessage")
    assert call["args"]["channel"] == MALLORY


async def test_forms_open_and_a_late_one_says_press_again(
    lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts
) -> None:
    root = await lab.post("mission")
    async with sending(lab, outbox, artifacts):
        await outbox.put(post(root, CARD, "card"))
        await until(lambda: shown(outbox, "card"))
        (reply,) = await lab.replies(root)
        asked = lab.do("click", **{"as": BO, "channel": CHANNEL, "ts": reply["ts"], "action_id": "deny"})
        await asyncio.gather(asked, _open_with_the_trigger(lab, outbox, root))
        await until(lambda: shown(outbox, "modal"))
        (view,) = (await lab.see("views", **{"as": BO}))["views"]
        assert view["callback_id"] == "deny"
        late = Modal("1.2.gone", "deny", CARD.request, "Deny", "Why?", to=UserId(BO))
        await outbox.put(post(root, late, "late"))
        await until(lambda: "late/late" in outbox.rows and shown(outbox, "late/late"))
    (told,) = (await lab.see("ephemerals", **{"as": BO}))["messages"]
    assert "Press the button again" in told["text"]


async def _open_with_the_trigger(lab: Lab, outbox: MemoryOutbox, root: str) -> None:
    """As the engine does with the trigger of a click; here it is read from a socket of the test's own."""
    data = {"token": lab.tokens["watchbill"][1]}
    async with lab.http.post(f"{lab.url}/api/apps.connections.open", data=data) as answer:
        url = (await answer.json())["url"]
    async with lab.http.ws_connect(url) as socket:
        async for message in socket:
            envelope = message.json()
            if envelope["type"] == "interactive":
                await socket.send_json({"envelope_id": envelope["envelope_id"]})
                trigger = envelope["payload"]["trigger_id"]
                modal = Modal(trigger, "deny", CARD.request, "Deny request a7f3", "Why?", "Reason", "Deny")
                await outbox.put(post(root, modal, "modal"))
                return


async def test_a_persona_that_is_not_in_the_channel_speaks_through_watchbill(
    lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts
) -> None:
    root = await lab.post("mission")
    await lab.fault("fail", method="chat.postMessage", app="qa", error="not_in_channel", count=5)
    await outbox.put(post(root, Speech("6 of 6 shown."), "k", identity="qa"))
    async with sending(lab, outbox, artifacts):
        await until(lambda: shown(outbox, "k"))
    (reply,) = await lab.replies(root)
    assert reply["user"] == lab.facts["apps"]["watchbill"]["user_id"]
    assert reply["text"] == "QA: 6 of 6 shown."


async def test_a_deleted_card_is_posted_again(lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts) -> None:
    root = await lab.post("mission")
    async with sending(lab, outbox, artifacts):
        await outbox.put(post(root, CARD, "card"))
        await until(lambda: shown(outbox, "card"))
        await lab.fault("fail", method="chat.update", error="message_not_found")
        await outbox.put(post(root, replace(CARD, votes=1), "card"))
        await until(lambda: shown(outbox, "card"))
    assert len(await lab.replies(root)) == 2
    assert outbox.rows["card"].sent is not None
    assert outbox.rows["card"].sent.ts == (await lab.replies(root))[-1]["ts"]


async def test_what_can_never_work_is_dropped_with_its_reason(
    lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts
) -> None:
    await outbox.put(post("1.000001", Speech("to nobody"), "k", channel="C0NOWHERE1"))
    async with sending(lab, outbox, artifacts):
        await until(lambda: bool(outbox.rows["k"].gone))
    assert "channel_not_found" in outbox.rows["k"].gone


async def test_only_one_sender_sends(lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts) -> None:
    root = await lab.post("mission")
    async with sending(lab, outbox, artifacts, worker="one") as one:
        await until(lambda: one.health.sending)
        async with sending(lab, outbox, artifacts, worker="two") as two:
            await outbox.put(*(post(root, Speech(f"{number}"), f"k{number}") for number in range(10)))
            await until(lambda: shown(outbox, *(f"k{number}" for number in range(10))))
            assert (one.health.delivered, two.health.delivered) == (10, 0)
    assert len(await lab.replies(root)) == 10


async def test_a_question_offers_at_most_three_options(
    lab: Lab, outbox: MemoryOutbox, artifacts: MemoryArtifacts
) -> None:
    root = await lab.post("mission")
    deadline = datetime(2026, 11, 23, 10, 13, tzinfo=UTC)
    question = QuestionCard(QuestionId("q1"), "Architect", UserId(ANA), "A third?", ("a", "b", "c", "d"), 1, deadline)
    await outbox.put(post(root, question, "q"))
    async with sending(lab, outbox, artifacts):
        await until(lambda: shown(outbox, "q"))
    (reply,) = await lab.replies(root)
    buttons = reply["blocks"][-1]["elements"]
    assert [one["action_id"] for one in buttons] == ["answer:0", "answer:1", "answer:2", "answer_text"]
    assert buttons[1]["text"]["text"] == "b (default)"
    assert (await lab.see("report"))["invalid_blocks"] == 0
