"""A tool that nobody has: called, written into speech as if it were a call, or claimed through a record it would keep."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.ids import EntryId, PersonaName
from bot.domain.log import Logged
from bot.guards.guard import NOTHING, Found, Guard, seen

CALL_IN_WORDS = re.compile(
    r"\((?:calling|call|invoking)(?: tool)?:? `?([a-z][a-z0-9]*(?:_[a-z0-9]+)+)`?[:({ )][^)\n]{0,200}"
    r"|(?:^|\n)[ \t]*(?:🔧 ?)?(?:calling|invoking|executing) tool:? `?([a-z][a-z0-9_]+)"
    r"|(?:^|\n)[ \t]*<?(?:tool_call|function_call)>?:?[ \t]*\{?\W{0,3}([a-z][a-z0-9_]+)"
    r"|(?:^|\n)[ \t]*`?([a-z][a-z0-9]*(?:_[a-z0-9]+)+)\(\{[ \t]*[\"'}]",
    re.IGNORECASE,
)
SIGN = re.compile(r"_call|[Cc]alling|[Ii]nvoking|[Ee]xecuting tool|\([Cc]all|\(\{")
SIGNS = ("_call", "alling", "nvoking", "xecuting tool", "(call", "(Call", "({")
NUMBERED = re.compile(r"[A-Z]-\d")
RECORD = re.compile(r"\b[A-Z]{2,10}-(?:\d{4}-)?\d{2,8}\b")
FILED = re.compile(
    r"(?:\b(?:I|we)(?:'ve|’ve| have)?(?: also| now)? |\b(?:have|has) been (?:also )?|\b(?:is|are|was|were) (?:now |also )?(?:documented and )?)(?:attached|saved|logged|filed|recorded|documented|uploaded|posted|added|opened|raised|created|updated)\b[^.\n]{0,60}?"
    r"\b(?:(?:ticket|incident|case|issue|change|task|story|jira|servicenow|pagerduty)\b[^.\n]{0,12}?|(?:to|in|as|under)\s+)"
    r"([A-Z]{2,10}-(?:\d{4}-)?\d{2,8})\b"
)
STANDARDS = frozenset(
    {
        "CVE",
        "CWE",
        "RFC",
        "ISO",
        "UTF",
        "SHA",
        "TLS",
        "AES",
        "CKV",
        "AVD",
        "CIS",
        "NIST",
        "GHSA",
        "RHSA",
        "DSA",
        "USN",
        "TS",
    }
)
RECORDS_KEPT = 400
SHOWN = 8_000  # characters of a result that are looked through for numbers of tickets


@dataclass(frozen=True, slots=True)
class Known:
    """`records` are numbers of tickets and the like that a person or a result has shown."""

    records: frozenset[str] = frozenset()
    claimed: tuple[tuple[str, PersonaName], ...] = ()


def step(state: Known, logged: Logged) -> tuple[Known, Found]:
    match logged.entry:
        case log.MissionOpened(request=text) | log.HumanSaid(text=text) | log.RequestAmended(text=text):
            return _shown(state, [text]), NOTHING
        case log.ToolReturned(persona=by, result=result):
            if result.facts.get("unknown_tool"):
                text = f"{by} called {result.tool}, a tool that nobody has"
                return state, (_found(result.tool, by, logged.id, text),)
            return (_shown(state, [result.text]) if result.status == "ok" else state), NOTHING
        case log.Spoke(_, by, text):
            return _spoken(state, by, seen(text), logged.id)
        case _:
            return state, NOTHING


def _spoken(state: Known, by: PersonaName, text: str, at: EntryId) -> tuple[Known, Found]:
    signs = any(sign in text for sign in SIGNS)
    lines = "\n".join(line for line in text.splitlines() if SIGN.search(line)) if signs else ""
    call = CALL_IN_WORDS.search(lines) if lines else None
    if call:
        name = next(name for name in call.groups() if name)
        return state, (_found(name, by, at, f"{by} wrote a call of {name} into its words; nothing ran"),)
    numbered = NUMBERED.search(text) is not None
    near = (text[max(0, found.start() - 160) : found.end()] for found in (RECORD.finditer(text) if numbered else ()))
    for record in (record for words in near for record in FILED.findall(words)):
        new = record not in state.records and (record, by) not in state.claimed
        if new and record.split("-")[0] not in STANDARDS:
            state = replace(state, claimed=(*state.claimed, (record, by))[-100:])
            return state, (
                _found(
                    record, by, at, f"{by} says it filed something under {record}; no tool can, and nobody named it"
                ),
            )
    return state, NOTHING


def _shown(state: Known, texts: Iterable[str]) -> Known:
    new = {record for text in texts for record in RECORD.findall(text[:SHOWN])} - state.records
    if not new or len(state.records) > RECORDS_KEPT:
        return state
    return replace(state, records=state.records | new)


def _found(cause: str, by: PersonaName, at: EntryId, text: str) -> Detection:
    return Detection("hallucinated_tool", cause, by, at, at, text)


GUARD = Guard(
    "hallucinated_tool",
    (log.MissionOpened, log.HumanSaid, log.RequestAmended, log.ToolReturned, log.Spoke),
    Known(),
    step,
)
