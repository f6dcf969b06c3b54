"""The official Kubernetes client behind one small typed wrapper: bounded requests, errors in words. Blocking; run it in threads.

The untyped library stops here. It is imported on first use: a second of imports that only clusters need.
"""
# kubernetes-client types its requests as Any:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast
from urllib.parse import quote, urlencode, urlsplit

from cryptography import x509

from tools.kubeconfig import Access, Kubeconfigs, Purpose

ANSWER_S: Final = 15.0
CONNECT_S: Final = 4.0
LARGEST: Final = 24_000_000  # bytes of one answer
KNOWN_S: Final = 60.0  # a discovery is asked for again after this
NAME: Final = r"^[a-zA-Z0-9]([-a-zA-Z0-9.:]{0,251}[a-zA-Z0-9])?$"
MERGE: Final = "application/merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"
USUAL: Final = (
    "v1", "apps/v1", "batch/v1", "networking.k8s.io/v1", "policy/v1", "rbac.authorization.k8s.io/v1", "storage.k8s.io/v1",
    "autoscaling/v2", "apiextensions.k8s.io/v1", "coordination.k8s.io/v1", "discovery.k8s.io/v1", "scheduling.k8s.io/v1",
    "certificates.k8s.io/v1", "admissionregistration.k8s.io/v1",
)  # fmt: skip
Fields = Mapping[str, Any]


class KubernetesError(Exception):
    """The cluster did not answer as hoped. `status` is HTTP's (0: it could not be asked), `reason` Kubernetes' own word."""

    def __init__(self, text: str, status: int = 0, reason: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of the cluster."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str = "", name: str = "", sub: str = "") -> str:
        parts = ["api" if "/" not in self.api_version else "apis", *self.api_version.split("/")]
        parts += ["namespaces", namespace] if self.namespaced and namespace else []
        parts += [part for part in (self.plural, name, sub) if part]
        return "/" + "/".join(quote(part, safe="") for part in parts)


class Api:
    """One cluster through one kubeconfig. Threads may share it."""

    def __init__(self, kubeconfigs: Kubeconfigs, estate: str, purpose: Purpose) -> None:
        self._kubeconfigs = kubeconfigs
        self._estate = estate
        self._purpose: Purpose = purpose
        self._lock = threading.Lock()
        self._access: Access | None = None
        self._client: Any = None
        self._kinds: dict[str, tuple[float, list[Resource]]] = {}

    @property
    def access(self) -> Access:
        """Raises KubeconfigError."""
        return self._opened()[0]

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """A JSON answer. Raises KubernetesError, KubeconfigError."""
        return self.ask("GET", path, query)

    def ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None,
        kind: str = "application/json", timeout_s: float = ANSWER_S,
    ) -> dict[str, Any]:  # fmt: skip
        _, said = self.raw(method, path, query, body, kind, timeout_s)
        try:
            return cast("dict[str, Any]", json.loads(said))
        except ValueError:
            raise KubernetesError(f"{path} answered with something that is no JSON") from None

    def raw(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None,
        kind: str = "application/json", timeout_s: float = ANSWER_S, *, bears: Sequence[int] = (),
    ) -> tuple[int, bytes]:  # fmt: skip
        """Status and body; a status of 400 and more raises but for those in `bears`."""
        access, client = self._opened()
        try:
            status, said = _send(client, method, access.server + _with(path, query), body, kind, timeout_s)
        except _StaleError as error:
            fresh = self._kubeconfigs.renewed(self._estate, self._purpose, access)
            if fresh is None:
                raise KubernetesError(str(error)) from None
            return self._again(fresh, method, path, query, body, kind, timeout_s, bears)
        if status == 401 and (fresh := self._kubeconfigs.renewed(self._estate, self._purpose, access)) is not None:
            return self._again(fresh, method, path, query, body, kind, timeout_s, bears)
        return _checked(status, said, bears)

    def _again(
        self, fresh: Access, method: str, path: str, query: Any, body: Any, kind: str, timeout_s: float, bears: Any
    ) -> tuple[int, bytes]:
        """The cluster was made anew, or its certificates were rotated: once more, as it is now."""
        with self._lock:
            self._access, self._client, self._kinds = fresh, self._connect(fresh), {}
            client = self._client
        try:
            status, said = _send(client, method, fresh.server + _with(path, query), body, kind, timeout_s)
        except _StaleError as error:
            raise KubernetesError(str(error)) from None
        return _checked(status, said, bears)

    def resource(self, kind: str, api_version: str = "") -> Resource:
        """By kind, plural or short name, whatever the case. Raises KubernetesError where the cluster has none."""
        for version in (api_version,) if api_version else USUAL:
            found = self._find(version, kind)
            if found is not None:
                return found
        if not api_version:
            groups = cast("list[Fields]", self.get("/apis").get("groups") or [])
            others = [str(group["preferredVersion"]["groupVersion"]) for group in groups]
            for version in (one for one in others if one not in USUAL):
                found = self._find(version, kind)
                if found is not None:
                    return found
        where = f" in {api_version}" if api_version else ""
        raise KubernetesError(f"The cluster has no kind {kind!r}{where}.", 404, "UnknownKind")

    def _find(self, version: str, wanted: str) -> Resource | None:
        known = self._kinds.get(version)
        if known is None or known[0] < time.monotonic():
            known = (time.monotonic() + KNOWN_S, self._discover(version))
            self._kinds[version] = known
        folded = wanted.casefold()
        return next((one for one in known[1] if folded in {one.kind.casefold(), one.plural}), None)

    def _discover(self, version: str) -> list[Resource]:
        try:
            said = self.get(f"/{'apis' if '/' in version else 'api'}/{version}")
        except KubernetesError as error:
            if error.status == 404:
                return []
            raise
        rows = cast("list[Fields]", said.get("resources") or [])
        return [
            Resource(version, str(r["kind"]), str(r["name"]), bool(r["namespaced"]))
            for r in rows
            if "/" not in str(r["name"])
        ]

    def _opened(self) -> tuple[Access, Any]:
        with self._lock:
            access = self._kubeconfigs.held(self._estate, self._purpose)
            if self._client is None or self._access is None or self._access.mark != access.mark:
                self._access, self._client, self._kinds = access, self._connect(access), {}
            return access, self._client

    def _connect(self, access: Access) -> Any:
        api_client, configuration = load_client()
        settings: Any = configuration(host=access.server, ca_cert_data=access.ca, retries=cast("Any", False))
        settings.proxy = None
        settings.connection_pool_maxsize = 8
        if access.certificate and not access.token:
            settings.cert_file = str(self._kubeconfigs.pem(self._estate, self._purpose, access))
        client: Any = api_client(settings)
        client.user_agent = "watchbill"
        if access.token:
            client.set_default_header("Authorization", f"Bearer {access.token}")
        return client


