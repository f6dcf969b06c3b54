"""paramiko behind one small typed wrapper: one connection per host, pinned keys only, bounded commands. Blocking.

The untyped library stops here. Callers run `Connections.run` in a thread and stop it through its `Interrupt`.
"""
# paramiko is not typed:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import contextlib
import re
import select
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from tools.hosts import Host, fingerprint

CONNECT_S: Final = 10.0
LOOK_S: Final = 0.2
LINGER_S: Final = 2.0  # of silence, where the command has ended and its output has not
GRACE_S: Final = 5.0  # from TERM to KILL
UNUSED_S: Final = 300.0  # a connection that nobody used for so long is closed
SILENT_MS: Final = 30_000  # unacknowledged bytes for so long: the network or the host is gone
HEAD: Final = 1_000_000  # bytes of each stream that are kept from its beginning
TAIL: Final = 250_000  # and from its end
MOST: Final = 256_000_000  # bytes after which the command is stopped
WINDOW: Final = 1 << 24
SAY_PID: Final = 'echo "watchbill:$$" >&2; '  # so that STOP finds what the command started; cut out of its output
PID_LINE: Final = re.compile(rb"watchbill:([1-9][0-9]{1,9})\n")  # never 1: the group -1 is everything there is
Why = Literal["exit", "signal", "timeout", "idle", "output", "stopped", "dropped"]


class SshError(Exception):
    """No command was started. The text says what to do."""


class KeyChangedError(SshError):
    """The host has another key than the pinned one: nothing was sent to it."""

    def __init__(self, host: Host, got: str) -> None:
        self.host = host
        self.pinned = ", ".join(host.fingerprints)
        self.got = got
        super().__init__(
            f"HOST KEY CHANGED on {host.name} ({host.place}): pinned {self.pinned}, offered {got}. Nothing was sent. "
            "Either the machine was made anew outside an approved plan, or something else answers at its address. A "
            "person has to find out which and, if it is right, correct policies/hosts.yaml or plan the machine anew."
        )


@dataclass(frozen=True, slots=True)
class Bounds:
    command_s: float = 60.0
    idle_s: float = 60.0


class Interrupt:
    """How hard a running command has to stop: 0 not, 1 with TERM and a grace, 2 at once. Set from another thread."""

    def __init__(self) -> None:
        self.level = 0
        self.seen = 0  # bytes of output so far, for the progress line


