"""A real OpenSSH server on loopback with its own configuration, keys and port, for tests. It changes nothing of this machine's."""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from bot.domain.calls import CallClass, Prepared, ToolResult
from bot.domain.ids import Json
from bot.domain.ports import Cannot, Scope
from tests.fakes import FakeWatch, call, mission, scope
from tools.estate import Estates
from tools.hosts import Host, Roster, fingerprint
from tools.ssh import Login, Ssh
from tools.ssh_connection import Connections

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
KEYGEN = shutil.which("ssh-keygen") or "/usr/bin/ssh-keygen"
needs_sshd = pytest.mark.skipif(
    not (os.access(SSHD, os.X_OK) and os.access(KEYGEN, os.X_OK)), reason="needs sshd: apt-get install openssh-server"
)
CONFIG = """Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile {folder}/pid
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxSessions 50
Subsystem sftp internal-sftp
LogLevel VERBOSE
"""


@dataclass
class Sshd:
    """One server. `user` is whoever runs the test: a server that is not root lets nobody else in."""

    folder: Path
    port: int
    user: str
    server: "subprocess.Popen[bytes] | None" = None

    @property
    def key(self) -> Path:
        return self.folder / "login_key"

    @property
    def host_key(self) -> str:
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    @property
    def host(self) -> Host:
        return Host("cp1", "127.0.0.1", self.user, (self.host_key,), self.port, ("control_plane",))

    @property
    def logins(self) -> int:
        return (self.folder / "log").read_text().count("Accepted publickey")

    def make_host_key(self) -> None:
        for path in (self.folder / "host_key", self.folder / "host_key.pub"):
            path.unlink(missing_ok=True)
        make_key(self.folder / "host_key")

    def start(self) -> None:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own empty folder; its package makes it at boot
        (self.folder / "config").write_text(CONFIG.format(port=self.port, folder=self.folder))
        dies_with_us = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        argv = [*dies_with_us, SSHD, "-D", "-e", "-f", str(self.folder / "config")]
        with (self.folder / "log").open("ab") as log:
            self.server = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        for _ in range(500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2) as there:
                if there.recv(4) == b"SSH-":
                    return
            assert self.server.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        """The server and every connection it holds, at once: what a machine that loses power does."""
        if self.server is not None and self.server.poll() is None:
            for pid in [*descendants(self.server.pid), self.server.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.server.wait(10)


def descendants(pid: int) -> list[int]:
    """Every process below `pid`, deepest last."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def make_key(path: Path) -> None:
    subprocess.run([KEYGEN, "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=30)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def running_sshd(folder: Path) -> Generator[Sshd]:
    sshd = Sshd(folder, free_port(), getpass.getuser())
    sshd.make_host_key()
    make_key(sshd.key)
    shutil.copy(sshd.key.with_suffix(".pub"), folder / "authorized_keys")
    sshd.start()
    try:
        yield sshd
    finally:
        sshd.stop()


@dataclass(frozen=True)
class Classed:
    """What the classifier of these tests says."""

    cls: CallClass
    rule: str
    reason: str
    line: str


@dataclass
class SshHouse:
    """The ssh tool over one server, whose host is `cp1` in the operator's file. `says` is the classifier's class."""

    data: Path
    sshd: Sshd
    says: CallClass = CallClass.READ
    line: str | None = None
    alerts: list[tuple[str, dict[str, Json]]] = field(default_factory=list[tuple[str, dict[str, Json]]])
    scope: Scope = field(default_factory=lambda: scope(mission(estate="home")))
    watch: FakeWatch = field(default_factory=FakeWatch)
    calls: int = 0

    def __post_init__(self) -> None:
        self.estates = Estates(self.data, self.data / "none")
        self.connections = Connections(self.sshd.key)
        self.list(self.sshd.host)

    def list(self, *hosts: Host) -> None:
        """Write the operator's file."""
        lines = ["hosts:" if hosts else "hosts: {}"]
        for host in hosts:
            lines += [
                f"  {host.name}:",
                f"    address: {host.address}",
                f"    user: {host.user}",
                f"    port: {host.port}",
            ]
            lines += [f"    groups: [{', '.join(host.groups)}]", f"    keys: ['{host.keys[0]}']"]
        self.file.write_text("\n".join(lines) + "\n")

    @property
    def file(self) -> Path:
        return self.data / "hosts.yaml"

    def roster(self, estate: str = "home") -> Roster:
        return Roster(self.estates.named(estate).root / "hosts", self.file)

    def classify(self, command: str) -> Classed:
        return Classed(self.says, "test rule", "as the test says", command if self.line is None else self.line)

    @property
    def tool(self) -> Ssh:
        return Ssh(Login(self.estates, self.roster, self.connections, self.classify, self._alert))

    def _alert(self, kind: str, facts: Mapping[str, Json]) -> None:
        self.alerts.append((kind, dict(facts)))

    async def prepare(self, **arguments: Json) -> Prepared | Cannot:
        self.calls += 1
        made = replace(call("ssh", number=self.calls), arguments={"host": "cp1", **arguments})
        return await self.tool.prepare(made, self.tool.parse(made.arguments), self.scope)

    async def use(self, *argv: str, **arguments: Json) -> ToolResult:
        """Prepare and run, as the gate does with an allowed call; a refusal is a failed test."""
        if argv:
            arguments["argv"] = list(argv)
        prepared = await self.prepare(**arguments)
        assert isinstance(prepared, Prepared), prepared
        done = await self.tool.run(prepared, self.tool.parse(prepared.call.arguments), self.scope, self.watch)
        return done.result

    async def refuse(self, **arguments: Json) -> str:
        prepared = await self.prepare(**arguments)
        assert isinstance(prepared, Cannot), prepared
        return prepared.text

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.sshd.host_key)
