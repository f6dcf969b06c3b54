"""A real kube-apiserver over a real etcd on loopback, with RBAC, and the Kubernetes tools in front of it, for tests."""

import base64
import contextlib
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bot.domain.calls import Prepared, ToolResult
from bot.domain.ids import Json
from bot.domain.ports import Cannot, Scope
from tests.fakes import FakeWatch, call, mission, scope
from tests.tool_house import MemoryLocks
from tools.estate import Estates
from tools.hosts import Roster
from tools.kubeconfig import Kubeconfigs
from tools.kubernetes import KubernetesRead
from tools.kubernetes_api import Api, Clusters
from tools.kubernetes_apply import KubernetesApply
from tools.kubernetes_change import KubernetesChange
from tools.ssh_connection import Connections
from tools.typed import TypedTool

ROOT = Path(__file__).parents[1]
BUNDLE = ROOT / ".cache" / "lab" / "kubernetes" / "bin"
ESTATE = "home"
START_S = 60.0


def program(name: str) -> Path | None:
    """The bundle's newest one, or None."""
    found = sorted(BUNDLE.glob(f"{name}-*/{name}"))
    return found[-1] if found else None


needs_kubernetes = pytest.mark.skipif(
    not (program("kube-apiserver") and program("etcd")),
    reason="needs kube-apiserver and etcd in .cache/lab/kubernetes: python -m deploy.lab.bundle --want kubernetes",
)


class Authority:
    """A certificate authority of one test run."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        start = datetime.now(UTC) - timedelta(hours=1)  # real certificates need the real time
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name).issuer_name(self._name).public_key(self._key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(start + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )  # fmt: skip

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, user: str, group: str = "", *, server: bool = False, days: int = 20) -> tuple[str, str]:
        """Certificate and key as PEM texts."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
        names += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
        use = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        end = datetime.now(UTC) + timedelta(days=days, minutes=5)  # real certificates need the real time
        built = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(names)).issuer_name(self._name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(end - timedelta(days=days + 1)).not_valid_after(end)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        )  # fmt: skip
        if server:
            alternative = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            built = built.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        made = built.sign(self._key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM).decode(), key_text(key)


def key_text(key: Any) -> str:
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(pem, pkcs8, serialization.NoEncryption()).decode()


@dataclass
class ControlPlane:
    """One API server and its etcd."""

    folder: Path
    port: int
    authority: Authority = field(default_factory=Authority)

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def kubeconfig(self, user: str, group: str = "", **more: Any) -> str:
        """A kubeconfig as kubeadm writes them."""
        certificate, key = self.authority.issue(user, group, **more)
        return kubeconfig(
            self.server,
            self.authority.pem,
            {"client-certificate-data": packed(certificate), "client-key-data": packed(key)},
        )


def packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def kubeconfig(server: str, ca: str, user: dict[str, Any]) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1", "kind": "Config", "preferences": {}, "current-context": "me@kubernetes",
            "clusters": [{"name": "kubernetes", "cluster": {"server": server, "certificate-authority-data": packed(ca)}}],
            "users": [{"name": "me", "user": user}],
            "contexts": [{"name": "me@kubernetes", "context": {"cluster": "kubernetes", "user": "me"}}],
        }
    )  # fmt: skip


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def running_control_plane(folder: Path) -> Generator[ControlPlane]:
    """Started within seconds, ended with everything it wrote below `folder`."""
    plane = ControlPlane(folder, free_port())
    certificate, key = plane.authority.issue("kube-apiserver", server=True)
    tokens = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = tokens.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    texts = {
        "ca.crt": plane.authority.pem,
        "tls.crt": certificate,
        "tls.key": key,
        "sa.key": key_text(tokens),
        "sa.pub": public.decode(),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    client, peer = free_port(), free_port()
    etcd = start(folder, "etcd", "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync", "--log-level", "error",
                 "--listen-client-urls", f"http://127.0.0.1:{client}", "--advertise-client-urls", f"http://127.0.0.1:{client}",
                 "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
                 "--initial-cluster", f"default=http://127.0.0.1:{peer}")  # fmt: skip
    api = start(folder, "kube-apiserver", f"--secure-port={plane.port}", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
                "--endpoint-reconciler-type=none", f"--etcd-servers=http://127.0.0.1:{client}", f"--cert-dir={folder}",
                f"--tls-cert-file={folder}/tls.crt", f"--tls-private-key-file={folder}/tls.key", f"--client-ca-file={folder}/ca.crt",
                f"--service-account-key-file={folder}/sa.pub", f"--service-account-signing-key-file={folder}/sa.key",
                "--service-account-issuer=https://localhost", "--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16",
                "--disable-admission-plugins=ServiceAccount", "--watch-cache=false", "--v=0")  # fmt: skip
    try:
        await_ready(plane, api)
        yield plane
    finally:
        for one in (api, etcd):
            one.terminate()
        for one in (api, etcd):
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.wait(10)
            one.kill()
            one.wait(10)


def start(folder: Path, name: str, *arguments: str) -> "subprocess.Popen[bytes]":
    binary = program(name)
    assert binary is not None
    dies_with_us = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [*dies_with_us, str(binary), *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.defpath},
        )


def await_ready(plane: ControlPlane, server: "subprocess.Popen[bytes]") -> None:
    import requests

    began = time.monotonic()
    while True:
        log = (plane.folder / "kube-apiserver.log").read_text(errors="replace")[-3000:]
        assert server.poll() is None, log
        assert time.monotonic() - began < START_S, log
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{plane.server}/readyz", verify=str(plane.folder / "ca.crt"), timeout=5).text == "ok":
                return
        time.sleep(0.1)


