"""python -m bot drill [NAME … | all]: the lab's model misbehaves in exactly one way; the crew has to finish or ask, within bounds."""

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from deploy.lab.__main__ import watch_program
from deploy.lab.bundle.cache import UnobtainableError
from deploy.lab.drills.drill import Drill, DrillError, missing_recording, read_drills, write_scenario
from deploy.lab.drills.playing import Measured, Stage
from deploy.lab.lifetime import ended_by_signal
from deploy.lab.stack import ROOT, SCENARIOS, Lab, LabError, Options, running

DRILLS = ROOT / "tests" / "drills"
RECORDINGS = ROOT.parent / "shared" / "data" / "transcripts"  # beside the project, never in it
AT_ONCE = 6
SETTINGS = {"WATCHBILL_MISSIONS_AT_ONCE": "16"}


def read_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bot drill", description=__doc__)
    parser.add_argument("names", nargs="*", default=["all"], metavar="NAME", help="drills by name; all (default)")
    parser.add_argument("--folder", type=Path, default=DRILLS, help="of the drill files (default tests/drills)")
    parser.add_argument(
        "--recordings", type=Path, default=RECORDINGS, help=f"of the recorded conversations (default {RECORDINGS})"
    )
    parser.add_argument("--list", action="store_true", help="the drills and what each is about")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each drill, and one for all")
    parser.add_argument("--thread", action="store_true", help="print every thread, not only those of failed drills")
    parser.add_argument(
        "--watch", action="store_true", help="a channel for each drill on the lab's page, open until Ctrl-C"
    )
    parser.add_argument("--port", type=int, default=8765, help="of the page with --watch; 0: any free one")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help=f"drills at the same time (default {AT_ONCE})")
    parser.add_argument("--keep", type=Path, help="keep the run's folder (logs, state) here")
    parser.add_argument("--cache", type=Path, default=Options().cache, help="folder of the binaries")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    given = read_arguments(sys.argv[1:] if arguments is None else arguments)
    ended = ended_by_signal()
    try:
        drills = chosen(read_drills(given.folder), given.names)
        if given.list:
            print("\n".join(f"{drill.name:24} {drill.about}" for drill in drills))
            return 0
        port = given.port if given.watch else 0
        options = Options(given.cache, port=port, keep=given.keep, settings=SETTINGS, scenario="two-nodes")
        with running(options, lambda line: print(line, file=sys.stderr, flush=True)) as lab:
            return _run(lab, drills, given, ended)
    except (LabError, UnobtainableError, DrillError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 2


def chosen(drills: Sequence[Drill], names: Sequence[str]) -> list[Drill]:
    """The drills with these names. Raises DrillError."""
    known = {drill.name: drill for drill in drills}
    if "all" in names:
        return list(drills)
    if unknown := [name for name in names if name not in known]:
        raise DrillError(f"no drill {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names]


def _run(lab: Lab, drills: Sequence[Drill], given: argparse.Namespace, ended: threading.Event) -> int:
    folder = lab.folder / "drills"
    folder.mkdir()
    skipped = {drill.name: why for drill in drills if (why := missing_recording(drill, given.recordings))}
    drills = [drill for drill in drills if drill.name not in skipped]
    files = {drill.name: str(write_scenario(drill, SCENARIOS, folder, given.recordings)) for drill in drills}
    print("lab: the program", file=sys.stderr, flush=True)
    lab.start_program(tied=True)
    if given.watch:
        print(f"\n  Open {lab.url}: each drill plays in a channel of its own.\n", flush=True)
    stage, began = Stage(lab, ended, stop=not given.watch), time.monotonic()
    order = sorted(drills, key=lambda drill: not drill.terraform)  # the long ones first
    with ThreadPoolExecutor(given.at_once) as pool:
        measured = list(pool.map(lambda drill: stage.play(drill, files[drill.name]), order))
    measured.sort(key=lambda one: one.drill.name)
    wrong = house(lab)
    if given.keep:  # what the model was asked, for whoever looks into a drill that failed
        record = lab.call("model", "/lab/record", timeout=60)
        (lab.folder / "model" / "record.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    show(measured, wrong, time.monotonic() - began, given)
    for name, why in skipped.items():
        print(f"skipped {name}: {why}", file=sys.stderr)
    if given.watch and not ended.is_set():
        print(f"\n  {lab.url} stays open until Ctrl-C.", flush=True)
        watch_program(lab, ended)
    return 1 if wrong or any(one.problems for one in measured) else 0


def house(lab: Lab) -> list[str]:
    """What may not happen in any drill, as the lab's servers counted it over all of them."""
    slack, model, proxmox = (lab.call(server, "/lab/report") for server in ("slack", "model", "proxmox"))
    rows = {
        "thoughts posted": slack["thoughts_posted"],
        "thoughts in another agent's context": model["thoughts_seen"],
        "secrets seen": slack["secrets_seen"] + model["secrets_seen"] + proxmox["secrets_seen"],
        "overlapping turns": model["overlapping_turns"],
        "machines made or destroyed": proxmox["vms_created"] + proxmox["vms_destroyed"],
    }
    return [f"{count} {what}" for what, count in rows.items() if count]


HEAD = ("drill", "ends", "turns", "calls", "messages", "tokens", "$", "s", "")


def show(measured: Sequence[Measured], wrong: Sequence[str], seconds: float, given: argparse.Namespace) -> None:
    if given.json:
        for one in measured:
            print(json.dumps(as_json(one), ensure_ascii=False))
    else:
        for one in measured:
            if given.thread or one.problems:
                print(f"\n── {one.drill.name}: {one.drill.about}\n" + "\n".join(one.lines) + "\n")
        table([HEAD, *map(row, measured)])
    for one in measured:
        for problem in one.problems:
            print(f"{one.drill.name}: {problem}", file=sys.stderr if given.json else sys.stdout)
    worst = max(measured, key=lambda one: (one.usd, one.tokens))
    failed = sum(bool(one.problems) for one in measured)
    summary: dict[str, Any] = {"drills": len(measured), "failed": failed, "wrong": list(wrong), "seconds": round(seconds, 1),
                               "worst": worst.drill.name, "worst_calls": worst.calls, "worst_tokens": worst.tokens,
                               "worst_usd": worst.usd}  # fmt: skip
    if given.json:
        print(json.dumps(summary, ensure_ascii=False))
        return
    print(f"\n{len(measured)} drills, {failed} failed, {seconds:.0f} s. The dearest: {worst.drill.name}, {worst.calls} model "
          f"calls, {worst.tokens:,} tokens, ${worst.usd:.2f}.")  # fmt: skip
    print("Over all of them: " + (", ".join(wrong) or "0 thoughts posted, 0 secrets seen, 0 overlapping turns, 0 machines touched") + ".")  # fmt: skip


def row(one: Measured) -> tuple[str, ...]:
    bounds = one.drill.bounds
    return (one.drill.name, one.rest, f"{one.turns} of {bounds.turns}", f"{one.calls} of {bounds.calls}",
            f"{one.messages} of {bounds.messages}", f"{one.tokens:,}", f"{one.usd:.2f}", f"{one.seconds:.0f}",
            "FAILED" if one.problems else "ok")  # fmt: skip


def table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for cells in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def as_json(one: Measured) -> dict[str, Any]:
    return {"drill": one.drill.name, "rest": one.rest, "turns": one.turns, "calls": one.calls, "messages": one.messages,
            "tokens": one.tokens, "usd": one.usd, "seconds": round(one.seconds, 1), "bounds": one.drill.bounds.model_dump(),
            "problems": list(one.problems)}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
