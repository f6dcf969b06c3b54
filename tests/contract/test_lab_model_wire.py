"""The lab's model server as a provider: usage, refusals, error bodies and faults as both SDKs see them; canaries."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import anthropic
import openai
import pytest

from deploy.lab.model.ledger import forms_of
from tests.contract.lab_model import Agent, Running, context, running_lab


@pytest.fixture
async def lab() -> AsyncIterator[Running]:
    async for running in running_lab("three-vms"):
        yield running


async def test_usage_follows_the_request_and_a_repeated_prefix_is_cached(lab: Running) -> None:
    long = "The estate has two nodes. " * 400
    tools: Any = [{"type": "function", "function": {"name": "proxmox_read", "parameters": {"type": "object"}}}]
    messages: Any = [
        {"role": "system", "content": f"# You are Architect\n{long}"},
        {"role": "user", "content": context()},
    ]
    first = (await lab.openai.chat.completions.create(model="m", messages=messages, tools=tools)).usage
    second = (await lab.openai.chat.completions.create(model="m", messages=messages, tools=tools)).usage
    assert first
    assert second
    assert first.prompt_tokens >= len(long) // 4
    assert first.prompt_tokens_details
    assert second.prompt_tokens_details
    assert first.prompt_tokens_details.cached_tokens == 0
    cached = second.prompt_tokens_details.cached_tokens or 0
    assert second.prompt_tokens - 200 < cached <= second.prompt_tokens
    system: Any = [{"type": "text", "text": f"# You are Architect\n{long}", "cache_control": {"type": "ephemeral"}}]
    user: Any = [{"role": "user", "content": context("one")}]
    other: Any = [{"role": "user", "content": context("two")}]
    cold = await lab.anthropic.messages.create(model="m", max_tokens=9, system=system, messages=user)
    warm = await lab.anthropic.messages.create(model="m", max_tokens=9, system=system, messages=other)
    assert cold.usage.cache_read_input_tokens == 0
    assert (warm.usage.cache_read_input_tokens or 0) > len(long) // 4 - 50
    assert warm.usage.input_tokens < 200


BAD_OPENAI: list[tuple[list[dict[str, Any]], str]] = [
    ([], "Missing required parameter: 'messages'"),
    ([{"role": "wizard", "content": "x"}], "Invalid value: 'wizard'"),
    ([{"role": "tool", "tool_call_id": "c", "content": "x"}], "must be a response to a preceeding message"),
    (
        [
            {"role": "user", "content": "x"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "t", "arguments": "{}"}}],
            },
            {"role": "user", "content": "y"},
        ],
        "did not have response messages: c",
    ),
    (
        [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c" * 41, "type": "function", "function": {"name": "t", "arguments": "{}"}}],
            }
        ],
        "maximum length 40",
    ),
]


@pytest.mark.parametrize(("messages", "words"), BAD_OPENAI)
async def test_openai_refuses_what_the_real_one_refuses(lab: Running, messages: Any, words: str) -> None:
    with pytest.raises(openai.BadRequestError, match=re.escape(words)) as caught:
        await lab.openai.chat.completions.create(model="m", messages=messages)
    assert caught.value.type == "invalid_request_error"
    assert (await lab.report())["refused"][0]["status"] == 400


USE: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "t", "input": {}}
BAD_ANTHROPIC: list[tuple[list[dict[str, Any]], str]] = [
    ([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "must end with a user message"),
    ([{"role": "user", "content": ""}], "non-empty"),
    (
        [{"role": "user", "content": "x"}, {"role": "assistant", "content": [USE]}, {"role": "user", "content": "y"}],
        "without `tool_result` blocks immediately after: toolu_1",
    ),
    (
        [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_9", "content": "z"}]}],
        "unexpected `tool_use_id`",
    ),
    (
        [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [USE | {"id": "7.3.1.0"}]},
            {"role": "user", "content": "y"},
        ],
        "String should match pattern",
    ),
]


@pytest.mark.parametrize(("messages", "words"), BAD_ANTHROPIC)
async def test_anthropic_refuses_what_the_real_one_refuses(lab: Running, messages: Any, words: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=re.escape(words)):
        await lab.anthropic.messages.create(model="m", max_tokens=10, messages=messages)


async def test_a_wrong_key_gets_the_providers_own_error(lab: Running) -> None:
    user: Any = [{"role": "user", "content": "x"}]
    async with openai.AsyncOpenAI(base_url=f"{lab.url}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.chat.completions.create(model="m", messages=user)
        assert caught.value.code == "invalid_api_key"
    async with anthropic.AsyncAnthropic(base_url=lab.url, api_key="wrong", max_retries=0) as other:
        with pytest.raises(anthropic.AuthenticationError):
            await other.messages.create(model="m", max_tokens=9, messages=user)


async def test_both_sdks_list_models(lab: Running) -> None:
    assert [model.id async for model in lab.openai.models.list()]
    assert [model.id async for model in lab.anthropic.models.list()]


async def test_faults_are_errors_of_the_real_kinds_and_run_out(lab: Running) -> None:
    agent = Agent(lab, "openai", "architect", context())
    await lab.post("/lab/fault", {"kind": "rate_limited", "persona": "Architect", "retry_after_s": 0.25})
    with pytest.raises(openai.RateLimitError) as limited:
        await agent.ask()
    assert limited.value.code == "rate_limit_exceeded"
    assert limited.value.response.headers["retry-after-ms"] == "250"
    assert limited.value.response.headers["retry-after"] == "1"
    assert (await agent.ask())[1]
    other = Agent(lab, "anthropic", "architect", context())
    await lab.post("/lab/fault", {"kind": "overloaded", "count": 2})
    for _ in range(2):
        with pytest.raises(anthropic.APIStatusError) as overloaded:
            await other.ask()
        assert overloaded.value.status_code == 529
        assert overloaded.value.type == "overloaded_error"
    await lab.post("/lab/fault", {"kind": "server_error"})
    with pytest.raises(anthropic.InternalServerError):
        await other.ask()
    assert (await other.ask())[1]
    assert (await lab.report())["faults"] == {"rate_limited": 1, "overloaded": 2, "server_error": 1}


async def test_a_fault_of_another_persona_passes_and_hang_ends_with_the_client(lab: Running) -> None:
    await lab.post("/lab/fault", {"kind": "hang", "persona": "builder"})
    assert (await Agent(lab, "openai", "architect", context()).ask())[1]
    builder = Agent(lab, "openai", "builder", context())
    builder.running.openai = lab.openai.with_options(timeout=0.3)
    with pytest.raises(openai.APITimeoutError):
        await builder.ask()
    assert (await lab.report())["faults"] == {"hang": 1}
    unknown = await lab.post("/lab/fault", {"kind": "earthquake"})
    assert "rate_limited" in unknown["error"]


async def test_overlapping_requests_of_two_personas_are_counted(lab: Running) -> None:
    lab.lab.latency_s = 0.2
    one, two = (Agent(lab, "openai", who, context()) for who in ("architect", "qa"))
    await asyncio.gather(one.ask(), two.ask())
    assert (await lab.report())["overlapping_turns"] == 1


async def test_rule_22_secrets_are_seen_in_any_form(lab: Running) -> None:
    await lab.post("/lab/canaries", {"secrets": ["hunter2/passphrase+1"], "thoughts": ["a quiet doubt"]})
    forms = [
        "hunter2/passphrase+1",
        quote("hunter2/passphrase+1", safe=""),
        base64.b64encode(b"user:hunter2/passphrase+1").decode(),
        base64.b64encode(b"ab:hunter2/passphrase+1,and more").decode(),
    ]
    for form in [*forms, "nothing", lab.lab.api_key]:
        await Agent(lab, "openai", "architect", context(form)).ask()
    report = await lab.report()
    assert report["secrets_seen"] == 5
    assert report["thoughts_seen"] == 0
    await Agent(lab, "openai", "architect", context("a quiet doubt")).ask()
    assert (await lab.report())["thoughts_seen"] == 1
    assert all(len(form) >= 8 for form in forms_of("hunter2/passphrase+1"))


@pytest.mark.parametrize("kind", ["think_tag", "think_line", "step_line"])
async def test_rule_2_planted_thoughts_are_woven_into_every_thought(lab: Running, kind: str) -> None:
    await lab.post("/lab/canaries", {"thoughts": ["canary-7f1e"]})
    user: Any = [{"role": "user", "content": context()}]
    reply = await lab.anthropic.messages.create(model="m", max_tokens=99, system="# You are Architect", messages=user)
    assert [block.thinking.endswith("canary-7f1e") for block in reply.content if block.type == "thinking"] == [True]
    await lab.post("/lab/fault", {"kind": kind})
    text, _ = await Agent(lab, "openai", "architect", context()).ask()
    assert "canary-7f1e" in text


async def test_rule_2_a_thought_that_reaches_another_agent_is_counted(lab: Running) -> None:
    await Agent(lab, "openai", "architect", context()).ask()
    thought = "Two nodes, three machines. I want to see what exists before I plan."
    await Agent(lab, "openai", "architect", context(thought)).ask()
    assert (await lab.report())["thoughts_seen"] == 0
    await Agent(lab, "openai", "builder", context(thought)).ask()
    assert (await lab.report())["thoughts_seen"] == 1
