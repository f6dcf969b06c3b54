"""The table of commands: names, what they say about themselves, and how a slash or a mention becomes one."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """`prefixed`: takes the operator's prefix."""

    name: str
    description: str
    usage_hint: str = ""
    prefixed: bool = True


COMMANDS = (
    Command("cluster-status", "Nodes, quorum, machines and open approvals", prefixed=False),
    Command(
        "mission",
        "The latest missions, one of them, its evidence probed again; freeze or thaw all changes",
        "[number] | verify [number] | accept <finding> | waive <criterion> | freeze reason | thaw",
    ),
    Command(
        "approvals",
        "What waits for you, with its buttons, and for others; who decides in another's place",
        "[delegate @who for 4h reason | accept number | end number | break-glass request reason]",
    ),
    Command("crew", "The agents, their models and limits"),
    Command("cost", "What missions have cost", "[number]"),
    Command("audit", "What the audit record says of a mission", "[number]"),
)
_TWIN = re.compile(r"/?([a-z0-9-]+)(?:[ \t]+([^\n]*))?", re.IGNORECASE)


def slash(command: Command, prefix: str) -> str:
    """How people type it: "/cluster-status", "/wb-mission"."""
    return f"/{prefix if command.prefixed else ''}{command.name}"


def by_slash(typed: str, prefix: str) -> str | None:
    """The name of the command that Slack calls `typed`, or None."""
    return next((one.name for one in COMMANDS if slash(one, prefix) == typed), None)


def by_words(words: str, prefix: str) -> tuple[str, str] | None:
    """Name and arguments where `words` (a message without its leading mention) is a command and nothing else."""
    found = _TWIN.fullmatch(words.strip())
    if found is None:
        return None
    word = found[1].lower()
    for one in COMMANDS:
        if word in (one.name, slash(one, prefix)[1:]):
            return one.name, (found[2] or "").strip()
    return None
