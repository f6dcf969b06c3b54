"""Processes of a bench: servers that must not share the measured process's interpreter, and a store of its own."""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any, Literal

from bot.store.connection import Link, connect
from bot.store.server import EmbeddedServer
from bot.store.store import Store, over

ROOT = Path(__file__).resolve().parents[2]
START_S = 30.0
Fsync = Literal["no", "everysec", "always"]


@contextlib.contextmanager
def server(module: str, *arguments: str) -> Generator[dict[str, Any]]:
    """`python -m <module>` until the block ends; gives what its ready file says."""
    with tempfile.TemporaryDirectory(prefix="wb-bench-") as folder:
        ready = Path(folder) / "ready.json"
        process = subprocess.Popen(
            [sys.executable, "-m", module, "--ready-file", str(ready), *arguments], cwd=ROOT, stdin=subprocess.DEVNULL
        )
        try:
            end = time.monotonic() + START_S
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{module} did not start (exit code {process.poll()})")
                time.sleep(0.02)
            yield json.loads(ready.read_text())
        finally:
            process.terminate()
            process.wait(10)


@contextlib.asynccontextmanager
async def open_bench_store(fsync: Fsync) -> AsyncGenerator[Store]:
    """An embedded store in a temporary folder; "no" leaves writing to the operating system."""
    with tempfile.TemporaryDirectory(prefix="wb-bench-") as folder:
        valkey = await EmbeddedServer.start(Path(folder), fsync="everysec" if fsync == "no" else fsync)
        try:
            link = await connect(valkey.url, "bench:", sync=valkey.sync)
            store = over(link)
            await store.inbox.prepare()
            await link.write("CONFIG", "SET", "appendfsync", fsync)
            yield store
            await store.aclose()
        finally:
            await valkey.stop()


async def another_link(store: Store) -> Link:
    """A second connection pool to the same server, under the same prefix, as another program would have."""
    return await connect(store.link.where.replace("unix://unix", "unix://"), store.link.prefix, sync=store.link.sync)


async def appended(link: Link) -> int:
    """Bytes in the append-only file so far."""
    facts: str = await link.read("INFO", "persistence")
    return int(next(line for line in facts.splitlines() if line.startswith("aof_current_size:")).split(":")[1])


async def soon(true: Any, seconds: float = 30.0) -> None:
    """Wait for `true()` (awaitable) without a busy loop."""
    end = time.monotonic() + seconds
    while not await true():
        if time.monotonic() > end:
            raise TimeoutError("it did not happen in time")
        await asyncio.sleep(0.01)
