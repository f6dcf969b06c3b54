"""A newcomer's way through the demo's page, in a real browser (acceptance 2). Makes the README's picture."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, async_playwright, expect

from deploy.lab.__main__ import MISSION
from deploy.lab.stack import Lab, Options, running
from tests.e2e.lab_page import CHROMIUM, FLAGS, MARKS

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_MS = 45_000

pytestmark = [*MARKS, pytest.mark.e2e]


@asynccontextmanager
async def demo(tmp_path: Path) -> AsyncGenerator[Lab]:
    """The lab and the program, started as `make demo` does."""
    lines: list[str] = []
    with running(Options(keep=tmp_path / "lab"), lines.append) as lab:
        await asyncio.to_thread(lab.start_program)
        yield lab


@asynccontextmanager
async def browser(url: str) -> AsyncGenerator[Page]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await chromium.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(PATIENCE_MS)
        await page.goto(url)
        yield page
        await chromium.close()


def waiting_card(page: Page) -> Locator:
    """The card that can be approved now."""
    return page.get_by_test_id("thread").locator("article", has=page.locator('[data-action-id="approve"]'))


async def deny(page: Page, reason: str) -> None:
    await page.get_by_test_id("me-bo").click()
    await waiting_card(page).locator('[data-action-id="deny"]').click()
    await page.get_by_test_id("modal").locator("textarea, input").first.fill(reason)
    await page.get_by_test_id("modal-submit").click()


async def test_a_newcomer_denies_with_a_reason_then_approves(tmp_path: Path) -> None:
    async with demo(tmp_path) as lab, browser(lab.url) as page:
        await page.get_by_test_id("composer").fill(MISSION)
        await page.get_by_test_id("composer").press("Enter")
        thread = page.get_by_test_id("thread")
        await expect(thread).to_be_visible(timeout=PATIENCE_MS)
        await expect(waiting_card(page)).to_contain_text("3 create", timeout=PATIENCE_MS)
        await deny(page, "4 GiB is too much for these hosts, use 2 GiB")
        await expect(thread).to_contain_text("Denied", timeout=PATIENCE_MS)
        # The Builder changes course: another plan, another review, another card with the memory that was asked for.
        await expect(waiting_card(page)).to_contain_text("2 GiB", timeout=PATIENCE_MS)
        await waiting_card(page).scroll_into_view_if_needed()
        await asyncio.sleep(1.0)  # the smooth scroll
        await page.screenshot(path=tmp_path / "thread.png")  # the README's picture: copy it to docs/thread.png
        await page.get_by_test_id("me-ana").click()
        await waiting_card(page).locator('[data-action-id="approve"]').click()
        await expect(thread).to_contain_text(
            "You asked for this, so someone else has to approve it", timeout=PATIENCE_MS
        )
        await page.get_by_test_id("me-bo").click()
        await waiting_card(page).locator('[data-action-id="approve"]').click()
        await expect(thread).to_contain_text("Mission 1 is done", timeout=PATIENCE_MS)
        await expect(thread).to_contain_text("Approved")
        assert await asyncio.to_thread(machines, lab) == ["cp1", "cp2", "cp3"]
        report = await asyncio.to_thread(lab.call, "slack", "/lab/report")
        assert (report["thoughts_posted"], report["secrets_seen"]) == (0, 0)


def machines(lab: Lab) -> list[str]:
    """Names of the machines that are no templates, as the lab's Proxmox has them."""
    guests: dict[str, Any] = lab.call("proxmox", "/lab/state")["machines"]
    return sorted(str(guest["config"]["name"]) for guest in guests.values() if not guest["config"].get("template"))
