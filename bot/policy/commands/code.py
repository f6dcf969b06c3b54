"""Code in other languages that stands on a command line. What is read here can be a read; the rest never is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bot.domain.calls import CallClass
from bot.policy.commands.entries import Judgement
from bot.policy.commands.script_effects import Script
from bot.policy.commands.scripts import read_awk, read_jq, read_sed
from bot.policy.commands.sql import read_sql

READERS = {"sql": read_sql, "sed": read_sed, "awk": read_awk, "jq": read_jq}


@dataclass(frozen=True, slots=True)
class Code:
    """What code does: judgements, the shell commands in it, the files that it reads and writes."""

    judgements: tuple[Judgement, ...]
    commands: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


def judge_code(language: str, text: str, destroys: Sequence[str]) -> Code:
    """What `text` does. `destroys` are the words of a language that is not read here which show harm."""
    reader = READERS.get(language)
    if reader is not None:
        script: Script = reader(text)
        return Code(tuple(script.judgements), tuple(script.commands), tuple(script.reads), tuple(script.writes))
    unread = Judgement(CallClass.UNKNOWN, f"runs {language} code, which is not read here")
    word = next((found for pattern in destroys if (found := _found(pattern, text))), None)
    if word is None:
        return Code((unread,))
    return Code((Judgement(CallClass.DESTROY, f"runs {language} code with {word} in it"),))


def _found(pattern: str, text: str) -> str | None:
    """The whole word of `text` that matches: `exec*` finds execSync, `!*` anything after a bang."""
    body = re.escape(pattern).replace(r"\*", r".*" if not pattern[:1].isalnum() else r"\w*")
    ends = r"(?<![\w.-])" if pattern[:1].isalnum() else ""
    found = re.search(rf"{ends}{body}(?!\w)" if pattern[-1:].isalnum() else rf"{ends}{body}", text) or (
        re.search(rf"(?<![\w-]){body}\b", text) if pattern[:1].isalnum() else None
    )
    return found.group()[:40] if found else None
