"""Did text that nobody vouches for ask for this call? Said on the approval card, decided by nobody (rule 23). Pure.

No model judges here. Two things count, each only in output of this mission that the model saw fenced:

- a command or sentence among the call's arguments stands there word for word;
- a line there asks, in the imperative, for what the call does to something that the call names.

What the human or the plan asked for in the same way is no finding, whatever else asks for it too: reading a name and
acting on it is daily work, being told to is not.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.domain.calls import CallClass, Effect, ToolCall
from bot.domain.ids import CallId, Json
from bot.domain.state import CallRecord, Mission

# Answers of the program itself, and restatements of the agents' own code and plans.
OWN = frozenset(
    {"plan", "hand_off", "ask_human", "record_verdict", "record_evidence", "workspace_list", "workspace_read",
     "workspace_write", "workspace_patch", "terraform_validate", "terraform_plan", "terraform_show", "terraform_apply",
     "scan"}
)  # fmt: skip
UNSEEN = frozenset({"refused", "denied", "held"})  # the gate's own words
SHORTEST_COMMAND = 12
SHORTEST_NAME = 3
NEAR = 60  # characters between the verb and the name
SHOWN = 140
MOST_NAMES = 60
MOST_WARNINGS = 2
REMOVE = "delete destroy remove drop wipe purge erase terminate kill evict drain uninstall rm decommission"
CHANGE = (
    "change update set apply patch restart reboot stop start shutdown scale move migrate upgrade downgrade rollback "
    "enable disable open grant reset replace edit modify rotate execute run"
)
CREATE = "create add install deploy launch provision clone import make build"
FAMILIES: Mapping[str, str] = {
    "delete": REMOVE, "forget": REMOVE, "replace": f"{REMOVE} {CHANGE}", "update": CHANGE, "move": CHANGE,
    "create": CREATE, "import": CREATE,
}  # fmt: skip
BY_CLASS: Mapping[CallClass, str] = {
    CallClass.DESTROY: f"{REMOVE} {CHANGE}",
    CallClass.CHANGE: f"{CHANGE} {CREATE}",
    CallClass.UNKNOWN: f"{REMOVE} {CHANGE} {CREATE}",
}
VERBS = frozenset(f"{REMOVE} {CHANGE} {CREATE}".split())
LINES = re.compile(r"\r?\n|\\r?\\n|\\n")
QUOTES = re.compile(r"[\"'`“”‘’]")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A thing that the call names, and the verbs for what it does to it."""

    name: str
    verbs: re.Pattern[str]

    def stands_in(self, line: str) -> bool:
        at = line.find(self.name)
        while at >= 0:
            end = at + len(self.name)
            alone = not (line[at - 1 : at].isalnum() or line[at - 1 : at] in {"-", "_"}) if at else True
            alone = alone and not (line[end : end + 1].isalnum() or line[end : end + 1] in {"-", "_"})
            if alone and self.verbs.search(line, max(0, at - NEAR), at):
                return True
            at = line.find(self.name, end)
        return False


def origins(mission: Mission, call: ToolCall, effect: Effect) -> tuple[str, ...]:
    """Warnings for the card, oldest output first; () where nothing untrusted asked for this."""
    outputs = [record for record in mission.results.values() if _untrusted(record)]
    if not outputs or effect.cls is CallClass.READ:
        return ()
    vouched = _plain("\n".join(_vouched(mission)))
    commands = [command for command in _commands(call.arguments) if command not in vouched]
    lines = vouched.split("\n")
    asked = [one for one in _asked(call, effect) if not any(one.stands_in(line) for line in lines)]
    made = {_plain(name) for name in mission.applied}
    asked = [one for one in asked if not (one.name in made and effect.create and not effect.destroy)]
    found: list[str] = []
    for record in sorted(outputs, key=lambda record: record.ordinal):
        line = _first(record, commands, asked, _written_before(mission, record))
        if line:
            shown = line if len(line) <= SHOWN else f"{line[:SHOWN]}…"
            found.append(f"The request for this appeared in the output of {record.tool} ({record.call}): “{shown}”")
    return tuple(found[:MOST_WARNINGS])


