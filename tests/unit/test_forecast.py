"""What a mission will cost at its pace so far."""

from dataclasses import replace

from bot.bills import bill_of
from bot.cards import mission_card
from bot.domain import log
from bot.domain.contract import Criterion, Evidence, PlanStep
from bot.domain.ids import CallId
from bot.domain.posts import MissionCard
from bot.domain.state import Mission, Spend
from bot.forecast import forecast_usd, part_done
from bot.slack.render import render
from tests.core_fakes import STARTED, folded
from tests.fakes import ARCHITECT, BUILDER, QA, SENTINEL

CRITERIA = tuple(Criterion(number, f"machine {number} runs", "machines", "") for number in (1, 2, 3, 4))
PLAN = log.Planned(CRITERIA, (PlanStep(1, "build", BUILDER, (1,)), PlanStep(2, "evidence", QA, (1, 2, 3, 4))), ())


def handed(to: str) -> log.HandedOff:
    return log.HandedOff(1, ARCHITECT, {"builder": BUILDER, "qa": QA, "sentinel": SENTINEL}[to], to, None, to)


def shown(number: int) -> log.EvidenceRecorded:
    return log.EvidenceRecorded(Evidence(number, "passed", CallId("c1"), "it runs", QA))


def mission(*more: log.Entry) -> Mission:
    return replace(folded(*STARTED, PLAN, *more), spend=Spend(0.3, 1_000, 100, 3))


def test_nothing_is_forecast_before_something_is_behind() -> None:
    assert forecast_usd(folded(*STARTED)) is None
    assert forecast_usd(mission()) is None
    assert forecast_usd(mission(handed("builder"))) is None, "the first step has only begun"
    state = mission(handed("qa"))
    assert forecast_usd(replace(state, steps=state.steps[::-1])) is None, "not in the plan's order"


def test_a_step_behind_and_a_criterion_shown_are_parts_of_the_way() -> None:
    assert part_done(mission(handed("builder"), handed("sentinel"), handed("qa"))) == 0.5
    assert forecast_usd(mission(handed("builder"), handed("sentinel"), handed("qa"))) == 0.6
    assert forecast_usd(mission(shown(1))) == 1.2
    assert part_done(mission(*map(shown, (1, 2, 3, 4)))) == 1.0
    assert forecast_usd(replace(mission(*map(shown, (1, 2, 3, 4))), ended="done")) is None


def test_people_read_the_forecast_on_the_card_and_in_the_bill() -> None:
    state = mission(handed("builder"), handed("qa"))
    body = mission_card(state, str, 5.0).body
    assert isinstance(body, MissionCard)
    assert "spent $0.30 of $5.00, about $0.60 at this pace" in render(body).messages[0].text
    assert "about" not in render(replace(body, forecast_usd=0.304)).messages[0].text, "less than a cent more"
    assert bill_of(state, 5.0).startswith("$0.30 of $5.00 spent · about $0.60 at this pace · 3 model calls")
