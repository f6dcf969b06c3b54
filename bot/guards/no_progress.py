"""Turns in a row that changed neither code nor the world, plan, evidence or open questions."""

from dataclasses import dataclass

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.ids import EntryId, PersonaName
from bot.domain.log import Logged
from bot.guards.guard import NOTHING, Found, Guard, acted

TURNS = 6  # the longest way of a healthy mission without any is four: hand over, review, verdict back, hand over


@dataclass(frozen=True, slots=True)
class Idle:
    turns: tuple[tuple[EntryId, PersonaName], ...] = ()
    verdicts: frozenset[str] = frozenset()


def step(state: Idle, logged: Logged) -> tuple[Idle, Found]:
    match logged.entry:
        case log.TurnEnded(_, by):
            turns = (*state.turns, (logged.id, by))[-20:]
            state = Idle(turns, state.verdicts)
            if len(turns) < TURNS:
                return state, NOTHING
            text = f"{len(turns)} turns changed no code, plan, evidence or open question"
            facts = tuple(f"{who} at {at}" for at, who in turns[-TURNS:])
            return state, (Detection("no_progress", "mission", by, turns[1][0], logged.id, text, facts),)
        case log.VerdictRecorded(verdict):
            if verdict.revision in state.verdicts:
                return state, NOTHING
            return Idle((), frozenset([*state.verdicts, verdict.revision][-64:])), NOTHING
        case log.ToolReturned():
            return (Idle((), state.verdicts) if acted(logged.entry) else state), NOTHING
        case _:
            return Idle((), state.verdicts), NOTHING


GUARD = Guard(
    "no_progress",
    (
        log.TurnEnded, log.VerdictRecorded, log.ToolReturned, log.MissionOpened, log.HumanSaid, log.RequestAmended,
        log.Planned, log.EvidenceRecorded, log.CriterionWaived, log.FindingAccepted, log.Asked, log.QuestionAnswered,
        log.ApprovalAsked, log.ApprovalEnded, log.BudgetExtended, log.StopPressed, log.Intervened,
    ),
    Idle(),
    step,
)  # fmt: skip
