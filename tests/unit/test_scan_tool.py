"""`scan` with programs in checkov's place: whatever is not a whole report is a failed result, never a pass."""

import json
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from bot.domain.contract import Finding
from bot.domain.ports import ArgumentError, Cannot
from tests.fakes import mission, scope
from tests.scan_house import BAD, RULES, VM, ScanHouse, plan_of, vm
from tools import scan as scan_module
from tools.confine import landlock_abi
from tools.rights import may_unshare
from tools.scan_report import Found, read_rules

CODE = {"main.tf": f'resource "{VM}" "bad" {{\n}}\n'}
PASSING: Final = [
    {"rule": rule.id, "name": rule.name, "resource": BAD, "outcome": "PASSED", "file": "plan.json", "line": 0}
    for rule in read_rules(RULES).checks
    if VM in rule.types
]


def report(*failed: dict[str, Any], without: str = "") -> str:
    results = [*failed, *(row for row in PASSING if row["rule"] not in {one["rule"] for one in failed})]
    parts: list[dict[str, Any]] = [
        {"framework": "terraform_plan", "results": results, "broken": []},
        {"framework": "terraform", "results": [], "broken": []},
        {"framework": "secrets", "results": [], "broken": []},
    ]
    return json.dumps({"version": "3.9.9", "parts": [part for part in parts if part["framework"] != without]})


def failing(rule: str, resource: str = BAD) -> dict[str, Any]:
    return {"rule": rule, "name": "Do it", "resource": resource, "outcome": "FAILED", "file": "plan.json", "line": 0}


