"""Which labs run on this machine, so that a start can clean up after one that was killed, and after no other."""

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

MARK = ".alive"


@contextlib.contextmanager
def held(path: Path, text: str = "") -> Iterator[None]:
    """A file with a lock that goes with the process. It appears under its name only when lock and text are there."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    with draft.open("x") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.write(text)
        handle.flush()
        draft.rename(path)
        yield


@contextlib.contextmanager
def registered(folder: Path, places: Sequence[Path], clean: Callable[[str, Sequence[Path]], None]) -> Iterator[str]:
    """A name for this run. Runs that nobody holds any more are cleaned up first.

    `clean` gets the name of a dead run and the places that it noted, where something with that name may be left. It is
    called for this run, too, at its end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob("*.run")):
        if _take(path):
            clean(path.stem, [Path(line) for line in path.read_text().splitlines()])
            path.unlink(missing_ok=True)
    name = secrets.token_hex(4)
    with held(folder / f"{name}.run", "".join(f"{place}\n" for place in places)):
        try:
            yield name
        finally:
            clean(name, places)
            (folder / f"{name}.run").unlink(missing_ok=True)


def remove_dead(parent: Path, prefix: str) -> list[Path]:
    """Remove temporary folders of this user that a killed run left: those that carry the mark and that nobody holds."""
    removed: list[Path] = []
    for folder in parent.glob(f"{prefix}*"):
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid() or not _take(folder / MARK):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        removed.append(folder)
    return removed


def _take(path: Path) -> bool:
    """Whether the file is there and nobody holds it."""
    try:
        with path.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except OSError:
        return False
