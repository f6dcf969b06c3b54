"""Whose words count as asking for what comes next (rule 12). Pure.

Every agent reads the talk, so words count when they are said, to whomever, and until a change asked for after them is
applied; those that led to a plan count for this plan as long as it can be applied. A deny's reason is a review.
"""

from dataclasses import replace

from bot.domain import log
from bot.domain.ids import UserId
from bot.domain.log import Entry
from bot.domain.state import Mission

PLANS_KEPT = 50


def remember(before: Mission, after: Mission, entry: Entry) -> Mission:
    """`after` with what `entry` says about who asks."""
    match entry:
        case log.HumanSaid() | log.RequestAmended():
            return _spoke(after, frozenset({entry.by}))
        case log.QuestionAnswered(_, _, by) if by:
            return _spoke(after, frozenset({UserId(by)}))
        case log.TurnStarted(_, _, cause):
            return _spoke(after, next((wake.humans for wake in before.wakes if wake.key == cause), frozenset[UserId]()))
        case log.ToolReturned():
            return _returned(before, after, entry)
        case _:
            return after


def _spoke(state: Mission, users: frozenset[UserId]) -> Mission:
    return replace(state, asking={**state.asking, **dict.fromkeys(users, state.ordinal)}) if users else state


def _returned(before: Mission, after: Mission, entry: log.ToolReturned) -> Mission:
    result, plan = entry.result, entry.result.facts.get("plan")
    if entry.result.tool == "terraform_plan" and isinstance(plan, str):
        exchange = after.exchanges.get(entry.persona)
        led = frozenset(after.asking) | (exchange.humans if exchange else frozenset[UserId]())
        return replace(after, led=dict([*after.led.items(), (plan, led)][-PLANS_KEPT:]))
    if not result.changed:
        return after
    held = before.results.get(result.call)
    since = held.ordinal if held is not None and held.status == "held" else after.ordinal
    return replace(after, asking={user: at for user, at in after.asking.items() if at > since})
