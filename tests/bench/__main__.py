"""`python -m tests.bench [name …] [--quick]`: figures with their references from the same run. Nothing here can fail a build."""

import argparse
import asyncio
import importlib
import os
import sys
import time
from collections.abc import Awaitable, Callable

from tests.bench.figures import Report

BENCHES = ("ack", "first_call", "turn", "gate", "start")
Run = Callable[..., Awaitable[Report]]


def bench(name: str) -> Run:
    """A bench's `run(quick=…)`."""
    return importlib.import_module(f"tests.bench.{name}").run


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which: {', '.join(BENCHES)}; none: all")
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, and of the worth")
    given = parser.parse_args(arguments)
    names = [name.replace("-", "_") for name in given.names] or list(BENCHES)
    if unknown := [name for name in names if name not in BENCHES]:
        parser.error(f"no bench {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    for name in names:
        print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores before {name}", flush=True)
        began = time.monotonic()
        report = asyncio.run(_run(name, quick=given.quick))
        print(f"{report}({time.monotonic() - began:.0f} s)\n", flush=True)
    return 0


async def _run(name: str, *, quick: bool) -> Report:
    return await bench(name)(quick=quick)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
