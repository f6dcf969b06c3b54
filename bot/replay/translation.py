"""Recorded messages as entries of our log: what would have been written if the agents had said and done these things here.

The earlier crew spoke a protocol of words. A reviewer's STOP or SECURITY ALERT is a verdict that blocks, its APPROVED a
verdict that passes; a mention is a hand-off; "Processing message from …" is the start of a turn, and what woke it is looked for.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from bot.domain import log
from bot.domain.calls import CallClass, ResultStatus, ToolResult
from bot.domain.contract import Finding, Verdict
from bot.domain.ids import CallId, EntryId, MissionId, PersonaName, Thread, UserId
from bot.domain.log import Entry, Logged
from bot.domain.model import ProposedCall, Usage
from bot.replay.recording import THINK, Line, arguments_of

AT = datetime(2026, 1, 1, tzinfo=UTC)  # recordings carry no time
PERSON = UserId("person")
ARCHITECT = PersonaName("architect")
ROLES: tuple[tuple[re.Pattern[str], PersonaName], ...] = (
    (re.compile(r"architect|planner|lead", re.IGNORECASE), ARCHITECT),
    (re.compile(r"builder|devops|engineer|operator", re.IGNORECASE), PersonaName("builder")),
    (re.compile(r"sentinel|security|review", re.IGNORECASE), PersonaName("sentinel")),
    (re.compile(r"\bqa\b|qa_|_qa|quality|tester|verif", re.IGNORECASE), PersonaName("qa")),
)
REVIEWER = PersonaName("sentinel")
MENTION = re.compile(r"@([A-Za-z][\w-]{1,40})")  # behind a letter it is an address
BLOCK = re.compile(
    r"^[^\w\n]{0,6}(?:@\w+[^\w\n]{1,6})?(?:\w+: )?(?:STOP\b(?!\s+(?:command|the|any|on|all|and)\b)|SECURITY ALERT\b|BLOCK(?:ED)?\b|REJECT(?:ED)?\b|DENIED\b)",
    re.MULTILINE,
)
PASS = re.compile(r"^[^\w\n]{0,6}(?:@?\w+[^\w\n]{1,6}){0,2}(?:APPROVED\b|Approved\.)", re.MULTILINE)
WRITES = re.compile(r"^(?:save|write|append|delete|edit|patch|create|update|remove)_")
RUNS = re.compile(r"\b(?:apply|destroy|import|ansible-playbook|kubectl (?:apply|delete)|qm |pvesh (?:create|set))\b")
ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
FENCE = re.compile(r"\A\s*```\w*\n?|\n?```\s*\Z")
SAYS_ERROR = re.compile(r"\A\W*(?:Error\b|Traceback|Access denied|File not found|fatal:|Failed\b)")
IN_STDERR = re.compile(
    r"^(?!\W*(?:\[?WARNING|\[DEPRECATION)).*\b(?:error|fatal|cannot|can't|denied|no such|not found|failed|invalid|unable|refused|unexpected)\b",
    re.IGNORECASE | re.MULTILINE,
)
BOXED = re.compile(r"^[│|]?\s*Error: |^fatal: \[|FAILED!|^ERROR[!:] ", re.MULTILINE)


@lru_cache(maxsize=1024)
def persona_of(sender: str) -> PersonaName:
    """Who in our crew the recorded sender would be; its own name where nobody fits."""
    return next((name for pattern, name in ROLES if pattern.search(sender)), PersonaName(sender.lower()))


def mentioned(text: str, but: PersonaName) -> tuple[PersonaName, ...]:
    """The agents that a text addresses with @, first at the beginning of a line, then in order."""
    if "@" not in text:
        return ()
    found: list[tuple[bool, int, str]] = []
    for mention in MENTION.finditer(text):
        before = text[max(0, mention.start() - 1) : mention.start()]
        if not (before.isalnum() or before in {"_", "@"}):
            found.append((before not in {"", "\n"}, mention.start(), mention[1]))
    names = (
        persona_of(name)
        for _, _, name in sorted(found)
        if name.lower() not in {"user", "human", "end", "here", "channel"}
    )
    return tuple(dict.fromkeys(name for name in names if name != but))


def index_of(entry: EntryId) -> int:
    """The place in the file of the line that an entry comes from."""
    return int(entry.partition("-")[0])


@dataclass(slots=True)
class Translator:
    """Line by line; keeps what a later line needs to be understood."""

    mission: bool = False
    turn: int = 0
    acts: int = 0
    words: int = 0
    number: int = 0
    waiting: dict[PersonaName, ProposedCall] = field(default_factory=dict[PersonaName, ProposedCall])
    checks: list[CallId] = field(default_factory=list[CallId])
    heard: dict[tuple[PersonaName, PersonaName], EntryId] = field(
        default_factory=dict[tuple[PersonaName, PersonaName], EntryId]
    )
    private: dict[PersonaName, tuple[EntryId, str]] = field(default_factory=dict[PersonaName, tuple[EntryId, str]])
    human: EntryId = EntryId("0-0")

    def entries(self, line: Line) -> Iterator[Logged]:
        """What the line is in our log, in order. Ids are "<place of the line>-<k>"."""
        for k, entry in enumerate(self._entries(line)):
            yield Logged(EntryId(f"{line.n}-{k}"), AT, entry)

    def _entries(self, line: Line) -> Iterator[Entry]:
        by = persona_of(line.sender)
        here = EntryId(f"{line.n}-0")
        if line.kind == "human":
            yield from self._human(line, here)
            return
        if line.kind == "system":
            if re.search(r"\bSTOP\b|\bCLEAR|cleared|wiped", line.text):
                yield log.StopPressed(PERSON)
            return
        if line.kind not in {"result", "error"} and by in self.waiting:  # the later recordings leave results out
            yield self._returned(by, self.waiting.pop(by), "", "ok")
        match line.kind:
            case "turn":
                self.turn += 1
                yield log.TurnStarted(self.turn, by, self._cause(by, line.subject))
            case "step":
                yield log.ModelAsked(self.turn, by)
            case "call":
                yield self._called(by, line, here)
            case "result":
                self.private[by] = (here, line.text)
                call = self.waiting.pop(by, None) or ProposedCall(self._id(), line.subject or "unknown", {})
                yield self._returned(by, call, *_outcome(line.text, call.tool))
            case "error":
                call = self.waiting.pop(by, None) or ProposedCall(self._id(), "unknown", {})
                yield self._returned(by, call, ANSI.sub("", line.text), "failed")
            case "no_tool":
                call = self.waiting.pop(by, None) or ProposedCall(self._id(), line.subject, {})
                result = ToolResult(CallId(call.id), line.subject, "refused", line.text, facts={"unknown_tool": True})
                yield log.ToolReturned(self.turn, by, CallClass.READ, result)
            case "thought":
                self.private[by] = (here, line.text)
                yield log.ModelReplied(self.turn, by, "recorded", line.text, "", (), "end", Usage(0, 0), 0.0)
            case "aborted":
                yield log.TurnEnded(self.turn, by, "stopped")
            case _:
                yield from self._spoken(by, line.text, here)

    def _human(self, line: Line, here: EntryId) -> Iterator[Entry]:
        self.words += 1
        self.human = here
        to = (*mentioned(line.text, PersonaName("")), ARCHITECT)[0]
        if not self.mission:
            self.mission = True
            thread = Thread("recorded", "recorded", "1")
            yield log.MissionOpened(MissionId("1"), "recorded", "production", PERSON, thread, line.text, to)
        else:
            yield log.HumanSaid(PERSON, line.text, to, str(line.n))

    def _called(self, by: PersonaName, line: Line, here: EntryId) -> Entry:
        call = ProposedCall(self._id(), line.subject, arguments_of(line.text))
        self.waiting[by] = call
        self.private[by] = (here, line.text)
        return log.ModelReplied(self.turn, by, "recorded", "", "", (call,), "calls", Usage(0, 0), 0.0)

    def _returned(self, by: PersonaName, call: ProposedCall, text: str, status: ResultStatus) -> log.ToolReturned:
        """A recorded write is a write to the branch here; what was run changed the world where it could."""
        wrote = bool(WRITES.match(call.tool))
        runs = not wrote and bool(RUNS.search(repr(dict(call.arguments))) or call.tool == "run_ansible")
        done = status == "ok"
        self.acts += done and (wrote or runs)
        if by == REVIEWER and done:
            self.checks.append(CallId(call.id))
        tool = "workspace_write" if wrote else call.tool
        result = ToolResult(CallId(call.id), tool, status, text, changed=runs and done)
        return log.ToolReturned(self.turn, by, CallClass.CHANGE if runs else CallClass.READ, result)

    def _spoken(self, by: PersonaName, text: str, here: EntryId) -> Iterator[Entry]:
        yield log.Spoke(self.turn, by, text)
        if by == REVIEWER and (verdict := self._verdict(by, text)):
            yield log.VerdictRecorded(verdict)
        to = mentioned(text, by)
        for name in to:
            self.heard[(by, name)] = here
        if not to:
            self.heard[(by, PersonaName("*"))] = here
        if to:
            yield log.HandedOff(self.turn, by, to[0], text, None, f"{to[0]}|{' '.join(text.casefold().split())[:400]}")
        yield log.TurnEnded(self.turn, by, "handed_off" if to else "spoke")

    def _verdict(self, by: PersonaName, text: str) -> Verdict | None:
        blocks = bool(BLOCK.search(text[:4000]))
        if not blocks and not PASS.search(text):
            return None
        checks, self.checks = tuple(self.checks), []
        first = next((line.strip() for line in text.splitlines() if len(line.split()) > 2), text[:80])
        finding = Finding("demand", "review", "what was asked for", "high", first[:200])
        return Verdict(f"r{self.acts}.{self.words}", by, not blocks, checks, (finding,) if blocks else ())

    def _cause(self, by: PersonaName, sender: str) -> str:
        """The entry that woke this turn: the last words addressed to it, unless those were heard already and something
        private of the same sender names it.
        """
        giver = persona_of(sender.removesuffix(THINK))
        if sender.lower() in {"user", "human"}:
            return self.human
        said = max((self.heard.get((giver, name), EntryId("")) for name in (by, PersonaName("*"))), key=_place)
        private = self.private.get(giver)
        if sender.endswith(THINK) and private is not None:
            return private[0]
        if said:
            self.heard.pop((giver, by), None)
            self.heard.pop((giver, PersonaName("*")), None)
            return said
        if private is not None and by in mentioned(private[1], giver):
            return private[0]
        return ""

    def _id(self) -> str:
        self.number += 1
        return f"recorded-{self.number}"


def _place(entry: EntryId) -> int:
    return index_of(entry) if entry else -1


def _outcome(text: str, tool: str) -> tuple[str, ResultStatus]:
    """A recorded result's text, what went wrong first, and whether anything did."""
    body = FENCE.sub("", ANSI.sub("", text))
    out, _, err = body.partition("STDERR:")
    reads = tool.startswith("read_")  # what it reads may well speak of errors
    if SAYS_ERROR.match(body) or (not reads and (BOXED.search(body) or IN_STDERR.search(err))):
        return f"{err.strip()}\n{out.strip()}".strip(), "failed"
    return body.strip(), "ok"
