"""The words of `/approvals delegate | accept | end | break-glass`."""

from datetime import timedelta

import pytest

from bot.deputising import USAGE, Accept, BreakGlass, Delegate, End, named, read_order
from tests.fakes import BO, CHRIS

HOLIDAY = "on holiday, back on Monday"


@pytest.mark.parametrize(
    ("text", "order"),
    [
        (f"delegate <@U0DORA0001> for 4h {HOLIDAY}", Delegate("U0DORA0001", timedelta(hours=4), HOLIDAY)),
        (f"delegate <@U0DORA0001|dora> for 30m {HOLIDAY}", Delegate("U0DORA0001", timedelta(minutes=30), HOLIDAY)),
        (f"Delegate @dora for 3d: {HOLIDAY}", Delegate("dora", timedelta(days=3), HOLIDAY)),
        (f"  delegate dora  for 3 d, {HOLIDAY} ", Delegate("dora", timedelta(days=3), HOLIDAY)),
        ("delegate dora for 4h", Delegate("dora", timedelta(hours=4), "")),
        ("accept 1a2b", Accept("1a2b")), ("accept 1a2b please", Accept("1a2b")), ("end 1a2b", End("1a2b")),
        ("break-glass a7f3 nobody answers, disk full", BreakGlass("a7f3", "nobody answers, disk full")),
        ("break-glass a7f3", BreakGlass("a7f3", "")),
        ("delegate dora", USAGE), ("delegate dora for ever because", USAGE), ("delegate dora for 4hours x", USAGE),
        ("delegate", USAGE), ("accept", USAGE), ("end ", USAGE), ("break-glass", USAGE),
        ("", None), ("7", None), ("what waits", None),
    ],
)  # fmt: skip
def test_words_are_read(text: str, order: object) -> None:
    assert read_order(text) == order


def test_a_person_is_named_by_id_or_by_a_name_that_one_has() -> None:
    names = {BO: "bo", CHRIS: "Chris"}
    assert (named(BO, names), named("chris", names), named("zoe", names)) == (BO, CHRIS, None)
    assert named("sam", {BO: "sam", CHRIS: "Sam"}) is None
