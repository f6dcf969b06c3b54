"""The estate's inventory and pinned host keys (rule 25): which hosts may be reached at all, where, as whom, with which key.

Two sources and no third. The operator's file (policies/hosts.yaml), and machines of an applied, approved plan, which the
gate reads through the Proxmox API. Nothing is learned from a first connection, from Terraform outputs or from an agent.
"""

import base64
import fcntl
import hashlib
import ipaddress
import json
import os
import re
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bot.domain.ids import Json
from tools.confine import write_whole

NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
USER: Final = r"^[a-z_][a-z0-9_-]{0,31}$"
KEY_KINDS: Final = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
PYTHONS: Final = ("/usr/bin/python3", "/usr/local/bin/python3")  # the distribution's, whatever PATH says on the host
NOT_A_GROUP: Final = re.compile(r"[^A-Za-z0-9_]")


class HostsFileError(Exception):
    """The operator's file or the estate's list cannot be used. The text names the place and the mend."""


@dataclass(frozen=True, slots=True)
class Host:
    """One host that may be reached. `keys`: public host keys, `kind base64`. `source`: who says so; `directory`: of
    the plan's code, where a plan made it.
    """

    name: str
    address: str
    user: str
    keys: tuple[str, ...]
    port: int = 22
    groups: tuple[str, ...] = ()
    source: str = "operator"
    directory: str = ""
    vmid: int = 0
    node: str = ""

    @property
    def fingerprints(self) -> tuple[str, ...]:
        return tuple(fingerprint(key) for key in self.keys)

    @property
    def place(self) -> str:
        """As people read it: `debian@192.168.178.21`, with the port where it is another than 22."""
        return f"{self.user}@{self.address}" + (f":{self.port}" if self.port != 22 else "")

    @property
    def known_as(self) -> str:
        """How known_hosts files name it."""
        return self.address if self.port == 22 else f"[{self.address}]:{self.port}"

    @property
    def pins(self) -> dict[str, str]:
        """What an approval of a call on this host is bound to."""
        return {f"host.{self.name}": self.place, f"host_key.{self.name}": " ".join(self.fingerprints)}


@dataclass(frozen=True, slots=True)
class Awaited:
    """A machine of an applied plan whose address and host key were not read yet. `problem`: why not."""

    name: str
    vmid: int
    node: str
    plan: str
    directory: str
    problem: str = "not asked yet"


@dataclass(frozen=True, slots=True)
class Guest:
    """What Proxmox says of a running machine."""

    address: str
    user: str
    keys: tuple[str, ...]
    groups: tuple[str, ...]


GuestLook = Callable[[str, int], Guest | str]
"""Node and vmid → what the machine is, or why that cannot be said. Blocking."""


def fingerprint(key: str) -> str:
    """`SHA256:…` of a public key, as ssh-keygen writes it."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def check_key(line: str) -> str:
    """`kind base64` of a public key line, its comment left out. Raises ValueError."""
    parts = line.split()
    if len(parts) < 2 or parts[0] not in KEY_KINDS:
        raise ValueError(f"a host key begins with one of {', '.join(KEY_KINDS)}")
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except ValueError:
        raise ValueError("the host key is no base64") from None
    inner = int.from_bytes(blob[:4], "big") if len(blob) > 4 else 0
    if blob[4 : 4 + inner].decode(errors="replace") != parts[0]:
        raise ValueError(f"the host key is not of the kind {parts[0]} that it names")
    return f"{parts[0]} {parts[1]}"


class HostEntry(BaseModel):
    """One host of policies/hosts.yaml as written."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    address: str
    user: Annotated[str, Field(pattern=USER)]
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    groups: list[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]] = []
    keys: Annotated[list[str], Field(min_length=1)]

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        return str(ipaddress.ip_address(value))

    @field_validator("keys")
    @classmethod
    def _are_keys(cls, value: list[str]) -> list[str]:
        return [check_key(line) for line in value]


class HostsFile(BaseModel):
    """policies/hosts.yaml as written."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    hosts: dict[str, HostEntry] = {}

    @field_validator("hosts")
    @classmethod
    def _have_names(cls, value: dict[str, HostEntry]) -> dict[str, HostEntry]:
        for name in value:
            if not NAME.fullmatch(name) or name in {"all", "ungrouped", "localhost"}:
                raise ValueError(f"{name!r} is no host's name")
        return value


def read_hosts_file(path: Path | None) -> dict[str, Host]:
    """The operator's hosts; none where there is no file. Raises HostsFileError."""
    if path is None or not path.exists():
        return {}
    try:
        written = HostsFile.model_validate(yaml.safe_load(path.read_text()) or {})
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise HostsFileError(f"{path}: {' '.join(str(error).split())[:300]}") from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors())
        raise HostsFileError(f"{path}: {wrong}") from None
    return {
        name: Host(name, e.address, e.user, tuple(e.keys), e.port, tuple(e.groups)) for name, e in written.hosts.items()
    }