@dataclass
class Stream:
    """A stream's beginning and end, and how long it was."""

    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    size: int = 0
    pid: str = ""

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        room = HEAD - len(self.head)
        self.head += chunk[:room]
        self.tail += chunk[room:] if room < len(chunk) else b""
        if len(self.tail) > 2 * TAIL:
            del self.tail[:-TAIL]

    def take_pid(self) -> str:
        """The number in the line that SAY_PID wrote, which is cut out; "" before it came."""
        found = PID_LINE.search(self.head) if not self.pid else None
        if found:
            self.pid = found.group(1).decode()
            self.head = bytearray(self.head[: found.start()] + self.head[found.end() :])
            self.size -= found.end() - found.start()
        return self.pid

    @property
    def text(self) -> str:
        tail = bytes(self.tail[-TAIL:])
        left = self.size - len(self.head) - len(tail)
        middle = f"\n[… {left:,} of {self.size:,} bytes left out]\n" if left else ""
        return self.head.decode(errors="replace") + middle + tail.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that was started. `code` is None where the host never said. `gone`: it is known to have ended."""

    why: Why
    code: int | None
    stdout: Stream
    stderr: Stream
    seconds: float
    gone: bool = True


class Connections:
    """One authenticated connection per host and pin, reused by every mission of this worker."""

    def __init__(self, key: Path | None) -> None:
        """`key`: the private key that logs in everywhere."""
        self._key = key
        self._open: dict[Host, tuple[Any, float]] = {}
        self._locks: dict[Host, threading.Lock] = {}
        self._lock = threading.Lock()

    def run(self, host: Host, command: str, bounds: Bounds, interrupt: Interrupt) -> Ran:
        """Run one command line. Raises SshError where it was not started; afterwards every end is a value."""
        began = time.monotonic()
        with self._locked(host):
            channel = self._channel(host)
        try:
            channel.exec_command(SAY_PID + command)
            channel.shutdown_write()
        except (OSError, EOFError, _ssh_errors()):  # it may have been sent: nobody knows
            return Ran("dropped", None, Stream(), Stream(), time.monotonic() - began, gone=False)
        try:
            return _Attended(channel, bounds, interrupt, began, sudo="sudo" in command).watch()
        finally:
            channel.close()

    def close(self) -> None:
        """Every connection."""
        with self._lock:
            for client, _ in self._open.values():
                client.close()
            self._open.clear()

    def _locked(self, host: Host) -> threading.Lock:
        with self._lock:
            self._close_unused()
            return self._locks.setdefault(host, threading.Lock())

    def _close_unused(self) -> None:
        for host, (client, used) in list(self._open.items()):
            transport = client.get_transport()
            if transport is None or not transport.is_active() or time.monotonic() - used > UNUSED_S:
                client.close()
                del self._open[host]

    def _channel(self, host: Host) -> Any:
        """A fresh channel of the host's connection; of a new one where the old turns out to be dead."""
        for again in (True, False):
            client = self._client(host)
            try:
                return client.get_transport().open_session(timeout=CONNECT_S)
            except (OSError, EOFError, _ssh_errors(), AttributeError) as error:
                client.close()
                with self._lock:
                    self._open.pop(host, None)
                if not again:
                    raise SshError(f"{host.name} ({host.place}) opens no channel: {error}") from error
        raise AssertionError

    def _client(self, host: Host) -> Any:
        with self._lock:
            there = self._open.get(host)
        client = there[0] if there else self._connect(host)
        with self._lock:
            self._open[host] = (client, time.monotonic())
        return client

    def _connect(self, host: Host) -> Any:
        """Reject every key but the pinned ones, offer nothing but our own private key."""
        import paramiko  # noqa: PLC0415 # a third of a second of imports that only this needs

        if self._key is None or not self._key.exists():
            raise SshError(f"There is no private key to log in with at {self._key}: set WATCHBILL_SSH_KEY.")
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        for key in host.keys:
            kind, _, blob = key.partition(" ")
            client.get_host_keys().add(host.known_as, kind, _public(paramiko, kind, blob))
        try:
            private = paramiko.PKey.from_path(self._key)
            client.connect(
                host.address, port=host.port, username=host.user, pkey=private, sock=_dial(host),
                allow_agent=False, look_for_keys=False, timeout=CONNECT_S, banner_timeout=CONNECT_S,
                auth_timeout=CONNECT_S, channel_timeout=CONNECT_S,
            )  # fmt: skip
        except paramiko.BadHostKeyException as error:
            client.close()
            got = f"{error.key.get_name()} {error.key.get_base64()}"
            raise KeyChangedError(host, fingerprint(got)) from error
        except paramiko.AuthenticationException as error:
            client.close()
            raise SshError(
                f"{host.name} does not let {host.user} in with the key {self._key.name}: is its public half in the "
                f"machine's authorized_keys (cloud-init)? ({error})"
            ) from error
        except (OSError, EOFError, paramiko.SSHException, ValueError) as error:
            client.close()
            raise SshError(f"{host.name} ({host.place}) does not answer as an SSH server: {error}") from error
        transport: Any = client.get_transport()
        transport.set_keepalive(10)
        transport.default_window_size = WINDOW
        return client


