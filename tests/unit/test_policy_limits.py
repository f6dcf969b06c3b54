"""Limits are asked before the call that would break them."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.outcomes import LimitReached
from bot.domain.state import Mission, Spend
from bot.policy.limits import LimitsFile
from tests.fakes import BUILDER, NOW, QA, mission

LIMITS = LimitsFile.model_validate(
    {
        "mission": {"usd": 5.0, "tokens": 1000, "steps": 10, "minutes": 60},
        "personas": {"builder": {"usd": 2.0, "tokens": 500, "steps": 5}},
        "extend": {"roles": ["risk_owner"], "factor": 2.0},
    }
).typed()


def test_rule_20_within_the_limits_nothing_is_said() -> None:
    assert LIMITS.reached(mission(), BUILDER, NOW) is None
    assert LIMITS.near(mission(), BUILDER, NOW) == ()


@pytest.mark.parametrize(
    ("state", "what", "text"),
    [
        (mission(spend=Spend(usd=5.0)), "mission usd", "mission spent $5.00 of $5.00"),
        (mission(spend=Spend(prompt=900, completion=100)), "mission tokens", "mission used 1,000 of 1,000 tokens"),
        (mission(spend=Spend(steps=10)), "mission steps", "mission took 10 of 10 steps"),
        (mission(spend_by={BUILDER: Spend(usd=2.1)}), "builder usd", "builder spent $2.10 of $2.00"),
        (mission(spend_by={BUILDER: Spend(steps=5)}), "builder steps", "builder took 5 of 5 steps"),
        (mission(opened_at=NOW - timedelta(minutes=60)), "mission minutes", "60 of 60 minutes of work"),
    ],
)
def test_rule_20_at_the_limit_the_next_call_is_not_made(state: Mission, what: str, text: str) -> None:
    assert LIMITS.reached(state, BUILDER, NOW) == LimitReached(what, f"The limit is reached: {text}")


def test_rule_20_an_agents_limit_is_its_own() -> None:
    state = mission(spend_by={BUILDER: Spend(steps=5)})
    assert LIMITS.reached(state, QA, NOW) is None


def test_rule_20_the_call_that_would_break_the_limit_is_not_made() -> None:
    state = mission(spend=Spend(usd=4.5, prompt=900))
    assert LIMITS.reached(state, QA, NOW, usd=0.4, tokens=90) is None
    assert LIMITS.reached(state, QA, NOW, usd=0.5) is not None
    assert LIMITS.reached(state, QA, NOW, tokens=100) is not None


def test_rule_20_eighty_percent_warns_once() -> None:
    state = mission(spend=Spend(usd=4.0))
    assert [used.what for used in LIMITS.near(state, QA, NOW)] == ["mission usd"]
    assert LIMITS.near(replace(state, warned=("mission usd",)), QA, NOW) == ()


def test_rule_20_an_extension_raises_every_limit() -> None:
    state = mission(spend=Spend(usd=5.0, steps=10), factor=2.0)
    assert LIMITS.reached(state, BUILDER, NOW) is None
    assert LIMITS.reached(replace(state, spend=Spend(usd=10.0)), BUILDER, NOW) is not None


def test_waiting_for_people_takes_no_minutes() -> None:
    state = mission(opened_at=NOW - timedelta(minutes=100), waited_s=30 * 60, waiting_since=NOW - timedelta(minutes=15))
    assert LIMITS.reached(state, QA, NOW) is None
    assert LIMITS.reached(replace(state, waiting_since=None, waited_s=0), QA, NOW) is not None
