"""One turn: started in the log, held with a lease, run by the loop, ended in the log with what follows from its outcome."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from typing import Protocol, assert_never

from bot import log as logs
from bot.agents.hold import Hold
from bot.agents.loop import AgentLoop
from bot.cards import WATCHBILL, Titles, mission_card
from bot.closing import Closing
from bot.domain import log
from bot.domain.approvals import ApprovalRequest
from bot.domain.ids import PersonaName, RequestId, Token
from bot.domain.outcomes import (
    AskedHuman,
    CutShort,
    Failed,
    HandedOver,
    LimitReached,
    Outcome,
    SpokeOut,
    Stopped,
    Suspended,
)
from bot.domain.ports import Clock, Watch
from bot.domain.posts import ApprovalCard, File, Notice, Post, Progress
from bot.domain.state import Mission, Wake
from bot.domain.storage import Journal, Leases, Outbox, StaleTokenError, StoreUnavailableError
from bot.mission import goes_back_to, outcome_of

LOG = logs.logger("turn")
POLL_S = 0.25  # how often a running turn looks for STOP; the lease is renewed every third of its time
Warn = Callable[[Mission, PersonaName], Sequence[tuple[str, str]]]  # limits newly near: key and words


class Cards(Protocol):
    """The gate's rendering of stored requests (rule 15)."""

    async def card_of(self, request: RequestId) -> tuple[ApprovalRequest, ApprovalCard] | None: ...


