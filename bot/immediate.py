"""Clicks, commands and STOP: answered at once by any worker, without the lane's lease. Each may be served twice."""

from dataclasses import replace
from typing import Protocol, assert_never

from bot.answers import Answers
from bot.cards import WATCHBILL
from bot.domain.approvals import ApprovalRequest, Counted, NotCounted, VoteAnswer
from bot.domain.ids import MissionId, RequestId, Thread, UserId
from bot.domain.inbound import (
    Commanded,
    Continue,
    GrantRevoked,
    HomeOpened,
    Immediate,
    ModalAsked,
    Reply,
    Ruled,
    Settled,
    StopAsked,
    VoteCast,
)
from bot.domain.people import Role
from bot.domain.ports import People
from bot.domain.posts import Home, Modal, Notice, Post, Private
from bot.domain.storage import Approvals, Inbox, Journal, Leases, Outbox, Sent
from bot.orders import OrderedGate, Orders
from bot.rulings import USAGE, Words, read_words

STOP_WORDS = "Stopping. No new call starts; what runs is interrupted the way its tool declares."


class VotingGate(OrderedGate, Protocol):
    """What the desk needs of the gate."""

    async def vote(self, cast: VoteCast) -> VoteAnswer: ...
    async def may_vote(self, request: RequestId, user: UserId, place: Thread) -> NotCounted | None: ...
    async def void_outdated(self) -> tuple[ApprovalRequest, ...]: ...
    async def outdated_grants(self) -> tuple[Thread, ...]: ...
    async def cancel_all(self, thread: Thread, why: str) -> tuple[ApprovalRequest, ...]: ...


