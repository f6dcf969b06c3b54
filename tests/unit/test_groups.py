"""Tests of one group run one after the other in one worker: several count what the lab's machines leave behind."""

import subprocess
import sys
from pathlib import Path

from tests.hosts_house import ROOT

TESTS = """
import os
import pytest

@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("n", range(8))
def test_it(n):
    with open("workers", "a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + "\\n")
"""


def test_a_group_has_one_worker(tmp_path: Path) -> None:
    distribution = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "-m pytest -q -n" in line)
    assert "--dist loadgroup" in distribution
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "8 passed" in done.stdout, done.stdout + done.stderr
    workers = (tmp_path / "workers").read_text().split()
    assert (len(workers), len(set(workers))) == (8, 1)
