"""What this machine knows of a call that changes something and runs in no process of its own: written before, and at its end."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bot.domain.calls import Prepared
from tools.confine import write_whole
from tools.estate import Estates

LONGEST: Final = 8000  # characters of the text that is kept


@dataclass(frozen=True, slots=True)
class Trace:
    """One file per call, on disk when a method returns. `notes`: whatever the tool needs to go on after a crash."""

    path: Path

    @classmethod
    def of(cls, estates: Estates, prepared: Prepared) -> "Trace":
        call, mission = prepared.call, prepared.call.mission
        name = "".join(c if c.isalnum() else "-" for c in str(call.id))[:60]
        folder = estates.named(str(prepared.binding["estate"])).runs
        return cls(folder / f"{call.tool.replace('_', '-')}-{mission}-{name}.json")

    def begin(self, notes: Any = None) -> bool:
        """False where it was begun before: then it must not run."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            return False
        write_whole(self.path, {"status": "", "text": "", "notes": notes})
        return True

    def note(self, notes: Any) -> None:
        """How far it came."""
        write_whole(self.path, {"status": "", "text": "", "notes": notes})

    def end(self, status: str, text: str) -> None:
        if self.path.exists():
            write_whole(self.path, {"status": status, "text": text[:LONGEST], "notes": self.notes()})

    def read(self) -> tuple[str, str] | None:
        """Status ("" while it runs) and text; None where it was never begun."""
        noted = self._noted()
        return None if noted is None else (noted["status"], noted["text"])

    def notes(self) -> Any:
        """What was noted last; None where nothing was."""
        noted = self._noted()
        return None if noted is None else noted.get("notes")

    def _noted(self) -> Any:
        try:
            return json.loads(self.path.read_text())
        except FileNotFoundError:
            return None
