"""terraform_apply: run exactly the saved plan that was approved, once; and say after a crash what became of it."""

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import Any, Final

from pydantic import Field

from bot.domain.calls import Prepared, ToolCall
from bot.domain.ids import Json
from bot.domain.ports import Cannot, Done, Scope, Watch
from tools.attendance import attend
from tools.confine import write_whole
from tools.estate import estate_lock
from tools.process import Child
from tools.run_directory import NotStarted, Running, Tail, seconds_since
from tools.snapshot import ChangedError, Snapshots
from tools.terraform_cli import FLAG, PLAN_FILE, Bench, Bounds
from tools.terraform_outcome import Ending, Planned, Progress, tell_ending
from tools.terraform_plan import Seen, UnusablePlanError, is_empty, machines_of_state, summarise
from tools.terraform_state import DamagedStateError, state_of
from tools.terraform_workshop import (
    ABOUT,
    CODE,
    UnknownPlanError,
    Workshop,
    check_binary,
    in_use,
    plan_pins,
    run_name,
)
from tools.typed import Arguments, TypedTool, answer

ID_DIGITS: Final = 12
RUN_S: Final = 3000.0  # with its grace period less than timeout_s
WAIT_S: Final = 0.5
OPTIONS: Final[Mapping[str, object]] = {"no_color": FLAG, "input": False, "json": FLAG, "lock_timeout": "30s"}


class ApplyArguments(Arguments):
    plan: str = Field(description="the id that terraform_plan said, at least 8 digits", min_length=8, max_length=64)
    words: str = Field(description="why, in one sentence, for the people who approve", max_length=500)


class Work:
    """One apply: its folder, its run, its state. The same for the worker that starts it and the one that recovers."""

    def __init__(self, workshop: Workshop, prepared: Prepared, scope: Scope) -> None:
        self.workshop = workshop
        self.store = workshop.snapshots(scope)
        self.revision = prepared.snapshot
        directory = str(prepared.binding["directory"])
        self.state = workshop.state(scope, directory)
        self.bench = workshop.bench(scope, run_name(prepared), directory)
        self.run = self.bench.run("apply")

    def lay_out(self, pins: Mapping[str, str]) -> None:
        """Verify every byte, back the state up, make the private copy. Raises FileExistsError where it was begun
        before, ChangedError or DamagedStateError where nothing may run.
        """
        if self.bench.root.exists():
            raise FileExistsError(self.bench.root)
        manifest = self.store.load(self.revision)
        now = plan_pins(self.store, manifest, self.state, self.workshop.toolchain)
        differ = [name for name in {*now, *pins} if now.get(name) != pins.get(name)]
        if differ:
            raise ChangedError(f"{', '.join(sorted(differ))} changed since the approval was asked")
        self.state.ensure()
        self.state.back_up()
        self.workshop.lay_out(self.bench, self.store, manifest, None)

    def note(self, before: Sequence[Seen] | None) -> Planned:
        """Write down, before anything runs, what the plan means to do and what Proxmox has."""
        summary = self.workshop.summary(self.store, self.store.load(self.revision))
        effect = summary.effect
        count = effect.create + effect.change + effect.destroy
        planned = Planned(count, summary.addresses, summary.creates, None if before is None else tuple(before))
        write_whole(self.bench.root / "planned.json", asdict(planned))
        return planned

    def noted(self) -> Planned:
        return Planned.read(self.bench.root / "planned.json")

    def forget(self) -> None:
        """Delete what of the snapshot holds values in clear, and the private copy of it: this plan is used up.

        What Terraform could not write into the state (errored.tfstate) stays for the operator.
        """
        with contextlib.suppress(KeyError, ChangedError):  # a changed list of files names nothing that can be trusted
            self.store.forget(self.revision, *secret_files(self.bench))
        if not (self.bench.here / "errored.tfstate").exists():
            self.bench.clear()
        else:
            (self.bench.here / PLAN_FILE).unlink(missing_ok=True)

    def start(self) -> Child:
        bounds = Bounds(
            write=(self.state.folder,), timeout_s=RUN_S, survives=True, **self.workshop.online(self.bench, write=True)
        )
        return self.bench.start("apply", PLAN_FILE, options=OPTIONS, bounds=bounds)


