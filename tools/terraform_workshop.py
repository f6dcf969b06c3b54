"""What the Terraform tools share: where code, state and snapshots are, and how a plan is made and found again."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast

from bot.domain.calls import Prepared
from bot.domain.ports import Scope
from bot.domain.storage import Locks
from tools.estate import BLUEPRINTS, Estate, Estates, is_blob
from tools.folder import Folder
from tools.snapshot import Kept, Manifest, Snapshots
from tools.terraform_cli import LOCK_FILE, PLAN_FILE, Bench, Bounds, Credentials, Toolchain
from tools.terraform_plan import Machine, Seen, Summary, summarise
from tools.terraform_scan import GATE_FILE, Found, Scan, Sources, scan
from tools.terraform_state import State, state_of

CODE: Final = "code/"  # in a snapshot: what is unpacked for Terraform
ABOUT: Final = "about/"  # in a snapshot: what is only read by us
FILE_BYTES: Final = 1_000_000
TREE_BYTES: Final = 8_000_000
PLANS_KEPT_S: Final = 7 * 86400  # an approval waits hours, never a week; plans hold values in clear


Census = Callable[[], Awaitable[Sequence[Seen] | None]]
Enrol = Callable[[str, str, str, Sequence[Machine], Collection[int]], Awaitable[Sequence[str]]]
"""Estate, directory, plan, every machine of its state, the vmids made now → lines on pinned host keys (rule 25)."""


class UnknownPlanError(ValueError):
    """No such plan here. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """`learn` tells the redactor every value that Terraform marks as sensitive, before any text leaves a tool.

    `census` lists the machines that Proxmox has (audit token), to find what exists and is in no state; None where
    Proxmox does not answer.
    """

    estates: Estates
    toolchain: Toolchain
    credentials: Credentials
    locks: Locks
    learn: Callable[..., None]
    census: Census
    enrol: Enrol | None = None

    def estate(self, scope: Scope) -> Estate:
        return self.estates.named(scope.mission.estate)

    def snapshots(self, scope: Scope) -> Snapshots:
        return Snapshots(self.estate(scope).snapshots)

    def state(self, scope: Scope, directory: str) -> State:
        return state_of(self.estate(scope), directory)

    async def look(self, scope: Scope, directory: str) -> tuple[Manifest, Scan]:
        """Copy the worktree into a snapshot and scan the copy. Raises RefusedPathError (a link in the tree)."""
        estate = self.estate(scope)
        mission = str(scope.mission.id)
        tree = await estate.open(mission)
        committed = await estate.committed(mission)
        return await asyncio.to_thread(self._look, estate, Folder(tree), directory, mission, committed)

    def _look(
        self, estate: Estate, tree: Folder, directory: str, mission: str, committed: Mapping[str, str]
    ) -> tuple[Manifest, Scan]:
        contents = tree.contents(FILE_BYTES, TREE_BYTES)
        vetted = estate.vetted_hashes(mission)
        result = scan(Sources(contents, "" if directory == "." else directory, self.toolchain.allow, vetted))
        result = replace(result, found=(*_uncommitted(contents, committed), *result.found))
        store = Snapshots(estate.snapshots)
        files = {f"{CODE}{path}": store.keep(content) for path, content in contents.items()}
        facts = {"kind": "code", "estate": estate.name, "mission": mission, "directory": directory}
        facts["read"] = "\n".join(result.files)
        manifest = Manifest(files, facts)
        store.seal(manifest)
        return manifest, result

    def bench(self, scope: Scope, name: str, directory: str) -> Bench:
        return Bench(self.estate(scope).runs / name, "" if directory == "." else directory, self.toolchain)

    def lay_out(self, bench: Bench, store: Snapshots, manifest: Manifest, state: State | None) -> None:
        """Unpack the code (every byte compared) and, with a state, the file that says where it is."""
        bench.create()
        paths = [p for p in manifest.files if p.startswith(CODE)]
        store.unpack(manifest, paths, bench.root)
        if state is not None:
            state.ensure()
            Folder(bench.here).write(GATE_FILE, backend_file(state), mode=0o600)

    def bounds(self, state: State | None, **more: Any) -> Bounds:
        """Offline, the state readable. `more` widens it for the commands that need it."""
        owned = (state.folder,) if state else ()
        return Bounds(owned=owned, **more)

    def online(self, bench: Bench, *, write: bool) -> dict[str, Any]:
        """Environment and ports for a command that talks to Proxmox."""
        environment = self.credentials.environment(write=write) | bench.trust(self.credentials.ca)
        return {"environment": environment, "ports": self.credentials.ports}

    def init_bounds(self, state: State) -> Bounds:
        """`init` alone may download, and only where no mirror is set. It reads the state that the backend names."""
        chain = self.toolchain
        if chain.mirror:
            return self.bounds(state)
        write = (chain.cache,) if chain.cache else ()
        return self.bounds(state, environment=chain.download_environment, write=write, ports=None, timeout_s=300.0)

    def seal_plan(
        self,
        store: Snapshots,
        bench: Bench,
        code: Manifest,
        texts: Mapping[str, bytes],
        facts: Mapping[str, str],
        now: float,
    ) -> Manifest:
        """The snapshot of everything that an apply reads: code, backend file, lock file, modules, providers, plan."""
        files: dict[str, Kept] = dict(code.files)
        gate_file = f"{bench.prefix}{GATE_FILE}"
        files[f"{CODE}{gate_file}"] = store.keep(Folder(bench.code).read(gate_file, FILE_BYTES))
        for path, content, executable in bench.generated():
            files[f"{CODE}{path}"] = store.keep(content, executable=executable)
        for name, content in texts.items():
            files[f"{ABOUT}{name}"] = store.keep(content)
        manifest = Manifest(files, facts)
        store.seal(manifest)
        store.forget_old(now - PLANS_KEPT_S, f"/{PLAN_FILE}", f"{ABOUT}plan.json")
        return manifest

    def find_plan(self, scope: Scope, plan: str) -> tuple[str, Manifest]:
        """A plan of this mission by its id or a prefix of it. Raises UnknownPlanError, ChangedError."""
        store = self.snapshots(scope)
        mine: list[tuple[str, Manifest]] = []
        for revision in store.find(plan.strip().lower()):
            manifest = store.load(revision)
            if manifest.facts["kind"] == "plan" and manifest.facts["mission"] == str(scope.mission.id):
                mine.append((revision, manifest))
        if len(mine) != 1:
            what = "is no plan of this mission" if not mine else "fits several plans: give more digits"
            raise UnknownPlanError(f"{plan!r} {what}; terraform_plan makes one and says its id")
        return mine[0]

    def plan_json(self, store: Snapshots, manifest: Manifest) -> Mapping[str, Any]:
        """The stored plan as data, never of a used or old one (those are deleted); its sensitive values are known to the redactor afterwards. Raises ChangedError."""
        plan = cast("dict[str, Any]", json.loads(store.take(manifest, f"{ABOUT}plan.json")))
        self.learn(*summarise(plan).sensitive)
        return plan

    def summary(self, store: Snapshots, manifest: Manifest) -> Summary:
        """Raises ChangedError, UnusablePlanError."""
        return summarise(self.plan_json(store, manifest))


