"""An applied plan fills the inventory through the Proxmox API: real Terraform, real provider, the lab's API (rule 25)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.calls import Prepared, ToolResult
from tests.tool_house import VALUES, ToolHouse, open_tool_house
from tools.enrolment import enrolment, rosters
from tools.hosts import Roster
from tools.proxmox_api import Cluster
from tools.proxmox_guest import Guests

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[ToolHouse]:
    with open_tool_house(tmp_path) as opened:
        yield opened


def roster_over(house: ToolHouse, token: str) -> Roster:
    """The estate's hosts, asked for with `token`; applies of `house` fill them from now on."""
    audit = Cluster(house.lab.url, house.lab.audit_token, house.lab.ca)
    guests = Guests(audit, Cluster(house.lab.url, token, house.lab.ca), "debian")
    roster_of = rosters(house.workshop.estates, None, guests.look)
    house.enrol = enrolment(roster_of)
    return roster_of("home")


async def applied(house: ToolHouse, plan: str) -> ToolResult:
    prepared, parsed = await house.prepare("terraform_apply", plan=plan, words="as approved")
    assert isinstance(prepared, Prepared)
    return (await house.tools["terraform_apply"].run(prepared, parsed, house.scope, house.watch)).result


async def test_rule_25_machines_of_an_applied_plan_are_known_by_the_key_that_proxmox_reads(house: ToolHouse) -> None:
    roster = roster_over(house, house.lab.agent_token)
    plan = await house.plan_three()
    assert roster.hosts() == {}
    result = await applied(house, plan)
    assert result.status == "ok", result.text
    hosts = roster.hosts()
    assert {name: host.address for name, host in hosts.items()} == {
        "cp1": "192.168.178.21", "cp2": "192.168.178.22", "cp3": "192.168.178.23",
    }  # fmt: skip
    cp1 = hosts["cp1"]
    assert (cp1.user, cp1.vmid, cp1.node, cp1.groups) == ("debian", 121, "pve1", ("watchbill",))
    assert cp1.source == f"plan {plan[:12]}"
    assert f"cp1 (debian@192.168.178.21): host key {cp1.fingerprints[0]} pinned" in result.text
    assert house.lab.lab("report")["writes_by_audit_token"] == 0


async def test_rule_25_what_a_plan_takes_away_is_no_host_any_more(house: ToolHouse) -> None:
    roster = roster_over(house, house.lab.agent_token)
    await applied(house, await house.plan_three())
    before = roster.hosts()
    fewer = "\n".join(line for line in VALUES.splitlines() if "cp3" not in line) + "\n"
    await house.write(vms_auto_tfvars=fewer)
    planned = await house.use("terraform_plan")
    result = await applied(house, str(planned.facts["plan"]))
    assert result.facts["destroyed"] == 1, result.text
    assert roster.hosts() == {name: before[name] for name in ("cp1", "cp2")}
    assert roster.awaited() == ()


async def test_rule_25_the_audit_token_reads_no_host_keys_so_nothing_is_pinned(house: ToolHouse) -> None:
    roster = roster_over(house, house.lab.audit_token)
    result = await applied(house, await house.plan_three())
    assert result.status == "ok"
    assert roster.hosts() == {}
    assert "cp1: no host key pinned yet" in result.text
    assert all("403" in one.problem for one in roster.awaited())
    later = replace(roster, look=Guests(
        Cluster(house.lab.url, house.lab.audit_token, house.lab.ca),
        Cluster(house.lab.url, house.lab.agent_token, house.lab.ca), "debian",
    ).look)  # fmt: skip
    assert len(later.fill()) == 3
    assert set(roster.hosts()) == {"cp1", "cp2", "cp3"}
