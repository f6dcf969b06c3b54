"""Modals in the lab's Slack: open, submit, refuse, stack, close; trigger ids that end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from deploy.lab.slack.interactions import new_trigger
from deploy.lab.slack.workspace import Options
from tests.contract.lab_slack import ANA, BO, CHANNEL, Json, Lab, error_of, open_lab

WORDS: Json = {"type": "plain_text", "text": "Why"}
REASON: Json = {"type": "input", "block_id": "why", "label": WORDS}
REASON["element"] = {"type": "plain_text_input", "action_id": "reason", "max_length": 20}
MODAL: Json = {
    "type": "modal",
    "callback_id": "deny",
    "private_metadata": "a7f3",
    "title": {"type": "plain_text", "text": "Deny"},
    "submit": {"type": "plain_text", "text": "Deny"},
    "notify_on_close": True,
    "blocks": [REASON],
}
ENTERED = {"why": {"reason": {"type": "plain_text_input", "value": "too risky"}}}


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with open_lab(Options(ack_seconds=30, trigger_seconds=60)) as opened:
        yield opened


class Denial:
    """An app whose button opens a modal, and what people did with that modal."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.opened: list[Json] = []
        self.triggers: list[str] = []
        self.submitted: list[Json] = []
        self.closed: list[Json] = []
        self.answer: Json = {}

    def listen(self, app: Any) -> None:
        async def approve(ack: Callable[[], Awaitable[None]], body: Json) -> None:
            await ack()
            self.triggers.append(body["trigger_id"])
            self.opened.append((await self.lab.client().views_open(trigger_id=body["trigger_id"], view=MODAL))["view"])

        async def submit(ack: Callable[..., Awaitable[None]], view: Json) -> None:
            self.submitted.append(view)
            await ack(**self.answer)

        async def close(ack: Callable[[], Awaitable[None]], body: Json) -> None:
            await ack()
            self.closed.append(body)

        app.action("approve")(approve)
        app.view("deny")(submit)
        app.view_closed("deny")(close)

    async def show(self) -> str:
        """Click the button as Bo and return the id of the modal."""
        ts = await self.lab.card()
        assert (await self.lab.act("click", BO, channel=CHANNEL, ts=ts, action_id="approve"))["acked"]
        return str(self.opened[-1]["id"])

    async def submit(self, view_id: str, values: Json) -> Json:
        return await self.lab.act("view_submit", BO, view_id=view_id, values=values)

    async def on_screen(self) -> list[str]:
        views: list[Json] = (await self.lab.read("views", **{"as": BO}))["views"]
        return [view["id"] for view in views]


@asynccontextmanager
async def denial(lab: Lab) -> AsyncGenerator[Denial]:
    shown = Denial(lab)
    async with lab.bolt("watchbill", shown.listen):
        yield shown


async def test_a_submitted_modal_brings_its_values_and_metadata_and_closes(lab: Lab) -> None:
    async with denial(lab) as modal:
        view_id = await modal.show()
        assert await modal.on_screen() == [view_id]
        assert await modal.submit(view_id, ENTERED) == {"ok": True}
        assert await modal.on_screen() == []
    view = modal.submitted[0]
    assert view["private_metadata"] == "a7f3"
    assert view["state"]["values"]["why"]["reason"] == {"type": "plain_text_input", "value": "too risky"}


async def test_the_client_refuses_empty_and_long_fields_and_the_app_may_refuse_the_rest(lab: Lab) -> None:
    async with denial(lab) as modal:
        view_id = await modal.show()
        assert (await modal.submit(view_id, {}))["errors"] == {"why": "Please complete this required field."}
        too_long = {"why": {"reason": {"value": "x" * 21}}}
        assert "no more than 20" in (await modal.submit(view_id, too_long))["errors"]["why"]
        assert modal.submitted == []
        modal.answer = {"response_action": "errors", "errors": {"why": "Name the risk."}}
        assert (await modal.submit(view_id, ENTERED))["errors"] == {"why": "Name the risk."}
        assert await modal.on_screen() == [view_id]


