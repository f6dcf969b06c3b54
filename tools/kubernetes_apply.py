"""`kubernetes_apply`: a manifest of the mission's code, server-side, after people saw what differs. Nothing is applied by halves
for want of a look: before the first object is sent, the writing access has to see what people saw, and the API server
tries all of them dry: one that would do more than the card said is not sent.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any, Final

from pydantic import Field

from bot.domain.calls import CallClass, Effect, Item, Prepared, ResultStatus, Target, ToolCall
from bot.domain.ids import Json
from bot.domain.ports import Cannot, Done, Scope, Watch
from bot.domain.storage import Locks
from tools.estate import Estates, GitError, estate_in_use, estate_lock
from tools.folder import Folder, RefusedPathError
from tools.kubeconfig import KubeconfigError
from tools.kubernetes_api import APPLY, Api, Clusters, KubernetesError, Resource
from tools.kubernetes_harm import harm
from tools.kubernetes_manifest import MANAGER, ManifestError, Thing, differences, packed, read, unpacked
from tools.kubernetes_owned import effects, removals, unseen
from tools.kubernetes_rows import Fields, fields
from tools.paths import LARGEST, check_path
from tools.run_directory import seconds_since
from tools.trace import Trace
from tools.typed import Arguments, TypedTool, answer

RULE: Final = "kubernetes_apply"
UNREADABLE: Final = "cannot be read with the view-only kubeconfig"
SHOWN: Final = 6  # differences on one item of the card; the file above it has all


class ApplyArguments(Arguments):
    path: str = Field(description="a YAML file of the workspace", max_length=300, pattern=r"\.(ya?ml|json)$")
    take_over: bool = Field(default=False, description="also fields that another manager owns")
    words: str = Field(description="why, in one sentence, for the people who approve", max_length=500)


class KubernetesApply(TypedTool[ApplyArguments]):
    """`kubernetes_apply`."""

    name = "kubernetes_apply"
    description = (
        "Apply a manifest of the workspace to the estate's cluster (server-side apply), after people approved what differs. "
        "Every namespaced object names its namespace. No Secret with values. Objects that are left out of the file stay: use "
        "kubernetes_change delete. Afterwards look with kubernetes_read rollout. Not for machines (Terraform) or hosts (Ansible)."
    )
    timeout_s = 600.0
    durable = True
    arguments = ApplyArguments

    def __init__(self, clusters: Clusters, estates: Estates, locks: Locks) -> None:
        self._clusters = clusters
        self._estates = estates
        self._locks = locks

    async def prepare(self, call: ToolCall, arguments: ApplyArguments, scope: Scope) -> Prepared | Cannot:
        estate = scope.mission.estate
        try:
            tree = Folder(await self._estates.named(estate).open(str(scope.mission.id)))
            path = check_path(arguments.path, writing=False)
            things = read((await asyncio.to_thread(tree.read, path, LARGEST)).decode())
            found = await asyncio.to_thread(look, self._clusters.view(estate), things)
        except UnicodeDecodeError:
            return Cannot(f"{arguments.path} is no UTF-8 text.", RULE)
        except (RefusedPathError, GitError, ManifestError, KubernetesError, KubeconfigError) as error:
            return Cannot(f"{arguments.path}: {error}", RULE)
        if not any(found[one.label].lines for one in things):
            return Cannot("The cluster has all of this already: applying it would change nothing.", RULE)
        if in_use := await estate_in_use(self._locks, scope, f"apply {path}"):
            return in_use
        binding: dict[str, Json] = {
            "tool": call.tool, "estate": estate, "path": path, "take_over": arguments.take_over, "manifest": packed(things),
        }  # fmt: skip
        effect = effect_of(path, estate, things, found, take_over=arguments.take_over)
        return Prepared(call, effect, binding, pins=pins_of(found), full_text=_whole(things, found))

    async def pins(self, prepared: Prepared, arguments: ApplyArguments) -> Mapping[str, str]:  # noqa: ARG002 - port
        things = unpacked(str(prepared.binding["manifest"]))
        try:
            return pins_of(await asyncio.to_thread(look, self._clusters.view(str(prepared.binding["estate"])), things))
        except (KubernetesError, KubeconfigError, ManifestError) as error:
            return {"unreadable": str(error)}

    async def run(self, prepared: Prepared, arguments: ApplyArguments, scope: Scope, watch: Watch) -> Done:
        things = unpacked(str(prepared.binding["manifest"]))
        trace = Trace.of(self._estates, prepared)
        if not trace.begin([]):
            return answer(prepared, "refused", "This was begun before; kubernetes_read says what there is.")
        api, done = self._clusters.write(str(prepared.binding["estate"])), list[str]()
        status: ResultStatus
        try:
            text = await asyncio.to_thread(_tried, api, things, prepared.pins, take_over=arguments.take_over)
            status = "failed" if text else "ok"
            if not text:
                status, text = await self._apply(api, things, arguments, trace, done, watch)
        except (KubernetesError, KubeconfigError, ManifestError) as error:
            status, text = "failed", str(error)
        lines = [*done, text] if text else done
        said = "\n".join(lines) if done else f"Nothing was applied: {text}"
        trace.end(status, said)
        if status == "ok":
            await self._locks.unlock(estate_lock(scope.mission.estate), str(scope.mission.id))
        return answer(prepared, status, said, facts=_facts(done), changed=bool(done))

    async def recover(self, prepared: Prepared, arguments: ApplyArguments, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002 - port
        """Compare what is there with what was approved. Sends nothing again."""
        trace = Trace.of(self._estates, prepared)
        noted = trace.read()
        if noted is None:
            return answer(prepared, "failed", "The program stopped before anything was sent. Ask again.")
        if noted[0]:
            status: ResultStatus = "ok" if noted[0] == "ok" else "failed"
            return answer(prepared, status, noted[1], facts=_facts(trace.notes() or []), changed=True)
        things = unpacked(str(prepared.binding["manifest"]))
        try:
            found = await asyncio.to_thread(look, self._clusters.view(str(prepared.binding["estate"])), things)
        except (KubernetesError, KubeconfigError, ManifestError) as error:
            text = f"Unknown outcome: the program stopped while this was sent, and the cluster cannot be asked: {error}"
            return answer(prepared, "unknown_outcome", text, facts={"orphans": []}, changed=True)
        lines = [f"{one.label}: {'as approved' if not found[one.label].lines else 'not as approved'}" for one in things]
        whole = not any(found[one.label].lines or found[one.label].problem for one in things)
        head = "The program stopped while this was sent. What is there now:"
        return answer(
            prepared,
            "ok" if whole else "unknown_outcome",
            "\n".join((head, *lines)),
            facts={"orphans": []},
            changed=True,
        )

    async def _apply(
        self, api: Api, things: tuple[Thing, ...], arguments: ApplyArguments, trace: Trace, done: list[str], watch: Watch
    ) -> tuple[ResultStatus, str]:  # fmt: skip
        began = time.monotonic()
        for number, thing in enumerate(things):
            if watch.stopping() or not watch.alive():
                left = ", ".join(one.label for one in things[number:])
                return "interrupted", f"STOP: {left} not applied."
            await watch.progress("kubernetes apply", f"{number} of {len(things)}", thing.label, seconds_since(began))
            try:
                done.append(await asyncio.to_thread(_send, api, thing, take_over=arguments.take_over))
            except KubernetesError as error:
                left = ", ".join(one.label for one in things[number:])
                return "failed", f"{thing.label}: {error}\nNot applied: {left}."
            trace.note(done)
        return "ok", ""


class Look:
    """What is there of one object, and how the file differs from it."""

    def __init__(self, live: Fields | None, lines: list[str], problem: str = "") -> None:
        self.live = live
        self.lines = lines
        self.problem = problem

    @property
    def pin(self) -> str:
        """Another one means that somebody changed the object since; a status report is no change."""
        if self.problem:
            return self.problem
        if self.live is None:
            return "absent"
        about = fields(self.live, "metadata")
        return f"{about.get('uid')} {about.get('generation') or about.get('resourceVersion')}"


def look(api: Api, things: tuple[Thing, ...]) -> dict[str, Look]:
    """By label, and the cluster itself under "". Raises KubernetesError, ManifestError. Blocking."""
    found = {"": Look(api.get("/api/v1/namespaces/kube-system"), [])}
    made = {one.name for one in things if one.kind == "Namespace"}
    for thing in things:
        resource = _resource(api, thing)
        try:
            live: Fields | None = api.get(resource.path(thing.namespace, thing.name))
        except KubernetesError as error:
            if error.status == 403:
                found[thing.label] = Look(None, [f"? {UNREADABLE}", *differences(thing.body, None)], UNREADABLE)
                continue
            if error.status != 404:
                raise
            live = None
        found[thing.label] = Look(live, [*differences(thing.body, live), *removals(thing.body, live)])
    spaces = {one.namespace for one in things if one.namespace} - made
    for space in sorted(spaces):
        api.get(f"/api/v1/namespaces/{space}")
    return found


def pins_of(found: Mapping[str, Look]) -> dict[str, str]:
    return {
        f"object.{label}" if label else "cluster": one.pin.partition(" ")[0] if not label else one.pin
        for label, one in found.items()
    }


def effect_of(
    path: str, estate: str, things: tuple[Thing, ...], found: Mapping[str, Look], *, take_over: bool
) -> Effect:
    acting = [one for one in things if found[one.label].lines]
    worst = [one for one in map(harm, acting) if one is not None]
    worst += [(CallClass.UNKNOWN, f"{one.label} {UNREADABLE}") for one in acting if found[one.label].problem]
    cls = max((one[0] for one in worst), key=_weight, default=CallClass.CHANGE)
    harms = [words for _, words in sorted(worst, key=lambda one: -_weight(one[0]))]
    made = [one for one in acting if found[one.label].live is None and not found[one.label].problem]
    rows = [
        Item("create" if one in made else "update", one.label, _brief(found[one.label].lines)) for one in acting
    ]  # fmt: skip
    notes = (
        [*harms, f"{len(things) - len(acting)} objects of the file are there as they are."]
        if len(acting) < len(things)
        else harms
    )
    if take_over:
        notes = [*notes, "Takes over fields that another manager owns."]
    return Effect(
        cls=cls,
        rule=f"kubernetes: apply{', ' + harms[0] if harms else ''}"[:120],
        reason=harms[0] if harms else "changes objects of the cluster",
        title=f"Apply {path} to the cluster of {estate}",
        targets=(Target("context", estate),),
        items=tuple(rows),
        create=len(made),
        change=len(acting) - len(made),
        undo=f"apply the earlier revision of {path}; new objects: delete them",
        notes=tuple(notes),
    )


def _weight(cls: CallClass) -> int:
    """What is not known asks for as much as what destroys, and says so only where nothing is known to destroy."""
    return (CallClass.CHANGE, CallClass.UNKNOWN, CallClass.DESTROY).index(cls)


def _brief(lines: list[str]) -> str:
    more = f"; {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return ("; ".join(lines[:SHOWN]) + more)[:500]


def _whole(things: tuple[Thing, ...], found: Mapping[str, Look]) -> str:
    rows: list[str] = []
    for thing in things:
        lines = found[thing.label].lines
        rows += [f"# {thing.label} ({thing.api_version}){'' if lines else ': unchanged'}", *lines, ""]
    return "\n".join(rows)


def _resource(api: Api, thing: Thing) -> Resource:
    try:
        resource = api.resource(thing.kind, thing.api_version)
    except KubernetesError as error:
        if error.reason != "UnknownKind":
            raise
        raise ManifestError(
            f"{thing.label}: the cluster knows no {thing.kind} in {thing.api_version}. Apply its definition first"
        ) from None
    if resource.namespaced and not thing.namespace:
        raise ManifestError(f"{thing.kind} {thing.name} names no namespace: add metadata.namespace")
    if not resource.namespaced and thing.namespace:
        raise ManifestError(f"{thing.kind} {thing.name} lives in no namespace: take metadata.namespace out")
    return resource


def _sent(api: Api, thing: Thing, *, take_over: bool, dry: bool = False) -> tuple[bool, Fields]:
    """Whether it was created, and what it is then."""
    query = {"fieldManager": MANAGER, "fieldValidation": "Strict", "force": str(take_over).lower()}
    query |= {"dryRun": "All"} if dry else {}
    place = _resource(api, thing).path(thing.namespace, thing.name)
    status, said = api.raw("PATCH", place, query, thing.body, APPLY)
    return status == 201, json.loads(said)


def _send(api: Api, thing: Thing, *, take_over: bool) -> str:
    created, _ = _sent(api, thing, take_over=take_over)
    return f"{thing.label} {'created' if created else 'applied'}"


def _tried(api: Api, things: tuple[Thing, ...], pins: Mapping[str, str], *, take_over: bool) -> str:
    """Why nothing is sent, or "": the writing access sees something else than people saw, the API server has something
    against one of them, or one would do what no line of the card says. Objects of a namespace that is made here cannot
    be tried.
    """
    found = look(api, things)
    if moved := _moved(pins_of(found), pins):
        return f"The writing access sees another state than people approved: {', '.join(moved)}."
    made = {one.name for one in things if one.kind == "Namespace"}
    wrong: list[str] = []
    for thing in things:
        seen = found[thing.label]
        try:
            _, after = _sent(api, thing, take_over=take_over, dry=True)
        except KubernetesError as error:
            if error.status == 404 and thing.namespace in made:
                continue
            hint = " take_over=true takes those fields, and people see it." if error.status == 409 else ""
            wrong.append(f"{thing.label}: {error}{hint}")
            continue
        if seen.live is not None and (more := unseen(effects(seen.live, after), seen.lines)):
            wrong.append(f"{thing.label}: it would also change {', '.join(more[:SHOWN])}, which the card did not show")
    return "\n".join(wrong)


def _moved(seen: Mapping[str, str], approved: Mapping[str, str]) -> list[str]:
    """What differs, but for objects that the reading access may not see and people were told so."""
    unknown = {name for name, pin in approved.items() if pin == UNREADABLE}
    return sorted(name for name in {*seen, *approved} - unknown if seen.get(name) != approved.get(name))


def _facts(done: Any) -> dict[str, Json]:
    labels = [str(one).rpartition(" ")[0] for one in done]
    created = sum(str(one).endswith(" created") for one in done)
    return {
        "created": created,
        "changed": len(labels) - created,
        "destroyed": 0,
        "applied": labels,
        "exists": labels,
        "orphans": [],
    }
