"""The App Home: what opens it, what may be pressed in it, what it shows."""

from dataclasses import replace
from typing import Any

import pytest

from bot.domain.ids import RequestId, UserId
from bot.domain.inbound import HomeOpened, ModalAsked, Reply, VoteCast
from bot.domain.posts import Home
from bot.slack.parse import Dropped, Urgent, parse
from bot.slack.render import render_home
from deploy.lab.slack.blocks import find_view_problems
from tests.unit.test_slack_parsing_clicks import BO, KNOWN, REQUEST, TEAM, click
from tests.unit.test_slack_rendering import CARD

PRESSED = Reply(TEAM, "", "", BO, "trigger", "A0WATC00001", ephemeral=True, home=True)


def opened(app: str = "A0WATC00001", **fields: Any) -> dict[str, Any]:
    inner = {
        "type": "app_home_opened",
        "user": BO,
        "channel": "D0LAB00001",
        "tab": "home",
        "event_ts": "100.5",
        **fields,
    }
    return {"type": "event_callback", "team_id": TEAM, "api_app_id": app, "event_id": "Ev1", "event": inner}


def pressed(action_id: str, **fields: Any) -> dict[str, Any]:
    body = click(action_id, container={"type": "view", "view_id": "V1"}, **fields)
    return {name: value for name, value in body.items() if name not in {"channel", "message"}}


def test_opening_the_home_tab_is_answered_anew_each_time() -> None:
    reply = Reply(TEAM, "", "", BO, message_ts="100.5", home=True)
    assert parse(opened(), KNOWN, "watchbill") == Urgent(HomeOpened(reply), f"home/{BO}/100.5")


@pytest.mark.parametrize(("app", "fields"), [("watchbill", {"tab": "messages"}), ("architect", {})])
def test_other_tabs_and_other_apps_are_not_ours(app: str, fields: dict[str, Any]) -> None:
    payload = opened("A0WATC00001" if app == "watchbill" else "A0ARCH00001", **fields)
    assert parse(payload, KNOWN, app) == Dropped("not_ours")


@pytest.mark.parametrize(
    ("action_id", "item"),
    [
        ("approve", VoteCast(REQUEST, "approve", "", "", PRESSED)),
        ("approve_grant", VoteCast(REQUEST, "approve", "", "", PRESSED, grant=True)),
        ("deny", ModalAsked("deny", REQUEST, PRESSED)),
        ("narrow", ModalAsked("narrow", REQUEST, PRESSED)),
        ("approve_typed", ModalAsked("approve_typed", REQUEST, PRESSED)),
        ("request_details", ModalAsked("details", REQUEST, PRESSED)),
    ],
)
def test_its_buttons_mean_what_they_mean_on_the_card(action_id: str, item: object) -> None:
    found = parse(pressed(action_id), KNOWN, "watchbill")
    assert isinstance(found, Urgent) and found.item == item


@pytest.mark.parametrize("action_id", ["stop", "extend", "revoke", "answer:0", "answer_text"])
def test_what_belongs_to_a_thread_is_not_pressed_there(action_id: str) -> None:
    assert parse(pressed(action_id), KNOWN, "watchbill") == Dropped("unknown_action")


def test_a_stranger_is_told_by_the_gate() -> None:
    found = parse(pressed("approve", team={"id": "T0OTHER001", "domain": "x"}), KNOWN, "watchbill")
    assert isinstance(found, Urgent) and isinstance(found.item, VoteCast) and found.item.reply.foreign


@pytest.mark.parametrize("count", [0, 1, 8])
def test_it_fits_slacks_limits_with_every_button(count: int) -> None:
    cards = tuple(replace(CARD, request=RequestId(f"{number:04d}"), title="x" * 400) for number in range(count))
    home = Home(UserId(BO), "Counted <b>", "8 waiting", cards, tuple(f"Mission {n}" * 40 for n in range(60)))
    view = render_home(home)
    assert find_view_problems(dict(view)) == []
    assert str(view).count("'action_id': 'approve'") == count
    assert "Counted <b>" in str(view)
