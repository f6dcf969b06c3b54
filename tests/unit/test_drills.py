"""Drill files and how they are judged: what a drill demands is stated, and what does not hold is said."""

from pathlib import Path
from typing import Any

import pytest

from deploy.lab.drills.__main__ import DRILLS, RECORDINGS, chosen
from deploy.lab.drills.drill import (
    Bounds,
    Drill,
    DrillError,
    missing_recording,
    read_drill,
    read_drills,
    write_scenario,
)
from deploy.lab.drills.playing import idle, over, readable, rest_of, told
from deploy.lab.stack import SCENARIOS, Lab

# What SEED drills are for: each way in which a crew wasted its tokens that a model can bring about.
WANTED = {
    "phantom_provider", "tfvars_as_tf", "invented_tool", "claimed_action", "stop_loop", "bare_approval", "laundered_approval",
    "approval_loop", "escalation_cascade", "option_menu", "think_leak", "goal_drift", "pasted_goal", "two_mentions",
    "busy_inbox", "repeated_error", "secret_canary", "rate_limited", "rate_limit_broadcast", "string_vs_list",
    "missing_binary", "guard_tamper", "plan_bloat", "done_without_evidence", "accepted_risk", "clear_inbox", "no_progress",
    "ping_pong", "two_at_once", "never_stops", "yes_man", "liar", "obeys_injection", "stubborn_claims", "stubborn_menu",
    "stubborn_errors", "stubborn_everything",
}  # fmt: skip
DRILL = Drill(
    name="a", about="something goes wrong, and the crew asks", ends="asked", question="how should .* go on",
    sees=["was told"], never=["secret"], bounds=Bounds(turns=2, calls=3, messages=4),
)  # fmt: skip
LINES = ("Watchbill: Builder did it again. Builder was told.", "Watchbill: How should the crew go on?")


def test_rule_19_every_dysfunction_has_a_drill() -> None:
    assert {drill.name for drill in read_drills(DRILLS)} >= WANTED


@pytest.mark.parametrize("path", sorted(DRILLS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_drill_can_be_played(path: Path, tmp_path: Path) -> None:
    drill = read_drill(path)
    if why := missing_recording(drill, RECORDINGS):
        pytest.skip(why)
    assert write_scenario(drill, SCENARIOS, tmp_path, RECORDINGS).is_file()


def test_a_drill_without_its_recording_says_where_it_was_looked_for(tmp_path: Path) -> None:
    drill = read_drill(DRILLS / "recorded_menus.yaml")
    assert missing_recording(drill, tmp_path).endswith(f"is not in {tmp_path}")
    assert missing_recording(DRILL, tmp_path) == ""


def test_a_drill_that_keeps_its_bounds_and_tells_people_is_fine() -> None:
    assert over(DRILL, {"turns": 2, "calls": 3}, 4) == []
    assert told(DRILL, "asked", LINES) == []


def test_a_rule_of_its_own_that_never_came_up_fails_a_drill(tmp_path: Path) -> None:
    rules = {"qa": [{"rule": "lies"}, {"rule": "lies-again"}]}
    drill = DRILL.model_copy(update={"personas": rules})
    assert idle(drill, ["qa.reports", "builder.lies"]) == []
    assert idle(drill, ["qa.lies", "qa.lies-again"]) == [
        "the rule qa.lies never came up", "the rule qa.lies-again never came up",
    ]  # fmt: skip
    borne = drill.model_copy(update={"unplayed": {"qa.lies-again": "the crew ends it before that"}})
    assert idle(borne, ["qa.lies-again"]) == []
    assert idle(borne, []) == ["the rule qa.lies-again came up: take it out of unplayed"]
    path = tmp_path / "a.yaml"
    text = (DRILLS / "liar.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("architect.trusts-3:", "architect.trusts-9:"), encoding="utf-8")
    with pytest.raises(DrillError, match=r"unplayed\.architect\.trusts-9: the drill has no such rule"):
        read_drill(path)


def test_what_a_drill_demands_and_did_not_get_is_said() -> None:
    assert over(DRILL, {"turns": 3, "calls": 4}, 5) == [
        "3 turns, the bound is 2", "4 model calls, the bound is 3", "5 messages, the bound is 4",
    ]  # fmt: skip
    assert told(DRILL, "waiting", LINES) == ["came to rest as waiting, not asked"]
    assert told(DRILL, "asked", LINES[:1]) == ["nobody could read: how should .* go on"]
    assert told(DRILL, "asked", tuple(reversed(LINES))) == ["nobody could read: how should .* go on"], (
        "not in this order"
    )
    assert told(DRILL, "asked", (*LINES, "QA: the secret is x"))[0].startswith("'secret' stands in: QA:")


def posted(text: str, user: str = "U0ARCH00001") -> dict[str, Any]:
    return {"text": text, "user": user}


def test_a_thread_that_nobody_can_read_is_said(tmp_path: Path) -> None:
    apps = {"watchbill": {"user_id": "U0WATCH"}, "architect": {"user_id": "U0ARCH00001"}}
    lab = Lab(tmp_path, {}, {"people": {}, "apps": apps}, {}, {}, {}, [])
    assert readable(lab, [posted("Plan: 2 steps."), posted('A dashboard says "ok": fine')], 1) == []
    assert "raw JSON" in readable(lab, [posted('It says {"what": "nodes"}')], 1)[0]
    assert "wall of text" in readable(lab, [posted("a line\n" * 40)], 1)[0]
    notices = [posted("Builder did it. Builder was told.", "U0WATCH")] * 3
    assert readable(lab, notices, 2) == ["3 lines about the crew's health in 2 turns"]


def test_the_cards_states_are_known() -> None:
    states = ("Done", "Parked", "Waiting for an answer", "Waiting for approval 1a2b", "Turn: Builder", "")
    assert [rest_of(state) for state in states] == ["done", "parked", "asked", "approval", "", ""]


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text("about: a drill with a bound that is missing\nends: done\nbounds: {turns: 1, calls: 1}\n")
    with pytest.raises(DrillError, match=r"odd.yaml: bounds.messages"):
        read_drill(path)
    path.write_text(
        "about: a drill that asks and does not say what\nends: asked\nbounds: {turns: 1, calls: 1, messages: 1}\n"
    )
    with pytest.raises(DrillError, match="says what people are asked"):
        read_drill(path)
    with pytest.raises(DrillError, match="no drill b; there are a"):
        chosen([DRILL], ["b"])
    bad = replace_rules(DRILL, [{"rule": "x", "when": {"herd": "y"}, "say": "z"}])
    with pytest.raises(DrillError, match="herd"):
        write_scenario(bad, SCENARIOS, tmp_path, RECORDINGS)


def replace_rules(drill: Drill, rules: list[dict[str, Any]]) -> Drill:
    return drill.model_copy(update={"personas": {"builder": rules}})
