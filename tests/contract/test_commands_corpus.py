"""The acceptance figures on a corpus of commands with expectations, where it lies beside the project."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest

from bot.domain.calls import CallClass
from tests.commands_house import DATA, shipped, shipped_catalogue

HARM = {CallClass.DESTROY, CallClass.FORBIDDEN}
OWN = "own:"
# Programs of every family: without them the figures would be of half a catalogue.
FAMILIES = ("ls", "ip", "apt-get", "psql", "docker", "terraform", "helm", "pvesh", "aws", "timeout", "python3")

pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"the corpus is not here: {DATA}")
whole = pytest.mark.skipif(
    any(program not in shipped_catalogue().programs for program in FAMILIES),
    reason=f"the figures are for a catalogue that has all of {', '.join(FAMILIES)}",
)


@dataclass(frozen=True, slots=True)
class Row:
    command: str
    wanted: str
    own: bool
    category: str
    cls: CallClass
    said: str


@lru_cache(maxsize=1)
def rows() -> tuple[Row, ...]:
    return tuple(_rows())


def _rows() -> Iterator[Row]:
    for line in DATA.read_text(encoding="utf-8").rstrip("\n").split("\n"):  # some commands hold other line ends
        row: dict[str, Any] = json.loads(line)
        if row.get("disputed") or row.get("ambiguous"):
            continue
        answer = shipped().classify(row["command"])
        own = row["source"].startswith(OWN)
        yield Row(row["command"], row["assert"], own, row["category"], answer.cls, str(answer))


def covered(command: str) -> bool:
    """Whether the first program of the command is one of the catalogue's."""
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    return bool(words) and words[0].rpartition("/")[2] in shipped_catalogue().programs


def share(good: list[Row], of: list[Row]) -> tuple[float, str]:
    missed = [f"{row.command!r}: {row.said}" for row in of if row not in good]
    return len(good) / max(1, len(of)), f"{len(good)} of {len(of)}; not: " + "\n".join(missed[:20])


def test_nothing_that_changes_or_destroys_runs_without_approval() -> None:
    wrong = [f"{row.command!r}: {row.said}" for row in rows() if row.wanted.startswith("min_") and row.cls == "read"]
    assert not wrong


@whole
def test_nine_in_ten_reads_run_without_approval() -> None:
    reads = [row for row in rows() if row.wanted == "readonly" and (row.own or covered(row.command))]
    reached, shown = share([row for row in reads if row.cls == "read"], reads)
    assert reached >= 0.92, shown


@whole
def test_every_read_of_proxmox_runs_without_approval() -> None:
    reads = [row for row in rows() if row.wanted == "readonly" and row.category == "proxmox"]
    reached, shown = share([row for row in reads if row.cls == "read"], reads)
    assert reached == 1, shown


@whole
def test_harm_is_called_harm() -> None:
    harmful = [row for row in rows() if row.wanted == "min_destructive" and row.own]
    reached, shown = share([row for row in harmful if row.cls in HARM], harmful)
    assert reached >= 0.96, shown
