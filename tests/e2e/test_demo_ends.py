"""However the demo ends, nothing of it stays."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.killed_lab import until

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.e2e]


def alive(folder: Path) -> list[str]:
    """Command lines of the processes that work in the demo's folder, or have it in their environment."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                facts = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if os.fsencode(folder) in facts:
                found.append(facts.decode(errors="replace")[:120])
    return found


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_nothing_stays_when_the_demo_ends(tmp_path: Path, how: signal.Signals) -> None:
    folder = tmp_path / "lab"
    command = [sys.executable, "-m", "deploy.lab", "--port", "0", "--keep", str(folder)]
    demo = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    try:
        assert any("Ctrl-C ends everything" in line for line in demo.stdout), "it never came up"
        assert len(alive(folder)) > 3
        demo.send_signal(how)
        assert demo.wait(30) == (-9 if how is signal.SIGKILL else 0)
        until(lambda: not alive(folder), "the end of everything", 30)
    finally:
        demo.kill()
        demo.wait()
        demo.stdout.close()
