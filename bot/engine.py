"""Inbox to work. Two lanes of work: clicks and commands at once by any worker, everything else in order by the one holder."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from bot import log as logs
from bot.cards import WATCHBILL
from bot.domain.ids import InboxId, LaneKey, MissionId
from bot.domain.inbound import Continue, Ordered
from bot.domain.ports import Clock
from bot.domain.posts import Notice, Post
from bot.domain.state import Mission
from bot.domain.storage import (
    Commit,
    ImmediateWork,
    Inbox,
    Journal,
    LaneWork,
    Leases,
    Outbox,
    StaleTokenError,
    StoreUnavailableError,
)
from bot.immediate import Desk
from bot.lane import LaneRules, Visit
from bot.lines import joined
from bot.mission import fold
from bot.router import next_wake
from bot.turn import LaneWatch, Turns

T = TypeVar("T")
LOG = logs.logger("engine")
WAIT_S = 2.0  # one blocking look at the store; a stop is noticed within this
BACK_OFF_S = 1.0  # after the store did not answer
IMMEDIATES_AT_ONCE = 8
KEPT = 200  # missions whose state a worker keeps in memory


Closing = Callable[[Mission], Awaitable[str]]  # of an ended mission: give the estate back; words for people, or ""


async def nothing_to_close(state: Mission) -> str:
    """A deployment without an estate."""
    del state
    return ""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the engine works with; filled by bot/app.py."""

    journal: Journal
    inbox: Inbox
    leases: Leases
    outbox: Outbox
    clock: Clock
    turns: Turns
    rules: LaneRules
    desk: Desk
    worker: str
    lease_s: float
    at_once: int
    close: Closing = nothing_to_close


