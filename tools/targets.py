"""The one allow list of the probes: hosts and networks that the operator named (WATCHBILL_PROBE_TARGETS)."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Targets:
    """Hosts (globs) and networks (CIDR) that may be probed, as the operator named them."""

    patterns: tuple[str, ...]

    def allows(self, host: str, addresses: Sequence[str]) -> bool:
        """True if the name is listed, or every address that it resolves to is. Loopback only where it is listed."""
        inside = bool(addresses) and all(self._network(address) for address in addresses)
        loopback = any(ipaddress.ip_address(address).is_loopback for address in addresses)
        return inside or (self.names(host) and (not loopback or host in self.patterns))

    def names(self, host: str) -> bool:
        """True if the name itself is listed, whatever it resolves to."""
        return any(fnmatchcase(host.casefold(), p.casefold()) for p in self.patterns if "/" not in p)

    @property
    def words(self) -> str:
        return ", ".join(self.patterns) or "none"

    def _network(self, address: str) -> bool:
        return any(
            ipaddress.ip_address(address) in ipaddress.ip_network(pattern, strict=False)
            for pattern in self.patterns
            if "/" in pattern
        )


async def resolve(host: str) -> list[str]:
    """Every address of a name, none where there is none."""
    if not host:
        return []
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
