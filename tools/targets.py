"""The one allow list of the probes: hosts and networks that the operator named (WATCHBILL_PROBE_TARGETS)."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

METADATA = frozenset(
    {"fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"}
)  # of clouds, outside the link-local range
NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _checked(text: str) -> str:
    return str(ipaddress.ip_address(text)) if text else ""


At = Annotated[str, AfterValidator(_checked)]
"""An address, or "" for none."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Hosts (globs) and networks (CIDR) that may be probed, as the operator named them."""

    patterns: tuple[str, ...]

    def allows(self, host: str, addresses: Sequence[str]) -> bool:
        """True if the name is listed, or every address that it resolves to is.

        This machine's own addresses count only where the operator listed that host or address as it is; what no
        operator means by a name (unspecified, link-local and with it every cloud's metadata, multicast) only where
        exactly that address is listed. An IPv6 address that carries an IPv4 one is judged as what it carries.
        """
        plain = [_plain(address) for address in addresses]
        inside = bool(plain) and all(self._network(address) for address in plain)
        return (self.names(host) or inside) and all(self._meant(address, host) for address in plain)

    def names(self, host: str) -> bool:
        """True if the name itself is listed, whatever it resolves to."""
        return any(fnmatchcase(host.casefold(), p.casefold()) for p in self.patterns if "/" not in p)

    @property
    def words(self) -> str:
        return ", ".join(self.patterns) or "none"

    def _meant(self, address: Address, host: str) -> bool:
        if self._exactly(address):
            return True
        if address.is_loopback:
            return host in self.patterns or self._network(address)
        return not (address.is_unspecified or address.is_link_local or address.is_multicast or str(address) in METADATA)

    def _exactly(self, address: Address) -> bool:
        return str(address) in self.patterns or f"{address}/{address.max_prefixlen}" in self.patterns

    def _network(self, address: Address) -> bool:
        return any(
            address in ipaddress.ip_network(pattern, strict=False) for pattern in self.patterns if "/" in pattern
        )


def _plain(text: str) -> Address:
    """Without a zone; the IPv4 address where IPv6 only carries one (mapped, NAT64, 6to4, Teredo)."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


async def resolve(host: str) -> list[str]:
    """Every address of a name, none where there is none."""
    if not host:
        return []
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def led_to(url: str, at: str = "") -> tuple[str, Sequence[str]]:
    """Whom the operator's list has to allow before `url` is asked, and the addresses that are asked: `at`, else where its
    name leads. An address that is given has to be listed itself; the name then is only what the request says.
    """
    named = urlsplit(url).hostname or ""
    if is_address(named):  # nothing leads elsewhere from there: it is what is asked, so it is what has to be listed
        return named, await resolve(named)
    host = at or named
    return host, [at] if at else await resolve(host)


def is_address(host: str) -> bool:
    """Whatever an HTTP client may take for an address, in any spelling, and then asks no resolver about."""
    return ":" in host or host.replace(".", "").isdigit()
