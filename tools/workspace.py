"""The mission's worktree: list, read, write, patch. Every change is a commit in the name of the persona.

Only the mission's own branch is written, so all four are read class. What may not be written is refused with the
reason: rule 16 (the guarded cannot edit the guard), the blueprints, hidden files, state.
"""

import asyncio
import contextlib
import hashlib
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import Field

from bot.domain.calls import Prepared, Target, ToolCall
from bot.domain.ids import Json
from bot.domain.ports import Cannot, Done, Scope, Watch
from tools.estate import Estates, GitError
from tools.folder import Folder, Found, RefusedPathError
from tools.paths import LARGEST, check_content, check_path
from tools.typed import Arguments, TypedTool, answer, bind, read_effect

RULE: Final = "workspace"

MOST_FILES: Final = 500


class ListArguments(Arguments):
    path: str = Field(default=".", description="a folder of the worktree", max_length=300)


class ReadArguments(Arguments):
    path: str = Field(description="a file of the worktree", max_length=300)


class WriteArguments(Arguments):
    path: str = Field(description="relative path with / between names", max_length=300)
    content: str = Field(description="the whole file", max_length=LARGEST)


class PatchArguments(Arguments):
    path: str = Field(max_length=300)
    old: str = Field(description="text that occurs exactly once in the file", min_length=1, max_length=LARGEST)
    new: str = Field(description="what stands there instead", max_length=LARGEST)


class PathOnly(Arguments):
    """What a binding keeps of a write besides the hash of its content."""

    path: str


@dataclass(frozen=True, slots=True)
class Workspace:
    """The worktrees of all missions, as the tools see them."""

    estates: Estates

    async def of(self, scope: Scope) -> Folder:
        return Folder(await self.estates.named(scope.mission.estate).open(str(scope.mission.id)))

    def listing(self, folder: Folder, path: str) -> list[Found]:
        found = folder.walk(path)
        return [f for f in found if f.kind == "file" and f.path != ".git" and not f.path.startswith(".git/")]

    async def save(self, scope: Scope, path: str, content: bytes, verb: str) -> str:
        """Write and commit. Returns the short hash, "" where the file was the same already."""
        folder = await self.of(scope)
        there = await asyncio.to_thread(self.listing, folder, ".")
        if len(there) >= MOST_FILES and path not in {f.path for f in there}:
            raise RefusedPathError(f"{path}: the worktree has {len(there)} files; it takes at most {MOST_FILES}")
        before = await asyncio.to_thread(folder.read, path, LARGEST) if path in {f.path for f in there} else None
        await asyncio.to_thread(folder.write, path, content)
        persona, estate = str(scope.persona), self.estates.named(scope.mission.estate)
        author = (persona.capitalize(), f"{persona}@watchbill")
        try:
            return await estate.commit(str(scope.mission.id), path, f"{verb} {path}", author)
        except GitError:  # nothing lies in the worktree that is in no commit
            await asyncio.to_thread(folder.delete, path) if before is None else await asyncio.to_thread(
                folder.write, path, before
            )
            with contextlib.suppress(GitError):
                await estate.unstage(str(scope.mission.id), path)
            raise


