"""Terraform's command line: python-terraform makes it, tools/process.py starts it.

python-terraform's own start passes the whole environment and holds the output in pipes until the end, and its
asynchronous form puts `-synchronous=false` on the command line. So `cmd`, which all of its verbs go through, is the one
method replaced here; only `cmd` is used, because its verbs add options that a saved plan refuses.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from python_terraform import IsFlagged, Terraform

from tools.folder import Folder, RefusedPathError
from tools.process import PLAIN_ENVIRONMENT, Child, Command, Reach, launch
from tools.run_directory import RunDirectory
from tools.terraform_scan import AllowList

FLAG: Final = cast("object", IsFlagged)
PLAN_FILE: Final = "tfplan"
LOCK_FILE: Final = ".terraform.lock.hcl"
REGISTRIES: Final = ("registry.terraform.io", "registry.opentofu.org")
PROVIDER_BYTES: Final = 400_000_000
GRACE_S: Final = 300.0  # an interrupted apply finishes the request that is under way


@dataclass(frozen=True, slots=True)
class Credentials:
    """How the provider reaches Proxmox. `audit_token` plans, `write_token` applies (rule 24). `ca`: a PEM file."""

    endpoint: str
    audit_token: str = field(repr=False)
    write_token: str = field(repr=False)
    ca: Path | None = None

    def environment(self, *, write: bool) -> dict[str, str]:
        token = self.write_token if write else self.audit_token
        return {"PROXMOX_VE_ENDPOINT": self.endpoint, "PROXMOX_VE_API_TOKEN": token}

    @property
    def ports(self) -> tuple[int, ...]:
        parts = urlsplit(self.endpoint)
        return (parts.port or (443 if parts.scheme == "https" else 80), 53)


@dataclass(frozen=True, slots=True)
class Toolchain:
    """Terraform or OpenTofu, and where providers come from: a filesystem mirror, or the registry through a cache.

    `download_environment` is for the one command that may reach the registry (proxy settings).
    """

    binary: Path
    allow: AllowList
    mirror: Path | None = None
    cache: Path | None = None
    download_environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    @property
    def fingerprint(self) -> str:
        about = self.binary.resolve().stat()
        return _sha256_of(self.binary.resolve(), about.st_mtime_ns, about.st_size)

    def cli_settings(self) -> str:
        """The CLI's configuration: no provider beyond the allow list, and none from anywhere else."""
        names = [f"{host}/{source}" for host in REGISTRIES for source in self.allow.providers]
        allowed = json.dumps(names)
        if self.mirror:
            way = f"filesystem_mirror {{\n    path = {json.dumps(str(self.mirror))}\n    include = {allowed}\n  }}"
        else:
            way = f"direct {{\n    include = {allowed}\n  }}"
        cache = f"plugin_cache_dir = {json.dumps(str(self.cache))}\n" if self.cache and not self.mirror else ""
        return f"disable_checkpoint = true\n{cache}provider_installation {{\n  {way}\n}}\n"


