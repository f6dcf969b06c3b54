"""Block Kit: what Slack accepts in a message, a modal and the App Home, and the words it refuses the rest with."""

from collections.abc import Callable
from dataclasses import dataclass

from .world import Json


@dataclass(frozen=True)
class Problem:
    message: str
    pointer: str
    code: str = "failed_constraint"


def find_problems(blocks: list[Json], surface: str, root: str = "/blocks") -> list[Problem]:
    return []


def with_ids(blocks: list[Json], new_id: Callable[[], str]) -> list[Json]:
    """The blocks with a block_id each and an action_id for every element, as Slack adds them."""
    numbered = [{**block, "block_id": block.get("block_id") or new_id()} for block in blocks]
    for block in numbered:
        for name in ("accessory", "element"):
            if isinstance(block.get(name), dict):
                block[name] = _with_action_id(block[name], new_id)
        if block["type"] in ("actions", "context_actions"):
            block["elements"] = [_with_action_id(element, new_id) for element in block["elements"]]
    return numbered


def _with_action_id(element: Json, new_id: Callable[[], str]) -> Json:
    return element if element.get("type") == "image" else {**element, "action_id": element.get("action_id") or new_id()}
