"""The shipped catalogue, and small ones written in a test."""

import shutil
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from bot.domain.calls import CallClass
from bot.policy.commands.catalogue import Catalogue, read_catalogue
from bot.policy.commands.classify import Classifier
from bot.policy.commands.entries import Program
from bot.policy.commands.loading import load_classifier
from bot.policy.commands.shell import read_line

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ROOT / "policies" / "commands"
DATA = ROOT.parent / "shared" / "data" / "commands-dev.jsonl"

LOOK = """look:
  is: [read, shows things]
  flags: -a,--all -v,--verbose --brief
  values: -n,--number
  writes: -o,--output
  optional: --color
  operands: reads...
  helps: --help
  match: {read: [look x]}
  not_match: {read: [look -o y]}
"""


@lru_cache(maxsize=1)
def shipped() -> Classifier:
    return load_classifier(COMMANDS)


@lru_cache(maxsize=1)
def shipped_catalogue() -> Catalogue:
    return read_catalogue(COMMANDS)


def programs() -> Iterator[Program]:
    seen: set[str] = set()
    for program in shipped_catalogue().programs.values():
        if program.name not in seen:
            seen.add(program.name)
            yield program


@lru_cache(maxsize=1)
def examples() -> tuple[tuple[CallClass, str], ...]:
    """Every example of the shipped catalogue with its class, where the whole line is in the strict grammar."""
    found = [(cls, command) for program in programs() for cls, command in program.match]
    return tuple((cls, command) for cls, command in found if not read_line(command).doubts)


def folder_with(tmp_path: Path, **files: str) -> Path:
    """A catalogue folder with the shipped facts and these files."""
    folder = tmp_path / "policies" / "commands"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(COMMANDS / "facts.yaml", folder / "facts.yaml")
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def classifier_of(tmp_path: Path, **files: str) -> Classifier:
    return load_classifier(folder_with(tmp_path, **files))
