"""Who calls and what they may do: tokens, tickets, roles and the access list of Proxmox VE 9."""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.lab.proxmox.answers import Refused, forbidden

_VM_AUDIT = {"VM.Audit", "VM.GuestAgent.Audit"}
_VM_USE = {
    "VM.Backup",
    "VM.Config.CDROM",
    "VM.Config.Cloudinit",
    "VM.Console",
    "VM.GuestAgent.FileRead",
    "VM.GuestAgent.FileSystemMgmt",
    "VM.GuestAgent.FileWrite",
    "VM.PowerMgmt",
}
_VM_ADMIN = {
    "VM.Allocate",
    "VM.Clone",
    "VM.Config.CPU",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.GuestAgent.Unrestricted",
    "VM.Migrate",
    "VM.Replicate",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
}
_AUDIT = _VM_AUDIT | {"Datastore.Audit", "Mapping.Audit", "Pool.Audit", "SDN.Audit", "Sys.Audit"}
_DATACENTRE = {
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Group.Allocate",
    "Mapping.Modify",
    "Mapping.Use",
    "Permissions.Modify",
    "Pool.Allocate",
    "Realm.AllocateUser",
    "SDN.Allocate",
    "SDN.Use",
    "Sys.Console",
    "Sys.Syslog",
    "User.Modify",
}
_ROOT = {"Realm.Allocate", "Sys.AccessNetwork", "Sys.Incoming", "Sys.Modify", "Sys.PowerMgmt"}

ROLES: dict[str, frozenset[str]] = {
    "Administrator": frozenset(_AUDIT | _VM_USE | _VM_ADMIN | _DATACENTRE | _ROOT),
    "PVEAdmin": frozenset(_AUDIT | _VM_USE | _VM_ADMIN | _DATACENTRE),
    "PVEAuditor": frozenset(_AUDIT),
    "PVEVMAdmin": frozenset(_VM_AUDIT | _VM_USE | _VM_ADMIN),
    "PVEVMUser": frozenset(_VM_AUDIT | _VM_USE),
    "GuestFiles": frozenset({"VM.GuestAgent.FileRead"}),  # a role of the lab's operator, as one makes with pveum
    "NoAccess": frozenset(),
}
TREES = ("/", "/access", "/mapping", "/nodes", "/pool", "/sdn", "/storage", "/vms")
# One entry for the user and one for each token: privsep makes a token's rights the meeting of both.
USERS: dict[str, str] = {"root@pam": "Administrator", "audit@pve": "PVEAuditor", "builder@pve": "PVEAdmin",
                         "keys@pve": "GuestFiles"}  # fmt: skip
AUDIT_USER = "audit@pve"


@dataclass(frozen=True)
class Caller:
    """`identity` is what Proxmox writes into a UPID: user@realm or user@realm!token."""

    identity: str
    role: str

    @property
    def user(self) -> str:
        return self.identity.partition("!")[0]

    def may(self, *privileges: str) -> bool:
        return bool(set(privileges) & ROLES[self.role])

    def require(self, path: str, *privileges: str) -> None:
        """Any of the privileges will do. All roles of this lab are granted on /."""
        if not self.may(*privileges):
            raise forbidden(path, "|".join(privileges))


class Doorman:
    """Checks a call's credentials against the tokens of the state and the tickets of this run."""

    def __init__(self, state: dict[str, Any]) -> None:
        self._state = state
        self._tickets: dict[str, tuple[str, str]] = {}

    def identify(self, method: str, headers: Mapping[str, str], cookies: Mapping[str, str]) -> Caller:
        scheme, _, credential = headers.get("Authorization", "").partition("=")
        if scheme == "PVEAPIToken":
            return self._identify_token(credential)
        ticket = cookies.get("PVEAuthCookie")
        if not ticket:
            raise Refused(401, "No ticket")
        user, csrf = self._tickets.get(ticket, ("", ""))
        if not user:
            raise Refused(401, "permission denied - invalid PVE ticket")
        if method != "GET" and headers.get("CSRFPreventionToken") != csrf:
            raise Refused(401, "Permission denied - invalid csrf token")
        return Caller(user, USERS[user])

    def open_ticket(self, user: str, password: str) -> dict[str, Any]:
        expected = self._state["passwords"].get(user)
        if expected is None or not hmac.compare_digest(expected.encode(), password.encode()):
            raise Refused(401, "authentication failure")
        ticket = f"PVE:{user}:{secrets.token_hex(4).upper()}::{secrets.token_urlsafe(48)}"
        csrf = f"{secrets.token_hex(4).upper()}:{secrets.token_urlsafe(24)}"
        self._tickets[ticket] = (user, csrf)
        return {"username": user, "ticket": ticket, "CSRFPreventionToken": csrf, "clustername": "lab"}

    def _identify_token(self, credential: str) -> Caller:
        identity, _, value = credential.partition("=")
        user, bang, token = identity.partition("!")
        if not bang or user not in USERS:
            raise Refused(401, f"no such user ('{user}')" if bang else "authentication failure")
        known = self._state["tokens"].get(identity)
        if known is None:
            raise Refused(401, f"no such token '{token}' for user '{user}'")
        if not hmac.compare_digest(known["value"].encode(), value.encode()):
            raise Refused(401, "invalid token value!")
        return Caller(identity, known.get("role", USERS[user]))
