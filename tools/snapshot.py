"""Content-addressed, read-only copies of everything a call will read (rule 11).

A snapshot is a manifest, a JSON object; its name, the revision, is the SHA-256 of the manifest's canonical form. The
files lie once each under their own SHA-256. Whoever takes a file out reads it whole and compares, so a changed byte is
found before it is used and not after.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.domain.digest import canonical
from bot.domain.ids import Json
from tools.folder import Folder

MANIFEST_BYTES: Final = 5_000_000


class ChangedError(Exception):
    """A stored byte is not what it was. The text names the file; nothing of the snapshot may be used."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One file of a snapshot. `secret` files (plans) hold values in clear and are deleted first."""

    sha256: str
    size: int
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """`files`: path → file. `facts`: small values that belong to the snapshot (what was planned, with what)."""

    files: Mapping[str, Kept]
    facts: Mapping[str, str]

    def as_json(self) -> Json:
        files = {p: {"sha256": k.sha256, "size": k.size, "executable": k.executable} for p, k in self.files.items()}
        return {"files": files, "facts": dict(self.facts)}

    @property
    def revision(self) -> str:
        return hashlib.sha256(canonical(self.as_json())).hexdigest()


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The store below `root`. Only the program's own user can read it."""

    root: Path

    def keep(self, content: bytes, *, executable: bool = False) -> Kept:
        """Store bytes; the same bytes are stored once."""
        name = hashlib.sha256(content).hexdigest()
        path = self._object(name)
        if not path.exists() or path.stat().st_size != len(content):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write_once(path, content)
        return Kept(name, len(content), executable)

    def seal(self, manifest: Manifest) -> str:
        """Store the manifest. Returns the revision."""
        path = self._manifest(manifest.revision)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_once(path, canonical(manifest.as_json()))
        return manifest.revision

    def load(self, revision: str) -> Manifest:
        """Raises KeyError for an unknown revision, ChangedError where the manifest is not what it was."""
        try:
            content = self._manifest(revision).read_bytes()[:MANIFEST_BYTES]
        except FileNotFoundError:
            raise KeyError(revision) from None
        if hashlib.sha256(content).hexdigest() != revision:
            raise ChangedError(f"the list of files of {revision[:12]} was changed")
        plain = json.loads(content)
        files = {path: Kept(**kept) for path, kept in plain["files"].items()}
        return Manifest(files, plain["facts"])

    def find(self, prefix: str) -> tuple[str, ...]:
        """Revisions that begin with `prefix` (hex, 8 digits at least)."""
        if len(prefix) < 8 or not all(c in "0123456789abcdef" for c in prefix):
            return ()
        return tuple(sorted(p.stem for p in (self.root / "manifests").glob(f"{prefix}*.json")))

    def take(self, manifest: Manifest, path: str) -> bytes:
        """A file's bytes, compared with its SHA-256. Raises ChangedError."""
        kept = manifest.files[path]
        try:
            content = self._object(kept.sha256).read_bytes()
        except FileNotFoundError:
            raise ChangedError(f"{path}: the stored copy is gone") from None
        if hashlib.sha256(content).hexdigest() != kept.sha256:
            raise ChangedError(f"{path}: the stored copy was changed")
        return content

    def verify(self, manifest: Manifest) -> None:
        """Every byte again. Raises ChangedError."""
        for path in manifest.files:
            self.take(manifest, path)

    def unpack(self, manifest: Manifest, paths: Iterable[str], into: Path) -> None:
        """Copy files out, each compared on the way: what is written is what was compared. Raises ChangedError."""
        folder = Folder(into)
        for path in paths:
            folder.write(path, self.take(manifest, path), mode=0o700 if manifest.files[path].executable else 0o600)

    def forget(self, revision: str, *paths: str) -> None:
        """Delete the stored copies of `paths` (a plan that was used up). The manifest stays, for the record."""
        manifest = self.load(revision)
        for path in paths:
            if path in manifest.files:
                self._object(manifest.files[path].sha256).unlink(missing_ok=True)

    def forget_old(self, before: float, *suffixes: str) -> None:
        """Delete the copies of files whose path ends so, in manifests stored before that time (seconds since 1970)."""
        for place in (self.root / "manifests").glob("*.json"):
            if place.stat().st_mtime < before:
                paths = [p for p in self.load(place.stem).files if p.endswith(suffixes)]
                self.forget(place.stem, *paths)

    def _object(self, name: str) -> Path:
        return self.root / "objects" / name[:2] / name

    def _manifest(self, revision: str) -> Path:
        return self.root / "manifests" / f"{revision}.json"


def _write_once(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with contextlib.suppress(FileNotFoundError):
        partial.unlink()
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
