"""`python -m tests.bench [name …] [--quick]`: figures with their references from the same run. Nothing here can fail a build."""

import argparse
import asyncio
import contextlib
import importlib
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from bot import log as logs
from tests.bench.figures import Report
from tests.bench.processes import ROOT

BENCHES = ("ack", "first_call", "turn", "gate", "redact", "start", "guards", "replay", "classify", "hosts")
LOG_FILE = ROOT / ".cache" / "bench.log"
Run = Callable[..., Awaitable[Report]]


def bench(name: str) -> Run:
    """A bench's `run(quick=…)`."""
    return importlib.import_module(f"tests.bench.{name}").run


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which: {', '.join(BENCHES)}; none: all")
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, and of the worth")
    parser.add_argument("--json", action="store_true", help="one JSON object per bench instead of tables")
    parser.add_argument("--profile", action="store_true", help="with cProfile's table, where a bench has one")
    given = parser.parse_args(arguments)
    names = [name.replace("-", "_") for name in given.names] or list(BENCHES)
    if unknown := [name for name in names if name not in BENCHES]:
        parser.error(f"no bench {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    LOG_FILE.parent.mkdir(exist_ok=True)
    with LOG_FILE.open("a") as log, contextlib.redirect_stderr(log):  # the program's log is on, and not in the tables
        logs.set_up("info")
        for name in names:
            _show(name, given)
    return 0


def _show(name: str, given: argparse.Namespace) -> None:
    if not given.json:
        print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores before {name}", flush=True)
    began = time.monotonic()
    report = asyncio.run(_run(name, given))
    print(json.dumps(asdict(report)) if given.json else f"{report}({time.monotonic() - began:.0f} s)\n", flush=True)


async def _run(name: str, given: argparse.Namespace) -> Report:
    return await bench(name)(quick=given.quick, profile=given.profile)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
