"""The agent loop: ask the model, submit each call to the gate, append the results, again; or return an Outcome."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from bot.agents.answering import Answering, ending, is_heard, last_step, speaks, speech, unanswered
from bot.agents.context import Known, build, nothing_known
from bot.agents.health import CrewHealth
from bot.agents.hold import Hold
from bot.agents.persona import Persona
from bot.domain import log
from bot.domain.ids import PersonaName
from bot.domain.model import Answered, Heard, ModelReply, ModelRequest, ModelUnavailableError, ToolSpec
from bot.domain.outcomes import CutShort, Failed, LimitReached, Outcome, SpokeOut, Stopped
from bot.domain.ports import Model
from bot.domain.state import Mission
from bot.interventions import taken_away

USELESS_ANSWERS = 3  # empty, refused or cut answers in a row before the turn fails
NUDGES = {
    "empty": "Your last answer was empty. Call a tool, or say in one line what you need.",
    "truncated": "Your last answer was cut at its limit. Do less in one answer: smaller files, fewer calls.",
    "refused": "Your last answer was a refusal. If part of the task cannot be done, say which and why in one line.",
}

Over = Callable[[Mission, PersonaName], LimitReached | None]


class AgentLoop:
    """Runs any persona. Knows no Slack, no provider, no store beyond the hold it is given."""

    def __init__(
        self, model: Model, answering: Answering, personas: Mapping[PersonaName, Persona],
        specs: Mapping[str, ToolSpec], over: Over, titles: Callable[[str], str], health: CrewHealth,
        known: Known = nothing_known,
    ) -> None:  # fmt: skip
        self._model = model
        self._answering = answering
        self._personas = personas
        self._specs = specs
        self._over = over
        self._titles = titles
        self._health = health
        self._known = known

    async def run(self, hold: Hold) -> Outcome:
        """Hold the turn to its end. What ends it is in the log; what comes next is not decided here."""
        useless, nudge = 0, ""
        while True:
            if (stopping := await hold.stopping()) or hold.leaving() or not hold.watch.alive():
                return Stopped("STOP was pressed" if stopping else "the lane is left to another worker")
            if hold.state.turn and hold.state.turn.spoke:
                return SpokeOut(hold.state.turn.spoke)
            if why := taken_away(hold.state):
                return CutShort(why)
            step = last_step(hold)
            if step is not None and unanswered(hold.state, step):
                await self._answering.answer(hold, step)
                continue
            if step is not None and (outcome := ending(hold.state, step)):
                return outcome
            if await self._health.look(hold):
                continue
            if limit := self._over(hold.state, hold.persona):
                return limit
            try:
                reply = await self._ask(hold, nudge)
            except ModelUnavailableError as error:
                return Failed(error.text)
            if reply is None:
                continue
            if reply.calls or speaks(reply):
                useless, nudge = 0, ""
            else:
                useless, nudge = useless + 1, NUDGES.get(reply.stop, NUDGES["empty"])
                if useless == USELESS_ANSWERS:
                    return Failed(f"its model gave {useless} unusable answers in a row ({reply.stop}).")

    async def behind(self, hold: Hold) -> bool:
        """After the turn: what it left in the log is looked at once more. True if something was done about it."""
        done = await self._health.look(hold)
        hold.state = self._health.kept(hold.state)
        return done

    async def _ask(self, hold: Hold, nudge: str) -> ModelReply | None:
        """One model call, within the log: asked before, answered after, calls with ids of their own. None: STOP came first."""
        persona = self._personas[hold.persona]
        await hold.record(log.ModelAsked(hold.turn, hold.persona))
        messages = build(hold.state, persona, self._titles, self._known)
        nudge = nudge or ("Go on." if isinstance(messages[-1], Answered) else "")  # no provider takes that as the last
        request = ModelRequest(
            model=persona.model,
            fallback=persona.fallback,
            system=persona.prompt,
            messages=(*messages, Heard(nudge)) if nudge else messages,
            tools=tuple(self._specs[name] for name in persona.tools),
            max_tokens=persona.limits.answer_tokens,
            tag={"persona": hold.persona, "mission": hold.state.id, "turn": str(hold.turn)},
        )
        if (reply := await hold.unless_stopped(self._model.ask(request))) is None:
            return None
        prefix = f"{hold.state.id}-{hold.turn}-{hold.state.spend.steps}"
        calls = tuple(replace(call, id=f"{prefix}-{number}") for number, call in enumerate(reply.calls))
        entry = log.ModelReplied(
            hold.turn, hold.persona, reply.model, reply.thought, reply.speech, calls, reply.stop, reply.usage,
            reply.cost_usd, reply.leaks,
        )  # fmt: skip
        if is_heard(reply) and await self._health.refused(hold, replace(entry, calls=()), reply.speech.strip()):
            pass  # nothing of it is done, the agent hears why and answers anew
        elif speaks(reply):  # only speech reaches people and the other agents (rule 2), in one write with the answer
            text = reply.speech.strip()
            await hold.record(entry, log.Spoke(hold.turn, hold.persona, text), posts=(speech(hold, text),))
        else:
            await hold.record(entry)
        return replace(reply, calls=calls)
