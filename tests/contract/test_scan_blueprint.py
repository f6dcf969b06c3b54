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


async def test_the_blueprint_has_only_findings_that_block_nowhere(house: ToolHouse) -> None:
    revision = await house.plan_three()
    tool = Scan(house.workshop, SCANNER, RULES)
    arguments = {"plan": revision[:12]}
    parsed = tool.parse(arguments)
    prepared = await tool.prepare(replace(call("scan"), arguments=arguments), parsed, house.scope)
    assert isinstance(prepared, Prepared)
    result = (await tool.run(prepared, parsed, house.scope, house.watch)).result
    assert result.status == "ok", result.text
    assert result.facts["revision"] == revision
    found = cast("list[dict[str, Any]]", result.facts["findings"])
    machines = [f'module.vms.proxmox_virtual_environment_vm.this["{name}"]' for name in ("cp1", "cp2", "cp3")]
    assert {(row["rule"], row["resource"]) for row in found} == {
        (rule, machine) for rule in ("WATCHBILL_PVE_FIREWALL", "WATCHBILL_PVE_PROTECTION") for machine in machines
    }
    assert {row["severity"] for row in found} == {"low", "info"}
    assert {row["file"] for row in found} == {"blueprints/proxmox-vms/main.tf"}
