"""A list handed over as a string: in a call's arguments, or told by the error it makes far from its cause."""

import re
from dataclasses import dataclass

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.ids import EntryId, PersonaName
from bot.domain.log import Logged
from bot.guards.guard import NOTHING, Found, Guard, seen, strings

# key=value gives Ansible and Jinja a string, whatever the value looks like; only a JSON object keeps types.
AS_TEXT = re.compile(r"(?:--extra-vars|(?<![\w-])-e)[ =]+(?![\\\"' ]*[{@])[\\\"']*\w+\s*=\s*[\\\"']*\[")
TOLD = re.compile(
    r"unexpected '?\[|(?:saddr|daddr|dport|sport)\s+\[|"
    r"\[ ?(?:tcp|udp|ip6?|accept|drop)\b|"
    r"(?:list|array|sequence) (?:is )?(?:required|expected),? (?:but )?got (?:a )?str|expected (?:a )?(?:list|array)[^.\n]{0,40}got (?:a )?str|"
    r"is (?:a )?string, not (?:a )?list|string (?:is |was )?(?:read|treated|iterated) as (?:a )?list|"
    r"list of string required|set of string required",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Shown:
    at: tuple[EntryId, ...] = ()


def step(state: Shown, logged: Logged) -> tuple[Shown, Found]:
    match logged.entry:
        case log.ModelReplied(persona=by, calls=calls):
            for call in calls:
                if any(AS_TEXT.search(seen(text)) for text in strings(call.arguments)):
                    return _found(
                        state,
                        by,
                        logged.id,
                        f"{by} handed {call.tool} a list as key=value text: it arrives as a string",
                    )
            return state, NOTHING
        case log.ToolReturned(persona=by, result=result) if result.status == "failed" and _told(result.text):
            return _found(state, by, logged.id, f"{result.tool} failed as it does where a string stands for a list")
        case log.Spoke(_, by, text) if _told(text):
            return _found(state, by, logged.id, f"{by} tells of an error that a string in place of a list makes")
        case _:
            return state, NOTHING


def _told(text: str) -> bool:
    """The error's words stand in `text`; lines that hold none of its parts are not matched at all."""
    lines = (line for line in seen(text).splitlines() if "[" in line or "tring" in line or "array" in line)
    return any(TOLD.search(line) for line in lines)


def _found(state: Shown, by: PersonaName, at: EntryId, text: str) -> tuple[Shown, Found]:
    state = Shown((*state.at, at)[-10:])
    return state, (Detection("string_vs_list", "list as text", by, at, at, text),)


GUARD = Guard("string_vs_list", (log.ModelReplied, log.ToolReturned, log.Spoke), Shown(), step)
