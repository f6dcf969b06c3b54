"""The programs and images of a Kubernetes cluster: from releases, from source, from the cache; and what they hold."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.lab.bundle.cache import Cache, UnobtainableError
from deploy.lab.bundle.images import NETWORK_TOOLS, Image, write_image
from deploy.lab.bundle.items import find_kubernetes
from deploy.lab.bundle.kubernetes import describe_images, obtain_kubernetes
from deploy.lab.bundle.programs import KUBERNETES, Obtained, list_programs, obtain_programs
from deploy.lab.bundle.release import PINS_FILE
from deploy.lab.bundle.workshop import MODULES, Edit, Source, Wrapper, build
from tests.contract.bundle_house import NOWHERE, Releases, digest_of, pack_tar, serving_releases, write_script
from tests.hosts_house import CACHE

BUILDS = (
    'for word; do [ "$last" = -o ] && { pwd > "$word"; echo "$*" >> "$word"; cat go.mod >> "$word"; }; last=$word; done'
)


@pytest.fixture
def releases() -> Iterator[Releases]:
    with serving_releases() as known:
        yield known


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def offer_all(releases: Releases) -> None:
    """What dl.k8s.io and GitHub have, in their own shapes of archives and of lists of checksums."""
    for program in list_programs(kubernetes=releases.url, github=releases.url):
        release = program.release
        if release is None:
            continue
        content = f"released {program.name}".encode()
        place = release.base.removeprefix(releases.url)
        packed = content if release.archive == program.name else pack_tar(f"top/{release.member}", content)
        releases.files[f"{place}/{release.archive}"] = packed
        listed = (
            f"{digest_of(packed)}\n" if program.name in KUBERNETES else f"{digest_of(packed)}  ./{release.archive}\n"
        )
        releases.files[f"{place}/{release.sums}"] = listed.encode()


def test_releases_are_taken_where_they_can_be_reached_and_the_rest_is_built(
    releases: Releases, cache: Cache, tmp_path: Path
) -> None:
    offer_all(releases)
    go = write_script(tmp_path / "go", BUILDS)
    said: list[str] = []
    programs = [p for p in list_programs(kubernetes=releases.url, github=releases.url) if p.name != "flanneld"]
    found = {item.name: item for item in obtain_programs(programs, cache, said.append, str(go))}
    for name in (*KUBERNETES, "etcd", "coredns", "traefik"):
        assert found[name].path.read_text() == f"released {name}"
        assert found[name].source == "release, checked by the release's own SHA256SUMS, not pinned"
        assert found[name].path.stat().st_mode & 0o111
    assert found["hello"].source == "go build, checked by go.sum"
    assert "./hello\nmodule watchbill/lab/small" in found["hello"].path.read_text()
    assert sum("MB in" in line for line in said) == len(programs)  # one line per item when it is there
    asked = len(releases.asked)
    again = obtain_programs(programs, cache, said.append, "no-go-here")
    assert {item.name: item for item in again} == found
    assert len(releases.asked) == asked
    assert said[-1].endswith("from the cache (go build, checked by go.sum)")


def test_a_tampered_release_is_not_taken(releases: Releases, cache: Cache, tmp_path: Path) -> None:
    offer_all(releases)
    kubeadm = list_programs(kubernetes=releases.url, github=releases.url)[0]
    place = next(path for path in releases.files if path.endswith("/kubeadm"))
    releases.files[place] = b"altered bytes"
    said: list[str] = []
    go = write_script(tmp_path / "go", BUILDS)
    (found,) = obtain_programs([kubeadm], cache, said.append, str(go))
    assert b"altered bytes" not in found.path.read_bytes()
    assert "discarded" in said[0]
    assert found.source == "go build, checked by go.sum"


def test_a_pin_counts_more_than_the_list_beside_the_release(releases: Releases, cache: Cache, tmp_path: Path) -> None:
    offer_all(releases)
    pins = json.loads(PINS_FILE.read_text())
    pins["kubernetes"]["sha256"] = dict.fromkeys(pins["kubernetes"]["sha256"], "0" * 64)
    (tmp_path / "pins.json").write_text(json.dumps(pins))
    kubeadm = list_programs(tmp_path / "pins.json", releases.url, releases.url)[0]
    with pytest.raises(UnobtainableError, match=r"No kubeadm 1\.33\.13"):
        obtain_programs([kubeadm], cache, lambda _: None, "no-go-here")


def test_builds_say_their_version(cache: Cache, tmp_path: Path) -> None:
    go = write_script(tmp_path / "go", BUILDS)
    programs = {p.name: p for p in list_programs(kubernetes=NOWHERE, github=NOWHERE)}
    (found,) = obtain_programs([programs["kubelet"]], cache, lambda _: None, str(go))
    text = found.path.read_text()
    assert "-X k8s.io/component-base/version.gitVersion=v1.33.13" in text
    assert "k8s.io/kubernetes/cmd/kubelet" in text
    assert "require k8s.io/kubernetes v1.33.13" in text


def test_nothing_reachable_and_no_go_says_what_to_install(cache: Cache) -> None:
    program = list_programs(kubernetes=NOWHERE, github=NOWHERE)[0]
    with pytest.raises(UnobtainableError) as caught:
        obtain_programs([program], cache, lambda _: None, "no-go-here")
    assert "no `no-go-here` on PATH" in str(caught.value)
    assert "Allow https://dl.k8s.io" in str(caught.value)


def test_a_cluster_that_is_being_built_keeps_nobody_from_terraform(tmp_path: Path) -> None:
    said: list[str] = []
    write_script(tmp_path / "bin" / "terraform", """echo '{"terraform_version": "1.9.0"}'""")
    with find_kubernetes(tmp_path / "cache").locked(said.append):
        done = subprocess.run(
            [sys.executable, "-m", "deploy.lab.bundle", "--want", "terraform", "--cache", str(tmp_path / "cache")],
            env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
    assert "1.9.0" in done.stdout
    assert "waiting" not in done.stdout


def write_module(folder: Path) -> Path:
    """A module as it lies in Go's cache: read-only."""
    (folder / "pkg").mkdir(parents=True)
    (folder / "go.mod").write_text("module example\n")
    (folder / "main.go").write_text('import (\n\t_ "example/wanted"\n\t_ "example/unwanted"\n)\n')
    (folder / "pkg" / "a.go").write_text("package pkg\n")
    for path in (folder / "main.go", folder / "go.mod", folder / "pkg" / "a.go"):
        path.chmod(0o444)
    (folder / "pkg").chmod(0o555)
    return folder


