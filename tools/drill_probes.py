"""What is asked again and again while something is away, and what came of it: share of answers, longest outage."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bot.domain.ids import Json
from tools.http_get import NoAnswerError, fetch
from tools.kubeconfig import KubeconfigError
from tools.kubernetes_api import Clusters, KubernetesError
from tools.targets import At, Targets, led_to, resolve

ASK_S: Final = 2.0  # an answer that takes longer is none
Ask = Callable[[], Awaitable[str]]
"""One question; "" is an answer as expected, anything else says what was wrong."""


class Probe(BaseModel):
    """One service that has to go on."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$", description="how the result calls it, e.g. api, app")
    kind: Literal["http", "tcp", "kubernetes"] = Field(description="kubernetes: the API server says that it is ready")
    url: str = Field("", max_length=2000, pattern=r"^(https?://.+)?$", description="for http")
    expect_status: int = Field(200, ge=100, le=599)
    contains: str = Field("", max_length=500)
    at: At = Field("", max_length=45, description="for http: ask this address, where DNS has no name")
    host: str = Field("", max_length=253, description="for tcp")
    port: int = Field(0, ge=0, le=65535, description="for tcp")

    @model_validator(mode="after")
    def _has_a_place(self) -> Self:
        if (self.kind == "http") != bool(self.url) or (self.kind == "tcp") != bool(self.host and self.port):
            raise ValueError("http takes url, tcp takes host and port, kubernetes neither")
        return self

    @property
    def place(self) -> str:
        match self.kind:
            case "http":
                return self.url
            case "tcp":
                return f"{self.host}:{self.port}"
            case "kubernetes":
                return "the Kubernetes API"

    @property
    def words(self) -> str:
        wants = f" → {self.expect_status}" + (f" with “{self.contains}”" if self.contains else "")
        return f"{self.name} ({self.place}{wants if self.kind == 'http' else ''})"


@dataclass
class Meter:
    """What one probe saw in one phase; times are monotonic seconds."""

    asked: int = 0
    answered: int = 0
    longest_s: float = 0.0
    streak: int = 0  # answers in a row, the newest
    problem: str = ""
    failing: bool = False
    good_at: float = field(default_factory=time.monotonic)

    def next(self) -> "Meter":
        """For the phase after this one: an outage that is not over goes on in it."""
        return Meter(failing=self.failing, good_at=self.good_at)

    def note(self, began: float, ended: float, wrong: str) -> None:
        self.asked += 1
        if wrong or self.failing:
            self.longest_s = max(self.longest_s, ended - self.good_at)
        if wrong:
            self.problem, self.streak, self.failing = wrong, 0, True
            return
        self.answered += 1
        self.streak += 1
        self.failing, self.good_at = False, began

    @property
    def share(self) -> float:
        return round(self.answered / self.asked, 4) if self.asked else 0.0

    @property
    def facts(self) -> dict[str, Json]:
        return {
            "asked": self.asked,
            "answered": self.answered,
            "share": self.share,
            "outage_s": round(self.longest_s, 1),
        }

    @property
    def words(self) -> str:
        away = f", away {self.longest_s:.1f} s" if self.longest_s else ""
        return f"{self.answered:,} of {self.asked:,}{away}"


def joined(meters: Sequence[Meter]) -> Meter:
    """Several phases as one: counts together, the longest outage of any."""
    return Meter(
        sum(one.asked for one in meters), sum(one.answered for one in meters), max(one.longest_s for one in meters)
    )


def asks(probe: Probe, targets: Targets, clusters: Clusters, estate: str) -> Ask:
    match probe.kind:
        case "http":
            return lambda: _http(probe, targets)
        case "tcp":
            return lambda: _tcp(probe, targets)
        case "kubernetes":
            return lambda: _kubernetes(clusters, estate)


async def refused(probe: Probe, targets: Targets) -> str:
    """Why the operator's list does not allow it, or ""."""
    if probe.kind == "kubernetes":
        return ""
    host, addresses = (probe.host, await resolve(probe.host)) if probe.host else await led_to(probe.url, probe.at)
    return "" if targets.allows(host, addresses) else f"{host} is not among the probe targets ({targets.words})"


async def keep_asking(ask: Ask, meter: Meter, every_s: float) -> None:
    """Until it is cancelled."""
    while True:
        began = time.monotonic()
        wrong = await ask()
        ended = time.monotonic()
        meter.note(began, ended, wrong)
        await asyncio.sleep(max(every_s - (ended - began), 0.01))


async def _http(probe: Probe, targets: Targets) -> str:
    host, addresses = await led_to(probe.url, probe.at)
    if not targets.allows(host, addresses):
        return f"{host} now resolves to {', '.join(addresses) or 'nothing'}"
    try:
        got = await fetch(probe.url, addresses, ASK_S, {})
    except NoAnswerError as error:
        return str(error)
    if got.status != probe.expect_status:
        return f"status {got.status}"
    return "" if probe.contains in got.body else f"without “{probe.contains}”"


async def _tcp(probe: Probe, targets: Targets) -> str:
    addresses = await resolve(probe.host)
    if not addresses or not targets.allows(probe.host, addresses):
        return f"{probe.host} now resolves to {', '.join(addresses) or 'nothing'}"
    try:
        async with asyncio.timeout(ASK_S):
            _, writer = await asyncio.open_connection(addresses[0], probe.port)
    except (OSError, TimeoutError) as error:
        return f"{type(error).__name__}"
    writer.transport.abort()
    return ""


async def _kubernetes(clusters: Clusters, estate: str) -> str:
    try:
        await asyncio.to_thread(lambda: clusters.view(estate).raw("GET", "/readyz", timeout_s=ASK_S))
    except (KubernetesError, KubeconfigError) as error:
        return str(error)
    return ""
