"""What a provider's failure means, in words for people that hold no secret. Neither SDK is needed to say it."""

import re

from bot.llm.provider import ProviderError

SAID_LENGTH = 200
SDK_LEAD = re.compile(r"^Error code: \d+ - ")  # the SDK's own words before the provider's
NO_CREDIT = ("insufficient_quota", "billing", "credit balance", "exceeded your current quota")
OVERLOADED = (429, 503, 529)


def unreachable(title: str, timeout_s: float | None) -> ProviderError:
    if timeout_s is None:
        return ProviderError(f"{title} cannot be reached.", again=True)
    return ProviderError(f"{title} did not answer within {timeout_s:g} s.", again=True, slow=True)


def bad_answer(title: str) -> ProviderError:
    return ProviderError(f"{title} sent something that is no answer.", again=True)


def unserved(
    title: str, status: int, *, model: str, code: str, said: str, delay_s: float | None, again: str | None, setting: str
) -> ProviderError:
    """An answer with an error status. `code` and `said` are the provider's, `again` its word on trying again."""
    whole = f"{code} {said}".lower()
    if status in {401, 403}:
        return ProviderError(f"{title} does not accept the key ({status}). Check {setting}.", again=False)
    if status == 402 or any(sign in whole for sign in NO_CREDIT):
        return ProviderError(f"{title}: the account's credit is used up. Add credit or use another model.", again=False)
    if status == 404:
        text = f"{title} has no model '{model}'. Change `model` in personas/, or WATCHBILL_MODEL."
        return ProviderError(text, again=False)
    if status in OVERLOADED:
        words = "refuses for now, too many tokens or requests" if status == 429 else "is overloaded"
        return ProviderError(
            f"{title} {words} ({status}).", again=again != "false", retry_after_s=delay_s, limited=True
        )
    if status in {408, 409} or status >= 500 or again == "true":
        return ProviderError(f"{title} failed ({status}).", again=again != "false", retry_after_s=delay_s)
    short = " ".join(SDK_LEAD.sub("", said).split())[:SAID_LENGTH]
    return ProviderError(f"{title} refuses the request ({status}): {short}", again=False)
