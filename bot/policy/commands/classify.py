"""What a command can do, told of the parsed command and of nothing else. Pure: the catalogue is brought along."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from bot.domain.calls import CallClass, Target
from bot.policy.commands.catalogue import Catalogue
from bot.policy.commands.findings import Finding, Found
from bot.policy.commands.judge import Around, Judge


@dataclass(frozen=True, slots=True)
class Understood:
    """The answer. `decisive` is the finding that made the class.

    `argv` and `line` are what may be run: every segment's words, and the whole line quoted again, with inner command
    lines quoted again too. They are empty unless all of the command was understood, and where it is forbidden.
    """

    cls: CallClass
    decisive: Finding
    findings: tuple[Finding, ...]
    argv: tuple[tuple[str, ...], ...] = ()
    line: str = ""
    targets: tuple[Target, ...] = ()

    @property
    def runs_without_approval(self) -> bool:
        return self.cls is CallClass.READ

    @property
    def rule(self) -> str:
        return self.decisive.rule

    @property
    def reason(self) -> str:
        """Such as `"kubectl delete ns prod" removes a namespace and everything in it`."""
        return f'"{self.decisive.segment}" {self.decisive.reason}'

    def __str__(self) -> str:
        return f"{self.cls}: {self.reason} ({self.rule})"


class Classifier:
    """Classifies with one catalogue. Use one for many commands."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._judge = Judge(catalogue)

    def classify(self, command: str | Sequence[str]) -> Understood:
        """What `command` can do: a line for a shell, or an argv that no shell reads. Never raises."""
        text = command if isinstance(command, str) else shlex.join(command)
        try:
            return self._understood(text)
        except Exception as error:  # noqa: BLE001 # one of the three: whatever goes wrong in here is a doubt, never a yes
            return _unread(text, f"could not be understood ({type(error).__name__})")

    def _understood(self, text: str) -> Understood:
        found = Found()
        judged = self._judge.line(text, Around(), found)
        decisive = found.worst()
        if decisive is None:
            return _unread(text, "has no command")
        targets = tuple(dict.fromkeys(found.targets))
        findings = tuple(found.findings)
        doubted = any(finding.cls in {CallClass.UNKNOWN, CallClass.FORBIDDEN} for finding in findings)
        if not judged.plain or doubted:
            return Understood(decisive.cls, decisive, findings, targets=targets)
        argv = tuple(tuple(word.text for word in simple.words) for simple in judged.commands)
        return Understood(decisive.cls, decisive, findings, argv, judged.text, targets)


def classify(command: str | Sequence[str], catalogue: Catalogue) -> Understood:
    """As Classifier.classify, for one command."""
    return Classifier(catalogue).classify(command)


def _unread(text: str, reason: str) -> Understood:
    head = text[:60].encode("unicode_escape").decode()
    finding = Finding(CallClass.UNKNOWN, head, "classifier", reason)
    return Understood(CallClass.UNKNOWN, finding, (finding,))
