"""What the shell classifier says of a command, as the tools that run commands see it; bot/app.py fits the classifier."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from bot.domain.calls import CallClass


class Understood(Protocol):
    """One command line, understood or not. `line`: the whole of it quoted anew, as what was understood; empty where not
    all of it was.
    """

    @property
    def cls(self) -> CallClass: ...
    @property
    def rule(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def line(self) -> str: ...


Classify = Callable[[str], Understood]


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """Nothing is known of the command, so people decide about it."""

    cls: CallClass = CallClass.UNKNOWN
    rule: str = "shell: no classifier"
    reason: str = "No classifier is fitted, so no command is understood."
    line: str = ""


NOT_UNDERSTOOD: Final = NotUnderstood()


def understands_nothing(command: str) -> Understood:  # noqa: ARG001 - the classifier's shape
    """The classifier of a program that has none: fail closed."""
    return NOT_UNDERSTOOD
