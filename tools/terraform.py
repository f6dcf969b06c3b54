"""terraform_validate, terraform_plan, terraform_show, terraform_output, terraform_state. Nothing here changes Proxmox.

The way of a plan: snapshot of the worktree → static allow list → private folder → init, fmt, validate, plan → snapshot
of everything an apply would read. Its revision is the plan's id.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from pydantic import Field

from bot.domain.calls import CallClass, Effect, Prepared, ToolCall
from bot.domain.ids import Json
from bot.domain.ports import Cannot, Done, Scope, Watch
from tools.attendance import attend
from tools.estate import estate_lock
from tools.folder import RefusedPathError
from tools.paths import check_path
from tools.run_directory import Ended, seconds_since
from tools.snapshot import ChangedError, Manifest
from tools.terraform_cli import (
    FLAG,
    PLAN_FILE,
    Bench,
    Bounds,
    Output,
    diagnostic_words,
    diagnostics,
    json_lines,
    json_object,
    read_output,
)
from tools.terraform_plan import UnusablePlanError, addresses_of_state, is_empty, summarise
from tools.terraform_state import DamagedStateError, State, state_outputs
from tools.terraform_workshop import (
    ABOUT,
    UnknownPlanError,
    Workshop,
    check_binary,
    in_use,
    read_files_words,
    run_name,
)
from tools.typed import Arguments, TypedTool, answer, bind, read_effect

RULE_SCAN: Final = "terraform static allow list"
ID_DIGITS: Final = 12
SHOWN: Final = 40  # lines of diagnostics or of a plan in one result
QUIET: Final[Mapping[str, object]] = {"no_color": FLAG}


class DirectoryArguments(Arguments):
    directory: str = Field(default=".", description='the folder with the .tf files, "." for the top', max_length=300)


class PlanArguments(DirectoryArguments):
    destroy: bool = Field(default=False, description="plan the removal of everything in this directory's state")


class ShowArguments(Arguments):
    plan: str = Field(description="a plan's id, at least 8 digits", min_length=8, max_length=64)


@dataclass(frozen=True, slots=True)
class Failed:
    """A step of the way that did not work, in words for the model."""

    text: str


async def examine(
    workshop: Workshop, call: ToolCall, arguments: DirectoryArguments, scope: Scope, purpose: str
) -> Prepared | Cannot:
    """What validate and plan begin with: snapshot, static allow list, class (rule 16)."""
    missing = check_binary(workshop.toolchain.binary)
    if missing:
        return Cannot(missing, "terraform")
    try:
        directory = check_path(arguments.directory, writing=False)
        manifest, result = await workshop.look(scope, directory)
    except RefusedPathError as error:
        return Cannot(str(error), RULE_SCAN)
    wrong = result.level("wrong")
    if wrong:
        return Cannot("Refused before anything was run:\n" + "\n".join(first(wrong, "the files")), RULE_SCAN)
    asks = result.level("unknown")
    effect = read_effect(RULE_SCAN, purpose)
    if asks:
        reason = "the code uses what is not on the static allow list; running it may execute code"
        effect = Effect(
            CallClass.UNKNOWN, RULE_SCAN, reason, title=f"Run {call.tool} in {directory}", notes=first(asks, "Details")
        )
    prepared = bind(call, effect, arguments, snapshot=manifest.revision)
    return replace(prepared, snapshot=manifest.revision, full_text="\n".join(asks))


def first(lines: Sequence[str], where: str) -> tuple[str, ...]:
    """As many as have room, and how many more there are and where."""
    more = (f"and {len(lines) - SHOWN} more in {where}",) if len(lines) > SHOWN else ()
    return (*lines[:SHOWN], *more)


class TerraformValidate(TypedTool[DirectoryArguments]):
    """`terraform_validate`."""

    name = "terraform_validate"
    description = (
        "Check Terraform code: static allow list, init, format, validate. Reads nothing from Proxmox; no plan."
    )
    timeout_s = 300.0
    arguments = DirectoryArguments

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    async def prepare(self, call: ToolCall, arguments: DirectoryArguments, scope: Scope) -> Prepared | Cannot:
        return await examine(self._workshop, call, arguments, scope, "checks code without reaching Proxmox")

    async def run(self, prepared: Prepared, arguments: DirectoryArguments, scope: Scope, watch: Watch) -> Done:
        directory = check_path(arguments.directory, writing=False)
        manifest = self._workshop.snapshots(scope).load(prepared.snapshot)
        way = Way(self._workshop, scope, prepared, manifest, directory, watch)
        try:
            failed = await way.check("Terraform validate")
            await way.clear()
        except (ChangedError, DamagedStateError) as error:
            return answer(prepared, "failed", str(error))
        if failed:
            return answer(prepared, "failed", failed.text)
        text = "\n".join(["valid", *way.notes])
        return answer(prepared, "ok", text, facts={"directory": directory, "valid": True})


class TerraformPlan(TypedTool[PlanArguments]):
    """`terraform_plan`."""

    name = "terraform_plan"
    description = (
        "Plan the Terraform code of a directory: what would be created, changed and destroyed. Changes nothing. Says the "
        "plan's id, which terraform_apply, terraform_show and scan take. After a change of the code plan again."
    )
    timeout_s = 900.0
    arguments = PlanArguments

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    async def prepare(self, call: ToolCall, arguments: PlanArguments, scope: Scope) -> Prepared | Cannot:
        return await examine(self._workshop, call, arguments, scope, "plans with the audit token; changes nothing")

    async def run(self, prepared: Prepared, arguments: PlanArguments, scope: Scope, watch: Watch) -> Done:
        workshop = self._workshop
        mission = str(scope.mission.id)
        lock = estate_lock(scope.mission.estate)
        taken = await workshop.locks.lock(lock, mission, "from plan to apply")
        if taken:
            return answer(prepared, "refused", in_use(taken))
        done = await self._plan(prepared, arguments, scope, watch)
        if not done.result.facts.get("changes"):
            await workshop.locks.unlock(lock, mission)
        return done

    async def _plan(self, prepared: Prepared, arguments: PlanArguments, scope: Scope, watch: Watch) -> Done:
        directory = check_path(arguments.directory, writing=False)
        workshop = self._workshop
        try:
            code = workshop.snapshots(scope).load(prepared.snapshot)
            way = Way(workshop, scope, prepared, code, directory, watch)
            try:
                failed = await way.check("Terraform plan") or await way.plan(destroy=arguments.destroy)
                if failed:
                    return answer(prepared, "failed", failed.text)
                plan, manifest = await way.seal(destroy=arguments.destroy)
            finally:
                await way.clear()
            return self._tell(prepared, plan, manifest, way)
        except (ChangedError, DamagedStateError, RefusedPathError, UnusablePlanError) as error:
            return answer(prepared, "failed", str(error))

    def _tell(self, prepared: Prepared, plan: Mapping[str, Any], manifest: Manifest, way: "Way") -> Done:
        summary = summarise(plan)
        effect = summary.effect
        empty = is_empty(plan)
        short = manifest.revision[:ID_DIGITS]
        lines = [
            f"Plan {short}: {summary.counts}",
            *first(summary.lines, f"terraform_show of plan {short}"),
            *way.notes,
        ]
        lines += ["Nothing to apply: what exists is what the code says."] if empty else []
        lines += [f"Files read: {way.files_words()}"]
        facts: dict[str, Json] = {
            "plan": manifest.revision,
            "revision": manifest.revision,
            "create": effect.create,
            "change": effect.change,
            "destroy": effect.destroy,
            "changes": not empty,
        }
        return answer(prepared, "ok", "\n".join(lines), facts=facts)


class TerraformShow(TypedTool[ShowArguments]):
    """`terraform_show`."""

    name = "terraform_show"
    together = True
    description = "The full text of a plan as Terraform prints it, sensitive values masked."
    arguments = ShowArguments

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    async def prepare(self, call: ToolCall, arguments: ShowArguments, scope: Scope) -> Prepared | Cannot:
        try:
            revision, _ = self._workshop.find_plan(scope, arguments.plan)
        except (UnknownPlanError, ChangedError) as error:
            return Cannot(str(error), "terraform")
        prepared = bind(call, read_effect("terraform", "shows a stored plan"), arguments, snapshot=revision)
        return replace(prepared, snapshot=revision)

    async def run(self, prepared: Prepared, arguments: ShowArguments, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002
        store = self._workshop.snapshots(scope)
        try:
            manifest = store.load(prepared.snapshot)
            text = store.take(manifest, f"{ABOUT}plan.txt").decode(errors="replace")
        except (ChangedError, UnusablePlanError) as error:
            return answer(prepared, "failed", str(error))
        facts: dict[str, Json] = {"plan": prepared.snapshot, "revision": prepared.snapshot}
        return answer(prepared, "ok", text, facts=facts)


class StateReader(TypedTool[DirectoryArguments]):
    """What output and state share: read the estate's state, run nothing."""

    together = True
    arguments = DirectoryArguments

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    async def prepare(self, call: ToolCall, arguments: DirectoryArguments, scope: Scope) -> Prepared | Cannot:  # noqa: ARG002
        try:
            check_path(arguments.directory, writing=False)
        except RefusedPathError as error:
            return Cannot(str(error), "terraform")
        return bind(call, read_effect("terraform", "reads the estate's own state"), arguments)

    async def read(self, arguments: DirectoryArguments, scope: Scope) -> Mapping[str, Any]:
        """Raises DamagedStateError."""
        state = self._workshop.state(scope, check_path(arguments.directory, writing=False))
        found = await asyncio.to_thread(state.read)
        self._workshop.learn(*(v.strip('"') for v, hidden in state_outputs(found).values() if hidden))
        return found