class Desk:
    """Serves one immediate item. Safe to repeat: votes, keys of posts and STOP counts are idempotent."""

    def __init__(
        self, *, gate: VotingGate, answers: Answers, inbox: Inbox, outbox: Outbox, leases: Leases, journal: Journal,
        approvals: Approvals, people: People,
    ) -> None:  # fmt: skip
        self._gate = gate
        self._answers = answers
        self._inbox = inbox
        self._outbox = outbox
        self._leases = leases
        self._journal = journal
        self._approvals = approvals
        self._people = people
        self._orders = Orders(gate, inbox, outbox, journal, approvals, people)

    async def serve(self, item: Immediate) -> None:
        looks = isinstance(item, Commanded | HomeOpened) or (
            isinstance(item, ModalAsked) and item.what in {"details", "answer", "amend"}
        )
        if looks and not (await self._people.human(item.reply.user)).may(*Role):
            await self._turn_away(item.reply)
            return
        match item:
            case VoteCast():
                await self._vote(item)
            case ModalAsked():
                await self._modal(item)
            case StopAsked():
                await self._stop(item)
            case Commanded() if (words := read_words(item.text)) and item.name == "mission":
                await self._rule(item, words)
            case Commanded():
                await self._answer(item.reply, await self._orders.obey(item) or await self._answers.answer(item))
            case GrantRevoked():
                await self._answer(item.reply, await self._orders.revoke(item))
            case HomeOpened():
                await self._home(item.reply, "")
            case _:
                assert_never(item)

    async def _rule(self, asked: Commanded, words: Words) -> None:
        """Into the mission's own lane: it stands in its log, in order with everything else."""
        thread = await self._journal.thread_of(MissionId(words.mission)) if words.mission else asked.thread
        if thread is None:
            key = f"answer:{asked.reply.trigger or asked.reply.message_ts}"
            await self._outbox.put(
                Post(key, _place(asked.reply), WATCHBILL, Private(asked.reply.user, f"Which mission? {USAGE}"))
            )
            return
        await self._inbox.put(thread.lane, Ruled(words.what, words.subject, words.reason, asked.reply))

    async def catch_up(self) -> None:
        """At a worker's start: what waits under other policies than this worker's is void, with a word to each thread."""
        for request in await self._gate.void_outdated():
            lane, title = request.thread.lane, request.effect.title or request.prepared.call.tool
            text = f"Request {request.short} is void: {request.note}. Nothing ran: {title}. The agent may ask again."
            card = Post(f"request:{request.id}", request.thread, WATCHBILL, self._gate.card(request))
            await self._outbox.put(card, Post(f"outdated:{request.id}", request.thread, WATCHBILL, Notice(text)))
            await self._inbox.put(lane, Settled(lane, request.id))
        for thread in await self._gate.outdated_grants():
            await self._inbox.put(thread.lane, Continue(thread.lane, "its grants are of other policies"))

    async def _home(self, reply: Reply, note: str) -> None:
        home = await self._answers.home(reply.user, note)
        await self._outbox.put(Post(f"home:{reply.user}", _place(reply), WATCHBILL, home))

    async def _answer(self, reply: Reply, answer: Private) -> None:
        if reply.home:
            await self._home(reply, answer.text)
            return
        key = f"answer:{reply.trigger or reply.message_ts}"
        await self._outbox.put(Post(key, _place(reply), WATCHBILL, answer))

    async def _turn_away(self, reply: Reply) -> None:
        """Votes have the gate's own answer; everything else that is not STOP takes a role."""
        key = f"refused:{reply.trigger or reply.message_ts}:{reply.user}"
        text = "You are not listed for this crew. STOP works for everyone. An admin adds people in people.yaml."
        if reply.home:
            home = Home(reply.user, text, "", (), ())
            await self._outbox.put(Post(f"home:{reply.user}", _place(reply), WATCHBILL, home))
            return
        await self._outbox.put(Post(key, _place(reply), WATCHBILL, Private(reply.user, text)))

    async def _vote(self, cast: VoteCast) -> None:
        await self._adopt(cast.request, cast.reply)
        answer = await self._gate.vote(cast)
        match answer:
            case Counted(request):
                await self._outbox.put(
                    Post(f"request:{request.id}", request.thread, WATCHBILL, self._gate.card(request))
                )
                if request.status != "pending":
                    await self._inbox.put(request.thread.lane, Settled(request.thread.lane, request.id))
                if cast.reply.ephemeral:  # the list that carried the button cannot be edited
                    votes = sum(vote.ballot == "approve" for vote in request.votes)
                    text = f"Counted: request {request.short} is {request.status}, {votes} of {request.terms.quorum} votes."
                    await self._answer(cast.reply, Private(cast.reply.user, text))
            case NotCounted(_, _, request):
                await self._refuse(cast.reply, answer)
                if request is not None and request.status in {"approved", "denied", "superseded"}:
                    # Where a worker died between counting the vote and telling the lane, this is the vote once more.
                    await self._inbox.put(request.thread.lane, Settled(request.thread.lane, request.id))
            case _:
                assert_never(answer)

    async def _adopt(self, request: RequestId, reply: Reply) -> None:
        """A click can be faster than the record of the message that it was made on: a card just posted, or one posted by
        a worker that died before it wrote the ts down. What the click says of the message is that record then, once team,
        app, channel, thread and request fit (parse.py lets through clicks on our own app's messages only).
        """
        stored = await self._approvals.get(request) if reply.message_ts and not reply.ephemeral else None
        key = f"request:{request}"
        if stored is None or _place(reply) != stored.thread or await self._outbox.sent_as(key) is not None:
            return
        # Which version stands there nobody knows; as the first one, every later one is still shown.
        await self._outbox.adopt(key, Sent(reply.channel, reply.message_ts, 1))

    async def _refuse(self, reply: Reply, answer: NotCounted) -> None:
        """No click is ever ignored; a card that shows an older state is brought up to date as well."""
        key = f"refused:{reply.trigger or reply.message_ts}:{reply.user}"
        if reply.home:
            await self._home(reply, answer.text)
        else:
            await self._outbox.put(Post(key, _place(reply), WATCHBILL, Private(reply.user, answer.text)))
        if answer.request is not None and answer.why in {"already_decided", "expired", "superseded", "cancelled"}:
            request = answer.request
            result = await self._approvals.result(request.id)
            await self._outbox.put(
                Post(f"request:{request.id}", request.thread, WATCHBILL, self._gate.card(request, result))
            )

    async def _modal(self, asked: ModalAsked) -> None:
        reply, place = asked.reply, _place(asked.reply)
        modal: Modal | None = None
        if asked.what in {"deny", "approve_typed", "narrow", "details"}:
            await self._adopt(RequestId(asked.subject), reply)
            request = await self._approvals.get(RequestId(asked.subject))
            refused = None
            listed = request is not None and reply.ephemeral and request.thread.team == reply.team
            place = request.thread if request is not None and listed else _place(reply)
            if asked.what != "details":
                refused = await self._gate.may_vote(RequestId(asked.subject), reply.user, place)
            if refused is not None:
                await self._refuse(reply, refused)
                return
            modal = _request_modal(asked, request) if request else await self._mission_modal(asked)
        elif asked.what == "amend":
            modal = await self._amend_modal(asked)
        else:
            modal = Modal(reply.trigger, "answer", asked.subject, "Answer", "Your answer goes to the agent that asked.",
                          "Answer", "Send")  # fmt: skip
        if modal is not None:
            shown = replace(modal, to=reply.user)
            await self._outbox.put(Post(f"modal:{reply.trigger}", place, WATCHBILL, shown))

    async def _mission_modal(self, asked: ModalAsked) -> Modal | None:
        summary, details = await self._answers.details(MissionId(asked.subject))
        if not summary:
            return None
        return Modal(
            asked.reply.trigger, "details", asked.subject, f"Mission {asked.subject}", f"{summary}\n\n{details}"
        )

    async def _amend_modal(self, asked: ModalAsked) -> Modal | None:
        text = await self._answers.contract(MissionId(asked.subject))
        label = "What should be true as well, or was meant otherwise"
        return Modal(asked.reply.trigger, "amend", asked.subject, "Edit criteria", text, label, "Add") if text else None

    async def _stop(self, asked: StopAsked) -> None:
        lane = asked.thread.lane
        mission = await self._journal.mission_of(asked.thread)
        dropped = await self._inbox.clear(lane)
        if not asked.clear:
            # The item first: whoever takes the lane between the two finds one or the other. It goes there without a
            # mission as well: one may just be opening.
            await self._inbox.put(lane, asked)
        if asked.clear or mission is None:
            nothing = "There is no mission in this thread."
            text = f"Cleared: {dropped} waiting messages dropped." if mission or dropped else nothing
            key = f"clear:{asked.reply.message_ts or asked.reply.trigger}"
            await self._outbox.put(Post(key, asked.thread, WATCHBILL, Private(asked.user, text)))
        if asked.clear:
            return
        press = f"{asked.reply.message_ts}/{asked.reply.trigger}/{asked.user}"
        count = await self._leases.raise_stop(lane, press)
        for request in await self._gate.cancel_all(asked.thread, "STOP was pressed"):
            await self._outbox.put(Post(f"request:{request.id}", request.thread, WATCHBILL, self._gate.card(request)))
        if mission is not None:
            text = STOP_WORDS if count < 2 else "Forced: what still runs is ended now."
            await self._outbox.put(Post(f"stop:{mission}:{min(count, 2)}", asked.thread, WATCHBILL, Notice(text)))


