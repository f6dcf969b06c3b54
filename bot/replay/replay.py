"""A recording through our parser, router and guards: what would have happened if the agents had said these things here."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from bot.agents.persona import Persona
from bot.domain.guarding import Detection, GuardName
from bot.domain.ids import PersonaName
from bot.guards.roster import after, unseen
from bot.replay.recording import Line, Recording
from bot.replay.translation import Translator, index_of
from bot.replay.turns import House, Started, from_thoughts, overlapping, recorded_tokens

TOGETHER = 20  # messages: the same thing again within so many is the same episode
POINTS = frozenset(  # each is an episode of its own
    {
        "option_menu",
        "claimed_action",
        "claimed_done",
        "hallucinated_tool",
        "laundered_approval",
        "rate_limit_broadcast",
        "secret_leak",
    }
)
# The labels of recordings know an action claimed without a call as a kind of invented tool.
PATTERNS: Mapping[GuardName, GuardName] = {"claimed_action": "hallucinated_tool"}


@dataclass(frozen=True, slots=True)
class Episode:
    """Detections of one cause in a row. Places are indexes into the recording's lines; a guard would have spoken at
    `spoken`, the place of the first detection.
    """

    guard: GuardName
    cause: str
    start: int
    end: int
    spoken: int
    times: int
    text: str
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    lines: tuple[Line, ...]
    unreadable: int
    started: tuple[Started, ...]
    turns_from_thoughts: int
    overlapping_turns: int
    secrets_shown: int
    leaks_cut: int
    kept_back: tuple[int, ...]
    episodes: tuple[Episode, ...]
    prompt_tokens: int
    largest_prompt: int
    recorded_tokens: int
    recorded_largest: int
    recorded_calls: int
    redact: Callable[[str], str] = field(repr=False, compare=False)

    @property
    def first_intervention(self) -> int | None:
        """The number of the message behind which the program would first have stepped in."""
        return self.lines[min(e.spoken for e in self.episodes)].i if self.episodes else None

    @property
    def messages_saved(self) -> int:
        """Messages of detected episodes that came after the guard would have spoken, each counted once."""
        return len({place for e in self.episodes for place in range(e.spoken + 1, e.end + 1)})

    def contract(self) -> dict[str, object]:
        """The JSON of `python -m bot replay --json`."""
        detections = [
            {
                "guard": PATTERNS.get(e.guard, e.guard),
                "start_i": self.lines[e.start].i,
                "end_i": self.lines[e.end].i,
                "message": e.text,
            }
            for e in self.episodes
        ]
        return {
            "messages": len(self.lines),
            "turns_started": len(self.started),
            "turns_from_thoughts": self.turns_from_thoughts,
            "overlapping_turns": self.overlapping_turns,
            "secrets_shown": self.secrets_shown,
            "detections": detections,
            "first_intervention_i": self.first_intervention,
            "messages_saved": self.messages_saved,
            "prompt_tokens": self.prompt_tokens,
            "prompt_tokens_recorded_design": self.recorded_tokens,
        }


def replay(recording: Recording, personas: Mapping[PersonaName, Persona]) -> Outcome:
    """Pure but for the time it takes: about a third of a millisecond a message."""
    translator, seen = Translator(), unseen()
    house = House(personas)
    found: list[Detection] = []
    for line in recording.lines:
        translated = list(translator.entries(line))
        for logged in translated:
            seen, more = after(seen, logged)
            found += more
        house.take(line, translated)
    house.finish()
    sizes = list(recorded_tokens(recording.lines))
    return Outcome(
        lines=recording.lines,
        unreadable=recording.unreadable,
        started=tuple(house.started),
        turns_from_thoughts=from_thoughts(house.entries),
        overlapping_turns=overlapping(house.entries),
        secrets_shown=house.secrets_shown,
        leaks_cut=house.leaks_cut,
        kept_back=tuple(house.kept_back),
        episodes=episodes(found, house.redactor.text),
        prompt_tokens=house.prompt_tokens,
        largest_prompt=house.largest_prompt,
        recorded_tokens=sum(sizes),
        recorded_largest=max(sizes, default=0),
        recorded_calls=len(sizes),
        redact=house.redactor.text,
    )


def episodes(found: Iterable[Detection], shown: Callable[[str], str] = str) -> tuple[Episode, ...]:
    """Detections joined into episodes, in the order in which a guard would have spoken. `shown` redacts."""
    joined: list[Episode] = []
    for one in dict.fromkeys(found):
        start, end = index_of(one.first), index_of(one.last)
        place = next(
            (
                k
                for k in reversed(range(len(joined)))
                if joined[k].guard == one.guard and _goes_on(joined[k], one, start, end)
            ),
            None,
        )
        if place is None:
            facts = tuple(shown(fact) for fact in one.facts)
            joined.append(Episode(one.guard, one.cause, start, end, end, 1, shown(one.text), facts))
        else:
            old = joined[place]
            joined[place] = replace(old, start=min(start, old.start), end=max(end, old.end), times=old.times + 1)
    return tuple(joined)


def _goes_on(old: Episode, one: Detection, start: int, end: int) -> bool:
    if old.cause != one.cause:
        return False
    near = 0 if one.guard in POINTS else TOGETHER
    return start <= old.end + near and end >= old.start
