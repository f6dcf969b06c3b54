"""`ssh`: one command on one host of the estate's inventory. Its class is the command's; only what was understood runs unasked."""

import asyncio
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self, assert_never

from pydantic import Field, model_validator

from bot.domain.calls import CallClass, Effect, Item, Prepared, ResultStatus, Target, ToolCall
from bot.domain.ids import Json
from bot.domain.ports import Cannot, Done, Scope, Watch
from tools.commands import Classify, Understood, understands_nothing
from tools.estate import Estates
from tools.hosts import Host, HostsFileError, Roster, not_listed
from tools.run_directory import seconds_since
from tools.ssh_connection import Bounds, Connections, Interrupt, KeyChangedError, Ran, SshError
from tools.trace import Trace
from tools.typed import Arguments, TypedTool, answer

LONGEST: Final = 8000  # characters of a command line
LOOK_S: Final = 0.3
TITLE: Final = 80
READS: Final = frozenset({CallClass.READ, CallClass.SENSITIVE_READ})
ALERT: Final = "host_key_changed"


class SshArguments(Arguments):
    host: str = Field(description="a name of the estate's inventory", min_length=1, max_length=63)
    argv: list[str] = Field(default=[], description="program and arguments, each its own text", max_length=200)
    command: str = Field(default="", description="instead of argv: one shell command line", max_length=LONGEST)
    timeout_s: int = Field(default=60, ge=1, le=3300, description="the command is ended after this")
    idle_s: int = Field(default=60, ge=1, le=3300, description="and after so long without output")
    words: str = Field(default="", description="why, in one sentence, for the people who approve", max_length=500)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.argv) == bool(self.command.strip()):
            raise ValueError("give either argv or command")
        return self

    @property
    def line(self) -> str:
        return shlex.join(self.argv) if self.argv else self.command.strip()


RosterOf = Callable[[str], Roster]
"""Estate → its hosts."""
Alert = Callable[[str, Mapping[str, Json]], None]
"""Kind and facts of what an operator has to see at once."""


def tell_nobody(kind: str, facts: Mapping[str, Json]) -> None:
    """No operator listens: the result says it anyway."""


@dataclass(frozen=True, slots=True)
class Login:
    """What the tool needs: who may be reached, how, and what commands mean. `alert` tells the operator at once."""

    estates: Estates
    roster_of: RosterOf
    connections: Connections
    classify: Classify = understands_nothing
    alert: Alert = tell_nobody


