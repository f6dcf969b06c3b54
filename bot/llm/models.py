"""The Model port: picks the provider by the model's prefix, asks patiently, falls back, parts speech from thought."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.model import ModelReply, ModelRequest, ModelUnavailableError, StopReason, Usage
from bot.domain.ports import Clock
from bot.domain.storage import TokenBudget
from bot.llm.prices import Prices
from bot.llm.provider import Completion, Provider, ProviderError, estimated_tokens
from bot.llm.retry import Patience, Share, ask_patiently
from bot.policy.speech import cut

SPEECH_MOST = 20_000  # characters; a post is cut far below this, and the log should not hold megabytes
THOUGHT_MOST = 50_000
_NOTHING = Usage()
REST_S = 60.0  # after a model was unavailable its fallback is asked at once for this long


@dataclass(frozen=True, slots=True)
class _Answer:
    """A completion with the model that gave it."""

    model: str
    completion: Completion
    retries: int


class LanguageModels:
    """`providers` by prefix: {"openai": …, "anthropic": …}. `per_minute` tokens are shared per provider."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        prices: Prices,
        *,
        budget: TokenBudget,
        clock: Clock,
        per_minute: int,
        patience: Patience | None = None,
    ) -> None:
        self._providers = providers
        self._prices = prices
        self._budget = budget
        self._clock = clock
        self._per_minute = per_minute
        self._patience = patience or Patience()
        self._resting: dict[str, datetime] = {}

    async def ask(self, request: ModelRequest) -> ModelReply:
        """One answer. Raises ModelUnavailableError when neither the model nor its fallback gives one."""
        began = self._clock.now()
        answer = await self._first_answer(request)
        seconds = (self._clock.now() - began).total_seconds()
        return self._reply(answer, seconds)

    async def close(self) -> None:
        for provider in self._providers.values():
            await provider.close()

    async def _first_answer(self, request: ModelRequest) -> _Answer:
        names = [name for name in dict.fromkeys((request.model, request.fallback)) if name]
        ready = [name for name in names if self._resting.get(name, self._clock.now()) <= self._clock.now()] or names
        problems: list[ModelUnavailableError] = []
        for name in ready:
            try:
                return await self._ask_one(name, request)
            except ModelUnavailableError as error:
                problems.append(error)
                if isinstance(error.__cause__, ProviderError) and error.__cause__.again:
                    rest = min(error.retry_after_s or REST_S, REST_S * 10)
                    self._resting[name] = self._clock.now() + timedelta(seconds=rest)
        text = " ".join(dict.fromkeys(problem.text for problem in problems))
        delays = [problem.retry_after_s for problem in problems if problem.retry_after_s is not None]
        raise ModelUnavailableError(text, retry_after_s=min(delays, default=None)) from problems[-1]

    async def _ask_one(self, name: str, request: ModelRequest) -> _Answer:
        prefix, _, model = name.partition(":")
        provider = self._providers.get(prefix)
        if provider is None or not model:
            known = ", ".join(f"{known}:<model>" for known in self._providers)
            raise ModelUnavailableError(f"'{name}' names no model. A model is {known}.")
        self._prices.cost(name, _NOTHING)  # before the call: what has no price is not asked
        share = Share(prefix, self._per_minute, estimated_tokens(request))
        completion, retries = await ask_patiently(
            lambda: provider.complete(model, request),
            clock=self._clock,
            budget=self._budget,
            share=share,
            patience=self._patience,
        )
        return _Answer(name, completion, retries)

    def _reply(self, answer: _Answer, seconds: float) -> ModelReply:
        found = answer.completion
        parted = cut(_capped(found.text, SPEECH_MOST * 4))
        thought = "\n".join(text for text in (found.thought, parted.thought) if text)
        speech = _capped(parted.speech, SPEECH_MOST)
        stop: StopReason = "empty" if found.stop == "end" and not speech else found.stop
        return ModelReply(
            model=answer.model,
            thought=_capped(thought, THOUGHT_MOST),
            speech=speech,
            calls=found.calls,
            stop=stop,
            usage=found.usage,
            cost_usd=self._prices.cost(answer.model, found.usage, found.written),
            leaks=parted.leaks,
            retries=answer.retries,
            seconds=seconds,
        )


def _capped(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… (cut, {len(text):,} characters)"
