"""What the guards cost in one step of a mission, beside the fold of its state, at logs of some length."""

import asyncio
import time
from collections.abc import Sequence
from itertools import pairwise

from bot.domain import log
from bot.domain.log import Logged
from bot.guards.roster import after, unseen
from bot.mission import applied, opened
from tests.bench.figures import Aim, Report
from tests.property.healthy_logs import long_log

LENGTHS = (1_000, 20_000)


async def run(*, quick: bool = False, profile: bool = False) -> Report:
    del profile
    return await asyncio.to_thread(_run, quick=quick)


def _run(*, quick: bool) -> Report:
    report = Report("guards", "the fold of the mission's state over the same entries; processor time of both")
    for length in (500,) if quick else LENGTHS:
        entries = long_log(length)
        guards, fold = _steps(entries)
        row = report.add(f"one step, {len(entries):,} entries in the log", guards[-2000:], fold[-2000:])
        report.sent += len(entries)
        report.aims.append(Aim(f"a step's guards, p99, {len(entries):,} entries", row.measured.p99, 1, "ms"))
        began = time.thread_time()
        seen = unseen()
        for logged in entries:
            seen, _ = after(seen, logged)
        report.notes.append(
            f"all {len(entries):,} entries anew, as after a worker's start: {time.thread_time() - began:.2f} s"
        )
    report.kept = report.sent
    return report


def _steps(entries: Sequence[Logged]) -> tuple[list[float], list[float]]:
    """Seconds of each step (from one model call to the next) in the guards, and in the fold."""
    starts = [place for place, one in enumerate(entries) if isinstance(one.entry, log.ModelAsked)]
    seen, state = unseen(), opened(entries[0])
    for logged in entries[1 : starts[0]]:
        seen, _ = after(seen, logged)
        state = applied(state, logged)
    guards: list[float] = []
    fold: list[float] = []
    for start, end in pairwise(starts):
        began = time.thread_time()
        for logged in entries[start:end]:
            seen, _ = after(seen, logged)
        guards.append(time.thread_time() - began)
        began = time.thread_time()
        for logged in entries[start:end]:
            state = applied(state, logged)
        fold.append(time.thread_time() - began)
    return guards, fold