class TerraformOutput(StateReader):
    """`terraform_output`."""

    name = "terraform_output"
    description = "The outputs of the applied code of a directory. Sensitive ones are masked. Nothing here is proof that a machine answers."

    async def run(self, prepared: Prepared, arguments: DirectoryArguments, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002
        try:
            outputs = state_outputs(await self.read(arguments, scope))
        except DamagedStateError as error:
            return answer(prepared, "failed", str(error))
        lines = [f"{name} = {'(sensitive)' if hidden else value}" for name, (value, hidden) in sorted(outputs.items())]
        return answer(prepared, "ok", "\n".join(lines) or "No outputs.", facts={"outputs": len(outputs)})


class TerraformStateList(StateReader):
    """`terraform_state`."""

    name = "terraform_state"
    description = (
        "The resources in the Terraform state of a directory: addresses and ids. For what really runs use proxmox_read."
    )

    async def run(self, prepared: Prepared, arguments: DirectoryArguments, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002
        try:
            state = await self.read(arguments, scope)
        except DamagedStateError as error:
            return answer(prepared, "failed", str(error))
        lines = addresses_of_state(state)
        head = f"{len(lines)} resources, serial {state.get('serial', 'none')}"
        facts: dict[str, Json] = {"resources": list(lines)}
        return answer(prepared, "ok", "\n".join((head, *lines)) if lines else "The state is empty.", facts=facts)


class Way:
    """The way of one plan through init, fmt, validate and plan, in one private folder."""

    def __init__(
        self, workshop: Workshop, scope: Scope, prepared: Prepared, code: Manifest, directory: str, watch: Watch
    ) -> None:
        self._workshop = workshop
        self._store = workshop.snapshots(scope)
        self._scope = scope
        self._code = code
        self._watch = watch
        self._state: State = workshop.state(scope, directory)
        self._bench: Bench = workshop.bench(scope, run_name(prepared), directory)
        self._parts: list[str] = []
        self.notes: list[str] = []

    async def check(self, title: str) -> Failed | None:
        """Unpack, init, fmt, validate."""
        self._parts = [title]
        await asyncio.to_thread(self._workshop.lay_out, self._bench, self._store, self._code, self._state)
        began = time.monotonic()
        options = {**QUIET, "input": False}
        init = await self._step("init", options, self._workshop.init_bounds(self._state))
        if not init.ok:
            return Failed(f"terraform init failed ({init.why}):\n{_tail(init.err or init.out)}")
        self._parts.append(f"init {seconds_since(began)}")
        fmt = await self._step("fmt", {**QUIET, "check": FLAG, "list": True}, self._workshop.bounds(None))
        if not fmt.ok and fmt.out.strip():
            self.notes.append(f"Not formatted as `terraform fmt` would: {', '.join(fmt.out.split())}")
        found = await self._step("validate", {**QUIET, "json": FLAG}, self._workshop.bounds(self._state))
        said = json_object(found.out)
        words = [diagnostic_words(d) for d in cast("list[Mapping[str, Any]]", said.get("diagnostics") or [])]
        if not found.ok or not said.get("valid"):
            return Failed("terraform validate:\n" + ("\n".join(words[:SHOWN]) or _tail(found.err or found.out)))
        self.notes += words
        self._parts.append("validate ok")
        await self._watch.progress(*self._parts)
        return None

    async def plan(self, *, destroy: bool) -> Failed | None:
        """The plan itself, with the audit token."""
        began = time.monotonic()
        before = self._state.pins()
        bounds = self._workshop.bounds(self._state, timeout_s=600.0, **self._workshop.online(self._bench, write=False))
        # No state lock: the estate's lock is held, and a plan writes no state.
        options = {**QUIET, "input": False, "json": FLAG, "out": PLAN_FILE, "lock": False}
        options |= {"destroy": FLAG} if destroy else {}
        child = self._bench.start("plan", options=options, bounds=bounds)
        end = await attend(child, self._watch, lambda: (*self._parts, f"plan {seconds_since(began)}"))
        ok = isinstance(end, Ended) and end.ok
        output = read_output(child.run, ok=ok, why=end.why if isinstance(end, Ended) else "interrupted")
        words = diagnostics(json_lines(output.out))
        if not ok:
            return Failed(f"terraform plan failed ({output.why}):\n" + ("\n".join(words[:SHOWN]) or _tail(output.err)))
        if self._state.pins() != before:
            return Failed("the state moved while the plan was made; plan again")
        self.notes += words[:SHOWN]
        self._parts.append(f"plan {seconds_since(began)}")
        return None

    async def seal(self, *, destroy: bool) -> tuple[Mapping[str, Any], Manifest]:
        """Read the plan back and store everything that an apply would read. Raises on an unusable plan."""
        shown = await self._step("show", {**QUIET, "json": FLAG}, self._workshop.bounds(self._state), PLAN_FILE)
        if not shown.ok:
            raise UnusablePlanError(f"terraform show failed ({shown.why}): {_tail(shown.err)}")
        plan = json_object(shown.out)
        summary = summarise(plan)
        self._workshop.learn(*summary.sensitive)
        text = await self._step("show", QUIET, self._workshop.bounds(self._state), PLAN_FILE, name="show-text")
        facts = {
            "kind": "plan",
            "estate": self._scope.mission.estate,
            "mission": str(self._scope.mission.id),
            "directory": self._code.facts["directory"],
            "code": self._code.revision,
            "destroy": "yes" if destroy else "no",
            "terraform.sha256": self._workshop.toolchain.fingerprint,
            **self._state.pins(),
        }
        texts = {"plan.json": shown.out.encode(), "plan.txt": text.out.encode()}
        manifest = await asyncio.to_thread(
            self._workshop.seal_plan, self._store, self._bench, self._code, texts, facts, self._scope.now.timestamp()
        )
        self._parts[-1] += f" → {summary.counts.split(',')[0]}" if not is_empty(plan) else " → no changes"
        await self._watch.progress(*self._parts)
        return plan, manifest

    async def clear(self) -> None:
        """Delete the private folder's code and plan; what the commands said stays for the operator."""
        await asyncio.to_thread(self._bench.clear)

    def files_words(self) -> str:
        return read_files_words(self._code)

    async def _step(
        self, verb: str, options: Mapping[str, object], bounds: Bounds, *words: str, name: str = ""
    ) -> Output:
        await self._watch.progress(*self._parts, f"{verb} …")
        return await self._bench.finish(verb, *words, options=options, bounds=bounds, name=name)


def _tail(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return "\n".join(lines[-SHOWN:]) or "it said nothing"
