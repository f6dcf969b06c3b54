"""No agent chooses the environment of its own plan: what a plan cannot name is production (rules 11, 12)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.calls import Target
from bot.policy.environments import EnvironmentMap, EnvironmentsFile
from tools.terraform_plan import summarise
from tools.terraform_targets import targets_of

VM = "proxmox_virtual_environment_vm"
POOL = "proxmox_virtual_environment_pool"
MEMBERS: dict[str, Any] = {"homelab": {"node": ["pve1", "*"], "vm": ["cp*"], "pool": ["play"]}}
HOMELAB = EnvironmentsFile(order=["lab", "homelab", "production"], members=MEMBERS).typed()


def change(kind: str, action: str, values: dict[str, Any], unknown: dict[str, Any] | None = None) -> dict[str, Any]:
    before = None if action == "create" else values
    after = None if action in {"delete", "forget"} else values
    inner = {"actions": [action], "before": before, "after": after, "after_unknown": unknown or {}}
    return {"address": f"{kind}.x", "type": kind, "change": inner}


def vm(name: str = "cp1", node: str = "pve1", action: str = "create", **more: Any) -> dict[str, Any]:
    return change(VM, action, {"name": name, "node_name": node, **more})


def plan(*changes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"format_version": "1.2", "resource_changes": list(changes), **more}


def environment(of: dict[str, Any], known: EnvironmentMap = HOMELAB) -> str:
    return known.strictest([known.of(target.kind, target.name) for target in summarise(of).effect.targets])


def test_rule_12_what_is_mapped_keeps_its_environment() -> None:
    assert environment(plan(vm())) == "homelab"
    assert environment(plan(vm(pool_id="play"))) == "homelab"
    assert environment(plan(change(POOL, "update", {"pool_id": "play"}))) == "homelab"


@pytest.mark.parametrize("missing", ["name", "node_name"])
def test_rule_12_a_name_or_node_that_is_not_known_yet_is_production_and_said(missing: str) -> None:
    values = {"name": "cp1", "node_name": "pve1"}
    del values[missing]
    for unknown in ({}, {missing: True}):
        of = plan(change(VM, "create", values, unknown))
        assert environment(of) == "production"
        assert any(f"{missing} of {VM}.x" in note and "production" in note for note in summarise(of).effect.notes)


def test_rule_11_the_last_of_many_machines_counts_as_the_first() -> None:
    of = plan(*[vm(f"cp{number}") for number in range(80)], vm("db", action="delete"))
    assert environment(of) == "production"
    assert Target("vm", "db") in targets_of(of)
    assert len(targets_of(of)) == 82


def test_many_nodes_are_cut_only_in_the_title() -> None:
    of = plan(*[vm(node=f"pve{number}") for number in range(1, 8)])
    assert summarise(of).effect.title == "Apply Terraform plan on pve1, pve2, pve3, pve4, pve5 and 2 more"
    assert sum(target.kind == "node" for target in targets_of(of)) == 7


@pytest.mark.parametrize("action", ["create", "update", "delete", "forget"])
def test_rule_12_pools_and_everything_else_that_changes_count(action: str) -> None:
    assert environment(plan(change(POOL, action, {"pool_id": "prod"}))) == "production"
    assert environment(plan(vm(), vm(pool_id="prod", action=action))) == "production"
    assert environment(plan(vm(), change("terraform_data", action, {"input": "x"}))) == "production"
    assert environment(plan(vm(), change("proxmox_virtual_environment_user", action, {"name": "cp1"}))) == "production"


def test_rule_12_a_pool_that_is_not_known_yet_is_production() -> None:
    of = plan(change(VM, "create", {"name": "cp1", "node_name": "pve1"}, {"pool_id": True}))
    assert Target("unknown", f"pool_id of {VM}.x") in targets_of(of)
    assert environment(of) == "production"


def test_rule_12_both_sides_of_a_change_count() -> None:
    renamed = change(VM, "update", {"name": "cp1", "node_name": "pve1"})
    renamed["change"]["before"] = {"name": "db", "node_name": "pve1"}
    assert environment(plan(renamed)) == "production"


def test_rule_12_what_is_deferred_is_production() -> None:
    more: dict[str, Any] = {"deferred_changes": [{}]}
    assert environment(plan(vm(), **more)) == "production"


@given(st.lists(st.sampled_from(["cp1", "cp2", "db", "", None]), min_size=1, max_size=60), st.data())
def test_rule_12_one_unmapped_machine_among_any_is_enough(names: list[str | None], data: st.DataObject) -> None:
    changes = [change(VM, data.draw(st.sampled_from(["create", "delete"])), {"name": name, "node_name": "pve1"}) for name in names]  # fmt: skip
    wanted = "homelab" if set(names) <= {"cp1", "cp2"} else "production"
    assert environment(plan(*changes)) == wanted
