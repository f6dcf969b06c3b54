"""Strict reading of YAML policy files: no key twice, no unknown key, errors that name file, line, entry and mend."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from bot.policy.problems import PolicyError

File = TypeVar("File", bound=BaseModel)
# The parser in C where PyYAML was built with it: the catalogue of commands is long.
FASTEST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class StrictLoader(FASTEST):
    """Refuses a key that stands twice: YAML would silently keep the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 # yaml's signature
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is one word", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType] # either base


def parse_yaml(shown: str, text: str) -> Any:
    """The content of `text`; `shown` is the file's name in errors. Raises PolicyError."""
    try:
        return yaml.load(text, StrictLoader)  # noqa: S506 # a safe loader that refuses a key twice
    except yaml.YAMLError as error:
        wrong = f"this is no YAML: {' '.join(str(error).split())}"
        raise PolicyError(shown, "", wrong, "Mend the line, or restore the file") from error


def validate(shown: str, text: str, model: type[File], mend: str = "") -> File:
    """`text` as a `model`. Raises PolicyError with the line of the entry that is wrong."""
    content = parse_yaml(shown, text)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        # The deepest is the one that the author meant; a misspelt key says more than the one that is missing for it.
        first = max(error.errors(), key=lambda found: (len(found["loc"]), found["type"] == "extra_forbidden"))
        line, found = locate(text, [str(part) for part in first["loc"]])
        if first["type"] == "missing":
            found.append(str(first["loc"][-1]))
        mends = ". ".join(part for part in (_mend(first["type"], first["loc"], model), mend) if part)
        wrong = first["msg"].removeprefix("Value error, ")
        raise PolicyError(f"{shown}:{line}", ".".join(found), wrong, mends) from error


def locate(text: str, path: list[str]) -> tuple[int, list[str]]:
    """The line (from 1) of the deepest entry of `path` that exists in `text`, and the parts that led there.

    Parts that are no keys (the names of a model's branches) are passed over.
    """
    node = yaml.compose(text, FASTEST)
    line = node.start_mark.line if node is not None else 0
    found: list[str] = []
    for part in path:
        if isinstance(node, yaml.MappingNode):
            hit = next(((key, value) for key, value in node.value if key.value == part), None)
            if hit is None:
                continue
            node, line = hit[1], hit[0].start_mark.line
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line
        else:
            continue
        found.append(part)
    return line + 1, found


def read_text(path: Path) -> str:
    """The file's text. Raises PolicyError where it is missing or no UTF-8."""
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise PolicyError(shown(path), "", "this is not UTF-8", "Save the file as UTF-8") from error


def read_bytes(path: Path) -> bytes:
    """The file's bytes, to count in the policies' version. Raises PolicyError where they cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        wrong = f"it cannot be read ({error.strerror})"
        raise PolicyError(
            str(path), "", wrong, "Restore it, or point WATCHBILL_POLICIES at the right folder"
        ) from error


def shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _mend(kind: str, place: tuple[int | str, ...], model: type[BaseModel]) -> str:
    if kind == "extra_forbidden":
        known = f". Known at the top: {', '.join(model.model_fields)}" if len(place) == 1 else ""
        return f"Remove or rename this key{known}"
    return "Add it" if kind == "missing" else "Correct it"
