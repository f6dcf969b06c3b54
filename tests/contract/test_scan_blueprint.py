"""`scan` on a real plan of the blueprint: real Terraform, real provider, real checkov."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bot.domain.calls import Prepared
from tests.fakes import call
from tests.scan_house import RULES
from tests.tool_house import ROOT, LabProxmox, ToolHouse, make_toolchain, run_lab_proxmox
from tools.scan import Scan

SCANNER = ROOT / ".cache/scanner/bin/checkov"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.skipif(not SCANNER.exists(), reason="`make setup` brings the scanner"),
]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[LabProxmox]:
    with run_lab_proxmox(tmp_path) as running:
        yield running


@pytest.fixture
def house(lab: LabProxmox) -> Iterator[ToolHouse]:
    with tempfile.TemporaryDirectory(prefix="wbt") as folder:
        Path(folder).chmod(0o711)  # so that a child with a user of its own gets there
        yield ToolHouse(Path(folder), lab, make_toolchain())


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
