"""`fault_drill`: take machines away, one after the other, while probes run, and give them back whatever happens.

What is away is written down before it is taken. It is given back at the end, on STOP, on an error, when the worker's lease
is lost, and after a restart of the program (`recover`). A drill that gave everything back changed nothing: evidence that
was recorded before it still counts.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, cast

from pydantic import Field, model_validator

from bot.domain.calls import CallClass, Effect, Item, Prepared, ResultStatus, Target, ToolCall
from bot.domain.ids import Json
from bot.domain.ports import Cannot, Done, Scope, Watch
from bot.domain.storage import Locks
from tools.drill_course import PACE, Asking, Course, Pace, Round, facts_of, following, over
from tools.drill_probes import Ask, Probe, asks, refused
from tools.drill_recovery import Recovery
from tools.estate import Estates, estate_in_use, estate_lock
from tools.hosts import HostsFileError, Roster
from tools.kubernetes_api import Clusters
from tools.proxmox_api import ProxmoxError
from tools.proxmox_power import TASK_S, Power, Vm, What
from tools.targets import Targets
from tools.trace import Trace
from tools.typed import Arguments, TypedTool, answer

RULE: Final = "fault_drill"
STOPPED: Final = "STOP was pressed"
LONGEST_S: Final = 2400  # of all faults together
STOPS: Final[Mapping[str, What]] = {"power_off": "power", "network_cut": "network"}
WORDS: Final[Mapping[str, str]] = {"power_off": "power off", "network_cut": "cut the network of"}


class DrillArguments(Arguments):
    targets: list[str] = Field(min_length=1, max_length=5, description="machines of the estate, taken away in turn")
    stop: Literal["power_off", "network_cut"] = "power_off"
    seconds: int = Field(60, ge=5, le=600, description="how long each is away")
    probes: list[Probe] = Field(min_length=1, max_length=6, description="what has to go on meanwhile")
    words: str = Field(description="what it shows, in one sentence, for the people who approve", max_length=500)

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        names = [one.name for one in self.probes]
        if len(set(self.targets)) < len(self.targets) or len(set(names)) < len(names):
            raise ValueError("targets and probes each have names of their own")
        if self.seconds * len(self.targets) > LONGEST_S:
            raise ValueError(f"all together at most {LONGEST_S} s")
        return self


@dataclass(frozen=True, slots=True)
class DrillYard:
    """What the tool needs from outside."""

    power: Power
    clusters: Clusters
    targets: Targets
    estates: Estates
    roster_of: Callable[[str], Roster]
    locks: Locks
    pace: Pace = PACE


class FaultDrill(TypedTool[DrillArguments]):
    """`fault_drill`."""

    name = RULE
    description = (
        "Show that something goes on while a machine is away: each target in turn is powered off, or cut from the network, for "
        "some seconds while every probe is asked four times a second, and given back at the end, on STOP and after a crash. One "
        "approval for all of it. Says the share of answers and the longest outage per probe. Targets are machines that plans of "
        "this estate made; it begins only while every probe answers."
    )
    timeout_s = 9000.0  # 2400 s away, and five times until steady, away, given back and whole
    durable = True
    arguments = DrillArguments

    def __init__(self, yard: DrillYard) -> None:
        self._yard = yard

    async def prepare(self, call: ToolCall, arguments: DrillArguments, scope: Scope) -> Prepared | Cannot:
        yard, estate = self._yard, scope.mission.estate
        if not yard.power.write.token:
            return Cannot("No token can stop machines: WATCHBILL_PROXMOX_WRITE_TOKEN is not set.", RULE)
        try:
            vms = await asyncio.to_thread(self._find, estate, arguments.targets)
        except (ProxmoxError, HostsFileError, NotOursError) as error:
            return Cannot(str(error), RULE)
        if arguments.stop == "network_cut" and (more := await asyncio.to_thread(self._uncuttable, vms)):
            return Cannot(more, RULE)
        if still := [one.name for one in vms if one.status != "running"]:
            return Cannot(f"{', '.join(still)} does not run: there is nothing to take away.", RULE)
        wrong = await self._unanswered(arguments.probes, estate)
        if wrong:
            return Cannot(f"It begins only while every probe answers. {'; '.join(wrong)}.", RULE)
        if in_use := await estate_in_use(yard.locks, scope, "fault drill"):
            return in_use
        plain = arguments.model_dump(mode="json", exclude={"words"})
        binding: dict[str, Json] = {"tool": call.tool, "estate": estate, "arguments": plain}
        pins = {f"vm.{one.name}": one.pin for one in vms}
        return Prepared(call, effect_of(arguments, vms), binding, pins=pins, full_text=_whole(arguments, vms))

    async def pins(self, prepared: Prepared, arguments: DrillArguments) -> Mapping[str, str]:
        try:
            vms = await asyncio.to_thread(self._find, str(prepared.binding["estate"]), arguments.targets)
        except (ProxmoxError, HostsFileError, NotOursError) as error:
            return {"unreadable": str(error)}
        return {f"vm.{one.name}": one.pin for one in vms}

    async def run(self, prepared: Prepared, arguments: DrillArguments, scope: Scope, watch: Watch) -> Done:
        estate = str(prepared.binding["estate"])
        course = Course(Trace.of(self._yard.estates, prepared), STOPS[arguments.stop])
        if not course.trace.begin({"what": course.what, "away": []}):
            return answer(prepared, "refused", "This drill was begun before; proxmox_read vms says what runs.")
        status: ResultStatus = "ok"
        ended = ""
        try:
            vms = await asyncio.to_thread(self._find, estate, arguments.targets)
            for vm in vms:
                if ended := await self._round(vm, arguments, estate, course, watch):
                    break
        except (ProxmoxError, HostsFileError, NotOursError) as error:
            ended = str(error)
        finally:  # also where this is cancelled: nothing stays away
            problem = await asyncio.shield(self._give_all(course))
        if ended or problem:
            status = "interrupted" if (watch.stopping() or not watch.alive()) and not problem else "failed"
        return await self._conclude(prepared, scope, course, status, ended, problem)

    async def recover(self, prepared: Prepared, arguments: DrillArguments, scope: Scope, watch: Watch) -> Done:
        """Give back what the dead worker took away, and say so. The drill itself does not go on."""
        trace = Trace.of(self._yard.estates, prepared)
        noted, notes = trace.read(), cast("Mapping[str, Any]", trace.notes() or {})
        if noted is None:
            return answer(prepared, "failed", "The program stopped before anything was taken away. Ask again.")
        away = [Vm(**one) for one in notes.get("away", [])]
        course = Course(trace, notes.get("what", STOPS[arguments.stop]), list(away))
        if away:
            course.doubted = True  # what the dead worker sent may still be under way
            await watch.progress("Fault drill", "gives back", ", ".join(one.name for one in away))
        problem = await self._give_all(course)
        if noted[0] and not away:
            status: ResultStatus = "ok" if noted[0] == "ok" else "failed"
            return answer(prepared, status, noted[1], facts={"restored": True, "orphans": []})
        given = f" {', '.join(one.name for one in away)} was away and runs again." if away and not problem else ""
        ended = f"The program stopped during the drill.{given} What the probes saw is lost: propose it again."
        return await self._conclude(prepared, scope, course, "failed" if problem else "interrupted", ended, problem)

    def _find(self, estate: str, names: Sequence[str]) -> list[Vm]:
        """Machines of this estate's plans, as Proxmox has them. Raises NotOursError, ProxmoxError, HostsFileError."""
        roster = self._yard.roster_of(estate)
        ours = {one.name: one.vmid for one in roster.awaited()}
        ours |= {host.name: host.vmid for host in roster.hosts().values() if host.vmid}
        there = self._yard.power.machines()
        found: list[Vm] = []
        for name in names:
            vm = there.get(ours.get(name, 0))
            if vm is None or vm.name != name:
                raise NotOursError(
                    f"{name} is no machine of this estate's plans ({', '.join(sorted(ours)) or 'none'})."
                )
            found.append(vm)
        return found

    def _uncuttable(self, vms: Sequence[Vm]) -> str:
        try:
            return "; ".join(problem for problem in map(self._yard.power.uncuttable, vms) if problem)
        except ProxmoxError as error:
            return str(error)

    async def _unanswered(self, probes: Sequence[Probe], estate: str) -> list[str]:
        wrong: list[str] = []
        for probe in probes:
            why = await refused(probe, self._yard.targets) or await self._ask(probe, estate)()
            wrong += [f"{probe.name}: {why}"] if why else []
        return wrong

    def _ask(self, probe: Probe, estate: str) -> Ask:
        return asks(probe, self._yard.targets, self._yard.clusters, estate)

    async def _round(self, vm: Vm, arguments: DrillArguments, estate: str, course: Course, watch: Watch) -> str:
        """One target: steady, taken, asked, given, whole again. Returns why the drill ends here, or ""."""
        pace, power = self._yard.pace, self._yard.power
        asking = Asking({one.name: self._ask(one, estate) for one in arguments.probes}, pace, watch)
        before = await asking.phase(f"{vm.name} is next: probes", pace.back_s, asking.fresh())
        if over(watch):
            return STOPPED
        if not asking.steady(before):
            quiet = ", ".join(f"{name}: {one.problem}" for name, one in before.items() if one.streak < pace.steady)
            return f"{vm.name} was left alone: not every probe answered steadily ({quiet})"
        recovery = Recovery(self._yard.clusters, estate, vm.name, restarted=course.what == "power")
        if any(one.kind == "kubernetes" for one in arguments.probes):
            await recovery.look()
        course.away.append(vm)
        await asyncio.to_thread(course.note)  # before it is taken: whoever comes later knows
        taking = course.taking = asyncio.ensure_future(
            asyncio.to_thread(power.take, vm, course.what, pace.going_s, pace.look_s)
        )
        going = await asking.phase(f"{vm.name} goes", 2 * pace.going_s + TASK_S, following(before), taking.done)
        await asyncio.shield(taking)  # its error is the drill's, and leaves the machine in doubt
        began = time.monotonic()
        during = await asking.phase(f"{vm.name} away", arguments.seconds, following(going), lambda: False)
        off_s = time.monotonic() - began
        giving = asyncio.ensure_future(self._give_all(course))
        returning = await asking.phase(f"{vm.name} comes back", pace.restore_s, following(during), giving.done)
        if problem := await asyncio.shield(giving):
            return problem
        after = following(returning)
        async with recovery.watched():
            whole = lambda: asking.steady(after) and not recovery.lacking  # noqa: E731
            await asking.phase(f"{vm.name} is back: probes", pace.back_s, after, whole)
        back_s = time.monotonic() - began - off_s
        course.rounds.append(Round(vm, before, going, during, returning, after, off_s, back_s))
        if over(watch):
            return STOPPED
        if not asking.steady(after):
            return f"after {vm.name} came back not every probe answers"
        return f"{vm.name} came back, and the cluster is {recovery.lacking}" if recovery.lacking else ""

    async def _give_all(self, course: Course) -> str:
        """Give back whatever is away, once at a time, whoever asks. Returns what could not be given back, or ""."""
        if course.giving is None or course.giving.done():
            course.giving = asyncio.ensure_future(self._give(course))
        return await asyncio.shield(course.giving)

    async def _give(self, course: Course) -> str:
        """Again and again for a while."""
        if course.taking is not None:  # given back before it was taken, it would be away in the end
            await asyncio.wait({course.taking})
            course.doubted = course.doubted or course.taking.cancelled() or course.taking.exception() is not None
        pace, began, problems = self._yard.pace, time.monotonic(), dict[str, str]()
        while course.away:
            for vm in list(course.away):
                try:
                    await self._give_one(vm, course)
                except ProxmoxError as error:
                    problems[vm.name] = str(error)
                    continue
                course.away.remove(vm)
                problems.pop(vm.name, None)
                await asyncio.to_thread(course.note)
            if course.away and time.monotonic() - began > pace.restore_s:
                break
            if course.away:
                await asyncio.sleep(pace.again_s)
        how = "start it" if course.what == "power" else "plug its net0 in"
        return "; ".join(
            f"{name} could not be given back ({why}): {how} by hand, in Proxmox" for name, why in problems.items()
        )

    async def _give_one(self, vm: Vm, course: Course) -> None:
        """A machine that was told to go, nobody knows how, may still go after it was found there: it is looked at again."""
        power, pace = self._yard.power, self._yard.pace
        await asyncio.to_thread(power.give, vm, course.what)
        looks = pace.looks if course.doubted else 0
        while looks:
            await asyncio.sleep(pace.again_s)
            gone = await asyncio.to_thread(power.away, vm, course.what)
            looks = looks if gone or await asyncio.to_thread(power.busy, vm) else looks - 1
            if gone:
                await asyncio.to_thread(power.give, vm, course.what)

    async def _conclude(
        self, prepared: Prepared, scope: Scope, course: Course, status: ResultStatus, ended: str, problem: str
    ) -> Done:
        restored = not course.away
        facts = facts_of(course.rounds, restored=restored)
        lines = [one.line for one in course.rounds]
        lines += [one for one in (ended, problem) if one]
        lines.append("Everything that was taken away is back." if restored else "NOT everything is back.")
        text = "\n".join(lines)
        await asyncio.to_thread(course.trace.end, status, text)
        if restored:
            await self._yard.locks.unlock(estate_lock(scope.mission.estate), str(scope.mission.id))
        return answer(prepared, status, text, facts=facts, changed=not restored)


