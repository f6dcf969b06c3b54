"""`ansible_check`: a playbook scanned, its syntax and style looked at, and run dry where that is safe. Changes nothing."""

import asyncio
import json
import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from pydantic import Field, field_validator

from bot.domain.calls import Prepared, ResultStatus, ToolCall
from bot.domain.ids import Json
from bot.domain.ports import Cannot, Done, Scope, Watch
from tools.ansible_bench import Bench, Play
from tools.ansible_events import Progress
from tools.ansible_scan import Scan
from tools.ansible_vars import check
from tools.ansible_workshop import ABOUT, ID_DIGITS, KIND, Asked, PlaybookWorkshop, narrowed
from tools.attendance import attend
from tools.estate import GitError
from tools.folder import RefusedPathError
from tools.hosts import Host, HostsFileError
from tools.process import Child
from tools.run_directory import Ended, Tail, seconds_since
from tools.site_vars import SiteVariables
from tools.snapshot import Manifest, Snapshots
from tools.typed import Arguments, TypedTool, answer, bind, read_effect

NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
DRY_S: Final = 900.0
SHOWN: Final = 12
FATAL_RULES: Final = ("syntax-check", "parser-error", "load-failure", "internal-error")
NO_LINT: Final = ("ansible-lint said nothing that could be read",)


