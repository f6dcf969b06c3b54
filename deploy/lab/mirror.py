"""python -m deploy.lab.mirror --cache DIR --inside PID: what a cluster is made of, over HTTP on the lab's LAN.

The machines have no internet. Paths are those of the upstream's places, so that what installs from here differs in its
addresses only; the ready file's `site_variables` holds these addresses under the names of the blueprints' variables.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

from deploy.lab.bundle.cache import Cache, UnobtainableError
from deploy.lab.bundle.items import find_kubernetes
from deploy.lab.bundle.release import name_platform
from deploy.lab.hosts.keeper import LAN
from deploy.lab.hosts.namespaces import open_listener
from deploy.lab.lifetime import end_with_parent, wait_for_end, write_ready_file

ADDRESS = LAN.partition("/")[0]
PORT = 8080
SERVED = ("kubeadm", "kubelet", "kubectl")
# The blueprints' variable of an image that is not the upstream's, and the image's name without its tag.
OWN_IMAGES = {"cni_image": "lab.local/flannel", "ingress_image": "lab.local/traefik", "hello_image": "lab.local/hello"}


class Shelf:
    """The bundle as paths below the mirror's address. It is read at every request: an item that comes later is there."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def list_programs(self) -> dict[str, dict[str, Any]]:
        notes = self._cache.read_notes()
        found = {name: notes[f"program/{name}"] for name in SERVED if f"program/{name}" in notes}
        return {f"release/v{facts['version']}/bin/linux/{_arch()}/{name}": facts for name, facts in found.items()}

    def list_images(self) -> dict[str, dict[str, Any]]:
        notes = self._cache.read_notes()
        return {note.partition("/")[2]: facts for note, facts in sorted(notes.items()) if note.startswith("image/")}

    def find(self, path: str) -> Path | str | None:
        """A file, or the text of its checksum; None if there is no such thing."""
        programs = self.list_programs()
        if path.endswith(".sha256"):
            facts = programs.get(path.removesuffix(".sha256"))
            return facts["sha256"] if facts else None
        images = {f"images/{Path(facts['path']).name}": facts for facts in self.list_images().values()}
        facts = (programs | images).get(path)
        return Path(facts["path"]) if facts else None

    def index(self) -> list[dict[str, str]]:
        return [
            {"name": name, "file": Path(facts["path"]).name, "sha256": facts["sha256"]}
            for name, facts in self.list_images().items()
        ]


def _arch() -> str:
    return name_platform().partition("_")[2]


def write_site_variables(shelf: Shelf, url: str) -> dict[str, Any]:
    """What the blueprints' roles are told here, and nowhere else: DESIGN's one difference between lab and world."""
    programs = shelf.list_programs()
    images = [
        {"name": image["name"], "url": f"{url}/images/{image['file']}", "sha256": image["sha256"]}
        for image in shelf.index()
    ]
    if len(programs) < len(SERVED) or not images:
        raise UnobtainableError("the bundle is not whole: python -m deploy.lab.bundle --want kubernetes")
    own = {
        variable: next(image["name"] for image in images if image["name"].startswith(f"{name}:"))
        for variable, name in OWN_IMAGES.items()
    }
    version = str(next(iter(programs.values()))["version"])
    return {
        "kubernetes_version": version,
        "kubernetes_download_url": f"{url}/release",
        "kubernetes_images": images,
    } | own


def build_app(shelf: Shelf) -> web.Application:
    async def send(request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        found = await asyncio.to_thread(shelf.find, path)
        if isinstance(found, str):
            return web.Response(text=found)
        if found is None or not found.is_file():
            raise web.HTTPNotFound(text=f"the lab's mirror has no {path}\n")
        return web.FileResponse(found)

    async def send_index(request: web.Request) -> web.Response:
        del request
        return web.json_response(shelf.index())

    app = web.Application()
    app.router.add_get("/images/index.json", send_index)
    app.router.add_get("/{path:.+}", send)
    return app


async def serve(arguments: argparse.Namespace) -> None:
    shelf = Shelf(find_kubernetes(arguments.cache))
    url = f"http://{ADDRESS}:{PORT}"
    variables = write_site_variables(shelf, url)
    runner = web.AppRunner(build_app(shelf), access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.SockSite(runner, open_listener(arguments.inside, PORT, ADDRESS)).start()
        if arguments.ready_file:
            write_ready_file(arguments.ready_file, {"url": url, "pid": os.getpid(), "site_variables": variables})
        print(f"lab mirror: {url}", flush=True)
        await wait_for_end()
    finally:
        await runner.cleanup()


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.lab.mirror", description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--inside", type=int, metavar="PID", required=True, help="a process in the machines' network")
    parser.add_argument("--data", type=Path, help="accepted as the other servers do; nothing is stored")
    parser.add_argument("--ready-file", type=Path, help="written when the server listens")
    return parser.parse_args()


def main() -> int:
    end_with_parent()
    try:
        asyncio.run(serve(read_arguments()))
    except (UnobtainableError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
