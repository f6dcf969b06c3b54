"""One GET to addresses that were checked: no redirects, no proxies of the environment, a bounded body."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from tools.targets import is_address

LARGEST: Final = 256 * 1024  # bytes of a body that are looked at


class NoAnswerError(Exception):
    """Nothing that is HTTP came back in time."""


@dataclass(frozen=True, slots=True)
class Got:
    status: int
    body: str
    location: str


async def fetch(url: str, addresses: Sequence[str], timeout_s: float, headers: Mapping[str, str]) -> Got:
    """Raises NoAnswerError."""
    host = urlsplit(url).hostname or ""
    if is_address(host) and host not in addresses:  # aiohttp asks no resolver about an address
        raise NoAnswerError(f"{host} is not one of the addresses that were allowed")
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        connector = aiohttp.TCPConnector(resolver=_Pinned(addresses))
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session,
            session.get(url, allow_redirects=False, headers=headers) as reply,
        ):
            body = (await reply.content.read(LARGEST)).decode("utf-8", "replace")
            return Got(reply.status, body, reply.headers.get("location", ""))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise NoAnswerError(f"{type(error).__name__} {error}".strip()) from None


class _Pinned(AbstractResolver):
    """Gives aiohttp the addresses that were checked, so that a second look-up cannot answer differently."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        del family
        return [
            ResolveResult(
                hostname=host, host=address, port=port, proto=0, flags=socket.AI_NUMERICHOST,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
            )
            for address in self._addresses
        ]  # fmt: skip

    async def close(self) -> None:
        """Nothing is held."""
