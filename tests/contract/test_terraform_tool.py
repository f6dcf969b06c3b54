"""The Terraform tools with the real binary and provider against the lab's Proxmox API."""

import asyncio
import json
import os
import pickle
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bot.domain.calls import CallClass, Item, Prepared, Target, ToolResult
from bot.domain.ids import MissionId
from tests.tool_house import (
    MAIN,
    ROOT,
    VALUES,
    VARIABLES,
    ToolHouse,
    open_tool_house,
)

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[ToolHouse]:
    with open_tool_house(tmp_path) as opened:
        yield opened


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


async def test_rule_16_a_plan_and_an_apply_run_with_a_user_and_ports_of_their_own(house: ToolHouse) -> None:
    await approve(house)
    specs = {p.parent.name: json.loads(p.read_text()) for p in house.data.rglob("runs/*/*/spec.json")}
    port = int(house.lab.url.rpartition(":")[2])
    for name in ("init", "validate", "fmt"):
        assert specs[name]["ports"] == []
    for name in ("plan", "apply"):
        assert specs[name]["ports"] == [port, 53]
        assert specs[name]["uid"] == (64901 if os.geteuid() == 0 else 0)
    assert all(str(house.data / "estates/home/repository") not in path for s in specs.values() for path in s["write"])


async def test_rule_24_tokens_are_in_no_file_and_the_audit_token_writes_nothing(house: ToolHouse) -> None:
    await approve(house)
    for file in (p for p in house.data.rglob("*") if p.is_file()):
        content = file.read_bytes()
        for token in (house.lab.audit_token, house.lab.write_token):
            assert token.encode() not in content, file
    assert house.lab.lab("report")["writes_by_audit_token"] == 0


async def approve(house: ToolHouse) -> ToolResult:
    """Plan three machines and apply them, as after an approval."""
    prepared, parsed = await ready(house)
    return (await house.tools["terraform_apply"].run(prepared, parsed, house.scope, house.watch)).result


async def ready(house: ToolHouse) -> tuple[Prepared, Any]:
    revision = await house.plan_three()
    prepared, parsed = await house.prepare("terraform_apply", plan=revision, words="step 1")
    assert isinstance(prepared, Prepared), prepared
    return prepared, parsed


async def run_apply(house: ToolHouse, prepared: Prepared, parsed: object) -> ToolResult:
    return (await house.tools["terraform_apply"].run(prepared, parsed, house.scope, house.watch)).result


@pytest.mark.parametrize(
    "name", ["code/tfplan", "code/main.tf", "code/.terraform.lock.hcl", "about/plan.json", "provider"]
)
async def test_rule_11_one_byte_changed_in_what_an_apply_reads_voids_it(house: ToolHouse, name: str) -> None:
    prepared, parsed = await ready(house)
    snapshots = house.data / "estates/home/snapshots"
    manifest = json.loads((snapshots / f"manifests/{prepared.snapshot}.json").read_text())
    path = next(
        p for p in manifest["files"] if p == name or (name == "provider" and "terraform-provider-proxmox_v" in p)
    )
    stored = next(snapshots.rglob(manifest["files"][path]["sha256"]))
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 1
    stored.chmod(0o600)
    stored.write_bytes(content)
    assert await house.tools["terraform_apply"].pins(prepared, parsed) != prepared.pins
    result = await run_apply(house, prepared, parsed)
    assert result.status == "refused"
    assert f"{path}: the stored copy was changed" in result.text
    assert house.lab.machines() == ()


async def test_rule_11_a_state_that_moved_after_the_card_voids_it(house: ToolHouse) -> None:
    prepared, parsed = await ready(house)
    other, also = await house.prepare("terraform_apply", plan=prepared.snapshot, words="again")
    assert isinstance(other, Prepared)
    assert (await run_apply(house, prepared, parsed)).status == "ok"
    assert await house.tools["terraform_apply"].pins(other, also) != other.pins
    result = await run_apply(house, other, also)
    assert result.status == "refused"
    assert "Nothing was run" in result.text
    assert "The state moved since this plan was made" in await house.refuse(
        "terraform_apply", plan=prepared.snapshot, words=""
    )
    assert house.lab.lab("report")["vms_created"] == 3