@dataclass(frozen=True, slots=True)
class Roster:
    """The hosts of one estate. `folder` is the estate's own and no tool writes there; `look` asks Proxmox."""

    folder: Path
    operator_file: Path | None = None
    look: GuestLook | None = None

    def hosts(self) -> dict[str, Host]:
        """Every host with a pinned key, by name. The operator's word goes first. Raises HostsFileError."""
        known, _ = self._read()
        return {**known, **read_hosts_file(self.operator_file)}

    def awaited(self) -> tuple[Awaited, ...]:
        return self._read()[1]

    def note_apply(
        self, directory: str, plan: str, machines: Sequence[tuple[str, int, str]], fresh: Collection[int]
    ) -> None:
        """After an approved plan was applied in `directory`: `machines` (name, vmid, node) are all that its state now
        holds, `fresh` the vmids that this apply made. What is gone or was made anew loses its pin here, and only here.
        """
        with self._alone():
            known, awaited = self._read()
            there = {vmid: (name, node) for name, vmid, node in machines if vmid and NAME.fullmatch(name)}
            mark = f"plan {plan[:12]}"
            kept = {n: h for n, h in known.items() if _stays(h, there, directory, fresh)}
            pinned = {host.vmid for host in kept.values()}
            waiting = [a for a in awaited if a.directory != directory]
            for vmid, (name, node) in there.items():
                if vmid not in pinned:
                    waiting.append(Awaited(name, vmid, node, mark, directory))
            self._write(kept, waiting)

    def fill(self) -> tuple[str, ...]:
        """Ask Proxmox for every awaited machine. Returns one line for each that was pinned now. Blocking."""
        lines: list[str] = []
        if self.look is None or not self.awaited():
            return ()
        found = {a: self.look(a.node, a.vmid) for a in self.awaited()}
        with self._alone():
            known, awaited = self._read()
            left: list[Awaited] = []
            for one in awaited:
                guest = found.get(one, "not asked yet")
                problem = guest if isinstance(guest, str) else self._clash(one, guest, known)
                if problem or isinstance(guest, str):
                    left.append(replace(one, problem=problem))
                    continue
                groups = tuple(sorted({NOT_A_GROUP.sub("_", group) for group in guest.groups} - {"all", "ungrouped"}))
                host = Host(
                    one.name, guest.address, guest.user, guest.keys, groups=groups, source=one.plan,
                    directory=one.directory, vmid=one.vmid, node=one.node,
                )  # fmt: skip
                known[one.name] = host
                lines.append(f"{host.name} ({host.place}): host key {', '.join(host.fingerprints)} pinned")
            self._write(known, left)
        return tuple(lines)

    def _clash(self, one: Awaited, guest: Guest, known: Mapping[str, Host]) -> str:
        """Why this machine may not be known under this name and address, or ""."""
        others = {**known, **read_hosts_file(self.operator_file)}
        if one.name in others:
            return f"another host of the inventory is named {one.name}"
        twin = next((host.name for host in others.values() if host.address == guest.address), "")
        return f"it says its address is {guest.address}, which is {twin}'s" if twin else ""

    @property
    def _file(self) -> Path:
        return self.folder / "hosts.json"

    def _read(self) -> tuple[dict[str, Host], tuple[Awaited, ...]]:
        try:
            plain: Any = json.loads(self._file.read_text())
        except FileNotFoundError:
            return {}, ()
        except ValueError:
            raise HostsFileError(f"{self._file} is damaged: restore it from a backup; nothing is reached") from None
        rows: list[Any] = [
            {**row, "keys": tuple(row["keys"]), "groups": tuple(row["groups"])} for row in plain["hosts"]
        ]
        return {row["name"]: Host(**row) for row in rows}, tuple(Awaited(**row) for row in plain["awaited"])

    def _write(self, known: Mapping[str, Host], awaited: Sequence[Awaited]) -> None:
        write_whole(self._file, {"hosts": [asdict(h) for h in known.values()], "awaited": [asdict(a) for a in awaited]})

    @contextmanager
    def _alone(self) -> Generator[None]:
        """One writer, over all workers that share the folder."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        opened = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX)
            yield
        finally:
            os.close(opened)


def _stays(host: Host, there: Mapping[int, tuple[str, str]], directory: str, fresh: Collection[int]) -> bool:
    """Whether a pin outlives the apply: it is another directory's, or the same machine under the same name."""
    if host.directory != directory:
        return True
    return host.vmid not in fresh and there.get(host.vmid, ("", ""))[0] == host.name


def known_hosts(hosts: Collection[Host]) -> str:
    """The text of an OpenSSH known_hosts file."""
    return "".join(f"{host.known_as} {key}\n" for host in hosts for key in host.keys)


def inventory(hosts: Collection[Host], variables: Mapping[str, Json] = MappingProxyType({})) -> dict[str, Json]:
    """A static Ansible inventory (JSON is YAML): addresses, ports, users and groups; `variables` are every host's."""
    groups: dict[str, Json] = {}
    for group in sorted({group for host in hosts for group in host.groups}):
        groups[group] = {"hosts": {host.name: {} for host in hosts if group in host.groups}}
    every: dict[str, Json] = {
        host.name: {"ansible_host": host.address, "ansible_port": host.port, "ansible_user": host.user}
        for host in sorted(hosts, key=lambda host: host.name)
    }
    return {
        "all": {
            "hosts": every,
            "children": groups,
            "vars": {**variables, "ansible_interpreter_python_fallback": PYTHONS},
        }
    }


def not_listed(name: str, roster: Roster) -> str:
    """The words for a host that may not be reached: which may be, or why this one is not yet."""
    waiting = next((one for one in roster.awaited() if one.name == name), None)
    if waiting is not None:
        return (
            f"{name} is VM {waiting.vmid} of {waiting.plan}, but its host key is not pinned: {waiting.problem}. "
            "Try again when that is mended; a connection never pins a key."
        )
    listed = ", ".join(sorted(roster.hosts())) or "none"
    return (
        f"{name!r} is not in the estate's inventory ({listed}). Hosts come from an applied, approved plan or from "
        "the operator's policies/hosts.yaml; nothing else adds one."
    )
