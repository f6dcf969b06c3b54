"""The worktree: commits in the persona's name, refusals with reasons, no way out (rules 16 and 23)."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.calls import CallClass, Prepared
from bot.domain.ids import Json, MissionId, PersonaName
from bot.domain.ports import ArgumentError, Cannot, Done, Scope, Tool
from tests.fakes import FakeWatch, call, mission, scope
from tools.estate import Estate, Estates, GitError
from tools.folder import Folder, RefusedPathError
from tools.workspace import Workspace, WorkspaceList, WorkspacePatch, WorkspaceRead, WorkspaceWrite

GIT = Path("/usr/bin/git")


@pytest.fixture
def blueprints(tmp_path: Path) -> Path:
    folder = tmp_path / "vetted"
    (folder / "proxmox-vms").mkdir(parents=True)
    (folder / "proxmox-vms" / "main.tf").write_text("# vetted\n")
    return folder


@pytest.fixture
def estates(tmp_path: Path, blueprints: Path) -> Estates:
    return Estates(tmp_path / "data", blueprints, GIT)


@pytest.fixture
def estate(estates: Estates) -> Estate:
    return estates.named("home")


class House:
    def __init__(self, estates: Estates) -> None:
        workspace = Workspace(estates)
        one: tuple[Tool, ...] = (
            *(WorkspaceList(workspace), WorkspaceRead(workspace)),
            *(WorkspaceWrite(workspace), WorkspacePatch(workspace)),
        )
        self.tools: dict[str, Tool] = {tool.name: tool for tool in one}
        self.scope: Scope = scope(mission(estate="home"))

    async def prepare(self, tool: str, **arguments: Json) -> Prepared | Cannot:
        return await self.tools[tool].prepare(call(tool), self.tools[tool].parse(arguments), self.scope)

    async def use(self, tool: str, **arguments: Json) -> Done:
        prepared = await self.prepare(tool, **arguments)
        assert isinstance(prepared, Prepared), prepared
        assert prepared.effect.cls is CallClass.READ
        return await self.tools[tool].run(prepared, self.tools[tool].parse(arguments), self.scope, FakeWatch())


@pytest.fixture
def house(estates: Estates) -> House:
    return House(estates)


async def test_rule_16_a_gitignore_hides_nothing_from_the_record(house: House, estate: Estate) -> None:
    for path, content in ((".gitignore", "*\n"), ("main.tf", "# hidden\n")):
        assert (await house.use("workspace_write", path=path, content=content)).result.status == "ok"
    assert {".gitignore", "main.tf", "blueprints/proxmox-vms/main.tf"} <= set(await estate.committed("7"))


async def test_every_worktree_has_the_playbooks_beside_the_roles_and_the_key_that_hosts_have_to_know(
    tmp_path: Path, blueprints: Path
) -> None:
    ansible, key = tmp_path / "ansible", tmp_path / "login" / "id"
    for path, text in (("roles/base/tasks/main.yml", "[]\n"), ("cluster.yml", "[]\n"), ("README.md", "no\n")):
        (ansible / path).parent.mkdir(parents=True, exist_ok=True)
        (ansible / path).write_text(text)
    key.parent.mkdir()
    key.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    public = key.with_name("id.pub")
    public.write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJzb watchbill\n")
    estates = Estates(tmp_path / "data", blueprints, GIT, ansible / "roles", key)
    tree = await estates.named("home").open("7")
    copied = sorted(str(path.relative_to(tree)) for path in (tree / "blueprints").rglob("*") if path.is_file())
    assert copied == [
        "blueprints/cluster.yml", "blueprints/login.pub", "blueprints/proxmox-vms/main.tf",
        "blueprints/roles/base/tasks/main.yml",
    ]  # fmt: skip
    assert (tree / "blueprints/login.pub").read_bytes() == public.read_bytes()
    assert set(estates.named("home").vetted_hashes("7")) == set(copied)
    public.write_text(key.read_text())  # a private key by mistake
    assert not (await estates.named("home").open("8") / "blueprints/login.pub").exists()


async def test_rule_16_a_write_that_git_does_not_take_is_undone(house: House, estate: Estate) -> None:
    await house.use("workspace_write", path="main.tf", content="# one\n")
    lock = next((estate.repository / "worktrees").glob("*/HEAD")).with_name("index.lock")
    lock.touch()
    for path in ("main.tf", "new.tf"):
        done = await house.use("workspace_write", path=path, content="# two\n")
        assert (done.result.status, "git add" in done.result.text) == ("failed", True)
    lock.unlink()
    tree = estate.worktree("7")
    assert (tree / "main.tf").read_text() == "# one\n"
    assert not (tree / "new.tf").exists()
    assert await estate.git("status", "--porcelain", tree=tree) == ""


async def test_a_write_is_a_commit_in_the_name_of_the_persona(house: House, estate: Estate) -> None:
    done = await house.use("workspace_write", path="main.tf", content="# one\n")
    assert done.result.text.startswith("Wrote main.tf (6 bytes), commit ")
    log = await estate.git("log", "-1", "--format=%an <%ae> %cn %s %h", "missions/7")
    assert log.startswith("Builder <builder@watchbill> Watchbill Write main.tf ")
    assert log.strip().endswith(str(done.result.facts["commit"]))
    assert not done.result.changed
    assert (await house.use("workspace_read", path="main.tf")).result.text == "# one\n"
    again = await house.use("workspace_write", path="./main.tf", content="# one\n")
    assert "was the same already" in again.result.text


async def test_a_patch_needs_its_text_exactly_once(house: House) -> None:
    await house.use("workspace_write", path="a/main.tf", content="x = 1\ny = 1\n")
    assert "occurs 0 times" in (await house.use("workspace_patch", path="a/main.tf", old="z", new="")).result.text
    assert "occurs 2 times" in (await house.use("workspace_patch", path="a/main.tf", old="= 1", new="")).result.text
    done = await house.use("workspace_patch", path="a/main.tf", old="y = 1", new="y = 2")
    assert done.result.text.startswith("Patched a/main.tf (12 bytes), commit ")
    assert (await house.use("workspace_read", path="a/main.tf")).result.text == "x = 1\ny = 2\n"


async def test_the_listing_shows_code_and_blueprints_and_nothing_of_git(house: House) -> None:
    await house.use("workspace_write", path="main.tf", content="# one\n")
    listed = (await house.use("workspace_list")).result.text
    assert listed.split("\n") == ["blueprints/proxmox-vms/main.tf 9", "main.tf 6"]
    assert (await house.use("workspace_list", path="nope")).result.status == "failed"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("../x", "no `..`"),
        ("/etc/passwd", "relative to the workspace"),
        ("~/.ssh/id", "relative to the workspace"),
        ("a\\b", "with / between names"),
        (".git/hooks/pre-commit", "git's own files are closed"),
        ("a/.GIT/config", "git's own files are closed"),
        (".terraform/x", "not hidden"),
        ("blueprints/proxmox-vms/main.tf", "vetted and read-only"),
        ("Blueprints/x", "vetted and read-only"),
        ("terraform.tfstate", "kept by the estate"),
        ("x/terraform.tfstate.backup", "kept by the estate"),
        ("a/b/c/d/e/f/g/h/i", "at most 8 folders"),
        (".", "name a file"),
    ],
)
async def test_rule_16_refused_paths_say_why(house: House, path: str, said: str) -> None:
    for tool, more in (("workspace_write", {"content": "x"}), ("workspace_patch", {"old": "a", "new": "b"})):
        refused = await house.prepare(tool, path=path, **more)
        assert isinstance(refused, Cannot)
        assert said in refused.text


@pytest.mark.parametrize("content", ["a\u202eb", "a\x1b[31m", "a\r\n", "\ufeffa"])
async def test_rule_23_text_that_hides_something_from_a_reader_is_refused(house: House, content: str) -> None:
    refused = await house.prepare("workspace_write", path="a", content=content)
    assert isinstance(refused, Cannot)
    assert "leave it out" in refused.text


async def test_wrong_arguments_are_named(house: House) -> None:
    with pytest.raises(ArgumentError, match=r"content: Field required.*The arguments are: path, content"):
        await house.prepare("workspace_write", path="a")
    with pytest.raises(ArgumentError, match="mode: Extra inputs"):
        await house.prepare("workspace_read", path="a", mode="x")


async def test_rule_16_links_in_the_tree_are_neither_followed_nor_replaced(
    house: House, estate: Estate, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("outside")
    tree = await estate.open("7")
    (tree / "link").symlink_to(secret)
    (tree / "folder").symlink_to(tmp_path)
    os.link(secret, tree / "hard")
    for path in ("link", "folder/secret", "hard"):
        assert (await house.use("workspace_read", path=path)).result.status == "failed"
        assert (await house.use("workspace_write", path=path, content="x")).result.status == "failed"
    assert secret.read_text() == "outside"


async def test_rule_16_hooks_in_the_repository_do_not_run(house: House, estate: Estate, tmp_path: Path) -> None:
    await estate.open("7")
    hook = estate.repository / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
    hook.chmod(0o755)
    assert (await house.use("workspace_write", path="main.tf", content="x")).result.status == "ok"
    assert not (tmp_path / "ran").exists()


async def test_two_missions_have_branches_of_their_own_and_merge(house: House, estate: Estate) -> None:
    await house.use("workspace_write", path="main.tf", content="# of 7\n")
    other = replace(
        house.scope, mission=replace(house.scope.mission, id=MissionId("8")), persona=PersonaName("builder")
    )
    house.scope, first = other, house.scope
    assert (await house.use("workspace_read", path="main.tf")).result.status == "failed"
    assert await estate.merge("7") == ""
    assert await estate.git("show", "main:main.tf") == "# of 7\n"
    assert "Mission 7" in await estate.git("log", "-1", "--format=%s", "main")
    assert await estate.merge("7") == ""
    await house.use("workspace_write", path="main.tf", content="# of 8\n")
    assert "main.tf" in await estate.merge("8")
    house.scope = first
    assert (await house.use("workspace_read", path="main.tf")).result.text == "# of 7\n"


async def test_writers_of_one_estate_take_turns(house: House) -> None:
    done = await asyncio.gather(*(house.use("workspace_write", path=f"f{n}", content=str(n)) for n in range(4)))
    assert {d.result.status for d in done} == {"ok"}


async def test_git_errors_are_told_in_its_words(estate: Estate) -> None:
    await estate.open("7")
    with pytest.raises(GitError, match="git show"):
        await estate.git("show", "nothing-here")


def test_names_of_estates_and_missions_stay_inside(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no estate's name"):
        Estates(tmp_path, tmp_path).named("../x")
    with pytest.raises(ValueError, match="no mission's name"):
        Estates(tmp_path, tmp_path).named("home").worktree("../7")
    root, below = (Estates(tmp_path, tmp_path).named("home").state_folder(d) for d in (".", "a/b"))
    assert {root.name, below.name} == {"%root", "a%2Fb"}


def test_a_folder_exchanged_for_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "a").rmdir()
    (tmp_path / "in" / "a").symlink_to(tmp_path / "out")
    with pytest.raises(RefusedPathError, match="a link"):
        Folder(tmp_path / "in").write("a/x", b"x")
    assert list((tmp_path / "out").iterdir()) == []
    os.mkfifo(tmp_path / "in" / "pipe")
    with pytest.raises(RefusedPathError, match="no regular file"):
        Folder(tmp_path / "in").read("pipe", 10)
    assert [f.kind for f in Folder(tmp_path / "in").walk()] == ["link", "other"]