async def test_an_ack_can_change_the_modal_stack_another_or_clear_all(lab: Lab) -> None:
    async with denial(lab) as modal:
        view_id = await modal.show()
        modal.answer = {"response_action": "update", "view": {**MODAL, "private_metadata": "second"}}
        assert await modal.submit(view_id, ENTERED) == {"ok": True}
        assert (await lab.read("views", **{"as": BO}))["views"][0]["private_metadata"] == "second"
        modal.answer = {"response_action": "push", "view": MODAL}
        await modal.submit(view_id, ENTERED)
        stack = await modal.on_screen()
        assert (stack[0], len(stack)) == (view_id, 2)
        modal.answer = {"response_action": "clear"}
        await modal.submit(stack[1], ENTERED)
        assert await modal.on_screen() == []


async def test_closing_is_told_to_the_app(lab: Lab) -> None:
    async with denial(lab) as modal:
        view_id = await modal.show()
        assert await lab.act("view_close", BO, view_id=view_id) == {"ok": True, "acked": True}
        assert await modal.on_screen() == []
    assert (modal.closed[0]["view"]["id"], modal.closed[0]["is_cleared"]) == (view_id, False)


async def test_a_trigger_opens_one_modal(lab: Lab) -> None:
    async with denial(lab) as modal:
        await modal.show()
        client = lab.client()

        async def error(trigger: str, **more: Any) -> str:
            call = client.views_open(trigger_id=trigger, view=more.get("view", MODAL))
            return str((await error_of(call))["error"])

        assert await error(modal.triggers[0]) == "exchanged_trigger_id"
        assert await error("1.2.x") == "invalid_trigger_id"
        fresh = new_trigger(lab.workspace, lab.apps["watchbill"], BO)
        assert (
            await error(fresh, view={**MODAL, "title": {"type": "plain_text", "text": "t" * 25}}) == "invalid_arguments"
        )


async def test_a_trigger_is_good_for_a_short_time() -> None:
    async with open_lab(Options(trigger_seconds=0.2)) as lab:
        trigger = new_trigger(lab.workspace, lab.apps["watchbill"], BO)
        await asyncio.sleep(0.3)
        late = await error_of(lab.client().views_open(trigger_id=trigger, view=MODAL))
    assert late["error"] == "expired_trigger_id"


async def test_updates_need_the_current_hash_and_an_existing_view(lab: Lab) -> None:
    async with denial(lab) as modal:
        view_id = await modal.show()
        client = lab.client()
        stale = await error_of(client.views_update(view_id=view_id, hash="old", view=MODAL))
        assert stale["error"] == "hash_conflict"
        changed = await client.views_update(view_id=view_id, hash=modal.opened[0]["hash"], view=MODAL)
        assert changed["view"]["id"] == view_id
        assert changed["view"]["hash"] != modal.opened[0]["hash"]
        assert (await error_of(client.views_update(view_id="V0NONE", view=MODAL)))["error"] == "not_found"


async def test_the_home_tab_shows_what_was_published_and_its_buttons_work(lab: Lab) -> None:
    clicks: list[Json] = []

    async def press(ack: Callable[[], Awaitable[None]], body: Json) -> None:
        await ack()
        clicks.append(body)

    button = {"type": "button", "action_id": "mine", "text": {"type": "plain_text", "text": "My missions"}}
    view: Json = {"type": "home", "blocks": [{"type": "actions", "elements": [button]}]}
    published = await lab.client().views_publish(user_id=ANA, view=view)
    home = (await lab.read("home", **{"as": ANA}))["view"]
    assert home["id"] == published["view"]["id"]
    async with lab.bolt("watchbill", lambda app: app.action("mine")(press)):
        assert (await lab.act("click", ANA, view_id=home["id"], action_id="mine"))["acked"]
        others = await lab.act("click", BO, view_id=home["id"], action_id="mine")
    assert clicks[0]["container"] == {"type": "view", "view_id": home["id"]}
    assert others["error"] == "view_not_found"
