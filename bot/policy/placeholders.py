"""What stands for a secret in every text that goes out: ‹secret:name›. The same secret has the same name everywhere.

A secret that the operator loaded has its setting's name; any other has its kind and four digits of a keyed hash, so that
a model can tell two apart and nobody can look one up. A name is not a value: it is filled in only into arguments typed
as secret (tools/typed.py), for the targets that the secret is bound to (policies/secrets.yaml).
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from bot.domain.ids import Json

MARK = "‹secret:"
NAME = r"[a-z][a-z0-9_]{0,59}"
PLACEHOLDER = re.compile(rf"‹secret:({NAME})›")


def placeholder(name: str) -> str:
    """How `name` stands in a text."""
    return f"{MARK}{name}›"


def name_of(text: str) -> str | None:
    """The name, where `text` is one placeholder and nothing else."""
    found = PLACEHOLDER.fullmatch(text)
    return found[1] if found else None


def names_in(value: Json) -> Iterator[str]:
    """Every name that stands anywhere in `value`, keys included."""
    match value:
        case str():
            yield from PLACEHOLDER.findall(value)
        case Mapping():
            for key, item in value.items():
                yield from PLACEHOLDER.findall(key)
                yield from names_in(item)
        case Sequence():
            for item in value:
                yield from names_in(item)
        case _:
            return