def write_go(tmp_path: Path, module: Path, checksum: str) -> str:
    answer = json.dumps({"Dir": str(module), "Sum": checksum})
    return str(
        write_script(tmp_path / "go", f"if [ \"$1\" = mod ]; then echo '{answer}'; exit; fi\ncat main.go > built.bin")
    )


def test_a_changed_source_is_checked_copied_and_edited(tmp_path: Path) -> None:
    module = write_module(tmp_path / "module")
    go = write_go(tmp_path, module, "h1:good")
    edits = (Edit("main.go", r'^\t_ "example/unwanted"\n', ""),)
    source = Source("no-such-folder", "example", "v1", "h1:good", ("main.go", "go.mod", "pkg"), edits)
    built = build(source, ".", "-s -w", tmp_path / "work", go)
    assert built.read_text() == 'import (\n\t_ "example/wanted"\n)\n'
    assert "unwanted" in (module / "main.go").read_text()
    with pytest.raises(UnobtainableError, match="checksum h1:good, expected h1:other"):
        build(Source("x", "example", "v1", "h1:other", ("main.go",)), ".", "", tmp_path / "work", go)
    with pytest.raises(UnobtainableError, match=r"main\.go has no 'gone'"):
        build(
            Source("x", "example", "v1", "h1:good", ("main.go",), (Edit("main.go", "gone", ""),)),
            ".",
            "",
            tmp_path / "work",
            go,
        )


def test_every_module_that_is_built_here_is_checked_by_a_sum() -> None:
    for program in list_programs():
        match program.workshop:
            case Wrapper(name):
                text = (MODULES / name / "go.mod").read_text()
                assert "require" not in text or (MODULES / name / "go.sum").stat().st_size > 0
                assert program.version in text or name == "small"
            case Source() as source:
                assert source.checksum.startswith("h1:")
                assert source.version == f"v{program.version}"
            case _:
                raise AssertionError(program)


# Images ---------------------------------------------------------------------------------------------------------------


