"""`dns_probe`: what a name resolves to, asked of the machine's own resolver or of an allow-listed server (dnspython)."""

import time
from typing import Literal

from pydantic import Field

from bot.domain.calls import Prepared, Target, ToolCall
from bot.domain.ids import Json
from bot.domain.ports import Cannot, Done, Scope, Watch
from tools.targets import Targets, resolve
from tools.typed import Arguments, TypedTool, answer, bind, read_effect

SHOWN = 20


class DnsArguments(Arguments):
    name: str = Field(max_length=253, min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    type: Literal["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SRV", "TXT"] = "A"
    server: str = Field("", max_length=253, description="a DNS server; empty: the one this machine uses")
    port: int = Field(53, ge=1, le=65535)
    expect: list[str] = Field(default=[], max_length=20, description="answers that have to be among those that come")
    timeout_s: float = Field(5.0, gt=0, le=30, strict=False)


class DnsProbe(TypedTool[DnsArguments]):
    """`dns_probe`."""

    name = "dns_probe"
    description = (
        "Ask DNS for one name that the operator listed, from where the program runs. Says the answers, the time, and "
        "whether the expected ones are there. Not a search: names that are not listed are not asked for."
    )
    timeout_s = 40.0
    together = True
    arguments = DnsArguments

    def __init__(self, targets: Targets) -> None:
        self._targets = targets

    async def prepare(self, call: ToolCall, arguments: DnsArguments, scope: Scope) -> Prepared | Cannot:  # noqa: ARG002 - port
        if wrong := await self._unlisted(arguments):
            return Cannot(wrong, "dns_probe: WATCHBILL_PROBE_TARGETS")
        target = Target("url", f"dns://{arguments.name.rstrip('.')}")
        return bind(call, read_effect("dns_probe: query", "one question about a listed name", target), arguments)

    async def run(self, prepared: Prepared, arguments: DnsArguments, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002 - port
        if wrong := await self._unlisted(arguments):
            return answer(prepared, "refused", wrong)
        began = time.monotonic()
        found, problem = await _ask(arguments)
        took = round((time.monotonic() - began) * 1000)
        missing = [one for one in arguments.expect if one.rstrip(".") not in {f.rstrip(".") for f in found}]
        as_expected = bool(found) and not missing
        facts: dict[str, Json] = {
            "name": arguments.name, "type": arguments.type, "answers": sorted(found), "took_ms": took, "as_expected": as_expected,
        }  # fmt: skip
        text = f"{arguments.name} {arguments.type}: {', '.join(found[:SHOWN]) or problem} in {took} ms"
        text += f". Not among them: {', '.join(missing)}" if missing else ""
        return answer(prepared, "ok" if as_expected else "failed", text, facts=facts)

    async def _unlisted(self, arguments: DnsArguments) -> str:
        """Why this is not asked, or "". The name goes out to whoever answers, so the name itself has to be listed."""
        name, server = arguments.name.rstrip("."), arguments.server
        if not self._targets.names(name):
            return f"{name} is not among the names of the probe targets ({self._targets.words}); a network there lists no names."
        if server and not self._targets.allows(server, await resolve(server)):
            return f"The DNS server {server} is not among the probe targets ({self._targets.words})."
        return ""


async def _ask(arguments: DnsArguments) -> tuple[list[str], str]:
    """The answers, or why there are none."""
    import dns.asyncresolver  # noqa: PLC0415 - only this needs it
    import dns.exception  # noqa: PLC0415 - as above
    import dns.resolver  # noqa: PLC0415 - as above

    try:
        resolver = dns.asyncresolver.Resolver(configure=not arguments.server)
        if arguments.server:
            resolver.nameservers = await resolve(arguments.server)
            resolver.port = arguments.port
        said = await resolver.resolve(arguments.name, arguments.type, lifetime=arguments.timeout_s, search=False)
    except dns.resolver.NXDOMAIN:
        return [], "there is no such name (NXDOMAIN)"
    except dns.resolver.NoAnswer:
        return [], f"the name has no {arguments.type} record"
    except (dns.exception.DNSException, OSError) as error:
        return [], f"no answer ({type(error).__name__}: {error})"
    return [record.to_text() for record in said], ""
