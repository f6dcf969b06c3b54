"""Answers the calls of one step: submits them to the gate, writes each result down, shows people what concerns them."""

import asyncio
from collections.abc import Callable, Iterable
from itertools import groupby

from bot.agents.hold import Hold
from bot.domain import log
from bot.domain.approvals import ApprovalRequest, Held, Ran, Refused, Submitted
from bot.domain.calls import CallClass, ToolCall, ToolResult
from bot.domain.ids import CallId, QuestionId, Thread
from bot.domain.model import ModelReply, ProposedCall
from bot.domain.outcomes import AskedHuman, HandedOver, Outcome, Suspended
from bot.domain.ports import Door
from bot.domain.posts import Notice, Post, QuestionCard, Speech
from bot.domain.state import CallRecord, Mission, StepItem
from bot.domain.storage import Deadline

ENDS_TURN = frozenset({"hand_off", "ask_human"})  # the words beside them are said to people


def speaks(reply: ModelReply) -> bool:
    """True for a whole answer in words: it ends the turn."""
    return not reply.calls and reply.stop == "end" and bool(reply.speech.strip())


def is_heard(reply: ModelReply) -> bool:
    """True if people hear its words: alone, or beside nothing but a call that ends the turn."""
    ends = bool(reply.calls) and all(call.tool in ENDS_TURN for call in reply.calls)
    return speaks(reply) or (ends and bool(reply.speech.strip()))


def last_step(hold: Hold) -> StepItem | None:
    """The newest model answer, if nothing was heard since."""
    exchange = hold.state.exchanges.get(hold.persona)
    last = exchange.items[-1] if exchange and exchange.items else None
    return last if isinstance(last, StepItem) else None


def unanswered(state: Mission, step: StepItem) -> list[ProposedCall]:
    """The step's calls that have no result yet."""
    return [call for call in step.calls if CallId(call.id) not in state.results]


def ending(state: Mission, step: StepItem) -> Outcome | None:
    """How the step ends the turn: a hand-off or a question of this turn, or calls that wait for people."""
    since = state.turn.since if state.turn else 0
    found = (state.results.get(CallId(call.id)) for call in step.calls)
    records: list[CallRecord] = [record for record in found if record is not None]
    for record in records:
        fresh = record.status == "ok" and record.ordinal > since
        if fresh and record.tool == "hand_off":
            return HandedOver(state.hand_offs[-1].to)
        if fresh and record.tool == "ask_human":
            return AskedHuman(QuestionId(str(record.facts.get("question", ""))))
    held = tuple(record.request for record in records if record.status == "held" and record.request)
    return Suspended(held) if held else None


def speech(hold: Hold, text: str) -> Post:
    """What the agent says at this step, as people see it."""
    return Post(_key(hold), hold.state.thread, hold.persona, Speech(text))


def _key(hold: Hold) -> str:
    return f"speech:{hold.state.id}:{hold.turn}:{hold.state.spend.steps}"


def _deadlines(request: ApprovalRequest) -> tuple[Deadline, ...]:
    """People are reminded at half time, and it expires. What a grant covers starts at once, when the lane is free."""
    lane = request.thread.lane
    expiry = Deadline(lane, "request", request.id, request.expires_at)
    if request.grant is not None:
        return (expiry, Deadline(lane, "start", request.id, request.created_at))
    half = request.created_at + (request.expires_at - request.created_at) / 2
    return (expiry, Deadline(lane, "reminder", request.id, half))


def alarms(result: ToolResult, thread: Thread) -> tuple[Post, ...]:
    """What everyone in the thread has to see at once, whatever the agent makes of it (a changed host key)."""
    if not result.facts.get("alert"):
        return ()
    return (Post(f"alert:{result.call}", thread, "watchbill", Notice(result.text.partition("\n")[0])),)


class Answering:
    """The loop's way to the gate."""

    def __init__(self, door: Door, together: frozenset[str], titles: Callable[[str], str]) -> None:
        self._door = door
        self._together = together
        self._titles = titles

    async def answer(self, hold: Hold, step: StepItem) -> None:
        """Submit every call that has no result: runs of plain reads together, everything else in order."""
        for together, group in groupby(unanswered(hold.state, step), key=lambda call: call.tool in self._together):
            calls = list(group)
            for batch in [calls] if together else [[call] for call in calls]:
                if await hold.stopping() or not hold.watch.alive():
                    return
                submits = (self._submit(hold, call, step.text) for call in batch)
                answers = await asyncio.gather(*submits, return_exceptions=True)  # none runs on behind an error
                for call, answer in zip(batch, answers, strict=True):
                    if isinstance(answer, BaseException):
                        raise answer
                    await self._append(hold, step, call, answer)

    async def _submit(self, hold: Hold, call: ProposedCall, words: str) -> Submitted:
        if call.problem:
            text = f"The arguments were not a JSON object: {call.problem}. Call {call.tool} again with valid JSON."
            return Refused(ToolResult(CallId(call.id), call.tool, "refused", text))
        proposed = ToolCall(CallId(call.id), call.tool, call.arguments, hold.persona, hold.state.id, hold.turn)
        return await self._door.submit(proposed, hold.scope(), words, hold.watch)

    async def _append(self, hold: Hold, step: StepItem, call: ProposedCall, answer: Submitted) -> None:
        match answer:
            case Ran(result, entries):
                returned = log.ToolReturned(hold.turn, hold.persona, CallClass.READ, result)
                posts, deadlines = self._told(hold, step, entries)
                posts = (*posts, *alarms(result, hold.state.thread))
                await hold.record(returned, *entries, posts=posts, deadlines=deadlines)
            case Refused(result):
                await hold.record(log.ToolReturned(hold.turn, hold.persona, CallClass.READ, result))
            case Held(request, result):
                effect = request.effect
                returned = log.ToolReturned(hold.turn, hold.persona, effect.cls, result, request.id)
                title = effect.title or call.tool
                asked = log.ApprovalAsked(request.id, CallId(call.id), hold.persona, request.digest, effect.cls, title)
                fresh = () if request.id in hold.state.requests else (asked,)
                await hold.record(returned, *fresh, deadlines=_deadlines(request))

    def _told(
        self, hold: Hold, step: StepItem, entries: Iterable[log.Entry]
    ) -> tuple[tuple[Post, ...], tuple[Deadline, ...]]:
        """What people see of a crew tool: a hand-off with the words beside it, a question with its buttons."""
        posts: list[Post] = []
        deadlines: list[Deadline] = []
        thread, words = hold.state.thread, step.text.strip()
        key = _key(hold)
        for entry in entries:
            match entry:
                case log.HandedOff(_, by, to, task):
                    posts.append(Post(f"{key}:{to}", thread, by, Speech(words, self._titles(to), task)))
                case log.Asked(question, by, text, options, default, deadline):
                    if words:
                        posts.append(Post(f"{key}:{question}", thread, by, Speech(words)))
                    asked = hold.state.requester
                    card = QuestionCard(question, self._titles(by), asked, text, options, default, deadline)
                    posts.append(Post(f"question:{question}", thread, "watchbill", card))
                    deadlines.append(Deadline(thread.lane, "question", question, deadline))
                case _:
                    pass
        return tuple(posts), tuple(deadlines)
