"""What a request says, in one form for both wire formats. Everything a scenario may react to is read from here."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

TITLE = re.compile(r"\A# You are (.+?)\s*$", re.MULTILINE)
HEADING = re.compile(r"^#{1,2} (.+?)\s*$", re.MULTILINE)
MISSION = re.compile(r"^# Mission (\S+)", re.MULTILINE)
RESULT_HEAD = re.compile(r"\A\[result (\S+)\] (\S+) (\w+)")
TASK = "Your task"


@dataclass(frozen=True, slots=True)
class Call:
    """A call in an earlier answer. `raw` is the arguments as JSON text."""

    id: str
    tool: str
    raw: str

    @property
    def arguments(self) -> Any:
        try:
            return json.loads(self.raw)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. A wire message with several tool results becomes several turns."""

    role: Literal["user", "assistant", "tool"]
    text: str = ""
    calls: tuple[Call, ...] = ()
    call_id: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """A tool result. `id` is the one that the first line of its text names, which other tools want to hear."""

    id: str
    tool: str
    status: str
    text: str


@dataclass(frozen=True)
class Conversation:
    """`tools` maps each offered tool to the names of the arguments that it requires."""

    system: str
    turns: tuple[Turn, ...]
    tools: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def persona(self) -> str:
        """Lower case, "" where the system prompt does not begin with "# You are …"."""
        found = TITLE.search(self.system)
        return found.group(1).lower() if found else ""

    @cached_property
    def mission(self) -> str:
        found = MISSION.search(self.context)
        return found.group(1) if found else ""

    @cached_property
    def context(self) -> str:
        """The first user message."""
        return next((turn.text for turn in self.turns if turn.role == "user"), "")

    @cached_property
    def sections(self) -> dict[str, str]:
        """The context by its headings of one or two #; a heading that comes twice keeps its first text."""
        found: dict[str, str] = {}
        heads = list(HEADING.finditer(self.context))
        for head, following in zip(heads, [*heads[1:], None], strict=True):
            end = following.start() if following else len(self.context)
            found.setdefault(head.group(1), self.context[head.end() : end].strip())
        return found

    def section(self, name: str) -> str:
        """The section whose heading begins with `name`."""
        wanted = name.lower()
        return next((text for head, text in self.sections.items() if head.lower().startswith(wanted)), "")

    @cached_property
    def heard(self) -> str:
        """The user's words that no answer has followed yet; the task of the context where there are none."""
        waiting: list[str] = []
        for index in range(len(self.turns) - 1, 0, -1):
            turn = self.turns[index]
            if turn.role == "assistant":
                break
            if turn.role == "user":
                waiting.append(turn.text)
        if waiting:
            return "\n".join(reversed(waiting))
        return "" if any(turn.role == "assistant" for turn in self.turns) else self.section(TASK)

    @cached_property
    def results(self) -> tuple[Result, ...]:
        """All tool results, oldest first."""
        names = {call.id: call.tool for call in self.calls}
        return tuple(_result(turn, names) for turn in self.turns if turn.role == "tool")

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        return tuple(call for turn in self.turns for call in turn.calls)

    def latest(self, tool: str) -> Result | None:
        return next((result for result in reversed(self.results) if result.tool == tool), None)

    def without_mistakes(self) -> "Conversation":
        """The conversation without the steps that could only fail: an unknown tool, or none of the needed arguments.

        A model that made such a step tries the right one again, so a scenario need not foresee it.
        """
        kept: list[Turn] = []
        dropped: set[str] = set()
        for turn in self.turns:
            if turn.calls and all(self._mistaken(call) for call in turn.calls):
                dropped |= {call.id for call in turn.calls}
            elif not (turn.role == "tool" and turn.call_id in dropped):
                kept.append(turn)
        return replace(self, turns=tuple(kept))

    def _mistaken(self, call: Call) -> bool:
        required = self.tools.get(call.tool)
        return required is None or (bool(required) and not call.arguments)


def _result(turn: Turn, names: Mapping[str, str]) -> Result:
    head = RESULT_HEAD.match(turn.text)
    if head:
        return Result(head.group(1), head.group(2), head.group(3), turn.text)
    return Result(turn.call_id, names.get(turn.call_id, ""), "failed" if turn.failed else "ok", turn.text)


@dataclass(frozen=True, slots=True)
class AnswerCall:
    """A call that the model proposes. `raw` is what goes over the wire, which a fault may have broken."""

    tool: str
    raw: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model answers, before a wire format is chosen."""

    text: str = ""
    thought: str = ""
    calls: tuple[AnswerCall, ...] = ()
    stop: Literal["", "truncated", "refused"] = ""
