"""`tcp_probe`: does a port of an allow-listed target take a connection?"""

import asyncio
import time
from typing import Literal

from pydantic import Field

from bot.domain.calls import Prepared, Target, ToolCall
from bot.domain.ids import Json
from bot.domain.ports import Cannot, Done, Scope, Watch
from tools.targets import Targets, resolve
from tools.typed import Arguments, TypedTool, answer, bind, read_effect


class TcpArguments(Arguments):
    host: str = Field(max_length=253, min_length=1)
    port: int = Field(ge=1, le=65535)
    expect: Literal["open", "closed"] = "open"
    timeout_s: float = Field(5.0, gt=0, le=30, strict=False)


class TcpProbe(TypedTool[TcpArguments]):
    """`tcp_probe`."""

    name = "tcp_probe"
    description = (
        "Try to connect to one TCP port from where the program runs, to targets that the operator listed. Says open, "
        "closed (refused) or silent (nothing answers), and the time. Sends nothing. For web pages use http_probe."
    )
    timeout_s = 40.0
    together = True
    arguments = TcpArguments

    def __init__(self, targets: Targets) -> None:
        self._targets = targets

    async def prepare(self, call: ToolCall, arguments: TcpArguments, scope: Scope) -> Prepared | Cannot:  # noqa: ARG002 - port
        if not self._targets.allows(arguments.host, await resolve(arguments.host)):
            text = f"{arguments.host} is not among the probe targets ({self._targets.words}). Probe one of those, or record "
            return Cannot(text + "the criterion as unverifiable here.", "tcp_probe: WATCHBILL_PROBE_TARGETS")
        place = f"tcp://{arguments.host}:{arguments.port}"
        return bind(
            call, read_effect("tcp_probe: connect", "one connection, nothing sent", Target("url", place)), arguments
        )

    async def run(self, prepared: Prepared, arguments: TcpArguments, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002 - port
        addresses = await resolve(arguments.host)
        if not self._targets.allows(arguments.host, addresses):
            text = f"{arguments.host} now resolves to {', '.join(addresses) or 'nothing'}, which is not listed."
            return answer(prepared, "refused", text)
        began = time.monotonic()
        state, why = (
            await _knock(addresses[0], arguments.port, arguments.timeout_s) if addresses else ("silent", "no address")
        )
        took = round((time.monotonic() - began) * 1000)
        as_expected = (state == "open") is (arguments.expect == "open")
        facts: dict[str, Json] = {
            "host": arguments.host, "port": arguments.port, "state": state, "took_ms": took, "as_expected": as_expected,
        }  # fmt: skip
        text = f"{arguments.host}:{arguments.port} is {state} after {took} ms{f' ({why})' if why else ''}. Expected {arguments.expect}."
        return answer(prepared, "ok" if as_expected else "failed", text, facts=facts)


async def _knock(address: str, port: int, timeout_s: float) -> tuple[str, str]:
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(address, port)
    except ConnectionRefusedError:
        return "closed", "refused"
    except TimeoutError:
        return "silent", f"no answer within {timeout_s:g} s"
    except OSError as error:
        return "silent", str(error.strerror or error)
    writer.transport.abort()
    return "open", ""