class CheckArguments(Arguments):
    playbook: str = Field(description="a .yml file of the workspace", max_length=300, pattern=r"\.ya?ml$")
    limit: list[str] = Field(
        default=[], description="names of hosts or groups; empty: what the plays say", max_length=50
    )
    tags: list[str] = Field(default=[], max_length=50)
    skip_tags: list[str] = Field(default=[], max_length=50)
    extra_vars: dict[str, Any] = Field(
        default={}, description="values with their types: a list is a JSON list, never a text with commas"
    )

    @field_validator("limit", "tags", "skip_tags")
    @classmethod
    def _are_names(cls, value: list[str]) -> list[str]:
        wrong = [one for one in value if not re.fullmatch(NAME, one)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no name: letters, digits, `_`, `-` and `.`; no patterns")
        return value

    @property
    def asked(self) -> Asked:
        play = Play(self.playbook, tuple(self.limit), tuple(self.tags), tuple(self.skip_tags))
        return Asked(play, self.extra_vars)


@dataclass
class Findings:
    """What a check found, step by step. `hosts`: what would be touched. `total`: tasks that would run."""

    hosts: tuple[str, ...] = ()
    total: int = 0
    lint: tuple[str, ...] = ()
    dry: str = ""
    progress: Progress = field(default_factory=Progress)


class NotGoodError(Exception):
    """The playbook cannot be run as it is. The text says why and what to do."""


class AnsibleCheck(TypedTool[CheckArguments]):
    """`ansible_check`."""

    name = "ansible_check"
    description = (
        "Check a playbook of the workspace before it is run: what it would do and where, variables against the roles' "
        "argument_specs, syntax, ansible-lint, and a dry run on the hosts where the scan is clean. Gives an id for "
        "ansible_run. Playbooks act on hosts of the inventory only, with modules of ansible.builtin; roles come from "
        "roles/ or blueprints/roles/. Not for one command on one host (ssh)."
    )
    timeout_s = 1500.0
    arguments = CheckArguments

    def __init__(self, workshop: PlaybookWorkshop) -> None:
        self._workshop = workshop

    async def prepare(self, call: ToolCall, arguments: CheckArguments, scope: Scope) -> Prepared | Cannot:  # noqa: ARG002 - port
        if missing := self._workshop.kit.missing:
            return Cannot(f"No playbook can run here: {missing}.", "ansible")
        effect = read_effect("ansible_check", "scans, and runs with --check only what is understood")
        return bind(call, effect, arguments)

    async def run(self, prepared: Prepared, arguments: CheckArguments, scope: Scope, watch: Watch) -> Done:
        workshop, asked = self._workshop, arguments.asked
        try:
            hosts = await workshop.roster(scope.mission.estate)
            site = workshop.site.read()
            contents = await workshop.copy(scope)
            found = Findings(hosts=narrowed(hosts, asked.play.limit))
            scanned = await asyncio.to_thread(workshop.scan, contents, asked.play.playbook, scope, hosts)
            _refuse(scanned, asked, site)
        except (HostsFileError, RefusedPathError, GitError, ValueError, NotGoodError) as error:
            return answer(prepared, "failed", str(error))
        if not found.hosts:
            return answer(
                prepared, "failed", "The inventory has no host for this yet. Apply a plan first, or ask the operator."
            )
        store = workshop.snapshots(scope.mission.estate)
        code = Manifest(await asyncio.to_thread(workshop.keep_code, store, contents), {})
        try:
            await self._look(scope, hosts, store, code, asked, site, scanned, found, watch)
        except NotGoodError as error:
            return answer(prepared, "interrupted" if watch.stopping() else "failed", str(error))
        manifest = await asyncio.to_thread(self._seal, scope, store, code, asked, site, scanned, found)
        return self._said(prepared, manifest, asked, scanned, found)

    async def _look(
        self, scope: Scope, hosts: Mapping[str, Host], store: Snapshots, code: Manifest, asked: Asked,
        site: SiteVariables, scanned: Scan, found: Findings, watch: Watch,
    ) -> None:  # fmt: skip
        """Everything that executes code, and only after a clean scan. Raises NotGoodError."""
        if scanned.unknown:
            found.dry = f"No dry run, because {scanned.no_dry_run}."
            found.lint = (f"not looked at, because {scanned.no_dry_run}",)
            found.total = len(scanned.steps)
            return
        bench = self._workshop.bench(scope.mission.estate, f"check-{secrets.token_hex(6)}")
        try:
            await asyncio.to_thread(bench.lay_out, store, code, list(hosts.values()), asked.extra, site)
            linting = asyncio.ensure_future(self._lint(bench, asked, found, watch))  # the slowest, so beside the rest
            try:
                await self._list(bench, asked, found, watch)
                if scanned.no_dry_run:
                    found.dry = f"No dry run, because {scanned.no_dry_run}."
                else:
                    await self._dry(bench, asked, hosts, found, watch)
                await linting
            finally:
                linting.cancel()
                await asyncio.wait({linting})
        finally:
            await asyncio.to_thread(shutil.rmtree, bench.root, ignore_errors=True)

    async def _list(self, bench: Bench, asked: Asked, found: Findings, watch: Watch) -> None:
        """Syntax, and which tasks would run on which hosts."""
        child = bench.look("list", asked.play, "--list-tasks", "--list-hosts")
        end = await attend(child, watch, _telling("syntax"))
        if not isinstance(end, Ended) or not end.ok:
            raise NotGoodError(f"Syntax: {_wrong(child)}")
        listed = child.run.stdout.read_text(errors="replace")
        found.total = len(re.findall(r"\tTAGS: \[", listed)) - len(re.findall(r"^  play #", listed, re.MULTILINE))
        names = re.findall(r"^      (\S+)$", listed, re.MULTILINE)
        found.hosts = tuple(name for name in found.hosts if name in names)
        if not found.hosts or not found.total:
            what = "no host of the inventory" if not found.hosts else "no task"
            raise NotGoodError(f"With these options the playbook reaches {what}, so running it would do nothing.")

    async def _lint(self, bench: Bench, asked: Asked, found: Findings, watch: Watch) -> None:
        """Style is told, not enforced; what cannot be loaded is an error."""
        child = bench.lint(asked.play)
        end = await attend(child, watch, _telling("ansible-lint"))
        if watch.stopping():
            raise NotGoodError("STOP: the check was interrupted; nothing was changed.")
        found.lint = _lint_lines(child.run.stdout.read_text(errors="replace")) if isinstance(end, Ended) else NO_LINT
        fatal = [line for line in found.lint if line.startswith(FATAL_RULES)]
        if fatal:
            raise NotGoodError("ansible-lint: " + "; ".join(fatal[:SHOWN]))

    async def _dry(self, bench: Bench, asked: Asked, hosts: Mapping[str, Host], found: Findings, watch: Watch) -> None:
        ports = sorted({hosts[name].port for name in found.hosts})
        child = bench.start("dry", asked.play, "--check", "--diff", ports=ports, survives=False, timeout_s=DRY_S)
        progress, tail, began = found.progress, Tail(child.run.stdout), time.monotonic()

        def tell() -> tuple[str, ...]:
            progress.hear(tail.lines())
            return ("Ansible dry run", *progress.words(found.total), seconds_since(began))

        end = await attend(child, watch, tell)
        progress.hear(tail.lines(last=True))
        if watch.stopping():
            raise NotGoodError("STOP: the dry run was interrupted; it changes nothing.")
        per_host = ", ".join(f"{n} {line.counts['changed']}" for n, line in sorted(progress.hosts.items()))
        would = sum(line.counts["changed"] for line in progress.hosts.values())
        found.dry = f"Dry run: would change {would} ({per_host or 'no host answered'})."
        for failure in progress.failures[:SHOWN]:
            found.dry += f"\nDry run failed on {failure.host} in {failure.task}{failure.where}: {failure.text}"
        if progress.failures:
            found.dry += (
                "\nA task that needs what an earlier one would have made cannot be tried dry; judge whether it is that."
            )
        elif not isinstance(end, Ended) or not end.ok:
            found.dry = f"The dry run did not end well ({end}): {_wrong(child)}"

    def _seal(
        self,
        scope: Scope,
        store: Snapshots,
        code: Manifest,
        asked: Asked,
        site: SiteVariables,
        scanned: Scan,
        found: Findings,
    ) -> Manifest:
        """The snapshot that ansible_run is bound to: code, options, hosts, and what was found."""
        about = {"asked.json": json.dumps(asked.as_json(), sort_keys=True), "found.txt": _whole(asked, scanned, found)}
        files = dict(code.files) | {f"{ABOUT}{name}": store.keep(text.encode()) for name, text in about.items()}
        facts = {
            "kind": KIND,
            "estate": scope.mission.estate,
            "mission": str(scope.mission.id),
            "playbook": asked.play.playbook,
            "hosts": json.dumps(list(found.hosts)),
            "total": str(found.total),
            "dry": found.dry.partition("\n")[0],
            "lint": f"ansible-lint: {len(found.lint)} findings"
            if found.total and not scanned.unknown
            else "ansible-lint: not looked at",
            "ansible": self._workshop.kit.version,
            "site": site.digest,
            "overrides": json.dumps(sorted(set(site.values) & set(asked.extra))),
        }
        manifest = Manifest(files, facts)
        store.seal(manifest)
        return manifest

    def _said(self, prepared: Prepared, manifest: Manifest, asked: Asked, scanned: Scan, found: Findings) -> Done:
        changed = sum(line.counts["changed"] for line in found.progress.hosts.values())
        tried = not scanned.no_dry_run
        facts: dict[str, Json] = {
            "check": manifest.revision,
            "class": scanned.cls.value,
            "hosts": list(found.hosts),
            "tasks": found.total,
            "would_change": changed if tried else None,
            "dry_run": tried and not found.progress.failures,
            "lint": len(found.lint),
        }
        unreachable = any(line.counts["unreachable"] for line in found.progress.hosts.values())
        status: ResultStatus = "failed" if unreachable else "ok"
        head = f"Checked {asked.words}: {found.total} tasks on {', '.join(found.hosts)}, class {scanned.cls}."
        nexts = f"Id {manifest.revision[:ID_DIGITS]}: ansible_run with it asks people and runs exactly this."
        return answer(prepared, status, f"{head}\n{nexts}\n{_whole(asked, scanned, found)}", facts=facts)


def _refuse(scanned: Scan, asked: Asked, site: SiteVariables) -> None:
    """Raises NotGoodError with everything that is wrong, so that it is mended in one go."""
    if scanned.wrong:
        raise NotGoodError("The playbook is refused:\n" + "\n".join(map(str, scanned.wrong[:30])))
    if wrong := check(asked.extra, scanned.roles, scanned.declared, site):
        raise NotGoodError("Variables:\n" + "\n".join(wrong[:30]))
    if not scanned.steps:
        raise NotGoodError(f"{asked.play.playbook} has no tasks, so running it would do nothing.")


def _telling(what: str) -> Callable[[], tuple[str, ...]]:
    began = time.monotonic()
    return lambda: ("Ansible check", what, seconds_since(began))


def _wrong(child: Child) -> str:
    """What a process that failed said last."""
    said = child.run.stderr.read_text(errors="replace") if child.run.stderr.exists() else ""
    shown = said.strip() or child.run.stdout.read_text(errors="replace").strip()
    return shown.replace(f"{child.run.path.parent / 'project'}/", "")[-1500:] or "no words were left"


def _lint_lines(said: str) -> tuple[str, ...]:
    """`rule path:line text` of each finding."""
    try:
        listed: Any = json.loads(said or "[]")
    except ValueError:
        return NO_LINT
    found: list[str] = []
    for one in cast("list[dict[str, Any]]", listed) if isinstance(listed, list) else []:
        place = one.get("location", {})
        lines = place.get("lines", {}).get("begin") or place.get("positions", {}).get("begin", {}).get("line", "")
        found.append(f"{one.get('check_name')} {place.get('path')}:{lines} {one.get('description')}"[:300])
    return tuple(found)


def _whole(asked: Asked, scanned: Scan, found: Findings) -> str:
    """Everything a person who approves may want to read."""
    lines = [asked.words, f"hosts: {', '.join(found.hosts)}", "", found.dry or "No dry run."]
    for change in found.progress.changes:
        lines += [f"  {change.host}: {change.task}", *(f"    {line}" for line in change.diff.splitlines())]
    lines += ["", f"tasks ({len(scanned.steps)}):"]
    lines += [
        f"  {s.cls}: {s.name} ({s.where}) {s.why}{' · check_mode: false' if s.unchecked else ''}" for s in scanned.steps
    ]
    lines += ["", *(f"not understood: {one}" for one in scanned.unknown)] if scanned.unknown else []
    lines += ["", f"ansible-lint, {len(found.lint)} findings:", *(f"  {line}" for line in found.lint[:30])]
    return "\n".join(lines) + "\n"
