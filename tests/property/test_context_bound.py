"""The bound of the context holds for any history (rule 20), with every call beside its result."""

import json
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.agents.context import NOTES, build, tokens_of
from bot.domain import log
from bot.domain.calls import ResultStatus
from bot.domain.log import Entry
from bot.domain.model import Answered, Heard, Message, ModelRequest, Returned
from bot.domain.state import Mission
from bot.mission import fold
from tests.core_fakes import (
    OPENED,
    REQUEST,
    folded,
    logged,
    pairs_hold,
    persona,
    planned,
    replied,
    returned,
    said,
    title,
    to,
)
from tests.fakes import ARCHITECT, BUILDER

SIZES = st.sampled_from([0, 10, 300, 6_000, 2_000_000])
STATUS: st.SearchStrategy[ResultStatus] = st.sampled_from(["ok", "failed", "refused", "denied", "held", "interrupted"])


@st.composite
def histories(draw: st.DrawFn) -> list[Entry]:
    """Builder's steps with words and tasks between them, some without a result."""
    entries: list[Entry] = [log.TurnStarted(1, BUILDER, "1-0")]
    for number in range(draw(st.integers(0, 12))):
        match draw(st.sampled_from(["step", "step", "step", "said", "spoke", "empty", "plan"])):
            case "step":
                ids = [f"c{number}-{n}" for n in range(draw(st.integers(1, 5)))]
                calls = [replace(to("look", path="a" * draw(SIZES)), id=one) for one in ids]
                entries.append(replied(*calls, text="t" * draw(SIZES), turn=1))
                answered = ids[: draw(st.integers(0, len(ids)))]
                entries += [returned(one, status=draw(STATUS), text="r" * draw(SIZES)) for one in answered]
            case "said":
                entries += [said("h" * draw(SIZES), name=BUILDER), log.TurnStarted(2, BUILDER, f"{len(entries) + 2}-0")]
            case "spoke":
                entries += [replied(text="w" * draw(SIZES), turn=1), log.Spoke(1, BUILDER, "w" * draw(SIZES))]
            case "plan":
                entries.append(replace(planned("x"), criteria=(), uncovered=("u" * min(draw(SIZES), 5000),)))
            case _:
                entries.append(replied(turn=1))
    return entries


def wire(message: Message) -> str:
    """About what a provider gets: everything of a message is paid for, its frame too."""
    match message:
        case Heard(text):
            return json.dumps({"role": "user", "content": text})
        case Answered(text, calls):
            proposed = [
                {"id": call.id, "type": "function", "function": {"name": call.tool, "arguments": dict(call.arguments)}}
                for call in calls
            ]
            return json.dumps({"role": "assistant", "content": text, "tool_calls": proposed})
        case Returned(call, text):
            return json.dumps({"role": "tool", "tool_call_id": call, "content": text})


def known(text: str, _tool: str) -> str:
    """Long knowledge about every error there can be, of another kind for each length."""
    return f"## Known error: {len(text)}\n" + "k" * 5000


def cost(state: Mission, context: int) -> int:
    messages = (*build(state, persona(context=context), title, known), Heard("Go on."))
    pairs_hold(ModelRequest("m", "s", messages, ()))
    return sum(tokens_of(wire(message)) for message in messages)


@settings(deadline=None, max_examples=60)
@given(history=histories(), context=st.sampled_from([6_000, 16_000]))
def test_rule_20_the_context_is_bounded_whatever_happened(history: list[Entry], context: int) -> None:
    state = folded(*history)
    assert cost(state, context) <= context
    assert REQUEST in str(build(state, persona(context=context), title)[0])
    told = str(build(state, persona(context=context), title, known)).count("## Known error: ")
    assert told <= NOTES


def long_log(entries: int, *, renewed: bool) -> list[Entry]:
    """Builder's work in many turns, or all of it as one endless exchange."""
    written: list[Entry] = [planned("they run")]
    while len(written) < entries:
        at = len(written)
        if renewed or at == 1:
            written += [log.HandedOff(1, ARCHITECT, BUILDER, f"task {at}", 1, f"f{at}"),
                        log.TurnStarted(at, BUILDER, f"{at + 2}-0")]  # fmt: skip
        call = replace(to("look", path="main.tf"), id=f"c{at}")
        written += [log.ModelAsked(at, BUILDER), replied(call, turn=at), returned(call.id, text="r" * 6000)]
        if renewed:
            written += [
                replied(text="did it", turn=at),
                log.Spoke(at, BUILDER, f"did {at}"),
                log.TurnEnded(at, BUILDER, "spoke"),
            ]
    return written


@pytest.mark.parametrize("renewed", [True, False], ids=["many-turns", "one-exchange"])
@pytest.mark.parametrize("entries", [100, 20_000])
def test_rule_20_twenty_thousand_entries_cost_no_more_than_a_hundred(entries: int, *, renewed: bool) -> None:
    state = fold(logged((OPENED, *long_log(entries, renewed=renewed))))
    assert len(state.exchanges[BUILDER].items) == (3 if renewed else 1 + (state.ordinal - 4) // 3)
    assert cost(state, 16_000) <= 16_000
    began = time.perf_counter()
    for _ in range(10):
        build(state, persona(), title, known)
    assert (time.perf_counter() - began) / 10 < 0.1, "a context takes milliseconds"
