"""The estate's folder: repository, one worktree per mission, Terraform state, snapshots, run directories.

<data>/estates/<name>/repository   git, bare, branch main
                      worktrees/<mission>   on branch missions/<mission>
                      vetted/<mission>.json   hashes of the blueprints as they were copied in
                      state/<directory>/    Terraform's state: 0600, outside git, with backups
                      snapshots/            content-addressed copies that plans and applies read
                      runs/                 one folder per process that was started
"""

import asyncio
import fcntl
import hashlib
import json
import os
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from bot.domain.ports import Cannot, Scope
from bot.domain.storage import Locks
from tools.folder import Folder
from tools.process import PLAIN_ENVIRONMENT, Command, Reach, finish, temporary_run
from tools.run_directory import Ended

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
MISSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
PUBLIC_KEY: Final = re.compile(rb"(ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\n]*)?")
BLUEPRINTS: Final = "blueprints"
LARGEST: Final = 1_000_000  # bytes of a blueprint's file
WATCHBILL: Final = ("Watchbill", "watchbill@watchbill")
SAFE_GIT: Final = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.symlinks=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.allow=never",
    "commit.gpgSign=false",
    "safe.directory=*",
    "advice.detachedHead=false",
)


class GitError(Exception):
    """Git could not do it: for the operator, with git's own words."""


@dataclass(frozen=True, slots=True)
class Estate:
    """One estate's folder. `blueprints`: the vetted modules that every worktree gets a copy of; `roles`: likewise the
    Ansible roles, below blueprints/roles, and the playbooks beside them; `login`: the public key that hosts have to know,
    as blueprints/login.pub.
    """

    root: Path
    blueprints: Path
    git_binary: Path = Path("/usr/bin/git")
    roles: Path | None = None
    login: Path | None = None

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def repository(self) -> Path:
        return self.root / "repository"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    def worktree(self, mission: str) -> Path:
        if not MISSION.fullmatch(mission):
            raise ValueError(f"{mission!r} is no mission's name")
        return self.root / "worktrees" / mission

    def state_folder(self, directory: str) -> Path:
        """Where the state of the code in `directory` lives. One state for all missions: they change one estate."""
        key = "%root" if directory in {"", "."} else quote(directory, safe="")
        return self.root / "state" / key

    def ensure(self) -> None:
        """Make the folders. The root can be passed through, not listed; what is secret is closed by itself."""
        for folder, mode in (
            (self.root, 0o711),
            (self.root / "worktrees", 0o700),
            (self.root / "vetted", 0o700),
            (self.root / "backups", 0o700),
            (self.root / "state", 0o711),
            (self.snapshots, 0o700),
            (self.runs, 0o711),
        ):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode)

    async def open(self, mission: str) -> Path:
        """The mission's worktree, made if it is not there yet: from main, with the blueprints copied in."""
        tree = self.worktree(mission)
        vetted = self._vetted(mission)
        if vetted.exists():
            return tree
        self.ensure()
        async with self._alone():
            if vetted.exists():
                return tree
            await self._ensure_repository()
            if not (tree / ".git").exists():
                await self.git("worktree", "prune")
                start = ("-B", f"missions/{mission}") if await self._knows(f"missions/{mission}") else ()
                make = start or ("-b", f"missions/{mission}")
                base = f"missions/{mission}" if start else "main"
                await self.git("worktree", "add", "-q", *make, str(tree), base)
            hashes = await asyncio.to_thread(self._copy_blueprints, tree)
            if hashes:
                await self.git("add", "-A", "-f", "--", BLUEPRINTS, tree=tree)
                if await self.git("status", "--porcelain", "--", BLUEPRINTS, tree=tree):
                    words = f"Blueprints, vetted as {_short(hashes)}"
                    await self.git("commit", "-q", "-m", words, "--", BLUEPRINTS, tree=tree)
            Folder(vetted.parent).write(vetted.name, json.dumps(hashes, sort_keys=True).encode(), mode=0o600)
        return tree

    def vetted_hashes(self, mission: str) -> Mapping[str, str]:
        """Path below the worktree → SHA-256 of each blueprint file as it was copied in."""
        return json.loads(self._vetted(mission).read_text())

    async def commit(self, mission: str, path: str, words: str, author: tuple[str, str]) -> str:
        """Commit one path of the worktree in `author`'s name. Returns the short hash, "" where nothing differs."""
        tree = self.worktree(mission)
        async with self._alone():
            await self.git("add", "-f", "--", path, tree=tree)  # a .gitignore hides nothing from the record
            if not await self.git("diff", "--cached", "--name-only", "--", path, tree=tree):
                return ""
            await self.git("commit", "-q", "-m", words, "--", path, tree=tree, author=author)
            return (await self.git("rev-parse", "--short=7", "HEAD", tree=tree)).strip()

    async def unstage(self, mission: str, path: str) -> None:
        """Take a path back out of what the next commit would hold, after a commit that failed."""
        async with self._alone():
            await self.git("reset", "-q", "--", path, tree=self.worktree(mission))

    async def committed(self, mission: str) -> Mapping[str, str]:
        """Path below the worktree → git's name of its content, as the mission's last commit has them."""
        listed = await self.git("ls-tree", "-r", "-z", "--full-tree", "HEAD", tree=self.worktree(mission))
        rows = (row.partition("\t") for row in listed.split("\0") if row)
        return {path: about.split()[2] for about, _, path in rows}

    async def merge(self, mission: str) -> str:
        """Merge the mission's branch into main. Returns "" or, where both changed the same lines, which files."""
        branch = f"missions/{mission}"
        async with self._alone():
            if not await self._knows(branch):
                return ""
            ahead = (await self.git("rev-list", "--count", f"main..{branch}")).strip()
            if ahead == "0":
                return ""
            try:
                merged = (await self.git("merge-tree", "--write-tree", "--name-only", "main", branch)).split("\n")[0]
            except GitError as error:
                return str(error)
            parents = ("-p", "main", "-p", branch)
            commit = await self.git("commit-tree", merged, *parents, "-m", f"Mission {mission}")
            await self.git("update-ref", "refs/heads/main", commit.strip())
        return ""

    async def git(self, *words: str, tree: Path | None = None, author: tuple[str, str] = WATCHBILL) -> str:
        """Run git with no hooks, no configuration but ours, no network, and no reach beyond the repository."""
        place = tree or self.repository
        options = [part for setting in SAFE_GIT for part in ("-c", setting)]
        reach = Reach(read=(Path("/dev/null"),), write=(self.repository, self.root / "worktrees"), own_uid=False)
        async with temporary_run(self.runs) as run:
            command = Command(
                argv=(str(self.git_binary), *options, *words),
                cwd=place,
                environment={**PLAIN_ENVIRONMENT, **_git_environment(author)},
                reach=reach,
                timeout_s=60,
            )
            end = await finish(command, run)
            said = run.stdout.read_text(errors="replace") if run.stdout.exists() else ""
            wrong = run.stderr.read_text(errors="replace") if run.stderr.exists() else ""
        if not isinstance(end, Ended) or not end.ok:
            raise GitError(f"git {words[0]}: {(wrong or said or str(end)).strip()[-600:]}")
        return said

    def _vetted(self, mission: str) -> Path:
        return self.root / "vetted" / f"{self.worktree(mission).name}.json"

    async def _knows(self, branch: str) -> bool:
        return bool(await self.git("for-each-ref", f"refs/heads/{branch}"))

    async def _ensure_repository(self) -> None:
        if (self.repository / "HEAD").exists() and await self._knows("main"):
            return
        self.repository.mkdir(mode=0o700, exist_ok=True)
        await self.git("init", "-q", "--bare", "-b", "main")
        empty = (await self.git("hash-object", "-t", "tree", "-w", "/dev/null")).strip()
        first = (await self.git("commit-tree", empty, "-m", f"Estate {self.name}")).strip()
        await self.git("update-ref", "refs/heads/main", first)

    def _copy_blueprints(self, tree: Path) -> dict[str, str]:
        """Their hashes by path."""
        found = {**self._modules_and_roles(), **self._playbooks(), **self._login()}
        for path, content in found.items():
            Folder(tree).write(path, content)
        return {path: hashlib.sha256(content).hexdigest() for path, content in found.items()}

    def _modules_and_roles(self) -> dict[str, bytes]:
        contents: dict[str, bytes] = {}
        for folder, below in ((self.blueprints, BLUEPRINTS), (self.roles, f"{BLUEPRINTS}/roles")):
            if folder is None or not folder.is_dir():
                continue
            source = Folder(folder)
            for found in source.walk():
                if found.kind in {"file", "hard link"} and not found.path.startswith("."):
                    contents[f"{below}/{found.path}"] = source.read(found.path, LARGEST, shared=True)
        return contents

    def _playbooks(self) -> dict[str, bytes]:
        if self.roles is None or not self.roles.is_dir():
            return {}
        return {f"{BLUEPRINTS}/{path.name}": path.read_bytes() for path in sorted(self.roles.parent.glob("*.yml"))}

    def _login(self) -> dict[str, bytes]:
        """Only what is a public key: a private one in its place stays where it is."""
        key = self.login.with_name(f"{self.login.name}.pub") if self.login else None
        if key is None or not key.is_file():
            return {}
        content = key.read_bytes()
        return {f"{BLUEPRINTS}/login.pub": content} if PUBLIC_KEY.fullmatch(content.strip()) else {}

    @asynccontextmanager
    async def _alone(self) -> AsyncGenerator[None]:
        """One git writer per estate, over all workers that share the folder."""
        opened = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(0.05)
            yield
        finally:
            os.close(opened)


