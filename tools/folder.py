"""Files below one folder, and never outside: no `..`, no links, no races.

Every name on the way is opened on its own, relative to the folder above it and without following links, so a name that
is exchanged between a check and its use changes nothing. (`openat2` would do the same in one call on newer kernels
only; this works everywhere.)
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
Kind = Literal["file", "folder", "link", "hard link", "other"]


class RefusedPathError(ValueError):
    """The path may not be used. The text says why, in words for the one who asked."""


@dataclass(frozen=True, slots=True)
class Found:
    """One name below the folder. `path` uses `/`."""

    path: str
    kind: Kind
    size: int
    executable: bool = False


def split(path: str) -> tuple[str, ...]:
    """The parts of a relative path. Raises RefusedPathError for anything that could lead elsewhere."""
    if path.startswith(("/", "~")) or "\\" in path or "\0" in path or not path.isprintable():
        raise RefusedPathError(f"{path!r}: give a path relative to the workspace, with / between names")
    parts = tuple(part for part in path.split("/") if part not in {"", "."})
    if ".." in parts:
        raise RefusedPathError(f"{path!r}: no `..` in paths")
    return parts


@dataclass(frozen=True, slots=True)
class Folder:
    """`root` itself is trusted (ours); everything below it is not."""

    root: Path

    def read(self, path: str, most: int, *, shared: bool = False) -> bytes:
        """A regular file's bytes. Refuses links, hard links (unless `shared`), devices, and more than `most` bytes."""
        parts = split(path)
        if not parts:
            raise RefusedPathError(f"{path!r} is a folder")
        with self._open(parts[:-1]) as above:
            try:
                opened = os.open(parts[-1], FILE, dir_fd=above)
            except FileNotFoundError:
                raise RefusedPathError(f"{path}: no such file") from None
            except OSError as error:
                raise RefusedPathError(f"{path}: {error.strerror}; links are not followed") from None
        try:
            about = os.fstat(opened)
            _check_regular(path, about, shared=shared)
            if about.st_size > most:
                raise RefusedPathError(f"{path}: {about.st_size} bytes, at most {most} are read")
            with os.fdopen(opened, "rb", closefd=False) as stream:
                return stream.read(most)
        finally:
            os.close(opened)

    def write(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Replace or create a regular file, whole or not at all. Folders on the way are made."""
        parts = split(path)
        if not parts:
            raise RefusedPathError(f"{path!r} is a folder")
        with self._open(parts[:-1], make=True) as above:
            with contextlib.suppress(FileNotFoundError):
                _check_regular(path, os.stat(parts[-1], dir_fd=above, follow_symlinks=False), shared=False)
            partial = f".{secrets.token_hex(8)}.partial"
            opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=above)
            try:
                with os.fdopen(opened, "wb") as stream:
                    stream.write(content)
                os.rename(partial, parts[-1], src_dir_fd=above, dst_dir_fd=above)
            finally:
                with contextlib.suppress(FileNotFoundError):  # renamed, where all went well
                    os.unlink(partial, dir_fd=above)

    def delete(self, path: str) -> None:
        """Take a name away, whatever it is but a folder; nothing is followed. Gone already is fine."""
        parts = split(path)
        with contextlib.suppress(FileNotFoundError), self._open(parts[:-1]) as above:
            os.unlink(parts[-1], dir_fd=above)

    def walk(self, path: str = ".") -> Iterator[Found]:
        """Everything below `path`, sorted, folders before what is in them. Links are named, not followed."""
        parts = split(path)
        with self._open(parts) as top:
            yield from _walk(top, "/".join(parts))

    def contents(self, most: int, most_together: int) -> dict[str, bytes]:
        """Every file but git's own. Raises RefusedPathError for links, and for more bytes than wanted."""
        found = {f.path: f for f in self.walk() if f.path != ".git" and not f.path.startswith(".git/")}
        files: dict[str, bytes] = {}
        for one in found.values():
            if one.kind == "folder":
                continue
            if one.kind != "file":
                raise RefusedPathError(f"{one.path} is a {one.kind}; the code holds plain files only")
            files[one.path] = self.read(one.path, most)
        if sum(map(len, files.values())) > most_together:
            raise RefusedPathError(f"the code is larger than {most_together} bytes")
        return files

    def link_target(self, path: str) -> str:
        """Where a symbolic link points, as written in it."""
        parts = split(path)
        with self._open(parts[:-1]) as above:
            return os.readlink(parts[-1], dir_fd=above)

    @contextmanager
    def _open(self, parts: tuple[str, ...], *, make: bool = False) -> Generator[int]:
        """A descriptor of the folder named by `parts`."""
        here = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for number, part in enumerate(parts):
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=here)
                try:
                    below = os.open(part, DIRECTORY, dir_fd=here)
                except FileNotFoundError:
                    raise RefusedPathError(f"{'/'.join(parts[: number + 1])}: no such folder") from None
                except OSError:
                    raise RefusedPathError(f"{'/'.join(parts[: number + 1])}: not a folder, or a link") from None
                os.close(here)
                here = below
            yield here
        finally:
            os.close(here)


def _walk(folder: int, path: str) -> Iterator[Found]:
    for name in sorted(os.listdir(folder)):
        inner = f"{path}/{name}" if path else name
        try:
            about = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue
        kind = _kind(about)
        yield Found(inner, kind, about.st_size, executable=bool(about.st_mode & stat.S_IXUSR))
        if kind == "folder":
            try:
                below = os.open(name, DIRECTORY, dir_fd=folder)
            except OSError:  # exchanged for something else meanwhile
                continue
            try:
                yield from _walk(below, inner)
            finally:
                os.close(below)


def _kind(about: os.stat_result) -> Kind:
    if stat.S_ISDIR(about.st_mode):
        return "folder"
    if stat.S_ISLNK(about.st_mode):
        return "link"
    if not stat.S_ISREG(about.st_mode):
        return "other"
    return "hard link" if about.st_nlink > 1 else "file"


def _check_regular(path: str, about: os.stat_result, *, shared: bool) -> None:
    match _kind(about):
        case "file":
            return
        case "hard link" if shared:
            return
        case "folder":
            raise RefusedPathError(f"{path}: is a folder")
        case "link" | "hard link":
            raise RefusedPathError(f"{path}: is a link; links are neither read nor written")
        case _:
            raise RefusedPathError(f"{path}: is no regular file")