class LaneWatch:
    """Progress out, STOP and a lost lease in. One for each hold of a lane; `hold()` keeps the lease alive."""

    def __init__(self, token: Token, leases: Leases, outbox: Outbox, ttl_s: float, draining: asyncio.Event) -> None:
        self._token = token
        self._leases = leases
        self._outbox = outbox
        self._ttl_s = ttl_s
        self._draining = draining
        self._base = 0
        self._stops = 0
        self._alive = True
        self._posted: dict[str, Post] = {}
        self._where: tuple[Mission, str] | None = None

    @contextlib.asynccontextmanager
    async def hold(self) -> AsyncGenerator[None]:
        self._base = await self._leases.stops(self._token.lane)
        over = asyncio.Event()
        keeper = asyncio.create_task(self._keep(over))
        try:
            yield
        finally:
            over.set()  # a cancellation alone can get lost below, in the wire's own time limits
            keeper.cancel()
            await asyncio.wait({keeper})

    def at(self, state: Mission, identity: str) -> None:
        """Progress from now on belongs to this mission and this speaker."""
        self._where = (state, identity)

    @property
    def stops(self) -> int:
        """The lane's count of STOPs when the hold began: what an approval is consumed against."""
        return self._base

    def stopping(self) -> int:
        return self._stops - self._base if self._stops > self._base else 0

    async def look(self) -> int:
        """`stopping` as the store has it now."""
        self._stops = await self._leases.stops(self._token.lane)
        return self.stopping()

    def alive(self) -> bool:
        return self._alive

    @property
    def draining(self) -> bool:
        """The worker is being stopped: finish the step, leave the turn for another worker."""
        return self._draining.is_set()

    async def progress(self, *parts: str) -> None:
        if self._where is None or not parts:
            return
        state, identity = self._where
        key = f"progress:{state.id}:{state.ordinal}:{parts[0]}"
        post = Post(key, state.thread, identity, Progress(parts))
        if self._posted.get(key) != post:
            self._posted[key] = post
            await self._outbox.put(post)

    async def _keep(self, over: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        pause = min(POLL_S, self._ttl_s / 6)
        while not over.is_set():
            await asyncio.sleep(pause)
            asked = loop.time()
            try:
                self._stops = await self._leases.stops(self._token.lane)
                if asked - renewed >= self._ttl_s / 3:
                    self._alive = await self._leases.renew(self._token, self._ttl_s)
                    renewed = asked
            except StoreUnavailableError:
                # An answer can be long in coming. After the lease's time nobody may believe that it is held.
                self._alive = self._alive and loop.time() - renewed < self._ttl_s


class Stopping:
    """The Watch of a lane where STOP was pressed, whatever the count says: nothing that was not begun begins."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    async def progress(self, *parts: str) -> None:
        await self._watch.progress(*parts)

    def stopping(self) -> int:
        return max(1, self._watch.stopping())

    def alive(self) -> bool:
        return self._watch.alive()


class Turns:
    """Runs turns and writes down how they end."""

    def __init__(
        self, *, journal: Journal, loop: AgentLoop, cards: Cards, clock: Clock, titles: Titles,
        limit_usd: float, warn: Warn, closing: Closing,
    ) -> None:  # fmt: skip
        self._journal = journal
        self._loop = loop
        self._cards = cards
        self._clock = clock
        self._titles = titles
        self._limit_usd = limit_usd
        self._warn = warn
        self._closing = closing

    async def take(self, state: Mission, wake: Wake | None, token: Token, watch: LaneWatch) -> Mission:
        """Start the turn that `wake` asks for, or go on with the one that a dead worker left, to its end."""
        persona = state.turn.persona if state.turn else wake.persona if wake else PersonaName("")
        hold = Hold(state, persona, token, self._journal, self._clock, watch, lambda: watch.draining, watch.look)
        if state.turn is None and wake is not None:
            started = log.TurnStarted(state.turns + 1, persona, wake.key)
            await hold.record(started, posts=(self._card(hold.after(started)),))
        watch.at(hold.state, persona)
        outcome = await self._outcome(hold)
        if isinstance(outcome, Stopped):
            return hold.state  # STOP is folded by the engine; a lost lease or a draining worker leaves the turn open
        await self._end(hold, outcome)
        return hold.state

    async def _outcome(self, hold: Hold) -> Outcome:
        LOG.info(logs.TURN_STARTED, mission=hold.state.id, turn=hold.turn, persona=hold.persona)
        try:
            return await self._loop.run(hold)
        except (StaleTokenError, StoreUnavailableError):
            raise
        except Exception as error:
            # The turn's boundary: one of the three broad excepts. A defect parks one mission, not the worker.
            LOG.exception(logs.TURN_FAILED, mission=hold.state.id, turn=hold.turn)
            return Failed(f"the turn broke off: {type(error).__name__}. The log has the details.")

    async def _end(self, hold: Hold, outcome: Outcome) -> None:
        """How the turn ended and everything that follows from it are one commit: no crash comes between."""
        state = hold.state
        ended = log.TurnEnded(hold.turn, hold.persona, *_how(outcome))
        settled = None if state.wakes else outcome_of(state)
        if settled:
            over = replace(state, turn=None, ended=settled)
            entries = (ended, log.MissionEnded(settled, f"every criterion is settled: {settled}"))
            posts = await self._closing.posts(over)
        else:
            more, posts = self._consequences(hold, outcome)
            entries, posts = (ended, *more), (*await self._approval_posts(hold), *posts)
        await hold.record(*entries, posts=(*posts, self._card(hold.after(*entries))))
        if await self._loop.behind(hold):
            await hold.record(posts=(self._card(hold.state),))
        if hold.state.parked != "budget" and not hold.state.ended:
            for what, text in self._warn(hold.state, hold.persona):
                notice = Post(f"warn:{state.id}:{what}:{state.factor}", state.thread, WATCHBILL, Notice(text))
                await hold.record(log.BudgetWarned(what), posts=(notice,))
        LOG.info(logs.TURN_ENDED, mission=state.id, turn=hold.state.turns, how=type(outcome).__name__)

    def _consequences(self, hold: Hold, outcome: Outcome) -> tuple[tuple[log.Entry, ...], tuple[Post, ...]]:
        state, persona = hold.state, hold.persona
        again = log.Noted(persona, "Your last turn broke off. Go on where you were.", "recovered")
        key = f"parked:{state.id}:{state.ordinal}"
        match outcome:
            case SpokeOut(text):
                giver = goes_back_to(state, persona)
                if giver is None:
                    return (), ()
                note = f"{self._titles(persona)} ended its turn without hand_off. It said: {text}"
                return (log.Noted(giver, note, "returned"),), ()
            case LimitReached(_, text):
                notice = Notice(text, button="extend", mission=state.id)
                return (again, log.Parked("budget", text)), (Post(key, state.thread, WATCHBILL, notice),)
            case Failed(text):
                said = f"{self._titles(persona)} cannot go on: {text}"
                notice = Notice(said, "Say something in this thread to try again.")
                return (again, log.Parked("model_unavailable", text)), (Post(key, state.thread, WATCHBILL, notice),)
            case HandedOver() | AskedHuman() | Suspended() | Stopped() | CutShort():
                return (), ()
        assert_never(outcome)

    async def _approval_posts(self, hold: Hold) -> tuple[Post, ...]:
        """The cards of whatever this agent waits for, however its turn ended: a hand-off may stand beside a held call."""
        posts: list[Post] = []
        for request in (open_.request for open_ in hold.state.requests.values() if open_.by == hold.persona):
            found = await self._cards.card_of(request)
            if found is None:
                continue
            stored, card = found
            if card.file is not None:  # the whole text that the card shortens, before the card that names it
                file = File(card.file, card.file_name, f"{card.title}: full text")
                posts.append(Post(f"file:{request}", stored.thread, WATCHBILL, file))
            posts.append(Post(f"request:{request}", stored.thread, WATCHBILL, card))
        return tuple(posts)

    def _card(self, state: Mission) -> Post:
        return mission_card(state, self._titles, self._limit_usd)


def _how(outcome: Outcome) -> tuple[log.TurnEnd, str]:
    match outcome:
        case SpokeOut():
            return "spoke", ""
        case HandedOver(to):
            return "handed_off", to
        case AskedHuman():
            return "asked", ""
        case Suspended():
            return "suspended", ""
        case LimitReached(what, _):
            return "limit_reached", what
        case Failed(text):
            return "failed", text
        case Stopped(why):
            return "stopped", why
        case CutShort(why):
            return "cut_short", why
    assert_never(outcome)
