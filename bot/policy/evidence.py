"""Does a tool result show what it is said to show? A check in JMESPath over the result's facts decides, not words (rule 8)."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import jmespath
from jmespath.exceptions import JMESPathError

from bot.domain.ids import Json

LONGEST = 600  # characters of a check
ROWS_LOOKED_AT = 20  # of a list of facts, to tell its shape


def hold(check: str, facts: Mapping[str, Json]) -> bool | str:
    """True or False as the check says of `facts`; a text where it says neither, with the mend.

    The check is a JMESPath expression (jmespath.org) whose value on the facts is exactly true or false.
    """
    if len(check) > LONGEST:
        return f"the check has {len(check)} characters; at most {LONGEST}"
    try:
        value: Any = cast("Any", jmespath).search(check, _plain(facts))
    except (JMESPathError, RecursionError, ArithmeticError, ValueError, TypeError) as error:
        return f"the check is no JMESPath that fits: {str(error).splitlines()[0][:200]}. {facts_told(facts)}"
    if value is True or value is False:
        return value
    kind = "nothing (null)" if value is None else f"a {type(value).__name__}"
    return f"the check gives {kind}, not true or false: compare it with something. {facts_told(facts)}"


def facts_told(facts: Mapping[str, Json]) -> str:
    """The names that a check may use: `vms[]: name, node, status; quorate`."""
    shape = "; ".join(_shape(name, value) for name, value in facts.items())
    return f"The result's facts: {shape}." if shape else "The result has no facts: use another probe."


def _shape(name: str, value: Json) -> str:
    if isinstance(value, Mapping):
        return f"{name}: {', '.join(value)}" if value else name
    if isinstance(value, Sequence) and not isinstance(value, str):
        rows = [item for item in value[:ROWS_LOOKED_AT] if isinstance(item, Mapping)]
        keys = dict.fromkeys(key for row in rows for key in row)
        return f"{name}[]: {', '.join(keys)}" if keys else f"{name}[]"
    return name


def _plain(value: Json) -> Any:
    """As the library takes it: dicts and lists only."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
