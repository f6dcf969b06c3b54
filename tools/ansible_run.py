"""`ansible_run`: run exactly the playbook that was checked and approved, once; and say after a crash what became of it."""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from pydantic import Field

from bot.domain.calls import CallClass, Effect, Item, Prepared, Target, ToolCall
from bot.domain.ids import Json
from bot.domain.ports import Cannot, Done, Scope, Watch
from tools.ansible_bench import Bench
from tools.ansible_events import Ending, Progress, tell
from tools.ansible_scan import Scan
from tools.ansible_workshop import (
    ABOUT,
    ID_DIGITS,
    Asked,
    PlaybookWorkshop,
    UnknownCheckError,
    run_name,
    texts,
)
from tools.attendance import attend
from tools.estate import estate_in_use, estate_lock
from tools.hosts import Host, HostsFileError
from tools.run_directory import NotStarted, Running, Tail, seconds_since
from tools.snapshot import ChangedError, Manifest
from tools.typed import Arguments, TypedTool, answer

RUN_S: Final = 3300.0  # with its grace period less than timeout_s
WAIT_S: Final = 0.5
ORDER: Final = (
    CallClass.FORBIDDEN,
    CallClass.DESTROY,
    CallClass.UNKNOWN,
    CallClass.CHANGE,
    CallClass.SENSITIVE_READ,
    CallClass.READ,
)


class RunArguments(Arguments):
    check: str = Field(description="the id that ansible_check said, at least 8 digits", min_length=8, max_length=64)
    words: str = Field(description="why, in one sentence, for the people who approve", max_length=500)


