"""The lab's namespaces know who started something in them, and end with all of it."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from deploy.lab.hosts.namespaces import ROOT, Namespaces, descendants_of, seen_off
from tests.hosts_house import real_machines

pytestmark = real_machines
# A process of the lab in a process namespace of its own, as machines are; it says so when all of it is there.
NESTED = ("unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", "sleep 1000 & echo ready; wait")


def test_starters_are_those_with_children_in_the_lab_and_nobody_else() -> None:
    asyncio.run(_starters())


async def _starters() -> None:
    inside = Namespaces()
    await inside.open()
    known = {_process_namespace(pid) for pid in (os.getpid(), inside.pid)}
    with subprocess.Popen(["sleep", "1000"]) as stranger:  # as the lab's store and program: a child, but not in there
        try:
            entered = await _started(*inside.enter(*NESTED))
            handed = await _started(sys.executable, "-m", "deploy.lab.hosts.enter", str(inside.pid), "--", *NESTED)
            below = descendants_of(*inside.starters())
            assert {entered.pid, handed.pid, inside.pid} <= set(below)
            nested = [pid for pid in below if _process_namespace(pid) not in known]
            assert len(nested) == 4, "a shell and its child, twice, in process namespaces below the lab's"
            assert not {stranger.pid, os.getpid()} & set(below)
            with seen_off(*inside.starters()) as gone:
                assert not gone(0.1)
                await inside.close()
                assert await asyncio.to_thread(gone, 20)
            assert stranger.poll() is None
            assert inside.starters() == []
            await asyncio.gather(entered.wait(), handed.wait())
        finally:
            stranger.kill()
            await inside.close()


def test_a_lab_whose_keeper_was_killed_has_no_starters() -> None:
    asyncio.run(_keeper_killed())


async def _keeper_killed() -> None:
    inside = Namespaces()
    await inside.open()
    with seen_off(inside.pid) as gone:
        os.kill(inside.pid, signal.SIGKILL)
        assert await asyncio.to_thread(gone, 20)
    await inside.close()
    assert inside.starters() == []


def _process_namespace(pid: int) -> Path:
    return Path(f"/proc/{pid}/ns/pid").readlink()


async def _started(*command: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert (await asyncio.wait_for(process.stdout.readline(), 20)).strip() == b"ready"
    return process
