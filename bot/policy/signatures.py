"""The identity of an error: its first telling line without colours, paths, addresses, ids, numbers and times. Pure."""

import re
from dataclasses import dataclass

ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
FRAME = re.compile(r"^[\s│╷╵|]+")
TELLS = re.compile(
    r"\b(?:error|errors|failed|failure|fatal|denied|refused|cannot|not found|no such|unreachable|timed out|timeout|"
    r"unexpected|unsupported|invalid|exception|traceback|unauthorized|forbidden|locked)\b|\[errno",
    re.IGNORECASE,
)
NORMAL: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}(?:[:/]\d+)?"), "<address>"),
    (re.compile(r"\b(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{0,4}\b", re.IGNORECASE), "<address>"),
    (re.compile(r"https?://[^\s\"'<>)]+"), "<url>"),
    (re.compile(r"(?:(?<=[\s\"'`(=:\[])|^)(?:\.{0,2}/)?(?:[\w.@+-]+/)+[\w.@+-]*"), "<path>"),
    (re.compile(r"(?:(?<=[\s\"'`(=:\[])|^)\.{0,2}/?[\w@+-]+\.[a-z][a-z0-9]{1,7}(?=[\s\"'`),:;\]]|$)"), "<path>"),
    (re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\d+(?:\.\d+)?"), "<n>"),
)
LINE = 400  # characters of one line
LONGEST = 200_000  # characters that are looked at: half from each end


@dataclass(frozen=True, slots=True)
class Signature:
    """`key` is the same for the same error, "" where the text tells of none. `knowledge` names a file of
    personas/skills/errors, if one is known to help.
    """

    key: str
    knowledge: str | None = None


def signature_of(text: str, tool: str = "") -> Signature:
    """The signature of the error that `text`, a result of `tool`, tells of."""
    if len(text) > LONGEST:
        text = text[: LONGEST // 2] + "\n" + text[-LONGEST // 2 :]
    lines = [FRAME.sub("", ANSI.sub("", line[:LINE])).strip() for line in text.splitlines()]
    for line in (line for line in lines if TELLS.search(line)):
        for pattern, mark in NORMAL:
            line = pattern.sub(mark, line)  # noqa: PLW2901 # each on what the one before left
        return Signature(f"{tool}|{' '.join(line.casefold().split())[:200]}" if tool else line.casefold()[:200])
    return Signature("")
