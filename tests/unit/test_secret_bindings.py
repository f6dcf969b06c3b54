"""Placeholders of secrets: filled in only into arguments typed as secret, for the targets they are bound to (rule 24)."""

import base64
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from bot.domain.calls import Prepared, ToolCall
from bot.domain.ids import CallId, Json, MissionId
from bot.domain.ports import ArgumentError, Cannot
from bot.policy.loading import read_secrets
from bot.policy.placeholders import names_in, placeholder
from bot.policy.problems import PolicyError
from bot.policy.secret_bindings import Bound, BoundSecrets
from tests.fakes import QA, FakeWatch, scope
from tools.http_probe import HttpProbe, Targets
from tools.typed import Arguments, SecretRef
from tools.workspace import PatchArguments, WriteArguments

VALUE = "hunter2-of-the-probe"
REF = "‹secret:probe›"


class Both(Arguments):
    secret: SecretRef
    note: str = ""
    more: dict[str, Json] = Field(default_factory=dict[str, Json])


def secrets(*targets: str, tools: tuple[str, ...] = ("http_probe",), value: str = VALUE) -> BoundSecrets:
    return BoundSecrets({"probe": Bound(tools=tools, targets=targets)}, {"probe": value} if value else {})


@dataclass
class Site:
    url: str
    sent: list[str] = field(default_factory=list[str])


@pytest.fixture
async def site() -> AsyncGenerator[Site]:
    found = Site("")

    async def page(request: web.Request) -> web.Response:
        found.sent.append(request.headers.get("Authorization", ""))
        return web.Response(text="fine")

    app = web.Application()
    app.add_routes([web.get("/{path:.*}", page)])
    runner = web.AppRunner(app)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


async def probe(site: Site, bound: BoundSecrets, path: str = "/api/health", **arguments: Json) -> Prepared | Cannot:
    tool = HttpProbe(Targets(("127.0.0.0/8",)), bound)
    given_: dict[str, Json] = {"url": f"{site.url}{path}", **arguments}
    parsed = tool.parse(given_)
    prepared = await tool.prepare(
        ToolCall(CallId("7-1-1-0"), "http_probe", given_, QA, MissionId("7"), 1), parsed, scope(persona=QA)
    )
    if isinstance(prepared, Prepared):
        await tool.run(prepared, parsed, scope(persona=QA), FakeWatch())
    return prepared


async def test_rule_24_a_bound_secret_reaches_its_target_and_nothing_else_holds_it(site: Site) -> None:
    bound = secrets(f"{site.url}/api/")
    prepared = await probe(site, bound, authorization=REF)
    assert isinstance(prepared, Prepared)
    assert site.sent == [f"Bearer {VALUE}"]
    assert REF in str(prepared)
    assert VALUE not in str(prepared) + str(bound)
    await probe(site, bound, authorization=REF, user="qa")
    assert site.sent[1] == "Basic " + base64.b64encode(f"qa:{VALUE}".encode()).decode()
    await probe(site, bound)
    assert site.sent[2] == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ref": "‹secret:other›"}, "‹secret:other› is bound to nothing, so it is filled in nowhere. Bound are: ‹secret:probe›"),
        ({"path": "/admin"}, "is not for http://127.0.0.1"),
        ({"tools": ("ssh_run",)}, "is not for http_probe: policies/secrets.yaml binds it to ssh_run"),
        ({"value": ""}, "has no value: the operator has to put it into WATCHBILL_SECRETS_FILE"),
    ],
)  # fmt: skip
async def test_rule_24_everything_else_is_refused_before_anything_is_sent(site: Site, change: dict[str, str], words: str) -> None:  # fmt: skip
    tools = change.get("tools", ("http_probe",))
    bound = secrets(f"{site.url}/api/", tools=tuple(tools), value=change.get("value", VALUE))
    refused = await probe(site, bound, change.get("path", "/api/x"), authorization=change.get("ref", REF))
    assert isinstance(refused, Cannot)
    assert words in refused.text
    assert site.sent == []


