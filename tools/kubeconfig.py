"""The two kubeconfigs of an estate's cluster: one that only reads, one that writes and is opened for approved calls only.

They lie in the estate's folder, 0600, where no tool writes: `<estate>/kubernetes/view.conf` and `write.conf`. The operator
puts them there, or they are taken over SSH, with pinned keys, from the first control plane of the inventory. Nothing here
is ever shown: secret parts go to the redactor before anything else happens.
"""

import base64
import binascii
import hashlib
import shlex
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tools.estate import Estates
from tools.folder import Folder
from tools.hosts import Host, HostsFileError, Roster
from tools.ssh_connection import Bounds, Connections, Interrupt, SshError

Purpose = Literal["view", "write"]
PLACES: Final[dict[Purpose, str]] = {
    "view": "/etc/kubernetes/watchbill-view.conf",
    "write": "/etc/kubernetes/admin.conf",
}
GROUP: Final = "control_plane"
LARGEST: Final = 200_000  # bytes of a kubeconfig
TAKE_S: Final = 20.0
ADVICE: Final = "The operator can put it there (mode 0600), or a host of the group control_plane gives it over SSH."


class KubeconfigError(Exception):
    """No cluster can be reached with what is held. The text says why and who mends it."""


@dataclass(frozen=True, slots=True)
class Access:
    """One kubeconfig, read. PEM texts; `source` is the operator or the host that it was taken from."""

    server: str
    ca: str = field(repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    source: str = "operator"

    @property
    def mark(self) -> str:
        """The same for the same access: names files and connections made of it."""
        parts = f"{self.server}\x00{self.ca}\x00{self.certificate}\x00{self.key}\x00{self.token}"
        return hashlib.sha256(parts.encode()).hexdigest()[:16]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Cluster(_Part):
    server: Annotated[str, Field(pattern=r"^https://")]
    ca: Annotated[str, Field(alias="certificate-authority-data")]


class _User(_Part):
    certificate: Annotated[str, Field(alias="client-certificate-data")] = ""
    key: Annotated[str, Field(alias="client-key-data")] = ""
    token: str = ""


class _Context(_Part):
    cluster: str
    user: str
    namespace: str = ""


class _NamedCluster(_Part):
    name: str
    cluster: _Cluster


class _NamedUser(_Part):
    name: str
    user: _User


class _NamedContext(_Part):
    name: str
    context: _Context


class _File(BaseModel):
    """What is taken of a kubeconfig. Programs (`exec`), other files, proxies and unchecked certificates are not."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    clusters: list[_NamedCluster]
    users: list[_NamedUser]
    contexts: list[_NamedContext]
    current: Annotated[str, Field(alias="current-context")]


def parse(text: str, source: str = "operator") -> Access:
    """The current context of a kubeconfig. Raises KubeconfigError, never with the file's own words in it."""
    try:
        file = _File.model_validate(yaml.safe_load(text))
        context = next(one.context for one in file.contexts if one.name == file.current)
        cluster = next(one.cluster for one in file.clusters if one.name == context.cluster)
        user = next(one.user for one in file.users if one.name == context.user)
        access = Access(
            cluster.server.rstrip("/"), _plain(cluster.ca), _plain(user.certificate), _plain(user.key), user.token, source
        )  # fmt: skip
    except ValidationError as error:
        wrong = "; ".join(".".join(str(part) for part in e["loc"]) + f": {e['type']}" for e in error.errors())
        raise KubeconfigError(
            f"the kubeconfig from {source} cannot be used ({wrong}): it needs https, certificate-authority-data, and a token "
            "or client-certificate-data with client-key-data; exec, auth-provider and files are not taken"
        ) from None
    except StopIteration:
        raise KubeconfigError(f"the kubeconfig from {source} names no whole current-context") from None
    except (yaml.YAMLError, ValueError):
        raise KubeconfigError(f"the kubeconfig from {source} is damaged") from None
    if not (access.token or (access.certificate and access.key)):
        raise KubeconfigError(f"the kubeconfig from {source} has neither a token nor a client certificate with its key")
    return access


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _plain(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("no base64") from None


@dataclass(frozen=True)
class Kubeconfigs:
    """All estates' kubeconfigs. `learn` gets every secret part before an Access is given out. Blocking."""

    estates: Estates
    roster_of: Callable[[str], Roster]
    connections: Connections
    learn: Callable[..., None]
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _learned: set[str] = field(default_factory=set[str], repr=False)

    def held(self, estate: str, purpose: Purpose) -> Access:
        """What is held, taken over SSH where nothing is yet. Raises KubeconfigError."""
        with self._lock:
            text = self._read(estate, purpose)
            if text is None:
                return self._take(estate, purpose)
            return self._known(text, self._source(estate, purpose))

    def renewed(self, estate: str, purpose: Purpose, old: Access) -> Access | None:
        """Taken anew, where an earlier one was taken and the cluster no longer accepts it; None: the same or the operator's."""
        with self._lock:
            if self._source(estate, purpose) == "operator":
                return None
            try:
                new = self._take(estate, purpose)
            except KubeconfigError:
                return None
        return new if new.mark != old.mark else None

    def folder(self, estate: str) -> Path:
        return self.estates.named(estate).root / "kubernetes"

    def pem(self, estate: str, purpose: Purpose, access: Access) -> Path:
        """A file with certificate and key, as TLS libraries want it; the one of an earlier access goes."""
        folder, name = self._folder(estate), f"{purpose}-{access.mark}.pem"
        for old in folder.root.glob(f"{purpose}-*.pem"):
            if old.name != name:
                folder.delete(old.name)
        if not (folder.root / name).exists():
            folder.write(name, f"{access.certificate}\n{access.key}\n".encode(), mode=0o600)
        return folder.root / name

    def _known(self, text: str, source: str) -> Access:
        access = parse(text, source)
        if access.mark in self._learned:
            return access
        lines = [line for line in access.key.splitlines() if len(line) >= 16 and not line.startswith("-----")]
        packed = base64.b64encode(access.key.encode()).decode() if access.key else ""
        self.learn(*(one for one in (access.token, access.key, packed, *lines) if one))
        self._learned.add(access.mark)
        return access

    def _folder(self, estate: str) -> Folder:
        path = self.folder(estate)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
        return Folder(path)

    def _read(self, estate: str, purpose: Purpose) -> str | None:
        path = self.folder(estate) / f"{purpose}.conf"
        if not path.is_file():
            return None
        if path.stat().st_mode & 0o077:
            raise KubeconfigError(f"{path} can be read by others: chmod 0600")
        try:
            return path.read_bytes()[:LARGEST].decode()
        except UnicodeDecodeError:
            raise KubeconfigError(f"{path} is no text") from None

    def _source(self, estate: str, purpose: Purpose) -> str:
        """The host that the file was taken from; the operator, where it is another file than was taken."""
        folder = self.folder(estate)
        note, kept = folder / f"{purpose}.from", folder / f"{purpose}.conf"
        host, _, taken = note.read_text().strip().partition(" ") if note.is_file() else ("", "", "")
        return host if host and kept.is_file() and _sha256(kept.read_bytes()) == taken else "operator"

    def _take(self, estate: str, purpose: Purpose) -> Access:
        """From the first control plane that has it. A changed host key ends it, as everywhere."""
        try:
            hosts = self.roster_of(estate).hosts()
        except HostsFileError as error:
            raise KubeconfigError(str(error)) from None
        planes = [host for _, host in sorted(hosts.items()) if GROUP in host.groups]
        place = self.folder(estate) / f"{purpose}.conf"
        if not planes:
            raise KubeconfigError(
                f"No kubeconfig is held for estate {estate} ({place}). {ADVICE} There is no such host yet."
            )
        problems: list[str] = []
        for host in planes:
            text = self._fetch(host, PLACES[purpose])
            if text.startswith("problem:"):
                problems.append(f"{host.name}: {text.removeprefix('problem:')}")
                continue
            access = self._known(text, host.name)
            folder = self._folder(estate)
            folder.write(place.name, text.encode(), mode=0o600)
            folder.write(f"{purpose}.from", f"{host.name} {_sha256(text.encode())}\n".encode(), mode=0o600)
            return access
        raise KubeconfigError(f"{PLACES[purpose]} could not be taken: {'; '.join(problems)}. {ADVICE}")

    def _fetch(self, host: Host, path: str) -> str:
        """The file's text, or `problem:` and why not."""
        sudo: Any = () if host.user == "root" else ("sudo", "-n")
        try:
            ran = self.connections.run(host, shlex.join((*sudo, "cat", path)), Bounds(TAKE_S, TAKE_S), Interrupt())
        except SshError as error:
            return f"problem:{error}"
        if ran.why != "exit" or ran.code != 0 or not ran.stdout.size:
            return f"problem:{ran.stderr.text.strip()[:200] or ran.why}"
        return ran.stdout.text
