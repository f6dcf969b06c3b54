"""Machines of the lab with the mirror on their LAN, and ansible-playbook from among them, as a person would run it.

By hand, to work on blueprints: `python -m tests.cluster_house DIR cp1 cp2 cp3 w1` brings them up and waits for Ctrl-C.
"""

import contextlib
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import yaml

from deploy.lab.bundle.items import find_kubernetes
from deploy.lab.hosts.namespaces import connect
from tests.hosts_house import CACHE, KEY, ROOT, HostsLab, hosts_lab, real_machines, start_server, until

ANSIBLE = ROOT / ".cache" / "ansible" / "bin"
BLUEPRINTS = ROOT / "deploy" / "blueprints" / "ansible"
# Virtual addresses that no machine has.
ENDPOINT, INGRESS = "192.168.178.30", "192.168.178.31"
FIRST = 101


@dataclass
class Cluster:
    """`folder` holds key, known_hosts and inventory.yml; `machines` maps a name to its address."""

    folder: Path
    lab: HostsLab
    mirror: dict[str, Any]
    machines: dict[str, str]

    def enter(self, *command: str) -> list[str]:
        """The command that runs another one on the machines' LAN."""
        return [sys.executable, "-m", "deploy.lab.hosts.enter", str(self.lab.keeper), "--", *command]

    def run(self, *command: str, limit_s: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.enter(*command), cwd=ROOT, capture_output=True, text=True, timeout=limit_s, check=False
        )

    def ssh(self, name: str, command: str, limit_s: float = 60) -> subprocess.CompletedProcess[str]:
        return self.run(*self.ssh_command(name), command, limit_s=limit_s)

    def play(self, playbook: Path, *more: str, limit_s: float = 1800) -> subprocess.CompletedProcess[str]:
        return self.run(*self.playbook_command(playbook, *more), limit_s=limit_s)

    def playbook_command(self, playbook: Path, *more: str) -> list[str]:
        inventory = ["-i", str(self.folder / "inventory.yml")]
        settings = [
            "ANSIBLE_PIPELINING=true",
            f"ANSIBLE_HOME={self.folder / 'ansible'}",
            f"ANSIBLE_ROLES_PATH={BLUEPRINTS / 'roles'}",
        ]
        return ["env", *settings, str(ANSIBLE / "ansible-playbook"), *inventory, str(playbook), *more]

    def power_off(self, name: str) -> None:
        self.lab.fault("power_off", vmid=self.vmid(name))

    def power_on(self, name: str) -> None:
        self.lab.power(self.vmid(name), "start")

    def vmid(self, name: str) -> int:
        return FIRST + list(self.machines).index(name)

    def ssh_command(self, name: str) -> list[str]:
        known = f"UserKnownHostsFile={self.folder / 'known_hosts'}"
        options = ["-o", known, "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"]
        return ["ssh", "-i", str(self.folder / "key"), *options, f"ops@{self.machines[name]}"]

    def write_files(self) -> None:
        """What a person would have: a key, the machines' host keys, and an inventory with the site's variables."""
        KEY.write_private_key_file(str(self.folder / "key"))
        keys = {name: self.lab.host_key(self.vmid(name)).split() for name in self.machines}
        lines = [f"{self.machines[name]} {key[0]} {key[1]}\n" for name, key in keys.items()]
        (self.folder / "known_hosts").write_text("".join(lines))
        (self.folder / "inventory.yml").write_text(yaml.safe_dump(self._inventory(), sort_keys=False))

    def _inventory(self) -> dict[str, Any]:
        groups: dict[str, list[str]] = {"control_plane": [], "workers": []}
        for name in self.machines:
            groups["control_plane" if name.startswith("cp") else "workers"].append(name)
        variables = {
            "ansible_user": "ops",
            "ansible_ssh_private_key_file": str(self.folder / "key"),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.folder / 'known_hosts'}",
            "ansible_python_interpreter": "/usr/bin/python3",
            "cluster_endpoint": ENDPOINT,
            "ingress_address": INGRESS,
            **self.mirror["site_variables"],
        }
        children = {
            group: {"hosts": {name: {"ansible_host": self.machines[name]} for name in names}}
            for group, names in groups.items()
        }
        return {"all": {"vars": variables, "children": children}}


def bundle_is_whole() -> bool:
    return "image/lab.local/hello:1" in find_kubernetes(CACHE).read_notes()


# Marks of what needs more than machines: `make test-cluster` brings it.
needs_bundle = [
    *real_machines,
    pytest.mark.cluster,
    pytest.mark.skipif(
        not bundle_is_whole(), reason="the bundle is not here: python -m deploy.lab.bundle --want kubernetes"
    ),
]


@contextlib.contextmanager
def mirror(lab: HostsLab, folder: Path) -> Generator[dict[str, Any]]:
    """The lab's mirror on the machines' LAN; its ready file."""
    arguments = ["--cache", str(CACHE), "--inside", str(lab.keeper)]
    process, ready = start_server("deploy.lab.mirror", folder, "mirror", *arguments)
    try:
        yield ready
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0, (folder / "mirror.log").read_text()


@contextlib.contextmanager
def cluster(folder: Path, names: Sequence[str], **size: str) -> Generator[Cluster]:
    """Machines with these names, on and answering over SSH; those called `cp…` are control planes."""
    machines = {name: f"192.168.178.{21 + number}" for number, name in enumerate(names)}
    with hosts_lab(folder) as lab, mirror(lab, folder) as ready:
        found = Cluster(folder, lab, ready, machines)
        with ThreadPoolExecutor(len(machines)) as pool:
            list(pool.map(partial(_create, found, {"memory": "2048", "cores": "2"} | size), machines))
        found.write_files()
        yield found


def _create(found: Cluster, size: Mapping[str, str], name: str) -> None:
    found.lab.create(found.vmid(name), name, found.machines[name], **size)
    found.lab.host_key(found.vmid(name))

    def listens() -> bool:
        with contextlib.suppress(OSError), contextlib.closing(connect(found.lab.keeper, (found.machines[name], 22), 2)):
            return True
        return False

    until(listens, f"sshd of {name}", 60)


def describe(found: Cluster) -> str:
    """How to work with machines that stay."""
    lines = [f"mirror   {found.mirror['url']}", f"enter    {shlex.join(found.enter('bash'))}"]
    lines += [f"{name:8} {shlex.join(found.enter(*found.ssh_command(name)))}" for name in found.machines]
    playbook = shlex.join(found.enter(*found.playbook_command(BLUEPRINTS / "cluster.yml")))
    return "\n".join([*lines, f"playbook {playbook}", "ready; Ctrl-C ends it", ""])


def main(arguments: list[str]) -> int:
    if len(arguments) < 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    with cluster(Path(arguments[0]).absolute(), arguments[1:]) as found:
        sys.stdout.write(describe(found))
        sys.stdout.flush()
        ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
