"""The cache folder: one process at a time, files complete or absent, and a note of where each came from."""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Say = Callable[[str], None]


class UnobtainableError(RuntimeError):
    """Something cannot be had here; the text says what to install or allow."""


@dataclass(frozen=True)
class Cache:
    folder: Path

    @property
    def _notes_file(self) -> Path:
        return self.folder / "bundle.json"

    def read_notes(self) -> dict[str, Any]:
        try:
            return json.loads(self._notes_file.read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def note(self, name: str, facts: dict[str, Any]) -> None:
        replace_file(self._notes_file, json.dumps(self.read_notes() | {name: facts}, indent=2).encode() + b"\n")

    def find(self, name: str, path: Path) -> dict[str, Any] | None:
        """The note of a cached file, if it is there and still what it was; anything else counts as absent."""
        facts = self.read_notes().get(name)
        if not facts or not path.exists() or hash_file(path) != facts.get("sha256"):
            return None
        return facts

    @contextlib.contextmanager
    def locked(self, say: Say) -> Iterator[None]:
        """Hold the folder against a second process; the lock goes with the process, however it ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"another process fills {self.folder}; waiting for it")
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def hash_file(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def replace_file(path: Path, content: bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    draft.write_bytes(content)
    draft.chmod(mode)
    draft.replace(path)
