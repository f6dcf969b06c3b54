"""Every drill in one lab with the real program: within its bounds, exit 0 (issue's acceptance 1 and 5)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 1800

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(LIMIT_S)]


def test_rule_19_every_drill_keeps_its_bounds() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bot", "drill", "all", "--json"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=LIMIT_S - 20,
    )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows, done.stderr[-3000:]
    problems = {row["drill"]: row["problems"] for row in rows[:-1] if row["problems"]}
    assert not problems, f"{problems}\n{done.stderr[-2000:]}"
    assert done.returncode == 0, done.stderr[-2000:]
    assert rows[-1]["wrong"] == []
    assert rows[-1]["worst_usd"] < 0.10, rows[-1]
    assert all(row["rest"] != "moving" for row in rows[:-1]), "an agent still talks"


def test_a_drill_over_its_bound_fails(tmp_path: Path) -> None:
    drill = (ROOT / "tests" / "drills" / "claimed_action.yaml").read_text(encoding="utf-8")
    (tmp_path / "tight.yaml").write_text(
        drill[: drill.index("bounds:")] + "bounds: {turns: 1, calls: 2, messages: 2}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "bot", "drill", "tight", "--folder", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED" in done.stdout
    assert "turns, the bound is 1" in done.stdout
