"""The evidence of ended missions, probed again on a schedule; people hear of it only where something no longer holds."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from bot import log as logs
from bot.domain.ids import MissionId
from bot.domain.ports import Clock
from bot.domain.state import Mission
from bot.domain.storage import StoreUnavailableError
from bot.remembered import Remembers, remembered
from bot.verifying import Reprobed

LOG = logs.logger("rounds")
LOOK_S = 300.0  # how often the time is looked at; the store makes it one round of all workers
NEWEST = 20  # missions; what older ones built has been changed by newer ones, or nobody asks any more
SETTLED = frozenset({"done", "partial"})


class Missions(Remembers, Protocol):
    """What a round needs of the journal."""

    async def missions(self, *, running: bool) -> Sequence[MissionId]: ...


class Claims(Protocol):
    async def claim(self, name: str, number: int) -> bool: ...


class Prober(Protocol):
    async def verify(self, state: Mission) -> Sequence[Reprobed]: ...


class Rounds:
    """One round every `every_h` hours, whatever the number of workers and restarts; none where it is 0."""

    def __init__(self, verifier: Prober, journal: Missions, locks: Claims, clock: Clock, every_h: float) -> None:
        self._verifier = verifier
        self._journal = journal
        self._locks = locks
        self._clock = clock
        self._every = timedelta(hours=every_h)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. A store that is away is asked again the next time."""
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_S)
            if stop.is_set() or not self._every:
                continue
            try:
                await self.go()
            except StoreUnavailableError as error:
                LOG.warning("round.delayed", why=str(error))

    async def go(self) -> Sequence[Reprobed]:
        """The round that is due now, if it is nobody else's: what was found, of all missions that it looked at."""
        every = self._every.total_seconds()
        begins = int(self._clock.now().timestamp() // every * every)  # in seconds, as another schedule would say it too
        if not await self._locks.claim("rounds", begins):
            return ()
        found: list[Reprobed] = []
        for number in (await self._journal.missions(running=False))[:NEWEST]:
            state = await remembered(self._journal, number)
            if state is not None and self._due(state):
                found += await self._verifier.verify(state)
        gone = sum(one.standing == "does not hold" for one in found)
        LOG.info("round.made", criteria=len(found), gone=gone)
        return found

    def _due(self, state: Mission) -> bool:
        """Evidence younger than a round was looked at by QA itself."""
        ended = state.ended_at
        return state.ended in SETTLED and ended is not None and self._clock.now() - ended >= self._every