@dataclass(frozen=True, slots=True)
class Estates:
    """All estates of this deployment, by name. `data` is the program's data folder."""

    data: Path
    blueprints: Path
    git_binary: Path = Path("/usr/bin/git")
    roles: Path | None = None
    login: Path | None = None

    def named(self, name: str) -> Estate:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no estate's name: small letters, digits and `-`")
        return Estate(self.data / "estates" / name, self.blueprints, self.git_binary, self.roles, self.login)


def estate_lock(estate: str) -> str:
    """The lock's name: one change of an estate at a time, whichever tool makes it."""
    return f"estate/{estate}"


async def estate_in_use(locks: Locks, scope: Scope, what: str, then: str = "Ask again") -> Cannot | None:
    """Take the mission's estate for `what`; why that cannot be now, where another change has it."""
    mission = scope.mission
    taken = await locks.lock(estate_lock(mission.estate), str(mission.id), what)
    return Cannot(f"The estate is in use: {taken}. {then} when it is free.", "estate lock") if taken else None


def _git_environment(author: tuple[str, str]) -> dict[str, str]:
    return {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_AUTHOR_NAME": author[0],
        "GIT_AUTHOR_EMAIL": author[1],
        "GIT_COMMITTER_NAME": WATCHBILL[0],
        "GIT_COMMITTER_EMAIL": WATCHBILL[1],
    }


def is_blob(content: bytes, name: str) -> bool:
    """Whether git calls exactly these bytes `name`."""
    kind = "sha256" if len(name) == hashlib.sha256().digest_size * 2 else "sha1"
    return hashlib.new(kind, b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == name


def _short(hashes: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()[:12]