def _uncommitted(contents: Mapping[str, bytes], committed: Mapping[str, str]) -> Iterator[Found]:
    """What is planned is what the mission's branch says: each file as its last commit has it, no more and no less."""
    for path in sorted({*contents, *committed}):
        name = committed.get(path)
        if name is None:
            yield Found("wrong", path, 0, "is in no commit; write it with workspace_write")
        elif path not in contents or not is_blob(contents[path], name):
            yield Found("wrong", path, 0, "is not as the last commit has it; write it again with workspace_write")


def backend_file(state: State) -> bytes:
    """Where the state is: the gate's word, in the estate's folder (no agent names it)."""
    path = str(state.file).replace("\\", "\\\\").replace('"', '\\"').replace("${", "$${").replace("%{", "%%{")
    return f'terraform {{\n  backend "local" {{\n    path = "{path}"\n  }}\n}}\n'.encode()


def plan_pins(store: Snapshots, manifest: Manifest, state: State, toolchain: Toolchain) -> dict[str, str]:
    """What must be the same at execution as it was for the plan (rule 11). Raises ChangedError, DamagedStateError."""
    store.verify(manifest)
    prefix = "" if manifest.facts["directory"] in {"", "."} else f"{manifest.facts['directory']}/"
    lock_file = manifest.files.get(f"{CODE}{prefix}{LOCK_FILE}")
    providers = {p: k.sha256 for p, k in manifest.files.items() if "/.terraform/providers/" in p}
    return {
        "plan.sha256": manifest.files[f"{CODE}{prefix}{PLAN_FILE}"].sha256,
        "lock_file.sha256": lock_file.sha256 if lock_file else "none",
        "providers.sha256": sha256(json.dumps(providers, sort_keys=True).encode()).hexdigest(),
        "snapshot": manifest.revision,
        "terraform.sha256": toolchain.fingerprint,
        **state.pins(),
    }


def in_use(taken: str) -> str:
    """What an agent is told while another mission has the estate, and so what people hear of it."""
    return f"The estate is in use: {taken}. It is free when that mission ends; STOP in its thread ends it. Plan again then."


def read_files_words(code: Manifest) -> str:
    """`main.tf (812), nodes.auto.tfvars (120)`: what Terraform read, so that a stale file is seen (seed failure 2)."""
    read = [f"{path} ({code.files[CODE + path].size})" for path in code.facts["read"].split("\n")]
    below = [path.split("/") for path in code.files if path.startswith(f"{CODE}{BLUEPRINTS}/")]
    blueprints = sorted({"/".join(parts[1:3]) for parts in below if len(parts) > 3})
    return ", ".join(read) + (f"; offered: {', '.join(blueprints)}" if blueprints else "")


def check_binary(path: Path) -> str:
    """Empty, or what to do about a missing Terraform (seed failure 17)."""
    if path.exists():
        return ""
    return f"{path} is missing: an operator installs Terraform or OpenTofu; `python -m bot check` says where it looks"


def run_name(prepared: Prepared) -> str:
    """The name of a call's folder below `runs/`: one call, one folder, so nothing starts twice."""
    call = "".join(c if c.isalnum() else "-" for c in str(prepared.call.id))[:60]
    return f"{prepared.call.tool.removeprefix('terraform_')}-{prepared.snapshot[:8]}-{call}"
