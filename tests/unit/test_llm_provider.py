"""What both providers do alike with messages, call ids and arguments."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.model import Answered, Heard, ModelRequest, ProposedCall, Returned, ToolSpec
from bot.llm.provider import ARGUMENTS_MOST, GO_ON, RawCall, estimated_tokens, prepared, proposed, readable, wire_id


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("{", "JSONDecodeError"),
        ("[1]", "a JSON object is needed, this is list"),
        ("null", "this is NoneType"),
        ('{"a": NaN}', "NaN is no JSON"),
        ('{"a": Infinity}', "Infinity is no JSON"),
        ('{"a": "\\ud800"}', "UnicodeEncodeError"),
        ('{"a": "\ud800"}', "UnicodeEncodeError"),
        ("[" * 200_000, "RecursionError"),
        ('{"a": "' + "x" * ARGUMENTS_MOST + '"}', "at most"),
    ],
)
def test_arguments_that_are_no_json_object_become_a_problem(arguments: str, problem: str) -> None:
    (call,) = proposed([RawCall("c", "plan", arguments)], truncated=False)
    assert problem in call.problem
    assert call.arguments == {}
    assert len(call.problem) < 300


@pytest.mark.parametrize(
    ("arguments", "parsed"),
    [('{"a": [1, {"b": "ä"}]}', {"a": [1, {"b": "ä"}]}), ("", {}), ("  ", {}), ({"a": 1}, {"a": 1})],
)
def test_arguments_that_are_one_are_taken(arguments: str, parsed: object) -> None:
    (call,) = proposed([RawCall("", " plan ", arguments)], truncated=False)
    assert (call.arguments, call.problem, call.tool, call.id) == (parsed, "", "plan", "call_0")


def test_of_a_truncated_answer_the_last_call_is_not_run() -> None:
    calls = proposed([RawCall("a", "t", "{}"), RawCall("b", "t", '{"whole": 1}')], truncated=True)
    assert [call.problem == "" for call in calls] == [True, False]


@given(st.text(max_size=30))
def test_no_arguments_break_the_reading(arguments: str) -> None:
    (call,) = proposed([RawCall("c", "t", arguments)], truncated=False)
    json.dumps(dict(call.arguments)).encode()
    assert bool(call.problem) or not arguments.strip() or isinstance(json.loads(arguments), dict)


@given(st.text(max_size=120), st.text(max_size=120))
def test_call_ids_fit_every_wire_and_long_ones_stay_apart(one: str, other: str) -> None:
    ids = {wire_id(one), wire_id(other)}
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", found) for found in ids)
    if one != other and len(one) > 40 and len(other) > 40:
        assert len(ids) == 2
    assert wire_id("7-3-1-0") == "7-3-1-0"


def test_messages_begin_and_end_with_somebody_else() -> None:
    answered = Answered("It waits.")
    assert prepared([]) == [GO_ON]
    assert prepared([answered]) == [GO_ON, answered, GO_ON]
    assert prepared([Heard("a"), Heard(" \n"), Answered(" ")]) == [Heard("a")]
    called = Answered("", (ProposedCall("c", "t", {}),))
    exchange = [Heard("a"), called, Returned("c", "")]
    assert prepared(exchange) == exchange


def test_lone_surrogates_do_not_leave() -> None:
    assert readable("a\ud800b ä") == "a?b ä"


def test_the_estimate_grows_with_everything_that_is_sent() -> None:
    small = ModelRequest("openai:m", "", (Heard("x"),), (), max_tokens=100)
    tool = ToolSpec("t", "d" * 400, {"type": "object"})
    called = Answered("a" * 400, (ProposedCall("c", "t", {"x": "y" * 400}),))
    large = ModelRequest("openai:m", "s" * 400, (called, Returned("c", "r" * 400)), (tool,), max_tokens=100)
    assert estimated_tokens(small) == 100
    assert 600 < estimated_tokens(large) < 700
