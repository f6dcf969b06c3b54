"""The sender: makes Slack show what the outbox wants. One sender per deployment; channels never wait for each other."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.domain.ports import Clock
from bot.domain.posts import Home, Modal, Private
from bot.domain.storage import Outbox, OutboxItem, StoreUnavailableError
from bot.log import logger
from bot.slack import refusals
from bot.slack.delivery import Delivered, Delivery, GivenUp
from bot.slack.pace import Pace
from bot.slack.web import RefusedError, UnreachableError

LOG = logger("slack.outbox")
POST_DROPPED = "post.dropped"
POST_DELAYED = "post.delayed"
SENDER_BEGUN = "sender.begun"
SENDER_LOST = "sender.lost"
STORE_LOST = "store.lost"

TTL_S = 12.0
LONGEST_REST_S = 2.0
FINISH_S = 10.0
MOST_TRIES = 4  # of an answer that nobody planned for
TOKEN_PAUSE_S = 30.0

Key = tuple[str, int]


@dataclass(slots=True)
class Health:
    """For health endpoints: who sends, what waits, and the latest trouble in words."""

    sending: bool = False
    waiting: int = 0
    delivered: int = 0
    problem: str = ""


class Sender:
    """`run` until told to stop; a second one elsewhere waits until the first one's lease ends."""

    def __init__(self, outbox: Outbox, delivery: Delivery, clock: Clock, pace: Pace, *, worker: str) -> None:
        self._outbox = outbox
        self._delivery = delivery
        self._clock = clock
        self._pace = pace
        self._worker = worker
        self._held_until = 0.0
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._later: dict[Key, float] = {}
        self._tries: dict[Key, int] = {}
        self._absent: set[str] = set()  # keys that Slack certainly does not show, though they were tried
        self._wake = asyncio.Event()
        self.health = Health()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`; then finish what is under way and give the lease up."""
        news: asyncio.Task[None] | None = None
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                rest = await self._pass()
                if news is None or news.done():
                    _retrieve(news)
                    news = asyncio.create_task(self._news())
                await self._rest(rest, stopping, news)
        finally:
            for task in (news, stopping):
                if task is not None:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError, StoreUnavailableError):
                        await task
            await self._finish()

    # one pass

    async def _pass(self) -> float:
        """Start what may be sent now. Returns how long nothing else can start."""
        try:
            if not await self._holding():
                return 1.0
            items = await self._waiting()
        except StoreUnavailableError as error:
            self._trouble(STORE_LOST, str(error))
            return 1.0
        self.health.waiting = len(items)
        self._forget(items)
        now = self._pace.now()
        earliest = now + LONGEST_REST_S
        for lane, waiting in _by_lane(items).items():
            if lane in self._under_way:
                continue
            item, at = self._choose(waiting, now)
            if item is not None:
                self._start(lane, item)
            else:
                earliest = min(earliest, at)
        return max(0.01, earliest - now)

    async def _holding(self) -> bool:
        now = self._pace.now()
        if now < self._held_until - TTL_S * 2 / 3:
            return True
        held = await self._outbox.hold(self._worker, TTL_S)
        if held != self.health.sending:
            LOG.info(SENDER_BEGUN if held else SENDER_LOST, worker=self._worker)
        self.health.sending = held
        self._held_until = now + TTL_S if held else 0.0
        return held

    async def _waiting(self) -> Sequence[OutboxItem]:
        limit = 200
        while True:
            items = await self._outbox.waiting(limit)
            if len(items) < limit:
                return items
            limit *= 4  # one channel's backlog must not hide another's posts

    def _choose(self, items: Sequence[OutboxItem], now: float) -> tuple[OutboxItem | None, float]:
        """New posts first, in order within their thread; then edits. Else when the next one may go."""
        earliest = now + LONGEST_REST_S
        blocked: set[str] = set()
        for item in items:
            if item.sent is None and item.post.thread.ts not in blocked:
                at = self._ready_at(item)
                if at <= now:
                    return item, at
                blocked.add(item.post.thread.ts)
                earliest = min(earliest, at)
        for item in items:
            if item.sent is not None:
                at = self._ready_at(item)
                if at <= now:
                    return item, at
                earliest = min(earliest, at)
        return None, earliest

    def _ready_at(self, item: OutboxItem) -> float:
        later = self._later.get((item.post.key, item.version), 0.0)
        return max([later, *(self._pace.ready_at(kind, key) for kind, key in _budgets(item))])

    # one item

    def _start(self, lane: str, item: OutboxItem) -> None:
        for kind, key in _budgets(item):
            self._pace.take(kind, key)
        task = asyncio.create_task(self._deliver(item))
        self._under_way[lane] = task
        task.add_done_callback(self._ended(lane))

    def _ended(self, lane: str) -> Callable[[asyncio.Task[None]], None]:
        def note(task: asyncio.Task[None]) -> None:
            self._under_way.pop(lane, None)
            self._wake.set()
            if not task.cancelled() and task.exception() is not None:
                self._trouble(POST_DELAYED, repr(task.exception()))

        return note

    async def _deliver(self, item: OutboxItem) -> None:
        key = item.post.key
        slot = (key, item.version)
        once = isinstance(item.post.body, Private | Modal)
        try:
            if item.tried and once and key not in self._absent:
                await self._outbox.dropped(item, "may have been seen before a restart; shown at most once")
                return
            if item.sent is None:
                await self._outbox.trying(item)
            look = item.tried and key not in self._absent
            self._absent.discard(key)
            outcome = await self._delivery.deliver(item, look=look)
        except RefusedError as error:
            if not error.unsure:
                self._absent.add(key)
            await self._refused(item, error)
            return
        except UnreachableError as error:
            if once:
                await self._drop(item, f"{error}; shown at most once")
            else:
                self._delay(slot, min(30.0, 0.5 * 2 ** self._tries.get(slot, 0)), str(error))
            return
        except StoreUnavailableError as error:
            self._delay(slot, 1.0, str(error))
            return
        await self._record(item, outcome)

    async def _record(self, item: OutboxItem, outcome: Delivered | GivenUp) -> None:
        match outcome:
            case Delivered():
                try:
                    await self._outbox.sent(item, outcome.ts)
                except StoreUnavailableError as error:  # it is looked for in Slack before it is sent again
                    self._delay((item.post.key, item.version), 1.0, str(error))
                    return
                self.health.delivered += 1
                self.health.problem = ""
            case GivenUp():
                await self._drop(item, outcome.why)

    async def _refused(self, item: OutboxItem, error: RefusedError) -> None:
        """Nothing happened: wait as told, wait for the operator, or give up."""
        slot = (item.post.key, item.version)
        if error.error == "ratelimited":
            kind, key = _budgets(item)[0]
            if error.method == kind:
                self._pace.pause(kind, key, error.retry_after)
            self._delay(slot, error.retry_after, str(error))
        elif error.error in refusals.TOKEN:
            self._delay(slot, TOKEN_PAUSE_S, str(error))
        elif self._tries.get(slot, 0) + 1 >= MOST_TRIES or error.error in refusals.NOT_HERE | refusals.THREAD:
            await self._drop(item, str(error))
        else:
            self._delay(slot, 2.0 * 3 ** self._tries.get(slot, 0), str(error))

    def _delay(self, slot: Key, seconds: float, why: str) -> None:
        self._tries[slot] = self._tries.get(slot, 0) + 1
        self._later[slot] = self._pace.now() + seconds
        self._trouble(POST_DELAYED, why, post=slot[0], seconds=round(seconds, 1))

    async def _drop(self, item: OutboxItem, why: str) -> None:
        self._trouble(POST_DROPPED, why, post=item.post.key)
        with contextlib.suppress(StoreUnavailableError):
            await self._outbox.dropped(item, why)

    def _trouble(self, event: str, why: str, **more: object) -> None:
        self.health.problem = why
        LOG.warning(event, why=why, **more)

    # waiting and ending

    async def _news(self) -> None:
        with contextlib.suppress(StoreUnavailableError):
            await self._outbox.wait(LONGEST_REST_S)
            return
        await self._clock.sleep(0.5)

    async def _rest(self, seconds: float, *until: "asyncio.Task[bool] | asyncio.Task[None]") -> None:
        woken = asyncio.create_task(self._wake.wait())
        await asyncio.wait({woken, *until}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        woken.cancel()
        self._wake.clear()

    async def _finish(self) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=FINISH_S)
        for task in [*self._under_way.values()]:
            task.cancel()
        if self.health.sending:
            with contextlib.suppress(StoreUnavailableError):
                await self._outbox.hold(self._worker, 0.01)  # the next sender need not wait for our lease
        self.health.sending = False

    def _forget(self, items: Sequence[OutboxItem]) -> None:
        """Keep notes only about what still waits."""
        slots = {(item.post.key, item.version) for item in items}
        keys = {item.post.key for item in items}
        self._later = {slot: at for slot, at in self._later.items() if slot in slots}
        self._tries = {slot: count for slot, count in self._tries.items() if slot in slots}
        self._absent &= keys
        self._pace.forget()


def _by_lane(items: Sequence[OutboxItem]) -> dict[str, list[OutboxItem]]:
    """A channel is one lane; what one person waits for goes beside it."""
    lanes: dict[str, list[OutboxItem]] = {}
    for item in items:
        match item.post.body:
            case Modal():
                lane = f"modal/{item.post.key}"
            case Home(to=to):
                lane = f"home/{to}"
            case Private(to=to):
                lane = f"private/{item.post.thread.channel}/{to}"
            case _:
                lane = f"channel/{item.post.thread.channel}"
        lanes.setdefault(lane, []).append(item)
    return lanes


def _budgets(item: OutboxItem) -> list[tuple[str, str]]:
    """The budgets that a delivery draws on: method and whose; the first is the one that Slack names in a 429."""
    post = item.post
    match post.body:
        case Modal():
            return [("views.open", post.identity)]
        case Home():
            return [("views.publish", post.identity)]
        case Private():
            return [("chat.postEphemeral", post.identity)]
        case _ if item.sent is not None:
            return [("chat.update", post.identity), ("edit", post.key)]
        case _:
            return [("chat.postMessage", f"{post.identity}/{post.thread.channel}")]


def _retrieve(task: "asyncio.Task[None] | None") -> None:
    """An exception nobody asks for becomes a warning at the end."""
    if task is not None and not task.cancelled():
        task.exception()
