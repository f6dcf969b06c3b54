"""What the shell classifier says of a command, as the tools that run commands see it; bot/app.py fits the classifier."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from bot.domain.calls import CallClass


class Understood(Protocol):
    """One command line, understood or not. `segments`: its simple commands as argv, in their order."""

    @property
    def cls(self) -> CallClass: ...
    @property
    def rule(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def segments(self) -> tuple[tuple[str, ...], ...]: ...


Classify = Callable[[str], Understood]


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """Nothing is known of the command, so people decide about it."""

    cls: CallClass = CallClass.UNKNOWN
    rule: str = "shell: no classifier"
    reason: str = "No classifier is fitted, so no command is understood."
    segments: tuple[tuple[str, ...], ...] = ()


NOT_UNDERSTOOD: Final = NotUnderstood()


def understands_nothing(command: str) -> Understood:  # noqa: ARG001 - the classifier's shape
    """The classifier of a program that has none: fail closed."""
    return NOT_UNDERSTOOD
