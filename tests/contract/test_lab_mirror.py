"""The lab's mirror: a bundle in a folder, and what a machine gets of it over HTTP."""

import hashlib
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import ClientSession, web

from deploy.lab.bundle.cache import Cache, UnobtainableError
from deploy.lab.mirror import Shelf, build_app, write_site_variables

PROGRAMS = ("kubeadm", "kubelet", "kubectl", "kube-apiserver")
IMAGES = ("registry.k8s.io/pause:3.10", "lab.local/flannel:v1", "lab.local/traefik:v2", "lab.local/hello:1")


def add(cache: Cache, note: str, name: str, version: str) -> None:
    path = cache.folder / name
    path.write_text(f"this is {note}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    cache.note(note, {"path": str(path), "version": version, "source": "test", "sha256": digest})


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    cache = Cache(tmp_path)
    for name in PROGRAMS:
        add(cache, f"program/{name}", name, "1.33.13")
    for name in IMAGES:
        add(cache, f"image/{name}", f"{name.replace('/', '_').replace(':', '_')}.tar", name)
    return Shelf(cache)


@pytest_asyncio.fixture
async def url(shelf: Shelf) -> AsyncGenerator[str]:
    runner = web.AppRunner(build_app(shelf), access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def fetch(url: str) -> tuple[int, bytes]:
    async with ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.read()


async def test_programs_are_where_the_upstream_has_them_with_their_checksums(shelf: Shelf, url: str) -> None:
    for path in shelf.list_programs():
        status, program = await fetch(f"{url}/{path}")
        assert (status, program) == (200, f"this is program/{path.rpartition('/')[2]}".encode())
        assert await fetch(f"{url}/{path}.sha256") == (200, hashlib.sha256(program).hexdigest().encode())
    assert {path.partition("/bin/")[0] for path in shelf.list_programs()} == {"release/v1.33.13"}


async def test_images_are_listed_and_are_what_the_list_says(url: str) -> None:
    _, text = await fetch(f"{url}/images/index.json")
    index = json.loads(text)
    assert [entry["name"] for entry in index] == sorted(IMAGES)
    for entry in index:
        status, image = await fetch(f"{url}/images/{entry['file']}")
        assert (status, hashlib.sha256(image).hexdigest()) == (200, entry["sha256"])


@pytest.mark.parametrize(
    "path", ["bundle.json", "release/v1.33.13/bin/linux/amd64/kube-apiserver", "images/..%2fbundle.json", "x.sha256"]
)
async def test_nothing_else_of_the_folder_is_served(url: str, path: str) -> None:
    status, text = await fetch(f"{url}/{path}")
    assert status == 404
    assert text.startswith(b"the lab's mirror has no ")


async def test_item_that_comes_later_is_there_at_once(shelf: Shelf, url: str, tmp_path: Path) -> None:
    add(Cache(tmp_path), "image/lab.local/later:1", "later.tar", "1")
    assert (await fetch(f"{url}/images/later.tar"))[0] == 200
    assert shelf.index()[2]["name"] == "lab.local/later:1"


def test_site_variables_point_to_the_mirror_and_name_the_labs_own_images(shelf: Shelf) -> None:
    found = write_site_variables(shelf, "http://192.168.178.1:8080")
    assert found["kubernetes_version"] == "1.33.13"
    assert found["kubernetes_download_url"] == "http://192.168.178.1:8080/release"
    assert [image["name"] for image in found["kubernetes_images"]] == sorted(IMAGES)
    assert all(image["url"].startswith("http://192.168.178.1:8080/images/") for image in found["kubernetes_images"])
    own = {key: value for key, value in found.items() if key.endswith("_image")}
    assert own == {"cni_image": IMAGES[1], "ingress_image": IMAGES[2], "hello_image": IMAGES[3]}


def test_bundle_that_is_not_whole_is_said_with_its_mend(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    add(cache, "program/kubeadm", "kubeadm", "1.33.13")
    with pytest.raises(UnobtainableError, match="--want kubernetes"):
        write_site_variables(Shelf(cache), "http://192.168.178.1:8080")
