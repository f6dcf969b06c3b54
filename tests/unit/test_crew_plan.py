"""plan, hand_off and ask_human: what they write and what they refuse."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from bot.domain import log
from bot.domain.calls import CallClass, Prepared, ToolCall
from bot.domain.contract import Finding
from bot.domain.ids import CallId, Json, QuestionId
from bot.domain.ports import ArgumentError, Done, Scope
from bot.domain.state import Mission
from bot.mission import applied
from tests.core_fakes import CREW, M, folded, logged, planned, said
from tests.fakes import ANA, ARCHITECT, BO, BUILDER, NOW, FakeWatch, MemoryArtifacts
from tools.crew import crew_tools, task_fingerprint

STANDARDS = {"code-only": "everything is code"}
STEP = {"title": "the machines", "owner": "builder", "serves": [1], "verify": "proxmox_read"}


def never(finding: Finding, environment: str) -> bool:
    return False


SCOPE = Scope(folded(), ARCHITECT, 1, NOW)
TOOLS = {t.name: t for t in crew_tools(personas=CREW, standards=STANDARDS, artifacts=MemoryArtifacts(), blocks=never)}


async def use(name: str, state: Mission, **arguments: Json) -> Done:
    tool = TOOLS[name]
    call = ToolCall(CallId("7-1-1-0"), name, arguments, ARCHITECT, M, state.turns)
    scope = Scope(state, ARCHITECT, state.turns, NOW)
    parsed = tool.parse(arguments)
    prepared = await tool.prepare(call, parsed, scope)
    assert isinstance(prepared, Prepared)
    return await tool.run(prepared, parsed, scope, FakeWatch())


def criterion(text: str = "three machines run", **source: str) -> Mapping[str, Json]:
    return {"text": text, **(source or {"quote": "three VMs"})}


async def plan(state: Mission | None = None, *criteria: Mapping[str, Json], **more: Any) -> Done:
    steps = more.get("steps", [STEP])
    return await use("plan", state or folded(), criteria=list(criteria), steps=steps)


def refusal(done: Done) -> str:
    assert done.result.status == "refused", done.result.text
    assert done.entries == ()
    return done.result.text


def after(state: Mission, done: Done) -> Mission:
    assert done.result.status == "ok", done.result.text
    for entry in logged(done.entries, start=state.ordinal + 1):
        state = applied(state, entry)
    return state


async def test_rule_6_a_plan_records_criteria_with_the_words_they_come_from() -> None:
    done = await plan(None, criterion(), criterion("code", standard="code-only"), steps=[{**STEP, "serves": [1, 2]}])
    (entry,) = done.entries
    assert isinstance(entry, log.Planned)
    assert [(c.number, c.quote, c.standard) for c in entry.criteria] == [(1, "three VMs", ""), (2, "", "code-only")]
    assert [(s.number, s.owner, s.serves) for s in entry.steps] == [(1, BUILDER, (1, 2))]
    assert entry.uncovered == ("spread over both nodes, with fixed addresses",)
    assert "spread over both nodes" in done.result.text


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"text": "a database runs", "quote": "a database"}, "does not stand in the request"),
        ({"text": "no source"}, "needs either a quote or a standard"),
        ({"text": "two sources", "quote": "three VMs", "standard": "code-only"}, "needs either"),
        ({"text": "it is nice", "standard": "niceness"}, "no standard 'niceness'"),
        ({"text": "small words", "quote": "with"}, "says nothing"),
    ],
)
async def test_rule_6_a_criterion_without_the_humans_words_is_refused(given: dict[str, str], why: str) -> None:
    assert why in refusal(await plan(None, given))


async def test_rule_6_an_amendment_can_be_quoted_and_criteria_only_grow() -> None:
    state = after(folded(), await plan(None, criterion()))
    assert "does not stand" in refusal(await plan(state, criterion("a fourth", quote="a fourth machine")))
    state = applied(state, logged([log.RequestAmended(ANA, "and a fourth machine")], start=state.ordinal + 1)[0])
    state = after(
        state, await plan(state, criterion("a fourth", quote="a fourth machine"), steps=[{**STEP, "serves": [2]}])
    )
    assert [(c.number, c.text) for c in state.criteria] == [(1, "three machines run"), (2, "a fourth")]
    assert [s.serves for s in state.steps] == [(2,)]


async def test_rule_6_words_that_an_agent_or_another_message_said_are_no_source() -> None:
    state = folded(said("I like turquoise"), log.Spoke(1, ARCHITECT, "a service mesh"))
    assert "does not stand" in refusal(await plan(state, criterion(quote="a service mesh")))


@pytest.mark.parametrize("again", ["three machines run", "Three machines  RUN."])
async def test_the_same_criterion_twice_is_refused(again: str) -> None:
    assert "is there already" in refusal(await plan(None, criterion(), criterion(again)))
    assert "is there already" in refusal(await plan(folded(planned("three machines run")), criterion(again)))


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ([], "A plan needs steps"),
        ([{**STEP, "serves": []}], "has to name the criteria it serves"),
        ([{**STEP, "serves": [2]}], "has to name the criteria it serves"),
        ([{**STEP, "owner": "janitor"}], "nobody here is called 'janitor'"),
    ],
)
async def test_rule_7_a_step_names_an_owner_and_the_criteria_it_serves(steps: list[Json], why: str) -> None:
    assert why in refusal(await plan(None, criterion(), steps=steps))


async def test_rule_7_a_plan_that_serves_nothing_open_is_refused() -> None:
    state = folded(planned("three machines run"), log.CriterionWaived(1, BO, "not needed"))
    assert "No step serves an open criterion" in refusal(await plan(state))
    assert (await plan(folded(planned("three machines run")))).result.status == "ok"


async def test_a_plan_without_any_criterion_is_refused_and_twenty_are_the_most() -> None:
    assert "no criteria yet" in refusal(await plan(None))
    many = folded(planned(*(f"criterion {number}" for number in range(20))))
    assert "at most 20 criteria" in refusal(await plan(many, criterion("one more")))
    with pytest.raises(ArgumentError, match="criteria"):
        await plan(None, *(criterion(f"number {number}") for number in range(21)))


async def test_a_hand_off_names_its_owner() -> None:
    done = await use("hand_off", folded(), to=" @Builder ", task="write main.tf", step=1)
    (entry,) = done.entries
    assert entry == log.HandedOff(0, ARCHITECT, BUILDER, "write main.tf", 1, task_fingerprint(BUILDER, "write main.tf"))


@pytest.mark.parametrize(("to", "why"), [("janitor", "Nobody here is called"), ("architect", "That is you")])
async def test_a_hand_off_to_nobody_or_to_itself_is_refused(to: str, why: str) -> None:
    assert why in refusal(await use("hand_off", folded(), to=to, task="write main.tf"))


async def test_a_repeated_hand_off_needs_something_new() -> None:
    state = after(folded(), await use("hand_off", folded(), to="builder", task="write main.tf"))
    again = await use("hand_off", state, to="builder", task="Write MAIN.TF, ")
    assert "nothing has changed since" in refusal(again)
    assert (await use("hand_off", state, to="qa", task="write main.tf")).result.status == "ok"
    for new in (planned("a"), said("try again"), log.QuestionAnswered(QuestionId("q"), "x", "")):
        changed = applied(state, logged([new], start=state.ordinal + 1)[0])
        fresh = not isinstance(new, log.QuestionAnswered)  # nobody asked that question
        done = await use("hand_off", changed, to="builder", task="write main.tf")
        assert (done.result.status == "ok") is fresh


async def test_one_question_at_a_time_with_a_default() -> None:
    asking: dict[str, Json] = {"question": "A third machine?", "options": ["no", "yes"], "default": 0, "minutes": 5}
    done = await use("ask_human", folded(), **asking)
    (entry,) = done.entries
    assert isinstance(entry, log.Asked)
    assert (entry.options[entry.default], entry.deadline) == ("no", NOW + timedelta(minutes=5))
    assert done.result.facts == {"question": entry.question}
    assert "One at a time" in refusal(await use("ask_human", after(folded(), done), **asking))
    assert "index into the 2 options" in refusal(await use("ask_human", folded(), **{**asking, "default": 2}))


@pytest.mark.parametrize("wrong", [{"options": []}, {"options": ["a", "b", "c", "d"]}, {"default": -1}, {"minutes": 0}])
async def test_a_question_that_is_a_menu_or_has_no_default_does_not_parse(wrong: dict[str, Json]) -> None:
    asking: dict[str, Json] = {"question": "Which way?", "options": ["a"], "default": 0, **wrong}
    with pytest.raises(ArgumentError):
        await use("ask_human", folded(), **asking)


@pytest.mark.parametrize("name", list(TOOLS))
async def test_wrong_arguments_are_named(name: str) -> None:
    with pytest.raises(ArgumentError, match="Field required"):
        TOOLS[name].parse({})
    with pytest.raises(ArgumentError, match="extra: Extra inputs are not permitted"):
        TOOLS[name].parse({"extra": 1})


async def test_a_crew_tools_effect_is_the_mission_log_only() -> None:
    call = ToolCall(CallId("c"), "hand_off", {}, ARCHITECT, M, 1)
    prepared = await TOOLS["hand_off"].prepare(call, TOOLS["hand_off"].parse({"to": "qa", "task": "look"}), SCOPE)
    assert isinstance(prepared, Prepared)
    assert prepared.effect.cls is CallClass.READ
    assert not TOOLS["hand_off"].durable
