"""What `/cost` and `/audit` say."""

from dataclasses import replace

from bot.bills import BAR, bill_of, costs_of_agents, costs_of_missions, record_of
from bot.domain.ids import MissionId
from bot.domain.state import Mission, Spend
from bot.domain.storage import AuditEvent
from tests.core_fakes import STARTED, folded
from tests.fakes import ARCHITECT, BUILDER, NOW


def spent(number: str, usd: float) -> Mission:
    return replace(folded(*STARTED), id=MissionId(number), spend=Spend(usd, 4_000, 200, 3))


def test_the_dearest_mission_has_the_whole_bar_and_a_free_one_none() -> None:
    heads, *rows = costs_of_missions([spent("3", 0.5), spent("2", 2.0), spent("1", 0.0)])
    assert heads[:2] == ("mission", "spent")
    assert [row[0] for row in rows] == ["mission 3", "mission 2", "mission 1"]
    assert [len(row[2]) for row in rows] == [BAR // 4, BAR, 0]
    assert rows[0] == ("mission 3", "$0.50", "█" * 3, "4,200", "3")


def test_agents_stand_dearest_first() -> None:
    state = replace(spent("1", 0.3), spend_by={ARCHITECT: Spend(0.1, 10, 1, 1), BUILDER: Spend(0.2, 20, 2, 2)})
    assert [row[:2] for row in costs_of_agents(state)[1:]] == [("builder", "$0.20"), ("architect", "$0.10")]


def test_an_extended_mission_shows_the_limit_that_counts() -> None:
    assert bill_of(replace(spent("1", 0.3), factor=1.5), 5.0) == (
        "$0.30 of $7.50 spent · 3 model calls · 4,000 tokens read, 200 written"
    )


def test_the_record_shows_the_newest_events_with_what_tells_them_apart() -> None:
    voted = AuditEvent("vote.cast", "1", "U0BO", {"request": "a7f3" * 8, "ballot": "deny", "reason": "too much"})
    rows = record_of([(NOW, replace(voted, kind=f"event.{n}")) for n in range(30)])
    assert len(rows) == 21
    assert rows[-1][1:] == ("event.29", "U0BO", "request a7f3 · deny · too much")