async def test_rule_13_the_same_approval_never_runs_twice(house: ToolHouse) -> None:
    prepared, parsed = await ready(house)
    first = await run_apply(house, prepared, parsed)
    again = await run_apply(house, prepared, parsed)
    assert (first.status, again.status) == ("ok", "refused")
    assert house.lab.lab("report")["double_creates"] == 0


async def test_half_an_apply_names_what_is_made_and_the_next_plan_holds_the_rest(house: ToolHouse) -> None:
    prepared, parsed = await ready(house)
    house.lab.lab("fault", {"kind": "task_fails", "type": "qmclone", "vmid": 122, "message": "no space left"})
    result = await run_apply(house, prepared, parsed)
    assert result.status == "failed", result.text
    assert result.text.startswith("Failed after 2 of 3: 2 created")
    assert "no space left" in result.text
    assert "Not done: cp2" in result.text
    assert "Mend the cause and plan again" in result.text
    assert (result.facts["created"], result.facts["orphans"]) == (2, [])
    assert house.locks.held  # still this mission's: the rest is to come
    again = await house.use("terraform_plan")
    assert again.facts["create"] == 1, again.text


async def test_rule_5_stop_is_one_interrupt_and_says_what_it_left(house: ToolHouse) -> None:
    prepared, parsed = await ready(house)
    house.lab.lab("fault", {"kind": "slow_tasks", "seconds": 3, "type": "qmclone"})
    running = asyncio.ensure_future(run_apply(house, prepared, parsed))
    await until(lambda: bool(house.lab.lab("report")["creates"]))
    house.watch.stops = 1
    result = await running
    assert result.status in {"interrupted", "unknown_outcome"}, result.text
    assert result.text.startswith(("Stopped after", "Ended after"))
    assert any("stopping after what is under way" in parts for parts in house.watch.told)
    known = {m.vmid for m in house.lab.machines()}
    state = (await house.use("terraform_state")).text
    assert all(f"VM {vmid} on" in str(result.facts["orphans"]) or f"({vmid})" in state for vmid in known)


WORKER = """
import asyncio, pickle, sys
from pathlib import Path
from tests.tool_house import LabProxmox, ToolHouse, make_toolchain
async def work(data, place):
    house = ToolHouse(data, LabProxmox.read(place), make_toolchain())
    prepared, parsed = await house.prepare("terraform_apply", plan=sys.argv[3], words="x")
    (place / "prepared").write_bytes(pickle.dumps((prepared, parsed)))
    await house.tools["terraform_apply"].run(prepared, parsed, house.scope, house.watch)
asyncio.run(work(Path(sys.argv[1]), Path(sys.argv[2])))
"""


async def test_rule_13_an_apply_whose_worker_was_killed_is_looked_at_and_not_run_again(
    house: ToolHouse, tmp_path: Path
) -> None:
    revision = await house.plan_three()
    house.lab.lab("fault", {"kind": "slow_tasks", "seconds": 2, "type": "qmclone"})
    argv = [sys.executable, "-c", WORKER, str(house.data), str(tmp_path), revision]
    worker = subprocess.Popen(argv, cwd=ROOT)
    await until(lambda: bool(house.lab.lab("report")["creates"]))
    worker.kill()
    worker.wait()
    prepared, parsed = pickle.loads((tmp_path / "prepared").read_bytes())  # noqa: S301 - our own file
    done = await house.tools["terraform_apply"].recover(prepared, parsed, house.scope, house.watch)
    assert any("waits for the process of the earlier worker" in parts for parts in house.watch.told)
    assert done.result.status == "ok", done.result.text
    assert "by an earlier worker" in done.result.text
    assert (done.result.facts["created"], done.result.facts["orphans"]) == (3, [])
    report = house.lab.lab("report")
    assert (report["vms_created"], report["double_creates"], report["refused_creates"]) == (3, 0, 0)
    assert house.locks.held == {}


