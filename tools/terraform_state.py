"""Terraform's state of one estate's folder: pins, backups, the state's own lock. Never agent-readable as a file."""

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from tools.estate import Estate

BACKUPS_KEPT: Final = 50


class DamagedStateError(Exception):
    """The state file is no state. The text names it and the newest backup."""


@dataclass(frozen=True, slots=True)
class State:
    """The state of the code in one directory of the estate."""

    folder: Path
    backups: Path

    @property
    def file(self) -> Path:
        return self.folder / "terraform.tfstate"

    def ensure(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.backups.mkdir(parents=True, exist_ok=True, mode=0o700)

    def read(self) -> Mapping[str, Any]:
        """The parsed state, {} where nothing was applied yet. Raises DamagedStateError."""
        content = self._bytes()
        if not content:
            if self._newest():
                raise DamagedStateError(self._damage("is empty"))
            return {}
        try:
            state = json.loads(content)
        except ValueError:
            raise DamagedStateError(self._damage("is no JSON")) from None
        if not isinstance(state, dict) or "serial" not in state:
            raise DamagedStateError(self._damage("is no Terraform state"))
        return cast("dict[str, Any]", state)

    def pins(self) -> dict[str, str]:
        """Lineage, serial and hash as they are now."""
        state = self.read()
        return {
            "state.lineage": str(state.get("lineage", "none")),
            "state.serial": str(state.get("serial", "none")),
            "state.sha256": hashlib.sha256(self._bytes()).hexdigest() if state else "none",
        }

    def back_up(self) -> Path | None:
        """A copy outside the folder that Terraform may write. None where there is no state yet."""
        content = self._bytes()
        if not content:
            return None
        serial = int(self.read().get("serial", 0))
        place = self.backups / f"{serial:08d}-{hashlib.sha256(content).hexdigest()[:12]}.tfstate"
        if not place.exists():
            with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        for old in sorted(self.backups.glob("*.tfstate"))[:-BACKUPS_KEPT]:
            old.unlink()
        return place

    def close(self) -> None:
        """0600 for the state and what Terraform left beside it."""
        for path in self.folder.glob("*.tfstate*"):
            if path.is_file() and not path.is_symlink():
                path.chmod(0o600)

    def locked(self) -> bool:
        """Whether a Terraform process holds the state's lock."""
        try:
            opened = os.open(self.file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.EACCES}:
                return True
            raise
        finally:
            os.close(opened)
        return False

    def _bytes(self) -> bytes:
        try:
            opened = os.open(self.file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        with os.fdopen(opened, "rb") as stream:
            return stream.read()

    def _newest(self) -> Path | None:
        return max(self.backups.glob("*.tfstate"), default=None)

    def _damage(self, what: str) -> str:
        newest = self._newest()
        mend = f"the newest backup is {newest}" if newest else "there is no backup"
        return f"the state {self.file} {what}; {mend}. An operator has to look before anything is planned or applied"


def state_of(estate: Estate, directory: str) -> State:
    folder = estate.state_folder(directory)
    return State(folder, estate.root / "backups" / folder.name)


def state_outputs(state: Mapping[str, Any]) -> dict[str, tuple[str, bool]]:
    """Output name → (value as JSON text, sensitive)."""
    outputs = cast("Mapping[str, Mapping[str, Any]]", state.get("outputs") or {})
    return {n: (json.dumps(o.get("value"), ensure_ascii=False), bool(o.get("sensitive"))) for n, o in outputs.items()}
