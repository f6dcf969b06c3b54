"""Rules 13, 16 and 24 at the one place that starts processes."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import confine
from tools.process import Command, Reach, finish, launch
from tools.rights import describe_confinement
from tools.run_directory import Ended, NotStarted, RunDirectory, Running, Tail, Vanished

SH = "/bin/sh"
PYTHON = str(Path(sys.executable).resolve())
LANDLOCK = confine.landlock_abi()
needs_landlock = pytest.mark.skipif(LANDLOCK < 4, reason="no Landlock with network rules here")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a child a user of its own")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can reach; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="wbt") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def make_run(parent: Path, name: str = "r1") -> RunDirectory:
    run = RunDirectory(parent / name)
    run.create()
    return run


def shell(run: RunDirectory, script: str, **options: object) -> Command:
    reach = Reach(write=(run.work,))
    return Command(argv=(SH, "-c", script), cwd=run.work, **{"reach": reach, **options})  # type: ignore[arg-type]  # test options


async def test_a_command_writes_to_files_and_its_end_is_recorded(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert run.status() == NotStarted()
    end = await finish(shell(run, "echo out; echo err >&2; exit 3"), run)
    assert isinstance(end, Ended)
    assert (end.code, end.why, end.ok) == (3, "exit", False)
    assert (run.stdout.read_text(), run.stderr.read_text()) == ("out\n", "err\n")
    assert run.status() == end
    assert stat.S_IMODE(run.stdout.stat().st_mode) == 0o600


async def test_rule_24_a_child_gets_only_the_named_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_TOKEN_CANARY", "xoxb-canary")
    run = make_run(tmp_path)
    await finish(Command(argv=("/usr/bin/env",), cwd=run.work, environment={"ONLY": "this"}), run)
    names = {line.split("=")[0] for line in run.stdout.read_text().splitlines()}
    assert names <= {"ONLY", "TMPDIR", "LC_CTYPE", "PWD"}
    assert "ONLY" in names


async def test_rule_24_the_environment_is_in_no_file_of_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    command = Command(argv=(SH, "-c", "true"), cwd=run.work, environment={"TOKEN": "canary-4711"})
    await finish(command, run)
    assert "canary-4711" not in repr(command)
    for file in (f for f in run.path.rglob("*") if f.is_file()):
        assert b"canary-4711" not in file.read_bytes()


@needs_landlock
async def test_rule_16_a_child_reads_neither_data_nor_shadow_nor_its_ancestors(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the bot's own")
    run = make_run(tmp_path)
    script = (
        f"cat {secret}; cat /etc/shadow; cat /proc/$PPID/environ; cat /proc/{os.getpid()}/environ; echo x > {secret}"
    )
    await finish(shell(run, script), run)
    assert run.stdout.read_bytes() == b""
    assert run.stderr.read_text().count("ermission denied") == 5
    assert secret.read_text() == "the bot's own"


@needs_root
async def test_rule_16_a_child_has_a_user_of_its_own(open_folder: Path) -> None:
    run = make_run(open_folder)
    await finish(shell(run, "id -u; id -G; touch mine; grep NoNewPrivs /proc/self/status"), run)
    words = run.stdout.read_text().split()
    assert words[:2] == ["64901", "64901"]
    assert (run.work / "mine").stat().st_uid == 64901


@needs_root
@needs_landlock
async def test_rule_16_a_child_cannot_touch_its_own_record(open_folder: Path) -> None:
    run = make_run(open_folder)
    await finish(
        shell(run, f"echo '{{}}' > {run.path}/exit.json; rm -f {run.path}/spec.json; ls {run.path}; exit 7"), run
    )
    end = run.status()
    assert isinstance(end, Ended)
    assert end.code == 7
    assert (run.path / "spec.json").exists()


@needs_landlock
async def test_rule_16_a_child_connects_only_to_named_ports(tmp_path: Path) -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    servers = [await asyncio.start_server(hang_up, "127.0.0.1", 0) for _ in range(2)]
    open_port, closed_port = (server.sockets[0].getsockname()[1] for server in servers)
    code = textwrap.dedent(f"""
        import socket
        for port in ({open_port}, {closed_port}):
            try:
                socket.create_connection(("127.0.0.1", port), 2).close()
                print("connected")
            except OSError as error:
                print(type(error).__name__)
    """)
    for name, ports in (("named", (open_port,)), ("none", ())):
        run = make_run(tmp_path, name)
        reach = Reach(read=(Path(sys.base_prefix),), write=(run.work,), ports=ports)
        await finish(Command(argv=(PYTHON, "-I", "-S", "-c", code), cwd=run.work, reach=reach), run)
        said = run.stdout.read_text().split()
        assert said[0] == ("connected" if ports else said[0])
        assert "connected" not in said[len(ports) :]
        assert len(said) == 2
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_a_command_that_does_not_end_is_interrupted_then_killed(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    script = "trap 'echo heard' INT; while true; do sleep 0.05; done"
    end = await finish(shell(run, script, timeout_s=0.4, grace_s=0.4), run)
    assert isinstance(end, Ended)
    assert (end.code, end.why) == (-signal.SIGKILL, "timeout")
    assert run.stdout.read_text() == "heard\n"


async def test_too_much_output_ends_a_command(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    end = await finish(shell(run, "yes", output_bytes=100_000), run)
    assert isinstance(end, Ended)
    assert end.why == "output"


async def wait_for_line(run: RunDirectory, line: str) -> None:
    for _ in range(250):
        if line in Tail(run.stdout).lines():
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"never said {line}")


async def test_rule_5_one_interrupt_and_force_only_when_told(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    child = launch(shell(run, "trap 'echo int' INT; echo ready; while true; do sleep 0.05; done"), run)
    await wait_for_line(run, "ready")
    child.interrupt()
    await wait_for_line(run, "int")
    assert isinstance(run.status(), Running)
    child.interrupt(force=True)
    end = await child.wait()
    assert isinstance(end, Ended)
    assert (end.code, end.why) == (-signal.SIGKILL, "killed")
    assert run.stdout.read_text() == "ready\nint\n"


WORKER = """
import asyncio, sys
from pathlib import Path
from tools.process import Command, Reach, RunDirectory, launch
run = RunDirectory(Path(sys.argv[1])); run.create()
survives = sys.argv[2] == "survives"
launch(Command(argv=("/bin/sh", "-c", "echo begun; sleep 1.5; echo ended"), cwd=run.work, survives=survives,
               reach=Reach(write=(run.work,))), run)
