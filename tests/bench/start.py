"""Cold starts: `--help`, `run` until it says that it is ready, and the memory of the idle program, against the lab."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.lab.stack import Lab, Options, running
from tests.bench.figures import Aim, Report, Spread
from tests.bench.processes import ROOT

IDLE_S = 5.0


async def run(*, quick: bool = False, profile: bool = False) -> Report:
    return await asyncio.to_thread(_run, quick=quick)


def _run(*, quick: bool) -> Report:
    times = 1 if quick else 7
    report = Report("start", "an interpreter that does nothing; for `run`, one that only imports the program")
    # -I -S would be quicker still, but nobody starts a program so
    nothing = [_wall([sys.executable, "-c", "pass"]) for _ in range(times)]
    help_ = [_wall([sys.executable, "-m", "bot", "--help"]) for _ in range(times)]
    imports = [_wall([sys.executable, "-c", "import bot.app, bot.settings"]) for _ in range(times)]
    with running(Options(), _silent) as lab:
        ready, memory, store = zip(
            *(_start(lab, number, 1.0 if quick else IDLE_S) for number in range(times)), strict=True
        )
    report.add("python -m bot --help", help_, nothing)
    report.add("import bot.app", imports, nothing)
    row = report.add("python -m bot run, until it is ready", ready, imports)
    after = row.measured.p50 - Spread.of(imports).p50
    report.notes.append(f"resident memory of the embedded store: {max(store):.0f} MB, beside the program's")
    report.aims.append(Aim("--help", Spread.of(help_).p50, 150, "ms"))
    report.aims.append(Aim("ready after imports", after, 1500, "ms"))
    report.aims.append(Aim("idle resident memory", max(memory), 90, "MB"))
    return report


def _wall(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _start(lab: Lab, number: int, idle_s: float) -> tuple[float, float, float]:
    """Seconds until ready, megabytes of the program and of its store after some idle seconds."""
    name = f"start-{number}"
    ready = lab.folder / f"{name}.ready"
    began = time.perf_counter()
    process = lab.start_program(name, wait=False)
    while not ready.exists():
        if process.poll() is not None or time.perf_counter() - began > 60:
            raise RuntimeError((lab.folder / f"{name}.log").read_text()[-2000:])
        time.sleep(0.005)
    seconds = time.perf_counter() - began
    time.sleep(idle_s)
    memory = _resident(process.pid)
    store = sum(_resident(child) for child in _children(process.pid))
    lab.end(name)
    return seconds, memory, store


def _resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1024


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _silent(_: str) -> None:
    """The lab's progress is no figure."""
