"""Limits of a mission and of each agent in it: policies/limits.yaml (rule 20). Pure: asked before each model call."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bot.domain.ids import PersonaName
from bot.domain.outcomes import LimitReached
from bot.domain.people import Role
from bot.domain.state import Mission, Spend

POSITIVE = Annotated[float, Field(gt=0)]
COUNT = Annotated[int, Field(gt=0)]


class AgentEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    usd: POSITIVE
    tokens: COUNT
    steps: COUNT


class MissionEntry(AgentEntry):
    minutes: POSITIVE


class ExtendEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    roles: Annotated[list[Role], Field(min_length=1)]
    factor: Annotated[float, Field(gt=1, le=10)] = 1.5


class LimitsFile(BaseModel):
    """policies/limits.yaml as written."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    mission: MissionEntry
    personas: dict[str, AgentEntry] = {}
    warn_at: Annotated[float, Field(gt=0, lt=1)] = 0.8
    extend: ExtendEntry

    def typed(self) -> "Limits":
        personas = {
            PersonaName(name): Limit(entry.usd, entry.tokens, entry.steps) for name, entry in self.personas.items()
        }
        mission = Limit(self.mission.usd, self.mission.tokens, self.mission.steps)
        return Limits(
            mission, self.mission.minutes, personas, self.warn_at, frozenset(self.extend.roles), self.extend.factor
        )


@dataclass(frozen=True, slots=True)
class Limit:
    usd: float
    tokens: int
    steps: int


@dataclass(frozen=True, slots=True)
class Used:
    """One limit and what is used of it. `what` is its key ("mission usd"), `text` is for people."""

    what: str
    part: float  # 1.0 is the limit
    text: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits times the mission's factor, which extensions raise. `minutes` leave out waiting for people."""

    mission: Limit
    minutes: float
    personas: Mapping[PersonaName, Limit]
    warn_at: float
    extenders: frozenset[Role]
    factor: float

    def reached(
        self, mission: Mission, persona: PersonaName, now: datetime, *, tokens: int = 0, usd: float = 0.0
    ) -> LimitReached | None:
        """The limit that the next call would break, or None. `tokens` and `usd` are what that call may take."""
        for used in self.used(mission, persona, now, Spend(usd=usd, prompt=tokens)):
            if used.part >= 1.0:
                return LimitReached(used.what, f"The limit is reached: {used.text}")
        return None

    def near(self, mission: Mission, persona: PersonaName, now: datetime) -> tuple[Used, ...]:
        """Limits past the warning mark that were not warned of yet."""
        return tuple(
            used
            for used in self.used(mission, persona, now, Spend())
            if used.part >= self.warn_at and used.what not in mission.warned
        )

    def used(self, mission: Mission, persona: PersonaName, now: datetime, more: Spend) -> Iterator[Used]:
        """Every limit that counts for this agent in this mission, with `more` added to what was spent."""
        yield from _spent("mission", mission.spend, more, self.mission, mission.factor)
        if own := self.personas.get(persona):
            yield from _spent(persona, mission.spend_by.get(persona, Spend()), more, own, mission.factor)
        waiting = (now - mission.waiting_since).total_seconds() if mission.waiting_since else 0.0
        minutes = ((now - mission.opened_at).total_seconds() - mission.waited_s - waiting) / 60
        most = self.minutes * mission.factor
        yield Used("mission minutes", minutes / most, f"{minutes:.0f} of {most:.0f} minutes of work")


def _spent(who: str, spend: Spend, more: Spend, limit: Limit, factor: float) -> Iterator[Used]:
    usd, tokens, steps = limit.usd * factor, int(limit.tokens * factor), int(limit.steps * factor)
    yield Used(f"{who} usd", (spend.usd + more.usd) / usd, f"{who} spent ${spend.usd:.2f} of ${usd:.2f}")
    total = spend.tokens + more.tokens
    yield Used(f"{who} tokens", total / tokens, f"{who} used {spend.tokens:,} of {tokens:,} tokens")
    yield Used(f"{who} steps", spend.steps / steps, f"{who} took {spend.steps} of {steps} steps")