@dataclass
class KubernetesHouse:
    """The tools of one estate whose kubeconfigs the operator put there; calls numbered one after the other."""

    data: Path
    plane: ControlPlane
    secrets: set[str] = field(default_factory=set[str])
    scope: Scope = field(default_factory=lambda: scope(mission(estate=ESTATE)))
    watch: FakeWatch = field(default_factory=FakeWatch)
    locks: MemoryLocks = field(default_factory=MemoryLocks)
    calls: int = 0

    def __post_init__(self) -> None:
        self.estates = Estates(self.data, self.data / "none")
        self.put("view", self.plane.kubeconfig("watchbill-view"))
        self.put("write", self.plane.kubeconfig("kubernetes-admin", "system:masters"))
        self.clusters = Clusters(Kubeconfigs(self.estates, self.roster, Connections(None), self.learn))

    def put(self, purpose: str, text: str) -> None:
        folder = self.estates.named(ESTATE).root / "kubernetes"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"{purpose}.conf"
        path.write_text(text)
        path.chmod(0o600)

    def roster(self, estate: str) -> Roster:
        return Roster(self.estates.named(estate).root / "hosts")

    def learn(self, *secrets: str) -> None:
        self.secrets.update(secrets)

    @property
    def admin(self) -> Api:
        """For what a test finds there before the crew comes."""
        return self.clusters.write(ESTATE)

    @property
    def read(self) -> KubernetesRead:
        return KubernetesRead(self.clusters)

    @property
    def apply(self) -> KubernetesApply:
        return KubernetesApply(self.clusters, self.estates, self.locks)

    @property
    def change(self) -> KubernetesChange:
        return KubernetesChange(self.clusters, self.estates, self.locks)

    async def write(self, path: str, text: str) -> None:
        """A file of the mission's code."""
        tree = await self.estates.named(ESTATE).open(str(self.scope.mission.id))
        (tree / path).write_text(text)

    def make(self, text: str) -> None:
        """Create objects as somebody else would have."""
        for thing in yaml.safe_load_all(text):
            resource = self.admin.resource(thing["kind"], thing["apiVersion"])
            self.admin.ask("POST", resource.path(thing["metadata"].get("namespace", "")), body=thing)

    def set_status(self, kind: str, namespace: str, name: str, status: dict[str, Any]) -> None:
        """What kubelets and controllers would report."""
        path = self.admin.resource(kind).path(namespace, name, "status")
        self.admin.ask("PATCH", path, body={"status": status}, kind="application/merge-patch+json")

    async def prepare(self, tool: TypedTool[Any], **arguments: Json) -> Prepared | Cannot:
        self.calls += 1
        made = replace(call(tool.name, number=self.calls), arguments=arguments)
        return await tool.prepare(made, tool.parse(arguments), self.scope)

    async def use(self, tool: TypedTool[Any], **arguments: Json) -> ToolResult:
        """Prepare, look at the pins again and run, as the gate does; a refusal is a failed test."""
        prepared = await self.prepare(tool, **arguments)
        assert isinstance(prepared, Prepared), prepared
        return await self.run(tool, prepared)

    async def run(self, tool: TypedTool[Any], prepared: Prepared) -> ToolResult:
        parsed = tool.parse(prepared.call.arguments)
        assert dict(await tool.pins(prepared, parsed)) == dict(prepared.pins)
        return (await tool.run(prepared, parsed, self.scope, self.watch)).result

    async def refuse(self, tool: TypedTool[Any], **arguments: Json) -> str:
        prepared = await self.prepare(tool, **arguments)
        assert isinstance(prepared, Cannot), prepared
        return prepared.text


BASIS = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: watchbill-view}  # as `view` is: its rules are put together by a controller that does not run here
rules:
- {apiGroups: [""], resources: [pods, pods/log, events, services, configmaps, namespaces, nodes], verbs: [get, list, watch]}
- {apiGroups: [apps], resources: [deployments, statefulsets, daemonsets, replicasets], verbs: [get, list, watch]}
- {apiGroups: [apps], resources: [deployments/scale, statefulsets/scale], verbs: [get]}
- {apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [get, list, watch]}
- {apiGroups: [policy], resources: [poddisruptionbudgets], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: watchbill-view}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: watchbill-view}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: watchbill-view}]
"""


def node(name: str, *, ready: bool = True, plane: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """A node as a kubelet registers it, and what it reports."""
    labels = {"node-role.kubernetes.io/control-plane": ""} if plane else {}
    status = {
        "conditions": [{"type": "Ready", "status": "True" if ready else "False", "reason": "KubeletReady", "message": "",
                        "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        "addresses": [{"type": "InternalIP", "address": "192.168.178.21"}],
        "nodeInfo": {"kubeletVersion": "v1.33.13", "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "6",
                     "osImage": "", "containerRuntimeVersion": "", "kubeProxyVersion": "", "operatingSystem": "linux",
                     "architecture": "amd64"},
    }  # fmt: skip
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}, status


def pod(
    name: str,
    *,
    namespace: str = "web",
    on: str = "cp1",
    owner: str = "ReplicaSet",
    labels: dict[str, str] | None = None,
) -> dict[str, Any]:
    owners: list[dict[str, Any]] = (
        [{"apiVersion": "apps/v1", "kind": owner, "name": "web", "uid": "1", "controller": True}] if owner else []
    )
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "ownerReferences": owners, "labels": labels or {"app": "web"}},
        "spec": {"nodeName": on, "containers": [{"name": "web", "image": "lab.local/hello:1"}], "terminationGracePeriodSeconds": 0},
    }  # fmt: skip


def add(house: KubernetesHouse, *things: dict[str, Any]) -> None:
    house.make("\n---\n".join(json.dumps(one) for one in things))