class WorkspaceList(TypedTool[ListArguments]):
    """`workspace_list`."""

    name = "workspace_list"
    description = "Files of the mission's code with their size in bytes. `blueprints/` holds vetted modules to call."
    arguments = ListArguments
    together = True

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def prepare(self, call: ToolCall, arguments: ListArguments, scope: Scope) -> Prepared | Cannot:  # noqa: ARG002
        try:
            path = check_path(arguments.path, writing=False)
        except RefusedPathError as error:
            return Cannot(str(error), RULE)
        return bind(call, read_effect(RULE, "lists the mission's own code"), arguments, path=path)

    async def run(self, prepared: Prepared, arguments: ListArguments, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002
        folder = await self._workspace.of(scope)
        try:
            found = await asyncio.to_thread(self._workspace.listing, folder, check_path(arguments.path, writing=False))
        except RefusedPathError as error:
            return answer(prepared, "failed", str(error))
        text = "\n".join(f"{f.path} {f.size}" for f in found) or "No files yet."
        return answer(prepared, "ok", text, facts={"files": len(found)})


class WorkspaceRead(TypedTool[ReadArguments]):
    """`workspace_read`."""

    name = "workspace_read"
    description = "The text of one file of the mission's code."
    arguments = ReadArguments
    together = True

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def prepare(self, call: ToolCall, arguments: ReadArguments, scope: Scope) -> Prepared | Cannot:  # noqa: ARG002
        try:
            path = check_path(arguments.path, writing=False)
        except RefusedPathError as error:
            return Cannot(str(error), RULE)
        return bind(call, read_effect(RULE, "reads the mission's own code", Target("file", path)), arguments)

    async def run(self, prepared: Prepared, arguments: ReadArguments, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002
        folder = await self._workspace.of(scope)
        try:
            content = await asyncio.to_thread(folder.read, check_path(arguments.path, writing=False), LARGEST)
        except RefusedPathError as error:
            return answer(prepared, "failed", str(error))
        return answer(prepared, "ok", content.decode(errors="replace"), facts={"bytes": len(content)})


class WorkspaceWrite(TypedTool[WriteArguments]):
    """`workspace_write`."""

    name = "workspace_write"
    description = (
        "Write one whole text file of the mission's code and commit it. Not for variable values in a .tf file (use "
        "*.auto.tfvars), not for state, not below blueprints/. To change a few lines use workspace_patch."
    )
    arguments = WriteArguments

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def prepare(self, call: ToolCall, arguments: WriteArguments, scope: Scope) -> Prepared | Cannot:  # noqa: ARG002
        try:
            path = check_path(arguments.path, writing=True)
            content = check_content(path, arguments.content)
        except RefusedPathError as error:
            return Cannot(str(error), RULE)
        effect = read_effect(RULE, "writes the mission's own branch", Target("file", path))
        return bind(call, effect, PathOnly(path=path), content=hashlib.sha256(content).hexdigest())

    async def run(self, prepared: Prepared, arguments: WriteArguments, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002
        path = check_path(arguments.path, writing=True)
        content = check_content(path, arguments.content)
        return await write_file(self._workspace, prepared, scope, path, content, "Write")


class WorkspacePatch(TypedTool[PatchArguments]):
    """`workspace_patch`."""

    name = "workspace_patch"
    description = "Replace text that occurs exactly once in a file of the mission's code, and commit it."
    arguments = PatchArguments

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def prepare(self, call: ToolCall, arguments: PatchArguments, scope: Scope) -> Prepared | Cannot:  # noqa: ARG002
        try:
            path = check_path(arguments.path, writing=True)
            new = check_content(path, arguments.new)
        except RefusedPathError as error:
            return Cannot(str(error), RULE)
        old = hashlib.sha256(arguments.old.encode(errors="replace")).hexdigest()
        effect = read_effect(RULE, "writes the mission's own branch", Target("file", path))
        return bind(call, effect, PathOnly(path=path), old=old, new=hashlib.sha256(new).hexdigest())

    async def run(self, prepared: Prepared, arguments: PatchArguments, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002
        path = check_path(arguments.path, writing=True)
        folder = await self._workspace.of(scope)
        try:
            before = (await asyncio.to_thread(folder.read, path, LARGEST)).decode(errors="replace")
            times = before.count(arguments.old)
            if times != 1:
                return answer(prepared, "failed", f"{path}: `old` occurs {times} times; it must occur exactly once")
            content = check_content(path, before.replace(arguments.old, arguments.new))
        except RefusedPathError as error:
            return answer(prepared, "failed", str(error))
        return await write_file(self._workspace, prepared, scope, path, content, "Patch")


async def write_file(
    workspace: Workspace, prepared: Prepared, scope: Scope, path: str, content: bytes, verb: Literal["Write", "Patch"]
) -> Done:
    """What write and patch share: save, commit, say so."""
    try:
        commit = await workspace.save(scope, path, content, verb)
    except (RefusedPathError, GitError) as error:
        return answer(prepared, "failed", str(error))
    if not commit:
        return answer(prepared, "ok", f"{path} was the same already ({len(content)} bytes)", facts={"path": path})
    done = {"Write": "Wrote", "Patch": "Patched"}[verb]
    facts: dict[str, Json] = {"path": path, "commit": commit}
    return answer(prepared, "ok", f"{done} {path} ({len(content)} bytes), commit {commit}", facts=facts)
