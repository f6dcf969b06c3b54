"""A check in JMESPath decides whether a result shows what it is said to show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.ids import Json
from bot.policy.evidence import LONGEST, facts_told, hold

FACTS: dict[str, Json] = {
    "vms": [
        {"name": "cp1", "node": "pve1", "status": "running"},
        {"name": "cp2", "node": "pve2", "status": "stopped"},
    ],
    "quorate": True,
    "status": 200,
    "config": {"cores": "2"},
}


@pytest.mark.parametrize(
    ("check", "held"),
    [
        ("quorate", True),
        ("!quorate", False),
        ("status == `200`", True),
        ("length(vms[?status=='running']) == `2`", False),
        ("length(vms[?name=='cp1' && node=='pve1']) == `1` && config.cores == '2'", True),
        ("contains(vms[].name, 'cp3')", False),
    ],
)
def test_rule_8_the_check_says_what_holds(check: str, held: bool) -> None:  # noqa: FBT001
    assert hold(check, FACTS) is held


@pytest.mark.parametrize(
    ("check", "told"),
    [
        ("vms[0].name", "gives a str, not true or false"),
        ("missing", "gives nothing (null)"),
        ("status", "gives a int"),
        ("vms[?", "is no JMESPath that fits"),
        ("", "is no JMESPath that fits"),
        ("nothing_like_it(vms)", "is no JMESPath that fits"),
        ("sum(vms) == `1`", "is no JMESPath that fits"),
        ("a" * (LONGEST + 1), f"at most {LONGEST}"),
        ("(" * 500 + "quorate" + ")" * 90, "is no JMESPath that fits"),
    ],
)
def test_rule_8_a_check_that_says_neither_is_told_what_there_is(check: str, told: str) -> None:
    said = hold(check, FACTS)
    assert isinstance(said, str)
    assert told in said
    if "at most" not in told:
        assert "The result's facts: vms[]: name, node, status; quorate; status; config: cores." in said


def test_a_result_without_facts_is_no_probe() -> None:
    assert "use another probe" in facts_told({})


@given(st.text(max_size=80))
def test_rule_8_whatever_a_model_writes_is_true_false_or_told(check: str) -> None:
    assert isinstance(hold(check, FACTS), bool | str)