async def test_rule_13_killed_terraform_leaves_named_orphans(house: ToolHouse) -> None:
    prepared, parsed = await ready(house)
    house.lab.lab("fault", {"kind": "slow_tasks", "seconds": 3, "type": "qmclone"})
    running = asyncio.ensure_future(run_apply(house, prepared, parsed))
    await until(lambda: len(house.lab.lab("report")["creates"]) == 3)
    for pid in processes_of(house, prepared):
        os.kill(pid, signal.SIGKILL)
    result = await running
    assert result.status == "unknown_outcome", result.text
    exist = {f"{m.name} (VM {m.vmid} on {m.node})" for m in house.lab.machines()}
    assert set(map(str, cast("list[str]", result.facts["orphans"]))) == exist
    assert {m.name for m in house.lab.machines()} == {"cp1", "cp2", "cp3"}
    again = await house.tools["terraform_apply"].recover(prepared, parsed, house.scope, house.watch)
    assert again.result.status == "unknown_outcome"
    assert again.result.facts["orphans"] == result.facts["orphans"]


async def test_rule_13_nothing_begun_is_told_as_nothing_run(house: ToolHouse) -> None:
    prepared, parsed = await ready(house)
    done = await house.tools["terraform_apply"].recover(prepared, parsed, house.scope, house.watch)
    assert done.result.status == "failed"
    assert done.result.text.startswith("Nothing was run")
    assert house.locks.held == {}


async def test_a_removal_is_planned_and_classed_as_destroy(house: ToolHouse) -> None:
    await approve(house)
    planned = await house.use("terraform_plan", destroy=True)
    prepared, parsed = await house.prepare("terraform_apply", plan=str(planned.facts["plan"]), words="remove")
    assert isinstance(prepared, Prepared)
    assert prepared.effect.cls is CallClass.DESTROY
    assert [i.name for i in prepared.effect.items[:3]] == ["cp1", "cp2", "cp3"]
    result = await run_apply(house, prepared, parsed)
    assert result.status == "ok", result.text
    assert house.lab.machines() == ()
    assert list((house.data / "estates/home/backups/%root").glob("*.tfstate"))


async def test_a_machine_deleted_outside_raises_the_class(house: ToolHouse) -> None:
    await approve(house)
    house.lab.lab("out_of_band", {"vmid": 122, "action": "delete"})
    planned = await house.use("terraform_plan")
    prepared, _ = await house.prepare("terraform_apply", plan=str(planned.facts["plan"]), words="again")
    assert isinstance(prepared, Prepared)
    assert prepared.effect.cls is CallClass.DESTROY
    assert any("gone from Proxmox" in note for note in prepared.effect.notes)


async def test_one_mission_at_a_time_has_the_estate(house: ToolHouse) -> None:
    house.locks.held["estate/home"] = ("6", "from plan to apply")
    await house.write(main_tf=MAIN, variables_tf=VARIABLES, vms_auto_tfvars=VALUES)
    result = await house.use("terraform_plan")
    assert result.status == "refused"
    assert result.text == (
        "The estate is in use: mission 6 has it, from plan to apply. "
        "It is free when that mission ends; STOP in its thread ends it. Plan again then."
    )


async def test_a_plan_of_another_mission_is_unknown_here(house: ToolHouse) -> None:
    revision = await house.plan_three()
    house.scope = replace(house.scope, mission=replace(house.scope.mission, id=MissionId("8")))
    assert "is no plan of this mission" in await house.refuse("terraform_apply", plan=revision, words="")
    assert "is no plan of this mission" in await house.refuse("terraform_show", plan="0" * 12)


HOSTILE = [
    ('locals {\n  x = file("/etc/shadow")\n}\n', "files are read only inside the workspace"),
    ('data "external" "x" {\n  program = ["id"]\n}\n', "runs a program while planning"),
    ('terraform {\n  backend "local" {}\n}\n', "the gate sets where the state is kept"),
    ('module "m" {\n  source = "terraform-aws-modules/vpc/aws"\n}\n', "modules come from blueprints only"),
    (
        'terraform {\n  required_providers {\n    proxmox = {\n      source = "hashicorp/proxmox"\n    }\n  }\n}\n',
        "bpg/proxmox",
    ),
]


@pytest.mark.parametrize(("main", "said"), HOSTILE)
async def test_rule_16_hostile_code_is_refused_before_anything_runs(house: ToolHouse, main: str, said: str) -> None:
    await house.write(main_tf=main)
    for tool in ("terraform_plan", "terraform_validate"):
        assert said in await house.refuse(tool)
    assert not list((house.data / "estates/home/runs").iterdir())
    assert house.locks.held == {}


