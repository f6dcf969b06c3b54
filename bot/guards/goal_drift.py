"""The crew works on, and no longer on what was asked: hand-offs that name no step of the plan, or long words of the
planning agent, one after the other, that hardly mention anything the human named.
"""

import re
from dataclasses import dataclass, replace

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.ids import EntryId, PersonaName
from bot.domain.log import Logged
from bot.guards.guard import NOTHING, Found, Guard, seen
from bot.policy.coverage import SMALL

PLANNER = PersonaName("architect")
IN_A_ROW = 4
NAMED = 12  # words that say something: a shorter request is no measure for a long text
LONG = 600  # characters from which a text could well mention the goal
PART = 0.22  # of the goal's words: plans name most of them, work on one step about a third
WORD = re.compile(r"[^\W_][\w-]{2,}")


@dataclass(frozen=True, slots=True)
class Goal:
    """`words` are those of the request, and those of the newest long message of a human."""

    words: tuple[frozenset[str], ...] = ()
    planned: bool = False
    off: tuple[EntryId, ...] = ()
    stray: tuple[EntryId, ...] = ()  # hand-offs that name no step


def step(state: Goal, logged: Logged) -> tuple[Goal, Found]:
    match logged.entry:
        case log.MissionOpened(request=text) | log.RequestAmended(text=text) | log.HumanSaid(text=text):
            words = telling(text)
            goals = (*state.words[:1], words) if len(words) >= NAMED else state.words
            return replace(state, words=goals, off=(), stray=()), NOTHING
        case log.Spoke(_, by, text) if by == PLANNER and len(text) >= LONG and state.words:
            words = telling(seen(text))
            if any(len(goal & words) > PART * len(goal) for goal in state.words):
                return replace(state, off=()), NOTHING
            state = replace(state, off=(*state.off, logged.id)[-20:])
            return _judged(state, state.off, logged.id, "spoke at length")
        case log.HandedOff(_, by, _, _, step=number) if by == PLANNER and state.planned:
            if number is not None:
                return replace(state, stray=()), NOTHING
            state = replace(state, stray=(*state.stray, logged.id)[-20:])
            return _judged(state, state.stray, logged.id, "handed work out")
        case log.Planned():
            return replace(state, planned=True, stray=()), NOTHING
        case log.EvidenceRecorded() | log.StopPressed() | log.Intervened():
            return replace(state, off=(), stray=()), NOTHING
        case log.VerdictRecorded() | log.ApprovalEnded():
            return replace(state, stray=()), NOTHING  # work that goes on, whatever its orders are called
        case _:
            return state, NOTHING


def telling(text: str) -> frozenset[str]:
    """The words of a text that say something."""
    return frozenset(word for word in WORD.findall(text.casefold()) if word not in SMALL)


def _judged(state: Goal, run: tuple[EntryId, ...], at: EntryId, how: str) -> tuple[Goal, Found]:
    if len(run) < IN_A_ROW:
        return state, NOTHING
    text = f"{PLANNER} {how} {len(run)} times in a row about something else than the request"
    return state, (Detection("goal_drift", "goal", PLANNER, run[1], at, text),)


GUARD = Guard(
    "goal_drift",
    (
        log.MissionOpened, log.RequestAmended, log.HumanSaid, log.Spoke, log.HandedOff, log.Planned,
        log.EvidenceRecorded, log.StopPressed, log.Intervened, log.VerdictRecorded, log.ApprovalEnded,
    ),
    Goal(),
    step,
)  # fmt: skip