def _request_modal(asked: ModalAsked, request: ApprovalRequest) -> Modal:
    title, what = request.effect.title or request.prepared.call.tool, asked.what
    trigger = asked.reply.trigger
    if what == "deny":
        text = f"{title}. The reason goes to the agent, who may not try the same again."
        return Modal(trigger, "deny", request.id, f"Deny {request.short}", text, "Reason", "Deny")
    if what == "narrow":
        names = "\n".join(request.names)
        text = (
            f"{title}. Names that are to be left out of it, divided by spaces. The agent plans again without them and asks "
            f"anew, with votes at zero; nothing can be added.\n\n{names}"
        )
        return Modal(trigger, "narrow", request.id, f"Narrow {request.short}", text, "Leave out", "Leave out")
    if what == "approve_typed":
        names = " ".join(request.terms.typed_names)
        text = f"{title}. Type {names} to approve." if names else f"{title}."
        totp = request.terms.totp
        return Modal(
            trigger, "approve_typed", request.id, f"Approve {request.short}", text, names, "Approve", code=totp
        )
    lines = "\n".join(f"{item.action} {item.name} {item.where} {item.detail}" for item in request.effect.items)
    text = f"{title}\n{lines}\n\ndigest {request.digest}\npolicy {request.policy_version}"
    name = f"Request {request.short}"
    return Modal(trigger, "details", request.id, name, text, verbatim=request.prepared.full_text)


def _place(reply: Reply) -> Thread:
    return Thread(reply.team, reply.channel, reply.thread_ts)
