"""What the tests of the lab's page share: the server in this process, Chromium, and apps that listen."""

import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, async_playwright, expect
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

MARKS = [
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


@asynccontextmanager
async def open_world() -> AsyncGenerator[World]:
    """A lab and a browser; when it ends, no page may have complained."""
    async with async_playwright() as playwright, LabServer(Options(ack_seconds=1.0, rate_scale=0)) as server:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = await browser.new_context(viewport={"width": 1280, "height": 800})
        context.set_default_timeout(10_000)
        lab = World(server, context)
        yield lab
        await context.close()
        await browser.close()
        assert lab.problems == []


def message(page: Page, text: str) -> Locator:
    return page.locator("article.message", has_text=text)
