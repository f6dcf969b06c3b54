"""Every provider against the same suite, over its real wire, served by the lab: what the crew may rely on."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.domain.model import (
    Answered,
    Heard,
    ModelReply,
    ModelRequest,
    ModelUnavailableError,
    ProposedCall,
    Returned,
    ToolSpec,
)
from bot.llm.anthropic import Anthropic
from bot.llm.models import SPEECH_MOST, LanguageModels
from bot.llm.openai import OpenAi
from bot.llm.prices import load_prices
from bot.llm.provider import Endpoint, Provider
from bot.llm.retry import Patience
from bot.policy.speech import SIGNS
from deploy.lab.model.scenario import load
from deploy.lab.model.server import Lab, serving

PRICES = Path(__file__).parents[2] / "policies" / "prices.yaml"
SCENARIO = r"""
personas:
  architect:
    - {rule: reads, when: {heard: look}, think: I want to see the nodes before I plan., say: Two nodes.,
       calls: [{tool: proxmox_read, arguments: {what: nodes}}, {tool: proxmox_read, arguments: {what: vms, note: "ä “b”"}}]}
    - {rule: knows, when: {lacks: [{status: failed}], result: {tool: proxmox_read, status: refused}}, say: 'Seen {{result_id}}.'}
    - {rule: says, when: {heard: speak}, say: cp1 runs on pve1.}
    - {rule: goes-on, when: {last: user, heard: 'Go on'}, say: Went on.}
    - {rule: hands, when: {heard: hand}, say: "Plan 9c1d22.", calls: [{tool: hand_off, arguments: {to: builder, task: t}}]}
"""
MODELS = {"openai": "openai:gpt-5.4-mini", "anthropic": "anthropic:claude-haiku-4-5"}
TOOLS = (
    ToolSpec(
        "proxmox_read",
        "Read the cluster.",
        {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]},
    ),
    ToolSpec("hand_off", "Give the turn on.", {"type": "object", "required": ["to", "task"]}),
)
SYSTEM = "# You are Architect\n" + "The house rules are short and hold always. " * 150


class Watch:
    """A clock that sleeps at once and remembers how long it should have."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._now = datetime(2026, 11, 23, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._now += timedelta(seconds=seconds)


class Purse:
    """A budget without end that keeps its books."""

    def __init__(self) -> None:
        self.taken = 0
        self.paused: list[tuple[str, float]] = []

    async def take(self, pool: str, tokens: int, per_minute: int) -> float:
        assert pool in MODELS
        assert per_minute == 500_000
        self.taken += tokens
        return 0.0

    async def pause(self, pool: str, seconds: float) -> None:
        self.paused.append((pool, seconds))

    async def correct(self, pool: str, tokens: int) -> None:
        assert pool in MODELS
        self.taken += tokens


class House:
    """The port under test and the lab behind it."""

    def __init__(self, wire: str, lab: Lab, url: str, *, key: str = "", timeout_s: float = 5.0) -> None:
        self.lab = lab
        self.wire = wire
        self.url = url
        self.clock = Watch()
        self.budget = Purse()
        self.providers: dict[str, Provider] = {
            "openai": OpenAi(Endpoint(f"{url}/v1", key or lab.api_key, timeout_s)),
            "anthropic": Anthropic(Endpoint(url, key or lab.api_key, timeout_s)),
        }
        self.models = LanguageModels(
            self.providers,
            load_prices(PRICES),
            budget=self.budget,
            clock=self.clock,
            per_minute=500_000,
            patience=Patience(tries=4),
        )
        self.request = ModelRequest(MODELS[wire], SYSTEM, (Heard("# Mission 7"), Heard("look")), TOOLS)

    def fault(self, kind: str, **more: object) -> None:
        self.lab.faults.order({"kind": kind, **more})

    async def hear(self, text: str) -> ModelReply:
        return await self.models.ask(replace(self.request, messages=(Heard("# Mission 7"), Heard(text))))


