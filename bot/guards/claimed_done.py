"""An agent says that the mission is over while criteria are open: only recorded evidence ends a mission (rule 8)."""

import re
from dataclasses import dataclass, replace

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.log import Logged
from bot.guards.guard import NOTHING, Found, Guard, seen

CLAIM = re.compile(
    r"\b(?:the|this|our|whole|entire) (?:mission|request|project|goal)(?: itself)? (?:is|was|has been)(?: now| hereby)? "
    r"(?:done|over|complete|completed|finished|fulfilled|accomplished|achieved)\b"
    r"|\bmission (?:complete|completed|accomplished)\b"
    r"|\b(?:all|every one of|each of|both)(?: of)?(?: the| these| our)?(?: \w+)? criteria (?:are|is|have been|were)(?: now| all)? "
    r"(?:done|met|satisfied|verified|fulfilled|proven|shown|passed|complete|completed)\b",
    re.IGNORECASE,
)
LATER = re.compile(r"\b(?:when|once|until|till|before|after|if|unless|not|never|whether|as soon as|so that)\b|n['’]t\b", re.IGNORECASE)  # fmt: skip
SENTENCE = re.compile(r"[.!?;\n]")


@dataclass(frozen=True, slots=True)
class Contract:
    """Numbers of the criteria that nothing settles yet."""

    open: frozenset[int] = frozenset()


def step(state: Contract, logged: Logged) -> tuple[Contract, Found]:
    match logged.entry:
        case log.Planned(criteria):
            return replace(state, open=state.open | {criterion.number for criterion in criteria}), NOTHING
        case log.EvidenceRecorded(evidence) if evidence.outcome == "failed":
            return replace(state, open=state.open | {evidence.criterion}), NOTHING
        case log.EvidenceRecorded(evidence):
            return replace(state, open=state.open - {evidence.criterion}), NOTHING
        case log.CriterionWaived(number):
            return replace(state, open=state.open - {number}), NOTHING
        case log.Spoke(_, by, text) if state.open and (claim := _claim(seen(text))):
            numbers = ", ".join(map(str, sorted(state.open)))
            what = "criteria" if len(state.open) > 1 else "criterion"
            said = f"{by} said that the mission is over; {what} {numbers} {'are' if len(state.open) > 1 else 'is'} open"
            return state, (Detection("claimed_done", "mission", by, logged.id, logged.id, said, (claim,)),)
        case _:
            return state, NOTHING


def _claim(text: str) -> str:
    """The first claim that is about now, not about when or whether it will be so."""
    for found in CLAIM.finditer(text):
        before = SENTENCE.split(text[: found.start()])[-1]
        if not LATER.search(before):
            return found[0]
    return ""


GUARD = Guard(
    "claimed_done", (log.Planned, log.EvidenceRecorded, log.CriterionWaived, log.Spoke), Contract(), step
)  # fmt: skip
