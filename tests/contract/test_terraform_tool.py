"""The Terraform tools with the real binary and provider against the lab's Proxmox API."""

import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.domain.calls import CallClass, Item, Prepared, Target
from tests.tool_house import LabProxmox, ToolHouse, make_toolchain, run_lab_proxmox
from tools.terraform_cli import Toolchain

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


@pytest.fixture(scope="module")
def toolchain() -> Toolchain:
    return make_toolchain()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[LabProxmox]:
    with run_lab_proxmox(tmp_path) as running:
        yield running


@pytest.fixture
def house(lab: LabProxmox, toolchain: Toolchain) -> Iterator[ToolHouse]:
    with tempfile.TemporaryDirectory(prefix="wbt") as folder:
        Path(folder).chmod(0o711)  # so that a child with a user of its own gets there
        yield ToolHouse(Path(folder), lab, toolchain)


async def test_a_plan_is_shown_approved_and_applied_as_it_is(house: ToolHouse) -> None:
    revision = await house.plan_three()
    shown = await house.use("terraform_show", plan=revision[:12])
    assert 'name                                 = "cp1"' in shown.text
    assert shown.facts["revision"] == revision
    prepared, parsed = await house.prepare("terraform_apply", plan=revision[:12], words="step 1")
    assert isinstance(prepared, Prepared)
    assert prepared.effect.cls is CallClass.CHANGE
    assert prepared.effect.items[:1] == (Item("create", "cp1", "2 CPU 4 GiB 30 GiB · 192.168.178.21", "pve1"),)
    assert (prepared.effect.create, prepared.effect.change, prepared.effect.destroy) == (3, 0, 0)
    assert prepared.effect.title == "Apply Terraform plan on pve1, pve2"
    assert Target("vm", "cp2") in prepared.effect.targets
    assert prepared.revision == revision
    apply = house.tools["terraform_apply"]
    assert await apply.pins(prepared, parsed) == prepared.pins
    done = (await apply.run(prepared, parsed, house.scope, house.watch)).result
    assert done.status == "ok", done.text
    assert done.text.startswith("Applied: 3 created, 0 changed, 0 destroyed in ")
    assert (done.facts["created"], done.facts["orphans"], done.changed) == (3, [], True)
    assert {m.name for m in house.lab.machines()} == {"cp1", "cp2", "cp3"}
    state = next(house.data.rglob("terraform.tfstate"))
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert house.locks.held == {}