def read_image(path: Path) -> tuple[dict[str, object], tarfile.TarFile]:
    with tarfile.open(path) as archive:
        (manifest,) = json.load(archive.extractfile("manifest.json") or io.BytesIO())
        config = (archive.extractfile(manifest["Config"]) or io.BytesIO()).read()
        layer = (archive.extractfile(manifest["Layers"][0]) or io.BytesIO()).read()
    facts = json.loads(config)
    assert facts["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert manifest["Config"] == f"{hashlib.sha256(config).hexdigest()}.json"
    return manifest | facts, tarfile.open(fileobj=io.BytesIO(layer))


def test_an_image_is_one_layer_with_the_program_and_the_same_bytes_every_time(tmp_path: Path) -> None:
    (tmp_path / "hello").write_bytes(b"program")
    image = Image("lab.local/hello:1", {"/bin/hello": tmp_path / "hello"}, ("/bin/hello",))
    write_image(image, tmp_path / "a.tar")
    os.utime(tmp_path / "hello", (1, 1))
    write_image(image, tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    facts, layer = read_image(tmp_path / "a.tar")
    with layer:
        assert facts["RepoTags"] == ["lab.local/hello:1"]
        assert layer.getmember("bin/hello").mode == 0o755
        assert (layer.extractfile("bin/hello") or io.BytesIO()).read() == b"program"
        assert layer.getmember("tmp").isdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "b.tar", "hello"]


def obtained(folder: Path) -> dict[str, Obtained]:
    found: dict[str, Obtained] = {}
    for program in list_programs():
        path = folder / program.name
        path.write_text(program.name)
        found[program.name] = Obtained(program.name, program.version, path, "test", 1)
    return found


def test_images_carry_the_names_that_kubeadm_asks_for(tmp_path: Path) -> None:
    names = {image.name for image in describe_images(obtained(tmp_path))}
    assert names >= {
        "registry.k8s.io/kube-apiserver:v1.33.13", "registry.k8s.io/kube-proxy:v1.33.13", "registry.k8s.io/etcd:3.5.24-0",
        "registry.k8s.io/coredns/coredns:v1.12.0", "registry.k8s.io/pause:3.10",
    }  # fmt: skip
    assert len(names) == 10


def test_images_are_made_once_and_again_when_their_program_changed(
    releases: Releases, tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.lab.bundle.kubernetes.NETWORK_TOOLS", ())  # the machines' Debian has a test of its own
    offer_all(releases)
    programs = list_programs(kubernetes=releases.url, github=releases.url)
    module = write_module(tmp_path / "module")
    flannel = next(program for program in programs if program.name == "flanneld")
    assert isinstance(flannel.workshop, Source)
    (module / "main.go").chmod(0o644)
    (module / "main.go").write_text('\t_ "github.com/flannel-io/flannel/pkg/backend/udp"\n')
    (module / "go.sum").write_text("")
    answer = json.dumps({"Dir": str(module), "Sum": flannel.workshop.checksum})
    go = write_script(tmp_path / "go", f"if [ \"$1\" = mod ]; then echo '{answer}'; exit; fi\n{BUILDS}")
    said: list[str] = []
    first = obtain_kubernetes(programs, cache, said.append, lambda: tmp_path, str(go))
    assert (first.version, len(first.images), len(first.programs)) == ("1.33.13", 10, len(programs))
    assert sum("image made here" in line for line in said) == 10
    said.clear()
    assert obtain_kubernetes(programs, cache, said.append, lambda: tmp_path, "no-go-here") == first
    assert sum("image from the cache" in line for line in said) == 10
    said.clear()
    first.programs["hello"].unlink()
    obtain_kubernetes(
        programs,
        cache,
        said.append,
        lambda: tmp_path,
        str(write_script(tmp_path / "go2", BUILDS + "; date +%N >> built.bin")),
    )
    assert [line.split()[0] for line in said if "image made here" in line] == ["hello:1"]


def test_what_the_images_lack_is_said_before_anything_is_built(releases: Releases, cache: Cache) -> None:
    offer_all(releases)
    said: list[str] = []

    def lacking() -> Path:
        raise UnobtainableError("Missing: debootstrap")

    with pytest.raises(UnobtainableError, match="debootstrap"):
        obtain_kubernetes(list_programs(kubernetes=releases.url, github=releases.url), cache, said.append, lacking)
    assert (said, releases.asked) == ([], [])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("go") is None, reason="no Go on PATH")
def test_the_small_programs_build_with_the_real_go_and_answer(cache: Cache) -> None:
    programs = [p for p in list_programs() if p.name in {"pause", "hello"}]
    found = {item.name: item for item in obtain_programs(programs, cache, lambda _: None)}
    pause = subprocess.Popen([found["pause"].path])
    pause.terminate()
    assert pause.wait(10) in {0, -15}  # the signal may come before the program listens to it
    assert subprocess.run(["ldd", found["hello"].path], capture_output=True, text=True, check=False).returncode != 0


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or not list((CACHE / "hosts").glob("base-*")), reason="needs root and the machines' Debian"
)
def test_tools_come_with_their_libraries_and_run(tmp_path: Path) -> None:
    root = next(path for path in (CACHE / "hosts").glob("base-*") if path.is_dir() and path.suffix != ".partial")
    (tmp_path / "program").write_bytes(b"x")
    write_image(Image("t:1", {"/p": tmp_path / "program"}, tools=NETWORK_TOOLS), tmp_path / "t.tar", root)
    _, layer = read_image(tmp_path / "t.tar")
    with layer:
        layer.extractall(tmp_path / "root", filter="tar")
    for command in (["iptables", "--version"], ["nft", "--version"], ["ip", "-V"], ["sh", "-c", "conntrack --version"]):
        done = subprocess.run(["chroot", tmp_path / "root", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr)
