"""What the lab counts about the program, its live stream, its guard, and its life as a process."""

import asyncio
import base64
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from deploy.lab.slack.workspace import Options
from tests.contract.lab_slack import ANA, CARD, CHANNEL, Json, Lab, open_lab

ROOT = Path(__file__).parents[2]
SECRET = "xoxb-canary/42+value"


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with open_lab(Options(rate_scale=0)) as opened:
        yield opened


@pytest.mark.parametrize(
    "text", ["<think>plan</think>", "&lt;think&gt;", "::think: x", "Thinking step 3/20", "my plan is"]
)
async def test_posted_thoughts_are_counted(lab: Lab, text: str) -> None:
    await lab.act("canaries", thoughts=["my plan is"])
    await lab.client().chat_postMessage(channel=CHANNEL, text="speech")
    assert (await lab.read("report"))["thoughts_posted"] == 0
    await lab.client().chat_postMessage(channel=CHANNEL, text="t", blocks=[{"type": "markdown", "text": text}])
    assert (await lab.read("report"))["thoughts_posted"] == 1


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        "xoxb-canary%2F42%2Bvalue",
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"x" + SECRET.encode() + b"yz").decode(),
        base64.b64encode(b"xy" + SECRET.encode() + b"z").decode(),
        SECRET.encode().hex(),
    ],
)
async def test_planted_secrets_are_seen_in_every_form(lab: Lab, form: str) -> None:
    await lab.act("canaries", secrets=[SECRET])
    await lab.client().files_upload_v2(content="nothing here", filename="a.txt", channel=CHANNEL)
    assert (await lab.read("report"))["secrets_seen"] == 0
    await lab.client().files_upload_v2(content=f"token {form}", filename="b.txt", channel=CHANNEL)
    await lab.client().chat_postMessage(
        channel=CHANNEL, text="t", metadata={"event_type": "e", "event_payload": {"x": form}}
    )
    assert (await lab.read("report"))["secrets_seen"] == 2


async def test_posts_updates_duplicates_and_broadcasts_are_counted(lab: Lab) -> None:
    client = lab.client()

    def outbox(number: int) -> Json:
        return {"event_type": "outbox", "event_payload": {"id": number}}

    first = await client.chat_postMessage(channel=CHANNEL, text="same", metadata=outbox(1))
    await client.chat_postMessage(channel=CHANNEL, text="same", metadata=outbox(2))
    assert (await lab.read("report"))["duplicates"] == 0
    await client.chat_postMessage(channel=CHANNEL, text="rendered anew", metadata=outbox(1))
    await client.chat_postMessage(channel=CHANNEL, text="bare <!channel>")
    await client.chat_postMessage(channel=CHANNEL, text="bare <!channel>")
    await client.chat_update(channel=CHANNEL, ts=first["ts"], text="changed")
    report = await lab.read("report")
    assert (report["posts"], report["updates"], report["duplicates"], report["broadcasts"]) == (5, 1, 2, 2)
    assert report["overlapping_turns"] is None


async def test_the_record_has_every_call_in_order_without_tokens(lab: Lab) -> None:
    await lab.client("qa").chat_postMessage(channel=CHANNEL, text="one")
    calls = (await lab.read("record"))["calls"]
    assert [(call["method"], call["app"], call["ok"]) for call in calls] == [("chat.postMessage", "qa", True)]
    assert calls[0]["args"]["text"] == "one"
    tokens = [app.bot_token for app in lab.apps.values()] + [app.app_token for app in lab.apps.values()]
    assert not any(token in json.dumps(calls) for token in tokens)


