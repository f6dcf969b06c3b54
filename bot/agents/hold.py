"""One turn while it is held: the state, the token that proves the hold, and the only way to write."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from bot.domain.ids import PersonaName, Token
from bot.domain.log import Entry, Logged
from bot.domain.ports import Clock, Scope, Watch
from bot.domain.posts import Post
from bot.domain.state import Mission
from bot.domain.storage import Commit, Deadline, Journal
from bot.mission import applied

T = TypeVar("T")
GLANCE_S = 0.1  # how often a long wait looks whether STOP was pressed; the watch keeps the answer


async def _nothing_new() -> int:
    return 0


class Hold:
    """Created by the turn, used by the loop. Every write goes through `record` with the token (rule 1)."""

    def __init__(
        self, state: Mission, persona: PersonaName, token: Token, journal: Journal, clock: Clock, watch: Watch,
        leaving: Callable[[], bool] = lambda: False, look: Callable[[], Awaitable[int]] = _nothing_new,
    ) -> None:  # fmt: skip
        self.state = state
        self.persona = persona
        self.watch = watch
        self.leaving = leaving  # true when the worker is being stopped: leave between two steps
        self._look = look
        self._token = token
        self._journal = journal
        self._clock = clock

    @property
    def turn(self) -> int:
        return self.state.turn.number if self.state.turn else self.state.turns

    async def stopping(self) -> bool:
        """True once STOP was pressed. The store is asked: no call starts after it, not even for a moment (rule 5)."""
        return bool(self.watch.stopping() or await self._look())

    async def unless_stopped(self, step: Coroutine[Any, Any, T]) -> T | None:
        """What `step` gives, or None where STOP was pressed or the lane was lost first: it is cancelled then, also while
        it waits to try again, so that nothing of it starts after the STOP (rule 5).
        """
        running = asyncio.create_task(step)
        try:
            while not (await asyncio.wait({running}, timeout=GLANCE_S))[0]:
                if self.watch.stopping() or not self.watch.alive():
                    return None
            return running.result()
        finally:
            running.cancel()
            await asyncio.wait({running})
            if not running.cancelled():
                running.exception()  # it failed in the moment it was no longer wanted: nobody else looks

    async def record(self, *entries: Entry, posts: tuple[Post, ...] = (), deadlines: tuple[Deadline, ...] = ()) -> None:
        """Append to the log and the outbox together, and fold. Raises StaleTokenError when the lane is lost."""
        commit = Commit(entries=entries, posts=posts, deadlines=deadlines)
        for logged in await self._journal.commit(self._token, self.state.id, commit):
            self.state = applied(self.state, logged)

    def after(self, *entries: Entry) -> Mission:
        """The state as `entries` will leave it, so that a post can show it in the commit that writes them."""
        state, now = self.state, self._clock.now()
        for entry in entries:
            state = applied(state, Logged(state.last, now, entry))
        return state

    def scope(self) -> Scope:
        """What a tool may know now."""
        return Scope(self.state, self.persona, self.turn, self._clock.now())
