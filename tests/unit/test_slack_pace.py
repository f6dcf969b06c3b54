"""Token buckets and pauses, by a clock that stands still until it is told to move."""

from datetime import UTC, datetime, timedelta

from bot.slack.delivery import cut_text
from bot.slack.pace import Pace, Rate


class StillClock:
    def __init__(self) -> None:
        self.at = datetime(2026, 11, 23, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


async def test_a_burst_and_then_the_rate() -> None:
    clock = StillClock()
    pace = Pace(clock, {"post": Rate(1.0, 2)})
    for _ in range(2):
        assert pace.ready_at("post", "C1") <= pace.now()
        pace.take("post", "C1")
    assert round(pace.ready_at("post", "C1") - pace.now(), 3) == 1.0
    assert pace.ready_at("post", "C2") <= pace.now()
    await clock.sleep(1.0)
    assert pace.ready_at("post", "C1") <= pace.now()


async def test_a_pause_holds_and_is_forgotten() -> None:
    clock = StillClock()
    pace = Pace(clock, {"post": Rate(1.0, 2)})
    pace.pause("post", "C1", 30)
    pace.pause("post", "C1", 5)
    assert round(pace.ready_at("post", "C1") - pace.now(), 3) == 30
    await clock.sleep(31)
    pace.forget()
    assert pace.ready_at("post", "C1") == 0.0


def test_cut_text_leaves_no_half_entity_or_mention() -> None:
    assert cut_text("short", 100) == "short"
    assert cut_text("x" * 77 + "&amp;" * 20, 100) == "x" * 77 + "… (cut)"
    assert cut_text("x" * 70 + "<@U0BO000001>" * 5, 100) == "x" * 70 + "… (cut)"
