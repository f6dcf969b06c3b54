"""The audit record's head, once a day, to where people can hold the record to it (rule 22's proof; bot/audit_chain.py).

Slack is the witness: whoever may write the store cannot change what stands there without the word "edited" beside it.
"""

import asyncio
import contextlib
from collections.abc import Sequence

from bot import log as logs
from bot.audit_heads import Heads
from bot.cards import WATCHBILL
from bot.domain.ids import Thread
from bot.domain.ports import Clock
from bot.domain.posts import Notice, Post
from bot.domain.storage import Journal, Outbox, StoreUnavailableError

LOG = logs.logger("heads")
EVERY_S = 600.0  # how often the day is looked at; the store makes it one post a day
NEWEST = 20  # missions whose channels are told where no channel is set


class DailyHeads:
    """Posts of the day's head; any number of workers may run one."""

    def __init__(
        self, heads: Heads, journal: Journal, outbox: Outbox, clock: Clock, *, team: str, channel: str
    ) -> None:
        self._heads = heads
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._team = team
        self._channel = channel

    async def run(self, stop: asyncio.Event) -> None:
        """Look every few minutes until `stop`. A store that is away is asked again the next time."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), EVERY_S)
            if stop.is_set():
                return
            try:
                await self.post()
            except StoreUnavailableError as error:
                LOG.warning("head.delayed", why=str(error))

    async def post(self) -> None:
        """Today's head to every channel that is told; the same again is nothing new."""
        day = self._clock.now().date().isoformat()
        places = await self._places()
        head = await self._heads.of_day(day) if places else ""
        if head:
            text = f"Audit record on {day}: {head.partition(':')[0]} events, head {head}"
            detail = "Keep it: `audit verify FILE --head` holds an exported record to it."
            await self._outbox.put(
                *(Post(f"head:{day}:{place.channel}", place, WATCHBILL, Notice(text, detail)) for place in places)
            )

    async def _places(self) -> Sequence[Thread]:
        if self._channel:
            return (Thread(self._team, self._channel, ""),)
        missions = (await self._journal.missions(running=False))[:NEWEST]
        threads = [await self._journal.thread_of(mission) for mission in missions]
        return tuple(dict.fromkeys(Thread(one.team, one.channel, "") for one in threads if one))