class _Attended:
    """One running command: output taken, bounds kept, interrupts heard."""

    def __init__(self, channel: Any, bounds: Bounds, interrupt: Interrupt, began: float, *, sudo: bool) -> None:
        self.channel, self.bounds, self.interrupt, self.began, self.sudo = channel, bounds, interrupt, began, sudo
        self.out, self.err = Stream(), Stream()
        self.heard = began
        self.why: Why = "exit"
        self.kill_at = 0.0

    def watch(self) -> Ran:
        while not self._finished():
            if not self.channel.recv_ready() and not self.channel.recv_stderr_ready():
                if self.channel.eof_received:  # then it is always ready to be read
                    time.sleep(LOOK_S / 10)
                select.select([self.channel], [], [], LOOK_S)
            self._take()
            if self._over():
                return self._end(gone=False)
        return self._end(gone=True)

    def _finished(self) -> bool:
        """It has ended and all of its output is here. OpenSSH tells the exit code when the process ends, and what is
        left in its pipes afterwards; something that it left in the background may hold them open for ever.
        """
        channel = self.channel
        if not channel.exit_status_ready() or channel.recv_ready() or channel.recv_stderr_ready():
            return False
        return channel.closed or channel.eof_received or time.monotonic() - self.heard > LINGER_S

    def _take(self) -> None:
        for ready, take, stream in (
            (self.channel.recv_ready, self.channel.recv, self.out),
            (self.channel.recv_stderr_ready, self.channel.recv_stderr, self.err),
        ):
            while ready() and (chunk := take(1 << 18)):
                stream.add(chunk)
                self.heard = time.monotonic()
                if self.out.size + self.err.size > MOST:
                    break
        self.interrupt.seen = self.out.size + self.err.size

    def _over(self) -> bool:
        """Whether to leave the command behind: it was told to end and did not."""
        now = time.monotonic()
        if self.why == "exit":
            self.why = self._reason(now)
            if self.why != "exit":
                self._signal("TERM")
                self.kill_at = now + GRACE_S
        if self.why != "exit" and (now > self.kill_at or self.interrupt.level > 1):
            self._signal("KILL")
            return not self.channel.status_event.wait(1.0)
        return False

    def _reason(self, now: float) -> Why:
        if self.interrupt.level:
            return "stopped"
        if self.out.size + self.err.size > MOST:
            return "output"
        if now - self.began > self.bounds.command_s:
            return "timeout"
        return "idle" if now - self.heard > self.bounds.idle_s else "exit"

    def _signal(self, name: str) -> None:
        """Tell the command's whole process group, over a channel of its own. The protocol's own signal request is
        refused by OpenSSH for root, and reaches nothing that sudo started.
        """
        pid = self.err.take_pid()
        if pid:
            kill = f"kill -s {name} -- -{pid} 2>/dev/null"
            with contextlib.suppress(OSError, EOFError, _ssh_errors()):
                other = self.channel.get_transport().open_session(timeout=LOOK_S * 10)
                other.exec_command(f"{kill}; sudo -n {kill}" if self.sudo else kill)
                other.status_event.wait(2.0)
                other.close()

    def _end(self, *, gone: bool) -> Ran:
        self.err.take_pid()
        code: int | None = self.channel.recv_exit_status() if gone else None
        why = self.why
        if code == -1:  # no exit status came: a signal ended it, or the connection is gone
            code = None
            alive = self.channel.get_transport().is_active()
            why, gone = (("signal" if why == "exit" else why), True) if alive else ("dropped", False)
        return Ran(why, code, self.out, self.err, time.monotonic() - self.began, gone)


def _dial(host: Host) -> socket.socket:
    """A connected socket on which a lost network is noticed. Raises OSError."""
    connected = socket.create_connection((host.address, host.port), CONNECT_S)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MS)
    return connected


def _public(paramiko: Any, kind: str, blob: str) -> Any:
    import base64  # noqa: PLC0415 # beside its one use

    return paramiko.PKey.from_type_string(kind, base64.b64decode(blob))


def _ssh_errors() -> type[Exception]:
    import paramiko  # noqa: PLC0415 # as in _connect

    return paramiko.SSHException
