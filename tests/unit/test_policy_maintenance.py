"""policies/maintenance.yaml: change windows of an environment, and what is in maintenance."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.domain.calls import Target
from bot.domain.estate import Machine, Timing
from bot.policy.loading import read_maintenance
from bot.policy.maintenance import LiveCalendar, Maintenance
from bot.policy.problems import PolicyError

NODE1, NODE2 = Target("node", "pve1"), Target("node", "pve2")
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)  # a Monday
NIGHT = "windows: {production: [{days: [sat], from: '22:00', to: '04:00'}]}"


def read(tmp_path: Path, text: str) -> Maintenance:
    (tmp_path / "maintenance.yaml").write_text(text)
    return read_maintenance(tmp_path)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "window"),
    [
        (at(28, 21, 59), "closed"), (at(28, 22), "open"), (at(28, 23, 59), "open"), (at(29, 0), "open"),
        (at(29, 3, 59), "open"), (at(29, 4), "closed"), (at(28, 3), "closed"), (at(29, 23), "closed"),
    ],
)  # fmt: skip
def test_a_window_over_midnight_belongs_to_the_day_it_opens(tmp_path: Path, now: datetime, window: str) -> None:
    assert read(tmp_path, NIGHT).timing("production", (), now).window == window


@pytest.mark.parametrize(
    ("hour", "minute", "window"), [(5, 59, "closed"), (6, 0, "open"), (7, 59, "open"), (8, 0, "closed")]
)
def test_a_window_of_one_morning(tmp_path: Path, hour: int, minute: int, window: str) -> None:
    text = "windows: {production: [{days: [mon, tue], from: '06:00', to: '08:00'}]}"
    assert read(tmp_path, text).timing("production", (), at(24, hour, minute)).window == window
    assert read(tmp_path, text).timing("production", (), at(25, hour, minute)).window == "closed"


def test_equal_ends_are_a_whole_day(tmp_path: Path) -> None:
    calendar = read(tmp_path, "windows: {production: [{days: [mon], from: '06:00', to: '06:00'}]}")
    assert [calendar.timing("production", (), at(day, 6)).window for day in (23, 24)] == ["open", "closed"]
    assert calendar.timing("production", (), at(24, 5, 59)).window == "open"


def test_windows_are_in_the_operators_own_time(tmp_path: Path) -> None:
    calendar = read(
        tmp_path, "timezone: Europe/Berlin\nwindows: {production: [{days: [mon], from: '11:00', to: '12:00'}]}"
    )
    assert calendar.timing("production", (), NOW).window == "open"  # 10:00 UTC in winter
    closed = calendar.timing("production", (), at(23, 11))
    assert closed.words == "Outside the change windows of production; the next opens Mon 11:00 Europe/Berlin"


def test_the_next_opening_is_the_first_of_all(tmp_path: Path) -> None:
    text = "windows: {production: [{days: [sat, wed], from: '22:00', to: '23:00'}, {days: [thu], from: '01:00', to: '02:00'}]}"
    words = [read(tmp_path, text).timing("production", (), at(day, 22, 30)).words[-13:] for day in (24, 26, 29)]
    assert words == ["Wed 22:00 UTC", "Sat 22:00 UTC", "Wed 22:00 UTC"]


def test_an_environment_without_windows_has_none_to_keep(tmp_path: Path) -> None:
    assert read(tmp_path, NIGHT).timing("lab", (), NOW) == Timing("none")
    assert read_maintenance(tmp_path / "nowhere") == Maintenance()


MODES = """maintenance:
  - {kind: node, name: pve2, until: 2026-12-01T18:00:00Z, reason: new disks}
  - {kind: host, name: "web*"}
"""


def test_maintenance_covers_a_call_only_where_everything_it_touches_is_in_it(tmp_path: Path) -> None:
    calendar = read(tmp_path, MODES)
    covered = calendar.timing("production", (NODE2,), NOW)
    assert covered == Timing(
        "none", covered=True, words="In maintenance: node pve2 until 2026-12-01 18:00 UTC (new disks)"
    )
    assert calendar.timing("production", (NODE2, Target("host", "WEB7")), NOW).covered
    for targets in ((), (NODE1,), (NODE1, NODE2), (Target("vm", "pve2"),)):
        assert calendar.timing("production", targets, NOW) == Timing("none")


def test_maintenance_ends_with_its_time(tmp_path: Path) -> None:
    calendar = read(tmp_path, MODES)
    last, first = datetime(2026, 12, 1, 17, 59, 59, tzinfo=UTC), datetime(2026, 12, 1, 18, tzinfo=UTC)
    assert [calendar.timing("production", (NODE2,), now).covered for now in (last, first)] == [True, False]


def test_a_closed_window_is_said_before_maintenance(tmp_path: Path) -> None:
    found = read(tmp_path, f"{NIGHT}\n{MODES}").timing("production", (NODE2,), NOW)
    assert (found.window, found.covered) == ("closed", True)
    assert found.words.startswith(
        "Outside the change windows of production; the next opens Sat 22:00 UTC; In maintenance: "
    )


def test_machines_are_away_with_what_they_run_on(tmp_path: Path) -> None:
    machines = (
        Machine("cp1", node="pve1"),
        Machine("cp2", node="pve2"),
        Machine("web1"),
        Machine("pve2"),
        Machine("db"),
    )
    assert read(tmp_path, MODES).away(machines, NOW) == {"cp2", "web1", "pve2"}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("timezone: Mars/Base", "there is no time zone 'Mars/Base'"),
        ("timezone: ../etc", "there is no time zone"),
        ("windows: {production: []}", "at least 1 item"),
        ("windows: {production: [{days: [mon], from: '24:00', to: '01:00'}]}", "pattern"),
        ("windows: {production: [{days: [monday], from: '22:00', to: '01:00'}]}", "'mon', 'tue'"),
        ("maintenance: [{kind: planet, name: x}]", "'estate', 'node'"),
        ("maintenance: [{kind: node, name: x, until: 2026-12-01T18:00:00}]", "timezone"),
        ("colour: red", "Extra inputs"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_at_start_and_counts_as_closed_while_it_stands(
    tmp_path: Path, text: str, wrong: str
) -> None:
    with pytest.raises(PolicyError, match=wrong):
        read(tmp_path, text)
    live = LiveCalendar(lambda: read_maintenance(tmp_path))
    timing = live.timing("lab", (NODE2,), NOW)
    assert (timing.window, timing.covered) == ("closed", False)
    assert timing.words.startswith("The calendar cannot be read, so every window counts as closed: ")
    assert live.away((Machine("cp1"),), NOW) == {"cp1"}


def test_the_file_is_read_again_at_each_question(tmp_path: Path) -> None:
    live = LiveCalendar(lambda: read_maintenance(tmp_path))
    assert live.timing("production", (NODE2,), NOW) == Timing("none")
    read(tmp_path, MODES)
    assert live.timing("production", (NODE2,), NOW).covered
    assert live.away((Machine("cp2", node="pve2"),), NOW) == {"cp2"}
