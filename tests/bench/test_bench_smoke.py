"""Every bench runs, gives figures with their references, and loses nothing. What the figures are is not asserted."""

import json
import subprocess
import sys

import pytest

from tests.bench.__main__ import BENCHES
from tests.bench.processes import ROOT


@pytest.mark.slow
@pytest.mark.xdist_group("hosts")  # one of them starts the lab's machines, and others count what those leave
@pytest.mark.parametrize("name", BENCHES)
def test_the_bench_gives_figures_and_loses_nothing(name: str) -> None:
    command = [sys.executable, "-m", "tests.bench", name, "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=270, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["rows"] or "not measured here" in report["notes"][0]
    for row in report["rows"]:
        assert 0 < row["measured"]["p50"] <= row["measured"]["p99"]
        assert row["reference"]["p50"] > 0
    assert report["sent"] == report["kept"]
    assert report["sent"] > 0 or name in {"start", "hosts"}
