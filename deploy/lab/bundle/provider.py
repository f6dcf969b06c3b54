"""The Proxmox provider's real binary, laid out as a Terraform filesystem mirror."""

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from deploy.lab.bundle.cache import Cache, Say, UnobtainableError, hash_file, replace_file
from deploy.lab.bundle.release import PINS_FILE, Release, fetch_release, name_platform, read_pins

GITHUB = "https://github.com"
MODULE = "github.com/bpg/terraform-provider-proxmox"
# OpenTofu looks under its own registry's name, Terraform under its own; the binary is the same.
REGISTRIES = ("registry.terraform.io", "registry.opentofu.org")
WRAPPER = Path(__file__).with_name("provider")
BUILD_SECONDS = 1200
ADVICE = (
    "Allow https://github.com, or install Go 1.21 or newer (https://go.dev/dl) with a reachable module proxy (GOPROXY), "
    "and run this again."
)


@dataclass(frozen=True)
class Provider:
    path: Path
    version: str
    source: str
    mirror: Path
    terraformrc: Path


def obtain_provider(
    cache: Cache, say: Say, *, github: str = GITHUB, go: str = "go", pins: Path = PINS_FILE
) -> Provider:
    """Release if reachable and genuine, else built from the module proxy, else UnobtainableError."""
    version, checksums = read_pins("provider", pins)
    machine = name_platform()
    mirror = cache.folder / "mirror"
    path = mirror / REGISTRIES[0] / "bpg/proxmox" / version / machine / f"terraform-provider-proxmox_v{version}"
    known = cache.find("provider", path)
    if known:
        source = known["source"]
        say(f"provider   bpg/proxmox {version} from the cache ({source})")
    else:
        archive = f"terraform-provider-proxmox_{version}_{machine}.zip"
        release = Release(
            base=f"{github}/bpg/terraform-provider-proxmox/releases/download/v{version}",
            archive=archive,
            sums=f"terraform-provider-proxmox_{version}_SHA256SUMS",
            member="terraform-provider-proxmox",
            pin=checksums.get(archive),
        )
        source = _place(path, release, cache, say, go)
        cache.note("provider", {"path": str(path), "version": version, "source": source, "sha256": hash_file(path)})
    _link_registries(mirror, path)
    return Provider(path, version, source, mirror, _write_terraformrc(cache, mirror))


def _place(path: Path, release: Release, cache: Cache, say: Say, go: str) -> str:
    say(f"provider   bpg/proxmox: downloading {release.archive}")
    try:
        fetched = fetch_release(release)
    except UnobtainableError as failure:
        say(f"provider   {failure}")
        return _build(path, cache, say, go, str(failure))
    replace_file(path, fetched.content, 0o755)
    say(f"provider   bpg/proxmox downloaded, checked by {fetched.checked_by}")
    return f"release, checked by {fetched.checked_by}"


def _build(path: Path, cache: Cache, say: Say, go: str, refusal: str) -> str:
    """`go install` of the module fails (it has replace directives), a wrapper module that requires it builds.

    The wrapper's go.sum is in the repository, so Go refuses a module that is not the one that was seen here.
    """
    if shutil.which(go) is None:
        raise UnobtainableError(f"No Proxmox provider.\n  {refusal}\n  no `{go}` on PATH to build it with\n{ADVICE}")
    folder = cache.folder / "build-provider"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(WRAPPER, folder)
    say("provider   bpg/proxmox: building it with Go from the module proxy, up to three minutes")
    started = time.monotonic()
    command = ["env", "CGO_ENABLED=0", "GOFLAGS=-mod=mod", "GOWORK=off", go, "build", "-buildvcs=false", "-trimpath"]
    command += ["-ldflags", "-s -w", "-o", str(folder / "built"), MODULE]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False, errors="replace"
        )
    except subprocess.TimeoutExpired as slow:
        raise UnobtainableError(f"No Proxmox provider.\n  go build took over {BUILD_SECONDS} s\n{ADVICE}") from slow
    if done.returncode != 0:
        tail = "\n  ".join(done.stderr.strip().splitlines()[-5:])
        raise UnobtainableError(f"No Proxmox provider.\n  {refusal}\n  go build failed:\n  {tail}\n{ADVICE}")
    replace_file(path, (folder / "built").read_bytes(), 0o755)
    shutil.rmtree(folder, ignore_errors=True)
    say(f"provider   bpg/proxmox built in {time.monotonic() - started:.0f} s")
    return "go build, checked by go.sum"


def _link_registries(mirror: Path, path: Path) -> None:
    for registry in REGISTRIES[1:]:
        other = mirror / registry / path.relative_to(mirror / REGISTRIES[0])
        if other.exists() and other.samefile(path):
            continue
        other.parent.mkdir(parents=True, exist_ok=True)
        other.unlink(missing_ok=True)
        other.hardlink_to(path)


def _write_terraformrc(cache: Cache, mirror: Path) -> Path:
    """No `direct` block: whatever is not in the mirror does not exist, so init never leaves this machine."""
    rc_file = cache.folder / "terraformrc"
    text = f'disable_checkpoint = true\n\nprovider_installation {{\n  filesystem_mirror {{\n    path = "{mirror.resolve()}"\n  }}\n}}\n'
    if not rc_file.exists() or rc_file.read_text() != text:
        replace_file(rc_file, text.encode())
    return rc_file
