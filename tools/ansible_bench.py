"""Where a playbook runs: a fresh private directory, an environment of named settings, ansible-core in an environment of its own.

<runs>/<name>/            one call; project/ is a copy of the snapshot
    project/  inventory/hosts.json  env/extravars  ssh/key, known_hosts  plugins/local.py  ansible.cfg (empty)
    run|dry|list|lint/    run directories of the processes; run/work is ansible-runner's private directory
"""

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.domain.ids import Json
from tools.folder import Folder
from tools.hosts import Host, inventory, known_hosts
from tools.process import PLAIN_ENVIRONMENT, Child, Command, Reach, launch
from tools.run_directory import RunDirectory
from tools.site_vars import SiteVariables
from tools.snapshot import Manifest, Snapshots

CODE: Final = "code/"  # in a snapshot: what is unpacked as the project
SSH: Final = Path("/usr/bin/ssh")
FORKS: Final = 5
NO_LOCAL: Final = '''DOCUMENTATION = """
name: local
short_description: closed
description: [Nothing runs where the program runs.]
author: watchbill
"""
from ansible.errors import AnsibleError
from ansible.plugins.connection import ConnectionBase


class Connection(ConnectionBase):
    transport = "local"

    def _connect(self):
        raise AnsibleError("connection local is closed here: playbooks act on hosts of the inventory only")

    def exec_command(self, cmd, in_data=None, sudoable=True):
        self._connect()

    def put_file(self, in_path, out_path):
        self._connect()

    def fetch_file(self, in_path, out_path):
        self._connect()

    def close(self):
        pass
'''
SSH_OPTIONS: Final = (
    *("StrictHostKeyChecking=yes", "GlobalKnownHostsFile=/dev/null", "UpdateHostKeys=no", "IdentitiesOnly=yes"),
    *("IdentityAgent=none", "ForwardAgent=no", "ClearAllForwardings=yes", "BatchMode=yes", "ConnectTimeout=15"),
    *("ServerAliveInterval=10", "ServerAliveCountMax=3", "ControlMaster=auto", "ControlPersist=30s"),
)


@dataclass(frozen=True, slots=True)
class Kit:
    """The environment that `make setup` brings (tools/ansible-requirements.txt) and the key that logs in."""

    folder: Path
    key: Path | None

    def program(self, name: str) -> Path:
        return self.folder / "bin" / name

    @property
    def missing(self) -> str:
        """What an operator has to bring before a playbook can run, or ""."""
        for name in ("ansible-playbook", "ansible-runner", "ansible-lint"):
            if not self.program(name).exists():
                return f"{self.program(name)} is missing: run `make setup`, or set WATCHBILL_ANSIBLE"
        if not SSH.exists():
            return f"{SSH} is missing: install openssh-client"
        if self.key is None or not self.key.exists():
            return f"there is no private key to log in with at {self.key}: set WATCHBILL_SSH_KEY"
        return ""

    @property
    def version(self) -> str:
        """What is installed, as one line for the digest: the names of the installed distributions."""
        found = sorted(path.name for path in self.folder.glob("lib/python3*/site-packages/ansible*.dist-info"))
        return " ".join(name.removesuffix(".dist-info") for name in found) or "none"


@dataclass(frozen=True, slots=True)
class Play:
    """What is run: the playbook's path in the project and its typed options."""

    playbook: str
    limit: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()

    @property
    def options(self) -> list[str]:
        words: list[str] = []
        for name, values in (("--limit", self.limit), ("--tags", self.tags), ("--skip-tags", self.skip_tags)):
            words += [name, ",".join(values)] if values else []
        return words


