"""What a running machine is, read through the Proxmox API and never over its network: address, user, groups, host key.

Addresses and tags come with the audit token, the host key with a token of its own, which may read files in guests
(VM.GuestAgent.FileRead) and nothing else. The agent inside says which addresses it has; where the approved plan gave
the machine a fixed one, it has to be that.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from tools.hosts import USER, Guest, check_key
from tools.proxmox_api import Cluster, ProxmoxError

KEY_FILES: Final = tuple(f"/etc/ssh/ssh_host_{kind}_key.pub" for kind in ("ed25519", "ecdsa", "rsa"))


@dataclass(frozen=True, slots=True)
class Guests:
    """`audit` reads configurations, `agent` host keys. `user`: who logs in where cloud-init names nobody."""

    audit: Cluster
    agent: Cluster
    user: str

    def look(self, node: str, vmid: int) -> Guest | str:
        """The machine, or why it cannot be known yet. Blocking."""
        if not self.agent.token:
            return "no token reads host keys: set WATCHBILL_PROXMOX_AGENT_TOKEN, or list it in policies/hosts.yaml"
        try:
            config = self.audit.get("nodes", node, "qemu", vmid, "config")
            address = _address(config, self.audit.get("nodes", node, "qemu", vmid, "agent", "network-get-interfaces"))
            if isinstance(address, _No):
                return address.why
            keys = self._keys(node, vmid)
        except ProxmoxError as error:
            return str(error)
        if isinstance(keys, _No):
            return keys.why
        user = str(config.get("ciuser") or self.user)
        if not re.fullmatch(USER, user):
            return f"cloud-init names the user {user!r}, which is no user's name"
        return Guest(address, user, keys, tuple(filter(None, re.split(r"[;, ]+", str(config.get("tags") or "")))))

    def _keys(self, node: str, vmid: int) -> "tuple[str, ...] | _No":
        """The first kind of host key there is. One kind only: a server is asked for exactly that one."""
        problem = ""
        for path in KEY_FILES:
            try:
                said = self.agent.get("nodes", node, "qemu", vmid, "agent", "file-read", file=path)
            except ProxmoxError as error:
                problem = problem or str(error)
                if "No such file" not in str(error):
                    break
                continue
            try:
                return (check_key(str(_mapping(said).get("content", ""))),)
            except ValueError as error:
                return _No(f"{path} in the machine: {error}")
        return _No(problem or "the machine has no host key yet")


@dataclass(frozen=True, slots=True)
class _No:  # a reason instead of an answer
    why: str


def _address(config: Any, interfaces: Any) -> str | _No:
    """The address that the plan gave the machine if the agent has it, else the agent's first own IPv4 address."""
    own = _own_addresses(interfaces)
    given = re.search(r"(?:^|,)ip=([0-9.]+)/", str(_mapping(config).get("ipconfig0") or ""))
    if given:
        address = str(ipaddress.ip_address(given.group(1)))
        return address if address in own else _No(f"it has {', '.join(own) or 'no address'}, not {address} as planned")
    return own[0] if own else _No("its guest agent has no address yet")


def _own_addresses(interfaces: Any) -> list[str]:
    found: list[str] = []
    listed = _mapping(interfaces).get("result") if isinstance(interfaces, Mapping) else interfaces
    for interface in cast("list[Any]", listed) if isinstance(listed, list) else []:
        for entry in cast("list[Any]", _mapping(interface).get("ip-addresses") or []):
            text = str(_mapping(entry).get("ip-address", ""))
            address = ipaddress.ip_address(text) if re.fullmatch(r"[0-9.]+", text) else None
            if address is not None and not (address.is_loopback or address.is_link_local):
                found.append(str(address))
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
