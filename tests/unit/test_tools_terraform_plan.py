"""From plan JSON to class and items; from an apply's end to words; the snapshot store (rules 11, 13, 22)."""

import json
from pathlib import Path
from typing import Any

import pytest

from bot.domain.calls import CallClass, Item
from tools.run_directory import Ended, Vanished
from tools.snapshot import ChangedError, Manifest, Snapshots
from tools.terraform_outcome import Ending, Planned, Progress, find_orphans, tell_ending
from tools.terraform_plan import Machine, Seen, UnusablePlanError, is_empty, sensitive_values, summarise
from tools.terraform_state import DamagedStateError, State

VM: dict[str, Any] = {
    "name": "cp1",
    "node_name": "pve1",
    "vm_id": 121,
    "cpu": [{"cores": 2}],
    "memory": [{"dedicated": 4096}],
    "disk": [{"size": 30}],
    "initialization": [{"ip_config": [{"ipv4": [{"address": "192.168.178.21/24"}]}]}],
}


def change(*actions: str, kind: str = "proxmox_virtual_environment_vm", **more: Any) -> dict[str, Any]:
    before = None if actions == ("create",) else VM
    after = None if actions == ("delete",) else VM
    inner = {"actions": list(actions), "before": before, "after": after, **more.pop("change", {})}
    return {"address": f"{kind}.a", "type": kind, "mode": "managed", "change": inner, **more}


def plan(*changes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"format_version": "1.2", "resource_changes": list(changes), **more}


@pytest.mark.parametrize(
    ("actions", "cls", "action", "counts"),
    [
        (("create",), CallClass.CHANGE, "create", (1, 0, 0)),
        (("update",), CallClass.CHANGE, "update", (0, 1, 0)),
        (("delete",), CallClass.DESTROY, "delete", (0, 0, 1)),
        (("delete", "create"), CallClass.DESTROY, "replace", (1, 0, 1)),
        (("create", "delete"), CallClass.DESTROY, "replace", (1, 0, 1)),
        (("forget",), CallClass.DESTROY, "forget", (0, 0, 1)),
        (("create", "forget"), CallClass.DESTROY, "replace", (1, 0, 1)),
        (("explode",), CallClass.DESTROY, "explode", (0, 0, 1)),
        ((), CallClass.DESTROY, "unknown", (0, 0, 1)),
    ],
)
def test_the_class_comes_from_the_actions(
    actions: tuple[str, ...], cls: CallClass, action: str, counts: tuple[int, int, int]
) -> None:
    effect = summarise(plan(change(*actions))).effect
    assert effect.cls is cls
    assert [i.action for i in effect.items] == [action]
    assert (effect.create, effect.change, effect.destroy) == counts


def test_a_machine_reads_as_people_say_it() -> None:
    effect = summarise(plan(change("create"))).effect
    assert effect.items == (Item("create", "cp1", "2 CPU 4 GiB 30 GiB · 192.168.178.21", "pve1"),)
    assert effect.title == "Apply Terraform plan on pve1"
    assert effect.undo == "Destroy the 1 created."
    assert effect.notes == ("Touches nothing that exists.",)


EXISTING: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]] = [
    ({"disk": [{"path_in_datastore": "/dev/sda"}]}, {}, None),
    ({"disk": [{"path_in_datastore": "vm-100-disk-0"}]}, {}, None),
    ({"disk": [{"file_id": "local:iso/x.img"}]}, {}, None),
    ({"disk": [{"size": 8}]}, {"disk": [{"path_in_datastore": True}]}, {"disk": [{"path_in_datastore": {}}]}),
    ({"disk": [{"size": 8}]}, {"disk": [{"file_id": True}]}, None),
    ({}, {"disk": True}, {"disk": []}),
    ({"cdrom": [{"file_id": "cdrom"}]}, {}, None),
    ({"serial_device": [{"device": "/dev/ttyS0"}]}, {}, None),
]


