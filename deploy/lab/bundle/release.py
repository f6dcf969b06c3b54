"""Releases over HTTPS: fetched, checked against the pin or the release's own list, one file taken out."""

import hashlib
import http.client
import io
import json
import platform
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deploy.lab.bundle.cache import UnobtainableError

PINS_FILE = Path(__file__).with_name("pins.json")
SILENCE_SECONDS = 10
LARGEST = 200 * 1024**2


class ChecksumError(UnobtainableError):
    """What arrived is not what was released. Nothing of it was kept."""


@dataclass(frozen=True)
class Release:
    """`archive` and `sums` are file names below `base`; `member` starts the name of the wanted file."""

    base: str
    archive: str
    sums: str
    member: str
    pin: str | None


@dataclass(frozen=True)
class Fetched:
    content: bytes
    checked_by: str


def read_pins(name: str, file: Path = PINS_FILE) -> tuple[str, dict[str, str | None]]:
    pins = json.loads(file.read_text())[name]
    return pins["version"], pins["sha256"]


def read_module_sum(name: str, file: Path = PINS_FILE) -> str:
    """Go's own checksum of a module's source, "h1:…"."""
    return str(json.loads(file.read_text())[name]["module"])


def name_platform() -> str:
    """This machine in Go's words, e.g. linux_amd64."""
    machine = platform.machine().lower()
    arch = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(machine)
    system = "darwin" if sys.platform == "darwin" else "linux" if sys.platform.startswith("linux") else None
    if arch is None or system is None:
        raise UnobtainableError(f"no release is pinned for {sys.platform}/{machine}: the lab runs on Linux and macOS")
    return f"{system}_{arch}"


def fetch_release(release: Release) -> Fetched:
    """Download, check, unpack. UnobtainableError if it cannot be reached, ChecksumError if it is not genuine."""
    expected, checked_by = release.pin, "pinned checksum"
    if expected is None:
        expected, checked_by = _read_sum(release), "the release's own SHA256SUMS, not pinned"
    packed = _get(f"{release.base}/{release.archive}")
    actual = hashlib.sha256(packed).hexdigest()
    if actual != expected:
        raise ChecksumError(f"{release.archive}: sha256 {actual}, expected {expected} ({checked_by}); discarded")
    return Fetched(_take_member(packed, release), checked_by)


def _read_sum(release: Release) -> str:
    lines = _get(f"{release.base}/{release.sums}").decode("ascii", "replace").splitlines()
    for line in lines:
        digest, _, name = line.partition(" ")
        named = name.strip().lstrip("*").removeprefix("./")
        alone = (
            len(lines) == 1 and not named and release.sums.startswith(release.archive)
        )  # a file of its own per archive
        if (named == release.archive or alone) and len(digest) == 64:
            return digest.lower()
    raise ChecksumError(f"{release.sums} does not list {release.archive}")


def _get(url: str) -> bytes:
    if not url.startswith(("https://", "http://127.0.0.1:")):
        raise UnobtainableError(f"{url} is not HTTPS")
    request = urllib.request.Request(url, headers={"User-Agent": "watchbill-lab"})  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(request, timeout=SILENCE_SECONDS) as answer:  # noqa: S310 - checked above
            content = answer.read(LARGEST + 1)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as failure:
        reason = getattr(failure, "reason", failure)
        raise UnobtainableError(f"{url} cannot be reached: {reason}") from failure
    if len(content) > LARGEST:
        raise ChecksumError(f"{url} is larger than {LARGEST >> 20} MiB; discarded")
    return content


def _take_member(packed: bytes, release: Release) -> bytes:
    """From a zip or a tar; what is neither is the wanted file itself."""
    if release.archive.endswith((".tar.gz", ".tgz")):
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            for entry in archive:
                if entry.isfile() and PurePosixPath(entry.name).name == release.member:
                    found = archive.extractfile(entry)
                    assert found is not None
                    return found.read()
        raise ChecksumError(f"{release.archive} holds no {release.member}")
    if not release.archive.endswith(".zip"):
        return packed
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        for name in archive.namelist():
            if name.startswith(release.member) and "/" not in name:
                return archive.read(name)
    raise ChecksumError(f"{release.archive} holds no {release.member}")