async def test_tabs_hear_of_everything_live(lab: Lab) -> None:
    async with lab.session.ws_connect(f"{lab.url}/lab/stream") as tab:
        ts = await lab.say("hello @Architect")
        posted = await tab.receive_json(timeout=5)
        assert (posted["type"], posted["channel"], posted["message"]["ts"]) == ("message", CHANNEL, ts)
        await lab.client().chat_postMessage(channel=CHANNEL, text="reply", thread_ts=ts)
        kinds = [(await tab.receive_json(timeout=5))["type"] for _event in range(2)]
        assert sorted(kinds) == ["message", "message_changed"]
        await lab.client().chat_postEphemeral(channel=CHANNEL, user=ANA, text="only you")
        whispered = await tab.receive_json(timeout=5)
        assert (whispered["type"], whispered["user"]) == ("ephemeral", ANA)
        status: Json = {"channel_id": CHANNEL, "thread_ts": ts, "status": "plans"}
        await lab.client("builder").api_call("assistant.threads.setStatus", json=status)
        typing = await tab.receive_json(timeout=5)
        assert (typing["type"], typing["user"], typing["status"]) == ("typing", lab.apps["builder"].user_id, "plans")


async def test_the_state_is_all_a_page_needs_to_begin(lab: Lab) -> None:
    await lab.tell("suggestions", [{"title": "Three VMs", "text": "@Architect three VMs"}])
    await lab.client().chat_postMessage(channel=CHANNEL, text="card", blocks=CARD)
    state = await lab.read("state")
    assert [one["name"] for one in state["me_choices"]] == ["ana", "bo", "chris", "mallory"]
    assert [one["key"] for one in state["bots"]] == ["watchbill", "architect", "builder", "sentinel", "qa"]
    assert [one["name"] for one in state["channels"]] == ["platform", "random"]
    assert "/cluster-status" in [one["command"] for one in state["commands"]]
    assert state["suggestions"] == [{"title": "Three VMs", "text": "@Architect three VMs"}]
    assert state["messages"][0]["blocks"] == CARD


async def test_other_web_pages_cannot_reach_the_control_api(lab: Lab) -> None:
    body = {"as": ANA, "channel": CHANNEL, "text": "forged"}
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        async with lab.session.post(f"{lab.url}/lab/post", json=body, headers=headers) as response:
            assert response.status == 403
    assert (await lab.read("state"))["messages"] == []


async def test_bad_control_requests_are_told_apart(lab: Lab) -> None:
    assert (await lab.act("post", "U0NOPE", channel=CHANNEL, text="x"))["error"] == "user_not_found"
    assert (await lab.act("post", ANA, channel="C0NOPE", text="x"))["error"] == "channel_not_found"
    assert (await lab.act("click", ANA, channel=CHANNEL, ts="1.2"))["error"] == "message_not_found"
    assert (await lab.act("burst", ANA, channel=CHANNEL))["error"] == "bad_request"
    assert (await lab.act("nothing"))["error"] == "unknown_control"
    assert (await lab.act("fault", kind="fire"))["error"] == "unknown_fault"


@pytest.mark.slow
async def test_the_process_says_when_it_is_ready_and_ends_at_once(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    words = ["-m", "deploy.lab.slack", "--port", "0", "--data", str(tmp_path), "--ready-file", str(ready)]
    process = await asyncio.create_subprocess_exec(sys.executable, *words, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
    facts: Json = json.loads(ready.read_text())
    assert line == f"lab slack: {facts['url']}\n"
    assert (facts["pid"], set(facts["apps"])) == (process.pid, {"watchbill", "architect", "builder", "sentinel", "qa"})
    assert ready.stat().st_mode & 0o077 == 0
    async with aiohttp.ClientSession() as session, session.get(f"{facts['url']}/lab/report") as response:
        assert (await response.json())["posts"] == 0
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 5) == 0


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux only")
async def test_the_process_does_not_outlive_its_parent(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    script = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-m', 'deploy.lab.slack', '--ready-file', {str(ready)!r}])\n"
        "time.sleep(60)\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(20):
        while not ready.exists():
            await asyncio.sleep(0.05)
    child = int(json.loads(ready.read_text())["pid"])
    assert _alive(child)
    parent.kill()
    await parent.wait()
    until = time.monotonic() + 5
    while _alive(child) and time.monotonic() < until:
        await asyncio.sleep(0.05)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
