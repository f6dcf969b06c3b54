"""The binaries' door against a release server of its own: checksums, cache, fallbacks, errors that help."""

import hashlib
import io
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.lab.bundle.cache import Cache, UnobtainableError
from deploy.lab.bundle.items import obtain
from deploy.lab.bundle.provider import obtain_provider
from deploy.lab.bundle.release import ChecksumError, name_platform, read_pins
from deploy.lab.bundle.terraform import obtain_terraform
from tests.contract.bundle_house import NOWHERE, Releases, serving_releases

MACHINE = name_platform()
TERRAFORM_ZIP = f"terraform_1.11.4_{MACHINE}.zip"
PROVIDER_ZIP = f"terraform-provider-proxmox_0.111.1_{MACHINE}.zip"


def offer_terraform(releases: Releases, content: bytes) -> str:
    packed = pack("terraform", content)
    releases.files[f"/terraform/1.11.4/{TERRAFORM_ZIP}"] = packed
    return hashlib.sha256(packed).hexdigest()


def offer_provider(releases: Releases, content: bytes) -> str:
    packed = pack("terraform-provider-proxmox_v0.111.1", content)
    releases.files[f"/bpg/terraform-provider-proxmox/releases/download/v0.111.1/{PROVIDER_ZIP}"] = packed
    return hashlib.sha256(packed).hexdigest()