class Ssh(TypedTool[SshArguments]):
    """`ssh`."""

    name = "ssh"
    description = (
        "Run one command on one host of the inventory over SSH and get its output and exit code. Reads run at once; "
        "what changes something, or is not understood, waits for people. Prefer argv to command. Not for setting up "
        "hosts (write a playbook: ansible_check, ansible_run), not for files, tunnels or interactive programs; no input "
        "is given, so add -y or -n where a program would ask."
    )
    timeout_s = 3600.0
    together = True
    arguments = SshArguments

    def __init__(self, login: Login) -> None:
        self._login = login

    async def prepare(self, call: ToolCall, arguments: SshArguments, scope: Scope) -> Prepared | Cannot:
        roster = self._login.roster_of(scope.mission.estate)
        try:
            host = await find_host(roster, arguments.host)
            if host is None:
                return Cannot(not_listed(arguments.host, roster), "inventory")
        except HostsFileError as error:
            return Cannot(str(error), "inventory")
        understood = self._login.classify(arguments.line)
        line = runs_as(arguments, understood)
        if line is None:
            return Cannot("This reads, and is not wholly understood. Give one plain command as argv.", "shell: no line")
        binding: dict[str, Json] = {
            "tool": call.tool,
            "estate": scope.mission.estate,
            "host": host.name,
            "line": line,
            "timeout_s": arguments.timeout_s,
            "idle_s": arguments.idle_s,
        }
        return Prepared(call, _effect(host, line, understood), binding, pins=host.pins, full_text=_whole(host, line))

    async def pins(self, prepared: Prepared, arguments: SshArguments) -> Mapping[str, str]:
        """Where the host is and which key it has, as the inventory says now."""
        try:
            host = self._login.roster_of(str(prepared.binding["estate"])).hosts().get(arguments.host)
        except HostsFileError as error:
            return {"inventory": str(error)}
        return host.pins if host else {}

    async def run(self, prepared: Prepared, arguments: SshArguments, scope: Scope, watch: Watch) -> Done:
        host = self._login.roster_of(scope.mission.estate).hosts().get(arguments.host)
        if host is None or host.pins != dict(prepared.pins):
            return answer(
                prepared, "refused", f"{arguments.host} is another host now than when this was asked. Ask again."
            )
        trace = Trace.of(self._login.estates, prepared)
        if prepared.effect.cls not in READS and not trace.begin():
            return answer(prepared, "refused", "This command was sent before; it is not sent again. Look at the host.")
        bounds = Bounds(arguments.timeout_s, arguments.idle_s)
        line = str(prepared.binding["line"])
        try:
            ran = await attended(self._login.connections, host, line, bounds, watch)
        except KeyChangedError as error:
            facts: dict[str, Json] = {
                "alert": ALERT, "host": host.name, "pinned": error.pinned, "offered": error.got, "reached": False,
            }  # fmt: skip
            self._login.alert(ALERT, facts)
            trace.end("failed", str(error))
            return answer(prepared, "failed", str(error), facts=facts)
        except SshError as error:
            trace.end("failed", str(error))
            return answer(prepared, "failed", str(error), facts={"host": host.name, "reached": False})
        status, text = tell(host, ran, changes=prepared.effect.cls not in READS)
        trace.end(status, text)
        return answer(prepared, status, text, facts=facts_of(host, ran), changed=prepared.effect.cls not in READS)

    async def recover(self, prepared: Prepared, arguments: SshArguments, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002 - port
        """The worker died: its connection went with it, so what was written down here is all that is known."""
        noted = Trace.of(self._login.estates, prepared).read()
        if noted is None:
            return answer(
                prepared, "failed", "The program stopped before the command was sent. Nothing was run; ask again."
            )
        if noted[0]:
            status: ResultStatus = "ok" if noted[0] == "ok" else "failed" if noted[0] == "failed" else "unknown_outcome"
            return answer(
                prepared, status, f"{noted[1]}\n(told by an earlier worker, which was interrupted)", changed=True
            )
        text = (
            f"Unknown outcome: the worker died after this was sent to {arguments.host}: {prepared.binding['line']}\n"
            "The command may have ended, been cut off, or still run there. Look with ssh (reads) at what it should have "
            "changed and whether it runs; it is not sent again."
        )
        return answer(prepared, "unknown_outcome", text, facts={"host": arguments.host, "orphans": []}, changed=True)


async def find_host(roster: Roster, name: str) -> Host | None:
    """The host; machines of an applied plan that wait for their pin are asked for first. Raises HostsFileError."""
    host = roster.hosts().get(name)
    if host is None and any(one.name == name for one in roster.awaited()):
        await asyncio.to_thread(roster.fill)
        host = roster.hosts().get(name)
    return host


def runs_as(arguments: SshArguments, understood: Understood) -> str | None:
    """The line that would be sent. A read runs as what was understood, quoted anew (rule 10); None where that cannot be."""
    if arguments.argv:
        return shlex.join(arguments.argv)
    if understood.cls not in READS:
        return arguments.line
    return understood.line or None


def _effect(host: Host, line: str, understood: Understood) -> Effect:
    short = line if len(line) <= TITLE else f"{line[:TITLE]}…"
    return Effect(
        cls=understood.cls,
        rule=f"ssh: {understood.rule}",
        reason=understood.reason,
        title=f"Run on {host.name}: {short}",
        targets=(Target("host", host.name),),
        items=(Item("read" if understood.cls in READS else "update", line, where=host.name),),
        change=0 if understood.cls in {*READS, CallClass.DESTROY} else 1,
        destroy=1 if understood.cls is CallClass.DESTROY else 0,
        notes=(f"As {host.place}, host key {', '.join(host.fingerprints)} (from {host.source}).",),
    )


def _whole(host: Host, line: str) -> str:
    return f"# on {host.name}, {host.place}, host key {', '.join(host.fingerprints)}\n{line}\n"


async def attended(connections: Connections, host: Host, line: str, bounds: Bounds, watch: Watch) -> Ran:
    """Run it in a thread; STOP and a lost lease reach it. Raises SshError where it was not started."""
    interrupt = Interrupt()
    running = asyncio.ensure_future(asyncio.to_thread(connections.run, host, line, bounds, interrupt))
    began = asyncio.get_running_loop().time()
    try:
        while not running.done():
            await asyncio.wait({running}, timeout=LOOK_S)
            interrupt.level = max(interrupt.level, watch.stopping(), 0 if watch.alive() else 2)
            if not running.done() and asyncio.get_running_loop().time() - began > 2:
                await watch.progress("SSH", f"{host.name}: {line[:TITLE]}", *_so_far(began, interrupt))
        return await running
    finally:
        interrupt.level = max(interrupt.level, 0 if running.done() else 2)


def _so_far(began: float, interrupt: Interrupt) -> tuple[str, ...]:
    stopping = ("stopping",) if interrupt.level else ()
    return (f"{interrupt.seen:,} bytes", seconds_since(began), *stopping)


def facts_of(host: Host, ran: Ran) -> dict[str, Json]:
    return {
        "host": host.name,
        "reached": True,
        "exit": ran.code,
        "ended": ran.why,
        "stdout_bytes": ran.stdout.size,
        "stderr_bytes": ran.stderr.size,
        "took_ms": round(ran.seconds * 1000),
    }


def tell(host: Host, ran: Ran, *, changes: bool) -> tuple[ResultStatus, str]:
    """How it ended, and what it said. An end that nobody saw is no failure but an unknown outcome."""
    status, headline = _headline(host, ran, changes=changes)
    parts = [headline]
    if ran.stdout.size:
        parts.append(ran.stdout.text.rstrip("\n"))
    if ran.stderr.size:
        parts.append(f"stderr:\n{ran.stderr.text.rstrip(chr(10))}")
    if "a password is required" in ran.stderr.text or "a terminal is required" in ran.stderr.text:
        parts.append(
            f"sudo asks for a password on {host.name}: let {host.user} use it without one (cloud-init, sudoers)."
        )
    return status, "\n".join(parts)


def _headline(host: Host, ran: Ran, *, changes: bool) -> tuple[ResultStatus, str]:
    after = f"after {ran.seconds:.1f} s"
    left = "" if ran.gone else f" It did not end within its grace: it may still run on {host.name}."
    unsure: ResultStatus = "failed" if ran.gone or not changes else "unknown_outcome"
    match ran.why:
        case "exit":
            return ("ok" if ran.code == 0 else "failed"), f"exit {ran.code} on {host.name} {after}"
        case "signal":
            return "failed", f"ended by a signal on {host.name} {after}"
        case "timeout":
            return unsure, f"interrupted: not finished {after} (timeout_s).{left}"
        case "idle":
            return unsure, f"interrupted: no output for idle_s, {after}.{left} Does it wait for input?"
        case "output":
            return (
                unsure,
                f"interrupted: more output than is taken ({ran.stdout.size + ran.stderr.size:,} bytes).{left}",
            )
        case "stopped":
            return (
                "interrupted" if ran.gone or not changes else "unknown_outcome"
            ), f"STOP: interrupted {after}.{left}"
        case "dropped":
            text = f"The connection to {host.name} was lost {after}; how the command ended is not known."
            return ("unknown_outcome" if changes else "failed"), text + (
                " Look before anything else." if changes else ""
            )
        case _:
            assert_never(ran.why)
