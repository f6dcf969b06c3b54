"""`scan` on a real plan of the blueprint: real Terraform, real provider, real checkov."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bot.domain.calls import Prepared
from tests.fakes import call
from tests.scan_house import RULES
from tests.tool_house import ROOT, ToolHouse, open_tool_house
from tools.scan import Scan

SCANNER = ROOT / ".cache/scanner/bin/checkov"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.skipif(not SCANNER.exists(), reason="`make setup` brings the scanner"),
]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[ToolHouse]:
    with open_tool_house(tmp_path) as opened:
        yield opened


CLUSTER = """
module "cluster" {
  source           = "./blueprints/proxmox-cluster"
  nodes            = ["pve1", "pve2"]
  cluster_endpoint = "192.168.178.30"
  ingress_address  = "192.168.178.31"
  control_planes = {
    cp1 = { node = "pve1", ipv4 = "192.168.178.21", vm_id = 121 }
    cp2 = { node = "pve2", ipv4 = "192.168.178.22", vm_id = 122 }
    cp3 = { node = "pve1", ipv4 = "192.168.178.23", vm_id = 123 }
  }
  template_id     = 9000
  template_node   = "pve1"
  datastore       = "ceph"
  gateway         = "192.168.178.1"
  ssh_public_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJzb5NGzXZQ2b0ioUYCEDH0zzpm3wB0Ba/FdbkZFv5rU ana"]
}
"""


async def findings(house: ToolHouse, revision: str) -> list[dict[str, Any]]:
    tool = Scan(house.workshop, SCANNER, RULES)
    arguments = {"plan": revision[:12]}
    parsed = tool.parse(arguments)
    prepared = await tool.prepare(replace(call("scan"), arguments=arguments), parsed, house.scope)
    assert isinstance(prepared, Prepared)
    result = (await tool.run(prepared, parsed, house.scope, house.watch)).result
    assert result.status == "ok", result.text
    assert result.facts["revision"] == revision
    return cast("list[dict[str, Any]]", result.facts["findings"])


async def test_a_cluster_is_planned_from_a_blueprint_on_another_one_and_is_protected(house: ToolHouse) -> None:
    await house.write(main_tf=CLUSTER)
    planned = await house.use("terraform_plan")
    assert planned.status == "ok", planned.text
    found = await findings(house, str(planned.facts["plan"]))
    machines = [
        f'module.cluster.module.vms.proxmox_virtual_environment_vm.this["{name}"]' for name in ("cp1", "cp2", "cp3")
    ]
    assert {(row["rule"], row["resource"]) for row in found} == {("WATCHBILL_PVE_FIREWALL", one) for one in machines}


async def test_the_blueprint_has_only_findings_that_block_nowhere(house: ToolHouse) -> None:
    found = await findings(house, await house.plan_three())
    machines = [f'module.vms.proxmox_virtual_environment_vm.this["{name}"]' for name in ("cp1", "cp2", "cp3")]
    assert {(row["rule"], row["resource"]) for row in found} == {
        (rule, machine) for rule in ("WATCHBILL_PVE_FIREWALL", "WATCHBILL_PVE_PROTECTION") for machine in machines
    }
    assert {row["severity"] for row in found} == {"low", "info"}
    assert {row["file"] for row in found} == {"blueprints/proxmox-vms/main.tf"}