class Scanner:
    """An environment whose Python is a shell script."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "bin").mkdir(parents=True)
        (root / "bin" / "checkov").write_text("")
        self.says(report())

    @property
    def program(self) -> Path:
        return self.root / "bin" / "checkov"

    def does(self, script: str) -> None:
        python = self.root / "bin" / "python"
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)

    def says(self, text: str) -> None:
        (self.root / "said").write_text(text)
        self.does(f"cat {self.root}/said")


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="wbs") as name:
        Path(name).chmod(0o755)  # so that a child with a user of its own gets there
        yield Path(name)


@pytest.fixture
def scanner(folder: Path) -> Scanner:
    return Scanner(folder / "scanner")


@pytest.fixture
def house(folder: Path, scanner: Scanner) -> ScanHouse:
    return ScanHouse(folder / "data", scanner.program)


async def test_a_clean_report_is_told_with_the_revision_and_the_scanners(house: ScanHouse) -> None:
    revision = house.seal(plan_of(vm()), CODE)
    result = await house.scan(plan=revision[:8])
    assert result.text == f"Scanned plan {revision[:12]} with checkov 3.9.9, secrets: no findings, 0 blocking"
    assert result.facts == {"revision": revision, "scanners": ["checkov 3.9.9", "secrets"], "findings": [], "files": 1}


async def test_findings_are_counted_and_what_people_accepted_does_not_block(house: ScanHouse, scanner: Scanner) -> None:
    scanner.says(report(failing("WATCHBILL_PVE_HOOK"), failing("WATCHBILL_PVE_TAGS")))
    revision = house.seal(plan_of(vm()), CODE)
    result = await house.scan(plan=revision)
    assert result.text.splitlines()[0].endswith("secrets: 1 critical, 1 info, 1 blocking")
    assert result.text.splitlines()[1] == f"critical WATCHBILL_PVE_HOOK {BAD}: Do it"
    hook = Found("WATCHBILL_PVE_HOOK", BAD, "critical", "")
    accepted = Finding(hook.fingerprint, hook.rule, hook.resource, "critical", "", "accepted", "U0CHRIS001")
    house.scope = scope(mission(estate="home", findings={hook.fingerprint: accepted}))
    again = await house.scan(plan=revision)
    assert again.text.splitlines()[0].endswith("secrets: 1 critical, 1 info, 0 blocking")


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 1", "ended with 1 (exit): it said nothing"),
        ("echo 'No module named checkov' >&2; exit 1", "No module named checkov"),
        ("kill -9 $$", "ended with -9"),
        ("true", "gave no report"),
        ("echo '{}'", "gave no report"),
        ("exec yes", "(output)"),
    ],
)
async def test_a_scanner_that_breaks_is_a_failed_result(
    house: ScanHouse, scanner: Scanner, script: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_module, "REPORT_BYTES", 200_000)
    scanner.does(script)
    result = await house.scan(plan=house.seal(plan_of(vm()), CODE))
    assert result.status == "failed"
    assert result.text.startswith("No scan, so nothing is shown to be safe: checkov ")
    assert told in result.text
    assert "findings" not in result.facts
    scanner.says(report())
    assert (await house.scan(plan=house.seal(plan_of(vm()), CODE))).status == "ok", "a failure is not kept"


async def test_a_scanner_that_hangs_is_a_failed_result(
    house: ScanHouse, scanner: Scanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_module, "SCANNER_S", 1.0)
    scanner.does("exec sleep 60")
    result = await house.scan(plan=house.seal(plan_of(vm()), CODE))
    assert (result.status, result.text.endswith("checkov did not finish in 1 s")) == ("failed", True)
    assert ("Scan", "checkov", "1 s") in house.watch.told


async def test_stop_ends_the_scanner(house: ScanHouse, scanner: Scanner) -> None:
    scanner.does("exec sleep 60")
    house.watch.stops = 1
    result = await house.scan(plan=house.seal(plan_of(vm()), CODE))
    assert result.status == "failed"


@pytest.mark.parametrize("without", ["terraform_plan", "terraform", "secrets"])
async def test_a_part_that_did_not_run_is_a_failed_result(house: ScanHouse, scanner: Scanner, without: str) -> None:
    scanner.says(report(without=without))
    result = await house.scan(plan=house.seal(plan_of(vm()), CODE))
    assert (result.status, result.text.endswith(f"did not run its framework {without}")) == ("failed", True)


async def test_more_findings_than_anybody_reviews_are_a_failed_result(house: ScanHouse, scanner: Scanner) -> None:
    scanner.says(report(*(failing("X", f"vm.{number}") for number in range(scan_module.FINDINGS_MOST + 1))))
    result = await house.scan(plan=house.seal(plan_of(vm()), CODE))
    assert (result.status, f"{scan_module.FINDINGS_MOST + 1} findings" in result.text) == ("failed", True)


async def test_long_results_are_cut_in_words_and_whole_in_facts(house: ScanHouse, scanner: Scanner) -> None:
    scanner.says(report(*(failing("X", f"vm.{number}") for number in range(150))))
    result = await house.scan(plan=house.seal(plan_of(vm()), CODE))
    assert len(result.text.splitlines()) == scan_module.LINES_MOST + 2
    assert result.text.endswith("and 50 more")
    assert len(result.facts["findings"]) == 150  # type: ignore[arg-type] # a list


async def test_a_missing_scanner_says_make_setup(house: ScanHouse, scanner: Scanner) -> None:
    revision = house.seal(plan_of(vm()), CODE)
    (scanner.root / "bin" / "python").unlink()
    cannot = await house.prepare(plan=revision)
    assert isinstance(cannot, Cannot)
    assert "make setup" in cannot.text


async def test_rule_17_only_plans_of_this_mission_are_scanned(house: ScanHouse) -> None:
    revision = house.seal(plan_of(vm()), CODE)
    house.scope = replace(house.scope, mission=mission(id="8", estate="home"))
    cannot = await house.prepare(plan=revision)
    assert isinstance(cannot, Cannot)
    assert "is no plan of this mission" in cannot.text


async def test_a_changed_byte_is_a_failed_result_even_for_a_revision_scanned_before(house: ScanHouse) -> None:
    revision = house.seal(plan_of(vm()), CODE)
    assert (await house.scan(plan=revision)).status == "ok"
    store = house.workshop.snapshots(house.scope)
    kept = store.load(revision).files["code/main.tf"]
    path = store.root / "objects" / kept.sha256[:2] / kept.sha256
    path.chmod(0o600)
    path.write_bytes(b"# other")
    result = await house.scan(plan=revision)
    assert (result.status, "main.tf: the stored copy was changed" in result.text) == ("failed", True)


async def test_changed_rules_are_asked_again(scanner: Scanner, folder: Path) -> None:
    severities = Path(shutil.copytree(RULES, folder / "rules")) / "severities.yaml"
    house = ScanHouse(folder / "data", scanner.program, folder / "rules")
    revision = house.seal(plan_of(vm()), CODE)
    assert "no findings" in (await house.scan(plan=revision)).text
    scanner.says(report(failing("WATCHBILL_PVE_TAGS")))
    assert "no findings" in (await house.scan(plan=revision)).text, "the same revision and rules: nothing is run"
    severities.write_text(severities.read_text().replace("TAGS: info", "TAGS: high"))
    assert "1 high, 1 blocking" in (await house.scan(plan=revision)).text


async def test_a_directory_without_terraform_is_a_failed_result(house: ScanHouse) -> None:
    await house.workshop.estate(house.scope).open("7")
    result = await house.scan(directory="nothing")
    assert (result.status, result.text.endswith("there is no .tf file in nothing")) == ("failed", True)
    refused = await house.prepare(directory="../other")
    assert isinstance(refused, Cannot)


@pytest.mark.parametrize("arguments", [{}, {"plan": "9c1d22ab12cd", "directory": "."}, {"what": "x"}])
def test_a_plan_or_a_directory_is_asked_for(house: ScanHouse, arguments: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        house.tool.parse(arguments)


async def test_rule_24_the_scanner_gets_an_emptied_environment(house: ScanHouse, scanner: Scanner) -> None:
    scanner.does("env | cut -d= -f1 >&2; exit 1")
    result = await house.scan(plan=house.seal(plan_of(vm()), CODE))
    names = set(result.text.rpartition("exit): ")[2].partition(". If")[0].split("\n"))
    own = {"PATH", "LANG", "LC_ALL", "TZ", "HOME", "BC_SKIP_MAPPING", "LOG_LEVEL", "TMPDIR"}
    assert own <= names <= own | {"PWD", "OLDPWD", "SHLVL", "_"}


@pytest.mark.skipif(not may_unshare() and landlock_abi() < 4, reason="this machine cannot take the network away")
async def test_rule_16_the_scanner_has_no_network(house: ScanHouse, scanner: Scanner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        scanner.does(f"/bin/bash -c 'echo >/dev/tcp/127.0.0.1/{port}' && echo reached >&2; exit 1")
        result = await house.scan(plan=house.seal(plan_of(vm()), CODE))
        with pytest.raises(TimeoutError):
            server.accept()
    assert "/dev/tcp" in result.text
    assert "reached" not in result.text