@pytest.fixture(params=["openai", "anthropic"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    file = tmp_path / "scenario.yaml"
    file.write_text(SCENARIO, encoding="utf-8")
    lab = Lab(load(file))
    async with serving(lab) as url:
        made = House(str(request.param), lab, url)
        yield made
        await made.models.close()


async def test_parallel_calls_thought_and_speech_come_apart(house: House) -> None:
    reply = await house.models.ask(house.request)
    assert reply.speech == "Two nodes."
    assert reply.thought == "I want to see the nodes before I plan."
    assert [(call.tool, dict(call.arguments), call.problem) for call in reply.calls] == [
        ("proxmox_read", {"what": "nodes"}, ""),
        ("proxmox_read", {"what": "vms", "note": "ä “b”"}, ""),
    ]
    assert len({call.id for call in reply.calls}) == 2
    assert reply.stop == "calls"
    assert reply.model == MODELS[house.wire]
    assert (reply.retries, reply.leaks) == (0, 0)


async def test_results_go_back_under_ids_of_our_own_making(house: House) -> None:
    calls = (
        ProposedCall("7.3.1.0", "proxmox_read", {"what": "nodes"}),
        ProposedCall("7-3-1-1" + "x" * 60, "proxmox_read", {}, "it was no JSON"),
    )
    messages = (
        Heard("# Mission 7"),
        Heard("look"),
        Answered("", calls),
        Returned("7.3.1.0", "[result 7.3.1.0] proxmox_read ok\npve1, pve2"),
        Returned(calls[1].id, "[result 7.3.1.1] proxmox_read refused\nno", failed=True),
        Heard("Two things:"),
        Heard("and another"),
    )
    reply = await house.models.ask(replace(house.request, messages=messages))
    assert reply.speech == "Seen 7.3.1.1."
    assert reply.stop == "end"
    assert house.lab.ledger.refused == []


async def test_an_exchange_that_ends_with_the_agents_own_words_is_taken(house: House) -> None:
    messages = (Heard("# Mission 7"), Heard(" "), Answered("It waits."), Answered("", ()))
    reply = await house.models.ask(replace(house.request, messages=messages))
    assert reply.speech == "Went on."
    assert house.lab.ledger.refused == []


async def test_usage_and_cost_count_the_cached_part(house: House) -> None:
    first = await house.hear("speak")
    second = await house.hear("speak")
    assert first.usage.prompt == second.usage.prompt > len(SYSTEM) // 4
    assert first.usage.cached == 0
    assert 0 < second.usage.cached <= second.usage.prompt
    assert 0 < second.cost_usd < first.cost_usd
    assert house.budget.taken == sum(reply.usage.prompt + reply.usage.completion for reply in (first, second))
    report = house.lab.ledger.report([])
    assert report["prompt_tokens"] == first.usage.prompt + second.usage.prompt


async def test_rule_21_a_refused_request_waits_as_long_as_the_provider_says(house: House) -> None:
    house.fault("rate_limited", count=2, retry_after_s=7)
    reply = await house.hear("speak")
    assert reply.speech == "cp1 runs on pve1."
    assert reply.retries == 2
    assert len(house.clock.slept) == 2
    assert all(7 <= seconds <= 9 for seconds in house.clock.slept)
    assert [pool for pool, _ in house.budget.paused] == [house.wire, house.wire]


@pytest.mark.parametrize("kind", ["server_error", "overloaded", "bad_gateway", "drop", "not_json"])
async def test_rule_21_passing_failures_are_tried_again(house: House, kind: str) -> None:
    house.fault(kind, count=2)
    reply = await house.hear("speak")
    assert (reply.speech, reply.retries) == ("cp1 runs on pve1.", 2)
    first, second = house.clock.slept
    assert 0 < first < second


async def test_rule_21_a_timeout_is_tried_once_more_and_then_said(house: House) -> None:
    impatient = House(house.wire, house.lab, house.url, timeout_s=0.2)
    house.fault("hang")
    assert (await impatient.hear("speak")).retries == 1
    house.fault("hang", count=9)
    with pytest.raises(ModelUnavailableError, match=r"did not answer within 0\.2 s\. \(2 tries\)"):
        await impatient.hear("speak")
    house.lab.faults.clear()
    await impatient.models.close()


async def test_rule_21_tries_are_bounded_and_the_failure_is_no_speech(house: House) -> None:
    house.fault("server_error", count=99)
    with pytest.raises(ModelUnavailableError) as caught:
        await house.hear("speak")
    assert house.lab.ledger.faults["server_error"] == 4
    assert "failed (500)" in caught.value.text
    assert house.lab.api_key not in caught.value.text


async def test_rule_21_a_delay_too_long_is_not_waited_for(house: House) -> None:
    house.fault("rate_limited", retry_after_s=600)
    with pytest.raises(ModelUnavailableError) as caught:
        await house.hear("speak")
    assert caught.value.retry_after_s == 600
    assert house.clock.slept == []
    assert house.budget.paused[0][1] >= 600


async def test_used_up_credit_and_a_wrong_key_are_not_tried_again(house: House) -> None:
    house.fault("quota")
    with pytest.raises(ModelUnavailableError, match="credit is used up"):
        await house.hear("speak")
    stranger = House(house.wire, house.lab, house.url, key="wrong")
    with pytest.raises(ModelUnavailableError, match=r"WATCHBILL_(OPENAI|ANTHROPIC)_API_KEY"):
        await stranger.hear("speak")
    assert house.clock.slept == stranger.clock.slept == []
    await stranger.models.close()


async def test_a_model_that_is_unavailable_gives_way_to_its_fallback(house: House) -> None:
    other = MODELS["anthropic" if house.wire == "openai" else "openai"]
    house.fault("server_error", count=4)
    request = replace(house.request, fallback=other, messages=(Heard("# Mission 7"), Heard("speak")))
    reply = await house.models.ask(request)
    assert reply.model == other
    assert reply.speech == "cp1 runs on pve1."
    tried = house.lab.ledger.faults["server_error"]
    assert (await house.models.ask(request)).model == other  # at once: the first one rests
    assert house.lab.ledger.faults["server_error"] == tried
    await house.clock.sleep(120)
    assert (await house.models.ask(request)).model == MODELS[house.wire]


async def test_truncated_answers_run_no_half_call(house: House) -> None:
    house.fault("truncated")
    reply = await house.models.ask(house.request)
    assert reply.stop == "truncated"
    assert reply.calls[0].problem == ""
    assert reply.calls[1].arguments == {}
    assert reply.calls[1].problem
    house.fault("truncated")
    assert (await house.hear("speak")).stop == "truncated"


async def test_a_refusal_is_no_speech(house: House) -> None:
    house.fault("refusal")
    reply = await house.hear("speak")
    assert (reply.stop, reply.speech, reply.calls) == ("refused", "", ())
    assert "I can't help with that." in reply.thought


async def test_an_empty_answer_is_called_empty(house: House) -> None:
    house.fault("empty")
    reply = await house.hear("speak")
    assert (reply.stop, reply.speech, reply.calls) == ("empty", "", ())


async def test_malformed_arguments_become_a_problem_that_the_model_hears_of(house: House) -> None:
    house.fault("malformed_arguments")
    reply = await house.hear("hand")
    call = reply.calls[0]
    assert (call.tool, dict(call.arguments)) == ("hand_off", {})
    assert call.problem
    assert call.id


async def test_an_unknown_tool_is_passed_on(house: House) -> None:
    house.fault("unknown_tool")
    reply = await house.hear("hand")
    assert [call.tool for call in reply.calls] == ["request_security_audit"]
    assert reply.calls[0].problem == ""


@pytest.mark.parametrize("kind", ["think_tag", "think_line", "step_line"])
async def test_rule_2_leaked_thoughts_are_cut_out_and_counted(house: House, kind: str) -> None:
    house.fault(kind, text="The reviewer will not notice.")
    reply = await house.hear("speak")
    assert reply.speech == "cp1 runs on pve1."
    assert reply.leaks == 1
    assert "The reviewer will not notice." in reply.thought
    assert not SIGNS.search(reply.speech)


async def test_two_megabytes_of_text_are_capped(house: House) -> None:
    house.fault("huge_text")
    reply = await house.hear("speak")
    assert SPEECH_MOST < len(reply.speech) < SPEECH_MOST + 100
    assert "(cut, " in reply.speech


async def test_the_endpoint_lists_its_models(house: House) -> None:
    assert "gpt-5.5" in await house.providers[house.wire].models()


async def test_rule_22_the_key_is_in_no_message_and_no_repr(house: House) -> None:
    await house.models.ask(house.request)
    assert house.lab.ledger.secrets_seen == 0
    assert house.lab.api_key not in repr(Endpoint("u", house.lab.api_key))
    house.fault("server_error", count=9)
    with suppress(ModelUnavailableError):
        await house.hear("speak")
    assert house.lab.api_key not in str(house.lab.ledger.record)
