"""Plays one drill in a lab that runs: posts the request, does what the drill's people do, and measures when all is at rest."""

import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.lab.drills.drill import Drill, Rest, own_rules
from deploy.lab.headless import NOTICES, name_of, text_of, thread
from deploy.lab.model.scenario import FLAGS
from deploy.lab.stack import Lab

LOOK_S = 0.4
QUIET_S = 2.4  # nothing new for so long, and the card as the drill wants it: it is over
SURE_S = 12.0  # and so long where the card says something else: edits wait for Slack's pace
LIMIT_S = 900.0  # a drill that hangs; no bound is a time
CARD = re.compile(r"^Mission (\d+) · asked by")
STATE = re.compile(r"^(?P<state>[^\n]*) · spent \$(?P<usd>[\d.]+) of", re.MULTILINE)
RESTS: Sequence[tuple[str, Rest]] = (
    ("Done", "done"),
    ("Partial", "partial"),
    ("Stopped", "stopped"),
    ("Parked", "parked"),
    ("Waiting for an answer", "asked"),
    ("Waiting for approval", "approval"),
    ("Waiting for a word", "waiting"),
)
JSON_SHOWN = re.compile(r"\{\s*\\?\"\w+\\?\"\s*:|\[\s*\{|\\n")
MOST_LINES, MOST_CHARACTERS = 14, 2_000  # of what an agent says; the program's cards have their own limits


@dataclass(slots=True)
class Seen:
    """What the lab's servers say about a drill's mission."""

    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    count: dict[str, Any] = field(default_factory=dict[str, Any])
    state: str = ""
    usd: float = 0.0
    mission: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """A drill's figures and what is wrong with them, if anything."""

    drill: Drill
    rest: str
    turns: int
    calls: int
    messages: int
    tokens: int
    usd: float
    seconds: float
    problems: tuple[str, ...]
    lines: tuple[str, ...]


class Stage:
    """The lab that all drills share. Missions open one after the other, so that each is given its own scenario."""

    def __init__(self, lab: Lab, ended: threading.Event, *, stop: bool = True) -> None:
        self.lab = lab
        self.ended = ended
        self.stop = stop  # what still waits at a drill's end; somebody who watches may want to press its buttons
        self.people = {name: facts["id"] for name, facts in lab.slack["people"].items()}
        self._opening = threading.Lock()
        self._estate = threading.Lock()

    def play(self, drill: Drill, scenario: str) -> Measured:
        """The whole drill, to its measure."""
        if drill.terraform:
            with self._estate:
                return self._play(drill, scenario)
        return self._play(drill, scenario)

    def _play(self, drill: Drill, scenario: str) -> Measured:
        topic = drill.about[:200]
        channel = self.lab.call("slack", "/lab/channel", {"name": f"drill-{drill.name}".replace("_", "-"), "topic": topic})["channel"]  # fmt: skip
        for one in drill.before:
            self.lab.call(one.server, one.path, one.body)
        began = time.monotonic()
        ts, mission = self._open(drill, scenario, channel)
        play = Play(self, drill, channel, ts, mission)
        play.until_rest(began + LIMIT_S)
        measured = play.measure(time.monotonic() - began)
        if self.stop and measured.rest not in {"done", "partial", "stopped"}:
            self.lab.call("slack", "/lab/post", play.words("ana", "STOP"))
        return measured

    def _open(self, drill: Drill, scenario: str, channel: str) -> tuple[str, str]:
        with self._opening:
            known = set(self.lab.call("model", "/lab/missions")["missions"])
            self.lab.call("model", "/lab/scenario", {"file": scenario})
            post = {"as": self.people["ana"], "channel": channel, "text": drill.request}
            ts = str(self.lab.call("slack", "/lab/post", post)["ts"])
            end = time.monotonic() + 30
            while time.monotonic() < end and not self.ended.is_set():
                now = self.lab.call("model", "/lab/missions")
                if new := set(now["missions"]) - known:
                    return ts, str(new.pop())
                time.sleep(0.1)
        raise TimeoutError(f"{drill.name}: no model call came within 30 s of the request")