@pytest.mark.parametrize(
    "url",
    [
        "http://a.lan/api/x", "https://a.lan.evil.lan/api/x", "https://a.lan:444/api/x", "https://b.lan/api/x",
        "https://a.lan/apix", "https://a.lan/api/../admin", "https://a.lan/api/%2e%2e/admin", "https://user@a.lan/api/x",
        "https://a.lan/api/%252e%252e/x", "https://a.lan/", "https://a.lan:x/api/", "ftp://a.lan/api/x", "https://a.lan/api/..\\x",
    ],
)  # fmt: skip
def test_rule_24_another_target_gets_nothing(url: str) -> None:
    bound = secrets("https://a.lan/api/")
    assert bound.refusal("probe", "http_probe", url)
    with pytest.raises(LookupError):
        bound.value("probe", "http_probe", url)


@pytest.mark.parametrize("url", ["https://a.lan/api", "https://a.lan/api/x?y=1", "https://A.lan:443/api/x"])
def test_the_target_itself_does(url: str) -> None:
    assert secrets("https://a.lan/api/").value("probe", "http_probe", url) == VALUE
    assert secrets("https://a.lan").value("probe", "http_probe", url) == VALUE


@pytest.mark.parametrize(
    "arguments",
    [
        {"secret": REF, "note": f"x {REF}"},
        {"secret": REF, "more": {"a": [{"b": f"x{REF}"}]}},
        {"secret": REF, "more": {REF: 1}},
    ],
)
def test_rule_24_a_placeholder_in_any_other_argument_is_refused(arguments: dict[str, Json]) -> None:
    with pytest.raises(ArgumentError, match="only in arguments made for secrets"):
        Both.read(arguments)


def test_rule_24_no_placeholder_gets_into_a_file() -> None:
    for model, more in ((WriteArguments, {"content": f"token = {REF}"}), (PatchArguments, {"old": "x", "new": REF})):
        with pytest.raises(ArgumentError, match="‹secret:probe› stands for a secret"):
            model.read({"path": "main.tf", **more})


@pytest.mark.parametrize("text", ["probe", "‹secret:probe› ", "‹secret:Probe›", "x‹secret:probe›", "", "‹secret:›"])
def test_an_argument_typed_as_secret_takes_nothing_but_one_placeholder(text: str) -> None:
    with pytest.raises(ArgumentError):
        Both.read({"secret": text})


def test_its_name_is_read() -> None:
    read = Both.read({"secret": REF, "note": "plain"})
    assert (read.secret.name, read.model_dump(mode="json")["secret"]) == ("probe", REF)


@given(st.recursive(st.text(max_size=5) | st.none() | st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=8), st.integers(0, 3))  # fmt: skip
def test_every_name_is_found_wherever_it_stands(value: Json, deep: int) -> None:
    for _ in range(deep):
        value = {"k": [value, placeholder("inner")]}
    assert list(names_in(value)).count("inner") == deep
    assert list(names_in({placeholder("key"): value})).count("key") == 1


def test_files_of_bindings_and_values(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    assert read_secrets(tmp_path, None) == BoundSecrets()
    (tmp_path / "secrets.yaml").write_text('secrets:\n  probe: {tools: [http_probe], targets: ["https://a.lan/"]}\n')
    values.write_text(f"secrets: {{probe: {VALUE}}}\n")
    values.chmod(0o644)
    with pytest.raises(PolicyError, match="others may read it"):
        read_secrets(tmp_path, values)
    values.chmod(0o600)
    assert read_secrets(tmp_path, values).value("probe", "http_probe", "https://a.lan/x") == VALUE
    values.write_text(f"secrets: {{other: {VALUE}}}\n")
    with pytest.raises(PolicyError, match="bound to nothing"):
        read_secrets(tmp_path, values)
    for wrong in ("https://u@a.lan/", "a.lan", "https://a.lan/?x=1"):
        (tmp_path / "secrets.yaml").write_text(f'secrets:\n  probe: {{tools: [http_probe], targets: ["{wrong}"]}}\n')
        with pytest.raises(PolicyError, match="without user, query or fragment"):
            read_secrets(tmp_path, None)


def test_the_house_s_own_file_loads() -> None:
    assert read_secrets(Path(__file__).resolve().parents[2] / "policies", None).bindings == {}
