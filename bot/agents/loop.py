"""The agent loop: ask the model, submit each call to the gate, append the results, again; or return an Outcome."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import groupby

from bot.agents.context import build
from bot.agents.hold import Hold
from bot.agents.persona import Persona
from bot.domain import log
from bot.domain.approvals import Held, Ran, Refused, Submitted
from bot.domain.calls import CallClass, ToolCall, ToolResult
from bot.domain.ids import CallId, PersonaName
from bot.domain.model import Heard, ModelReply, ModelRequest, ModelUnavailableError, ProposedCall, ToolSpec
from bot.domain.outcomes import AskedHuman, Failed, HandedOver, LimitReached, Outcome, SpokeOut, Stopped, Suspended
from bot.domain.ports import Deadline, Door, Model
from bot.domain.posts import Post, QuestionCard, Speech
from bot.domain.state import CallRecord, Mission, StepItem

USELESS_ANSWERS = 3  # empty, refused or cut answers in a row before the turn fails
NUDGES = {
    "empty": "Your last answer was empty. Call a tool, or say in one line what you need.",
    "truncated": "Your last answer was cut at its limit. Do less in one answer: smaller files, fewer calls.",
    "refused": "Your last answer was a refusal. If part of the task cannot be done, say which and why in one line.",
}

Over = Callable[[Mission, PersonaName], LimitReached | None]


class AgentLoop:
    """Runs any persona. Knows no Slack, no provider, no store beyond the hold it is given."""

    def __init__(self, model: Model, door: Door, personas: Mapping[PersonaName, Persona], specs: Mapping[str, ToolSpec],
                 together: frozenset[str], over: Over) -> None:  # fmt: skip
        self._model = model
        self._door = door
        self._personas = personas
        self._specs = specs
        self._together = together
        self._over = over

    async def run(self, hold: Hold) -> Outcome:
        """Hold the turn to its end. What ends it is in the log; what comes next is not decided here."""
        useless, nudge = 0, ""
        while True:
            if hold.watch.stopping() or not hold.watch.alive():
                return Stopped("STOP was pressed" if hold.watch.stopping() else "the lease was lost")
            step = _last_step(hold)
            if step is not None and _unanswered(hold.state, step):
                await self._answer(hold, step)
                continue
            if step is not None and (outcome := _ending(hold.state, step)):
                return outcome
            if limit := self._over(hold.state, hold.persona):
                return limit
            try:
                reply = await self._ask(hold, nudge)
            except ModelUnavailableError as error:
                return Failed(error.text)
            if reply.calls:
                useless, nudge = 0, ""
            elif reply.stop == "end" and reply.speech.strip():
                return await self._speak(hold, reply)
            else:
                useless += 1
                if useless == USELESS_ANSWERS:
                    return Failed(
                        f"{self._personas[hold.persona].title}'s model gave {useless} unusable answers ({reply.stop})"
                    )
                nudge = NUDGES.get(reply.stop, NUDGES["empty"])

    async def _ask(self, hold: Hold, nudge: str) -> ModelReply:
        persona = self._personas[hold.persona]
        await hold.record(log.ModelAsked(hold.turn, hold.persona))
        messages = build(hold.state, persona, self._title)
        request = ModelRequest(
            model=persona.model,
            fallback=persona.fallback,
            system=persona.prompt,
            messages=(*messages, Heard(nudge)) if nudge else messages,
            tools=tuple(self._specs[name] for name in persona.tools),
            max_tokens=persona.limits.answer_tokens,
            tag={"persona": hold.persona, "mission": hold.state.id, "turn": str(hold.turn)},
        )
        reply = await self._model.ask(request)
        number = hold.state.spend.steps
        prefix = f"{hold.state.id}-{hold.turn}-{number}"
        calls = tuple(replace(call, id=f"{prefix}-{n}") for n, call in enumerate(reply.calls))
        entry = log.ModelReplied(
            hold.turn, hold.persona, reply.model, reply.thought, reply.speech, calls, reply.stop, reply.usage,
            reply.cost_usd, reply.leaks,
        )  # fmt: skip
        await hold.record(entry)
        return replace(reply, calls=calls)

    async def _answer(self, hold: Hold, step: StepItem) -> None:
        """Submit every call that has no result yet: runs of plain reads together, everything else in order."""
        for together, group in groupby(_unanswered(hold.state, step), key=lambda call: call.tool in self._together):
            calls = list(group)
            for batch in [calls] if together else [[call] for call in calls]:
                if hold.watch.stopping():
                    return
                answers = await asyncio.gather(*(self._submit(hold, call, step.text) for call in batch))
                for call, answer in zip(batch, answers, strict=True):
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
                posts, deadlines = self._tell(hold, step, entries)
                await hold.record(returned, *entries, posts=posts, deadlines=deadlines)
            case Refused(result):
                await hold.record(log.ToolReturned(hold.turn, hold.persona, CallClass.READ, result))
            case Held(request, result):
                effect = request.effect
                returned = log.ToolReturned(hold.turn, hold.persona, effect.cls, result, request.id)
                asked = log.ApprovalAsked(
                    request.id, CallId(call.id), hold.persona, request.digest, effect.cls, effect.title or call.tool
                )
                fresh = () if request.id in hold.state.requests else (asked,)
                expiry = Deadline(request.thread.lane, "request", request.id, request.expires_at)
                await hold.record(returned, *fresh, deadlines=(expiry,))

    def _tell(
        self, hold: Hold, step: StepItem, entries: Iterable[log.Entry]
    ) -> tuple[tuple[Post, ...], tuple[Deadline, ...]]:
        """What people see of a crew tool: a hand-off with the words beside it, a question with its buttons."""
        posts: list[Post] = []
        deadlines: list[Deadline] = []
        key = f"{hold.state.id}:{hold.turn}:{hold.state.spend.steps}"
        for entry in entries:
            match entry:
                case log.HandedOff(_, by, to, task):
                    body = Speech(step.text.strip(), self._title(to), task)
                    posts.append(Post(f"speech:{key}", hold.state.thread, by, body))
                case log.Asked(question, by, text, options, default, deadline):
                    if step.text.strip():
                        posts.append(Post(f"speech:{key}", hold.state.thread, by, Speech(step.text.strip())))
                    card = QuestionCard(
                        question, self._title(by), hold.state.requester, text, options, default, deadline
                    )
                    posts.append(Post(f"question:{question}", hold.state.thread, "watchbill", card))
                    deadlines.append(Deadline(hold.state.thread.lane, "question", question, deadline))
                case _:
                    pass
        return tuple(posts), tuple(deadlines)

    async def _speak(self, hold: Hold, reply: ModelReply) -> SpokeOut:
        text = reply.speech.strip()
        key = f"speech:{hold.state.id}:{hold.turn}:{hold.state.spend.steps}"
        post = Post(key, hold.state.thread, hold.persona, Speech(text))
        await hold.record(log.Spoke(hold.turn, hold.persona, text), posts=(post,))
        return SpokeOut(text)

    def _title(self, name: str) -> str:
        persona = self._personas.get(PersonaName(name))
        return persona.title if persona else name


def _last_step(hold: Hold) -> StepItem | None:
    """The newest model answer, if nothing was heard since."""
    exchange = hold.state.exchanges.get(hold.persona)
    last = exchange.items[-1] if exchange and exchange.items else None
    return last if isinstance(last, StepItem) else None


def _records(state: Mission, step: StepItem) -> list[CallRecord]:
    found = (state.results.get(CallId(call.id)) for call in step.calls)
    return [record for record in found if record is not None]


def _unanswered(state: Mission, step: StepItem) -> list[ProposedCall]:
    return [call for call in step.calls if CallId(call.id) not in state.results]


def _ending(state: Mission, step: StepItem) -> Outcome | None:
    """How the step ends the turn: a hand-off, a question, or calls that wait for people."""
    records = _records(state, step)
    for record in records:
        if record.status == "ok" and record.tool == "hand_off":
            return HandedOver(state.hand_offs[-1].to)
        if record.status == "ok" and record.tool == "ask_human" and state.questions:
            return AskedHuman(list(state.questions)[-1])
    held = tuple(record.request for record in records if record.status == "held" and record.request)
    return Suspended(held) if held else None
