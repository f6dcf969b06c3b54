"""Asking again: delays, bounds and the shared budget, without a provider."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.model import ModelUnavailableError, Usage
from bot.llm.provider import Completion, ProviderError
from bot.llm.retry import Patience, Share, ask_patiently, delay_in

DONE = Completion("ok", "", (), "end", Usage(100, 20))
SHARE = Share("openai", 1000, 300)


class Watch:
    def __init__(self) -> None:
        self.slept: list[float] = []
        self._now = datetime(2026, 11, 23, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._now += timedelta(seconds=seconds)


class Purse:
    """Holds `left` tokens; more come only by `correct`, or by being asked `patience` times."""

    def __init__(self, left: int = 10_000, waits: int = 0) -> None:
        self.left = left
        self.waits = waits
        self.paused: list[float] = []

    async def take(self, pool: str, tokens: int, per_minute: int) -> float:
        assert (pool, per_minute) == ("openai", 1000)
        if self.waits:
            self.waits -= 1
            return 20.0
        self.left -= tokens
        return 0.0

    async def pause(self, pool: str, seconds: float) -> None:
        assert pool == "openai"
        self.paused.append(seconds)

    async def correct(self, pool: str, tokens: int) -> None:
        assert pool == "openai"
        self.left -= tokens


def failing(*errors: ProviderError) -> tuple[Callable[[], object], list[int]]:
    """An attempt that raises `errors` one after the other, then answers; and a count of its calls."""
    waiting = list(errors)
    calls: list[int] = []

    async def attempt() -> Completion:
        calls.append(1)
        if waiting:
            raise waiting.pop(0)
        return DONE

    return attempt, calls


async def ask(attempt: Callable[[], object], clock: Watch, purse: Purse, patience: Patience) -> tuple[Completion, int]:
    return await ask_patiently(attempt, clock=clock, budget=purse, share=SHARE, patience=patience)  # type: ignore[arg-type] # awaitable


async def test_rule_21_tokens_are_taken_before_and_corrected_after() -> None:
    purse = Purse(1000)
    attempt, _ = failing()
    assert await ask(attempt, Watch(), purse, Patience()) == (DONE, 0)
    assert purse.left == 1000 - 120


async def test_rule_21_a_failed_try_gives_its_tokens_back() -> None:
    purse = Purse(1000)
    attempt, _ = failing(ProviderError("no", again=True), ProviderError("no", again=True))
    assert await ask(attempt, Watch(), purse, Patience()) == (DONE, 2)
    assert purse.left == 1000 - 120
    assert purse.paused == []


async def test_rule_21_the_shared_budget_is_waited_for_and_bounded() -> None:
    clock = Watch()
    attempt, calls = failing()
    await ask(attempt, clock, Purse(waits=3), Patience())
    assert clock.slept == [20.0, 20.0, 20.0]
    with pytest.raises(ModelUnavailableError, match="1,000 tokens a minute for openai"):
        await ask(attempt, Watch(), Purse(waits=99), Patience(total_s=60))
    assert len(calls) == 1


async def test_rule_21_a_limit_pauses_everybody() -> None:
    clock, purse = Watch(), Purse()
    attempt, _ = failing(ProviderError("slow down", again=True, retry_after_s=30, limited=True))
    await ask(attempt, clock, purse, Patience())
    assert purse.paused == clock.slept
    assert 30 <= clock.slept[0] <= 37.5


async def test_rule_21_delays_grow_and_end_within_the_total() -> None:
    clock = Watch()
    attempt, calls = failing(*[ProviderError("no", again=True) for _ in range(50)])
    with pytest.raises(ModelUnavailableError, match=r"no \(\d+ tries\)"):
        await ask(attempt, clock, Purse(), Patience(tries=50, total_s=100))
    assert clock.slept == sorted(clock.slept)
    assert sum(clock.slept) <= 100
    assert 4 <= len(calls) < 50


async def test_what_cannot_get_better_is_asked_once() -> None:
    attempt, calls = failing(ProviderError("the key is wrong", again=False))
    with pytest.raises(ModelUnavailableError) as caught:
        await ask(attempt, Watch(), Purse(), Patience())
    assert caught.value.text == "the key is wrong"
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "9"}, 9.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "Mon, 23 Nov 2026 00:00:30 GMT"}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 00:00:30 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_rule_21_the_providers_delay_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC).timestamp()
    assert delay_in(headers, now) == seconds


@given(st.text(max_size=30), st.text(max_size=30))
def test_rule_21_no_header_breaks_the_reading(ms: str, plain: str) -> None:
    seconds = delay_in({"retry-after-ms": ms, "retry-after": plain}, 0.0)
    assert seconds is None or 0 <= seconds < float("inf")
