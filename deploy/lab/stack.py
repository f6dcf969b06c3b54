"""The lab as a whole: its servers, the folder of this run, and the real program started against them."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.lab.bundle.items import obtain
from deploy.lab.hosts.base import obtain_base
from deploy.lab.hosts.namespaces import HostError
from deploy.lab.hosts.needs import find_missing
from deploy.lab.hosts.runs import MARK, held, remove_dead

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "lab"
PROOF = "catalogue-proved"  # a file of the program's data folder
START_S = 60.0
END_S = 40.0
THOUGHT_CANARY = "zq-thought-canary-7f1e"
SCENARIOS = ROOT / "deploy" / "lab" / "model" / "scenarios"
REACHES = ("api", "hosts", "cluster")
LAN = "192.168.178.0/24"
PREFIX = "watchbill-lab-"
TIED = (sys.executable, "-m", "deploy.lab.lifetime")
MODELS = {"openai": "openai:gpt-6.1-terra", "anthropic": "anthropic:claude-sonnet-5-5"}

Say = Callable[[str], None]


class LabError(Exception):
    """The lab could not be brought up. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a run of the lab can choose."""

    cache: Path = CACHE
    # How far it is real, DESIGN 6.8: "api" has machines that are entries, "hosts" real ones, "cluster" what a Kubernetes
    # cluster on them is made of as well.
    reach: str = "api"
    scenario: str = "three-vms"
    provider: str = "openai"
    port: int = 0
    environment: str = "production"
    keep: Path | None = None  # run folder to keep; None: a temporary one, removed at the end
    slack_arguments: tuple[str, ...] = ()
    proxmox_arguments: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(slots=True)
class Lab:
    """A lab that runs. `slack`, `model`, `proxmox`, `mirror` are the servers' ready files; `mirror` in reach cluster only."""

    folder: Path
    environment: dict[str, str]
    slack: dict[str, Any]
    model: dict[str, Any]
    proxmox: dict[str, Any]
    processes: dict[str, subprocess.Popen[bytes]]
    secrets: list[str]
    mirror: dict[str, Any] = field(default_factory=dict[str, Any])
    cache: Path = CACHE

    @property
    def keeper(self) -> int | None:
        """The first process of the real machines' namespaces; None where machines are entries."""
        return self.proxmox.get("keeper")

    @property
    def url(self) -> str:
        return str(self.slack["url"])

    def call(self, server: str, path: str, body: Mapping[str, Any] | None = None, timeout: float = 10.0) -> Any:
        """One request to a server's control API."""
        facts: dict[str, Any] = {"slack": self.slack, "model": self.model, "proxmox": self.proxmox}[server]
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{facts['url']}{path}", data, {"content-type": "application/json"})  # noqa: S310 # loopback
        context = None
        if facts.get("ca"):
            import ssl  # noqa: PLC0415 # only for the one TLS server

            context = ssl.create_default_context(cafile=facts["ca"])
        with urllib.request.urlopen(request, timeout=timeout, context=context) as answer:  # noqa: S310 # loopback
            return json.load(answer)

    def start_program(
        self, name: str = "program", *arguments: str, module: str = "bot", wait: bool = True, tied: bool = False
    ) -> subprocess.Popen[bytes]:
        """`python -m bot run` (or `arguments`) against this lab; waits until it says that it is ready. `tied`: it gets a
        SIGTERM when the thread that starts it dies, however that happens.
        """
        ready = self.folder / f"{name}.ready"
        ready.unlink(missing_ok=True)
        inside = [sys.executable, "-m", "deploy.lab.hosts.enter", str(self.keeper), "--"] if self.keeper else []
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *(TIED if tied else ()), *inside, sys.executable, "-m", module, *(arguments or ("run",)),
                    "--ready-file", str(ready),
                ],
                cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.processes[name] = process
        if wait:
            _await_ready(process, ready, name, self.folder / f"{name}.log")
            _keep(self.proof, self.cache / PROOF)
        return process

    @property
    def proof(self) -> Path:
        """Where the program remembers that its catalogue of commands was proved, as it does between an operator's starts."""
        return Path(self.environment["WATCHBILL_DATA"]) / PROOF

    def end(self, name: str, number: int = signal.SIGTERM) -> int:
        """Send one of the processes a signal and wait for its exit code."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            return process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait(END_S)


@contextlib.contextmanager
def running(options: Options, say: Say) -> Iterator[Lab]:
    """Bring the lab up, without the program; end everything that was started on the way out."""
    _check_port(options.port)
    hosts = _prepare_hosts(options, say) if options.reach != "api" else ()
    say("lab: binaries")
    wanted = {"terraform", "provider"} | ({"kubernetes"} if options.reach == "cluster" else set())
    bundle = obtain(sorted(wanted), options.cache, say, lambda: obtain_base(options.cache, say))
    with _folder(options) as folder:
        lab = Lab(folder, {}, {}, {}, {}, {}, [], cache=options.cache)
        try:
            say("lab: Proxmox VE, Slack and a model on loopback")
            lab.proxmox = _start(lab, "proxmox", *hosts, *options.proxmox_arguments)
            inside = ("--also-in", str(lab.keeper)) if lab.keeper else ()
            lab.slack = _start(lab, "slack", "--port", str(options.port), *inside, *options.slack_arguments)
            if lab.keeper and options.reach == "cluster":
                lab.mirror = _start(lab, "mirror", "--cache", str(options.cache), "--inside", str(lab.keeper))
            scenario = SCENARIOS / f"{options.scenario}.yaml"
            lab.model = _start(lab, "model", "--scenario", str(scenario), *inside)
            _plant(lab)
            lab.environment = _environment(lab, options, bundle)
            _keep(options.cache / PROOF, lab.proof)
            yield lab
        finally:
            for name in reversed(list(lab.processes)):
                lab.end(name)


def _prepare_hosts(options: Options, say: Say) -> tuple[str, ...]:
    """What real machines need, and the words that make the Proxmox server start them."""
    missing = find_missing(cluster=options.reach == "cluster")
    if missing:
        raise LabError(missing)
    try:
        obtain_base(options.cache, say)
    except HostError as error:
        raise LabError(str(error)) from error
    return ("--hosts", str(options.cache))


@contextlib.contextmanager
def _folder(options: Options) -> Iterator[Path]:
    """The run's folder. A temporary one goes at the end, and with it those that killed labs left."""
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
        options.keep.chmod(0o711)  # what the program runs with fewer rights has to pass through
        yield options.keep
        return
    disks = Path("/var/tmp")  # noqa: S108 - machines' disks belong on a disk, and /tmp may be memory
    parent = disks if options.reach != "api" and disks.is_dir() else Path(tempfile.gettempdir())
    remove_dead(parent, PREFIX)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    folder.chmod(0o711)
    try:
        with held(folder / MARK):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            text = f"port {port} is taken on this machine ({error.strerror}). Another demo? `make demo ARGS='--port 0'` takes a free one"
            raise LabError(text) from error


