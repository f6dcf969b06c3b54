"""A drill as a person watches it on the lab's page: a channel of its own, and a thread that can be read."""

import asyncio
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.async_api import async_playwright, expect

from tests.e2e.lab_page import CHROMIUM, FLAGS, MARKS

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_MS = 45_000
PLAYED_S = 240

pytestmark = [*MARKS, pytest.mark.e2e, pytest.mark.timeout(400)]


@contextmanager
def watched(log: Path, *names: str) -> Generator[str]:
    """`bot drill --watch` after the drills were played; the page's address."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "bot", "drill", *names, "--watch", "--port", "0"],
            cwd=ROOT,
            stdout=stream,
            stderr=stream,
        )
    try:
        end = time.monotonic() + PLAYED_S
        while not (found := re.search(r"(http://\S+) stays open", log.read_text(errors="replace"))):
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < end, log.read_text(errors="replace")
            time.sleep(0.5)
        yield found[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text(errors="replace")
    finally:
        process.kill()
        process.wait()


async def test_a_drills_thread_can_be_read(tmp_path: Path) -> None:
    with watched(tmp_path / "drill.log", "stubborn_everything") as url:
        async with async_playwright() as playwright:
            chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = await chromium.new_page(viewport={"width": 1280, "height": 1000})
            page.set_default_timeout(PATIENCE_MS)
            await page.goto(url)
            await page.get_by_text("drill-stubborn-everything").first.click()
            await page.get_by_test_id("open-thread").first.click()
            thread = page.get_by_test_id("thread")
            await expect(thread).to_contain_text("The mission is parked: say how to go on")
            await asyncio.sleep(1.0)  # the smooth scroll
            await page.screenshot(path=tmp_path / "drill.png")
            text = await thread.inner_text()
            posts = [await one.inner_text() for one in await thread.locator("article").all()]
            await chromium.close()
    assert "{" not in text, "no raw JSON"
    assert "I have deployed" not in text, "claims that nothing stands behind"
    assert len(posts) <= 20
    assert max(map(len, posts)) < 900, "no wall of text"
