"""A provider's error said aloud as if it were an answer."""

import re

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.log import Logged
from bot.guards.guard import NOTHING, Found, Guard

ERROR = re.compile(
    r"\A\W{0,4}(?:error\b[^\n]{0,60}:\s*)?(?:error code: ?(?:4\d\d|5\d\d)|(?:http )?(?:429|5\d\d) [a-z ]{3,40}(?:error|requests|overloaded)|"
    r"(?:openai|anthropic|google)?\.?\w*(?:RateLimit|APIStatus|InternalServer|Overloaded|APITimeout|APIConnection)\w*Error)",
    re.IGNORECASE,
)
BODY = re.compile(
    r"rate_limit_exceeded|rate limit reached for|tokens per min \(TPM\)|overloaded_error|insufficient_quota",
    re.IGNORECASE,
)


def step(state: None, logged: Logged) -> tuple[None, Found]:
    match logged.entry:
        case log.Spoke(_, by, text) if ERROR.search(text[:400]) or (len(text) < 2000 and BODY.search(text)):
            said = f"{by} said its provider's error aloud"
            return state, (Detection("rate_limit_broadcast", by, by, logged.id, logged.id, said),)
        case _:
            return state, NOTHING


GUARD = Guard("rate_limit_broadcast", (log.Spoke,), None, step)
