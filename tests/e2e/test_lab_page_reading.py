"""The lab's page as a client: reading, editing, coming back, files, the drawer, a phone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from playwright.async_api import Page, expect

from tests.e2e.lab_page import ANA, BO, CARD, CHANNEL, MARKS, Json, World, message, open_world, section

pytestmark = MARKS


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


async def kept(world: World) -> list[str]:
    """The texts of the channel, oldest first, as the API gives them."""
    history = await world.client("watchbill").conversations_history(channel=CHANNEL)
    return [one["text"] for one in reversed(history["messages"])]


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
    assert await kept(world) == [f"changed for <@{BO}>"]


async def test_what_was_missed_while_the_server_was_out_of_reach_is_read_again(world: World) -> None:
    page = await world.open_page()
    await world.context.set_offline(offline=True)
    world.server.workspace.stream.close()
    await expect(page.get_by_test_id("connection")).to_be_visible()
    await world.say("builder", "said meanwhile")
    await world.context.set_offline(offline=False)
    await expect(message(page, "said meanwhile")).to_be_visible()
    await expect(page.get_by_test_id("connection")).to_be_hidden()
    await world.say("builder", "said after")
    await expect(message(page, "said after")).to_be_visible()
    shown = await page.locator("article.message .text").all_inner_texts()
    assert shown == ["said meanwhile", "said after"], "each once and in order"


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
    assert await kept(world) == [], "neither the command nor its answer is in the channel"


async def test_files_and_the_home_tab_can_be_looked_at(world: World) -> None:
    watchbill = world.client("watchbill")
    await watchbill.files_upload_v2(channel=CHANNEL, filename="plan.txt", content="+ cp1 <b>on pve1</b>")
    home: Json = {"type": "home", "blocks": [section("*Mission 7* runs")]}
    await watchbill.views_publish(user_id=ANA, view=home)
    page = await world.open_page()
    await page.locator("button[data-file]").click()
    await expect(page.get_by_test_id("file-preview").locator("pre")).to_have_text("+ cp1 <b>on pve1</b>")
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("file-preview")).to_have_count(0)
    await page.locator('[data-app="watchbill"]').click()
    await expect(page.get_by_test_id("home")).to_contain_text("Mission 7 runs")
    await page.get_by_test_id("me-bo").click()
    await expect(page.get_by_test_id("home")).to_contain_text("Nothing is published here yet")
    assert "Mission 7" not in await page.get_by_test_id("home").inner_text(), "a home tab is its person's alone"


async def test_the_drawer_shows_what_the_lab_counted_and_plants_faults(world: World) -> None:
    await world.say("builder", "<think>they must not see this</think>")
    page = await world.open_page()
    await page.get_by_test_id("lab-toggle").click()
    counter = page.locator('[data-counter="thoughts_posted"]')
    await expect(counter.locator("b")).to_have_text("1")
    await page.locator('[data-fault="duplicate"]').click()
    await expect(page.get_by_test_id("toast")).to_contain_text("done")
    assert world.server.workspace.faults.take("duplicate", "watchbill") is not None


async def opens_by_itself(page: Page) -> bool:
    """A thread opens at an app's first reply; on a phone it then covers the line that would open it."""
    try:
        await expect(page.get_by_test_id("thread")).to_be_visible(timeout=3000)
    except AssertionError:
        return False
    return True


async def test_the_page_fits_a_phone(world: World) -> None:
    page = await world.open_page()
    await page.set_viewport_size({"width": 390, "height": 844})
    root = await world.say("builder", "on the phone " + "and a long line " * 20)
    await world.say("watchbill", "Approval needed", blocks=CARD, thread_ts=root)
    if not await opens_by_itself(page):
        await page.get_by_test_id("open-thread").click()
    approve = page.get_by_test_id("thread").locator('[data-action-id="approve"]')
    await expect(approve).to_be_in_viewport()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await page.get_by_role("button", name="Back to the channel").click()
    await page.locator("#channel").get_by_test_id("menu").click()
    await page.get_by_test_id("me-bo").click()
    await expect(page.get_by_test_id("me-bo")).to_have_attribute("aria-checked", "true")