@dataclass(frozen=True, slots=True)
class Output:
    """What a command said."""

    ok: bool
    why: str
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Bench:
    """One working folder that several commands use after each other: `code` is Terraform's, the rest is ours."""

    root: Path
    directory: str
    toolchain: Toolchain

    def create(self) -> None:
        """Raises FileExistsError: a bench is used once."""
        self.root.mkdir(mode=0o711)
        self.code.mkdir(mode=0o700)
        settings = self.root / "cli.tfrc"
        settings.write_text(self.toolchain.cli_settings())
        settings.chmod(0o644)
        if self.toolchain.cache:
            self.toolchain.cache.mkdir(parents=True, exist_ok=True)

    def trust(self, ca: Path | None) -> dict[str, str]:
        """A copy of the CA where the command can read it, and the variable that names it."""
        if ca is None:
            return {}
        copy = self.root / "ca.pem"
        copy.write_bytes(ca.read_bytes())
        copy.chmod(0o644)
        return {"SSL_CERT_FILE": str(copy)}

    def clear(self) -> None:
        """Delete what Terraform worked on and the plan as it showed it (both hold values in clear). What else it said
        stays, for the operator.
        """
        for place in (self.code, self.root / "show", self.root / "show-text"):
            shutil.rmtree(place, ignore_errors=True)

    @property
    def code(self) -> Path:
        return self.root / "code"

    @property
    def here(self) -> Path:
        return self.code / self.directory

    @property
    def prefix(self) -> str:
        """What names of Terraform's own files begin with, from the top of `code`."""
        return "" if self.directory in {"", "."} else f"{self.directory}/"

    def run(self, name: str) -> RunDirectory:
        return RunDirectory(self.root / name)

    def start(self, verb: str, *words: str, options: Mapping[str, object], bounds: "Bounds", name: str = "") -> Child:
        """Start one command; its run directory is `name`, or the verb."""
        run = self.run(name or verb)
        run.create()
        return _CommandLine(self, run, bounds).cmd(verb, *words, **options)[0]

    def generated(self) -> Iterator[tuple[str, bytes, bool]]:
        """(path, bytes, executable) of what Terraform wrote that an apply reads: lock file, plan, modules, providers."""
        folder = Folder(self.code)
        for name in (LOCK_FILE, PLAN_FILE):
            if name == PLAN_FILE or (self.here / name).exists():  # code without a provider gets no lock file
                yield f"{self.prefix}{name}", folder.read(f"{self.prefix}{name}", 50_000_000), False
        top = f"{self.prefix}.terraform"
        for found in folder.walk(top):
            if found.kind == "file":
                yield found.path, folder.read(found.path, PROVIDER_BYTES), found.executable
            elif found.kind == "link":
                yield from self._linked(folder, found.path)

    def _linked(self, folder: Folder, path: str) -> Iterator[tuple[str, bytes, bool]]:
        """A provider's folder in the mirror or the cache, which `init` links instead of copying."""
        target = folder.link_target(path)
        home = next(
            (h for h in (self.toolchain.mirror, self.toolchain.cache) if h and target.startswith(f"{h}/")), None
        )
        if home is None or ".." in target.split("/"):
            raise RefusedPathError(f"{path}: links to {target}, outside the provider mirror")
        inside = target.removeprefix(f"{home}/")
        source = Folder(home)
        for found in source.walk(inside):
            if found.kind in {"file", "hard link"}:
                content = source.read(found.path, PROVIDER_BYTES, shared=True)
                yield f"{path}/{found.path.removeprefix(inside).lstrip('/')}", content, found.executable

    async def finish(
        self, verb: str, *words: str, options: Mapping[str, object], bounds: "Bounds", name: str = ""
    ) -> Output:
        """Start and wait, for commands nobody watches."""
        child = self.start(verb, *words, options=options, bounds=bounds, name=name)
        end = await child.wait()
        return read_output(child.run, ok=getattr(end, "ok", False), why=str(getattr(end, "why", "vanished")))


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one command gets besides its code: environment, files, ports, time."""

    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    owned: tuple[Path, ...] = ()
    ports: tuple[int, ...] | None = ()
    timeout_s: float = 120.0
    survives: bool = False


class _CommandLine(Terraform):
    """python-terraform, with its process start replaced."""

    def __init__(self, bench: Bench, run: RunDirectory, bounds: Bounds) -> None:
        self._bench = bench
        self._run = run
        self._bounds = bounds
        binary = str(bench.toolchain.binary)
        untyped = cast("Any", super())
        untyped.__init__(working_dir=str(bench.here), terraform_bin_path=binary, is_env_vars_included=False)

    def read_state_file(self, file_path: str | None = None) -> None:
        """The state is the estate's; nothing is read from the working folder."""

    def cmd(self, cmd: str, *args: str, **kwargs: object) -> tuple[Child, None, None]:
        """As the library's asynchronous form promises: the started process, and no output yet."""
        argv = cast("list[str]", cast("Any", self).generate_cmd_string(cmd, *args, **kwargs))
        bench, bounds = self._bench, self._bounds
        settings = bench.root / "cli.tfrc"
        environment = {
            **PLAIN_ENVIRONMENT,
            "HOME": "/nonexistent",
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "TF_CLI_CONFIG_FILE": str(settings),
            "CHECKPOINT_DISABLE": "1",
            **bounds.environment,
        }
        places = (p for p in (bench.toolchain.mirror, bench.toolchain.cache) if p)
        reach = Reach(
            read=(settings, bench.root / "ca.pem", *places, *bounds.read),
            write=(bench.code, *bounds.write),
            owned=bounds.owned,
            ports=bounds.ports,
        )
        command = Command(
            argv=tuple(argv),
            cwd=bench.here,
            environment=environment,
            reach=reach,
            timeout_s=bounds.timeout_s,
            grace_s=GRACE_S if bounds.survives else 10.0,
            output_bytes=64_000_000,
            survives=bounds.survives,
        )
        return launch(command, self._run), None, None


def read_output(run: RunDirectory, *, ok: bool, why: str) -> Output:
    """The texts that a command left."""
    out, err = (p.read_text(errors="replace") if p.exists() else "" for p in (run.stdout, run.stderr))
    return Output(ok, why, out, err)


def json_object(text: str) -> Mapping[str, Any]:
    """The one object that `-json` of validate and show prints; {} where it printed none."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def json_lines(text: str) -> Iterator[Mapping[str, Any]]:
    """The machine-readable lines of `-json`; what is no JSON object is passed over."""
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                value = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(value, dict):
                yield cast("dict[str, Any]", value)


def diagnostics(lines: Iterator[Mapping[str, Any]]) -> list[str]:
    """Errors and warnings as `Error main.tf:3: summary: detail`."""
    return [diagnostic_words(line["diagnostic"]) for line in lines if line.get("type") == "diagnostic"]


def diagnostic_words(found: Mapping[str, Any]) -> str:
    where = ""
    if found.get("range"):
        where = f" {found['range'].get('filename')}:{found['range'].get('start', {}).get('line')}"
    elif found.get("address"):
        where = f" {found['address']}"
    detail = " ".join(str(found.get("detail", "")).split())
    return f"{str(found.get('severity', 'error')).capitalize()}{where}: {found.get('summary', '')}{': ' + detail if detail else ''}"


@lru_cache(maxsize=8)
def _sha256_of(path: Path, _changed: int, _size: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
