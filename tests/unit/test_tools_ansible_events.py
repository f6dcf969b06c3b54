"""What a playbook's events come to: progress, hosts, failures, hidden output, ends of every kind."""

import json
from typing import Any

import pytest

from tools.ansible_events import Ending, Progress, message, tell
from tools.run_directory import Ended, NotStarted, Vanished

OK = Ended(0, "exit", 12.0)
BAD = Ended(2, "exit", 12.0)


def line(event: str, **facts: Any) -> str:
    return json.dumps({"event": event, "stdout": facts.pop("stdout", ""), "event_data": facts})


def began(host: str, task: str) -> list[str]:
    return [line("playbook_on_task_start", name=task, task=task), line("runner_on_start", host=host, task=task)]


def ok(host: str, task: str, *, changed: bool = False, **result: Any) -> str:
    return line("runner_on_ok", host=host, task=task, res={"changed": changed, **result})


def failed(host: str, task: str, *, ignored: bool = False, **result: Any) -> str:
    path = "/data/runs/x/project/roles/base/tasks/main.yml:12"
    return line("runner_on_failed", host=host, task=task, ignore_errors=ignored, res=result, task_path=path)


def stats(**counts: dict[str, int]) -> str:
    return line("playbook_on_stats", **counts)


def heard(*lines: str) -> Progress:
    progress = Progress()
    progress.hear(["not an event", *lines])
    return progress


def test_progress_is_counted_without_the_gathering_of_facts() -> None:
    progress = heard(
        *began("cp1", "Gathering Facts"), ok("cp1", "Gathering Facts"), *began("cp2", "install containerd")
    )
    assert progress.words(58) == ("1 of 58 tasks", "cp2: install containerd")
    assert progress.words(0)[0] == "1 tasks"


def test_a_good_end_has_a_line_for_every_host() -> None:
    progress = heard(
        *began("cp1", "a"),
        ok("cp1", "a", changed=True),
        ok("cp2", "a"),
        stats(ok={"cp1": 1, "cp2": 1}, changed={"cp1": 1}),
    )
    told = tell(Ending(OK, progress, ("cp1", "cp2"), 1), "site.yml")
    assert (told.status, told.facts["changed"]) == ("ok", 1)
    assert told.text.splitlines() == [
        "Ran site.yml on 2 hosts in 12 s: 1 changes",
        "cp1: ok 1 changed 1 failed 0 unreachable 0 skipped 0",
        "cp2: ok 1 changed 0 failed 0 unreachable 0 skipped 0",
    ]


def test_a_failure_names_host_task_place_and_message() -> None:
    lines = [
        *began("cp1", "a"),
        failed("cp1", "a", msg="E: Could not get lock /var/lib/dpkg/lock"),
        stats(failures={"cp1": 1}, ok={}),
    ]
    told = tell(Ending(BAD, heard(*lines), ("cp1", "cp2"), 3), "site.yml")
    assert told.status == "failed"
    assert "Failed on cp1: a (roles/base/tasks/main.yml:12): E: Could not get lock" in told.text
    assert "cp2: nothing was done" in told.text
    assert "Mend: apt is locked by another process" in told.text


def test_ignored_and_rescued_failures_are_none() -> None:
    ignored = heard(*began("cp1", "a"), failed("cp1", "a", ignored=True, msg="x"), stats(ok={"cp1": 1}))
    assert tell(Ending(OK, ignored, ("cp1",), 1), "site.yml").status == "ok"
    rescued = heard(
        *began("cp1", "a"), failed("cp1", "a", msg="x"), stats(ok={"cp1": 2}, failures={}, rescued={"cp1": 1})
    )
    assert tell(Ending(OK, rescued, ("cp1",), 1), "site.yml").status == "ok"


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("Missing sudo password", "use sudo without a password"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", "the host key changed"),
        ("ssh: connect to host 192.0.2.1 port 22: No route to host", "is it up"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
    ],
)
def test_known_signs_have_a_mend(text: str, mend: str) -> None:
    progress = heard(line("runner_on_unreachable", host="cp1", task="a", res={"msg": text}), stats(dark={"cp1": 1}))
    assert mend in tell(Ending(BAD, progress, ("cp1",), 1), "site.yml").text


def test_no_log_hides_message_and_diff() -> None:
    assert message({"censored": "the output has been hidden", "msg": "hunter2"}) == "its output is hidden (no_log)"
    progress = heard(ok("cp1", "a", changed=True, censored="hidden", diff={"before": "hunter2", "after": "hunter3"}))
    assert [change.diff for change in progress.changes] == ["(hidden: no_log)"]
    shown = heard(ok("cp1", "a", changed=True, diff=[{"before": "a\n", "after": "b\n"}]))
    assert "+b" in shown.changes[0].diff


@pytest.mark.parametrize(("end", "stopped", "status"), [
    (BAD, True, "interrupted"), (Vanished(), False, "unknown_outcome"), (NotStarted(), False, "unknown_outcome"), ("left", False, "unknown_outcome"),
])  # fmt: skip
def test_an_end_without_a_last_word_names_who_is_half_done(end: Any, stopped: bool, status: str) -> None:  # noqa: FBT001 - a case
    progress = heard(*began("cp1", "a"), ok("cp1", "a"), *began("cp1", "b"), ok("cp2", "a"))
    told = tell(Ending(end, progress, ("cp1", "cp2", "cp3"), 9, stopped=stopped), "site.yml")
    assert told.status == status
    assert "cp1 is half done, cut off in: b" in told.text
    assert "cp2 is half done, after: a" in told.text
    assert told.facts["untouched"] == ["cp3"]


def test_a_playbook_that_reached_nobody_is_no_success() -> None:
    told = tell(Ending(OK, heard(stats()), ("cp1",), 1), "site.yml")
    assert (told.status, "no host matched" in told.text) == ("failed", True)
