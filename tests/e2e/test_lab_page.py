"""The lab's page in Debian's Chromium against the real lab server: what a newcomer does and sees."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, async_playwright, expect
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from deploy.lab.slack.server import LabServer
from deploy.lab.slack.workspace import Options

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHANNEL = "C0LAB00001"
ANA, BO = "U0ANA00001", "U0BO000001"
Json = dict[str, Any]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]


def button(text: str, action_id: str, **more: Any) -> Json:
    return {
        "type": "button",
        "text": {"type": "plain_text", "text": text},
        "action_id": action_id,
        "value": "r1",
    } | more


def section(text: str) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


CARD: list[Json] = [
    {"type": "header", "text": {"type": "plain_text", "text": "Apply Terraform plan on pve1, pve2"}},
    section("```+ 3 create   ~ 0 change```"),
    {
        "type": "actions",
        "block_id": "votes",
        "elements": [button("Approve", "approve", style="primary"), button("Deny…", "deny", style="danger")],
    },
]
MODAL: Json = {
    "type": "modal",
    "callback_id": "deny_reason",
    "title": {"type": "plain_text", "text": "Deny request a7f3"},
    "submit": {"type": "plain_text", "text": "Deny"},
    "close": {"type": "plain_text", "text": "Cancel"},
    "blocks": [
        {
            "type": "input",
            "block_id": "why",
            "label": {"type": "plain_text", "text": "Reason"},
            "element": {"type": "plain_text_input", "action_id": "text", "multiline": True},
        }
    ],
}


class World:
    """The lab, its page in tabs, and apps that tests let listen."""

    def __init__(self, server: LabServer, context: BrowserContext) -> None:
        self.server, self.context = server, context
        self.problems: list[str] = []

    def client(self, key: str) -> Any:  # the SDK's methods are only partly typed
        return AsyncWebClient(self.server.workspace.world.apps[key].bot_token, base_url=f"{self.server.url}/api/")

    async def say(self, key: str, text: str, method: str = "chat.postMessage", **more: Any) -> str:
        """Post to the channel as an app; the message's ts comes back."""
        answer = await self.client(key).api_call(method, json={"channel": CHANNEL, "text": text, **more})
        return str(answer.get("ts") or answer.get("message_ts"))

    async def open_page(self) -> Page:
        page = await self.context.new_page()
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._keep)
        page.on("dialog", lambda dialog: self.problems.append(f"dialog {dialog.message}"))
        await page.goto(self.server.url)
        await expect(page.get_by_test_id("me-ana")).to_have_attribute("aria-checked", "true")
        return page

    def _keep(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.problems.append(message.text)

    @asynccontextmanager
    async def bolt(self, key: str, listen: Callable[[Any], object]) -> AsyncGenerator[AsyncApp]:
        app = AsyncApp(client=self.client(key), process_before_response=True)
        listen(app)
        handler = AsyncSocketModeHandler(app, self.server.workspace.world.apps[key].app_token, ping_interval=1)
        await handler.connect_async()
        try:
            yield app
        finally:
            await handler.close_async()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        await found.close()


@pytest.fixture
async def world(browser: Browser) -> AsyncIterator[World]:
    async with LabServer(Options(ack_seconds=1.0, rate_scale=0)) as server:
        context = await browser.new_context(viewport={"width": 1280, "height": 800})
        context.set_default_timeout(10_000)
        lab = World(server, context)
        yield lab
        await context.close()
        assert lab.problems == []


def message(page: Page, text: str) -> Locator:
    return page.locator("article.message", has_text=text)


async def ask_for_mission(page: Page, text: str = "build it") -> None:
    composer = page.get_by_test_id("composer")
    await composer.press_sequentially("@Arch")
    await page.get_by_test_id("completion-option").first.click()
    await composer.press_sequentially(text)
    await composer.press("Enter")


async def test_ana_completes_a_mention_and_the_thread_opens_by_itself(world: World) -> None:
    page = await world.open_page()
    heard: list[Json] = []

    async def answer(event: Json) -> None:
        heard.append(event)
        await world.say("architect", "Plan: *3* steps, `one` today.", thread_ts=event["ts"])

    async with world.bolt("architect", lambda app: app.event("app_mention")(answer)):
        await ask_for_mission(page, "three VMs & <fixed> addresses")
        thread = page.get_by_test_id("thread")
        reply = thread.locator("article.message", has_text="Plan: 3 steps")
        await expect(reply).to_be_visible()
    architect = world.server.workspace.world.apps["architect"].user_id
    assert heard[0]["user"] == ANA
    assert heard[0]["text"] == f"<@{architect}> three VMs &amp; &lt;fixed&gt; addresses"
    await expect(reply.locator("strong")).to_have_text("3")
    await expect(reply.locator(".tag")).to_have_text("APP")
    await expect(page.locator("#channel article.message")).to_contain_text("@Architect three VMs & <fixed> addresses")
    await expect(page.get_by_test_id("open-thread")).to_contain_text("1 reply")


async def test_a_card_is_approved_by_bo_and_loses_its_buttons(world: World) -> None:
    page = await world.open_page()
    clicks: list[Json] = []

    async def approve(ack: Callable[[], Awaitable[None]], body: Json) -> None:
        clicks.append(body)
        await asyncio.sleep(0.5)
        await ack()
        await world.say(
            "watchbill",
            "Approved",
            "chat.update",
            ts=body["container"]["message_ts"],
            blocks=[section("*Approved* by <@U0BO000001>")],
        )

    posted = await world.say("watchbill", "Approval needed", blocks=CARD)
    card = page.locator(f'article[data-ts="{posted}"]')
    async with world.bolt("watchbill", lambda app: app.action("approve")(approve)):
        await page.get_by_test_id("me-bo").click()
        press = card.locator('[data-action-id="approve"]')
        await press.click()
        await expect(press).to_have_attribute("aria-busy", "true")
        await expect(press).to_be_disabled()
        await expect(card).to_contain_text("Approved by @bo")
    assert [click["user"]["id"] for click in clicks] == [BO]
    assert await card.locator("button[data-action-id]").count() == 0


async def test_a_click_that_nobody_acknowledges_says_so_and_can_be_repeated(world: World) -> None:
    posted = await world.say("watchbill", "Approval needed", blocks=CARD)
    page = await world.open_page()
    card = page.locator(f'article[data-ts="{posted}"]')
    await card.locator('[data-action-id="approve"]').click()
    await expect(card.get_by_test_id("click-error")).to_contain_text("nobody received the click")
    await expect(card.locator('[data-action-id="approve"]')).to_be_enabled()


async def test_deny_opens_a_modal_whose_reason_arrives(world: World) -> None:
    page = await world.open_page()
    reasons: list[str] = []

    async def ask(ack: Callable[[], Awaitable[None]], body: Json, client: Any) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=MODAL)

    async def take(ack: Callable[..., Awaitable[None]], view: Json) -> None:
        reason = view["state"]["values"]["why"]["text"]["value"]
        if len(reason) < 5:
            await ack(response_action="errors", errors={"why": "A little longer, please."})
            return
        reasons.append(reason)
        await ack()

    def listen(app: Any) -> None:
        app.action("deny")(ask)
        app.view("deny_reason")(take)

    await world.say("watchbill", "Approval needed", blocks=CARD)
    async with world.bolt("watchbill", listen):
        await page.keyboard.press("2")
        await page.locator('[data-action-id="deny"]').click()
        modal = page.get_by_test_id("modal")
        await modal.get_by_test_id("modal-submit").click()
        await expect(modal.get_by_test_id("field-error")).to_have_text("Please fill this in.")
        await modal.locator("textarea").fill("no")
        await modal.get_by_test_id("modal-submit").click()
        await expect(modal.get_by_test_id("field-error")).to_have_text("A little longer, please.")
        await expect(modal.locator("textarea")).to_have_value("no")
        await modal.locator("textarea").fill("cp3 belongs on pve2")
        await modal.get_by_test_id("modal-submit").click()
        await expect(modal).to_have_count(0)
    assert reasons == ["cp3 belongs on pve2"]


HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<javascript:alert(1)|press me>",
    '<https://e.example/"onmouseover=alert(1)|x>',
    "*<b onclick=alert(1)>bold</b>*",
    "```</code><script>alert(1)</script>```",
    ':warning"><script>:',
)


async def test_hostile_text_is_inert_everywhere(world: World) -> None:
    page = await world.open_page()
    text = "\n".join(HOSTILE)
    blocks: list[Json] = [
        {"type": "header", "text": {"type": "plain_text", "text": HOSTILE[0]}},
        section(text),
        {"type": "context", "elements": [{"type": "mrkdwn", "text": text}]},
        {"type": "actions", "elements": [button(HOSTILE[1], "x")]},
        {"type": "markdown", "text": text + "\n[press](javascript:alert(1)) | a |\n|---|\n| <i>x</i> |"},
    ]
    await world.say("watchbill", text)
    await world.say("watchbill", "blocks", blocks=blocks)
    await page.get_by_test_id("composer").fill(text)
    await page.get_by_test_id("composer-send").click()
    await expect(page.locator("article.message")).to_have_count(3)
    rows = page.locator("#channel .rows")
    assert await rows.locator("img, script, iframe, i, b:not(.counter b)").count() == 0
    assert (
        await rows.evaluate(
            "rows => [...rows.querySelectorAll('*')].flatMap(n => n.getAttributeNames()).filter(a => a.startsWith('on'))"
        )
        == []
    )
    hrefs: list[str] = await rows.evaluate("rows => [...rows.querySelectorAll('a')].map(a => a.href)")
    assert all(href.startswith(("https://", "http://")) for href in hrefs), hrefs
    await expect(page.locator("article.message").last).to_contain_text("<script>alert(1)</script>")


