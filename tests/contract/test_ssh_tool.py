"""`ssh` against a real OpenSSH server on loopback: keys, ends of commands, STOP, lost connections, output."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from bot.domain.calls import CallClass, Prepared
from bot.domain.ports import ArgumentError, Cannot
from tests.ssh_house import Sshd, SshHouse, free_port, make_key, needs_sshd, running_sshd
from tools.hosts import fingerprint
from tools.trace import Trace

pytestmark = [needs_sshd, pytest.mark.xdist_group("ssh")]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as sshd:
        yield sshd


@pytest.fixture
def own(tmp_path: Path) -> Generator[Sshd]:
    """A server of the test's own, to stop and to change."""
    folder = tmp_path / "sshd"
    folder.mkdir()
    with running_sshd(folder) as sshd:
        yield sshd


@pytest_asyncio.fixture
async def house(shared: Sshd, tmp_path: Path) -> AsyncGenerator[SshHouse]:
    one = SshHouse(tmp_path, shared)
    yield one
    one.connections.close()


@pytest_asyncio.fixture
async def own_house(own: Sshd, tmp_path: Path) -> AsyncGenerator[SshHouse]:
    one = SshHouse(tmp_path, own)
    yield one
    one.connections.close()


async def until(true: Callable[[], bool], most_s: float = 20) -> None:
    async with asyncio.timeout(most_s):
        while not true():
            await asyncio.sleep(0.05)


async def during(step: Awaitable[object], then: Callable[[], None], when: Callable[[], bool]) -> object:
    """Run `step`; once `when` holds, do `then`."""
    running = asyncio.ensure_future(step)
    await until(when)
    then()
    return await running