print("launched", flush=True)
asyncio.run(asyncio.sleep(60))
"""


@pytest.mark.parametrize("survives", ["survives", "ends"])
async def test_rule_13_a_run_tells_its_end_after_its_worker_was_killed(tmp_path: Path, survives: str) -> None:
    place = tmp_path / "r1"
    argv = [sys.executable, "-c", WORKER, str(place), survives]
    worker = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"launched\n"
    run = RunDirectory(place)
    await wait_for_line(run, "begun")
    worker.kill()
    worker.wait()
    worker.stdout.close()
    assert isinstance(run.status(), Running) or survives == "ends"
    began = time.monotonic()
    while isinstance(run.status(), Running):
        assert time.monotonic() - began < 10
        await asyncio.sleep(0.05)
    end = run.status()
    assert isinstance(end, Ended)
    assert end.why == ("exit" if survives == "survives" else "orphaned")
    assert ("ended" in run.stdout.read_text()) == (survives == "survives")


async def test_rule_13_a_run_whose_warden_was_killed_counts_as_running_then_vanished(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    child = launch(shell(run, "echo begun; sleep 1; echo ended"), run)
    await wait_for_line(run, "begun")
    os.kill(json.loads((run.path / "started.json").read_text())["warden"], signal.SIGKILL)
    assert isinstance(run.status(), Running)
    assert await child.wait() == Vanished()
    assert run.stdout.read_text() == "begun\nended\n"


async def test_another_worker_can_interrupt_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    child = launch(shell(run, "echo ready; exec sleep 30"), run)
    await wait_for_line(run, "ready")
    RunDirectory(run.path).interrupt()
    end = await child.wait()
    assert isinstance(end, Ended)
    assert end.code == -signal.SIGINT


async def test_cancelling_a_wait_ends_the_command(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    child = launch(shell(run, "echo ready; exec sleep 30"), run)
    await wait_for_line(run, "ready")
    waiting = asyncio.create_task(child.wait())
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert isinstance(await child.wait(), Ended)


async def test_a_missing_binary_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    end = await finish(Command(argv=("/nowhere/terraform",), cwd=run.work), run)
    assert isinstance(end, Ended)
    assert end.code == 127
    assert end.why.startswith("not started: No such file or directory: /nowhere/terraform")


def test_one_directory_is_one_run(tmp_path: Path) -> None:
    make_run(tmp_path)
    with pytest.raises(FileExistsError):
        make_run(tmp_path)


def test_a_tail_gives_whole_lines_once(tmp_path: Path) -> None:
    file = tmp_path / "log"
    tail = Tail(file)
    assert tail.lines() == []
    file.write_text("one\ntw")
    assert tail.lines() == ["one"]
    with file.open("a") as stream:
        stream.write("o\nthree")
    assert tail.lines() == ["two"]
    assert tail.lines(last=True) == ["three"]
    assert tail.lines(last=True) == []


@needs_root
def test_the_doctor_hears_which_rights_hold(open_folder: Path, tmp_path: Path) -> None:
    told = describe_confinement(open_folder)
    assert told.own_uid
    assert told.landlock_abi == LANDLOCK
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert "closed to others" in describe_confinement(closed / "data").words[0]
