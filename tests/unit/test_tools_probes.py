"""`tcp_probe` and `dns_probe` against real servers on loopback: targets, answers, no answer."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from bot.domain.calls import Prepared, ToolCall
from bot.domain.ids import CallId, Json, MissionId
from bot.domain.ports import ArgumentError, Cannot, Tool
from tests.fakes import QA, FakeWatch, scope
from tools.dns_probe import DnsProbe
from tools.targets import Targets
from tools.tcp_probe import TcpProbe

LISTED = Targets(("127.0.0.0/8", "*.lan"))
RECORDS = {
    ("hello.lan.", "A"): ("192.0.2.7", "192.0.2.8"),
    ("mail.lan.", "MX"): ("10 mx.lan.",),
    ("mail.lan.", "A"): (),
}


async def probe(tool: Tool, **arguments: Json) -> Any:
    parsed = tool.parse(arguments)
    call = ToolCall(CallId("7-1-1-0"), tool.name, arguments, QA, MissionId("7"), 1)
    prepared = await tool.prepare(call, parsed, scope(persona=QA))
    if isinstance(prepared, Cannot):
        return prepared
    assert isinstance(prepared, Prepared)
    return (await tool.run(prepared, parsed, scope(persona=QA), FakeWatch())).result


@pytest.fixture
async def port() -> AsyncGenerator[int]:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    yield int(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()


class Zone(asyncio.DatagramProtocol):
    """A name server that knows RECORDS and says NXDOMAIN to the rest."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        asked = dns.message.from_wire(data)
        question = asked.question[0]
        name, kind = str(question.name), dns.rdatatype.to_text(question.rdtype)
        reply = dns.message.make_response(asked)
        if (name, kind) not in RECORDS:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif RECORDS[name, kind]:
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *RECORDS[name, kind]))
        self.transport.sendto(reply.to_wire(), addr)


@pytest.fixture
async def zone() -> AsyncGenerator[int]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Zone, ("127.0.0.1", 0))
    yield int(transport.get_extra_info("sockname")[1])
    transport.close()


async def test_an_open_port_and_a_closed_one(port: int) -> None:
    result = await probe(TcpProbe(LISTED), host="127.0.0.1", port=port)
    assert (result.status, result.facts["state"], result.facts["as_expected"]) == ("ok", "open", True)
    result = await probe(TcpProbe(LISTED), host="127.0.0.1", port=port, expect="closed")
    assert result.status == "failed"


async def test_a_refused_port_is_closed(port: int) -> None:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    free = int(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    result = await probe(TcpProbe(LISTED), host="127.0.0.1", port=free, expect="closed")
    assert (result.status, result.facts["state"]) == ("ok", "closed")
    assert "(refused)" in result.text


async def test_what_is_not_listed_is_not_probed(port: int) -> None:
    elsewhere = Targets(("192.0.2.0/24",))
    said = await probe(TcpProbe(elsewhere), host="127.0.0.1", port=port)
    assert isinstance(said, Cannot)
    assert "not among the probe targets (192.0.2.0/24)" in said.text
    said = await probe(DnsProbe(LISTED), name="secret.example.com")
    assert isinstance(said, Cannot)
    said = await probe(DnsProbe(LISTED), name="hello.lan", server="192.0.2.1")
    assert isinstance(said, Cannot)
    assert "DNS server 192.0.2.1" in said.text


async def test_a_name_with_its_answers(zone: int) -> None:
    result = await probe(DnsProbe(LISTED), name="hello.lan", server="127.0.0.1", port=zone, expect=["192.0.2.8"])
    assert (result.status, result.facts["answers"]) == ("ok", ["192.0.2.7", "192.0.2.8"])
    result = await probe(
        DnsProbe(LISTED), name="mail.lan", type="MX", server="127.0.0.1", port=zone, expect=["10 mx.lan"]
    )
    assert result.status == "ok"
    result = await probe(DnsProbe(LISTED), name="hello.lan", server="127.0.0.1", port=zone, expect=["192.0.2.9"])
    assert (result.status, "Not among them: 192.0.2.9" in result.text) == ("failed", True)


async def test_no_name_no_record_and_no_server_say_so(zone: int) -> None:
    result = await probe(DnsProbe(LISTED), name="gone.lan", server="127.0.0.1", port=zone)
    assert (result.status, "NXDOMAIN" in result.text) == ("failed", True)
    result = await probe(DnsProbe(LISTED), name="mail.lan", server="127.0.0.1", port=zone)
    assert "has no A record" in result.text
    result = await probe(DnsProbe(LISTED), name="hello.lan", server="127.0.0.2", port=9, timeout_s=1)
    assert (result.status, "no answer" in result.text) == ("failed", True)


def test_bad_arguments_are_told() -> None:
    with pytest.raises(ArgumentError):
        DnsProbe(LISTED).parse({"name": "a b"})
    with pytest.raises(ArgumentError):
        TcpProbe(LISTED).parse({"host": "x", "port": 0})
