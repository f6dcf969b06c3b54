"""Where a program is built from source through the Go module proxy: its sources, checked, and one `go build`."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from deploy.lab.bundle.cache import UnobtainableError

MODULES = Path(__file__).with_name("modules")
BUILD_SECONDS = 7200
FETCH_SECONDS = 1200
# readonly: what is not in the checked-in or upstream go.sum is not taken.
SETTINGS = ("env", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")


class Workshop(Protocol):
    def lay_out(self, folder: Path, go: str) -> None:
        """Fill an empty folder with a Go module that can be built; UnobtainableError if it cannot be had."""
        ...


@dataclass(frozen=True)
class Wrapper:
    """A module of this repository that requires the wanted one; its go.sum is checked in."""

    name: str

    def lay_out(self, folder: Path, go: str) -> None:
        del go
        shutil.copytree(MODULES / self.name, folder, dirs_exist_ok=True)


@dataclass(frozen=True)
class Edit:
    """`pattern` must be found in `file`, else the source is not the one that this was written for."""

    file: str
    pattern: str
    text: str


@dataclass(frozen=True)
class Source:
    """The wanted module's own source, which has to be changed: files of modules/<name> are added, edits made."""

    name: str
    module: str
    version: str
    checksum: str
    parts: tuple[str, ...]
    edits: tuple[Edit, ...] = field(default=())

    def lay_out(self, folder: Path, go: str) -> None:
        facts = json.loads(
            run_go([go, "mod", "download", "-json", f"{self.module}@{self.version}"], folder, FETCH_SECONDS)
        )
        if facts["Sum"] != self.checksum:
            raise UnobtainableError(f"{self.module} {self.version}: checksum {facts['Sum']}, expected {self.checksum}")
        for part in self.parts:
            found = Path(facts["Dir"]) / part
            if found.is_dir():
                shutil.copytree(found, folder / part, copy_function=shutil.copyfile)
            else:
                shutil.copyfile(found, folder / part)
        for path in folder.rglob("*"):  # the module cache is read-only, and its folders' modes were copied
            if path.is_dir():
                path.chmod(0o755)
        if (MODULES / self.name).is_dir():
            shutil.copytree(MODULES / self.name, folder, dirs_exist_ok=True)
        for edit in self.edits:
            file = folder / edit.file
            changed, count = re.subn(edit.pattern, edit.text, file.read_text(), flags=re.MULTILINE)
            if count == 0:
                raise UnobtainableError(f"{self.module} {self.version}: {edit.file} has no {edit.pattern!r}")
            file.write_text(changed)


def build(workshop: Workshop, package: str, flags: str, folder: Path, go: str = "go") -> Path:
    """The built binary, in `folder`, which is emptied first."""
    if shutil.which(go) is None:
        raise UnobtainableError(f"no `{go}` on PATH to build it with")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    workshop.lay_out(folder, go)
    built = folder / "built.bin"
    command = [go, "build", "-buildvcs=false", "-trimpath", "-ldflags", flags, "-o", str(built), package]
    run_go(command, folder, BUILD_SECONDS)
    return built


def run_go(command: list[str], folder: Path, limit_s: float) -> str:
    try:
        # Ends with this process, where the system has a way to say so.
        bound = ["setpriv", "--pdeathsig=TERM"] if shutil.which("setpriv") else []
        done = subprocess.run(
            [*bound, *SETTINGS, *command],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
            errors="replace",
        )
    except subprocess.TimeoutExpired as slow:
        raise UnobtainableError(f"{' '.join(command[:3])} took over {limit_s:.0f} s") from slow
    if done.returncode != 0:
        tail = "\n  ".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise UnobtainableError(f"{' '.join(command[:3])} failed:\n  {tail}")
    return done.stdout