def pack(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("LICENSE.txt", "…")
        archive.writestr(name, content)
    return packed.getvalue()


@pytest.fixture
def releases() -> Iterator[Releases]:
    with serving_releases() as known:
        yield known


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def said() -> list[str]:
    return []


def write_pins(folder: Path, terraform: str | None, provider: str | None) -> Path:
    file = folder / "pins.json"
    pins = {
        "terraform": {"version": "1.11.4", "sha256": {TERRAFORM_ZIP: terraform}},
        "provider": {"version": "0.111.1", "sha256": {PROVIDER_ZIP: provider}},
    }
    file.write_text(json.dumps(pins))
    return file


def write_script(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_an_installed_terraform_that_is_new_enough_is_taken(cache: Cache, said: list[str], tmp_path: Path) -> None:
    tool = write_script(tmp_path / "bin/terraform", """echo '{"terraform_version": "1.9.0"}'""")
    found = obtain_terraform(cache, said.append, releases=NOWHERE, search_path=str(tool.parent))
    assert (found.path, found.version, found.source) == (tool, "1.9.0", "installed")
    assert said == [f"terraform  1.9.0 from {tool}"]


def test_tofu_is_taken_where_terraform_is_too_old(cache: Cache, said: list[str], tmp_path: Path) -> None:
    write_script(tmp_path / "bin/terraform", """echo '{"terraform_version": "1.5.7"}'""")
    tofu = write_script(tmp_path / "bin/tofu", """echo '{"terraform_version": "1.10.2"}'""")
    assert obtain_terraform(cache, said.append, releases=NOWHERE, search_path=str(tofu.parent)).path == tofu


def test_a_pinned_terraform_is_downloaded_once_and_then_offline(
    releases: Releases, cache: Cache, said: list[str], tmp_path: Path
) -> None:
    pins = write_pins(tmp_path, offer_terraform(releases, b"#!/bin/sh\n"), None)
    first = obtain_terraform(cache, said.append, releases=releases.url, search_path="", pins=pins)
    assert first.path.read_bytes() == b"#!/bin/sh\n"
    assert first.path.stat().st_mode & 0o111
    assert "pinned checksum" in first.source
    second = obtain_terraform(cache, said.append, releases=NOWHERE, search_path="", pins=pins)
    assert second.path == first.path
    assert said[-1] == "terraform  1.11.4 from the cache"
    assert len(releases.asked) == 1


def test_a_cached_file_that_changed_is_fetched_again(
    releases: Releases, cache: Cache, said: list[str], tmp_path: Path
) -> None:
    pins = write_pins(tmp_path, offer_terraform(releases, b"genuine"), None)
    path = obtain_terraform(cache, said.append, releases=releases.url, search_path="", pins=pins).path
    path.write_bytes(b"half a fi")
    again = obtain_terraform(cache, said.append, releases=releases.url, search_path="", pins=pins)
    assert again.path.read_bytes() == b"genuine"


def test_a_wrong_checksum_keeps_nothing(releases: Releases, cache: Cache, said: list[str], tmp_path: Path) -> None:
    offer_terraform(releases, b"tampered")
    pins = write_pins(tmp_path, "0" * 64, None)
    with pytest.raises(UnobtainableError, match=r"expected 0{64} \(pinned checksum\); discarded"):
        obtain_terraform(cache, said.append, releases=releases.url, search_path="", pins=pins)
    assert not list(cache.folder.rglob("terraform*"))


def test_without_a_pin_the_releases_own_list_decides_and_is_named(
    releases: Releases, cache: Cache, said: list[str], tmp_path: Path
) -> None:
    digest = offer_terraform(releases, b"released")
    releases.files["/terraform/1.11.4/terraform_1.11.4_SHA256SUMS"] = f"{digest}  {TERRAFORM_ZIP}\n".encode()
    pins = write_pins(tmp_path, None, None)
    found = obtain_terraform(cache, said.append, releases=releases.url, search_path="", pins=pins)
    assert found.path.read_bytes() == b"released"
    assert "not pinned" in said[-1]


def test_without_a_pin_and_without_a_list_entry_nothing_is_taken(
    releases: Releases, cache: Cache, said: list[str], tmp_path: Path
) -> None:
    offer_terraform(releases, b"released")
    releases.files["/terraform/1.11.4/terraform_1.11.4_SHA256SUMS"] = b"0000  something-else.zip\n"
    pins = write_pins(tmp_path, None, None)
    with pytest.raises(UnobtainableError, match="does not list"):
        obtain_terraform(cache, said.append, releases=releases.url, search_path="", pins=pins)


def test_no_terraform_anywhere_says_what_to_install(cache: Cache, said: list[str], tmp_path: Path) -> None:
    old = write_script(tmp_path / "bin/terraform", """echo '{"terraform_version": "1.5.7"}'""")
    with pytest.raises(UnobtainableError) as caught:
        obtain_terraform(cache, said.append, releases=NOWHERE, search_path=str(old.parent))
    text = str(caught.value)
    assert f"{old} is 1.5.7" in text
    assert "cannot be reached" in text
    assert "Install Terraform 1.9 or newer" in text


def test_the_provider_comes_from_its_release_into_a_mirror(
    releases: Releases, cache: Cache, said: list[str], tmp_path: Path
) -> None:
    pins = write_pins(tmp_path, None, offer_provider(releases, b"provider"))
    found = obtain_provider(cache, said.append, github=releases.url, go="no-go-here", pins=pins)
    below = f"bpg/proxmox/0.111.1/{MACHINE}/terraform-provider-proxmox_v0.111.1"
    for registry in ("registry.terraform.io", "registry.opentofu.org"):
        assert (found.mirror / registry / below).read_bytes() == b"provider"
    assert found.path.stat().st_mode & 0o111
    rc = found.terraformrc.read_text()
    assert str(found.mirror) in rc
    assert "direct" not in rc
    again = obtain_provider(cache, said.append, github=NOWHERE, go="no-go-here", pins=pins)
    assert "from the cache" in said[-1]
    assert again == found


@pytest.mark.parametrize("reachable", [True, False], ids=["not genuine", "not reachable"])
def test_the_provider_is_built_where_its_release_cannot_be_had(
    releases: Releases, cache: Cache, said: list[str], tmp_path: Path, *, reachable: bool
) -> None:
    offer_provider(releases, b"tampered")
    pins = write_pins(tmp_path, None, "0" * 64)
    script = 'for word; do [ "$last" = -o ] && { echo "$CGO_ENABLED $GOFLAGS" > "$word"; cat go.mod >> "$word"; }; last=$word; done'
    go = write_script(tmp_path / "bin/go", script)
    github = releases.url if reachable else NOWHERE
    found = obtain_provider(cache, said.append, github=github, go=str(go), pins=pins)
    built = found.path.read_text()
    assert built.startswith("0 -mod=mod\n")
    assert "require github.com/bpg/terraform-provider-proxmox v0.111.1" in built
    assert found.source == "go build, checked by go.sum"
    assert ("discarded" if reachable else "cannot be reached") in "\n".join(said)
    assert not (cache.folder / "build-provider").exists()


def test_a_build_that_fails_shows_its_last_lines(cache: Cache, said: list[str], tmp_path: Path) -> None:
    go = write_script(tmp_path / "bin/go", "echo 'dial tcp: lookup proxy.golang.org: no such host' >&2; exit 1")
    with pytest.raises(UnobtainableError) as caught:
        obtain_provider(cache, said.append, github=NOWHERE, go=str(go))
    assert "no such host" in str(caught.value)
    assert "module proxy (GOPROXY)" in str(caught.value)


def test_no_provider_and_no_go_says_what_to_install(cache: Cache, said: list[str]) -> None:
    with pytest.raises(UnobtainableError, match=r"install Go 1\.21 or newer"):
        obtain_provider(cache, said.append, github=NOWHERE, go="no-go-here")


def test_two_at_once_wait_for_each_other(cache: Cache) -> None:
    said: list[str] = []
    waited, done = threading.Event(), threading.Event()

    def say(line: str) -> None:
        said.append(line)
        waited.set()

    def fill() -> None:
        with cache.locked(say):
            done.set()

    with cache.locked(say):
        second = threading.Thread(target=fill)
        second.start()
        assert waited.wait(5)
        assert not done.is_set()
    second.join(5)
    assert done.is_set()
    assert said == [f"another process fills {cache.folder}; waiting for it"]


def test_an_unknown_item_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnobtainableError, match="nothing here is called kubeadm: terraform, provider"):
        obtain(["kubeadm"], tmp_path)


def test_the_command_lists_and_refuses(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.lab.bundle"]
    listed = subprocess.run([*command, "--list"], capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in listed.stdout.splitlines()][:4] == [
        "terraform",
        "provider",
        "kubernetes",
        "kubeadm",
    ]
    refused = subprocess.run(
        [*command, "--want", "kubeadm", "--cache", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "nothing here is called kubeadm" in refused.stderr


def test_the_pins_are_checksums_of_the_versions_they_name() -> None:
    for name in ("terraform", "provider"):
        version, checksums = read_pins(name)
        assert all(version in archive for archive in checksums)
        known = [digest for digest in checksums.values() if digest is not None]
        assert known
        assert all(len(digest) == 64 and set(digest) <= set("0123456789abcdef") for digest in known)
    assert issubclass(ChecksumError, UnobtainableError)
