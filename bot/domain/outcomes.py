"""How an agent's turn can end: a closed union. Nobody reads flags."""

from dataclasses import dataclass

from bot.domain.ids import PersonaName, QuestionId, RequestId


@dataclass(frozen=True, slots=True)
class SpokeOut:
    """The agent said something and gave the turn up without naming a successor."""

    text: str


@dataclass(frozen=True, slots=True)
class HandedOver:
    to: PersonaName


@dataclass(frozen=True, slots=True)
class AskedHuman:
    question: QuestionId


@dataclass(frozen=True, slots=True)
class Suspended:
    """Calls wait for people. The turn ends; nothing sleeps."""

    requests: tuple[RequestId, ...]


@dataclass(frozen=True, slots=True)
class LimitReached:
    what: str
    text: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """A human pressed STOP, or the lease went away."""

    why: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The model could not be used; `text` is for people."""

    text: str


@dataclass(frozen=True, slots=True)
class CutShort:
    """An intervention took the turn away; what follows from it is in the log already."""

    why: str


Outcome = SpokeOut | HandedOver | AskedHuman | Suspended | LimitReached | Stopped | Failed | CutShort