async def test_rule_16_json_code_and_changed_blueprints_are_refused(house: ToolHouse) -> None:
    await house.write(main_tf=MAIN)
    await house.use("workspace_write", path="x.tf.json", content="{}")
    assert "x.tf.json: JSON syntax is not read" in await house.refuse("terraform_plan")
    tree = house.data / "estates/home/worktrees/7"
    (tree / "x.tf.json").unlink()
    (tree / "blueprints/proxmox-vms/main.tf").write_text("# emptied\n")
    assert "differs from the vetted blueprint" in await house.refuse("terraform_plan")


async def test_rule_16_what_is_not_listed_asks(house: ToolHouse) -> None:
    head = 'terraform {\n  required_providers {\n    proxmox = {\n      source = "bpg/proxmox"\n    }\n  }\n}\n'
    await house.write(main_tf=head + 'data "proxmox_virtual_environment_users" "u" {}\n')
    prepared, parsed = await house.prepare("terraform_plan")
    assert isinstance(prepared, Prepared)
    assert prepared.effect.cls is CallClass.UNKNOWN
    assert "is not on the allow list" in prepared.full_text
    await house.write(main_tf=head + "# changed after it was asked\n")
    result = (await house.tools["terraform_plan"].run(prepared, parsed, house.scope, house.watch)).result
    assert "main.tf (" in result.text or result.status == "failed"
    assert "users" not in result.text or "proxmox_virtual_environment_users" in result.text


async def test_errors_of_terraform_come_with_file_and_line(house: ToolHouse) -> None:
    await house.write(main_tf='output "x" {\n  value = local.nope\n}\n')
    result = await house.use("terraform_validate")
    assert result.status == "failed"
    assert "Error main.tf:2: Reference to undeclared local value" in result.text
    await house.write(main_tf='output "x" {\n  value = 1\n}\n')
    assert (await house.use("terraform_validate")).text == "valid"
    await house.write(main_tf='output "x" {\nvalue = 1\n}\n')
    assert "Not formatted as `terraform fmt` would: main.tf" in (await house.use("terraform_validate")).text


async def test_a_plan_that_fails_gives_the_estate_free(house: ToolHouse) -> None:
    bad = VALUES.replace("192.168.178.22", "192.168.178.21")
    await house.write(main_tf=MAIN, variables_tf=VARIABLES, vms_auto_tfvars=bad)
    result = await house.use("terraform_plan")
    assert result.status == "failed"
    assert "Two of vms have the same ipv4 address" in result.text
    assert house.locks.held == {}


async def test_rule_22_sensitive_outputs_are_masked_and_learned(house: ToolHouse) -> None:
    code = 'output "secret" {\n  value     = sensitive("correct-horse-battery")\n  sensitive = true\n}\n'
    await house.write(main_tf=code)
    planned = await house.use("terraform_plan")
    assert "correct-horse-battery" in house.secrets
    shown = await house.use("terraform_show", plan=str(planned.facts["plan"]))
    prepared, parsed = await house.prepare("terraform_apply", plan=str(planned.facts["plan"]), words="")
    assert isinstance(prepared, Prepared)
    applied = await run_apply(house, prepared, parsed)
    assert applied.status == "ok", applied.text
    outputs = await house.use("terraform_output")
    assert outputs.text == "secret = (sensitive)"
    for text in (planned.text, shown.text, applied.text, prepared.full_text, repr(prepared.effect)):
        assert "correct-horse-battery" not in text


async def test_a_missing_terraform_is_named_before_anything_is_tried(house: ToolHouse) -> None:
    await house.write(main_tf=MAIN)
    house.toolchain = replace(house.toolchain, binary=Path("/nowhere/terraform"))
    assert "/nowhere/terraform is missing" in await house.refuse("terraform_plan")


async def until(true: Callable[[], bool]) -> None:
    for _ in range(300):
        if await asyncio.to_thread(true):
            return
        await asyncio.sleep(0.1)
    pytest.fail("it never happened")


def processes_of(house: ToolHouse, prepared: Prepared) -> list[int]:
    """Terraform, its providers and its warden, as SIGKILL of everything would hit them."""
    place = next(house.data.glob(f"estates/home/runs/apply-{prepared.snapshot[:8]}-*/apply/started.json"))
    facts = json.loads(place.read_text())
    children = [int(p.name) for p in Path("/proc").glob("[0-9]*") if stat_parent(p) == facts["pid"]]
    return [facts["warden"], facts["pid"], *children]


def stat_parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
