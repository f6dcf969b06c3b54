"""`python -m bot classify`: what a command can do, for programs line by line and for people with the parse shown."""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from bot.domain.calls import CallClass
from bot.policy.commands.classify import Classifier, Understood

LONGEST_LINE = 4 * 1024 * 1024  # of input: a command of 1 MB may be 6 MB escaped, and is refused all the same
NO_OBJECT = 'this line is no JSON object with a "command" that is text'


def answer_lines(source: BinaryIO, sink: BinaryIO, classifier: Classifier) -> None:
    """One JSON object in, one out, in order and at once; a line that cannot be read is answered too."""
    for line in _lines(source):
        sink.write(json.dumps(_answer(line, classifier)).encode() + b"\n")
        sink.flush()


def show(understood: Understood) -> str:
    """The answer for people: the class and why, what was found in each part, and what would be run."""
    rows = [str(understood), ""]
    for finding in dict.fromkeys(understood.findings):
        rows.append(f"  {finding.cls:<15} {finding.segment}")
        rows.append(f"  {'':<15} {finding.reason} ({finding.rule})")
    rows += [f"  {'target':<15} {target.kind} {target.name}" for target in understood.targets]
    if understood.line:
        rows += ["", *(f"  {'argv':<15} {json.dumps(argv, ensure_ascii=False)}" for argv in understood.argv)]
        rows.append(f"  {'as it would run':<15} {understood.line}")
    else:
        rows += ["", "  Not all of it is understood, or it is forbidden: there is no argv to run."]
    return "\n".join(rows)


def _lines(source: BinaryIO) -> Iterator[bytes | None]:
    """Lines of bounded length; None for one that is longer."""
    while line := source.readline(LONGEST_LINE):
        if len(line) < LONGEST_LINE or line.endswith(b"\n"):
            yield line
            continue
        while (rest := source.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
            pass
        yield None


def _answer(line: bytes | None, classifier: Classifier) -> dict[str, Any]:
    if line is None:
        return _refused(None, f"this line is longer than {LONGEST_LINE} bytes", forbidden=True)
    try:
        given = json.loads(line.decode())
    except UnicodeDecodeError:
        return _refused(None, "this line is not UTF-8", forbidden=True)
    except (ValueError, RecursionError):
        return _refused(None, NO_OBJECT)
    command = given.get("command") if isinstance(given, dict) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType] # any JSON
    if not isinstance(command, str):
        return _refused(None, NO_OBJECT)
    understood = classifier.classify(command)
    return {
        "command": command,
        "class": understood.cls,
        "runs_without_approval": understood.runs_without_approval,
        "rule": understood.rule,
        "reason": understood.reason,
    }


def _refused(command: str | None, reason: str, *, forbidden: bool = False) -> dict[str, Any]:
    return {
        "command": command,
        "class": CallClass.FORBIDDEN if forbidden else CallClass.UNKNOWN,
        "runs_without_approval": False,
        "rule": "input",
        "reason": reason,
    }
