"""Rule 16: whatever path an agent writes, nothing outside its worktree, git or the blueprints is read or changed."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.folder import Folder, RefusedPathError, split
from tools.paths import PART, check_content, check_path

NAMES = st.sampled_from(
    (
        *("..", ".", "", "a", "main.tf", ".git", ".GIT", ".git.", "git~1", "blueprints", "Blueprints", "link"),
        *("dirlink", "hard", "x.tfstate", "~", "~root", "con", "a b", "é", "\u202egnp", "a\x00b", "a\nb", "C:", "..."),
        *("\\\\x", "..\\x"),
    )
)
PATHS = st.one_of(
    st.text(max_size=60),
    st.builds("/".join, st.lists(NAMES, max_size=6)),
    st.builds("/{}".format, st.text(max_size=20)),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`inside` is the worktree; everything around it must stay as it is."""
    top = tmp_path_factory.mktemp("world")
    (top / "secret").write_text("outside")
    inside = top / "inside"
    (inside / ".git").mkdir(parents=True)
    (inside / ".git" / "config").write_text("git's")
    (inside / "blueprints").mkdir()
    (inside / "blueprints" / "main.tf").write_text("vetted")
    (inside / "a").mkdir()
    (inside / "link").symlink_to(top / "secret")
    (inside / "dirlink").symlink_to(top)
    os.link(top / "secret", inside / "hard")
    return top


def guarded(top: Path) -> list[tuple[str, str]]:
    """Everything that no write may touch, and whether something new lies outside."""
    files = (top / "secret", top / "inside/.git/config", top / "inside/blueprints/main.tf")
    return [(str(f), f.read_text()) for f in files] + [(str(p), "") for p in sorted(top.iterdir())]


@given(path=PATHS, content=st.text(max_size=20))
@settings(max_examples=400, deadline=None)
def test_rule_16_no_write_gets_out(world: Path, path: str, content: str) -> None:
    before = guarded(world)
    folder = Folder(world / "inside")
    try:
        clean = check_path(path, writing=True)
        folder.write(clean, check_content(clean, content))
    except RefusedPathError:
        pass
    else:
        assert folder.read(clean, 1000) == content.encode()
        assert all(PART.fullmatch(p) or p in {".gitignore", ".editorconfig"} for p in clean.split("/"))
        (world / "inside" / clean).unlink()
    assert guarded(world) == before


@given(path=PATHS)
@settings(max_examples=400, deadline=None)
def test_rule_16_no_read_gets_out(world: Path, path: str) -> None:
    try:
        content = Folder(world / "inside").read(path, 1000)  # even without the workspace's own rules
    except RefusedPathError:
        return
    assert content != b"outside"


@given(path=PATHS)
def test_a_path_has_one_spelling(path: str) -> None:
    try:
        clean = check_path(path, writing=False)
    except RefusedPathError:
        return
    assert check_path(clean, writing=False) == clean
    assert ".." not in split(clean)


@given(text=st.text(max_size=50))
def test_content_is_kept_or_refused_never_altered(text: str) -> None:
    try:
        content = check_content("a", text)
    except RefusedPathError:
        return
    assert content.decode() == text
    assert not set(text) & set("\u202e\u2066\x00\x1b\r")
