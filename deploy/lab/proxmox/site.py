"""The parts of the cluster in one value, and one call on them."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from deploy.lab.proxmox.access import Caller, Doorman
from deploy.lab.proxmox.answers import Refused, failed
from deploy.lab.proxmox.faults import Faults
from deploy.lab.proxmox.hardware import Hardware
from deploy.lab.proxmox.machines import Machines
from deploy.lab.proxmox.power import Power
from deploy.lab.proxmox.tasks import Tasks
from deploy.lab.proxmox.volumes import Volumes
from deploy.lab.proxmox.world import World


@dataclass(frozen=True)
class Site:
    world: World
    faults: Faults
    tasks: Tasks
    volumes: Volumes
    machines: Machines
    hardware: Hardware
    power: Power
    doorman: Doorman

    def require_quorum(self) -> None:
        if not self.world.state["quorate"]:
            raise failed("cluster not ready - no quorum?")


@dataclass(frozen=True)
class Call:
    """One API call: `path` holds what the pattern matched, `given` the query and body parameters."""

    caller: Caller
    method: str
    path: dict[str, str]
    given: dict[str, str]

    @property
    def node(self) -> str:
        return self.path["node"]

    @property
    def vmid(self) -> int:
        return int(self.path["vmid"])


Answerer = Callable[[Site, Call], Any]


@dataclass
class Routes:
    """Method and path pattern to function; {name} matches one segment, {name*} the rest of the path."""

    table: list[tuple[str, re.Pattern[str], Answerer]] = field(default_factory=list)

    def on(self, method: str, pattern: str) -> Callable[[Answerer], Answerer]:
        expression = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.+)", pattern)
        expression = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", expression)

        def remember(answer: Answerer) -> Answerer:
            self.table.append((method, re.compile(f"^{expression}$"), answer))
            return answer

        return remember

    def find(self, method: str, path: str) -> tuple[Answerer, dict[str, str]]:
        for known, pattern, answer in self.table:
            match = pattern.match(path) if known == method else None
            if match:
                return answer, match.groupdict()
        raise Refused(501, f"Method '{method} {path}' not implemented")
