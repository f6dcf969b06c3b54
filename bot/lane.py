"""What the holder of a lane does with each item that waits in it. Every item is consumed by the commit that answers it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol, assert_never

from bot.agents.answering import alarms
from bot.agents.persona import Persona
from bot.cards import WATCHBILL, Titles, mission_card, reminder
from bot.closing import Closing
from bot.domain import log
from bot.domain.approvals import ApprovalRequest, Settlement
from bot.domain.calls import ToolResult
from bot.domain.ids import LaneKey, MissionId, PersonaName, RequestId, Thread, Token, UserId
from bot.domain.inbound import (
    AnswerGiven,
    Continue,
    DeadlineReached,
    ExtendAsked,
    Ordered,
    Ruled,
    Said,
    Settled,
    StopAsked,
)
from bot.domain.people import Role
from bot.domain.ports import Clock, Environments, People, Scope, Watch
from bot.domain.posts import ApprovalCard, File, Notice, Post, Private, QuestionCard
from bot.domain.state import Mission, OpenQuestion
from bot.domain.storage import Approvals, Commit, Deadline, Journal
from bot.lines import Ids
from bot.mission import applied, fold
from bot.router import addressed
from bot.rulings import rule
from bot.standing import Standing
from bot.turn import LaneWatch, Stopping

REARM_S = 5.0  # a deadline that came before its time, by another clock, comes again after this


@dataclass(slots=True)
class Visit:
    """One hold of a lane by one worker."""

    lane: LaneKey
    token: Token
    watch: LaneWatch
    state: Mission | None = None


class Gate(Protocol):
    """What the lane needs of the gate beyond the agents' door."""

    async def settle(self, request: RequestId, token: Token, scope: Scope, watch: Watch) -> Settlement: ...
    async def recover(self, request: ApprovalRequest, scope: Scope, watch: Watch) -> Settlement: ...
    async def expire(self, request: RequestId) -> ApprovalRequest | None: ...
    async def standing(self, mission: Mission) -> tuple[Standing, ...]: ...
    async def cancel_all(self, thread: Thread, why: str) -> tuple[ApprovalRequest, ...]: ...
    def card(self, request: ApprovalRequest, result: ToolResult | None = None) -> ApprovalCard: ...