@pytest.mark.parametrize(("values", "unknown", "said"), EXISTING)
def test_rule_15_a_machine_that_uses_an_existing_volume_touches_something(
    values: dict[str, Any], unknown: dict[str, Any], said: dict[str, Any] | None
) -> None:
    one = plan(change("create", change={"after": VM | values, "after_unknown": unknown}))
    if said is not None:
        row = {"address": "proxmox_virtual_environment_vm.a", "expressions": said}
        one["configuration"] = {"root_module": {"resources": [row]}}
    notes = summarise(one).effect.notes
    assert notes[0].startswith("Uses what exists already: cp1: ")
    assert "Touches nothing that exists." not in notes


def test_rule_15_a_new_disk_whose_path_proxmox_chooses_touches_nothing() -> None:
    unknown = {"disk": [{"path_in_datastore": True, "size": False}]}
    one = plan(change("create", change={"after_unknown": unknown}))
    row: dict[str, Any] = {"address": "proxmox_virtual_environment_vm.a", "expressions": {"disk": [{"size": {}}]}}
    one["configuration"] = {"root_module": {"resources": [row]}}
    assert summarise(one).effect.notes == ("Touches nothing that exists.",)


def test_rule_15_a_machines_own_volumes_are_not_told_again() -> None:
    own = VM | {"disk": [{"size": 30, "path_in_datastore": "base-9000-disk-0/vm-121-disk-0"}]}
    notes = summarise(plan(change("update", change={"before": own, "after": own | {"tags": ["x"]}}))).effect.notes
    assert notes == ()


@pytest.mark.parametrize(
    ("one", "counts", "undo"),
    [
        (change("no-op", change={"importing": {"id": "pve1/302"}}),
         "0 to create, 0 to change, 0 to destroy, 1 to import",
         "Take the 1 imported out of the state again, which deletes nothing."),
        (change("no-op", previous_address="x.b"),
         "0 to create, 0 to change, 0 to destroy, 1 to move", "Move the 1 back in the code."),
        (change("forget"), "0 to create, 0 to change, 1 to destroy", "Import the 1 forgotten again, which still exist."),
        (change("delete"), "0 to create, 0 to change, 1 to destroy",
         "What is deleted is gone; only a backup brings it back."),
        (change("update", change={"importing": {"id": "pve1/302"}}),
         "0 to create, 1 to change, 0 to destroy, 1 to import",
         "Apply the earlier code to the 1 changed and take the 1 imported out of the state again, which deletes nothing."),
    ],
)  # fmt: skip
def test_rule_15_imports_and_moves_destroy_nothing_and_undo_is_true(one: dict[str, Any], counts: str, undo: str) -> None:  # fmt: skip
    found = summarise(plan(one))
    assert (found.counts, found.effect.undo) == (counts, undo)
    assert "Touches nothing that exists." not in found.effect.notes


def test_rule_15_a_change_of_many_attributes_says_how_many_more_and_the_weighty_ones_first() -> None:
    names = [f"a{number}" for number in range(12)]
    after = VM | dict.fromkeys(names, 1) | {"kvm_arguments": "-x"}
    unknown = {"hook_script_file_id": True, "ipv4_addresses": True}
    (item,) = summarise(plan(change("update", change={"after": after, "after_unknown": unknown}))).effect.items
    assert item.detail.startswith("hook_script_file_id (known at apply), kvm_arguments, a0, ")
    assert item.detail.endswith(" and 6 more")


def test_a_left_over_copy_is_a_deletion() -> None:
    effect = summarise(plan(change("delete", deposed="abcd1234"))).effect
    assert (effect.cls, effect.destroy) == (CallClass.DESTROY, 1)


def test_imports_moves_and_outputs_are_shown() -> None:
    moved = change("no-op", previous_address="proxmox_virtual_environment_vm.b")
    imported = change("update", change={"importing": {"id": "pve1/121"}})
    found = summarise(plan(moved, imported, output_changes={"x": {"actions": ["create"], "after_sensitive": True}}))
    assert [(i.action, i.detail) for i in found.effect.items] == [
        ("update", ""),
        ("import", "id pve1/121"),
        ("move", "was proxmox_virtual_environment_vm.b"),
        ("output", "create (sensitive)"),
    ]
    assert found.effect.cls is CallClass.CHANGE


