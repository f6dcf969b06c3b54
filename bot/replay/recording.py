"""A recorded conversation, line by line: `{"i","sender","think","content"}`. What cannot be read is counted, not fatal."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

Kind = Literal["human", "system", "turn", "step", "call", "result", "error", "no_tool", "aborted", "thought", "speech"]
HUMANS = frozenset({"user", "human", "operator"})
SYSTEMS = frozenset({"system", "watchbill"})
THINK = "::think"

TURN = re.compile(r"\A\W{0,6}processing message from (.+?)(?:\.\.\.|…)?\s*\Z", re.IGNORECASE)
STEP = re.compile(r"\A\W{0,6}thinking step (\d+)(?:/(\d+))?", re.IGNORECASE)
CALL = re.compile(r"\A\W{0,6}calling tool:? `?([\w.-]+)`?\s*(?:\((.*)\)?\s*)?\Z", re.IGNORECASE | re.DOTALL)
EXECUTING = re.compile(r"\A\W{0,6}executing tool:? `?([\w.-]+)`?", re.IGNORECASE)
RESULT = re.compile(r"\A\W{0,6}tool result \(([\w.-]+)\):?\s*", re.IGNORECASE)
TOOL_ERROR = re.compile(r"\A\W{0,6}tool error(?: \(\d+/\d+\))?:\s*", re.IGNORECASE)
NO_TOOL = re.compile(
    r"\A\W{0,6}(?:tool|function) `?([\w.-]+)`? (?:was )?(?:not found|does not exist|is unknown)|\A\W{0,6}unknown tool:? `?([\w.-]+)",
    re.IGNORECASE,
)
ABORTED = re.compile(r"\A\W{0,6}execution aborted", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Line:
    """One recorded message. `n` is its place in the file, `i` the number it carries. `subject` is the tool or the sender that
    the message is about; `text` what is left of it without the frame that the earlier program put around it.
    """

    n: int
    i: int
    sender: str
    kind: Kind
    subject: str
    text: str
    private: bool


@dataclass(frozen=True, slots=True)
class Recording:
    lines: tuple[Line, ...]
    unreadable: int


def read(path: Path) -> Recording:
    """Raises OSError where there is no such file."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return recorded(file)


def recorded(rows: Iterable[str]) -> Recording:
    lines: list[Line] = []
    unreadable = 0
    for row in rows:
        if not row.strip():
            continue
        raw = _parsed(row)
        if raw is None:
            unreadable += 1
        else:
            lines.append(_line(len(lines), raw))
    return Recording(tuple(lines), unreadable)


def _parsed(row: str) -> Mapping[str, Any] | None:
    try:
        raw: Any = json.loads(row)
    except (ValueError, RecursionError):
        return None
    return cast("Mapping[str, Any]", raw) if isinstance(raw, dict) else None


def _line(n: int, raw: Mapping[str, Any]) -> Line:
    given = raw.get("i")
    i = given if isinstance(given, int) and not isinstance(given, bool) else n
    sender = str(raw.get("sender") or "unknown").strip()
    text = raw.get("content")
    text = text if isinstance(text, str) else "" if text is None else json.dumps(text, ensure_ascii=False)
    private = bool(raw.get("think")) or sender.endswith(THINK)
    sender = sender.removesuffix(THINK)
    kind, subject, text = _kind(sender, text, private=private)
    return Line(n, i, sender, kind, subject, text, private)


def _kind(sender: str, text: str, *, private: bool) -> tuple[Kind, str, str]:
    if sender.lower() in HUMANS:
        return "human", "", text
    if sender.lower() in SYSTEMS:
        return "system", "", text
    head = text[:300]
    if missing := NO_TOOL.match(head):
        return "no_tool", missing[1] or missing[2], text
    if returned := RESULT.match(text):
        return "result", returned[1], text[returned.end() :]
    if executing := EXECUTING.match(head):
        return "call", executing[1], ""
    if not private:
        return "speech", "", text
    return _private(text, head)


def _private(text: str, head: str) -> tuple[Kind, str, str]:
    if found := TURN.match(head):
        return "turn", found[1], ""
    if found := STEP.match(head):
        return "step", found[1], ""
    if found := CALL.match(text):
        return "call", found[1], found[2] or ""
    if found := TOOL_ERROR.match(text):
        return "error", "", text[found.end() :]
    if ABORTED.match(head):
        return "aborted", "", text
    return "thought", "", text


def arguments_of(text: str) -> dict[str, Any]:
    """A recorded call's arguments; those that were cut off come whole as one text."""
    with_brace = text.strip().removesuffix(")")
    try:
        raw: Any = json.loads(with_brace)
    except (ValueError, RecursionError):
        return {"text": with_brace.replace("\\n", "\n").replace('\\"', '"')} if with_brace else {}
    return cast("dict[str, Any]", raw) if isinstance(raw, dict) else {"text": with_brace}


def senders(recording: Recording) -> Iterator[str]:
    """The agents, in the order in which they first appear."""
    yield from dict.fromkeys(line.sender for line in recording.lines if line.kind not in {"human", "system"})
