"""`/mission verify`: the probes that evidence names, run again through the gate, and whether their checks still hold."""

import asyncio
from dataclasses import dataclass, replace
from typing import Literal

from bot.cards import WATCHBILL
from bot.domain.approvals import Ran
from bot.domain.calls import CallClass, ToolCall, ToolResult
from bot.domain.contract import Criterion, Evidence
from bot.domain.ids import CallId
from bot.domain.ports import Clock, Door, Scope, Watch
from bot.domain.posts import Notice, Post
from bot.domain.state import Mission
from bot.domain.storage import Outbox
from bot.policy.evidence import hold

Standing = Literal["holds", "does not hold", "no answer", "not probed"]
SHOWN = 160  # characters of what was seen


@dataclass(frozen=True, slots=True)
class Reprobed:
    """One criterion as it stands now. `seen` is a line of the probe's own words, or why there is none."""

    criterion: Criterion
    standing: Standing
    seen: str
    service: str = ""  # the address, where the probe asks something that people use


class Verifier:
    """Reads only: a probe that would have to ask people is not run."""

    def __init__(self, door: Door, outbox: Outbox, clock: Clock, watch: Watch) -> None:
        self._door = door
        self._outbox = outbox
        self._clock = clock
        self._watch = watch

    async def verify(self, state: Mission) -> tuple[Reprobed, ...]:
        """Every criterion of the mission; what no longer holds is told in its thread as well, once for the same finding."""
        found = await self.look(state)
        gone = [one for one in found if one.standing == "does not hold"]
        if gone:
            numbers = ", ".join(str(one.criterion.number) for one in gone)
            text = f"Mission {state.id}: evidence that held does not hold now, criterion {numbers}."
            lines = "\n".join(f"{one.criterion.number} {one.criterion.text}: {one.seen}" for one in gone)
            notice = Notice(text, f"{lines}\nSay what to do about it in this thread, or start a new mission.")
            key = f"drift:{state.id}:{numbers}:{self._clock.now():%G-%V}"  # the same finding once a week
            await self._outbox.put(Post(key, state.thread, WATCHBILL, notice))
        return found

    async def look(self, state: Mission, patience_s: float | None = None) -> tuple[Reprobed, ...]:
        """The same and nobody is told; what takes longer than `patience_s` has no answer."""
        return tuple(await asyncio.gather(*(self._patiently(state, one, patience_s) for one in state.criteria)))

    async def _patiently(self, state: Mission, criterion: Criterion, patience_s: float | None) -> Reprobed:
        try:
            async with asyncio.timeout(patience_s):
                found = await self._one(state, criterion)
        except TimeoutError:
            found = Reprobed(criterion, "no answer", f"not within {patience_s:g} s")
        shown = state.evidence.get(criterion.number)
        return replace(found, service=_service(shown.evidence) if shown is not None else "")

    async def _one(self, state: Mission, criterion: Criterion) -> Reprobed:
        waiver, shown = state.waivers.get(criterion.number), state.evidence.get(criterion.number)
        if waiver is not None:
            return Reprobed(criterion, "not probed", f"waived: {waiver.reason}")
        if shown is None:
            return Reprobed(criterion, "not probed", "no evidence was recorded")
        evidence = shown.evidence
        if not (evidence.tool and evidence.check):
            return Reprobed(criterion, "not probed", f"{evidence.outcome}: {evidence.words}")
        probed = state.results.get(evidence.call)
        if probed is not None and probed.cls is not CallClass.READ:
            return Reprobed(criterion, "not probed", f"{evidence.tool} asks people each time: {evidence.words}"[:SHOWN])
        result = await self._probe(state, criterion, evidence)
        if result.facts.get("asks"):
            return Reprobed(criterion, "not probed", f"{result.text} {evidence.words}"[:SHOWN])
        said = (result.text.strip().splitlines() or [""])[0][:SHOWN]
        if not result.facts:
            return Reprobed(criterion, "no answer", said)
        held = hold(evidence.check, result.facts)
        if isinstance(held, str):
            return Reprobed(criterion, "does not hold", f"{said} ({held})"[:SHOWN])
        return Reprobed(criterion, "holds" if held else "does not hold", evidence.words if held else said)

    async def _probe(self, state: Mission, criterion: Criterion, evidence: Evidence) -> ToolResult:
        now = self._clock.now()
        number = CallId(f"verify-{state.id}-{criterion.number}-{now.timestamp():.0f}")
        call = ToolCall(number, evidence.tool, evidence.arguments, evidence.by, state.id, state.turns)
        answer = await self._door.probe(call, Scope(state, evidence.by, state.turns, now), self._watch)
        if isinstance(answer, Ran):
            return answer.result
        if answer.result.facts.get("asks"):
            return answer.result
        return ToolResult(number, evidence.tool, "refused", f"not run: {answer.result.text}")


def _service(evidence: Evidence) -> str:
    match evidence.tool:
        case "http_probe":
            return str(evidence.arguments.get("url", ""))
        case "tcp_probe":
            return f"{evidence.arguments.get('host', '')}:{evidence.arguments.get('port', '')}"
        case _:
            return ""
