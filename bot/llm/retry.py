"""Asking again: with the provider's own delay, bounded, under the token budget that all agents share (rule 21)."""

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from bot.domain.model import ModelUnavailableError
from bot.domain.ports import Clock
from bot.domain.storage import TokenBudget
from bot.llm.provider import Completion, ProviderError


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call may take in all. A single delay above `delay_most_s` is not waited for."""

    tries: int = 5
    slow_tries: int = 2  # tries that may run into the time-out
    total_s: float = 300.0
    delay_most_s: float = 90.0
    first_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Share:
    """The part of the shared budget that a call is taken from."""

    pool: str
    per_minute: int
    tokens: int


async def ask_patiently(
    attempt: Callable[[], Awaitable[Completion]],
    *,
    clock: Clock,
    budget: TokenBudget,
    share: Share,
    patience: Patience,
) -> tuple[Completion, int]:
    """The answer and how many tries failed before it. Raises ModelUnavailableError with the last failure's text."""
    began = clock.now()
    failed = slow = 0
    while True:
        await _take(clock, budget, share, patience.total_s - (clock.now() - began).total_seconds())
        try:
            completion = await attempt()
        except ProviderError as error:
            await budget.correct(share.pool, -share.tokens)
            failed, slow = failed + 1, slow + error.slow
            delay = _delay(error, failed, patience)
            if error.limited:
                await budget.pause(share.pool, delay)
            spent = (clock.now() - began).total_seconds()
            over = failed >= patience.tries or slow >= patience.slow_tries or spent + delay > patience.total_s
            if not error.again or over or delay > patience.delay_most_s:
                tried = f" ({failed} tries)" if failed > 1 else ""
                raise ModelUnavailableError(error.text + tried, retry_after_s=error.retry_after_s) from error
            await clock.sleep(delay)
            continue
        used = completion.usage.prompt + completion.usage.completion
        await budget.correct(share.pool, used - share.tokens)
        return completion, failed


def delay_in(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds that the provider asks to wait: retry-after-ms, else retry-after in seconds or as a date."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - now_s)
    except ValueError:
        return None


async def _take(clock: Clock, budget: TokenBudget, share: Share, seconds: float) -> None:
    """Wait for our tokens, at most `seconds`."""
    waited = 0.0
    while wait := await budget.take(share.pool, share.tokens, share.per_minute):
        waited += wait
        if waited > seconds:
            text = f"The shared budget of {share.per_minute:,} tokens a minute for {share.pool} is used up."
            raise ModelUnavailableError(text, retry_after_s=wait)
        await clock.sleep(wait)


def _delay(error: ProviderError, failed: int, patience: Patience) -> float:
    """The provider's own delay, else 1, 2, 4 … seconds; a little more, so that not all come back at once."""
    spread = 1 + random.random() * 0.25  # noqa: S311 # spreading load, no secret
    if error.retry_after_s is not None:
        return error.retry_after_s * spread if error.retry_after_s else 0.1 * spread
    return float(patience.first_s * 2.0 ** (failed - 1) * spread)