def _start(lab: Lab, name: str, *arguments: str) -> dict[str, Any]:
    data, ready, log = lab.folder / name, lab.folder / f"{name}.ready", lab.folder / f"{name}.log"
    data.mkdir(exist_ok=True)
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", f"deploy.lab.{name}", "--data", str(data), "--ready-file", str(ready), *arguments],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True,
        )  # fmt: skip
    lab.processes[name] = process
    return _await_ready(process, ready, name, log)


def _await_ready(process: subprocess.Popen[bytes], ready: Path, name: str, log: Path) -> dict[str, Any]:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if ready.exists():
            facts: dict[str, Any] = json.loads(ready.read_text())
            return facts
        if process.poll() is not None:
            raise LabError(f"{name} ended with {process.returncode} before it was ready:\n{_tail(log)}")
        time.sleep(0.05)
    raise LabError(f"{name} was not ready within {START_S:.0f} s:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-30:])


def _keep(source: Path, kept: Path) -> None:
    """What one lab's program proved, the next one's need not: it says which bytes were, so an old one proves nothing."""
    with contextlib.suppress(OSError):
        text = source.read_text()
        if not kept.exists() or kept.read_text() != text:
            kept.parent.mkdir(parents=True, exist_ok=True)
            fresh = kept.with_name(f"{kept.name}.{os.getpid()}")
            fresh.write_text(text)
            fresh.replace(kept)


def _plant(lab: Lab) -> None:
    """Secrets and thoughts that must never arrive anywhere: each server counts what it sees of them (DESIGN 6.8)."""
    tokens = [token for app in lab.slack["apps"].values() for token in (app["bot_token"], app["app_token"])]
    canary = f"canary-{secrets.token_hex(12)}"
    lab.secrets = [canary, lab.model["api_key"], lab.proxmox["audit_token"], lab.proxmox["write_token"]]
    lab.secrets.append(lab.proxmox["agent_token"])
    lab.call("slack", "/lab/canaries", {"secrets": [*lab.secrets, *tokens], "thoughts": [THOUGHT_CANARY]})
    # The model's own key and each server's own tokens arrive in headers; only bodies are searched.
    lab.call("model", "/lab/canaries", {"secrets": [*lab.secrets, *tokens], "thoughts": [THOUGHT_CANARY]})


def _environment(lab: Lab, options: Options, bundle: Any) -> dict[str, str]:
    """The program's whole environment: nothing of ours but PATH and HOME, and what the operator would set."""
    own = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    policies = lab.folder / "policies"
    policies.mkdir(exist_ok=True)
    (policies / "people.yaml").write_text(_people(lab))
    (policies / "environments.yaml").write_text(_environments(options.environment))
    apps = lab.slack["apps"]
    tokens = {
        f"WATCHBILL_SLACK_{key.upper()}_{kind.upper()}": facts[kind]
        for key, facts in apps.items()
        for kind in ("bot_token", "app_token")
    }
    data = options.settings.get("WATCHBILL_DATA", str(lab.folder / "data"))
    site = _machines_environment(lab) if lab.keeper else {}
    return own | tokens | site | {
        "WATCHBILL_ESTATE": "lab",
        "WATCHBILL_DATA": data,
        "WATCHBILL_PEOPLE": str(policies / "people.yaml"),
        "WATCHBILL_ENVIRONMENTS": str(policies / "environments.yaml"),
        "WATCHBILL_SLACK_API_URL": f"{lab.slack['url']}/api/",
        "WATCHBILL_OPENAI_API_KEY": lab.model["api_key"],
        "WATCHBILL_OPENAI_BASE_URL": lab.model["openai_base"],
        "WATCHBILL_ANTHROPIC_API_KEY": lab.model["api_key"],
        "WATCHBILL_ANTHROPIC_BASE_URL": lab.model["anthropic_base"],
        "WATCHBILL_MODEL": MODELS[options.provider],
        "WATCHBILL_PROXMOX_URL": lab.proxmox["url"],
        "WATCHBILL_PROXMOX_CA": lab.proxmox["ca"],
        "WATCHBILL_PROXMOX_AUDIT_TOKEN": lab.proxmox["audit_token"],
        "WATCHBILL_PROXMOX_WRITE_TOKEN": lab.proxmox["write_token"],
        "WATCHBILL_PROXMOX_AGENT_TOKEN": lab.proxmox["agent_token"],
        "WATCHBILL_TERRAFORM": str(bundle.terraform.path),
        "WATCHBILL_TERRAFORM_MIRROR": str(bundle.provider.mirror),
        "LAB_CANARY": lab.secrets[0],
    } | dict(options.settings)  # fmt: skip


def _machines_environment(lab: Lab) -> dict[str, str]:
    """What an operator of real machines sets: the key that logs in, what may be probed, and where things come from."""
    key = lab.folder / "login" / "id_ed25519"
    key.parent.mkdir(mode=0o700, exist_ok=True)
    if not key.exists():
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "watchbill", "-f", str(key)]
        subprocess.run(make, check=True, stdin=subprocess.DEVNULL)
    found = {"WATCHBILL_SSH_KEY": str(key), "WATCHBILL_PROBE_TARGETS": LAN}
    if not lab.mirror:
        return found
    site = lab.folder / "policies" / "site_vars.yaml"
    # JSON is YAML; written by hand it would be the same mapping.
    lines = [f"{name}: {json.dumps(value)}\n" for name, value in lab.mirror["site_variables"].items()]
    site.write_text("# Written by the lab: its mirror stands in for the internet.\n" + "".join(lines))
    return found | {"WATCHBILL_SITE_VARS": str(site)}


def _people(lab: Lab) -> str:
    people = {name: facts["id"] for name, facts in lab.slack["people"].items()}
    return (
        "# Written by the lab for this run.\npeople:\n"
        f"  {people['ana']}: {{name: ana, roles: [requester, approver]}}\n"
        f"  {people['bo']}: {{name: bo, roles: [requester, approver]}}\n"
        f"  {people['chris']}: {{name: chris, roles: [requester, approver, risk_owner, admin]}}\n"
    )


def _environments(environment: str) -> str:
    order = "order: [lab, homelab, staging, production]\n"
    if environment == "production":
        return f"# Written by the lab: nothing is mapped, so everything is production.\n{order}members: {{}}\n"
    kinds = "".join(f'    {kind}: ["*"]\n' for kind in ("estate", "node", "vm", "host", "context", "url"))
    return f"# Written by the lab for this run.\n{order}members:\n  {environment}:\n{kinds}"
