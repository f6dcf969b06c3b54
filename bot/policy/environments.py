"""Which environment a thing belongs to: policies/environments.yaml. What is not mapped is production."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

PRODUCTION = "production"
Kind = Literal["estate", "node", "host", "vm", "context", "namespace", "pool", "url", "file"]
NAME = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
PATTERN = Annotated[str, Field(min_length=1, max_length=200)]
NUMBERS = re.compile(r"[0-9.:*?\[\]/-]+")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class EnvironmentsFile(BaseModel):
    """policies/environments.yaml as written. `order` is weakest first; production is always the strictest."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    order: Annotated[list[NAME], Field(min_length=1)]
    members: dict[NAME, dict[Kind, Annotated[list[PATTERN], Field(min_length=1)]]] = {}

    @field_validator("order")
    @classmethod
    def _ends_with_production(cls, order: list[str]) -> list[str]:
        if order[-1] != PRODUCTION or len(set(order)) < len(order):
            raise ValueError("name each environment once, weakest first, production last")
        return order

    @field_validator("members")
    @classmethod
    def _no_glob_for_addresses(cls, members: dict[str, dict[str, list[str]]]) -> dict[str, dict[str, list[str]]]:
        for kinds in members.values():
            for pattern in (pattern for patterns in kinds.values() for pattern in patterns):
                if "*" in pattern and NUMBERS.fullmatch(pattern) and pattern != "*":
                    raise ValueError(
                        f"write {pattern!r} as a network, e.g. 192.168.178.0/24: a star also matches names"
                    )
        return members

    def typed(self) -> "EnvironmentMap":
        rules = tuple(
            Mapped(environment, kind, pattern)
            for environment, kinds in self.members.items()
            for kind, patterns in kinds.items()
            for pattern in patterns
        )
        return EnvironmentMap(tuple(self.order), rules)


@dataclass(frozen=True, slots=True)
class Mapped:
    environment: str
    kind: str
    pattern: str


@dataclass(frozen=True, slots=True)
class EnvironmentMap:
    """The Environments port."""

    order: tuple[str, ...]
    rules: tuple[Mapped, ...]

    def of(self, kind: str, name: str) -> str:
        """The strictest environment that `name` is mapped to; production where it is mapped to none."""
        found = [rule.environment for rule in self.rules if rule.kind == kind and _matches(rule.pattern, kind, name)]
        return self.strictest(found)

    def strictest(self, environments: Sequence[str]) -> str:
        """The last in order. Production for none, and for a name that the file does not order."""
        if not environments or any(environment not in self.order for environment in environments):
            return PRODUCTION
        return max(environments, key=self.order.index)


def _matches(pattern: str, kind: str, name: str) -> bool:
    """A glob over the whole name, letters of either case; a network over addresses. Of a URL only the host counts."""
    subject = _host(name) if kind == "url" else name
    if not subject:
        return False
    if "/" in pattern and (network := _network(pattern)):
        return _inside(subject, network)
    return fnmatchcase(subject.casefold(), pattern.casefold())


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _network(pattern: str) -> Network | None:
    try:
        return ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return None


def _inside(address: str, network: Network) -> bool:
    try:
        return ipaddress.ip_address(address) in network
    except ValueError:
        return False