@pytest.mark.parametrize(
    "more", [{"errored": True}, {"complete": False}, {"format_version": "2.0"}, {"format_version": ""}]
)
def test_an_errored_incomplete_or_foreign_plan_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(UnusablePlanError):
        summarise(plan(change("create")) | more)


def test_drift_raises_the_class_only_for_what_vanished() -> None:
    moved_address = change("update")
    assert summarise(plan(change("create"), resource_drift=[moved_address])).effect.cls is CallClass.CHANGE
    effect = summarise(plan(change("create"), resource_drift=[change("delete")])).effect
    assert effect.cls is CallClass.DESTROY
    assert any("gone from Proxmox" in note for note in effect.notes)


def test_what_is_deferred_or_an_action_cannot_be_foreseen() -> None:
    for name in ("deferred_changes", "action_invocations"):
        more: dict[str, Any] = {name: [{}]}
        assert summarise(plan(change("create"), **more)).effect.cls is CallClass.DESTROY


def test_rule_22_sensitive_values_are_named_for_the_redactor_and_stand_in_no_item() -> None:
    after = VM | {"name": "hidden-name", "initialization": [{"user_account": [{"password": "hunter22"}]}]}
    masks = {"name": True, "initialization": [{"user_account": [{"password": True}]}]}
    secret = plan(change("create", change={"after": after, "after_sensitive": masks}))
    secret["output_changes"] = {"o": {"actions": ["create"], "after": {"k": ["deep"]}, "after_sensitive": True}}
    assert set(sensitive_values(secret)) == {"hidden-name", "hunter22", "deep"}
    assert "hunter22" not in repr(summarise(secret).effect)
    assert "hidden-name" not in repr(summarise(secret).effect.items)


def test_a_plan_without_changes_is_empty() -> None:
    assert is_empty(plan(change("no-op")))
    assert is_empty(plan(change("read")))
    assert not is_empty(plan(change("no-op"), output_changes={"x": {"actions": ["create"]}}))
    assert not is_empty(plan(change("no-op", previous_address="x.y")))


# What became of an apply -----------------------------------------------------------------------------------------------

MADE = Machine("proxmox_virtual_environment_vm.a", "cp1", "pve1")
THERE = (Seen(100, "mine", "pve1"),)
PLANNED = Planned(2, ("proxmox_virtual_environment_vm.a", "x.b"), (MADE,), THERE)
STATE: dict[str, Any] = {"serial": 1, "resources": []}


def line(kind: str, address: str = "proxmox_virtual_environment_vm.a", action: str = "create") -> str:
    return json.dumps({"type": kind, "hook": {"resource": {"addr": address}, "action": action}})


def heard(*lines: str) -> Progress:
    progress = Progress()
    progress.hear(lines)
    return progress


def test_rule_13_what_exists_and_is_in_no_state_is_named() -> None:
    seen = (*THERE, Seen(121, "cp1", "pve1"), Seen(122, "other", "pve2"))
    assert find_orphans(PLANNED, (), seen) == seen[1:]
    assert find_orphans(PLANNED, (Machine("a", "cp1", "pve1", 121),), seen) == seen[2:]
    unknown_before = Planned(2, (), (MADE,), None)
    assert find_orphans(unknown_before, (), seen) == (seen[1],)
    assert find_orphans(PLANNED, (), None) == ()


def test_rule_13_a_vanished_apply_is_an_unknown_outcome_with_its_orphans() -> None:
    progress = heard(line("apply_start"))
    told = tell_ending(Ending(Vanished(), progress, PLANNED, recovered=True), STATE, (*THERE, Seen(121, "cp1", "pve1")))
    assert told.status == "unknown_outcome"
    assert told.facts["orphans"] == ["cp1 (VM 121 on pve1)"]
    assert "In no state, but in Proxmox: cp1 (VM 121 on pve1)" in told.text
    assert "Nothing is retried" in told.text


def test_half_an_apply_says_what_was_made_what_not_and_what_to_do() -> None:
    error = json.dumps({"type": "diagnostic", "@level": "error", "diagnostic": {"severity": "error", "summary": "no"}})
    progress = heard(line("apply_start"), line("apply_complete"), line("apply_errored", "x.b"), error)
    told = tell_ending(Ending(Ended(1, "exit", 4.0), progress, PLANNED), STATE, THERE)
    assert told.status == "failed"
    assert told.text.startswith("Failed after 1 of 2: 1 created, 0 changed, 0 destroyed (exit 1 in 4 s)\nError: no\n")
    assert "Not done: x.b" in told.text
    assert "plan again" in told.text


