"""The commands as an operator types them: exit codes, and errors that say what to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.audit_chain import chained, line_of

ROOT = Path(__file__).resolve().parents[2]
PEOPLE = "people:\n  U0BO000001: {name: bo, roles: [approver]}\n  U0CHRIS001: {name: chris, roles: [approver]}\n"


def run(tmp_path: Path, *arguments: str, people: str = PEOPLE, **more: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "people.yaml"
    file.write_text(people)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "WATCHBILL_DATA": str(tmp_path / "data")}
    environment |= {"WATCHBILL_PEOPLE": str(file), **more}
    return subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_help_lists_every_command(tmp_path: Path) -> None:
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    for command in (
        "run",
        "gateway",
        "worker",
        "check",
        "settings",
        "manifest",
        "audit",
        "policy",
        "classify",
        "replay",
        "demo",
    ):
        assert f"    {command} " in done.stdout


def test_rule_12_without_an_approver_for_production_it_does_not_start(tmp_path: Path) -> None:
    done = run(tmp_path, "run", people="people: {}\n")
    assert done.returncode == 2
    assert "0 people have the role approver" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_tokens_are_named_one_by_one(tmp_path: Path) -> None:
    done = run(tmp_path, "run")
    assert done.returncode == 2
    for app in ("WATCHBILL", "ARCHITECT", "BUILDER", "SENTINEL", "QA"):
        assert f"WATCHBILL_SLACK_{app}_BOT_TOKEN is not set" in done.stderr


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, "run", WATCHBILL_LEASE_S="soon")
    assert (done.returncode, "WATCHBILL_LEASE_S" in done.stderr) == (2, True)


def test_five_manifests_are_printed(tmp_path: Path) -> None:
    done = run(tmp_path, "manifest")
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if line.startswith("# ")] == [
        f"# {name}" for name in ("watchbill", "architect", "builder", "sentinel", "qa")
    ]


def test_a_fresh_record_holds_and_is_empty(tmp_path: Path) -> None:
    assert run(tmp_path, "audit", "verify").stdout == "every chain holds\n"
    assert run(tmp_path, "audit", "export").stdout == ""


def test_an_exported_record_is_checked_without_settings(tmp_path: Path) -> None:
    event = '{"kind":"request.asked"}'
    hash_ = chained("", 1, event)
    file = tmp_path / "record.jsonl"
    file.write_text(line_of(1, 1, "", hash_, event) + "\n")
    done = run(tmp_path, "audit", "verify", str(file), people="not even yaml: [")
    text = f"every hash fits: 1 events, head 1:{hash_}\nnot checked: truncation, whole rewrite\n"
    assert (done.returncode, done.stdout) == (0, text)
    done = run(tmp_path, "audit", "verify", str(file), "--head", f"2:{hash_}")
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        1, "broken: after line 1: cut off: 1 of 2 events of a head are missing",
    )  # fmt: skip
    file.write_text(file.read_text().replace("asked", "Asked"))
    done = run(tmp_path, "audit", "verify", str(file))
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        1, "broken: line 1: altered: its hash is not that of its content",
    )  # fmt: skip
    assert run(tmp_path, "audit", "verify", str(tmp_path / "none")).returncode == 2
    assert run(tmp_path, "audit", "verify", "--head", f"1:{hash_}").returncode == 2
    assert run(tmp_path, "audit", "verify", str(file), "--head", "x").returncode == 2


def test_the_head_of_an_empty_record_is_said(tmp_path: Path) -> None:
    assert run(tmp_path, "audit", "head").stdout == "no event yet\n"
    done = run(tmp_path, "audit", "head", WATCHBILL_AUDIT_KEY=str(tmp_path / "none.pem"))
    assert (done.returncode, "openssl genpkey" in done.stderr) == (2, True)


@pytest.mark.parametrize("arguments", [("check", "--json")])
def test_the_doctor_fails_with_rows_that_programs_can_read(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(tmp_path, *arguments)
    rows = json.loads(done.stdout)
    assert done.returncode == 1
    assert {row["what"] for row in rows if row["state"] == "fail"} >= {"slack", "proxmox", "write token"}
