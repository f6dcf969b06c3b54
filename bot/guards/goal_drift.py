"""Placeholder, replaced below."""

from bot.domain import log
from bot.domain.log import Logged
from bot.guards.guard import NOTHING, Found, Guard


def step(state: None, logged: Logged) -> tuple[None, Found]:
    return state, NOTHING


GUARD = Guard("goal_drift", (log.Spoke,), None, step)