def _untrusted(record: CallRecord) -> bool:
    return record.tool not in OWN and record.status not in UNSEEN


def _vouched(mission: Mission) -> Iterator[str]:
    """The human's words, and the plan that stands in the thread."""
    yield mission.request
    yield from (text for _, text in mission.amendments)
    yield from (
        line.text for line in mission.talk if line.who != line.who.lower()
    )  # Slack ids; personas are lower case
    yield from (f"{criterion.text}\n{criterion.quote}" for criterion in mission.criteria)
    yield from (f"{step.title}\n{step.verify}" for step in mission.steps)


def _first(record: CallRecord, commands: Sequence[str], asked: Sequence[_Asked], own: frozenset[str]) -> str:
    """The first line that asks for the call; for a command that goes over several lines, its beginning. A line that
    repeats a command of the agents' `own` asks for nothing.
    """
    text = LINES.sub("\n", record.text)
    commands = [command for command in commands if command not in own]
    for line in text.split("\n"):
        plain = _plain(line)
        if any(command in plain for command in own):
            continue
        if any(command in plain for command in commands) or any(one.stands_in(plain) for one in asked):
            return " ".join(line.split())
    whole = _plain(text.replace("\n", " "))
    return next((command for command in commands if command in whole), "")


def _written_before(mission: Mission, record: CallRecord) -> frozenset[str]:
    """Commands that agents had written before that output came: it may repeat them, as a shell's trace does."""
    found: set[str] = set()
    for exchange in mission.exchanges.values():
        for call in exchange.calls:
            answered = mission.results.get(CallId(call.id))
            if answered is not None and answered.ordinal <= record.ordinal:
                found.update(_commands(call.arguments))
    return frozenset(found)


def _commands(arguments: Mapping[str, Json]) -> list[str]:
    """Sentences and commands among the arguments, plain; a list of words is one command."""
    found = [_plain(text) for text in _texts(arguments)]
    return [text for text in dict.fromkeys(found) if len(text) >= SHORTEST_COMMAND and " " in text]


def _texts(value: Json) -> Iterator[str]:
    """Every text among the arguments; a list of words as one too, since it is a command as often as names."""
    match value:
        case str():
            yield value
        case Mapping():
            for item in value.values():
                yield from _texts(item)
        case Sequence():
            words = [item for item in value if isinstance(item, str)]
            yield " ".join(words)
            command = any(word in VERBS or word.startswith("-") for word in words)
            yield from (word for word in words[command:] if word not in VERBS and not word.startswith("-"))
            for item in value:
                yield from () if isinstance(item, str) else _texts(item)
        case int() if not isinstance(value, bool):
            yield str(value)
        case _:
            return


def _asked(call: ToolCall, effect: Effect) -> list[_Asked]:
    written = {word for text in _texts(call.arguments) for word in _plain(text).split()}
    default = " ".join((BY_CLASS.get(effect.cls, ""), *sorted(written & VERBS))).strip()
    named = [(item.name, FAMILIES.get(item.action, default)) for item in effect.items]
    named += [(target.name, default) for target in effect.targets]
    named += [(text, default) for text in _texts(call.arguments) if " " not in text.strip()]
    found: dict[tuple[str, str], _Asked] = {}
    for name, words in named:
        for part in (name, *re.findall(r'"([^"]+)"', name)):
            plain = _plain(part)
            if words and len(plain) >= SHORTEST_NAME:
                found.setdefault((plain, words), _Asked(plain, _verbs(words)))
    return list(found.values())[:MOST_NAMES]


def _verbs(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{'|'.join(words.split())})(?![\w-])")


def _plain(text: str) -> str:
    """Without quotes, in lower case, with single spaces; lines stay lines."""
    bare = QUOTES.sub("", text).casefold()
    return "\n".join(" ".join(line.split()) for line in bare.split("\n"))
