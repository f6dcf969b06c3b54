"""The one list of guards, and how a mission's log passes through all of them."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from bot.domain.ids import EntryId
from bot.domain.log import Logged
from bot.guards import (
    approval_loop,
    bare_approval,
    claimed_action,
    claimed_done,
    escalation_cascade,
    goal_drift,
    hallucinated_tool,
    laundered_approval,
    no_progress,
    option_menu,
    ping_pong,
    plan_bloat,
    rate_limit_broadcast,
    repeated_tool_error,
    secret_leak,
    stop_loop,
    string_vs_list,
    think_leak,
    wrong_provider,
)
from bot.guards.guard import Found, Guard

GUARDS: tuple[Guard[Any], ...] = (  # what stops most harm first: one intervention a step
    secret_leak.GUARD,
    think_leak.GUARD,
    rate_limit_broadcast.GUARD,
    hallucinated_tool.GUARD,
    claimed_action.GUARD,
    claimed_done.GUARD,
    laundered_approval.GUARD,
    option_menu.GUARD,
    repeated_tool_error.GUARD,
    wrong_provider.GUARD,
    string_vs_list.GUARD,
    stop_loop.GUARD,
    approval_loop.GUARD,
    bare_approval.GUARD,
    escalation_cascade.GUARD,
    ping_pong.GUARD,
    plan_bloat.GUARD,
    goal_drift.GUARD,
    no_progress.GUARD,
)


@dataclass(frozen=True, slots=True)
class Seen:
    """Every guard's state after the entry `last`, in the order of GUARDS."""

    states: tuple[Any, ...]
    last: EntryId = EntryId("0-0")


def unseen() -> Seen:
    """Before the first entry of a mission's log."""
    return Seen(tuple(guard.start for guard in GUARDS))


def after(seen: Seen, logged: Logged) -> tuple[Seen, Found]:
    """One more entry. Only the guards that read entries of its class are asked."""
    readers = _readers().get(type(logged.entry), ())
    states, found = list(seen.states), ()
    for index in readers:
        states[index], more = GUARDS[index].step(states[index], logged)
        found = (*found, *more)
    return Seen(tuple(states), logged.id), found


@cache
def _readers() -> dict[type, tuple[int, ...]]:
    kinds = {kind for guard in GUARDS for kind in guard.reads}
    return {kind: tuple(i for i, guard in enumerate(GUARDS) if kind in guard.reads) for kind in kinds}