class LaneRules:
    """Messages, answers, settled approvals, deadlines and STOP, in their order."""

    def __init__(
        self, *, journal: Journal, approvals: Approvals, gate: Gate, people: People, environments: Environments,
        personas: Mapping[PersonaName, Persona], clock: Clock, titles: Titles, estate: str, limit_usd: float,
        extenders: frozenset[Role], extend_factor: float, closing: Closing,
    ) -> None:  # fmt: skip
        self._journal = journal
        self._approvals = approvals
        self._gate = gate
        self._people = people
        self._environments = environments
        self._personas = personas
        self._clock = clock
        self._titles = titles
        self._estate = estate
        self._limit_usd = limit_usd
        self._extenders = extenders
        self._extend_factor = extend_factor
        self._closing = closing

    async def mission_in(self, lane: LaneKey) -> MissionId | None:
        return await self._journal.mission_of(_thread(lane))

    async def handle(self, visit: Visit, ids: Ids, item: Ordered) -> None:
        """Answer one item (or a run of messages joined into one) and consume it in the same commit."""
        match item:
            case Said():
                await self._said(visit, ids, item)
            case AnswerGiven():
                await self._answered(visit, ids, item)
            case ExtendAsked():
                await self._extended(visit, ids, item)
            case Ruled():
                await self._ruled(visit, ids, item)
            case Settled():
                await self._settled(visit, ids, item)
            case DeadlineReached():
                await self._due(visit, ids, item)
            case StopAsked():
                await self._stopped(visit, ids, item)
            case Continue():
                await self._write(visit, ids)
            case _:
                assert_never(item)

    async def recover(self, visit: Visit) -> bool:
        """Look at every effect that a dead worker began and did not finish. True if there was one."""
        state = visit.state
        if state is None:
            return False
        begun = await self._approvals.executing(state.thread)
        for request in begun:
            visit.watch.at(state, request.asked_by)
            scope = Scope(state, request.asked_by, state.turns, self._clock.now())
            settlement = await self._gate.recover(request, scope, visit.watch)
            await self._record_settlement(visit, (), settlement)
        return await self._caught_up(visit) or await self._forgotten(visit) or bool(begun)

    async def _caught_up(self, visit: Visit) -> bool:
        """Grants and the freeze stand in the store: what changed there since goes into the log and on the card."""
        state = visit.state
        changed = await self._gate.standing(state) if state else ()
        if not changed:
            return False
        opened = (one for one in changed if isinstance(one, log.GrantOpened))
        ends = tuple(Deadline(visit.lane, "grant", one.grant, one.until) for one in opened)
        await self._write(visit, (), *changed, deadlines=ends)
        await self._show(visit)
        return True

    # messages --------------------------------------------------------------------------------------------------------

    async def _said(self, visit: Visit, ids: Ids, said: Said) -> None:
        human = await self._people.human(said.user)
        state = visit.state
        if state is None and not said.to:
            await self._write(visit, ids)
        elif not human.may(Role.REQUESTER, Role.ADMIN, Role.APPROVER, Role.RISK_OWNER):
            await self._tell(visit, ids, said, f"You are not listed for this crew ({human.standing}), so it does not "
                             "act on your messages. STOP works for everyone. An admin adds people in people.yaml.")  # fmt: skip
        elif state is None and not human.may(Role.REQUESTER, Role.ADMIN):
            await self._tell(visit, ids, said, "Starting a mission takes the role requester. "
                             "An admin adds it in people.yaml.")  # fmt: skip
        elif state is None:
            await self._open(visit, ids, said)
        elif state.ended:
            await self._tell(visit, ids, said, f"Mission {state.id} is over ({state.ended}). "
                             "For something new, mention @Architect in a new message.")  # fmt: skip
        elif said.edited and said.ts == state.thread.ts and said.user == state.requester:
            await self._write(visit, ids, log.RequestAmended(said.user, said.text))
        else:
            text = f"(edited) {said.text}" if said.edited else said.text
            to = addressed(said, frozenset(self._personas))
            await self._write(visit, ids, *(log.HumanSaid(said.user, text, name, said.ts) for name in to))

    async def _open(self, visit: Visit, ids: Ids, said: Said) -> None:
        environment = self._environments.of("estate", self._estate)
        opening = log.MissionOpened(
            mission=MissionId(""),
            estate=self._estate,
            environment=environment,
            requester=said.user,
            thread=said.thread,
            request=said.text,
            addressed=addressed(said, frozenset(self._personas))[0],
        )
        _, entries = await self._journal.open(visit.token, opening, Commit(consumed=ids))
        visit.state = fold(entries)
        await self._show(visit)

    async def _tell(self, visit: Visit, ids: Ids, said: Said, text: str) -> None:
        post = Post(f"tell:{said.ts}", said.thread, WATCHBILL, Private(said.user, text))
        await self._write(visit, ids, posts=(post,))

    # questions, budget ----------------------------------------------------------------------------------------------

    async def _answered(self, visit: Visit, ids: Ids, given: AnswerGiven) -> None:
        state = visit.state
        question = state.questions.get(given.question) if state else None
        human = await self._people.human(given.reply.user)
        if state is None or question is None:
            await self._private(visit, ids, given.reply.user, "This question is answered already.")
        elif not human.may(Role.REQUESTER, Role.ADMIN, Role.APPROVER, Role.RISK_OWNER):
            await self._private(visit, ids, given.reply.user, "Only people listed for this crew may answer.")
        else:
            chosen = range(len(question.options))
            option = question.options[given.option] if given.option is not None and given.option in chosen else ""
            answer = option or given.answer.strip()
            if answer:
                await self._close(visit, ids, question, answer, given.reply.user)
            else:
                await self._private(visit, ids, given.reply.user, "That answer was empty. Press a button or write one.")

    async def _close(self, visit: Visit, ids: Ids, question: OpenQuestion, answer: str, by: str) -> None:
        state = visit.state
        if state is None:
            return
        entry = log.QuestionAnswered(question.question, answer, by)
        await self._write(visit, ids, entry, posts=(self._closed_card(state, question, answer, by),))

    def _closed_card(self, state: Mission, question: OpenQuestion, answer: str, by: str) -> Post:
        card = QuestionCard(question.question, self._titles(question.by), state.requester, question.text, question.options,
                            question.default, question.deadline, answer, by)  # fmt: skip
        return Post(f"question:{question.question}", state.thread, WATCHBILL, card)

    async def _extended(self, visit: Visit, ids: Ids, asked: ExtendAsked) -> None:
        state, user = visit.state, asked.reply.user
        human = await self._people.human(user)
        if state is None or state.parked != "budget":
            await self._private(visit, ids, user, "This budget is not exhausted, or was extended already.")
        elif not human.may(*self._extenders):
            await self._private(visit, ids, user, "You may not extend a budget (policies/limits.yaml: extend).")
        else:
            waits = any(wake.cause == "noted" for wake in state.wakes)  # the agent whose turn broke off
            note = log.Noted(state.last_persona, "The budget was extended. Go on.", "extended")
            extended = log.BudgetExtended(user, self._extend_factor)
            await self._write(visit, ids, extended, *(() if waits else (note,)))
            await self._show(visit)

    async def _ruled(self, visit: Visit, ids: Ids, ruled: Ruled) -> None:
        state, user = visit.state, ruled.reply.user
        ruling = rule(state, await self._people.human(user), ruled) if state else "There is no mission in this thread."
        if isinstance(ruling, str) or state is None:
            await self._private(visit, ids, user, str(ruling))
            return
        notice = Post(f"ruled:{state.id}:{state.ordinal}", state.thread, WATCHBILL, Notice(ruling.text))
        await self._write(visit, ids, *ruling.entries, posts=(notice,))
        await self._show(visit)

    # approvals -------------------------------------------------------------------------------------------------------

    async def _settled(self, visit: Visit, ids: Ids, settled: Settled) -> None:
        state = visit.state
        if state is None or settled.request not in state.requests:
            await self._write(visit, ids)
            return
        await self._settle(visit, ids, settled.request)

    async def _settle(self, visit: Visit, ids: Ids, request: RequestId, watch: Watch | None = None) -> None:
        state = visit.state
        if state is None:
            return
        by = state.requests[request].by
        visit.watch.at(state, by)
        scope = Scope(state, by, state.turns, self._clock.now())
        settlement = await self._gate.settle(request, visit.token, scope, watch or visit.watch)
        await self._record_settlement(visit, ids, settlement)

    async def _forgotten(self, visit: Visit, *, approved_too: bool = False) -> bool:
        """Requests that ended while their item was lost with a worker: record them now. An approved one is left to its
        item, which the desk brings until it is served; at STOP it is voided here.
        """
        found = False
        for request in list(visit.state.requests if visit.state else ()):
            stored = await self._approvals.get(request)
            waits = stored is None or stored.status == "pending" or (stored.status == "approved" and not approved_too)
            if not waits and visit.state is not None and request in visit.state.requests:
                await self._settle(visit, (), request, Stopping(visit.watch))
                found = True
        return found

    async def _record_settlement(self, visit: Visit, ids: Ids, settlement: Settlement) -> None:
        state = visit.state
        if state is None:
            return
        request, result = settlement.request, settlement.result
        if request.status == "pending":
            await self._write(visit, ids)
            return
        wanted = "deny" if request.status == "denied" else "approve"
        by = tuple(vote.user for vote in request.votes if vote.ballot == wanted)
        returned = log.ToolReturned(state.turns, request.asked_by, request.effect.cls, result, request.id)
        ended = log.ApprovalEnded(request.id, request.status, by, request.note, request.left_out, request.marks)
        entries: tuple[log.Entry, ...] = (returned, *settlement.entries, ended)
        posts = [Post(f"request:{request.id}", state.thread, WATCHBILL, self._gate.card(request, result))]
        posts += alarms(result, state.thread)
        said, _, rest = result.text.partition("\n")
        if request.status == "unknown_outcome":
            text = f"Request {request.short}: the outcome is unknown. {said}"
            more = (f"exists and is not in the state: {name}" for name in settlement.orphans if name not in rest)
            detail = "\n".join(line for line in (rest, *more) if line)
            posts.append(Post(f"unknown:{request.id}", state.thread, WATCHBILL, Notice(text, detail)))
            entries = (*entries, log.Parked("unknown_outcome", text))
        elif request.status == "done" and result.status != "ok" and rest:  # what is, what is not, what to do
            notice = Notice(f"Request {request.short}: {said}", rest)
            posts.append(Post(f"outcome:{request.id}", state.thread, WATCHBILL, notice))
        if request.id not in state.requests:
            entries = ()  # the log has its end already; people still see what became of it
        if result.artifact and result.status != "ok" and request.status == "done":
            body = File(result.artifact, f"{result.tool}-{request.short}.txt", f"{request.effect.title}: full output")
            posts.append(Post(f"output:{request.id}", state.thread, WATCHBILL, body))
        await self._write(visit, ids, *entries, posts=tuple(posts))
        await self._show(visit)

    async def _due(self, visit: Visit, ids: Ids, due: DeadlineReached) -> None:
        state = visit.state
        if state is None:
            await self._write(visit, ids)
            return
        question = next((q for key, q in state.questions.items() if key == due.subject), None)
        if due.what == "question" and question is not None:
            await self._close(visit, ids, question, question.options[question.default], "")
            return
        request = RequestId(due.subject)
        if due.what == "start" and request in state.requests:
            await self._settle(visit, ids, request)
            return
        if due.what == "reminder":
            stored = await self._approvals.get(request) if request in state.requests else None
            late = stored if stored is not None and stored.status == "pending" else None
            await self._write(visit, ids, posts=(reminder(late, self._gate.card(late)),) if late else ())
            return
        expired = await self._gate.expire(request) if request in state.requests else None
        if expired is None or expired.status != "expired":
            await self._write(visit, ids, deadlines=await self._rearmed(visit, request))
            return
        text = f"Request {expired.short} expired without a decision: {expired.effect.title}. Nothing ran."
        result = ToolResult(
            expired.prepared.call.id, expired.prepared.call.tool, "refused", f"{text} Nobody denied it."
        )
        returned = log.ToolReturned(state.turns, expired.asked_by, expired.effect.cls, result, expired.id)
        ended = log.ApprovalEnded(expired.id, "expired", (), expired.note)
        card = Post(f"request:{expired.id}", state.thread, WATCHBILL, self._gate.card(expired))
        notice = Notice(text, f"The mission is parked. Say “@{self._titles(expired.asked_by)} go on” to ask again.")
        post = Post(f"expired:{expired.id}", state.thread, WATCHBILL, notice)
        await self._write(visit, ids, returned, ended, log.Parked("approval_expired", text), posts=(card, post))
        await self._show(visit)

    async def _rearmed(self, visit: Visit, request: RequestId) -> tuple[Deadline, ...]:
        """The deadline once more, where it came before the request was due: the store's clock is not this one."""
        stored = await self._approvals.get(request)
        if stored is None or stored.status != "pending":
            return ()
        at = max(stored.expires_at, self._clock.now() + timedelta(seconds=REARM_S))
        return (Deadline(visit.lane, "request", request, at),)

    # STOP ------------------------------------------------------------------------------------------------------------

    async def _stopped(self, visit: Visit, ids: Ids, asked: StopAsked) -> None:
        if visit.state is not None and not visit.state.ended and not asked.clear:
            await self._gate.cancel_all(asked.thread, "STOP was pressed")  # the desk does too, if its worker lives
            await self._forgotten(visit, approved_too=True)
        state = visit.state
        if state is None or state.ended or asked.clear:
            await self._write(visit, ids)
            return
        left = f"{state.created} created, {state.changed} changed, {state.destroyed} destroyed by this mission so far"
        where = f"{self._titles(state.turn.persona)} held the turn" if state.turn else "nobody held the turn"
        text = f"stopped by {asked.user}: {where}; {left}"
        notice = Notice(f"Mission {state.id} is stopped. {where}; {left}.", "Nothing new starts. What exists stays.")
        over = replace(state, turn=None, ended="stopped")
        posts = (
            *(
                self._closed_card(state, question, "no longer asked: STOP", asked.user)
                for question in state.questions.values()
            ),
            Post(f"stopped:{state.id}", state.thread, WATCHBILL, notice),
            *await self._closing.posts(over),
        )
        await self._write(visit, ids, log.StopPressed(asked.user), log.MissionEnded("stopped", text), posts=posts)
        await self._show(visit)

    # writing ---------------------------------------------------------------------------------------------------------

    async def _show(self, visit: Visit) -> None:
        if visit.state is not None:
            await self._write(visit, (), posts=(mission_card(visit.state, self._titles, self._limit_usd),))

    async def _private(self, visit: Visit, ids: Ids, user: UserId, text: str) -> None:
        post = Post(f"tell:{ids[0]}", _thread(visit.lane), WATCHBILL, Private(user, text))
        await self._write(visit, ids, posts=(post,))

    async def _write(
        self, visit: Visit, ids: Ids, *entries: log.Entry, posts: tuple[Post, ...] = (), deadlines: tuple[Deadline, ...] = ()
    ) -> None:  # fmt: skip
        commit = Commit(entries=entries, posts=posts, consumed=ids, deadlines=deadlines)
        mission = visit.state.id if visit.state else None
        for logged in await self._journal.commit(visit.token, mission, commit):
            visit.state = applied(visit.state, logged) if visit.state else None


def _thread(lane: LaneKey) -> Thread:
    team, channel, ts = lane.split("/")
    return Thread(team, channel, ts)
