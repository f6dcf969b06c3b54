"""What an agent's model sees: persona, contract whole, state as tables, its own exchange. Bounded whatever the mission's length.

Tokens are estimated at four characters each (English text and JSON of both providers lie between 3.5 and 4.5).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from bot.agents.persona import Persona
from bot.domain.ids import CallId, Json
from bot.domain.model import Answered, Heard, Message, Returned
from bot.domain.state import CallRecord, Exchange, HeardItem, Mission, StepItem
from bot.mission import mark_of
from bot.policy.untrusted import fence

CHARACTERS_PER_TOKEN = 4
STATE_SHARE = 0.5  # of the context for the state, the rest for the exchange
SHORT = 240  # characters of an older result that stay beside its reference
RECENT = 3  # steps whose results stay whole where there is room
FRAME = "-" * 70  # stands for what the wire puts around a call or a result
DIGEST = 400  # tokens kept for the list of what was left out
NOTES = 3  # pieces of knowledge about errors in one context
NOTE = 2000  # characters of one
LOOKED_UP = 40  # of the newest results that went wrong: more are hardly ever shown, and each takes a millisecond once
WENT_WRONG = frozenset({"failed", "refused", "interrupted", "unknown_outcome"})
OWN_WORDS = frozenset(
    {"plan", "hand_off", "ask_human", "record_verdict", "record_evidence", "workspace_write", "workspace_patch"}
)


@dataclass(frozen=True, slots=True)
class Cut:
    """How much of one item is shown, in characters: of words, of each text among a call's arguments, of a result."""

    words: int
    arguments: int
    result: int


WHOLE = 1 << 30
CUTS = (Cut(WHOLE, WHOLE, WHOLE), Cut(WHOLE, WHOLE, SHORT), Cut(2000, 400, SHORT), Cut(SHORT, 80, 0))  # mildest first

Known = Callable[[str, str], str]  # a result's text and its tool → "## Known error" and what helps, or nothing


def nothing_known(_text: str, _tool: str) -> str:
    return ""


def tokens_of(text: str) -> int:
    """Estimated tokens."""
    return len(text) // CHARACTERS_PER_TOKEN + 1


