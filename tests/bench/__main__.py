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

BENCHES = ("ack", "first_call", "turn", "gate", "start")
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
    for name in names:
        if not given.json:
            print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores before {name}", flush=True)
        began = time.monotonic()
        report = asyncio.run(_run(name, quick=given.quick, profile=given.profile))
        if given.json:
            print(json.dumps(asdict(report)), flush=True)
        else:
            print(f"{report}({time.monotonic() - began:.0f} s)\n", flush=True)
    return 0


async def _run(name: str, *, quick: bool, profile: bool) -> Report:
    """With the program's own log on, as it is in operation; into a file, so that the figures stay readable."""
    LOG_FILE.parent.mkdir(exist_ok=True)
    with LOG_FILE.open("a") as log, contextlib.redirect_stderr(log):
        logs.set_up("info")
        return await bench(name)(quick=quick, profile=profile)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
