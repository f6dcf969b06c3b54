"""Container images made here, without a registry: one layer with a program, and what it calls, as a docker archive."""

import glob
import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from deploy.lab.bundle.cache import UnobtainableError

MERGED = ("bin", "sbin", "lib", "lib64")  # links to their namesakes below /usr
EMPTY = ("tmp", "run", "etc", "var", "usr/bin", "usr/sbin")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What kube-proxy and flannel run to set up rules and routes; copied out of the machines' Debian.
NETWORK_TOOLS = (
    "/usr/sbin/xtables-nft-multi", "/usr/sbin/nft", "/usr/sbin/conntrack", "/usr/sbin/ipset", "/usr/sbin/iptables",
    "/usr/sbin/iptables-save", "/usr/sbin/iptables-restore", "/usr/sbin/ip6tables", "/usr/sbin/ip6tables-save",
    "/usr/sbin/ip6tables-restore", "/usr/lib/*/xtables/*.so", "/usr/bin/sh", "/usr/bin/ip", "/usr/bin/kmod", "/usr/bin/cat",
    "/usr/bin/cp", "/usr/bin/mv", "/usr/bin/sleep", "/usr/bin/cmp",
)  # fmt: skip


@dataclass(frozen=True)
class Image:
    """`programs` maps a place in the image to a file; `tools` are taken from a Debian root with their libraries."""

    name: str
    programs: dict[str, Path]
    entry: tuple[str, ...] = ()
    tools: tuple[str, ...] = field(default=())


def write_image(image: Image, target: Path, root: Path | None = None) -> None:
    """The same input gives the same bytes. `root` is the Debian that `tools` come from."""
    files: dict[str, Path | str] = {place.strip("/"): path for place, path in image.programs.items()}
    if image.tools:
        if root is None:
            raise UnobtainableError(f"{image.name} needs the machines' Debian for {image.tools[0]} and others")
        files |= collect_tools(root, image.tools)
    layer = target.with_suffix(".layer")
    try:
        write_layer(files, layer, merged=bool(image.tools))
        _write_archive(image, layer, target)
    finally:
        layer.unlink(missing_ok=True)


def collect_tools(root: Path, patterns: Sequence[str]) -> dict[str, Path | str]:
    """Programs below `root` and the libraries that they load: place to file, or to a link's target."""
    found: dict[str, Path | str] = {}
    for pattern in patterns:
        matches = sorted(glob.glob(str(root) + pattern))  # noqa: PTH207 - a pattern with a leading slash
        if not matches:
            raise UnobtainableError(f"{root} has no {pattern}")
        for match in matches:
            place = _add(root, "/" + os.path.relpath(match, root), found)
            for library in list_libraries(root, place):
                _add(root, library, found)
    return found


def list_libraries(root: Path, program: str) -> list[str]:
    done = subprocess.run(["chroot", str(root), "ldd", program], capture_output=True, text=True, check=False)
    return sorted({_canonical(word) for word in done.stdout.split() if word.startswith("/")})


def _canonical(place: str) -> str:
    """Below /usr, where all of Debian is."""
    first = PurePosixPath(place).parts[1]
    return f"/usr{place}" if first in MERGED else place


def _add(root: Path, place: str, found: dict[str, Path | str]) -> str:
    """Note a file with all links that lead to it; returns where it really is."""
    place = _canonical(place)
    path = Path(f"{root}{place}")
    while path.is_symlink():
        target = os.readlink(path)  # noqa: PTH115 - the text as it is
        found[place.strip("/")] = target
        folder = str(PurePosixPath(place).parent)
        place = _canonical(os.path.normpath(target if target.startswith("/") else f"{folder}/{target}"))
        path = Path(f"{root}{place}")
    found[place.strip("/")] = path
    return place


def write_layer(files: dict[str, Path | str], target: Path, *, merged: bool) -> None:
    seen: set[str] = set()
    with tarfile.open(target, "w") as layer:
        if merged:
            for name in MERGED:
                layer.addfile(_entry(name, tarfile.SYMTYPE, f"usr/{name}"))
                seen.add(name)
        for name in EMPTY:
            _make_folders(layer, f"{name}/x", seen)
        for place, content in sorted(files.items()):
            _make_folders(layer, place, seen)
            if isinstance(content, str):
                layer.addfile(_entry(place, tarfile.SYMTYPE, content))
                continue
            entry = _entry(place, tarfile.REGTYPE)
            entry.size = content.stat().st_size
            with content.open("rb") as source:
                layer.addfile(entry, source)


def _make_folders(layer: tarfile.TarFile, place: str, seen: set[str]) -> None:
    for folder in reversed(PurePosixPath(place).parents[:-1]):
        if str(folder) not in seen:
            seen.add(str(folder))
            layer.addfile(_entry(f"{folder}/", tarfile.DIRTYPE))


def _entry(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode = kind, link, 0o777 if kind == tarfile.SYMTYPE else 0o755
    return entry


def _write_archive(image: Image, layer: Path, target: Path) -> None:
    with layer.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    settings: dict[str, object] = {"Env": [PATH]} | ({"Entrypoint": list(image.entry)} if image.entry else {})
    config = json.dumps({
        "architecture": arch,
        "os": "linux",
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created_by": "the lab's bundle"}],
    }).encode()  # fmt: skip
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": name, "RepoTags": [image.name], "Layers": [f"{digest}/layer.tar"]}]).encode()
    draft = target.with_suffix(".new")
    with tarfile.open(draft, "w") as archive:
        for place, content in ((name, config), ("manifest.json", manifest)):
            entry = _entry(place, tarfile.REGTYPE)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        entry = _entry(f"{digest}/layer.tar", tarfile.REGTYPE)
        entry.size = layer.stat().st_size
        with layer.open("rb") as source:
            archive.addfile(entry, source)
    draft.replace(target)
