"""Watching a command while it runs: progress out, STOP and a lost lease in (rules 5 and 13)."""

import asyncio
from collections.abc import Callable
from typing import Literal

from bot.domain.ports import Watch
from tools.process import Child
from tools.run_directory import Ended, Vanished

LOOK_S = 0.3


async def attend(child: Child, watch: Watch, tell: Callable[[], tuple[str, ...]]) -> Ended | Vanished | Literal["left"]:
    """Wait for the command's end. `tell` gives the progress line's parts.

    The first STOP is one interrupt, a second one forces. A lost lease interrupts once and leaves: whoever has the
    lease next finds the run directory.
    """
    waiting = asyncio.ensure_future(child.wait())
    told: tuple[str, ...] = ()
    stops = 0
    try:
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=LOOK_S)
            parts = tell()
            if parts != told and not waiting.done():
                told = parts
                await watch.progress(*parts)
            if not watch.alive():
                child.interrupt()
                return "left"
            wanted = min(watch.stopping(), 2)
            if wanted > stops:
                child.interrupt(force=wanted > 1)
                stops = wanted
        end = await waiting
        if (parts := tell()) != told:  # the line stays in the thread: it ends with how far it came
            await watch.progress(*parts)
        return end
    finally:
        if not waiting.done():
            waiting.cancel()
            await asyncio.wait({waiting})
