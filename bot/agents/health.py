"""The crew's health: runs the guards over what is new in the log, and does at most one thing about what they saw."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

from bot import log as logs
from bot.agents.hold import Hold
from bot.domain import log
from bot.domain.guarding import Detection, HumanAsked
from bot.domain.ids import MissionId
from bot.domain.log import Entry, Logged
from bot.domain.ports import Clock
from bot.domain.posts import Notice, Post, QuestionCard
from bot.domain.state import Mission
from bot.domain.storage import Deadline, Journal
from bot.guards.ladder import ANSWERED, BEFORE_SPEECH
from bot.guards.memory import Memory, dumped, loaded
from bot.guards.remedy import Remedy, remedy
from bot.guards.roster import GUARDS, Seen, after, unseen

LOG = logs.logger("health")
WATCHBILL = "watchbill"
MISSIONS_KEPT = 200  # whose guards' states a worker remembers; another one's are folded anew from its log
FROM_START = 2_000  # entries of a log that are read from its start where nothing is remembered: tens of milliseconds
ORDER = {guard.name: place for place, guard in enumerate(GUARDS)}


class CrewHealth:
    """One for all missions of a worker. What it remembers is a fold of the logs: it can be lost at any time."""

    def __init__(self, journal: Journal, clock: Clock, titles: Callable[[str], str]) -> None:
        self._journal = journal
        self._clock = clock
        self._titles = titles
        self._missions: OrderedDict[MissionId, Memory] = OrderedDict()

    async def look(self, hold: Hold) -> bool:
        """Run the guards over the new entries and intervene once, in one commit. True if something was done."""
        state = hold.state
        since = state.turn.since if state.turn else state.ordinal
        found = [one for one in await self._new(state, since) if not _known(state, one)]
        if not found or state.ended or state.parked:
            return False
        await self._intervene(hold, min(found, key=lambda one: ORDER[one.guard]))
        return True

    async def refused(self, hold: Hold, reply: log.ModelReplied, words: str) -> bool:
        """True if `words` must not be said: then the answer and the intervention are in the log, in one commit."""
        await self._new(hold.state, hold.state.ordinal)
        seen, found = self.remembered(hold.state)[0].seen, ()
        for entry in (reply, log.Spoke(reply.turn, reply.persona, words)):
            seen, more = after(seen, Logged(hold.state.last, self._clock.now(), entry))
            found = (*found, *more)
        found = [one for one in found if one.guard in BEFORE_SPEECH]
        if not found:
            return False
        await self._intervene(hold, min(found, key=lambda one: ORDER[one.guard]), before=(reply,))
        return True

    async def _new(self, state: Mission, since: int) -> Sequence[Detection]:
        """What the guards see in the entries since the last look. On a first look at a log that is under way, only what
        belongs to the turn under way: older things were dealt with, or will come again.
        """
        watched, fresh = self.remembered(state)
        found: list[Detection] = []
        for logged in await self._journal.read(state.id, watched.seen.last):
            watched.ordinal += 1
            watched.seen, more = after(watched.seen, logged)
            for one in more:
                watched.count[one.guard] += 1
                recent = not fresh or watched.ordinal > since
                if recent and watched.count[one.guard] > ANSWERED.get(one.guard, 0):
                    found.append(one)
        return found

    def kept(self, state: Mission) -> Mission:
        """The state with what the guards remember, so that another worker goes on from there."""
        watched = self._missions.get(state.id)
        return state if watched is None else replace(state, health=dumped(watched))

    def remembered(self, state: Mission) -> tuple[Memory, bool]:
        """The mission's memory, and whether it begins only now: from the log's start, or from here where that is long ago."""
        watched = self._missions.get(state.id)
        fresh = watched is None or watched.ordinal == 0
        if watched is None:
            watched = loaded(state.health)
            fresh = watched is None
            if watched is None and state.ordinal > FROM_START:
                watched = Memory(Seen(unseen().states, state.last), state.ordinal)
            watched = self._missions[state.id] = watched or Memory()
        self._missions.move_to_end(state.id)
        while len(self._missions) > MISSIONS_KEPT:
            self._missions.popitem(last=False)
        return watched, fresh

    async def _intervene(self, hold: Hold, seen: Detection, before: tuple[Entry, ...] = ()) -> None:
        state = hold.state
        done = remedy(state, seen, self._clock.now(), self._titles)
        turn = hold.turn
        entry = log.Intervened(turn, seen, done.action, done.line)
        posts, deadlines = self._shown(state, turn, done)
        await hold.record(*before, entry, *done.more, posts=posts, deadlines=deadlines)
        LOG.info(logs.GUARD_INTERVENED, mission=state.id, turn=turn, guard=seen.guard, how=done.action.how)

    def _shown(self, state: Mission, turn: int, done: Remedy) -> tuple[tuple[Post, ...], tuple[Deadline, ...]]:
        """One short line in the thread, and at most one in a turn; the whole is in the mission's details."""
        posts: list[Post] = []
        deadlines: list[Deadline] = []
        quiet = any(record.turn == turn for record in state.interventions)
        for asked in (entry for entry in done.more if isinstance(entry, log.Asked)):
            card = QuestionCard(asked.question, self._titles(asked.by), state.requester, asked.text, asked.options,
                                asked.default, asked.deadline)  # fmt: skip
            posts.append(Post(f"question:{asked.question}", state.thread, WATCHBILL, card))
            deadlines.append(Deadline(state.thread.lane, "question", asked.question, asked.deadline))
        if not isinstance(done.action, HumanAsked) and (not quiet or done.action.how == "parked"):
            key = f"guard:{state.id}:{turn}:{state.ordinal}"
            posts.append(Post(key, state.thread, WATCHBILL, Notice(done.line)))
        return tuple(posts), tuple(deadlines)


def _known(state: Mission, seen: Detection) -> bool:
    return any(r.guard == seen.guard and r.cause == seen.cause and r.last == seen.last for r in state.interventions)
