"""Everything that a Kubernetes cluster in the lab is made of: programs in one folder, images in another."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.lab.bundle.cache import Cache, Say, hash_file
from deploy.lab.bundle.images import NETWORK_TOOLS, Image, write_image
from deploy.lab.bundle.programs import Obtained, Program, obtain_programs

REGISTRY = "registry.k8s.io"
OWN = "lab.local"
# kubeadm asks for etcd under this tag of its own.
ETCD_SUFFIX = "-0"


@dataclass(frozen=True)
class Kubernetes:
    version: str
    programs: dict[str, Path]
    images: dict[str, Path]  # by their name and tag


def obtain_kubernetes(
    programs: Sequence[Program], cache: Cache, say: Say, find_root: Callable[[], Path], go: str = "go"
) -> Kubernetes:
    """`find_root` gives the machines' Debian, asked only when an image has to be made.

    Where none was made yet it is asked first, so that what it lacks is said before minutes of building.
    """
    if not (cache.folder / "images").exists():
        find_root()
    obtained = {found.name: found for found in obtain_programs(programs, cache, say, go)}
    version = obtained["kubeadm"].version
    images = {image.name: _obtain_image(image, cache, say, find_root) for image in describe_images(obtained)}
    return Kubernetes(version, {name: found.path for name, found in obtained.items()}, images)


def describe_images(obtained: dict[str, Obtained]) -> list[Image]:
    found: list[Image] = []
    for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"):
        place = f"/usr/local/bin/{name}"
        tools = NETWORK_TOOLS if name == "kube-proxy" else ()
        found.append(
            Image(f"{REGISTRY}/{name}:v{obtained[name].version}", {place: obtained[name].path}, (place,), tools)
        )
    etcd, coredns, pause = obtained["etcd"], obtained["coredns"], obtained["pause"]
    flannel, traefik, hello = obtained["flanneld"], obtained["traefik"], obtained["hello"]
    return [
        *found,
        Image(f"{REGISTRY}/etcd:{etcd.version}{ETCD_SUFFIX}", {"/usr/local/bin/etcd": etcd.path}),
        Image(f"{REGISTRY}/coredns/coredns:v{coredns.version}", {"/coredns": coredns.path}, ("/coredns",)),
        Image(f"{REGISTRY}/pause:{pause.version}", {"/pause": pause.path}, ("/pause",)),
        Image(f"{OWN}/flannel:v{flannel.version}", {"/opt/bin/flanneld": flannel.path}, ("/opt/bin/flanneld",), NETWORK_TOOLS),
        Image(f"{OWN}/traefik:v{traefik.version}", {"/traefik": traefik.path}, ("/traefik",)),
        Image(f"{OWN}/hello:{hello.version}", {"/hello": hello.path}, ("/hello",)),
    ]  # fmt: skip


def _obtain_image(image: Image, cache: Cache, say: Say, find_root: Callable[[], Path]) -> Path:
    """Made again when its program is another one."""
    path = cache.folder / "images" / f"{image.name.replace('/', '_').replace(':', '_')}.tar"
    made_of = " ".join(hash_file(program) for program in image.programs.values())
    note = f"image/{image.name}"
    known = cache.find(note, path)
    title = f"{image.name.rpartition('/')[2]:36}"
    if known and known.get("made_of") == made_of:
        say(f"{title} image from the cache")
        return path
    began = time.monotonic()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(image, path, find_root() if image.tools else None)
    cache.note(
        note,
        {
            "path": str(path),
            "version": image.name,
            "source": "made here",
            "made_of": made_of,
            "sha256": hash_file(path),
        },
    )
    say(f"{title} image made here; {path.stat().st_size / 2**20:.0f} MB in {time.monotonic() - began:.0f} s")
    return path
