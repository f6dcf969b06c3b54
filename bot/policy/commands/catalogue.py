"""Reading policies/commands: every program with what it can do, verified by its own examples."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, RootModel

from bot.policy.commands.entries import Program
from bot.policy.commands.entry_file import ProgramFile
from bot.policy.commands.facts import Facts, FactsFile
from bot.policy.commands.typed import Typing
from bot.policy.problems import PolicyError
from bot.policy.yaml_files import read_text, shown, validate

FACTS = "facts.yaml"
# Languages that the program reads itself, so that a read in them is known to be one.
READ_HERE = frozenset({"shell", "sql", "sed", "awk", "jq"})
MEND = "Keys are explained in policies/commands/README.md"


class CommandsFile(RootModel[dict[Annotated[str, Field(pattern=r"^[^\s/]+$")], ProgramFile]]):
    """One catalogue file: programs by name."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every program by each of its names."""

    programs: Mapping[str, Program]
    facts: Facts


def read_catalogue(folder: Path) -> Catalogue:
    """Every file of `folder` (policies/commands), each checked by itself. Raises PolicyError."""
    facts_path = folder / FACTS
    facts = validate(shown(facts_path), read_text(facts_path), FactsFile).typed()
    languages = READ_HERE | frozenset(facts.languages)
    programs: dict[str, Program] = {}
    for path in sorted(folder.glob("*.yaml")):
        if path.name == FACTS:
            continue
        for name, written in validate(shown(path), read_text(path), CommandsFile, MEND).root.items():
            _enter(programs, Typing(shown(path), name, languages).program(written))
    if not programs:
        raise PolicyError(str(folder), "", "it has no programs", "Restore the *.yaml files")
    return Catalogue(programs, facts)


def _enter(programs: dict[str, Program], program: Program) -> None:
    for name in (program.name, *program.also):
        if name in programs:
            where = f"it stands in {programs[name].file} too"
            raise PolicyError(program.file, name, where, "Keep one of them, or remove the name from `also`")
        programs[name] = program
