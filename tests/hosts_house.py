"""A lab with real machines for the tests that need one: its Proxmox API, and the way into its LAN."""

import base64
import contextlib
import importlib
import json
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko
import pytest
import requests

from deploy.lab.hosts.namespaces import connect
from deploy.lab.hosts.needs import find_missing

PROXMOXER: Any = importlib.import_module("proxmoxer")  # no type information
ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "lab"
TEMPLATE = 9000
KEY_FILE = "/etc/ssh/ssh_host_ed25519_key.pub"
KEY = paramiko.ECDSAKey.generate()
MISSING = find_missing()
# One worker for all of them, and time for the first to make the machines' Debian.
real_machines = [
    pytest.mark.slow,
    pytest.mark.xdist_group("hosts"),
    pytest.mark.timeout(1200),
    pytest.mark.skipif(MISSING is not None, reason=f"real machines cannot run here: {MISSING}"),
]


@dataclass
class HostsLab:
    ready: dict[str, Any]
    process: subprocess.Popen[bytes]

    @property
    def keeper(self) -> int:
        return int(self.ready["keeper"])

    @property
    def api(self) -> Any:
        identity, _, value = str(self.ready["write_token"]).partition("=")
        user, _, name = identity.partition("!")
        host, _, port = str(self.ready["url"]).removeprefix("https://").partition(":")
        return PROXMOXER.ProxmoxAPI(
            host, port=int(port), user=user, token_name=name, token_value=value, verify_ssl=self.ready["ca"], timeout=90
        )

    def control(self, path: str, body: dict[str, Any] | None = None) -> Any:
        url = f"{self.ready['url']}/lab/{path}"
        if body is None:
            return requests.get(url, verify=self.ready["ca"], timeout=60).json()
        answer = requests.post(url, json=body, verify=self.ready["ca"], timeout=60)
        assert answer.ok, answer.text
        return answer.json()

    def fault(self, kind: str, **how: Any) -> None:
        self.control("fault", {"kind": kind, **how})

    def machine(self, vmid: int) -> Any:
        node = self.control("state")["machines"][str(vmid)]["node"]
        return self.api.nodes(node).qemu(vmid)

    def finish(self, upid: str, *, limit_s: float = 90) -> str:
        """Wait for a task; its exit status."""
        node = upid.split(":")[1]
        status = until(
            lambda: next(
                iter([s for s in [self.api.nodes(node).tasks(upid).status.get()] if s["status"] == "stopped"]), None
            ),
            f"the end of {upid}",
            limit_s,
        )
        return str(status["exitstatus"])

    def create(self, vmid: int, name: str, address: str, **more: Any) -> None:
        """As Terraform does it: clone, grow the disk, configure, start."""
        nodes = self.api.nodes("pve1")
        assert self.finish(nodes.qemu(TEMPLATE).clone.post(newid=vmid, name=name, full=1)) == "OK"
        machine = nodes.qemu(vmid)
        assert self.finish(machine.resize.put(disk="scsi0", size="10G")) == "OK"
        line = f"{KEY.get_name()} {KEY.get_base64()} test"
        wanted = {"memory": "512", "cores": 1, "ciuser": "ops", "sshkeys": urllib.parse.quote(line, safe="")} | more
        machine.config.put(ipconfig0=f"ip={address}/24,gw=192.168.178.1", **wanted)
        self.power(vmid, "start")

    def power(self, vmid: int, action: str, expected: str = "OK", **how: Any) -> None:
        ended = self.finish(getattr(self.machine(vmid).status, action).post(**how))
        assert ended == expected, ended

    def status(self, vmid: int) -> str:
        return str(self.machine(vmid).status.current.get()["status"])

    def host_key(self, vmid: int) -> str:
        """Through the guest agent, as soon as it answers."""

        def read() -> str | None:
            with contextlib.suppress(PROXMOXER.ResourceException):
                return str(self.machine(vmid).agent("file-read").get(file=KEY_FILE)["content"])
            return None

        return str(until(read, f"the guest agent of {vmid}", 120))

    @contextlib.contextmanager
    def ssh(self, vmid: int, address: str, *, timeout_s: float = 15) -> Generator[paramiko.SSHClient]:
        """Log in by key, knowing the host key only from the guest agent."""
        key = public_key(self.host_key(vmid))
        with contextlib.closing(paramiko.SSHClient()) as client:
            client.get_host_keys().add(address, key.get_name(), key)
            client.set_missing_host_key_policy(paramiko.RejectPolicy())
            stream = connect(self.keeper, (address, 22), timeout_s)
            client.connect(
                address, username="ops", pkey=KEY, sock=stream, timeout=timeout_s, banner_timeout=timeout_s,
                auth_timeout=timeout_s, allow_agent=False, look_for_keys=False,
            )  # fmt: skip
            yield client


def public_key(line: str) -> paramiko.PKey:
    """An ed25519 key as its file has it."""
    kind, text = line.split()[:2]
    assert kind == "ssh-ed25519"
    return paramiko.Ed25519Key(data=base64.b64decode(text))


def said(client: paramiko.SSHClient, command: str) -> str:
    """What a command wrote; it must have gone well."""
    _, out, err = client.exec_command(command, timeout=30)
    text = out.read().decode()
    assert out.channel.recv_exit_status() == 0, f"{command}: {text}{err.read().decode()}"
    return text.strip()


def refused(client: paramiko.SSHClient, command: str) -> str:
    """What a command said that must have failed."""
    _, out, err = client.exec_command(command, timeout=30)
    text = out.read().decode() + err.read().decode()
    assert out.channel.recv_exit_status() != 0, f"{command} went well: {text}"
    return text


def until(look: Callable[[], Any], what: str, limit_s: float = 30.0) -> Any:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {limit_s:.0f} s: {what}")


def holds(pid: int, path: Path) -> bool:
    """Whether a process has the file open."""
    return any(fd.resolve() == path.resolve() for fd in Path(f"/proc/{pid}/fd").iterdir())


def start_server(
    module: str, folder: Path, name: str, *arguments: str
) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    """One of the lab's servers and its ready file."""
    folder.mkdir(parents=True, exist_ok=True)
    ready, log = folder / ("ready.json" if name == "lab" else f"{name}.ready"), folder / f"{name}.log"
    ready.unlink(missing_ok=True)
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", module, "--data", str(folder / "data"), "--ready-file", str(ready), *arguments],
            cwd=ROOT, stdout=stream, stderr=stream,
        )  # fmt: skip
    until(lambda: ready.exists() or process.poll() is not None, f"{module} to be ready", 900)
    assert process.poll() is None, log.read_text()
    return process, json.loads(ready.read_text())


def start_lab(folder: Path, *extra: str) -> HostsLab:
    """May take minutes once: the machines' Debian is made and kept in the cache."""
    process, ready = start_server("deploy.lab.proxmox", folder, "lab", "--hosts", str(CACHE), "--pace", "0.02", *extra)
    return HostsLab(ready, process)


@contextlib.contextmanager
def hosts_lab(folder: Path, *extra: str) -> Generator[HostsLab]:
    lab = start_lab(folder, *extra)
    try:
        yield lab
    finally:
        if lab.process.poll() is None:
            lab.process.terminate()
            assert lab.process.wait(timeout=30) == 0, (folder / "lab.log").read_text()