class AnsibleRun(TypedTool[RunArguments]):
    """`ansible_run`."""

    name = "ansible_run"
    description = (
        "Run a playbook that ansible_check looked at, after people approved it. Takes the check's id only: files, "
        "options and variables are those of the check. Not for code that changed since: check again. Running the same "
        "playbook a second time, to show that it changes nothing, takes a new check."
    )
    timeout_s = 3600.0
    durable = True
    arguments = RunArguments

    def __init__(self, workshop: PlaybookWorkshop) -> None:
        self._workshop = workshop

    async def prepare(self, call: ToolCall, arguments: RunArguments, scope: Scope) -> Prepared | Cannot:
        if missing := self._workshop.kit.missing:
            return Cannot(f"No playbook can run here: {missing}.", "ansible")
        try:
            return await self._prepare(call, arguments, scope)
        except (UnknownCheckError, ChangedError, HostsFileError) as error:
            return Cannot(str(error), "ansible_check")

    async def _prepare(self, call: ToolCall, arguments: RunArguments, scope: Scope) -> Prepared | Cannot:
        workshop, mission = self._workshop, scope.mission
        store = workshop.snapshots(mission.estate)
        revision, manifest = await asyncio.to_thread(workshop.find, scope, arguments.check)
        asked = Asked.of(store.take(manifest, f"{ABOUT}asked.json").decode())
        pins = await asyncio.to_thread(workshop.pins, mission.estate, manifest)
        hosts = workshop.roster_of(mission.estate).hosts()
        names = texts(manifest.facts["hosts"])
        gone = [name for name in names if name not in hosts]
        changed = [
            *([f"{', '.join(gone)} left the inventory"] if gone else []),
            *(["Ansible itself was exchanged"] if manifest.facts["ansible"] != pins["ansible"] else []),
            *(["the site's variables changed"] if manifest.facts["site"] != pins["site_variables.sha256"] else []),
        ]
        if changed:
            what = changed[0][:1].upper() + changed[0][1:]
            return Cannot(f"{what} since this was checked: check again.", "pins")
        contents = await asyncio.to_thread(workshop.contents, store, manifest)
        scanned = await asyncio.to_thread(workshop.scan, contents, asked.play.playbook, scope, hosts)
        if scanned.wrong:
            return Cannot(f"It is refused by now: {scanned.wrong[0]}. Check again.", "ansible_check")
        if in_use := await estate_in_use(workshop.locks, scope, f"playbook {revision[:ID_DIGITS]}", "Check again"):
            return in_use
        binding: dict[str, Json] = {
            "tool": call.tool,
            "check": revision,
            "asked": asked.as_json(),
            "estate": mission.estate,
            "hosts": list(names),
            "pins": pins,
        }
        text = store.take(manifest, f"{ABOUT}found.txt").decode(errors="replace")
        effect = effect_of(asked, scanned, manifest, [hosts[name] for name in names])
        return Prepared(call, effect, binding, snapshot=revision, pins=pins, full_text=text)

    async def pins(self, prepared: Prepared, arguments: RunArguments) -> Mapping[str, str]:  # noqa: ARG002 - port
        """As they are now; what cannot be read gives a pin that fits nothing."""
        estate = str(prepared.binding["estate"])
        try:
            manifest = await asyncio.to_thread(self._workshop.snapshots(estate).load, prepared.snapshot)
            return await asyncio.to_thread(self._workshop.pins, estate, manifest)
        except (KeyError, ChangedError, HostsFileError) as error:
            return {"unreadable": str(error)}

    async def run(self, prepared: Prepared, arguments: RunArguments, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002 - port
        workshop, estate = self._workshop, scope.mission.estate
        store = workshop.snapshots(estate)
        bench = workshop.bench(estate, run_name(prepared))
        try:
            manifest = await asyncio.to_thread(store.load, prepared.snapshot)
            site = workshop.site.read()  # before the pins are compared, so that what is used is what they say
            now = await asyncio.to_thread(workshop.pins, estate, manifest)
            differ = sorted(name for name in {*now, *prepared.pins} if now.get(name) != prepared.pins.get(name))
            if differ:
                return answer(prepared, "refused", f"Nothing was run: {', '.join(differ)} changed. Check again.")
            hosts = workshop.roster_of(estate).hosts()
            asked = Asked.of(store.take(manifest, f"{ABOUT}asked.json").decode())
            await asyncio.to_thread(bench.lay_out, store, manifest, list(hosts.values()), asked.extra, site)
        except FileExistsError:
            return answer(prepared, "refused", "This run was begun before; look at the hosts with ssh.")
        except (KeyError, ChangedError, HostsFileError) as error:
            return answer(prepared, "refused", f"Nothing was run: {error}. Check again.")
        wanted, total = tuple(texts(manifest.facts["hosts"])), int(manifest.facts["total"])
        ports = sorted({hosts[name].port for name in wanted})
        child = bench.start("run", asked.play, "--diff", ports=ports, survives=True, timeout_s=RUN_S)
        began, tail, progress = time.monotonic(), Tail(child.run.stdout), Progress()

        def said() -> tuple[str, ...]:
            progress.hear(tail.lines())
            stopping = ("stopping",) if watch.stopping() else ()
            return ("Ansible", *progress.words(total), seconds_since(began), *stopping)

        end = await attend(child, watch, said)
        progress.hear(tail.lines(last=True))
        ending = Ending(end, progress, wanted, total, stopped=watch.stopping() > 0)
        return await self._conclude(prepared, scope, bench, ending, asked.play.playbook)

    async def recover(self, prepared: Prepared, arguments: RunArguments, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002 - port
        """Wait until the playbook of the dead worker is gone, then say what is known of each host. Runs nothing again."""
        bench = self._workshop.bench(scope.mission.estate, run_name(prepared))
        run, began, stops = bench.run("run"), time.monotonic(), 0
        status = run.status()
        while isinstance(status, Running):
            await watch.progress("Ansible", "waits for the playbook of the earlier worker", seconds_since(began))
            wanted = min(watch.stopping(), 2)
            if wanted > stops:
                run.interrupt(force=wanted > 1)
                stops = wanted
            if not watch.alive():
                return answer(
                    prepared, "unknown_outcome", "The playbook of an earlier worker still runs.", changed=True
                )
            await asyncio.sleep(WAIT_S)
            status = run.status()
        if isinstance(status, NotStarted):
            await self._unlock(scope)
            text = "Nothing was run: the program stopped before Ansible began. Check and ask again."
            return answer(prepared, "failed", text, facts={"changed": 0, "orphans": []})
        progress = Progress()
        progress.hear(Tail(run.stdout).lines(last=True))
        manifest = await asyncio.to_thread(self._workshop.snapshots(scope.mission.estate).load, prepared.snapshot)
        hosts, total = tuple(texts(manifest.facts["hosts"])), int(manifest.facts["total"])
        ending = Ending(status, progress, hosts, total, stopped=stops > 0, recovered=True)
        return await self._conclude(prepared, scope, bench, ending, manifest.facts["playbook"])

    async def _conclude(self, prepared: Prepared, scope: Scope, bench: Bench, ending: Ending, playbook: str) -> Done:
        told = tell(ending, playbook)
        if ending.end != "left":
            await asyncio.to_thread(bench.clear)
        if told.status == "ok":
            await self._unlock(scope)
        return answer(prepared, told.status, told.text, facts={**told.facts, "orphans": []}, changed=True)

    async def _unlock(self, scope: Scope) -> None:
        await self._workshop.locks.unlock(estate_lock(scope.mission.estate), str(scope.mission.id))


def effect_of(asked: Asked, scanned: Scan, manifest: Manifest, hosts: list[Host]) -> Effect:
    """What the card shows: tasks by what they can do, the dry run's word, what was not understood."""
    acting = [step for step in scanned.steps if step.cls is not CallClass.READ]
    acting.sort(key=lambda step: ORDER.index(step.cls))
    worst = next((step.why for step in acting if step.cls is scanned.cls), "every task only reads")
    notes = [manifest.facts["dry"], manifest.facts["lint"]]
    notes += [f"Not understood: {one}" for one in scanned.unknown[:5]]
    notes += [f"Runs in a dry run too (check_mode: false): {s.name}" for s in scanned.steps if s.unchecked][:5]
    overrides = texts(manifest.facts["overrides"])
    notes += [f"Overrides the site's {', '.join(overrides)}."] if overrides else []
    notes += [f"On {', '.join(f'{host.name} ({host.place})' for host in hosts)}."]
    return Effect(
        cls=scanned.cls,
        rule=f"ansible: {scanned.cls}",
        reason=str(scanned.unknown[0]) if scanned.unknown else worst,
        title=f"Run playbook {asked.words}",
        targets=tuple(Target("host", host.name) for host in hosts),
        items=tuple(Item("update", step.name, f"{step.cls}, {step.why}") for step in acting),
        change=len(acting),
        destroy=sum(step.cls is CallClass.DESTROY for step in acting),
        undo="none by itself: a playbook that restores what was",
        notes=tuple(notes),
    )
