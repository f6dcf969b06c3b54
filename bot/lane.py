"""What the holder of a lane does with each item that waits in it. Every item is consumed by the commit that answers it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, assert_never

from bot.agents.persona import Persona
from bot.cards import WATCHBILL, Titles, mission_card, report
from bot.domain import log
from bot.domain.approvals import ApprovalRequest, Settlement
from bot.domain.calls import ToolResult
from bot.domain.ids import InboxId, LaneKey, MissionId, PersonaName, RequestId, Thread, Token, UserId
from bot.domain.inbound import AnswerGiven, Continue, DeadlineReached, ExtendAsked, Ordered, Said, Settled, StopAsked
from bot.domain.people import Role
from bot.domain.ports import Approvals, Clock, Commit, Environments, Journal, People, Scope, Watch
from bot.domain.posts import ApprovalCard, File, Notice, Post, Private, QuestionCard
from bot.domain.state import Mission, OpenQuestion
from bot.mission import applied, fold
from bot.router import addressed
from bot.turn import LaneWatch


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
    def card(self, request: ApprovalRequest, result: ToolResult | None = None) -> ApprovalCard: ...


class LaneRules:
    """Messages, answers, settled approvals, deadlines and STOP, in their order."""

    def __init__(
        self, *, journal: Journal, approvals: Approvals, gate: Gate, people: People, environments: Environments,
        personas: Mapping[PersonaName, Persona], clock: Clock, titles: Titles, estate: str, limit_usd: float,
        extenders: frozenset[Role], extend_factor: float,
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

    async def mission_in(self, lane: LaneKey) -> MissionId | None:
        return await self._journal.mission_of(_thread(lane))

    async def handle(self, visit: Visit, item_id: InboxId, item: Ordered) -> None:
        """Answer one item and consume it in the same commit."""
        match item:
            case Said():
                await self._said(visit, item_id, item)
            case AnswerGiven():
                await self._answered(visit, item_id, item)
            case ExtendAsked():
                await self._extended(visit, item_id, item)
            case Settled():
                await self._settled(visit, item_id, item)
            case DeadlineReached():
                await self._due(visit, item_id, item)
            case StopAsked():
                await self._stopped(visit, item_id, item)
            case Continue():
                await self._write(visit, item_id)
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
            await self._record_settlement(visit, None, settlement)
        settled = [r for r in state.requests if not any(b.id == r for b in begun)]
        return await self._forgotten(visit, settled) or bool(begun)

    # messages --------------------------------------------------------------------------------------------------------

    async def _said(self, visit: Visit, item_id: InboxId, said: Said) -> None:
        human = await self._people.human(said.user)
        state = visit.state
        if state is None and not said.to:
            await self._write(visit, item_id)
        elif not human.may(Role.REQUESTER, Role.ADMIN, Role.APPROVER, Role.RISK_OWNER):
            await self._tell(visit, item_id, said, f"You are not listed for this crew ({human.standing}), so it does not "
                             "act on your messages. STOP works for everyone. An admin adds people in people.yaml.")  # fmt: skip
        elif state is None:
            await self._open(visit, item_id, said)
        elif state.ended:
            await self._tell(visit, item_id, said, f"Mission {state.id} is over ({state.ended}). "
                             "For something new, mention @Architect in a new message.")  # fmt: skip
        else:
            to = addressed(said, frozenset(self._personas))
            text = f"(edited) {said.text}" if said.edited else said.text
            await self._write(visit, item_id, log.HumanSaid(said.user, text, to, said.ts))

    async def _open(self, visit: Visit, item_id: InboxId, said: Said) -> None:
        environment = self._environments.of("estate", self._estate)
        opening = log.MissionOpened(
            mission=MissionId(""),
            estate=self._estate,
            environment=environment,
            requester=said.user,
            thread=said.thread,
            request=said.text,
            addressed=addressed(said, frozenset(self._personas)),
        )
        _, entries = await self._journal.open(visit.token, opening, Commit(consumed=(item_id,)))
        visit.state = fold(entries)
        await self._show(visit)

    async def _tell(self, visit: Visit, item_id: InboxId, said: Said, text: str) -> None:
        post = Post(f"tell:{said.ts}", said.thread, WATCHBILL, Private(said.user, text))
        await self._write(visit, item_id, posts=(post,))

    # questions, budget ----------------------------------------------------------------------------------------------

    async def _answered(self, visit: Visit, item_id: InboxId, given: AnswerGiven) -> None:
        state = visit.state
        question = state.questions.get(given.question) if state else None
        human = await self._people.human(given.reply.user)
        if state is None or question is None:
            await self._private(visit, item_id, given.reply.user, "This question is answered already.")
        elif not human.may(Role.REQUESTER, Role.ADMIN, Role.APPROVER, Role.RISK_OWNER):
            await self._private(visit, item_id, given.reply.user, "Only people listed for this crew may answer.")
        else:
            option = (
                question.options[given.option]
                if given.option is not None and given.option < len(question.options)
                else ""
            )
            await self._close(visit, item_id, question, option or given.answer, given.reply.user)

    async def _close(self, visit: Visit, item_id: InboxId, question: OpenQuestion, answer: str, by: str) -> None:
        state = visit.state
        if state is None:
            return
        card = QuestionCard(question.question, self._titles(question.by), state.requester, question.text, question.options,
                            question.default, question.deadline, answer, by)  # fmt: skip
        post = Post(f"question:{question.question}", state.thread, WATCHBILL, card)
        entry = log.QuestionAnswered(question.question, answer, by)
        await self._write(visit, item_id, entry, posts=(post,))

    async def _extended(self, visit: Visit, item_id: InboxId, asked: ExtendAsked) -> None:
        state, user = visit.state, asked.reply.user
        human = await self._people.human(user)
        if state is None or state.parked != "budget":
            await self._private(visit, item_id, user, "This budget is not exhausted, or was extended already.")
        elif not human.may(*self._extenders):
            await self._private(visit, item_id, user, "You may not extend a budget (policies/limits.yaml: extend).")
        else:
            note = log.Noted(state.last_persona, "The budget was extended. Go on.", "extended")
            await self._write(visit, item_id, log.BudgetExtended(user, self._extend_factor), note)
            await self._show(visit)

    # approvals -------------------------------------------------------------------------------------------------------

    async def _settled(self, visit: Visit, item_id: InboxId, settled: Settled) -> None:
        state = visit.state
        if state is None or settled.request not in state.requests:
            await self._write(visit, item_id)
            return
        await self._settle(visit, item_id, settled.request)

    async def _settle(self, visit: Visit, item_id: InboxId | None, request: RequestId) -> None:
        state = visit.state
        if state is None:
            return
        by = state.requests[request].by
        visit.watch.at(state, by)
        scope = Scope(state, by, state.turns, self._clock.now())
        settlement = await self._gate.settle(request, visit.token, scope, visit.watch)
        await self._record_settlement(visit, item_id, settlement)

    async def _forgotten(self, visit: Visit, requests: list[RequestId]) -> bool:
        """Requests that ended while their item was lost with a worker: settle or record them now."""
        found = False
        for request in requests:
            stored = await self._approvals.get(request)
            if stored is not None and stored.status in {"done", "unknown_outcome"}:
                result = await self._approvals.result(request)
                if result is not None:
                    await self._record_settlement(visit, None, Settlement(stored, result))
                    found = True
        return found

    async def _record_settlement(self, visit: Visit, item_id: InboxId | None, settlement: Settlement) -> None:
        state = visit.state
        if state is None:
            return
        request, result = settlement.request, settlement.result
        if request.status == "pending" or request.id not in state.requests:
            await self._write(visit, item_id)
            return
        wanted = "deny" if request.status == "denied" else "approve"
        by = tuple(vote.user for vote in request.votes if vote.ballot == wanted)
        returned = log.ToolReturned(state.turns, request.asked_by, request.effect.cls, result, request.id)
        ended = log.ApprovalEnded(request.id, request.status, by, request.note)
        entries: tuple[log.Entry, ...] = (returned, ended)
        posts = [Post(f"request:{request.id}", state.thread, WATCHBILL, self._gate.card(request, result))]
        if request.status == "unknown_outcome":
            text = f"Request {request.short}: the outcome is unknown. {result.text}"
            orphans = tuple(f"exists and is not in the state: {name}" for name in settlement.orphans)
            posts.append(Post(f"unknown:{request.id}", state.thread, WATCHBILL, Notice(text, "\n".join(orphans))))
            entries = (*entries, log.Parked("unknown_outcome", text))
        if result.artifact and result.status != "ok" and request.status == "done":
            body = File(result.artifact, f"{result.tool}-{request.short}.txt", f"{request.effect.title}: full output")
            posts.append(Post(f"output:{request.id}", state.thread, WATCHBILL, body))
        await self._write(visit, item_id, *entries, posts=tuple(posts))
        await self._show(visit)

    async def _due(self, visit: Visit, item_id: InboxId, due: DeadlineReached) -> None:
        state = visit.state
        if state is None:
            await self._write(visit, item_id)
            return
        question = next((q for key, q in state.questions.items() if key == due.subject), None)
        if due.what == "question" and question is not None:
            await self._close(visit, item_id, question, question.options[question.default], "")
            return
        request = RequestId(due.subject)
        expired = await self._gate.expire(request) if due.what == "request" and request in state.requests else None
        if expired is None or expired.status != "expired":
            await self._write(visit, item_id)
            return
        text = f"Request {expired.short} expired without a decision: {expired.effect.title}. Nothing ran."
        result = ToolResult(expired.prepared.call.id, expired.prepared.call.tool, "denied", f"{text} Nobody denied it.")
        returned = log.ToolReturned(state.turns, expired.asked_by, expired.effect.cls, result, expired.id)
        ended = log.ApprovalEnded(expired.id, "expired", (), expired.note)
        card = Post(f"request:{expired.id}", state.thread, WATCHBILL, self._gate.card(expired))
        notice = Notice(text, f"The mission is parked. Say “@{self._titles(expired.asked_by)} go on” to ask again.")
        post = Post(f"expired:{expired.id}", state.thread, WATCHBILL, notice)
        await self._write(visit, item_id, returned, ended, log.Parked("approval_expired", text), posts=(card, post))
        await self._show(visit)

    # STOP ------------------------------------------------------------------------------------------------------------

    async def _stopped(self, visit: Visit, item_id: InboxId, asked: StopAsked) -> None:
        state = visit.state
        if state is None or state.ended or asked.clear:
            await self._write(visit, item_id)
            return
        left = f"{state.created} created, {state.changed} changed, {state.destroyed} destroyed by this mission so far"
        where = f"{self._titles(state.turn.persona)} held the turn" if state.turn else "nobody held the turn"
        text = f"stopped by {asked.user}: {where}; {left}"
        await self._write(visit, item_id, log.StopPressed(asked.user), log.MissionEnded("stopped", text))
        if visit.state is not None:
            notice = Notice(
                f"Mission {state.id} is stopped. {where}; {left}.", "Nothing new starts. What exists stays."
            )
            stop = Post(f"stopped:{state.id}", state.thread, WATCHBILL, notice)
            final = report(visit.state, self._clock.now(), code=f"branch missions/{state.id}")
            await self._write(visit, None, posts=(stop, final))
        await self._show(visit)

    # writing ---------------------------------------------------------------------------------------------------------

    async def _show(self, visit: Visit) -> None:
        if visit.state is not None:
            await self._write(visit, None, posts=(mission_card(visit.state, self._titles, self._limit_usd),))

    async def _private(self, visit: Visit, item_id: InboxId, user: UserId, text: str) -> None:
        post = Post(f"tell:{item_id}", _thread(visit.lane), WATCHBILL, Private(user, text))
        await self._write(visit, item_id, posts=(post,))

    async def _write(
        self, visit: Visit, item_id: InboxId | None, *entries: log.Entry, posts: tuple[Post, ...] = ()
    ) -> None:
        commit = Commit(entries=entries, posts=posts, consumed=() if item_id is None else (item_id,))
        mission = visit.state.id if visit.state else None
        for logged in await self._journal.commit(visit.token, mission, commit):
            visit.state = applied(visit.state, logged) if visit.state else None


def _thread(lane: LaneKey) -> Thread:
    team, channel, ts = lane.split("/")
    return Thread(team, channel, ts)