@dataclass(frozen=True)
class Clusters:
    """The cluster of each estate, for reading and, by itself, for writing."""

    kubeconfigs: Kubeconfigs
    _open: dict[tuple[str, Purpose], Api] = field(default_factory=dict[tuple[str, Purpose], Api], repr=False)

    def view(self, estate: str) -> Api:
        return self._api(estate, "view")

    def write(self, estate: str) -> Api:
        """For calls that people approved, and nothing else."""
        return self._api(estate, "write")

    def _api(self, estate: str, purpose: Purpose) -> Api:
        return self._open.setdefault((estate, purpose), Api(self.kubeconfigs, estate, purpose))


def load_client() -> tuple[Any, Any]:
    """The library's client and its settings."""
    from kubernetes.client import ApiClient, Configuration  # noqa: PLC0415 # a second of imports

    return ApiClient, Configuration


def server_certificate_end(server: str, timeout_s: float = CONNECT_S) -> datetime | None:
    """When the certificate that the server shows ends; also an expired one's, so nothing is verified or sent here."""
    parts = urlsplit(server)
    look = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    look.check_hostname, look.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((parts.hostname or "", parts.port or 443), timeout_s) as there,
            look.wrap_socket(there, server_hostname=parts.hostname) as secured,
        ):
            shown = secured.getpeercert(binary_form=True)
    except OSError:
        return None
    return x509.load_der_x509_certificate(shown).not_valid_after_utc if shown else None


def certificate_end(pem: str) -> datetime | None:
    """When a client certificate ends; None for a token."""
    return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc if pem else None


def days_left(end: datetime | None, now: datetime) -> int | None:
    return None if end is None else (end.astimezone(UTC) - now).days


class _StaleError(Exception):
    """The server's certificate does not verify with this kubeconfig."""


def _send(client: Any, method: str, url: str, body: Any, kind: str, timeout_s: float) -> tuple[int, bytes]:
    import urllib3.exceptions as wrong  # noqa: PLC0415 # comes with the client
    from kubernetes.client.exceptions import ApiException  # noqa: PLC0415

    headers = {"Accept": "application/json, */*", "Content-Type": kind, **client.default_headers}
    host = urlsplit(url).netloc
    try:
        answer: Any = client.call_api(
            method, url, headers, body, _request_timeout=(min(CONNECT_S, timeout_s), timeout_s)
        )
        said: bytes = answer.response.read(LARGEST + 1)
        answer.response.close() if len(said) > LARGEST else answer.response.release_conn()
    except (wrong.SSLError, ApiException) as error:  # the client makes the one of the other, sometimes
        words = re.sub(
            r"\s*\(_ssl\.c:\d+\)|^.*SSLError\s*|[\[(]SSL[^\]]*\]\s*", "", str(error), flags=re.DOTALL
        ).strip()
        if "certificate" in str(error).casefold():
            raise _StaleError(
                f"TLS with {host} failed: {words}. Did a certificate expire, or was the cluster made anew?"
            ) from None
        raise KubernetesError(f"TLS with {host} failed: {words}") from None
    except wrong.NewConnectionError as error:  # is a kind of TimeoutError
        raise KubernetesError(f"{host} cannot be reached: {_cause(error)}.") from None
    except wrong.TimeoutError:
        raise KubernetesError(f"{host} did not answer within {timeout_s:.0f} s.") from None
    except (wrong.HTTPError, OSError) as error:
        raise KubernetesError(f"{host} cannot be reached: {_cause(error)}.") from None
    if len(said) > LARGEST:
        raise KubernetesError(
            f"The answer is larger than {LARGEST // 1_000_000} MB: narrow it (namespace, selector, name)."
        )
    return int(answer.status), said


def _cause(error: Exception) -> str:
    found = re.search(r"\[Errno -?\d+\] ([\w ]+)", str(error))
    return found[1] if found else type(error).__name__


def _checked(status: int, said: bytes, bears: Sequence[int]) -> tuple[int, bytes]:
    if status < 400 or status in bears:
        return status, said
    try:
        about = json.loads(said)
        message, reason = str(about.get("message") or ""), str(about.get("reason") or "")
    except (ValueError, AttributeError):
        message, reason = said.decode(errors="replace")[:300], ""
    if status == 401:
        message = (
            "the cluster does not take the kubeconfig that is held (401). Its certificate or token may have expired"
        )
    elif status == 403:
        message = f"not allowed by the cluster's RBAC: {message}"
    raise KubernetesError(message or f"HTTP {status}", status, reason)


def _with(path: str, query: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path