class NotOursError(Exception):
    """The name is none of this estate's machines."""


def effect_of(arguments: DrillArguments, vms: Sequence[Vm]) -> Effect:
    names, away = ", ".join(one.name for one in vms), WORDS[arguments.stop]
    back = "start them again" if arguments.stop == "power_off" else "plug them in again"
    turns = " in turn" if len(vms) > 1 else ""
    return Effect(
        cls=CallClass.DESTROY,
        rule="fault drill",
        reason="takes machines away while people may use them",
        title=f"Fault drill: {away} {names}{turns}, {arguments.seconds} s each, and {back}",
        targets=tuple(Target("vm", one.name) for one in vms),
        items=tuple(Item("update", one.name, f"{away}, {arguments.seconds} s", one.node) for one in vms),
        change=len(vms),
        undo="none needed: it ends by itself",
        notes=(
            f"Probes while each is away: {'; '.join(one.words for one in arguments.probes)}.",
            (
                "Given back at the end, on STOP, when something fails, and after a restart of Watchbill. The next one is taken only "
                "when every probe answers again."
            ),
        ),
    )


def _whole(arguments: DrillArguments, vms: Sequence[Vm]) -> str:
    rows = [f"{one.name}: VM {one.vmid} on {one.node}, {one.status}" for one in vms]
    rows += [f"probe {one.words}" for one in arguments.probes]
    return "\n".join((f"{WORDS[arguments.stop]}, {arguments.seconds} s each", *rows)) + "\n"
