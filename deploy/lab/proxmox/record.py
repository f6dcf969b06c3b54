"""What clients did, in order, kept in a file so that a restart does not forget it."""

import base64
import json
import time
import urllib.parse
from pathlib import Path
from typing import Any

HIDDEN = frozenset({"cipassword", "password", "sshkeys"})


class Record:
    """Calls are appended to record.jsonl; planted secrets are looked for in everything but the credentials."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "record.jsonl"
        self._secrets: set[str] = set()
        self.calls: list[dict[str, Any]] = []
        self.secrets_seen = 0
        if self._file.exists():
            self.calls = [json.loads(line) for line in self._file.read_text().splitlines()]
            self.secrets_seen = sum(1 for call in self.calls if call.get("secret_seen"))

    def plant(self, secrets: list[str]) -> None:
        """Add strings that must never arrive, with their base64 and URL-encoded forms."""
        for secret in filter(None, secrets):
            self._secrets |= {secret, base64.b64encode(secret.encode()).decode(), urllib.parse.quote(secret, safe="")}

    def add(self, call: dict[str, Any], raw: str) -> None:
        if any(secret in raw for secret in self._secrets):
            self.secrets_seen += 1
            call["secret_seen"] = True
        call["at"] = round(time.time(), 3)
        self.calls.append(call)
        with self._file.open("a") as out:
            out.write(json.dumps(call) + "\n")


def hide_values(given: dict[str, str]) -> dict[str, str]:
    return {key: "(hidden)" if key in HIDDEN else value for key, value in given.items()}
