"""The whole program in a lab of real machines; and what is left when the lab is killed."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.lab.stack import PREFIX, Options, running
from tests.e2e.test_demo_headless import play
from tests.hosts_house import ROOT, real_machines, until

pytestmark = [pytest.mark.e2e, *real_machines]
OPENED = re.compile(r"Open (http://\S+)")
FOLDER = re.compile(r"Logs: (\S+)")
LOOK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).status)"


def test_rule_8_one_message_becomes_real_machines_with_evidence() -> None:
    code, result, text = play("--reach", "hosts")
    assert (code, result["outcome"]) == (0, "done"), text[-4000:]
    assert result["applied"] == {"created": 3, "changed": 0, "destroyed": 0}
    assert all(criterion["passed"] and criterion["evidence"] for criterion in result["criteria"])
    assert text.index("debootstrap") < text.index("lab: Proxmox VE")  # it says what it will do before it does it


def namespaces_of(pid: int) -> set[Path]:
    return {Path(f"/proc/{pid}/ns/{kind}").readlink() for kind in ("net", "pid", "mnt")}


def living_in(namespaces: set[Path]) -> list[str]:
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if namespaces & namespaces_of(int(entry.name)):
                    found.append((entry / "cmdline").read_text())
            except OSError:
                continue
    return found


def demo_in(reach: str) -> tuple[subprocess.Popen[str], str]:
    """A demo that runs, and what it said until its folder stood there."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "bot", "demo", "--reach", reach, "--port", "0"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert demo.stdout is not None
    said = ""
    while not FOLDER.search(said):
        line = demo.stdout.readline()
        assert line, said
        said += line
    return demo, said


def test_killed_lab_takes_its_program_along_and_the_next_one_its_folder() -> None:
    demo, said = demo_in("hosts")
    assert demo.stdout is not None
    url, folder = OPENED.search(said), FOLDER.search(said)
    assert url is not None
    assert folder is not None
    with urllib.request.urlopen(url[1]) as page:  # noqa: S310 - loopback; the page's reader is outside of the lab's network
        assert page.status == 200
    keeper = json.loads((Path(folder[1]) / "proxmox.ready").read_text())["keeper"]
    enter = [sys.executable, "-m", "deploy.lab.hosts.enter", str(keeper), "--"]
    inside = subprocess.run(
        [*enter, sys.executable, "-c", LOOK, url[1]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert inside.stdout.strip() == "200"  # and the program is in it
    lab = namespaces_of(keeper) - namespaces_of(os.getpid())
    assert any("-m\0bot\0run" in command for command in living_in(lab))
    demo.send_signal(signal.SIGKILL)
    demo.wait()
    demo.stdout.close()
    until(lambda: not living_in(lab), "the end of everything in the lab's namespaces", 30)
    assert Path(folder[1]).name.startswith(PREFIX)
    until(
        lambda: not (Path(folder[1]) / ".alive").exists() or _is_free(Path(folder[1])), "the folder to be nobody's", 10
    )
    with running(Options(reach="hosts"), lambda _: None):
        assert not Path(folder[1]).exists()


def _is_free(folder: Path) -> bool:
    """No process has a file of it open any more."""
    return not any(str(folder) in line for line in _open_files())


def _open_files() -> list[str]:
    found: list[str] = []
    for handle in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            found.append(str(handle.readlink()))
        except OSError:
            continue
    return found


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Whoever runs the tests in the background may ignore SIGINT, and programs inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_entered_program_ends_as_it_was_ended() -> None:
    with running(Options(reach="hosts"), lambda _: None) as lab:
        enter = [sys.executable, "-m", "deploy.lab.hosts.enter", str(lab.keeper), "--"]
        assert subprocess.run([*enter, "sh", "-c", "exit 7"], cwd=ROOT, check=False).returncode == 7
        assert subprocess.run([*enter, "no-such-program"], cwd=ROOT, check=False, capture_output=True).returncode == 127
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
            with subprocess.Popen(
                [*enter, "sh", "-c", "echo ready; exec sleep 1000"], cwd=ROOT, stdout=subprocess.PIPE
            ) as asleep:
                try:
                    assert asleep.stdout is not None
                    assert asleep.stdout.readline() == b"ready\n"
                    asleep.send_signal(number)
                    assert asleep.wait(10) == -number
                    assert asleep.stdout.read() == b""  # its end, too: nobody holds the pipe any more
                finally:
                    asleep.kill()
