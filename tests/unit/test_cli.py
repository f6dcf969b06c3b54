"""The commands as an operator types them: exit codes, and errors that say what to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    for command in ("run", "gateway", "worker", "check", "settings", "manifest", "audit", "classify", "demo"):
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


@pytest.mark.parametrize("arguments", [("check", "--json")])
def test_the_doctor_fails_with_rows_that_programs_can_read(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(tmp_path, *arguments)
    rows = json.loads(done.stdout)
    assert done.returncode == 1
    assert {row["what"] for row in rows if row["state"] == "fail"} >= {"slack", "proxmox", "write token"}
