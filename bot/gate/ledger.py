"""The executor's own memory of what it began: a local file, so that a store that forgets cannot run a thing twice (rule 13)."""

import fcntl
import os
from pathlib import Path

from bot.domain.ids import RequestId
from bot.domain.storage import StoreUnavailableError


class ExecutionLedger:
    """One line per request that was begun. Workers of an estate share the file; it is only ever appended to."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, request: RequestId) -> bool:
        """Write `request` down, on disk before this returns. False if it stands there already: it must not run.

        Raises StoreUnavailableError where the file cannot be written: nothing may run then either.
        """
        line = f"{request}\n".encode()
        try:
            new = not self._path.exists()
            with self._path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.seek(0)
                whole = file.read()
                if line in whole.splitlines(keepends=True):
                    return False
                torn = b"" if not whole or whole.endswith(b"\n") else b"\n"  # a crash may have cut the last line
                file.write(torn + line)
                file.flush()
                os.fsync(file.fileno())
            if new:
                self._sync_folder()
        except OSError as error:
            raise StoreUnavailableError(f"the execution ledger {self._path} cannot be written: {error}") from error
        return True

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
