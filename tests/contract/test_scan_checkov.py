"""`scan` with the real checkov and the house's own rules."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.domain.calls import ToolResult
from tests.scan_house import BAD, RULES, VM, ScanHouse, plan_of, rules_of, vm
from tests.tool_house import ROOT
from tools.scan_devices import FOREIGN_VOLUME, HOST_FILE
from tools.scan_report import read_rules

SCANNER = ROOT / ".cache/scanner/bin/checkov"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SCANNER.exists(), reason="`make setup` brings the scanner"),
]
CODE = f'resource "{VM}" "bad" {{\n  name = "bad"\n}}\n'
IMAGE = "proxmox_virtual_environment_download_file"
USER: dict[str, Any] = {"username": "debian", "keys": [], "password": None}
# One machine for each rule that breaks this rule and no other.
BREAKS: dict[str, dict[str, Any]] = {
    "WATCHBILL_PVE_AGENT": {"agent": [{"enabled": False}]},
    "WATCHBILL_PVE_ARGUMENTS": {"kvm_arguments": "-cpu host"},
    "WATCHBILL_PVE_DEVICES": {"hostpci": [{"device": "hostpci0"}, {"device": "hostpci1"}]},
    "WATCHBILL_PVE_FIREWALL": {"network_device": [{"firewall": True}, {"firewall": False}]},
    "WATCHBILL_PVE_HOST_FILE": {"serial_device": [{"device": "socket"}, {"device": "/dev/ttyS0"}]},
    "WATCHBILL_PVE_HOOK": {"hook_script_file_id": "local:snippets/hook.sh"},
    "WATCHBILL_PVE_ON_BOOT": {"on_boot": False},
    "WATCHBILL_PVE_PASSWORD": {"initialization": [{"user_account": [{**USER, "password": "hunter2"}]}]},
    "WATCHBILL_PVE_PROTECTION": {"protection": False},
    "WATCHBILL_PVE_ROOT": {"initialization": [{"user_account": [{**USER, "username": "root"}]}]},
    "WATCHBILL_PVE_SNIPPET": {
        "initialization": [{"user_account": [USER], "user_data_file_id": "local:snippets/user.yaml"}]
    },
    "WATCHBILL_PVE_TAGS": {"tags": None},
    "WATCHBILL_PVE_VOLUME": {"disk": [{"size": 8, "path_in_datastore": "/dev/sda"}]},
}


@pytest.fixture
def house() -> Iterator[ScanHouse]:
    with tempfile.TemporaryDirectory(prefix="wbs") as folder:
        Path(folder).chmod(0o711)  # so that a child with a user of its own gets there
        yield ScanHouse(Path(folder), SCANNER)


async def test_every_rule_finds_what_it_is_for_and_nothing_else(house: ScanHouse) -> None:
    machines = [vm(rule.lower(), **values) for rule, values in BREAKS.items()]
    images = [
        vm("plain", kind=IMAGE, url="http://example.org/a.img", checksum="ab12", checksum_algorithm="sha256"),
        vm("moving", kind=IMAGE, url="https://example.org/latest.img"),
    ]
    revision = house.seal(plan_of(vm("good"), *machines, *images), {"main.tf": "# not here\n"})
    result = await house.scan(plan=revision)
    assert result.status == "ok", result.text
    assert rules_of(result) == {
        **{rule: f"{VM}.{rule.lower()}" for rule in BREAKS},
        "WATCHBILL_PVE_IMAGE_TLS": f"{IMAGE}.plain",
        "WATCHBILL_PVE_IMAGE_CHECKSUM": f"{IMAGE}.moving",
    }
    assert {rule.id for rule in read_rules(RULES).checks} | {FOREIGN_VOLUME, HOST_FILE} == set(rules_of(result))
    assert len(_rows(result)) == len(BREAKS) + 2
    assert "hunter2" not in result.text


async def test_a_machine_as_the_provider_reads_it_back_breaks_no_rule(house: ScanHouse) -> None:
    """A second plan of what exists: what nobody set is an empty text there."""
    unset = dict.fromkeys(("user_data_file_id", "vendor_data_file_id", "meta_data_file_id", "network_data_file_id"), "")
    start = {"user_account": [{**USER, "password": ""}], "dns": [{"domain": "", "servers": ["192.168.178.1"]}], **unset}
    again = vm("again", initialization=[start], hook_script_file_id="", kvm_arguments="", description="")
    result = await house.scan(plan=house.seal(plan_of(again), {"main.tf": "# not here\n"}))
    assert (result.status, rules_of(result)) == ("ok", {}), result.text


async def test_a_plan_is_scanned_by_its_values_with_places_from_its_code_in_seconds(house: ScanHouse) -> None:
    revision = house.seal(plan_of(vm(kvm_arguments="-cpu host")), {"main.tf": f"# one machine\n\n{CODE}"})
    result = await house.scan(plan=revision[:12])
    head, line = result.text.splitlines()
    assert head.startswith(f"Scanned plan {revision[:12]} with checkov 3.")
    assert head.endswith(", secrets: 1 high, 1 blocking")
    assert line == f"high WATCHBILL_PVE_ARGUMENTS {BAD}: Pass no extra arguments to KVM on the Proxmox host (main.tf:3)"
    assert result.facts["revision"] == revision
    assert result.facts["files"] == 1
    assert house.watch.told[0][:2] == ("Scan", "checkov")
    told = len(house.watch.told)
    assert (await house.scan(plan=revision)).text == result.text
    assert len(house.watch.told) == told, "the second scan of one revision starts no scanner"


async def test_code_that_switches_its_checks_off_is_checked_and_told_on(house: ScanHouse) -> None:
    written = CODE.replace(
        '"bad"\n}', '"bad"\n  # checkov:skip=WATCHBILL_PVE_ARGUMENTS: trust me\n  kvm_arguments = "-x"\n}'
    )
    other = f'resource "{VM}" "later" {{\n  # checkov:skip=WATCHBILL_PVE_TAGS: later\n  count = 0\n}}\n'
    files = {"main.tf": written, "later.tf": other, ".checkov.yaml": "skip-check: [WATCHBILL_PVE_ARGUMENTS]\n"}
    result = await house.scan(plan=house.seal(plan_of(vm(kvm_arguments="-x")), files))
    found = {(row.rule, row.resource) for row in _rows(result)}
    assert ("WATCHBILL_PVE_ARGUMENTS", BAD) in found
    assert ("WATCHBILL_PVE_TAGS", f"{VM}.later") in found
    assert {resource for rule, resource in found if rule == "scanner-told-to-look-away"} == {"main.tf", "later.tf"}


async def test_a_file_that_cannot_be_read_is_a_high_finding(house: ScanHouse) -> None:
    result = await house.scan(plan=house.seal(plan_of(vm()), {"main.tf": CODE, "broken.tf": 'resource "x" {{{\n'}))
    assert [(row.rule, row.resource, row.severity) for row in _rows(result)] == [
        ("file-not-understood", "broken.tf", "high")
    ]


async def test_secrets_are_found_in_every_file_and_never_shown(house: ScanHouse) -> None:
    values = 'api_token = "8f14e45fceea167a5a36dedd4bea2543"\n'
    files = {"main.tf": CODE, "notes/keys.md": "AKIAIOSFODNN7EXAMPLE\n", "a.auto.tfvars": values}
    plan = plan_of(vm(description="log in with password: Winter-2026-now"))
    result = await house.scan(plan=house.seal(plan, files))
    places = {(row.rule, row.resource) for row in _rows(result)}
    assert places == {
        ("secret-in-code", "a.auto.tfvars#api_token"),
        ("secret-in-code", "notes/keys.md#aws"),
        ("secret-in-plan", f"{BAD}.description"),
    }
    assert all(secret not in f"{result.text}{result.facts}" for secret in ("8f14e45", "AKIA", "Winter"))


async def test_values_that_come_only_with_the_apply_do_not_pass(house: ScanHouse) -> None:
    user: dict[str, Any] = {"username": "debian", "keys": []}
    written = {"initialization": [{"user_account": [{"password": {"references": ["terraform_data.p.output"]}}]}]}
    plan = plan_of(
        vm("said", initialization=[{"user_account": [user]}], unknown={"initialization": [{"user_account": [{"password": True}]}]}),
        vm("block", usb=None, unknown={"usb": True}),
        vm("computed", unknown={"initialization": [{"user_data_file_id": True}], "mac_addresses": True}),
        said={f"{VM}.said": written},
    )  # fmt: skip
    result = await house.scan(plan=house.seal(plan, {"main.tf": "# not here\n"}))
    found = {(row.rule, row.resource) for row in _rows(result)}
    assert found == {("WATCHBILL_PVE_PASSWORD", f"{VM}.said"), ("WATCHBILL_PVE_DEVICES", f"{VM}.block")}


async def test_a_plan_that_destroys_everything_has_nothing_to_find(house: ScanHouse) -> None:
    gone = vm(kvm_arguments="-x")
    gone["change"] = {"actions": ["delete"], "before": gone["change"]["after"], "after": None}
    plan = plan_of() | {"resource_changes": [gone]}
    result = await house.scan(plan=house.seal(plan, {"main.tf": CODE}))
    assert result.text.endswith("secrets: no findings, 0 blocking")


async def test_only_the_planned_directory_counts_and_secrets_anywhere(house: ScanHouse) -> None:
    files = {"web/main.tf": CODE, "db/main.tf": CODE.replace('"bad"\n', '"x"\n  password = "Winter-2026-now"\n')}
    result = await house.scan(plan=house.seal(plan_of(vm()), files, "web"))
    assert {row.resource for row in _rows(result) if row.rule == "secret-in-code"} == {"db/main.tf#password"}
    assert all(not row.rule.startswith("WATCHBILL") for row in _rows(result))


async def test_a_directory_is_scanned_as_it_is_now(house: ScanHouse) -> None:
    estate = house.workshop.estate(house.scope)
    tree = await estate.open("7")
    (tree / "main.tf").write_text(CODE.replace("}", "  on_boot = false\n}"))
    result = await house.scan(directory=".")
    assert result.text.startswith(f"Scanned . as {str(result.facts['revision'])[:12]} with checkov 3.")
    assert ("WATCHBILL_PVE_ON_BOOT", BAD) in {(row.rule, row.resource) for row in _rows(result)}


def _rows(result: ToolResult) -> list[Any]:
    return [SimpleNamespace(**row) for row in cast("list[dict[str, Any]]", result.facts["findings"])]