def test_a_stopped_apply_says_so() -> None:
    told = tell_ending(Ending(Ended(1, "exit", 4.0), heard(), PLANNED, stopped=True), STATE, THERE)
    assert told.status == "interrupted"
    assert told.text.startswith("Stopped after 0 of 2")


def test_a_finished_apply_is_ok_and_a_silent_proxmox_is_said() -> None:
    told = tell_ending(Ending(Ended(0, "exit", 41.0), heard(line("apply_complete")), PLANNED), STATE, None)
    assert told.status == "ok"
    assert told.text.startswith("Applied: 1 created, 0 changed, 0 destroyed in 41 s")
    assert "Proxmox could not be asked" in told.text


def test_a_damaged_state_is_no_success() -> None:
    told = tell_ending(Ending(Ended(0, "exit", 1.0), heard(), PLANNED), "the state is empty", THERE)
    assert told.status == "unknown_outcome"
    assert "the state is empty" in told.text


# State and snapshots ---------------------------------------------------------------------------------------------------


def test_rule_13_an_empty_or_missing_state_with_a_backup_is_damaged_not_new(tmp_path: Path) -> None:
    state = State(tmp_path / "s", tmp_path / "b")
    state.ensure()
    assert state.read() == {}
    assert state.pins() == {"state.lineage": "none", "state.serial": "none", "state.sha256": "none"}
    state.file.write_text(json.dumps({"serial": 3, "lineage": "l", "resources": []}))
    backup = state.back_up()
    assert backup is not None
    assert backup.name.startswith("00000003-")
    assert backup.stat().st_mode & 0o777 == 0o400
    assert state.pins()["state.serial"] == "3"
    for content in ("", "{", "[]"):
        state.file.write_text(content)
        with pytest.raises(DamagedStateError, match=backup.name):
            state.read()
    state.file.unlink()
    with pytest.raises(DamagedStateError):
        state.pins()


def test_rule_11_every_stored_byte_is_compared_before_use(tmp_path: Path) -> None:
    store = Snapshots(tmp_path / "s")
    manifest = Manifest({"code/a": store.keep(b"one"), "code/b": store.keep(b"two", executable=True)}, {"kind": "code"})
    revision = store.seal(manifest)
    assert store.load(revision) == manifest
    assert store.find(revision[:8]) == (revision,)
    assert store.find(revision[:7]) == store.find("../../../x") == ()
    (tmp_path / "out").mkdir()
    store.unpack(manifest, ["code/a", "code/b"], tmp_path / "out")
    assert (tmp_path / "out/code/b").read_bytes() == b"two"
    assert (tmp_path / "out/code/b").stat().st_mode & 0o777 == 0o700
    stored = next(p for p in (tmp_path / "s").rglob(manifest.files["code/a"].sha256))
    stored.chmod(0o600)
    stored.write_bytes(b"onE")
    for use in (lambda: store.verify(manifest), lambda: store.unpack(manifest, ["code/a"], tmp_path / "out")):
        with pytest.raises(ChangedError, match="code/a"):
            use()
    listing = tmp_path / "s/manifests" / f"{revision}.json"
    listing.chmod(0o600)
    listing.write_bytes(listing.read_bytes().replace(b"code/a", b"code/c"))
    with pytest.raises(ChangedError):
        store.load(revision)


def test_used_and_old_plans_are_deleted(tmp_path: Path) -> None:
    store = Snapshots(tmp_path)
    manifest = Manifest({"code/tfplan": store.keep(b"secret"), "code/a": store.keep(b"code")}, {"kind": "plan"})
    store.seal(manifest)
    store.forget_old(0, "/tfplan")
    assert store.take(manifest, "code/tfplan") == b"secret"
    store.forget_old(4e9, "/tfplan")
    with pytest.raises(ChangedError, match="gone"):
        store.take(manifest, "code/tfplan")
    assert store.take(manifest, "code/a") == b"code"