class Play:
    """One drill under way."""

    def __init__(self, stage: Stage, drill: Drill, channel: str, ts: str, mission: str) -> None:
        self._stage, self._lab, self._drill = stage, stage.lab, drill
        self._channel, self._ts, self._mission = channel, ts, mission
        self._pressed: set[tuple[str, str]] = set()
        self._said: set[int] = set()
        self.seen = Seen()

    def until_rest(self, end: float) -> None:
        """Look, do what people do, and return when nothing has moved for a while."""
        before: Any = None
        since = time.monotonic()
        while time.monotonic() < end and not self._stage.ended.is_set():
            self._look()
            acted = self._act()
            now = (self.seen.messages, self.seen.count, self.seen.state)
            if acted or now != before or self.seen.count.get("in_flight"):
                before, since = now, time.monotonic()
            else:
                rest = rest_of(self.seen.state)
                quiet = QUIET_S if rest == self._drill.ends else SURE_S
                if rest and time.monotonic() - since >= quiet:
                    return
            time.sleep(LOOK_S)

    def _look(self) -> None:
        seen = self.seen
        seen.messages = thread(self._lab, self._channel, self._ts)
        seen.count = self._lab.call("model", "/lab/missions")["missions"].get(self._mission, {})
        card = next((text_of(message) for message in seen.messages if CARD.match(text_of(message))), "")
        found = STATE.search(card)
        if found:
            seen.state, seen.usd = found["state"], float(found["usd"])

    def _act(self) -> bool:
        people, acted = self._drill.people, False
        for message in self.seen.messages:
            for block in message.get("blocks", []):
                for element in block.get("elements", []):
                    acted |= self._press(message, str(element.get("action_id", "")))
        text = "\n".join(map(text_of, self.seen.messages))
        for number, words in enumerate(people.says):
            if number not in self._said and re.search(words.after, text, FLAGS):
                self._said.add(number)
                for line in [*([words.text] if words.text else []), *words.lines]:
                    self._lab.call("slack", "/lab/post", self.words(words.by, line))
                acted = True
        return acted

    def _press(self, message: dict[str, Any], action: str) -> bool:
        people = self._drill.people
        wanted = f"answer:{people.answer}" if people.answer is not None else ""
        who = "bo" if people.approve and action == "approve" else "ana" if wanted and action == wanted else ""
        slot = (str(message["ts"]), action)
        if not who or slot in self._pressed:
            return False
        click = {"as": self._stage.people[who], "channel": self._channel, "ts": message["ts"], "action_id": action}
        if self._lab.call("slack", "/lab/click", click).get("acked"):
            self._pressed.add(slot)
        return True

    def words(self, by: str, text: str) -> dict[str, Any]:
        return {"as": self._stage.people[by], "channel": self._channel, "thread_ts": self._ts, "text": text}

    def measure(self, seconds: float) -> Measured:
        """The figures now, beside the drill's bounds."""
        drill, seen = self._drill, self.seen
        own = [message for message in seen.messages if message.get("user") not in self._stage.people.values()]
        lines = tuple(f"{name_of(self._lab, message)}: {text_of(message)}" for message in seen.messages)
        rest = rest_of(seen.state) or "moving"
        count = {key: int(seen.count.get(key, 0)) for key in ("turns", "calls", "unexpected")}
        problems = [*over(drill, count, len(own)), *told(drill, rest, lines), *readable(self._lab, own, count["turns"])]
        if count["unexpected"]:
            problems.append(f"{count['unexpected']} model calls that the drill has no answer for")
        problems += idle(drill, seen.count.get("unused", []))
        tokens = int(seen.count.get("prompt_tokens", 0)) + int(seen.count.get("completion_tokens", 0))
        return Measured(
            drill, rest, count["turns"], count["calls"], len(own), tokens, seen.usd, seconds, tuple(problems), lines
        )


def idle(drill: Drill, unused: Sequence[str]) -> list[str]:
    """A rule that never came up misbehaves in nothing: what it was to show was not shown."""
    rules = sorted(own_rules(drill) & set(unused))
    problems = [f"the rule {rule} never came up" for rule in rules if rule not in drill.unplayed]
    return problems + [
        f"the rule {rule} came up: take it out of unplayed" for rule in drill.unplayed if rule not in rules
    ]


def rest_of(state: str) -> str:
    """What the card says, as the word of a drill file; "" while somebody has the turn."""
    return next((rest for begins, rest in RESTS if state.startswith(begins)), "")


def over(drill: Drill, count: dict[str, int], messages: int) -> list[str]:
    """Bounds that were not kept."""
    rows = (("turns", count["turns"], drill.bounds.turns), ("model calls", count["calls"], drill.bounds.calls),
            ("messages", messages, drill.bounds.messages))  # fmt: skip
    return [f"{figure} {what}, the bound is {bound}" for what, figure, bound in rows if figure > bound]


def told(drill: Drill, rest: str, lines: Sequence[str]) -> list[str]:
    """Whether it came to the rest that the drill wants, and people read what it says."""
    problems = [] if rest == drill.ends else [f"came to rest as {rest}, not {drill.ends}"]
    left = list(lines)
    for pattern in [*drill.sees, *([drill.question] if drill.question else [])]:
        at = next((number for number, line in enumerate(left) if re.search(pattern, line, FLAGS)), None)
        if at is None:
            problems.append(f"nobody could read: {pattern}")
        else:
            left = left[at if pattern == drill.question else at + 1 :]
    problems += [f"{pattern!r} stands in: {line[:120]}" for pattern in drill.never for line in lines
                 if re.search(pattern, line, FLAGS)]  # fmt: skip
    return problems


def readable(lab: Lab, own: Sequence[dict[str, Any]], turns: int) -> list[str]:
    """A thread that people can read: no raw JSON, no walls of text, at most one line about the crew's health in a turn."""
    problems: list[str] = []
    notices = 0
    for message in own:
        text, watchbill = text_of(message), name_of(lab, message) == "Watchbill"
        notices += watchbill and bool(NOTICES.search(text))
        if JSON_SHOWN.search(text):
            problems.append(f"raw JSON in: {text[:120]}")
        if not watchbill and (text.count("\n") >= MOST_LINES or len(text) > MOST_CHARACTERS):
            problems.append(f"a wall of text: {len(text)} characters, {text.count(chr(10)) + 1} lines")
    if notices > turns:
        problems.append(f"{notices} lines about the crew's health in {turns} turns")
    return problems
