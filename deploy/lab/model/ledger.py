"""What the lab counts about the program, from what it received and nothing else."""

import base64
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from deploy.lab.model.conversation import Conversation

RECORD_KEPT = 2000
THOUGHT_LEAST = 20  # shorter thoughts stand in other texts by chance


@dataclass(slots=True)
class Persona:
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


@dataclass(slots=True)
class MissionCount:
    """What one mission cost, by what was asked and answered for it."""

    turns: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    unexpected: int = 0


@dataclass(slots=True)
class Ledger:
    personas: dict[str, Persona] = field(default_factory=lambda: defaultdict(Persona))
    missions: dict[str, MissionCount] = field(default_factory=lambda: defaultdict(MissionCount))
    record: list[dict[str, Any]] = field(default_factory=list)
    unexpected: list[dict[str, Any]] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    refused: list[dict[str, Any]] = field(default_factory=list)
    secrets_seen: int = 0
    thoughts_seen: int = 0
    overlapping_turns: int = 0
    turns: int = 0
    _in_flight: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _previous: dict[tuple[str, str], str] = field(default_factory=dict)
    _secrets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _thoughts: set[str] = field(default_factory=set)
    _turn_of: dict[str, tuple[str, str]] = field(default_factory=dict)
    _own_thoughts: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def plant(self, secrets: Iterable[str] = (), thoughts: Iterable[str] = ()) -> None:
        """Strings that must not arrive from now on, secrets in their base64 and URL forms too."""
        self._secrets |= {secret: forms_of(secret) for secret in secrets if secret}
        self._thoughts |= {thought for thought in thoughts if thought}

    def received(self, wire: str, body: Any, text: str) -> dict[str, Any]:
        """Keep a request, and count what it should not hold. `text` is the request with JSON escapes resolved."""
        entry = {"at": time.time(), "wire": wire, "persona": "", "mission": "", "body": body}
        self.record.append(entry)
        del self.record[: max(0, len(self.record) - RECORD_KEPT)]
        self.secrets_seen += sum(any(form in text for form in forms) for forms in self._secrets.values())
        self.thoughts_seen += sum(thought in text for thought in self._thoughts)
        return entry

    def begin(self, conversation: Conversation, text: str) -> None:
        """A request is in flight. Thoughts of another persona in it are leaks between agents."""
        flying = self._in_flight[conversation.mission]
        if conversation.mission and any(count for who, count in flying.items() if who != conversation.persona):
            self.overlapping_turns += 1
        flying[conversation.persona] += 1
        self._count_turn(conversation)
        others = [thoughts for who, thoughts in self._own_thoughts.items() if who != conversation.persona]
        self.thoughts_seen += sum(thought in text for thought in set(itertools.chain(*others)))

    def _count_turn(self, conversation: Conversation) -> None:
        """A turn begins when another persona asks, or the same one after it was told something new."""
        now = (conversation.persona, conversation.heard)
        before = self._turn_of.get(conversation.mission)
        if before is None or before[0] != now[0] or (now[1] and before[1] != now[1]):
            self.turns += 1
            self.missions[conversation.mission].turns += 1
        kept = now[1] or (before[1] if before and before[0] == now[0] else "")
        self._turn_of[conversation.mission] = (now[0], kept)

    @property
    def woven(self) -> str:
        """Planted thoughts, which every thought of this server carries: where they arrive, thoughts leak."""
        return " ".join(sorted(self._thoughts))

    def end(self, conversation: Conversation) -> None:
        self._in_flight[conversation.mission][conversation.persona] -= 1

    def thought(self, persona: str, thought: str) -> None:
        if len(thought) >= THOUGHT_LEAST:
            self._own_thoughts[persona].add(thought)

    def shared_prefix(self, wire: str, persona: str, prefix: str) -> int:
        """Characters that this request has in common with the persona's previous one, from the start."""
        before = self._previous.get((wire, persona), "")
        self._previous[(wire, persona)] = prefix
        return shared_length(before, prefix)

    def count(self, persona: str, mission: str, prompt: int, completion: int, cached: int) -> None:
        line, of_mission = self.personas[persona or "unknown"], self.missions[mission]
        for counted in (line, of_mission):
            counted.calls += 1
            counted.prompt_tokens += prompt
            counted.completion_tokens += completion
        line.cached_tokens += cached

    def flying(self, mission: str) -> int:
        """Requests of a mission that have no answer yet."""
        return sum(self._in_flight[mission].values()) if mission in self._in_flight else 0

    def surprise(self, conversation: Conversation) -> None:
        self.missions[conversation.mission].unexpected += 1
        last = conversation.turns[-1] if conversation.turns else None
        newest = conversation.results[-1] if conversation.results else None
        self.unexpected.append(
            {
                "persona": conversation.persona,
                "mission": conversation.mission,
                "last_role": last.role if last else "",
                "last_text": last.text[-600:] if last else "",
                "heard": conversation.heard[:600],
                "newest_result": f"{newest.tool} {newest.status}" if newest else "",
                "called": [call.tool for call in conversation.calls],
            }
        )

    def report(self, unused: list[str]) -> dict[str, Any]:
        lines = self.personas
        return {
            "calls": sum(line.calls for line in lines.values()),
            "prompt_tokens": sum(line.prompt_tokens for line in lines.values()),
            "completion_tokens": sum(line.completion_tokens for line in lines.values()),
            "cached_tokens": sum(line.cached_tokens for line in lines.values()),
            "by_persona": {
                who: {
                    "calls": line.calls,
                    "prompt_tokens": line.prompt_tokens,
                    "completion_tokens": line.completion_tokens,
                    "cached_tokens": line.cached_tokens,
                }
                for who, line in sorted(lines.items())
            },
            "turns": self.turns,
            "secrets_seen": self.secrets_seen,
            "thoughts_seen": self.thoughts_seen,
            "overlapping_turns": self.overlapping_turns,
            "faults": dict(self.faults),
            "refused": self.refused,
            "unused_steps": unused,
            "unexpected": self.unexpected,
        }


def shared_length(one: str, other: str) -> int:
    """How many leading characters are the same, by halving."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def forms_of(secret: str) -> tuple[str, ...]:
    """The secret, URL-encoded, and as it stands inside any base64 text, whatever stands before it."""
    raw = secret.encode()
    forms = {secret, quote(secret, safe="")}
    for offset in range(3):
        whole = base64.b64encode(b"\0" * offset + raw).decode().rstrip("=")
        lead = (offset * 8 + 5) // 6  # characters that the bytes before it also colour
        tail = len(whole) - (1 if (offset + len(raw)) % 3 else 0)
        inner = whole[lead:tail]
        if len(inner) >= 8:
            forms |= {inner, inner.replace("+", "-").replace("/", "_")}
    return tuple(sorted(forms))
