"""Terraform or OpenTofu: the installed one if it is new enough, else a pinned release."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.lab.bundle.cache import Cache, Say, UnobtainableError, hash_file, replace_file
from deploy.lab.bundle.release import PINS_FILE, Release, fetch_release, name_platform, read_pins

OLDEST = (1, 9)
RELEASES = "https://releases.hashicorp.com"
ADVICE = (
    "Install Terraform 1.9 or newer (https://developer.hashicorp.com/terraform/install) or OpenTofu 1.9 or newer "
    "(https://opentofu.org/docs/intro/install) so that `terraform` or `tofu` is on PATH, or allow https://releases.hashicorp.com."
)


@dataclass(frozen=True)
class Terraform:
    path: Path
    version: str
    source: str


def obtain_terraform(
    cache: Cache, say: Say, *, releases: str = RELEASES, search_path: str | None = None, pins: Path = PINS_FILE
) -> Terraform:
    """Return a binary that runs. The keywords let a test stand in for the internet and for PATH."""
    rejected: list[str] = []
    for name in ("terraform", "tofu"):
        found = shutil.which(name, path=search_path)
        version = read_version(Path(found)) if found else None
        if found and version and _is_new_enough(version):
            say(f"terraform  {version} from {found}")
            return Terraform(Path(found), version, "installed")
        if found:
            rejected.append(f"{found} is {version or 'not runnable'}")
    return _obtain_release(cache, say, releases, pins, rejected)


def _obtain_release(cache: Cache, say: Say, releases: str, pins: Path, rejected: list[str]) -> Terraform:
    version, checksums = read_pins("terraform", pins)
    path = cache.folder / "bin" / f"terraform-{version}" / "terraform"
    known = cache.find("terraform", path)
    if known:
        say(f"terraform  {version} from the cache")
        return Terraform(path, version, known["source"])
    archive = f"terraform_{version}_{name_platform()}.zip"
    say(f"terraform  {version}: downloading {archive}")
    release = Release(
        base=f"{releases}/terraform/{version}",
        archive=archive,
        sums=f"terraform_{version}_SHA256SUMS",
        member="terraform",
        pin=checksums.get(archive),
    )
    try:
        fetched = fetch_release(release)
    except UnobtainableError as failure:
        seen = "".join(f"\n  {line}" for line in rejected)
        raise UnobtainableError(f"No usable Terraform.{seen}\n  {failure}\n{ADVICE}") from failure
    replace_file(path, fetched.content, 0o755)
    source = f"release, checked by {fetched.checked_by}"
    cache.note("terraform", {"path": str(path), "version": version, "source": source, "sha256": hash_file(path)})
    say(f"terraform  {version} downloaded, checked by {fetched.checked_by}")
    return Terraform(path, version, source)


def read_version(path: Path) -> str | None:
    """The version that a binary says it has; None if it does not run."""
    quiet = ["env", "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE=/dev/null", str(path), "version", "-json"]
    try:
        done = subprocess.run(quiet, capture_output=True, text=True, timeout=30, check=False)
        return str(json.loads(done.stdout)["terraform_version"])
    except (OSError, ValueError, KeyError, subprocess.TimeoutExpired):
        return None


def _is_new_enough(version: str) -> bool:
    match = re.match(r"(\d+)\.(\d+)", version)
    return match is not None and (int(match[1]), int(match[2])) >= OLDEST
