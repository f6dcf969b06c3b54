"""What is posted when a mission ends: the report, the same in full as report.md, and a picture of what it built."""

import io

import pytest
from PIL import Image

from bot.cards import report
from bot.closing import Closing, answering
from bot.domain.calls import CallClass
from bot.domain.contract import Criterion, Evidence, EvidenceOutcome, PlanStep, Waiver
from bot.domain.ids import CallId, Json
from bot.domain.posts import File, Report
from bot.domain.state import Built, CallRecord, Mission, Root, Shown
from bot.policy.redaction import SecretRedactor
from bot.report_text import report_text
from bot.topology import Answering, draw
from tests.core_fakes import folded, returned, title
from tests.fakes import ANA, BO, BUILDER, NOW, QA, FakeClock, MemoryArtifacts, mission
from tests.gate_house import SECRET

MACHINES = (Built("cp2", "pve2", 122, "192.168.178.22"), Built("cp1", "pve1", 121, "192.168.178.21"))
URL = "http://192.168.178.30/"


def shown(number: int, outcome: EvidenceOutcome, tool: str, words: str, **arguments: Json) -> Shown:
    return Shown(Evidence(number, outcome, CallId(f"e{number}"), words, QA, "status == `200`", tool, arguments), 9)


def ended(**changes: object) -> Mission:
    record = CallRecord(CallId("e1"), "http_probe", "ok", "HTTP 200\n```\nhello | world", CallClass.READ)
    facts: dict[str, object] = {
        "request": f"three machines, the token is {SECRET}",
        "ended": "partial",
        "criteria": (Criterion(1, "hello | answers", "hello"), Criterion(2, "code only", standard="code-only"), Criterion(3, "DNS", "dns")),
        "steps": (PlanStep(1, "Three VMs", BUILDER, (1,), "proxmox_read vms"),),
        "evidence": {1: shown(1, "passed", "http_probe", "HTTP 200 in 9 ms", url=URL), 3: shown(3, "failed", "dns_probe", "no answer", name="hello.lab")},
        "waivers": {2: Waiver(2, BO, "not today")},
        "results": {CallId("e1"): record},
        "roots": {"terraform_apply .": Root(("cp1 (121) on pve1", "cp2 (122) on pve2"), MACHINES)},
        "applied": ("cp1 (121) on pve1", "cp2 (122) on pve2"),
        "approvals_by": {BO: 2},
    }  # fmt: skip
    return mission(**(facts | changes))


async def test_a_mission_that_built_something_ends_with_a_report_its_text_and_a_picture() -> None:
    artifacts = MemoryArtifacts()
    closing = Closing(artifacts, FakeClock(), title, SecretRedactor(pve_token=SECRET).text)
    said, text, picture = await closing.posts(ended())
    assert isinstance(said.body, Report) and isinstance(text.body, File) and isinstance(picture.body, File)
    assert [post.key for post in (said, text, picture)] == ["report:7", "report.md:7", "topology.png:7"]
    assert await closing.posts(ended()) == (said, text, picture), "said again after a crash, it is the same"
    whole = (await artifacts.get(text.body.artifact) or b"").decode()
    assert SECRET not in whole and "‹secret:pve_token›" in whole
    drawn = Image.open(io.BytesIO(await artifacts.get(picture.body.artifact) or b""))
    assert drawn.format == "PNG" and drawn.width > 600


async def test_a_mission_that_built_nothing_has_no_picture() -> None:
    posts = await Closing(MemoryArtifacts(), FakeClock(), title, str).posts(mission(ended="stopped"))
    assert [post.key for post in posts] == ["report:7", "report.md:7"]


def test_the_text_has_what_was_asked_shown_built_and_what_was_not() -> None:
    post = report(ended(), NOW, code="branch missions/7", audit_head="12:ab")
    assert isinstance(post.body, Report)
    lines = report_text(ended(), post.body, title).splitlines()
    assert lines[0] == "# Mission 7: partial"
    for line in (
        f"> three machines, the token is {SECRET}",
        "| 1 | hello \\| answers | “hello” | passed |",
        "| 2 | code only | standard code-only | waived |",
        "**1** passed. QA's words: HTTP 200 in 9 ms",
        f"Probe: `http_probe` url {URL}, true of what it saw: `status == `200``",
        "**2** waived: not today",
        "| cp1 | pve1 | 192.168.178.21 | 121 |",
        "1. Builder: Three VMs. Checked by: proxmox_read vms.",
        "- 3 DNS: failed",
        "- The code: branch missions/7",
    ):
        assert line in lines, line
    assert lines.index("| cp1 | pve1 | 192.168.178.21 | 121 |") < lines.index("| cp2 | pve2 | 192.168.178.22 | 122 |")
    at = lines.index("````text")
    assert lines[at : at + 5] == ["````text", "HTTP 200", "```", "hello | world", "````"], (
        "nothing in it ends the fence"
    )


def test_only_what_passed_stands_as_answering() -> None:
    assert answering(ended()) == (Answering(URL, "HTTP 200 in 9 ms"),)
    port = {1: shown(1, "passed", "tcp_probe", "open", host="192.168.178.20", port=6443)}
    assert answering(ended(evidence=port)) == (Answering("192.168.178.20:6443", "open"),)


@pytest.mark.parametrize("count", [1, 3, 60])
def test_the_picture_holds_many_machines_long_names_and_none_at_the_edge(count: int) -> None:
    machines = [
        Built("n" * 80 + str(number), f"pve{number % 3}", number, f"10.0.0.{number}") for number in range(count)
    ]
    doors = [Answering("http://x/" + "y" * 200, "z" * 200)] * 5
    drawn = Image.open(io.BytesIO(draw("Mission 7 · done " * 20, machines, doors))).convert("RGB")
    edge = [drawn.getpixel((x, y)) for x in (0, drawn.width - 1) for y in range(drawn.height)]
    assert set(edge) == {(255, 255, 255)}
    assert len(drawn.getcolors(1 << 24) or ()) > 10


def test_what_a_later_run_no_longer_has_is_no_longer_there() -> None:
    machine: dict[str, Json] = {"name": "cp1", "node": "pve1", "vmid": 121, "address": "192.168.178.21"}
    first = returned("c1", "apply", changed=True, facts={"root": ".", "exists": ["cp1", "cp2"], "machines": [machine, {**machine, "name": "cp2"}]})  # fmt: skip
    other = returned("c2", "apply", changed=True, facts={"root": "edge", "exists": ["lb1"], "machines": []})
    again = returned("c3", "apply", changed=True, facts={"root": ".", "exists": ["cp1"], "machines": [machine]})
    assert folded(first, other).applied == ("cp1", "cp2", "lb1")
    state = folded(first, other, again)
    assert state.applied == ("cp1", "lb1")
    assert [one.name for root in state.roots.values() for one in root.machines] == ["cp1"]
    assert state.requester == ANA