class _Served:
    """Pieces of work that run beside each other. One that breaks is logged and ends alone; its item comes again when
    its lease, or its time with this worker, has run out.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], *, what: str) -> None:
        task = asyncio.create_task(work, name=what)
        self._running.add(task)
        task.add_done_callback(self._ended)

    async def finish(self) -> None:
        while self._running:
            await asyncio.wait(self._running)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            LOG.error(logs.ITEM_FAILED, what=task.get_name(), why=f"{type(error).__name__}: {error}", exc_info=error)


class Engine:
    """One worker. Any number may run; the store decides who holds what."""

    def __init__(self, parts: Parts) -> None:
        self._p = parts
        self._states: OrderedDict[MissionId, Mission] = OrderedDict()
        self._draining = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; then finish the steps under way, leave the turns for another worker, and return.

        Raises what ended one of the two loops: a worker that only half works must not look alive.
        """
        LOG.info(logs.WORKER_STARTED, worker=self._p.worker)
        await self._patiently(self._p.desk.catch_up())
        loops = [asyncio.create_task(self._immediates()), asyncio.create_task(self._lanes())]
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stopped, *loops], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._draining.set()
            stopped.cancel()
            await asyncio.gather(*loops)
        LOG.info(logs.WORKER_STOPPED, worker=self._p.worker)

    # clicks, commands, STOP ------------------------------------------------------------------------------------------

    async def _immediates(self) -> None:
        """Several at a time: a slow look at the cluster keeps no click waiting."""
        room, served = asyncio.Semaphore(IMMEDIATES_AT_ONCE), _Served()
        while not self._draining.is_set():
            await room.acquire()
            work = await self._patiently(self._p.inbox.next_immediate(self._p.worker, wait_s=WAIT_S))
            if work is None:
                room.release()
                continue
            served.start(self._immediate(work, room), what=work.item.kind)
        await served.finish()

    async def _immediate(self, work: ImmediateWork, room: asyncio.Semaphore) -> None:
        try:
            await self._p.desk.serve(work.item)
            await self._p.inbox.done_immediate(work)
        except StoreUnavailableError as error:  # it comes again: at least once
            LOG.warning(logs.ITEM_FAILED, why=str(error))
        finally:
            room.release()

    # lanes -----------------------------------------------------------------------------------------------------------

    async def _lanes(self) -> None:
        room, served = asyncio.Semaphore(self._p.at_once), _Served()
        while not self._draining.is_set():
            await room.acquire()
            work = await self._patiently(self._p.inbox.next_lane(self._p.worker, wait_s=WAIT_S))
            if work is None:
                room.release()
                continue
            served.start(self._visit(work, room), what=work.lane)
        await served.finish()

    async def _visit(self, work: LaneWork, room: asyncio.Semaphore) -> None:
        try:
            token = await self._p.leases.acquire(work.lane, self._p.worker, self._p.lease_s)
            if token is None:
                return
            watch = LaneWatch(token, self._p.leases, self._p.outbox, self._p.lease_s, self._draining)
            async with watch.hold():
                await self._serve(Visit(work.lane, token, watch))
            await self._p.leases.release(token)
        except StaleTokenError:
            LOG.warning(logs.LANE_LEFT, lane=work.lane, why="another worker holds it")
        except StoreUnavailableError as error:
            LOG.warning(logs.LANE_LEFT, lane=work.lane, why=str(error))
            await self._p.clock.sleep(BACK_OFF_S)
        finally:
            room.release()

    async def _serve(self, visit: Visit) -> None:
        """Everything that waits in the lane, then turns, until nothing waits and nobody is next."""
        mark = await self._mark(visit.lane)
        while not self._draining.is_set() and visit.watch.alive():
            visit.state = await self._load(visit)
            if await self._p.rules.recover(visit):  # before any word or STOP: what ran goes into the log first
                continue
            items = [(id_, item) for id_, item in await self._p.inbox.read(visit.lane) if id_ != mark]
            extra = [id_ for id_, item in items if isinstance(item, Continue)]
            for ids, item in joined([(id_, item) for id_, item in items if not isinstance(item, Continue)]):
                visit.state = await self._load(visit)
                await self._p.rules.handle(visit, ids, item)
            state = visit.state = await self._load(visit)
            if state is None:
                await self._consume(visit, None, (mark, *extra))
                return
            wake = next_wake(state)
            busy = state.turn is not None or wake is not None
            if busy and not visit.watch.stopping():
                visit.state = await self._p.turns.take(state, wake, visit.token, visit.watch)
                self._remember(visit.state)
                continue
            if not await self._more(visit.lane, mark, extra):
                if busy:  # that STOP was for what came before: the next hold counts anew, and the mark brings it
                    return
                await self._close(visit.state or state)
                await self._p.journal.keep(visit.state or state)
                await self._consume(visit, state.id, (mark, *extra))
                return

    async def _close(self, state: Mission) -> None:
        """What a mission holds of the estate ends with it. Safe to repeat: a dead worker's successor comes by here."""
        problem = await self._p.close(state) if state.ended else ""
        if problem:
            post = Post(f"closed:{state.id}", state.thread, WATCHBILL, Notice(problem))
            await self._p.outbox.put(post)

    async def _mark(self, lane: LaneKey) -> InboxId:
        """An item that stays in the lane while it is worked on: it brings another worker if this one dies."""
        for _ in range(2):
            for id_, item in await self._p.inbox.read(lane):
                if isinstance(item, Continue):
                    return id_
            await self._p.inbox.put(lane, Continue(lane, f"held by {self._p.worker}"))
        raise StoreUnavailableError("the lane's mark could not be read back")

    async def _more(self, lane: LaneKey, mark: InboxId, known: list[InboxId]) -> bool:
        waiting: list[tuple[InboxId, Ordered]] = list(await self._p.inbox.read(lane))
        return any(id_ != mark and id_ not in known for id_, _ in waiting)

    async def _consume(self, visit: Visit, mission: MissionId | None, items: tuple[InboxId, ...]) -> None:
        await self._p.journal.commit(visit.token, mission, Commit(consumed=items))

    async def _load(self, visit: Visit) -> Mission | None:
        """The mission's state now: what is remembered, plus what the log has since."""
        mission = visit.state.id if visit.state else await self._p.rules.mission_in(visit.lane)
        if mission is None:
            return None
        known = visit.state or self._states.get(mission) or await self._p.journal.kept(mission)
        entries = await (self._p.journal.read(mission, known.last) if known else self._p.journal.read(mission))
        state = fold(entries, known)
        self._remember(state)
        return state

    def _remember(self, state: Mission | None) -> None:
        if state is None:
            return
        self._states[state.id] = state
        self._states.move_to_end(state.id)
        while len(self._states) > KEPT:
            self._states.popitem(last=False)

    async def _patiently(self, look: Coroutine[Any, Any, T]) -> T | None:
        """The result of one look at the store, or None after a pause when it does not answer."""
        try:
            return await look
        except StoreUnavailableError as error:
            LOG.warning(logs.ITEM_FAILED, why=str(error))
            await self._p.clock.sleep(BACK_OFF_S)
            return None
