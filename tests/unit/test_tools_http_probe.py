"""`http_probe` against a real server on loopback: targets, statuses, redirects, no answer."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest
from aiohttp import web

from bot.domain.calls import Prepared, ToolCall
from bot.domain.ids import CallId, Json, MissionId
from bot.domain.ports import Cannot, Done
from tests.fakes import QA, FakeWatch, mission, scope
from tools.http_get import NoAnswerError, fetch
from tools.http_probe import HttpProbe
from tools.targets import Targets

LISTED = Targets(("127.0.0.0/8",))


@pytest.fixture
async def url() -> AsyncGenerator[str]:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello, world")

    async def away(_: web.Request) -> web.Response:
        raise web.HTTPFound("http://192.0.2.1/elsewhere")

    app = web.Application()
    app.add_routes([web.get("/", hello), web.get("/away", away)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def proposed(arguments: Mapping[str, Json]) -> ToolCall:
    return ToolCall(CallId("7-1-1-0"), "http_probe", arguments, QA, MissionId("7"), 1)


async def probe(targets: Targets, **arguments: Json) -> Done | Cannot:
    tool = HttpProbe(targets)
    parsed = tool.parse(arguments)
    prepared = await tool.prepare(proposed(arguments), parsed, scope(persona=QA))
    if not isinstance(prepared, Prepared):
        return prepared
    return await tool.run(prepared, parsed, scope(persona=QA), FakeWatch())


async def shown(targets: Targets, **arguments: Json) -> Any:
    done = await probe(targets, **arguments)
    assert isinstance(done, Done)
    return done.result


@pytest.mark.parametrize(
    ("patterns", "host", "address", "allowed"),
    [
        (("*.lan",), "x.lan", "192.168.178.5", True),
        (("*.lan",), "x.lan", "::ffff:192.168.178.5", True),
        (("*.lan",), "x.lan", "127.0.0.1", False),
        (("*.lan",), "x.lan", "::1", False),
        (("*.lan",), "x.lan", "::ffff:127.0.0.1", False),
        (("*.lan",), "x.lan", "64:ff9b::7f00:1", False),
        (("*.lan",), "x.lan", "2002:7f00:1::", False),
        (("*.lan",), "x.lan", "0.0.0.0", False),  # noqa: S104 # an address to refuse, none to bind
        (("*.lan",), "x.lan", "::", False),
        (("*.lan",), "x.lan", "::ffff:0.0.0.0", False),
        (("*.lan",), "x.lan", "169.254.169.254", False),
        (("*.lan",), "x.lan", "::ffff:169.254.169.254", False),
        (("*.lan",), "x.lan", "fe80::1%eth0", False),
        (("*.lan",), "x.lan", "fd00:ec2::254", False),
        (("*.lan",), "x.lan", "224.0.0.1", False),
        (("169.254.0.0/16", "0.0.0.0/0"), "h", "169.254.169.254", False),
        (("169.254.169.254",), "169.254.169.254", "169.254.169.254", True),
        (("169.254.169.254/32",), "h", "169.254.169.254", True),
        (("127.0.0.0/8",), "localhost", "::ffff:127.0.0.1", True),
        (("localhost",), "localhost", "127.0.0.1", True),
        (("local*",), "localhost", "127.0.0.1", False),
        (("192.168.178.0/24",), "h", "10.0.0.1", False),
    ],
)
def test_rule_16_a_name_reaches_no_address_that_nobody_meant(
    patterns: tuple[str, ...], host: str, address: str, *, allowed: bool
) -> None:
    assert Targets(patterns).allows(host, [address]) is allowed
    assert not Targets(patterns).allows(host, [address, "10.9.9.9", "0.0.0.0"])  # noqa: S104 # one is enough


async def test_a_page_that_answers_as_expected(url: str) -> None:
    result = await shown(LISTED, url=url, contains="hello")
    assert (result.status, result.facts["status"], result.facts["contains"]) == ("ok", 200, True)
    assert result.text.startswith("200 in ")


async def test_another_status_or_text_is_a_failed_result_with_what_was_seen(url: str) -> None:
    result = await shown(LISTED, url=url, contains="goodbye")
    assert (result.status, "does not contain" in result.text) == ("failed", True)
    result = await shown(LISTED, url=f"{url}/nothing")
    assert (result.status, result.facts["status"]) == ("failed", 404)


async def test_a_redirect_is_shown_and_not_followed(url: str) -> None:
    result = await shown(LISTED, url=f"{url}/away", expect_status=302)
    assert result.status == "ok"
    assert "http://192.0.2.1/elsewhere (not followed)" in result.text


async def test_no_answer_says_so(url: str) -> None:
    result = await shown(LISTED, url=f"http://127.0.0.1:{_closed(url)}", timeout_s=1)
    assert (result.status, result.facts["reached"]) == ("failed", False)


def _closed(url: str) -> int:
    """A port on which nothing listens: the one below is another's with near certainty not HTTP either."""
    return 1 if not url.endswith(":1") else 2


@pytest.mark.parametrize("target", ["http://169.254.169.254/latest", "http://localhost/", "http://[::1]/"])
async def test_rule_24_what_the_operator_did_not_list_is_not_reached(target: str) -> None:
    refused = await probe(Targets(("192.168.178.0/24", "*.lan")), url=target)
    assert isinstance(refused, Cannot)
    assert "192.168.178.0/24" in refused.text


async def test_rule_25_an_address_in_a_terraform_output_opens_no_target(url: str) -> None:
    host = url.removeprefix("http://").partition(":")[0]
    state = mission(applied=(f"cp1 at {host}",))
    tool = HttpProbe(Targets(("192.168.178.0/24",)))
    arguments: dict[str, Json] = {"url": url}
    prepared = await tool.prepare(proposed(arguments), tool.parse(arguments), scope(state, QA))
    assert isinstance(prepared, Cannot)


@pytest.mark.parametrize("host", ["{other}", "2130706433", "127.1", "[::1]", "127.000.000.001"])
async def test_rule_24_an_address_in_the_url_is_what_is_asked_whatever_stands_beside_it(url: str, host: str) -> None:
    """`at` says where a name leads. It is no way around the list for a url that says so itself."""
    listed = Targets(("127.0.0.2/32",))
    port = url.rpartition(":")[2]
    done = await probe(listed, url=f"http://{host.format(other='127.0.0.1')}:{port}/", at="127.0.0.2")
    assert isinstance(done, Cannot) and "is not among the probe targets" in done.text


async def test_a_name_that_no_dns_has_is_asked_at_the_address_that_is_given(url: str) -> None:
    port = url.rpartition(":")[2]
    listed = Targets(("127.0.0.1/32",))
    assert (await shown(listed, url=f"http://hello.lab:{port}/", at="127.0.0.1", contains="hello")).status == "ok"
    refused = await probe(Targets(("hello.lab",)), url=f"http://hello.lab:{port}/", at="127.0.0.1")
    assert isinstance(refused, Cannot), "a listed name opens no address"


async def test_nothing_is_fetched_from_an_address_that_was_not_judged(url: str) -> None:
    with pytest.raises(NoAnswerError, match="is not one of the addresses"):
        await fetch(f"{url}/", ["127.0.0.2"], 2, {})
