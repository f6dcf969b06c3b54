"""What stands open beside a mission's log: its grants and the freeze of all changes, and how the log learns of both. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from bot.domain import log
from bot.domain.grants import Freeze, Grant
from bot.domain.state import Mission, OpenGrant

Standing = log.GrantOpened | log.GrantEnded | log.FreezeSeen


def stood(state: Mission, entry: Standing) -> Mission:
    """The state after one of these entries."""
    match entry:
        case log.GrantOpened(grant, title, by, until):
            return replace(state, grants={**state.grants, grant: OpenGrant(grant, title, by, until)})
        case log.GrantEnded(grant):
            return replace(state, grants={key: value for key, value in state.grants.items() if key != grant})
        case log.FreezeSeen(words):
            return replace(state, frozen=words)


def news(state: Mission, grants: Sequence[Grant], freeze: Freeze | None) -> tuple[Standing, ...]:
    """What the log does not say yet. `grants` are those of its thread that live, and those it lists, as they are now."""
    found: list[Standing] = []
    for grant in grants:
        listed = grant.id in state.grants
        if grant.status == "live" and not listed:
            found.append(log.GrantOpened(grant.id, grant.title, grant.by, grant.until))
        elif grant.status != "live" and listed:
            found.append(log.GrantEnded(grant.id, grant.status, grant.note))
    words = freeze.words if freeze else ""
    return (*found, log.FreezeSeen(words)) if words != state.frozen else tuple(found)
