"""`http_probe`: one GET to an allow-listed target; status, time, whether the body holds a text."""

import base64
import time

from pydantic import Field

from bot.domain.calls import Prepared, Target, ToolCall
from bot.domain.ports import Cannot, Done, Scope, Watch
from bot.policy.secret_bindings import BoundSecrets
from tools.http_get import NoAnswerError, fetch
from tools.targets import At, Targets, led_to
from tools.typed import Arguments, SecretRef, TypedTool, answer, bind, read_effect

SHOWN = 2000  # characters of it that the model sees
NO_SECRETS = BoundSecrets()


class ProbeArguments(Arguments):
    url: str = Field(max_length=2000, pattern=r"^https?://")
    expect_status: int = Field(200, ge=100, le=599)
    contains: str = Field("", max_length=500)
    at: At = Field("", max_length=45, description="ask this address, where the name is in no DNS")
    timeout_s: float = Field(5.0, gt=0, le=30, strict=False)
    authorization: SecretRef | None = Field(None, description="‹secret:name› of a secret bound to this target")
    user: str = Field("", max_length=100, pattern=r"^[^:\s]*$", description="Basic sign-in with it; empty: Bearer")


class HttpProbe(TypedTool[ProbeArguments]):
    """`http_probe`."""

    name = "http_probe"
    description = (
        "One HTTP GET from where the program runs, to targets that the operator listed. Says status, time and whether the "
        "body contains a text. Redirects are shown, not followed. Not for APIs that change something. Signs in only with a "
        "secret that the operator bound to the target."
    )
    timeout_s = 40.0
    together = True
    arguments = ProbeArguments

    def __init__(self, targets: Targets, secrets: BoundSecrets = NO_SECRETS) -> None:
        self._targets = targets
        self._secrets = secrets

    async def prepare(self, call: ToolCall, arguments: ProbeArguments, scope: Scope) -> Prepared | Cannot:  # noqa: ARG002 - port
        host, addresses = await led_to(arguments.url, arguments.at)
        if not self._targets.allows(host, addresses):
            listed = ", ".join(self._targets.patterns) or "none"
            return Cannot(f"{host or arguments.url} is not among the probe targets ({listed}). Probe one of those, or record "
                          "the criterion as unverifiable here.", "http_probe: WATCHBILL_PROBE_TARGETS")  # fmt: skip
        ref = arguments.authorization
        if ref and arguments.at:
            return Cannot("A secret goes where its target's name leads: leave `at` out.", "http_probe: at")
        if ref and (refusal := self._secrets.refusal(ref.name, self.name, arguments.url)):
            return Cannot(refusal, "policies/secrets.yaml")
        effect = read_effect("http_probe: GET", "one GET to a listed target", Target("url", arguments.url))
        return bind(call, effect, arguments)

    async def run(self, prepared: Prepared, arguments: ProbeArguments, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002 - port
        host, addresses = await led_to(arguments.url, arguments.at)
        if not self._targets.allows(host, addresses):
            return answer(
                prepared, "refused", f"{host} now resolves to {', '.join(addresses) or 'nothing'}, which is not listed."
            )
        began = time.monotonic()
        try:
            got = await fetch(arguments.url, addresses, arguments.timeout_s, self._headers(arguments))
        except NoAnswerError as error:
            text = f"no answer from {arguments.url}: {error}".strip()
            return answer(prepared, "failed", text, facts={"url": arguments.url, "reached": False})
        took_ms = round((time.monotonic() - began) * 1000)
        return _said(prepared, arguments, got.status, got.body, got.location, took_ms)

    def _headers(self, arguments: ProbeArguments) -> dict[str, str]:
        """The one place where a secret is filled in; asked for anew, so what prepare allowed is not taken on trust."""
        if arguments.authorization is None:
            return {}
        value = self._secrets.value(arguments.authorization.name, self.name, arguments.url)
        return {"Authorization": _basic(arguments.user, value) if arguments.user else f"Bearer {value}"}


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _said(prepared: Prepared, arguments: ProbeArguments, status: int, body: str, location: str, took_ms: int) -> Done:
    contains = arguments.contains in body
    as_expected = status == arguments.expect_status and contains
    parts = [f"{status} in {took_ms} ms"]
    if arguments.contains:
        parts.append(f"{'contains' if contains else 'does not contain'} “{arguments.contains}”")
    if location:
        parts.append(f"redirects to {location} (not followed)")
    text = f"{', '.join(parts)}. Expected {arguments.expect_status}.\n{body[:SHOWN]}"
    facts = {
        "url": arguments.url,
        "status": status,
        "took_ms": took_ms,
        "contains": contains,
        "as_expected": as_expected,
    }
    return answer(prepared, "ok" if as_expected else "failed", text, facts=facts)