def build(
    state: Mission, persona: Persona, titles: Callable[[str], str] = str, known: Known = nothing_known
) -> tuple[Message, ...]:
    """The messages of the next model call: the state first, then the exchange, newest last.

    The request, its amendments and the criteria are always whole; what does not fit of the rest is cut, oldest first,
    and the cut is said. What `known` says about an error stands once, under the first shown result that has it.
    """
    bound = persona.limits.context_tokens - tokens_of(persona.prompt) - persona.limits.answer_tokens // 4
    head = state_text(state, int(bound * STATE_SHARE), titles)
    exchange = state.exchanges.get(persona.name) or Exchange(persona.name, (), frozenset())
    rest = max(bound - tokens_of(head), bound // 4)
    return (Heard(head), *_exchange(state, exchange.items, rest, known))


def state_text(state: Mission, bound: int, titles: Callable[[str], str] = str) -> str:
    """The mission as text: contract whole, then as much of the state and the thread as fits `bound` tokens."""
    contract = [f"# Mission {state.id}", f"environment {state.environment}, estate {state.estate}"]
    contract += ["## Request (verbatim)", state.request]
    if state.amendments:
        contract += ["## Amendments", *(f"{by}: {text}" for by, text in state.amendments)]
    contract += ["## Criteria", *(_criteria(state) or ["none yet: Architect calls plan"])]
    fixed = "\n".join(contract)
    room = max(bound - tokens_of(fixed), bound // 4)
    sections = (
        ("## Words without a criterion", [f"- {words}" for words in state.uncovered], 8),
        ("## Plan", _steps(state), 2),
        ("## Findings", _findings(state), 4),
        ("## Waiting for people", _waiting(state), 8),
        ("## Verdicts", _verdicts(state), 8),
    )
    for title, rows, share in sections:
        if rows:
            shown = "\n".join(_fitting(rows, room // share))
            fixed += f"\n{title}\n{fence(shown, 'findings') if title == '## Findings' else shown}"
    talk = _newest([f"{titles(line.who)}: {line.text}" for line in state.talk], max(bound - tokens_of(fixed), 200))
    return "\n".join([fixed, "## Recent thread", *talk])


def result_text(record: CallRecord, most: int = WHOLE) -> str:
    """A result as the model gets it: a line that names it, then its text, fenced unless it is the program's own."""
    head = f"[result {record.call}] {record.tool} {record.status}"
    text = record.text
    if len(text) > most:
        where = f"read_artifact {record.artifact}" if record.artifact else "cut"
        text = f"{text[:most]}… ({record.size or len(record.text)} bytes, {where})"
    own = record.tool in OWN_WORDS or record.status in {"refused", "denied", "held"}
    return f"{head}\n{text if own else fence(text, record.tool)}"


def _exchange(state: Mission, items: Sequence[HeardItem | StepItem], bound: int, known: Known) -> list[Message]:
    """The exchange within `bound` tokens, what is known about its errors included."""
    notes = _notes(state, items, known)
    kept_free = sum(tokens_of(note) + 1 for note in set(notes.values()))
    messages, left = _fitted(state, items, bound - kept_free)
    return _noted(messages, notes, left + kept_free)


def _notes(state: Mission, items: Sequence[HeardItem | StepItem], known: Known) -> dict[str, str]:
    """What is known about errors, by each call that met one; no more than NOTES kinds, the last met ones."""
    notes: dict[str, str] = {}
    kinds: set[str] = set()
    for record in islice(_went_wrong(state, items), LOOKED_UP):
        note = known(record.text, record.tool)[:NOTE]
        if note and (note in kinds or len(kinds) < NOTES):
            kinds.add(note)
            notes[record.call] = note
    return notes


def _went_wrong(state: Mission, items: Sequence[HeardItem | StepItem]) -> Iterator[CallRecord]:
    """Newest first."""
    for item in reversed(items):
        for call in item.calls[::-1] if isinstance(item, StepItem) else ():
            record = state.results.get(CallId(call.id))
            if record is not None and record.status in WENT_WRONG:
                yield record


def _noted(messages: Sequence[Message], notes: Mapping[str, str], room: int) -> list[Message]:
    """Each note once, under the first shown result that it belongs to: the house's own words, outside of the fence."""
    told: set[str] = set()
    noted: list[Message] = []
    for message in messages:
        note = notes.get(message.call_id, "") if isinstance(message, Returned) else ""
        if isinstance(message, Returned) and note and note not in told and tokens_of(note) < room:
            room -= tokens_of(note) + 1
            told.add(note)
            noted.append(replace(message, text=f"{message.text}\n{note}"))
        else:
            noted.append(message)
    return noted


def _fitted(state: Mission, items: Sequence[HeardItem | StepItem], bound: int) -> tuple[list[Message], int]:
    """The newest steps whole where they fit, older ones cut, the oldest counted; and the tokens left."""
    kept: list[list[Message]] = []
    left = bound - DIGEST
    for age, item in enumerate(reversed(items)):
        forms = (_messages(state, item, cut) for cut in (CUTS if age < RECENT else CUTS[1:]))
        messages = next((form for form in forms if _cost(form) <= left), None)
        if messages is None and kept:
            kept.append([Heard(_digest(state, items[: len(items) - age]))])
            break
        messages = _messages(state, item, CUTS[-1]) if messages is None else messages
        kept.append(messages)
        left -= _cost(messages)
    flat = [message for messages in reversed(kept) for message in messages]
    return flat or [Heard("Go on.")], left


def _messages(state: Mission, item: HeardItem | StepItem, cut: Cut) -> list[Message]:
    match item:
        case HeardItem(text):
            return [Heard(f"## Your task\n{_cut(text, cut.words)}")]
        case StepItem("", ()):
            return []  # an empty answer: no provider takes it back
        case StepItem(text, calls):
            shown = tuple(replace(call, arguments=_cut_all(call.arguments, cut.arguments)) for call in calls)
            answered = Answered(_cut(text, cut.words), shown)
            return [answered, *(_result(state, call.id, call.tool, cut.result) for call in calls)]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters, cut)"


def _cut_all(arguments: Mapping[str, Json], most: int) -> Mapping[str, Json]:
    def shown(value: Json) -> Json:
        match value:
            case str():
                return _cut(value, most)
            case Mapping():
                return {key: shown(item) for key, item in value.items()}
            case None | bool() | int() | float():
                return value
            case _:
                return [shown(item) for item in value]

    return {key: shown(item) for key, item in arguments.items()}


def _result(state: Mission, call: str, tool: str, most: int) -> Returned:
    record = state.results.get(CallId(call))
    if record is None:
        return Returned(call, f"[result {call}] {tool} interrupted\nNo result was kept.", failed=True)
    return Returned(call, result_text(record, most), failed=record.status not in {"ok", "held"})


def _digest(state: Mission, items: Sequence[HeardItem | StepItem]) -> str:
    lines = ["(Earlier in this exchange, shortened:"]
    for item in items[-12:]:
        match item:
            case HeardItem(text):
                lines.append(f"- heard: {text[:120]}")
            case StepItem(_, calls):
                lines += [f"- {call.tool}: {_status(state, call.id)}" for call in calls]
    return "\n".join([*lines, f"{max(0, len(items) - 12)} before that)"])


def _status(state: Mission, call: str) -> str:
    record = state.results.get(CallId(call))
    return f"{record.status} [{record.call}]" if record else "no result"


def _cost(messages: Sequence[Message]) -> int:
    return sum(tokens_of(_text(message)) for message in messages)


def _text(message: Message) -> str:
    match message:
        case Heard(text):
            return text
        case Answered(text, calls):
            return text + "".join(f"{FRAME}{call.id}{call.tool}{dict(call.arguments)}" for call in calls)
        case Returned(call, text, _):
            return f"{FRAME}{call}{text}"


def _criteria(state: Mission) -> list[str]:
    return [
        f"{c.number} [{mark_of(state, c)}] {c.text} — {f'“{c.quote}”' if c.quote else f'standard {c.standard}'}"
        for c in state.criteria
    ]


def _steps(state: Mission) -> list[str]:
    return [
        f"{s.number} {s.title} · {s.owner} · serves {','.join(map(str, s.serves))} · verify {s.verify or '-'}"
        for s in state.steps
    ]


def _findings(state: Mission) -> list[str]:
    """The open ones first."""
    found = sorted(state.findings.values(), key=lambda finding: finding.status != "open")
    return [f"{f.fingerprint} {f.severity} {f.status} {f.rule} {f.resource}: {f.text[:160]}" for f in found]


def _fitting(rows: Sequence[str], bound: int) -> list[str]:
    """All rows where they fit, else each of them cut, else as many as fit and how many do not."""
    if sum(map(tokens_of, rows)) <= bound:
        return list(rows)
    kept: list[str] = []
    for row in rows:
        text = _cut(row, 160)
        if kept and sum(map(tokens_of, kept)) + tokens_of(text) > bound:
            break
        kept.append(text)
    return [*kept, f"({len(rows) - len(kept)} more are left out)"] if len(kept) < len(rows) else kept


def _verdicts(state: Mission) -> list[str]:
    return [
        f"plan {v.revision[:12]}: {'pass' if v.passed else 'blocked'} by {v.by}, {len(v.checks)} checks"
        for v in list(state.verdicts.values())[-5:]
    ]


def _waiting(state: Mission) -> list[str]:
    rows = [f"approval {r.request[:4]} for {r.by}: {r.title}" for r in state.requests.values()]
    return rows + [f"question by {q.by}: {q.text[:160]}" for q in state.questions.values()]


def _newest(lines: Sequence[str], bound: int) -> list[str]:
    kept: list[str] = []
    for line in reversed(lines):
        text = line if len(line) <= 2000 else f"{line[:2000]}… (cut)"
        if sum(map(tokens_of, kept)) + tokens_of(text) > bound:
            kept.append("(older lines are left out)")
            break
        kept.append(text)
    return kept[::-1]
