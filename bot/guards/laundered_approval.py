"""Somebody says that the review passed, while the reviewer's last word was a block."""

import re
from dataclasses import dataclass

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.ids import PersonaName
from bot.domain.log import Logged
from bot.guards.guard import NOTHING, Found, Guard, seen

CLAIM = re.compile(
    r"\b(?:security|sentinel|review(?:er)?)\w*(?: has| have| review| was| is| returned| replied)*[ \"“']{0,3}approv(?:ed|al (?:received|granted))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Blocked:
    """`revision` is "" while nothing is blocked."""

    revision: str = ""
    by: PersonaName = PersonaName("")


def step(state: Blocked, logged: Logged) -> tuple[Blocked, Found]:
    match logged.entry:
        case log.VerdictRecorded(verdict):
            return (Blocked() if verdict.passed else Blocked(verdict.revision, verdict.by)), NOTHING
        case log.StopPressed():
            return Blocked(), NOTHING
        case log.Spoke(_, by, text) | log.HandedOff(_, by, _, text) if state.revision and by != state.by:
            if CLAIM.search(seen(text)):
                said = f"{by} said the review passed; {state.by}'s last verdict is a block"
                found = Detection("laundered_approval", state.revision, by, logged.id, logged.id, said)
                return state, (found,)
            return state, NOTHING
        case _:
            return state, NOTHING


GUARD = Guard("laundered_approval", (log.VerdictRecorded, log.StopPressed, log.Spoke, log.HandedOff), Blocked(), step)
