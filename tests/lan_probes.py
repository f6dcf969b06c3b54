"""python -m tests.lan_probes TARGETS TOOL ARGUMENTS…: the program's probes from where this runs, their results as JSON.

ARGUMENTS is one JSON object for each probe. Started through `deploy.lab.hosts.enter` it stands on the machines' LAN.
"""

import asyncio
import json
import sys
from typing import Any

from bot.domain.calls import Prepared, ToolCall
from bot.domain.ids import CallId, MissionId
from bot.domain.ports import Done, Tool
from tests.fakes import QA, FakeWatch, scope
from tools.dns_probe import DnsProbe
from tools.http_probe import HttpProbe
from tools.targets import Targets
from tools.tcp_probe import TcpProbe


async def probe(tool: Tool, arguments: dict[str, Any]) -> dict[str, Any]:
    parsed = tool.parse(arguments)
    call = ToolCall(CallId("7-1-1-0"), tool.name, arguments, QA, MissionId("7"), 1)
    prepared = await tool.prepare(call, parsed, scope(persona=QA))
    if not isinstance(prepared, Prepared):
        return {"status": "cannot", "text": prepared.text}
    done: Done = await tool.run(prepared, parsed, scope(persona=QA), FakeWatch())
    return {"status": done.result.status, "text": done.result.text, "facts": dict(done.result.facts)}


async def main(targets: str, name: str, *arguments: str) -> None:
    allowed = Targets(tuple(targets.split(",")))
    tools: dict[str, Tool] = {tool.name: tool for tool in (HttpProbe(allowed), TcpProbe(allowed), DnsProbe(allowed))}
    for one in arguments:
        sys.stdout.write(json.dumps(await probe(tools[name], json.loads(one))) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
