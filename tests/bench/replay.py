"""Replay against the hand labels: recall and precision of every pattern, tokens, and the time of 10,000 messages.

An episode counts as seen where a detection of its pattern overlaps it. Labels are a sample: most messages have none, so
precision is given twice, among detections that touch a labelled stretch, and of all of them.
"""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.agents.persona import Persona, load_personas
from bot.domain.ids import PersonaName
from bot.replay.recording import read, recorded
from bot.replay.replay import Outcome, replay
from tests.bench.figures import Aim, Report
from tests.bench.processes import ROOT

DATA = ROOT.parent / "shared" / "data"
MESSAGES = 10_000
HEALTHY = "none"
RECALL, PRECISION = 0.9, 0.85
BEYOND = {  # what a text does not show, whatever reads it
    "goal_drift": "where the recording begins after the request, nothing says what the goal was",
    "escalation_cascade": "where the same lack is told in free words each time, without an error, nothing has an identity",
    "think_leak": "where no line says what woke an agent (the oldest recordings), only the words it knows can tell",
    "rate_limit_broadcast": "what the provider's client retried in silence left no message",
}


@dataclass(frozen=True, slots=True)
class Stretch:
    """A labelled piece of a log, or a detection in it."""

    log: str
    pattern: str
    start: int
    end: int

    def overlaps(self, other: "Stretch") -> bool:
        return self.log == other.log and self.start <= other.end and self.end >= other.start


@dataclass(frozen=True, slots=True)
class Score:
    pattern: str
    labelled: int
    seen: int
    detections: int
    right: int  # overlap a label of their pattern
    wrong: int  # overlap a stretch that is labelled healthy, and none of their pattern

    @property
    def recall(self) -> float:
        return self.seen / self.labelled if self.labelled else 1.0

    @property
    def precision(self) -> float:
        judged = self.right + self.wrong
        return self.right / judged if judged else 1.0

    def __str__(self) -> str:
        return (
            f"{self.pattern:21} recall {self.recall:4.2f} ({self.seen}/{self.labelled})  precision {self.precision:4.2f} "
            f"where labelled ({self.right} right, {self.wrong} in healthy stretches), {self.detections} detections in all"
        )


async def run(*, quick: bool = False, profile: bool = False) -> Report:
    del profile
    return await asyncio.to_thread(_run, quick=quick)


def _run(*, quick: bool) -> Report:
    personas = load_personas(ROOT / "personas", tools=None, models=None)
    report = Report("replay", "json.loads of the same lines; processor time of both")
    rows = long_recording(500 if quick else MESSAGES)
    taken: list[float] = []
    parsed: list[float] = []
    for _ in range(1 if quick else 3):
        began = time.thread_time()
        for row in rows:
            json.loads(row)
        parsed.append(time.thread_time() - began)
        began = time.thread_time()
        replay(recorded(rows), personas)
        taken.append(time.thread_time() - began)
    report.add(f"replay of {len(rows):,} messages", taken, parsed)
    report.sent = report.kept = len(rows)
    if not quick:
        report.aims.append(Aim("10,000 messages, processor time", min(taken), 5, "s"))
    if DATA.is_dir() and not quick:
        judged(report, personas)
    elif not DATA.is_dir():
        report.notes.append("no ../shared/data: recall and precision are not measured")
    return report


def judged(report: Report, personas: Mapping[PersonaName, Persona]) -> None:
    """Scores of every pattern, and the sums that the issue bounds."""
    outcomes = {path.stem: replay(read(path), personas) for path in sorted((DATA / "transcripts").glob("*.jsonl"))}
    labels = list(labelled(DATA / "episodes-dev.jsonl"))
    found = list(detections(outcomes))
    for score in scores(labels, found):
        report.notes.append(str(score))
        if score.labelled:
            report.aims.append(Aim(f"{score.pattern}: missed", 1 - score.recall, round(1 - RECALL, 2), "of 1"))
            report.aims.append(Aim(f"{score.pattern}: wrong", 1 - score.precision, round(1 - PRECISION, 2), "of 1"))
    report.notes += [f"not to be seen: {pattern}: {why}" for pattern, why in BEYOND.items()]
    ours, theirs = (
        sum(counts) for counts in zip(*((o.prompt_tokens, o.recorded_tokens) for o in outcomes.values()), strict=True)
    )
    report.aims.append(Aim("prompt tokens of the recorded design", ours / theirs, 0.25, "of 1"))
    report.aims.append(Aim("largest prompt", max(o.largest_prompt for o in outcomes.values()), 16_000, "tokens"))
    wrong = sum(o.turns_from_thoughts + o.overlapping_turns + o.secrets_shown for o in outcomes.values())
    report.aims.append(Aim("turns from thoughts, overlapping turns, secrets shown", wrong, 0, "of them"))


def labelled(path: Path) -> Iterator[Stretch]:
    for line in path.read_text(encoding="utf-8").splitlines():
        raw = json.loads(line)
        yield Stretch(raw["log"], raw["pattern"], raw["start_i"], raw["end_i"])


def detections(outcomes: Mapping[str, Outcome]) -> Iterator[Stretch]:
    for log, outcome in outcomes.items():
        for episode in outcome.episodes:
            yield Stretch(log, episode.guard, outcome.lines[episode.start].i, outcome.lines[episode.end].i)


def scores(labels: Sequence[Stretch], found: Sequence[Stretch]) -> Iterator[Score]:
    healthy = [label for label in labels if label.pattern == HEALTHY]
    for pattern in sorted({one.pattern for one in (*labels, *found)} - {HEALTHY}):
        mine = [label for label in labels if label.pattern == pattern]
        seen = [one for one in found if one.pattern == pattern]
        right = [one for one in seen if any(one.overlaps(label) for label in mine)]
        wrong = [one for one in seen if one not in right and any(one.overlaps(label) for label in healthy)]
        hit = sum(any(label.overlaps(one) for one in seen) for label in mine)
        yield Score(pattern, len(mine), hit, len(seen), len(right), len(wrong))


def long_recording(messages: int) -> list[str]:
    """Lines of the transcripts one after the other, or of a crew made up, where there are none."""
    paths = sorted((DATA / "transcripts").glob("*.jsonl")) if DATA.is_dir() else []
    rows = [row for path in paths for row in path.read_text(encoding="utf-8").splitlines()] or list(_made_up(100))
    return [rows[number % len(rows)] for number in range(messages)]


def _made_up(turns: int) -> Iterator[str]:
    said = [("User", False, "Build three VMs on both hosts, please, and show me that they run.")]
    for number in range(turns):
        said += [
            ("Architect", True, "Processing message from User..."),
            ("Architect", False, f"@Builder: step {number}: write main.tf, plan it and have it reviewed."),
            ("Builder", True, 'Calling tool: save_file({"path": "main.tf", "content": "module vms {}"})'),
            ("Builder", False, "Tool Result (save_file):\n```\nFile saved successfully: main.tf\n```"),
            ("Builder", False, f"@Sentinel: plan {number} is ready."),
        ]
    for number, (sender, think, content) in enumerate(said):
        yield json.dumps({"i": number, "sender": sender, "think": think, "content": content})
