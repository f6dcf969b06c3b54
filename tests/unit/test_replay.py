"""Recordings of every quality through parser, router and guards."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.agents.persona import load_personas
from bot.cli import main
from bot.replay.page import page
from bot.replay.recording import recorded
from bot.replay.replay import Outcome, replay
from bot.replay.translation import mentioned, persona_of
from bot.replay.words import explained, summary

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
PERSONAS = load_personas(ROOT / "personas", tools=None, models=None)
KEYS = {
    "messages", "turns_started", "turns_from_thoughts", "overlapping_turns", "secrets_shown", "detections",
    "first_intervention_i", "messages_saved", "prompt_tokens", "prompt_tokens_recorded_design",
}  # fmt: skip
TOKEN = "0a1b2c3d-d4e5-4f60-8718-293a4b5c6d7e"


def row(i: int, sender: str, content: object, *, think: bool = False) -> str:
    return json.dumps({"i": i, "sender": sender, "think": think, "content": content})


def told(*messages: tuple[str, str] | tuple[str, str, bool]) -> Outcome:
    rows = [row(i, one[0], one[1], think=len(one) > 2) for i, one in enumerate(messages)]
    return replay(recorded(rows), PERSONAS)


def guards(outcome: Outcome) -> list[tuple[str, int, int]]:
    found: Any = outcome.contract()["detections"]
    return [(one["guard"], one["start_i"], one["end_i"]) for one in found]


# turns -----------------------------------------------------------------------------------------------------------------


def test_turns_go_to_whom_they_were_given_and_nobody_else_gets_one() -> None:
    outcome = told(
        ("User", "Build three VMs."),
        ("Architect_Zero", "@DevOps_Builder: write main.tf."),
        ("Security_Sentinel", "Nobody asked me, but I have an opinion."),
        ("DevOps_Builder", "@Architect_Zero done, main.tf is written."),
        ("Architect_Zero", "Fine."),
    )
    assert [(turn.persona, turn.i) for turn in outcome.started] == [("architect", 1), ("builder", 3), ("architect", 4)]
    assert outcome.kept_back == (2,)
    assert (outcome.overlapping_turns, outcome.turns_from_thoughts) == (0, 0)


def test_a_thought_or_a_result_that_names_an_agent_gives_it_no_turn_and_is_seen() -> None:
    outcome = told(
        ("User", "@DevOps_Builder look around."),
        ("DevOps_Builder", "Processing message from User...", True),
        ("DevOps_Builder", 'Calling tool: read_file({"path": "x"})', True),
        ("DevOps_Builder", "Tool Result (read_file):\n```\nyou report to @Architect_Zero\n```"),
        ("Architect_Zero", "Processing message from DevOps_Builder...", True),
        ("Architect_Zero", "I have a plan now."),
    )
    assert [turn.persona for turn in outcome.started] == ["builder"]
    assert outcome.turns_from_thoughts == 0
    assert ("think_leak", 3, 4) in guards(outcome)


def test_lines_pasted_one_by_one_are_one_message() -> None:
    outcome = told(*(("User", f"import number_{n}") for n in range(88)), ("Architect_Zero", "That is code."))
    assert [turn.persona for turn in outcome.started] == ["architect"]
    assert outcome.episodes == ()


def test_stop_ends_the_mission_and_what_follows_is_a_new_one() -> None:
    outcome = told(
        ("User", "Build."), ("Architect_Zero", "@DevOps_Builder go."), ("System", "STOP command sent."),
        ("DevOps_Builder", "I go."), ("User", "Again."), ("Architect_Zero", "Right."),
    )  # fmt: skip
    assert [(turn.persona, turn.i) for turn in outcome.started] == [("architect", 1), ("architect", 5)]
    assert outcome.kept_back == (3,)


# what is seen and shown ------------------------------------------------------------------------------------------------


def test_a_secret_that_a_result_showed_is_shown_to_nobody() -> None:
    outcome = told(
        ("User", "Go."),
        ("DevOps_Builder", f"Tool Result (run_shell):\n```\npm_api_token_secret={TOKEN}\n```"),
        ("Architect_Zero", f"The token is {TOKEN}."),
    )
    assert outcome.secrets_shown == 0
    assert [one[0] for one in guards(outcome)] == ["secret_leak", "secret_leak"]
    shown = json.dumps(outcome.contract()) + explained(outcome) + page(outcome, "x.jsonl")
    assert TOKEN not in shown


def test_an_episode_is_one_detection_and_what_came_after_its_first_sight_is_saved() -> None:
    error = "Tool Result (run_terraform):\n```\nSTDERR:\nError: VM 7 is locked\n```"
    calling = ("DevOps_Builder", "Executing tool run_terraform...")
    outcome = told(("User", "Go."), *([calling, ("DevOps_Builder", error)] * 5))
    assert guards(outcome) == [("repeated_tool_error", 4, 10)]
    assert (outcome.first_intervention, outcome.messages_saved) == (6, 4)


def test_an_unknown_tool_and_a_loop_of_blocks() -> None:
    block = ("Security_Sentinel", "STOP\n@Architect_Zero\n\nThe token is in clear.")
    answer = ("Architect_Zero", "@Security_Sentinel I will see to it.")
    outcome = told(
        ("User", "Go."), ("DevOps_Builder", "Tool request_audit not found."), block, answer, block, answer, block
    )
    assert [one[0] for one in guards(outcome)][:2] == ["hallucinated_tool", "stop_loop"]


@pytest.mark.parametrize(("sender", "name"), [("Architect_Zero", "architect"), ("DevOps_Builder", "builder"), ("Security_Sentinel", "sentinel"), ("QA_Guy", "qa"), ("Zorro", "zorro")])  # fmt: skip
def test_who_would_be_who(sender: str, name: str) -> None:
    assert persona_of(sender) == name


def test_the_first_at_the_beginning_of_a_line_is_meant() -> None:
    assert mentioned("Ask @QA later.\n@DevOps_Builder: go. mail a@b.de", persona_of("Architect")) == ("builder", "qa")


# bad input -------------------------------------------------------------------------------------------------------------


def test_missing_lines_doubled_ids_unknown_senders_and_lines_that_are_no_json() -> None:
    rows = [
        row(4, "User", "Build."), "", "not json", "[1, 2]", '{"i": 4}', row(4, "Zorro", "Hello @Architect"),
        json.dumps({"sender": "Architect_Zero", "content": None}), json.dumps({"i": "x", "sender": 7, "content": {"a": 1}}),
        '{"i": 5, "sender": "User", "content": "\ud800"}',
    ]  # fmt: skip
    outcome = replay(recorded(rows), PERSONAS)
    assert (len(outcome.lines), outcome.unreadable) == (6, 2)
    assert set(outcome.contract()) == KEYS
    assert "2 lines could not be read" in summary(outcome)


@pytest.mark.parametrize("text", ["🙂🙂🙂", "Привет, построй кластер", "x" * 5_000_000, "@" * 5000, "```\n" * 3000, ""])
def test_odd_texts_from_everyone(text: str) -> None:
    outcome = told(
        *((sender, text) for sender in ("User", "Architect_Zero", "DevOps_Builder", "Security_Sentinel", "System"))
    )
    assert len(outcome.lines) == 5
    assert "<svg" in page(outcome, "odd")


def test_an_empty_recording() -> None:
    outcome = replay(recorded([]), PERSONAS)
    assert outcome.contract() == {**dict.fromkeys(KEYS, 0), "detections": [], "first_intervention_i": None}
    assert "no guard would have stepped in" in summary(outcome)
    assert "None." in page(outcome, "empty")


LINES = st.fixed_dictionaries(
    {
        "i": st.integers(-5, 50) | st.none(),
        "sender": st.sampled_from(["User", "System", "Architect_Zero", "DevOps_Builder::think", "Security_Sentinel", "Eve"]),
        "think": st.booleans(),
        "content": st.sampled_from(
            ["APPROVED", "STOP\n@Architect_Zero", "@DevOps_Builder go", "Processing message from User...", "Thinking step 1/9...",
             'Calling tool: save_file({"path": "a"})', "Tool Result (save_file):\n```\nError: no\n```", "Session history cleared."]
        ) | st.text(max_size=40),
    }
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, max_size=60))
def test_no_recording_makes_turns_overlap_or_thoughts_heard(lines: list[Mapping[str, object]]) -> None:
    outcome = replay(recorded([json.dumps(line) for line in lines]), PERSONAS)
    assert (outcome.turns_from_thoughts, outcome.overlapping_turns, outcome.secrets_shown) == (0, 0, 0)
    assert len(outcome.lines) == len(lines)
    assert len(outcome.kept_back) <= len(lines)


# the command -----------------------------------------------------------------------------------------------------------


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, html = tmp_path / "talk.jsonl", tmp_path / "talk.html"
    file.write_text("\n".join([row(0, "User", "Go <b>now</b>."), row(1, "Architect_Zero", "Tool x not found.")]))
    assert main(["replay", str(file), "--json", "--html", str(html)]) == 0
    assert set(json.loads(capsys.readouterr().out)) == KEYS
    text = html.read_text()
    assert "<b>now" not in text and "&lt;b&gt;now" in text
    assert "http" not in text.replace("http://www.w3.org", ""), "one file, nothing fetched"
    assert main(["replay", str(file), "--explain"]) == 0
    assert "Turns started, and by what" in capsys.readouterr().out
    assert main(["replay", str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl" in capsys.readouterr().err


@pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data: the recordings are not part of the project")
def test_the_recorded_crew() -> None:
    """The bounds of the replay over every recording that is there; the bench prints all figures."""
    ours = theirs = 0
    for path in sorted((DATA / "transcripts").glob("*.jsonl")):
        with path.open(encoding="utf-8") as file:
            outcome = replay(recorded(file), PERSONAS)
        assert (outcome.turns_from_thoughts, outcome.overlapping_turns, outcome.secrets_shown) == (0, 0, 0), path.name
        assert outcome.largest_prompt <= 16_000, path.name
        ours, theirs = ours + outcome.prompt_tokens, theirs + outcome.recorded_tokens
    assert ours <= theirs / 4


@pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data: the labels are not part of the project")
def test_labelled_episodes_are_seen() -> None:
    from tests.bench.replay import RECALL, detections, labelled, scores

    paths = sorted((DATA / "transcripts").glob("*.jsonl"))
    outcomes: dict[str, Outcome] = {}
    for path in paths:
        with path.open(encoding="utf-8") as file:
            outcomes[path.stem] = replay(recorded(file), PERSONAS)
    told = {one.pattern: one for one in scores(list(labelled(DATA / "episodes-dev.jsonl")), list(detections(outcomes)))}
    beyond = {"goal_drift", "escalation_cascade"}  # some of their episodes leave no trace in the text: see the bench
    short = [
        str(one) for name, one in told.items() if name not in beyond and (one.recall < RECALL or one.precision < 0.85)
    ]
    assert not short
