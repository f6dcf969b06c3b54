"""openai: models on endpoints that are not quite like the lab's: other parameters, missing parts, reasoning fields."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from bot.domain.model import Heard, ModelRequest, ToolSpec, Usage
from bot.llm.openai import OpenAi
from bot.llm.provider import Endpoint, ProviderError

REQUEST = ModelRequest("openai:m", "s", (Heard("hello"),), (ToolSpec("t", "d", {"type": "object"}),), max_tokens=77)
Answer = Callable[[dict[str, Any]], tuple[int, Any]]


@asynccontextmanager
async def endpoint(answer: Answer) -> AsyncGenerator[tuple[OpenAi, list[dict[str, Any]]]]:
    """A compatible server that answers with `answer(body)`, and what it got."""
    got: list[dict[str, Any]] = []

    async def chat(request: web.Request) -> web.Response:
        got.append(await request.json())
        status, body = answer(got[-1])
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    provider = OpenAi(Endpoint(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", ""))
    try:
        yield provider, got
    finally:
        await provider.close()
        await runner.cleanup()


def said(**message: Any) -> tuple[int, dict[str, Any]]:
    return 200, {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}]}


def refused(text: str) -> tuple[int, dict[str, Any]]:
    return 400, {"error": {"message": text, "type": "invalid_request_error", "param": None, "code": None}}


async def test_a_server_that_knows_only_max_tokens_gets_it_and_is_remembered() -> None:
    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        if "max_completion_tokens" in body:
            return refused("Unrecognized request argument supplied: max_completion_tokens")
        return said(content="hi")

    async with endpoint(answer) as (provider, got):
        assert (await provider.complete("m", REQUEST)).text == "hi"
        await provider.complete("m", REQUEST)
    assert [body.get("max_tokens") for body in got] == [None, 77, 77]
    assert got[0]["max_completion_tokens"] == 77


async def test_a_model_that_takes_tools_only_without_reasoning_gets_them_so() -> None:
    words = (
        "Function tools with reasoning_effort are not supported for m in /v1/chat/completions. "
        "To use function tools, use /v1/responses or set reasoning_effort to 'none'."
    )
    async with endpoint(lambda body: said(content="hi") if "reasoning_effort" in body else refused(words)) as (
        provider,
        got,
    ):
        assert (await provider.complete("m", REQUEST)).stop == "end"
    assert [body.get("reasoning_effort") for body in got] == [None, "none"]


async def test_a_refusal_that_repeats_ends() -> None:
    async with endpoint(lambda _: refused("reasoning_effort of tools is wrong, max_completion_tokens too")) as (
        provider,
        got,
    ):
        with pytest.raises(ProviderError, match=r"refuses the request \(400\)"):
            await provider.complete("m", REQUEST)
    assert len(got) <= 4


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_rule_2_reasoning_fields_of_compatible_servers_are_thought(name: str) -> None:
    async with endpoint(lambda _: said(content="hi", **{name: "I doubt it."})) as (provider, _):
        completion = await provider.complete("m", REQUEST)
    assert (completion.text, completion.thought) == ("hi", "I doubt it.")
    assert completion.usage == Usage()


NO_ANSWERS: list[Any] = [{}, {"choices": []}, {"choices": [{}]}, {"error": {"message": "busy"}}, [], "text"]


@pytest.mark.parametrize("body", NO_ANSWERS)
async def test_a_200_that_is_no_answer_may_be_asked_again(body: Any) -> None:
    async with endpoint(lambda _: (200, body)) as (provider, _):
        with pytest.raises(ProviderError, match="no answer") as caught:
            await provider.complete("m", REQUEST)
    assert caught.value.again


@pytest.mark.parametrize(
    ("status", "body", "words", "again"),
    [
        (401, {"error": {"message": "Incorrect API key provided: sk-abc123", "code": "invalid_api_key"}}, "KEY", False),
        (403, {"error": {"message": "no"}}, "WATCHBILL_OPENAI_API_KEY", False),
        (404, {"error": {"message": "no such model", "code": "model_not_found"}}, "no model 'm'", False),
        (429, {"error": {"message": "quota", "code": "insufficient_quota"}}, "credit", False),
        (429, {"error": {"message": "slow"}}, "too many tokens", True),
        (413, {"error": {"message": "large"}}, "refuses the request (413): large", False),
        (503, {}, "overloaded", True),
        (500, "oops", "failed (500)", True),
    ],
)
async def test_each_status_is_said_in_words_for_people(status: int, body: Any, words: str, again: bool) -> None:  # noqa: FBT001 # a table
    async with endpoint(lambda _: (status, body)) as (provider, _):
        with pytest.raises(ProviderError) as caught:
            await provider.complete("m", REQUEST)
    assert words in caught.value.text
    assert caught.value.again is again
    assert "sk-abc123" not in caught.value.text


async def test_without_a_key_openais_own_endpoint_is_not_asked() -> None:
    with pytest.raises(ProviderError, match="WATCHBILL_OPENAI_API_KEY") as caught:
        await OpenAi(Endpoint()).complete("m", REQUEST)
    assert not caught.value.again


async def test_nobody_at_the_address_is_said_and_tried_again() -> None:
    provider = OpenAi(Endpoint("http://127.0.0.1:9/v1", "k"))
    with pytest.raises(ProviderError, match="cannot be reached") as caught:
        await provider.complete("m", REQUEST)
    assert caught.value.again
    await provider.close()