async def test_an_ephemeral_message_is_only_for_its_person(world: World) -> None:
    await world.say("watchbill", "Someone else has to approve it.", "chat.postEphemeral", user=ANA)
    page = await world.open_page()
    note = message(page, "Someone else has to approve it.")
    await expect(note).to_contain_text("Only visible to you")
    await page.get_by_test_id("me-bo").click()
    await expect(note).to_have_count(0)
    await page.get_by_test_id("me-ana").click()
    await expect(note).to_have_count(1)


async def test_reading_above_is_not_disturbed_and_new_messages_are_counted(world: World) -> None:
    root = await world.say("builder", "a long thread")
    for number in range(40):
        await world.say("builder", f"line {number}", thread_ts=root)
    page = await world.open_page()
    await page.get_by_test_id("open-thread").click()
    thread = page.get_by_test_id("thread")
    await expect(thread.locator("article.message", has_text="line 39")).to_be_in_viewport()
    scroller = thread.locator(".scroller")
    await scroller.evaluate("node => { node.scrollTop = 100; }")
    await asyncio.sleep(0.2)
    for number in range(3):
        await world.say("builder", f"late {number}", thread_ts=root)
    await expect(thread.get_by_test_id("new-below")).to_have_text("3 new below")
    assert await scroller.evaluate("node => node.scrollTop") == 100
    await thread.get_by_test_id("new-below").click()
    await expect(thread.locator("article.message", has_text="late 2")).to_be_in_viewport()
    await expect(thread.get_by_test_id("new-below")).to_be_hidden()


async def test_up_edits_the_last_own_message_and_lines_stay_lines(world: World) -> None:
    page = await world.open_page()
    composer = page.get_by_test_id("composer")
    await composer.press_sequentially("first")
    await composer.press("Shift+Enter")
    await composer.press_sequentially("second & @bo")
    await page.get_by_test_id("composer-send").click()
    row = message(page, "first")
    await expect(row.locator("br")).to_have_count(1)
    await composer.press("ArrowUp")
    await expect(composer).to_have_value("first\nsecond & @bo")
    await composer.fill("changed for @bo")
    await composer.press("Enter")
    await expect(message(page, "changed for @bo")).to_contain_text("(edited)")
    await expect(page.locator("article.message")).to_have_count(1)


async def test_what_was_missed_while_the_server_was_out_of_reach_is_read_again(world: World) -> None:
    page = await world.open_page()
    await world.context.set_offline(offline=True)
    world.server.workspace.stream.close()
    await expect(page.get_by_test_id("connection")).to_be_visible()
    await world.say("builder", "said meanwhile")
    await world.context.set_offline(offline=False)
    await expect(message(page, "said meanwhile")).to_be_visible()
    await expect(page.get_by_test_id("connection")).to_be_hidden()


async def test_a_suggestion_fills_the_composer_and_a_command_answers_only_me(world: World) -> None:
    world.server.workspace.suggestions = [{"title": "Three VMs", "text": "@Architect three VMs, please"}]
    page = await world.open_page()
    composer = page.get_by_test_id("composer")
    await page.get_by_test_id("suggestion-0").click()
    await expect(composer).to_have_value("@Architect three VMs, please")

    async def crew(ack: Callable[..., Awaitable[None]], body: Json) -> None:
        await ack(f"Four agents, said `{body['text']}`")

    async with world.bolt("watchbill", lambda app: app.command("/crew")(crew)):
        await composer.fill("")
        await composer.press_sequentially("/cre")
        await expect(page.get_by_test_id("completion-option")).to_contain_text("/crew")
        await composer.press("Tab")
        await composer.press_sequentially("all")
        await composer.press("Enter")
        await expect(message(page, "Four agents, said all")).to_contain_text("Only visible to you")
    await composer.fill("/nonsense")
    await composer.press("Enter")
    await expect(page.get_by_test_id("composer-problem")).to_contain_text("/nonsense is not a command here")
    await expect(composer).to_have_value("/nonsense")
