"""What the door can bring, and the call that brings it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.lab.bundle.cache import Cache, Say, UnobtainableError
from deploy.lab.bundle.kubernetes import Kubernetes, obtain_kubernetes
from deploy.lab.bundle.programs import list_programs
from deploy.lab.bundle.provider import Provider, obtain_provider
from deploy.lab.bundle.terraform import Terraform, obtain_terraform

ITEMS = {
    "terraform": "Terraform >= 1.9 or OpenTofu >= 1.9: the installed one, else a pinned release",
    "provider": "bpg/proxmox 0.111.1 in a filesystem mirror: the release, else built through the Go module proxy",
    "kubernetes": "what a cluster is made of, below: releases, else built through the Go module proxy; images made here",
}


@dataclass(frozen=True)
class Bundle:
    """Only what was wanted is set."""

    terraform: Terraform | None = None
    provider: Provider | None = None
    kubernetes: Kubernetes | None = None


def obtain(wanted: Iterable[str], cache: Path, say: Say = print, find_root: Callable[[], Path] | None = None) -> Bundle:
    """Bring the wanted items into `cache`, one line each through `say`; UnobtainableError says what to install.

    Safe to call again and from several processes at once; what is cached needs no network. `find_root` gives the
    machines' Debian, from which two images of `kubernetes` take programs.
    """
    names = list(wanted)
    unknown = [name for name in names if name not in ITEMS]
    if unknown:
        raise UnobtainableError(f"nothing here is called {', '.join(unknown)}: {', '.join(ITEMS)}")
    place = Cache(cache.resolve())
    with place.locked(say):
        terraform = obtain_terraform(place, say) if "terraform" in names else None
        provider = obtain_provider(place, say) if "provider" in names else None
    kubernetes = _obtain_kubernetes(find_kubernetes(cache), say, find_root) if "kubernetes" in names else None
    return Bundle(terraform, provider, kubernetes)


def find_kubernetes(cache: Path) -> Cache:
    """A folder with a lock of its own: while a cluster is built for half an hour, others want their Terraform."""
    return Cache(cache.resolve() / "kubernetes")


def _obtain_kubernetes(cache: Cache, say: Say, find_root: Callable[[], Path] | None) -> Kubernetes:
    def nowhere() -> Path:
        raise UnobtainableError("images need the machines' Debian; see deploy/lab/hosts")

    with cache.locked(say):
        return obtain_kubernetes(list_programs(), cache, say, find_root or nowhere)
