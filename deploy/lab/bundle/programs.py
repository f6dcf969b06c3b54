"""The programs of a Kubernetes cluster in the lab: which, in which version, and where each comes from."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.lab.bundle.cache import Cache, Say, UnobtainableError, hash_file, replace_file
from deploy.lab.bundle.release import PINS_FILE, Release, fetch_release, name_platform, read_module_sum, read_pins
from deploy.lab.bundle.workshop import Edit, Source, Workshop, Wrapper, build

KUBERNETES_URL = "https://dl.k8s.io/release"
GITHUB_URL = "https://github.com"
ADVICE = (
    "Allow https://dl.k8s.io and https://github.com, or install Go 1.24 or newer (https://go.dev/dl) with a reachable "
    "module proxy (GOPROXY), and run this again."
)
KUBERNETES = (
    "kubeadm",
    "kubelet",
    "kubectl",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
)
# flannel's back ends for other clouds need modules that a proxy may not have, and the lab none of them.
UNUSED_BACKENDS = r'^\s*_ "github\.com/flannel-io/flannel/pkg/backend/(alivpc|alloc|awsvpc|gce|tencentvpc|extension|ipsec|wireguard|udp)"\n'
LEGO = "github.com/go-acme/lego/v4/providers/dns"


@dataclass(frozen=True)
class Program:
    """`release` is None where nobody publishes a binary with a checksum: then it is built."""

    name: str
    version: str
    workshop: Workshop
    package: str
    flags: str
    release: Release | None


@dataclass(frozen=True)
class Obtained:
    name: str
    version: str
    path: Path
    source: str
    size: int


def list_programs(pins: Path = PINS_FILE, kubernetes: str = KUBERNETES_URL, github: str = GITHUB_URL) -> list[Program]:
    """All of them, in the order in which they are brought. The keywords let a test stand in for the internet."""
    version, sums = read_pins("kubernetes", pins)
    arch = name_platform().partition("_")[2]
    programs = [_describe_kubernetes(name, version, sums, kubernetes, arch) for name in KUBERNETES]
    programs += [_describe_etcd(pins, github, arch), _describe_coredns(pins, github, arch)]
    programs += [_describe_flannel(pins), _describe_traefik(pins, github, arch)]
    small = Wrapper("small")
    return [
        *programs,
        Program("pause", "3.10", small, "./pause", "-s -w", None),
        Program("hello", "1", small, "./hello", "-s -w", None),
    ]


def _describe_kubernetes(name: str, version: str, sums: dict[str, str | None], kubernetes: str, arch: str) -> Program:
    base = f"{kubernetes}/v{version}/bin/linux/{arch}"
    release = Release(
        base=base, archive=name, sums=f"{name}.sha256", member=name, pin=sums.get(f"{name}-{version}-{arch}")
    )
    return Program(
        name, version, Wrapper("kubernetes"), f"k8s.io/kubernetes/cmd/{name}", _stamp_version(version), release
    )


def _stamp_version(version: str) -> str:
    """A build without these says v0.0.0, and kubeadm compares versions."""
    major, minor, _ = version.split(".")
    facts = {
        "gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean",
        "gitCommit": "0" * 40, "buildDate": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    places = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(["-s -w", *(f"-X {place}.{key}={value}" for place in places for key, value in facts.items())])


def _describe_etcd(pins: Path, github: str, arch: str) -> Program:
    version, sums = read_pins("etcd", pins)
    archive = f"etcd-v{version}-linux-{arch}.tar.gz"
    base = f"{github}/etcd-io/etcd/releases/download/v{version}"
    release = Release(base=base, archive=archive, sums="SHA256SUMS", member="etcd", pin=sums.get(archive))
    return Program("etcd", version, Wrapper("etcd"), "go.etcd.io/etcd/server/v3", "-s -w", release)


def _describe_coredns(pins: Path, github: str, arch: str) -> Program:
    version, sums = read_pins("coredns", pins)
    archive = f"coredns_{version}_linux_{arch}.tgz"
    base = f"{github}/coredns/coredns/releases/download/v{version}"
    release = Release(base=base, archive=archive, sums=f"{archive}.sha256", member="coredns", pin=sums.get(archive))
    return Program("coredns", version, Wrapper("coredns"), ".", "-s -w", release)


def _describe_flannel(pins: Path) -> Program:
    version, _ = read_pins("flannel", pins)
    module = "github.com/flannel-io/flannel"
    source = Source(
        "flannel", module, f"v{version}", read_module_sum("flannel", pins), ("main.go", "go.mod", "go.sum", "pkg"),
        (Edit("main.go", UNUSED_BACKENDS, ""),),
    )  # fmt: skip
    return Program("flanneld", version, source, ".", f"-s -w -X {module}/pkg/version.Version=v{version}", None)


def _describe_traefik(pins: Path, github: str, arch: str) -> Program:
    """Built without lego's DNS services, 160 clouds' clients: two thirds of what there is to compile."""
    version, sums = read_pins("traefik", pins)
    module = "github.com/traefik/traefik/v3"
    source = Source(
        "traefik", module, f"v{version}", read_module_sum("traefik", pins), ("cmd", "internal", "pkg", "webui", "go.mod", "go.sum"),
        (Edit("pkg/provider/acme/provider.go", f'"{LEGO}"', f'"{module}/pkg/provider/acme/dns"'),),
    )  # fmt: skip
    archive = f"traefik_v{version}_linux_{arch}.tar.gz"
    base = f"{github}/traefik/traefik/releases/download/v{version}"
    release = Release(
        base=base, archive=archive, sums=f"traefik_v{version}_checksums.txt", member="traefik", pin=sums.get(archive)
    )
    return Program(
        "traefik", version, source, "./cmd/traefik", f"-s -w -X {module}/pkg/version.Version={version}", release
    )


def find_program(program: Program, cache: Cache) -> Obtained | None:
    """The cached one, if it is there and still what it was."""
    path = _place(program, cache)
    known = cache.find(_note_name(program), path)
    return Obtained(program.name, program.version, path, known["source"], path.stat().st_size) if known else None


def obtain_programs(programs: Sequence[Program], cache: Cache, say: Say, go: str = "go") -> list[Obtained]:
    """Bring each: cached, else released, else built; one line when it begins and one when it is there."""
    return [_obtain(program, cache, say, go) for program in programs]


def _obtain(program: Program, cache: Cache, say: Say, go: str) -> Obtained:
    title = f"{program.name:24} {program.version}"
    known = find_program(program, cache)
    if known is not None:
        say(f"{title} from the cache ({known.source})")
        return known
    began = time.monotonic()
    source = _fetch(program, cache, say, title) or _build(program, cache, say, title, go)
    path = _place(program, cache)
    cache.note(
        _note_name(program),
        {"path": str(path), "version": program.version, "source": source, "sha256": hash_file(path)},
    )
    size = path.stat().st_size
    say(f"{title} {source}; {size / 2**20:.0f} MB in {time.monotonic() - began:.0f} s")
    return Obtained(program.name, program.version, path, source, size)


def _fetch(program: Program, cache: Cache, say: Say, title: str) -> str | None:
    if program.release is None:
        return None
    try:
        fetched = fetch_release(program.release)
    except UnobtainableError as failure:
        say(f"{title} {failure}")
        return None
    replace_file(_place(program, cache), fetched.content, 0o755)
    return f"release, checked by {fetched.checked_by}"


def _build(program: Program, cache: Cache, say: Say, title: str, go: str) -> str:
    say(f"{title} building it with Go from the module proxy")
    folder = cache.folder / f"build-{program.name}"
    try:
        built = build(program.workshop, program.package, program.flags, folder, go)
        replace_file(_place(program, cache), built.read_bytes(), 0o755)
    except UnobtainableError as failure:
        raise UnobtainableError(f"No {program.name} {program.version}.\n  {failure}\n{ADVICE}") from failure
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return "go build, checked by go.sum"


def _place(program: Program, cache: Cache) -> Path:
    return cache.folder / "bin" / f"{program.name}-{program.version}" / program.name


def _note_name(program: Program) -> str:
    return f"program/{program.name}"
