"""Asking the API and the app from the LAN side, again and again, while something happens to the machines."""

import base64
import contextlib
import http.client
import itertools
import json
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from deploy.lab.hosts.namespaces import connect
from tests.cluster_house import ENDPOINT, INGRESS, Cluster

API_PORT = 6443
PATCH = "application/strategic-merge-patch+json"


@dataclass
class Answers:
    """`at`: when an answer that was good came; `wrong`: what came instead, with its time."""

    at: list[float] = field(default_factory=list[float])
    wrong: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])

    def outage_s(self, since: float) -> float:
        """The longest time without a good answer, what is still open now among it."""
        moments = [since, *(moment for moment in self.at if moment >= since), time.monotonic()]
        return max(later - earlier for earlier, later in itertools.pairwise(moments))

    def words(self, since: float) -> str:
        return f"{len(self.at)} answers, {len(self.wrong)} failures, {self.outage_s(since):.1f} s away"


class Admin:
    """The API with kubeadm's own kubeconfig, each request on a connection of its own through the virtual address."""

    def __init__(self, cluster: Cluster, kubeconfig: str) -> None:
        self._cluster = cluster
        config: Any = yaml.safe_load(kubeconfig)
        user, place = config["users"][0]["user"], config["clusters"][0]["cluster"]
        authority = base64.b64decode(place["certificate-authority-data"]).decode()
        self._context = ssl.create_default_context(cadata=authority)
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Path(folder) / "certificate", Path(folder) / "key"
            certificate.write_bytes(base64.b64decode(user["client-certificate-data"]))
            key.write_bytes(base64.b64decode(user["client-key-data"]))
            self._context.load_cert_chain(certificate, key)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        plain = connect(self._cluster.lab.keeper, (ENDPOINT, API_PORT), 3)
        with contextlib.closing(self._context.wrap_socket(plain, server_hostname=ENDPOINT)) as stream:
            return json.loads(_exchange(stream, ENDPOINT, method, path, json.dumps(body) if body else None))

    def read(self) -> None:
        self.ask("GET", "/api/v1/nodes")

    def write(self) -> None:
        self.ask("PATCH", "/api/v1/namespaces/default", {"metadata": {"annotations": {"probe": str(time.time())}}})

    def ready(self) -> dict[str, bool]:
        """Every node, and whether it is ready."""
        return {
            node["metadata"]["name"]: any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])
            for node in self.ask("GET", "/api/v1/nodes")["items"]
        }  # fmt: skip


def hello(cluster: Cluster) -> str:
    """What the app says through the ingress's virtual address; OSError for anything but 200."""
    with contextlib.closing(connect(cluster.lab.keeper, (INGRESS, 80), 2)) as stream:
        return _exchange(stream, "hello.lab", "GET", "/", None)


def _exchange(stream: Any, host: str, method: str, path: str, body: str | None) -> str:
    stream.settimeout(3)
    connection = http.client.HTTPConnection(host)
    connection.sock = stream
    try:
        connection.request(method, path, body, {"Content-Type": PATCH} if body else {})
        answer = connection.getresponse()
        text = answer.read().decode()
    except http.client.HTTPException as error:
        raise OSError(repr(error)) from error
    if answer.status != http.HTTPStatus.OK:
        raise OSError(f"{answer.status} {text[:200]}")
    return text


@contextlib.contextmanager
def asking(**probes: Callable[[], Any]) -> Generator[dict[str, Answers]]:
    """Ask each of them four times a second, in a thread of its own, until the block ends."""
    found = {name: Answers() for name in probes}
    ended = threading.Event()

    def work(name: str) -> None:
        while not ended.wait(0.25):
            try:
                probes[name]()
            except OSError as error:
                found[name].wrong.append((time.monotonic(), str(error)))
            else:
                found[name].at.append(time.monotonic())

    threads = [threading.Thread(target=work, args=(name,)) for name in probes]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        ended.set()
        for thread in threads:
            thread.join()
