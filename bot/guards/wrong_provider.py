"""Terraform looks for a provider that does not exist, or that this house does not allow."""

import re

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.log import Logged
from bot.guards.guard import NOTHING, Found, Guard, seen

ANSI = re.compile(r"\x1b\[[0-9;]*m")
REFUSED = re.compile(
    r"Failed to query available provider|does not have a provider named|Invalid provider (?:type|source|namespace|registry host)|"
    r"Could not retrieve the list of available versions for provider|provider registry [^\n]{0,80} (?:no longer|not) (?:has|found)|"
    r"provider `?[^\n`]{1,80}`? is not (?:the one|allowed here)",
    re.IGNORECASE,
)
NAME = re.compile(r"\b((?:registry\.[\w.]+/)?[a-z0-9-]+/[a-z0-9-]+|[a-z0-9-]+\.[a-z0-9-]+)\b", re.IGNORECASE)


def step(state: None, logged: Logged) -> tuple[None, Found]:
    match logged.entry:
        case log.ToolReturned(persona=by, result=result) if result.status in {"failed", "refused"}:
            text = ANSI.sub("", seen(result.text))
            found = REFUSED.search(text)
            if not found:
                return state, NOTHING
            name = NAME.search(text, found.start())
            said = f"{by} asked Terraform for a provider that is not there: {name[1] if name else 'no name'}"
            return state, (Detection("wrong_provider", "provider", by, logged.id, logged.id, said),)
        case _:
            return state, NOTHING


GUARD = Guard("wrong_provider", (log.ToolReturned,), None, step)