class TerraformApply(TypedTool[ApplyArguments]):
    """`terraform_apply`."""

    name = "terraform_apply"
    description = (
        "Apply a plan made by terraform_plan, after people approved it. Takes the plan's id only. Not for code that "
        "changed since: plan again. Never call it twice for one plan."
    )
    timeout_s = 3600.0
    durable = True
    arguments = ApplyArguments

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    async def prepare(self, call: ToolCall, arguments: ApplyArguments, scope: Scope) -> Prepared | Cannot:
        missing = check_binary(self._workshop.toolchain.binary)
        if missing:
            return Cannot(missing, "terraform")
        try:
            return await self._prepare(call, arguments, scope)
        except (UnknownPlanError, ChangedError, UnusablePlanError, DamagedStateError) as error:
            return Cannot(str(error), "terraform plan")

    async def _prepare(self, call: ToolCall, arguments: ApplyArguments, scope: Scope) -> Prepared | Cannot:
        workshop, store = self._workshop, self._workshop.snapshots(scope)
        revision, manifest = await asyncio.to_thread(workshop.find_plan, scope, arguments.plan)
        state = workshop.state(scope, manifest.facts["directory"])
        if any(manifest.facts[name] != pin for name, pin in (await asyncio.to_thread(state.pins)).items()):
            bench = workshop.bench(
                scope, revision[:ID_DIGITS], manifest.facts["directory"]
            )  # for its paths: none is made
            await asyncio.to_thread(store.forget, revision, *secret_files(bench))
            return Cannot(
                "The state moved since this plan was made (it was applied, or another was): plan again.", "pins"
            )
        plan = await asyncio.to_thread(workshop.plan_json, store, manifest)
        if is_empty(plan):
            return Cannot("This plan changes nothing, so there is nothing to apply.", "terraform plan")
        pins = await asyncio.to_thread(plan_pins, store, manifest, state, workshop.toolchain)
        if manifest.facts["terraform.sha256"] != pins["terraform.sha256"]:
            return Cannot("Terraform itself was exchanged since this plan was made: plan again.", "pins")
        lock, mission = estate_lock(scope.mission.estate), str(scope.mission.id)
        taken = await workshop.locks.lock(lock, mission, f"terraform plan {revision[:ID_DIGITS]}")
        if taken:
            return Cannot(in_use(taken), "estate lock")
        binding: dict[str, Json] = {
            "tool": call.tool,
            "plan": revision,
            "directory": manifest.facts["directory"],
            "estate": scope.mission.estate,
            "environment": scope.mission.environment,
            "pins": pins,
        }
        text = store.take(manifest, "about/plan.txt").decode(errors="replace")
        return Prepared(
            call=call,
            effect=summarise(plan).effect,
            binding=binding,
            snapshot=revision,
            pins=pins,
            revision=revision,
            full_text=text,
            alike=_alike(manifest.facts, plan, pins),
        )

    async def pins(self, prepared: Prepared, arguments: ApplyArguments) -> Mapping[str, str]:  # noqa: ARG002 - the port's shape
        """As they are now; what cannot be read gives a pin that fits nothing."""
        estate = self._workshop.estates.named(str(prepared.binding["estate"]))
        store = Snapshots(estate.snapshots)
        try:
            manifest = await asyncio.to_thread(store.load, prepared.snapshot)
            state = state_of(estate, manifest.facts["directory"])
            return await asyncio.to_thread(plan_pins, store, manifest, state, self._workshop.toolchain)
        except (KeyError, ChangedError, DamagedStateError) as error:
            return {"unreadable": str(error)}

    async def run(self, prepared: Prepared, arguments: ApplyArguments, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002
        work = Work(self._workshop, prepared, scope)
        try:
            await asyncio.to_thread(work.lay_out, prepared.pins)
            planned = work.note(await self._workshop.census())
        except FileExistsError:
            return answer(prepared, "refused", "This apply was begun before; terraform_state says what there is.")
        except (KeyError, ChangedError, DamagedStateError) as error:
            await asyncio.to_thread(work.forget)
            return answer(prepared, "refused", f"Nothing was run: {error}. Plan again.")
        began = time.monotonic()
        tail, progress = Tail(work.run.stdout), Progress()
        child = work.start()

        def tell() -> tuple[str, ...]:
            progress.hear(tail.lines())
            words = [f"{progress.finished} of {planned.count} resources", seconds_since(began)]
            words += [f"now {', '.join(planned.names(progress.under_way[:3]))}"] if progress.under_way else []
            words += ["stopping after what is under way"] if watch.stopping() else []
            return ("Terraform apply", *words)

        end = await attend(child, watch, tell)
        progress.hear(tail.lines(last=True))
        return await self._conclude(prepared, scope, work, Ending(end, progress, planned, stopped=watch.stopping() > 0))

    async def recover(self, prepared: Prepared, arguments: ApplyArguments, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002
        work = Work(self._workshop, prepared, scope)
        began, stops = time.monotonic(), 0
        status = work.run.status()
        while isinstance(status, Running) or work.state.locked():
            await watch.progress("Terraform apply", "waits for the process of the earlier worker", seconds_since(began))
            wanted = min(watch.stopping(), 2)
            if wanted > stops:
                work.run.interrupt(force=wanted > 1)
                stops = wanted
            if not watch.alive():
                return answer(
                    prepared, "unknown_outcome", "The Terraform of an earlier worker still runs.", changed=True
                )
            await asyncio.sleep(WAIT_S)
            status = work.run.status()
        if isinstance(status, NotStarted):
            await self._workshop.locks.unlock(estate_lock(scope.mission.estate), str(scope.mission.id))
            await asyncio.to_thread(work.forget)
            text = "Nothing was run: the program stopped before Terraform began. Plan and ask again."
            return answer(prepared, "failed", text, facts={"created": 0, "changed": 0, "destroyed": 0, "orphans": []})
        progress = Progress()
        progress.hear(Tail(work.run.stdout).lines(last=True))
        planned = work.noted()
        await watch.progress("Terraform apply", f"{progress.finished} of {planned.count} resources")
        ending = Ending(status, progress, planned, stopped=stops > 0, recovered=True)
        return await self._conclude(prepared, scope, work, ending)

    async def _conclude(self, prepared: Prepared, scope: Scope, work: Work, ending: Ending) -> Done:
        """Compare what Terraform said with the state and with Proxmox, and say it."""
        await asyncio.to_thread(work.state.close)
        seen = await self._workshop.census()
        try:
            state: Mapping[str, Any] | str = await asyncio.to_thread(work.state.read)
        except DamagedStateError as error:
            state = str(error)
        told = tell_ending(ending, state, seen)
        if (
            ending.end != "left"
        ):  # an approval is used once: however it went, this plan is applied never again (rule 24)
            await asyncio.to_thread(work.forget)
        lines = await self._enrol(prepared, scope, ending, state)
        if told.status == "ok":
            await self._workshop.locks.unlock(estate_lock(scope.mission.estate), str(scope.mission.id))
        facts = {**told.facts, "root": str(prepared.binding["directory"])}
        return answer(prepared, told.status, "\n".join((told.text, *lines)), facts=facts, changed=True)

    async def _enrol(
        self, prepared: Prepared, scope: Scope, ending: Ending, state: Mapping[str, Any] | str
    ) -> Sequence[str]:
        """The machines that exist now join the estate's inventory, those that are gone leave it."""
        if self._workshop.enrol is None or isinstance(state, str) or ending.end == "left":
            return ()
        machines = machines_of_state(state)
        fresh = {m.vmid for m in machines if m.address in ending.progress.created}
        directory = str(prepared.binding["directory"])
        return await self._workshop.enrol(scope.mission.estate, directory, prepared.snapshot, machines, fresh)


def secret_files(bench: Bench) -> tuple[str, str]:
    """What of a plan's snapshot holds values in clear."""
    return f"{CODE}{bench.prefix}{PLAN_FILE}", f"{ABOUT}plan.json"


def _alike(facts: Mapping[str, str], plan: Mapping[str, Any], pins: Mapping[str, str]) -> tuple[str, ...]:
    """Every plan has an id of its own. Equal code on an equal state is the same wish, and so are equal changes of it,
    whatever was edited beside them.
    """
    state = {name: pin for name, pin in pins.items() if name.startswith("state.")}
    code = {"code": facts["code"], "destroy": facts["destroy"]}
    changes = {name: plan.get(name) for name in ("resource_changes", "output_changes")}
    return tuple(
        sha256(json.dumps([what, facts["directory"], state], sort_keys=True).encode()).hexdigest()
        for what in (code, changes)
    )
