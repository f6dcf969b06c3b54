"""The lab's page in Debian's Chromium against the real lab server: what a newcomer does and sees."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.e2e.lab_page import ANA, BO, CARD, MARKS, MODAL, Json, World, button, message, open_world, section

pytestmark = MARKS


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


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
    press = card.locator('[data-action-id="approve"]')
    await press.click()
    await expect(card.get_by_test_id("click-error")).to_contain_text("nobody received the click")
    await expect(press).to_be_enabled()
    clicks: list[str] = []

    async def approve(ack: Callable[[], Awaitable[None]], body: Json) -> None:
        await ack()
        clicks.append(body["container"]["message_ts"])

    async with world.bolt("watchbill", lambda app: app.action("approve")(approve)):
        await press.click()
        await expect(card.get_by_test_id("click-error")).to_have_count(0)
        await expect(press).to_be_enabled()
    assert clicks == [posted], "the second click arrives, the first one not after all"


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
    assert "Someone else has to approve it." not in await page.locator("body").inner_text()
    await page.get_by_test_id("me-ana").click()
    await expect(note).to_have_count(1)