@dataclass(frozen=True, slots=True)
class Bench:
    """One call's directory."""

    root: Path
    kit: Kit

    @property
    def project(self) -> Path:
        return self.root / "project"

    def run(self, name: str) -> RunDirectory:
        return RunDirectory(self.root / name)

    def lay_out(
        self,
        store: Snapshots,
        manifest: Manifest,
        hosts: Collection[Host],
        extra: Mapping[str, Json],
        site: SiteVariables,
    ) -> None:
        """Unpack the code (every byte compared), write inventory, variables, known hosts and key. Raises ChangedError,
        FileExistsError where this call was begun before.
        """
        self.root.mkdir(mode=0o711)
        for name in ("project", "inventory", "env", "ssh", "plugins"):
            (self.root / name).mkdir(mode=0o700)
        code = Folder(self.project)
        for path in manifest.files:
            if path.startswith(CODE):
                code.write(path.removeprefix(CODE), store.take(manifest, path), mode=0o600)
        here = Folder(self.root)
        here.write(
            "inventory/hosts.json", json.dumps(inventory(hosts, site.values), sort_keys=True).encode(), mode=0o600
        )
        here.write("env/extravars", json.dumps(dict(extra), sort_keys=True).encode(), mode=0o600)
        here.write("ssh/known_hosts", known_hosts(hosts).encode(), mode=0o600)
        here.write("plugins/local.py", NO_LOCAL.encode(), mode=0o600)
        here.write("ansible.cfg", b"", mode=0o600)
        if self.kit.key is not None:
            here.write("ssh/key", self.kit.key.read_bytes(), mode=0o600)

    def start(
        self, name: str, play: Play, *options: str, ports: Sequence[int], survives: bool, timeout_s: float
    ) -> Child:
        """ansible-runner over the whole: it writes events as lines of JSON to its output and as files."""
        run = self.run(name)
        run.create()
        private = run.work
        for part in ("env", "inventory"):
            shutil.copytree(self.root / part, private / part)
        Folder(private).write("env/settings", json.dumps({"idle_timeout": None, "job_timeout": None}).encode())
        Folder(private).write("env/cmdline", " ".join([*map(_plain, play.options), *options]).encode())
        argv = [str(self.kit.program("ansible-runner")), "run", str(private), "--project-dir", str(self.project)]
        argv += ["-p", play.playbook, "-i", "run", "--json"]
        return self._launch(run, argv, ports=ports, survives=survives, timeout_s=timeout_s, write=(private,))

    def look(self, name: str, play: Play, *options: str) -> Child:
        """ansible-playbook without a network: lists and syntax."""
        run = self.run(name)
        run.create()
        argv = [str(self.kit.program("ansible-playbook")), "-i", str(self.root / "inventory" / "hosts.json")]
        argv += ["-e", f"@{self.root / 'env' / 'extravars'}", *play.options, *options, play.playbook]
        return self._launch(run, argv, ports=(), survives=False, timeout_s=120)

    def lint(self, play: Play) -> Child:
        """ansible-lint, offline, findings as JSON."""
        run = self.run("lint")
        run.create()
        argv = [str(self.kit.program("ansible-lint")), "--offline", "--nocolor", "-q", "-f", "codeclimate"]
        argv += ["--project-dir", str(self.project), play.playbook]
        return self._launch(run, argv, ports=(), survives=False, timeout_s=180)

    def clear(self) -> None:
        """Delete the key and the copies; what the processes said stays."""
        for name in ("ssh", "project", "env", "inventory", "plugins"):
            shutil.rmtree(self.root / name, ignore_errors=True)
        for folder in (path for path in self.root.iterdir() if path.is_dir()):
            shutil.rmtree(folder / "work", ignore_errors=True)

    def _launch(
        self,
        run: RunDirectory,
        argv: Sequence[str],
        *,
        ports: Sequence[int],
        survives: bool,
        timeout_s: float,
        write: tuple[Path, ...] = (),
    ) -> Child:
        owned = tuple(self.root / name for name in ("project", "inventory", "env", "ssh", "plugins", "ansible.cfg"))
        home = run.path / "home"
        home.mkdir(mode=0o700)
        terminal = (Path("/dev/ptmx"), Path("/dev/pts"), Path("/dev/tty"), Path("/dev/shm"))  # noqa: S108 - semaphores of multiprocessing
        reach = Reach(
            read=(
                self.kit.folder,
                *_python(self.kit.folder),
                Path("/etc/passwd"),
                Path("/etc/group"),
                Path("/proc"),
                Path("/sys/fs/cgroup"),
            ),
            write=(home, *write, *terminal),
            owned=owned,
            ports=tuple(ports),
            named=True,
        )
        command = Command(
            argv=tuple(argv), cwd=self.project, environment=self._environment(home), reach=reach,
            timeout_s=timeout_s, grace_s=30, output_bytes=64_000_000, survives=survives,
        )  # fmt: skip
        return launch(command, run)

    def _environment(self, home: Path) -> dict[str, str]:
        ssh = self.root / "ssh"
        options = [f"UserKnownHostsFile={ssh / 'known_hosts'}", f"IdentityFile={ssh / 'key'}", *SSH_OPTIONS]
        return {
            **PLAIN_ENVIRONMENT,
            "PATH": f"{self.kit.folder / 'bin'}:{PLAIN_ENVIRONMENT['PATH']}",
            "HOME": str(home),
            "ANSIBLE_HOME": str(home / "ansible"),
            "ANSIBLE_CONFIG": str(self.root / "ansible.cfg"),
            "ANSIBLE_ROLES_PATH": f"{self.project / 'roles'}:{self.project / 'blueprints' / 'roles'}",
            "ANSIBLE_COLLECTIONS_PATH": str(home / "collections"),
            "ANSIBLE_CONNECTION_PLUGINS": str(self.root / "plugins"),
            "ANSIBLE_INVENTORY_ENABLED": "yaml",
            "ANSIBLE_SSH_ARGS": " ".join(f"-o {option}" for option in options) + " -F /dev/null",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": "$TMPDIR/cp",  # launch makes it short: a socket's path has 107 bytes
            "ANSIBLE_HOST_KEY_CHECKING": "True",
            "ANSIBLE_PIPELINING": "True",
            "ANSIBLE_FORKS": str(FORKS),
            "ANSIBLE_TIMEOUT": "15",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_RETRY_FILES_ENABLED": "0",
            "ANSIBLE_PYTHON_INTERPRETER": "auto_silent",
            "PYTHONDONTWRITEBYTECODE": "1",
        }


def _plain(word: str) -> str:
    """An option as ansible-runner's command line file takes it. Typed options hold nothing that needs quoting."""
    return word


def _python(folder: Path) -> tuple[Path, ...]:
    """Where the environment's interpreter and its standard library really lie."""
    interpreter = (folder / "bin" / "python").resolve()
    return (interpreter.parents[1],)
