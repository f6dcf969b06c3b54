"""Rule 2: whatever a model writes, no sign of reasoning stays in what is said."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.policy.speech import SIGNS, cut

PIECES = st.sampled_from(
    ["<think>", "</think>", "<THINK >", "<thinking>", "</thinking>", "<th", "ink>", "::think", "[Builder::think]", ":", "\n",
     "\n\n", "Thinking step 3/20", "thinking step", "step", "Plan 9c1d22 waits.", "cp1 runs", " ", "<", ">", "/", "```"]
)  # fmt: skip
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=25).map("".join)


@settings(max_examples=400)
@given(TEXTS)
def test_rule_2_no_sign_of_reasoning_stays(text: str) -> None:
    assert not SIGNS.search(cut(text).speech)


@settings(max_examples=400)
@given(TEXTS)
def test_rule_2_cutting_twice_is_cutting_once(text: str) -> None:
    once = cut(text)
    assert cut(once.speech) == type(once)(once.speech, "", 0)


@given(st.text(max_size=200).filter(lambda text: not SIGNS.search(text)))
def test_text_without_signs_keeps_every_word(text: str) -> None:
    parted = cut(text)
    assert parted.speech.split() == text.split()
    assert parted.leaks == 0
    assert parted.thought == ""


@given(
    st.lists(
        st.sampled_from(["<think>alpha</think>", "::think beta", "Thinking step 1/9: gamma"]), min_size=1, max_size=5
    )
)
def test_rule_2_every_leak_is_counted_and_kept_as_thought(leaks: list[str]) -> None:
    parted = cut("\n".join(["Plan 9c1d22.", *leaks, "3 to create."]))
    assert parted.speech.split() == ["Plan", "9c1d22.", "3", "to", "create."]
    assert parted.leaks == len(leaks)
    for leak in leaks:
        assert leak.removeprefix("<think>").removesuffix("</think>") in parted.thought


@pytest.mark.parametrize(
    ("text", "speech"),
    [
        ("<think>a\nb</think>\nDone.", "Done."),
        ("no opening tag</think>Done.", "Done."),
        ("Done.\n<think>never closed", "Done."),
        ("[Builder::think] Calling tool\nDone.", "Done."),
        ("Done.\nThinking step 3/20...", "Done."),
        (
            "cp1, cp2 and cp3 run on both nodes and answer. Thinking step 4/20",
            "cp1, cp2 and cp3 run on both nodes and answer.",
        ),
        ("<th<think>x</think>ink>y</think>Done.", "Done."),
        ("one\n\n\n\n<think>x</think>\n\n\ntwo", "one\n\ntwo"),
    ],
)
def test_rule_2_known_forms(text: str, speech: str) -> None:
    assert cut(text).speech == speech