def alive(pid_file: Path) -> bool:
    """Whether the process runs. One that ended and waits to be collected by its parent does not."""
    try:
        stat = Path(f"/proc/{pid_file.read_text().strip()}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def test_output_exit_code_and_stderr(house: SshHouse) -> None:
    result = await house.use("sh", "-c", "echo out; echo err >&2")
    assert result.status == "ok"
    assert result.text.startswith("exit 0 on cp1")
    assert "out" in result.text
    assert "stderr:\nerr" in result.text
    assert (result.facts["exit"], result.changed) == (0, False)


async def test_a_non_zero_exit_is_a_failed_result_with_its_output(house: SshHouse) -> None:
    result = await house.use("sh", "-c", "echo why; exit 7")
    assert (result.status, result.facts["exit"]) == ("failed", 7)
    assert "exit 7" in result.text
    assert "why" in result.text


async def test_rule_10_arguments_reach_the_program_as_they_were_given(house: SshHouse) -> None:
    hostile = "a; touch /tmp/never `id` $HOME 'q' \"d\" * \n é"
    result = await house.use("printf", "%s|", hostile, "")
    assert result.text.split("\n", 1)[1] == f"{hostile}||"


async def test_rule_10_a_read_line_runs_as_it_was_understood_and_not_as_it_was_written(house: SshHouse) -> None:
    house.line = "printf %s '$HOME'"
    assert (await house.use(command="printf %s $HOME")).text.endswith("$HOME")
    house.line = "printf a | tr a b"
    assert (await house.use(command="printf a|tr a b")).text.endswith("b")
    house.line = ""
    assert "not wholly understood" in await house.refuse(command="cat $FILE")


async def test_rule_10_what_is_not_a_read_keeps_the_class_and_is_bound_whole(house: SshHouse) -> None:
    house.says = CallClass.DESTROY
    prepared = await house.prepare(command="rm -rf /srv/old && echo gone")
    assert isinstance(prepared, Prepared)
    assert prepared.effect.cls is CallClass.DESTROY
    assert prepared.binding["line"] == "rm -rf /srv/old && echo gone"
    assert "rm -rf /srv/old && echo gone" in prepared.full_text
    assert prepared.pins["host_key.cp1"] == house.fingerprint


async def test_one_connection_is_reused_and_shared(own_house: SshHouse) -> None:
    results = await asyncio.gather(*(own_house.use("sleep", "0.2") for _ in range(4)), own_house.use("true"))
    await own_house.use("true")
    assert [result.status for result in results] == ["ok"] * 5
    assert own_house.sshd.logins == 1


async def test_a_dead_connection_is_made_again(own_house: SshHouse) -> None:
    assert (await own_house.use("true")).status == "ok"
    own_house.sshd.stop()
    own_house.sshd.start()
    assert (await own_house.use("true")).status == "ok"


async def test_rule_25_a_changed_key_is_a_hard_failure_and_an_alert_with_both_fingerprints(own_house: SshHouse) -> None:
    prepared = await own_house.prepare(argv=["touch", str(own_house.data / "sent")])
    assert isinstance(prepared, Prepared)
    pinned = own_house.fingerprint
    own_house.sshd.stop()
    own_house.sshd.make_host_key()
    own_house.sshd.start()
    arguments = own_house.tool.parse(prepared.call.arguments)
    result = (await own_house.tool.run(prepared, arguments, own_house.scope, own_house.watch)).result
    offered = fingerprint(own_house.sshd.host_key)
    assert result.status == "failed"
    assert "HOST KEY CHANGED" in result.text
    assert pinned in result.text
    assert offered in result.text
    assert (result.facts["alert"], result.changed) == ("host_key_changed", False)
    assert [(kind, facts["pinned"], facts["offered"]) for kind, facts in own_house.alerts] == [
        ("host_key_changed", pinned, offered)
    ]
    assert not (own_house.data / "sent").exists()
    assert own_house.sshd.logins == 0


async def test_rule_25_a_host_that_nobody_listed_is_not_reached(house: SshHouse) -> None:
    text = await house.refuse(host="cp9", argv=["true"])
    assert "'cp9' is not in the estate's inventory (cp1)" in text
    assert "not in the estate's inventory" in await house.refuse(host="127.0.0.1", argv=["true"])


async def test_rule_11_another_key_in_the_inventory_voids_what_was_asked(house: SshHouse, tmp_path: Path) -> None:
    prepared = await house.prepare(argv=["true"])
    assert isinstance(prepared, Prepared)
    arguments = house.tool.parse(prepared.call.arguments)
    assert await house.tool.pins(prepared, arguments) == prepared.pins
    make_key(tmp_path / "other")
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    house.list(replace(house.sshd.host, keys=(other,)))
    assert await house.tool.pins(prepared, arguments) != prepared.pins
    result = (await house.tool.run(prepared, arguments, house.scope, house.watch)).result
    assert result.status == "refused"
    house.list()
    assert await house.tool.pins(prepared, arguments) == {}


async def test_a_host_that_is_down_says_so(house: SshHouse) -> None:
    house.list(replace(house.sshd.host, port=free_port()))
    result = await house.use("true")
    assert (result.status, result.facts["reached"]) == ("failed", False)
    assert "does not answer as an SSH server" in result.text


async def test_a_key_that_is_not_let_in_says_so(house: SshHouse, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    house.connections = type(house.connections)(tmp_path / "stranger")
    assert "does not let" in (await house.use("true")).text
    house.connections = type(house.connections)(tmp_path / "nowhere")
    assert "WATCHBILL_SSH_KEY" in (await house.use("true")).text


async def test_a_command_that_hangs_is_ended_with_what_it_started(house: SshHouse, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    result = await house.use("sh", "-c", f"sleep 300 & echo $! > {pid}; echo begun; wait", timeout_s=1)
    assert (result.status, result.facts["ended"]) == ("failed", "timeout")
    assert "begun" in result.text
    await until(lambda: not alive(pid))


async def test_silence_is_ended_too(house: SshHouse) -> None:
    result = await house.use("sh", "-c", "echo begun; sleep 300", idle_s=1)
    assert (result.status, result.facts["ended"]) == ("failed", "idle")
    assert "Does it wait for input?" in result.text


async def test_what_stays_in_the_background_holds_nobody_up(house: SshHouse, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    result = await house.use("sh", "-c", f"sleep 60 & echo $! > {pid}; echo done", timeout_s=40)
    os.kill(int(pid.read_text()), 9)
    assert (result.status, result.facts["ended"]) == ("ok", "exit")
    assert result.text.endswith("done")


async def test_a_program_that_reads_gets_the_end_of_input(house: SshHouse) -> None:
    assert (await house.use("cat")).status == "ok"


async def test_fifty_megabytes_are_taken_and_cut_in_the_middle(house: SshHouse) -> None:
    result = await house.use("sh", "-c", "head -c 52428800 /dev/zero | tr '\\0' x; echo; echo the end")
    assert (result.status, result.facts["stdout_bytes"]) == ("ok", 52428800 + len("\nthe end\n"))
    assert "bytes left out" in result.text
    assert result.text.endswith("the end")
    assert len(result.text) < 2_000_000


async def test_rule_5_stop_ends_the_command_and_what_it_started(house: SshHouse, tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    def stop() -> None:
        house.watch.stops = 1

    step = house.use("sh", "-c", f"sleep 300 & echo $! > {pid}; wait")
    result = await during(step, stop, lambda: pid.exists() and bool(pid.read_text()))
    assert getattr(result, "status", "") == "interrupted"
    await until(lambda: not alive(pid))


async def test_rule_5_what_does_not_hear_term_is_killed_by_a_second_stop(house: SshHouse, tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    def stop() -> None:
        house.watch.stops = 2

    step = house.use("sh", "-c", f"trap '' TERM; echo $$ > {pid}; while :; do sleep 1; done")
    began = time.monotonic()
    result = await during(step, stop, lambda: pid.exists() and bool(pid.read_text()))
    assert getattr(result, "status", "") == "interrupted"
    assert time.monotonic() - began < 60
    await until(lambda: not alive(pid))


async def test_a_connection_that_drops_is_an_unknown_outcome_for_a_change(own_house: SshHouse, tmp_path: Path) -> None:
    own_house.says, begun = CallClass.CHANGE, tmp_path / "begun"
    step = own_house.use("sh", "-c", f"touch {begun}; sleep 5")
    result = await during(step, own_house.sshd.stop, begun.exists)
    assert getattr(result, "status", "") == "unknown_outcome"
    assert "how the command ended is not known" in getattr(result, "text", "")
    assert getattr(result, "changed", False)


async def test_rule_13_a_change_is_sent_once_and_its_end_is_known_to_the_next_worker(house: SshHouse) -> None:
    house.says = CallClass.CHANGE
    counter = house.data / "count"
    prepared = await house.prepare(argv=["sh", "-c", f"echo x >> {counter}"])
    assert isinstance(prepared, Prepared)
    tool, arguments = house.tool, house.tool.parse(prepared.call.arguments)
    before = (await tool.recover(prepared, arguments, house.scope, house.watch)).result
    assert (before.status, "Nothing was run" in before.text) == ("failed", True)
    first = (await tool.run(prepared, arguments, house.scope, house.watch)).result
    assert (first.status, first.changed) == ("ok", True)
    again = (await tool.run(prepared, arguments, house.scope, house.watch)).result
    assert (again.status, counter.read_text()) == ("refused", "x\n")
    found = (await tool.recover(prepared, arguments, house.scope, house.watch)).result
    assert found.status == "ok"
    assert counter.read_text() == "x\n"


async def test_rule_13_a_change_whose_worker_died_is_an_unknown_outcome(house: SshHouse) -> None:
    house.says = CallClass.CHANGE
    prepared = await house.prepare(argv=["systemctl", "restart", "kubelet"])
    assert isinstance(prepared, Prepared)
    assert Trace.of(house.estates, prepared).begin()
    arguments = house.tool.parse(prepared.call.arguments)
    found = (await house.tool.recover(prepared, arguments, house.scope, house.watch)).result
    assert found.status == "unknown_outcome"
    assert "systemctl restart kubelet" in found.text


async def test_bad_arguments_and_a_broken_file_say_what_to_do(house: SshHouse) -> None:
    for arguments in ({"host": "cp1"}, {"host": "cp1", "argv": ["a"], "command": "b"}):
        with pytest.raises(ArgumentError, match="either argv or command"):
            house.tool.parse(arguments)
    house.file.write_text("hosts:\n  cp1: {address: somewhere, user: x, keys: [y]}\n")
    assert "hosts.cp1.address" in await house.refuse(argv=["true"])
    house.file.write_text("hosts: [")
    assert "hosts.yaml" in await house.refuse(argv=["true"])


async def test_without_a_classifier_every_command_waits_for_people(house: SshHouse) -> None:
    from tools.ssh import Login, Ssh

    tool = Ssh(Login(house.estates, house.roster, house.connections))
    prepared = await house.prepare(argv=["true"])
    assert isinstance(prepared, Prepared)
    prepared = await tool.prepare(prepared.call, tool.parse(prepared.call.arguments), house.scope)
    assert not isinstance(prepared, Cannot)
    assert prepared.effect.cls is CallClass.UNKNOWN


def test_the_server_of_these_tests_is_not_this_machines(shared: Sshd) -> None:
    assert shared.server is not None
    assert os.getpgid(shared.server.pid) == shared.server.pid
