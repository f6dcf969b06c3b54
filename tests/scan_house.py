"""Plans as `terraform show -json` prints them, and their snapshots, for tests of `scan` without Terraform."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bot.domain.calls import Prepared, ToolResult
from bot.domain.contract import Finding
from bot.domain.ports import Cannot, Scope
from tests.fakes import FakeWatch, call, mission, scope
from tests.tool_house import BLUEPRINTS, GIT, POLICY, ROOT, MemoryLocks
from tools.estate import Estates
from tools.scan import Scan
from tools.snapshot import Kept, Manifest
from tools.terraform_cli import Credentials, Toolchain
from tools.terraform_scan import load_allow_list
from tools.terraform_workshop import Workshop

RULES = ROOT / "policies" / "scan"
VM = "proxmox_virtual_environment_vm"
BAD = f"{VM}.bad"
GOOD: Mapping[str, Any] = {
    "name": "bad",
    "tags": ["watchbill"],
    "on_boot": True,
    "protection": True,
    "kvm_arguments": None,
    "hook_script_file_id": None,
    "agent": [{"enabled": True}],
    "network_device": [{"bridge": "vmbr0", "firewall": True}],
    "hostpci": [],
    "usb": [],
    "virtiofs": [],
    "initialization": [
        {"user_account": [{"username": "debian", "keys": ["ssh-ed25519 AAAAC3Nza ana"], "password": None}]}
    ],
}
PASSWORD_MARK: Mapping[str, Any] = {"initialization": [{"user_account": [{"keys": [False], "password": True}]}]}


def vm(name: str = "bad", *, unknown: Mapping[str, Any] | None = None, kind: str = VM, **values: Any) -> dict[str, Any]:
    """One resource of a plan: GOOD but for `values`."""
    after = {**GOOD, **values} if kind == VM else values
    change = {"actions": ["create"], "before": None, "after": after, "after_unknown": unknown or {}}
    change["after_sensitive"] = PASSWORD_MARK if kind == VM else {}
    return {"address": f"{kind}.{name}", "mode": "managed", "type": kind, "name": name, "change": change}


def plan_of(*resources: Mapping[str, Any], said: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`said`: by address, the expressions that the code has for it."""
    planned = [
        {key: row[key] for key in ("address", "mode", "type", "name")}
        | {"provider_name": "registry.terraform.io/bpg/proxmox", "schema_version": 0, "values": row["change"]["after"]}
        | {"sensitive_values": row["change"]["after_sensitive"]}
        for row in resources
    ]
    written = [
        {key: row[key] for key in ("address", "mode", "type", "name")}
        | {"expressions": (said or {}).get(row["address"], {})}
        for row in resources
    ]
    return {
        "format_version": "1.2",
        "terraform_version": "1.15.0",
        "planned_values": {"root_module": {"resources": planned}},
        "resource_changes": list(resources),
        "configuration": {"root_module": {"resources": written}},
    }


@dataclass
class ScanHouse:
    data: Path
    scanner: Path
    rules: Path = RULES
    scope: Scope = field(default_factory=lambda: scope(mission(estate="home")))
    watch: FakeWatch = field(default_factory=FakeWatch)
    learned: list[str] = field(default_factory=list[str])
    tool: Scan = field(init=False)

    def __post_init__(self) -> None:
        self.tool = Scan(self.workshop, self.scanner, self.rules, self.blocks)

    @staticmethod
    def blocks(finding: Finding, environment: str) -> bool:
        assert environment
        return finding.severity in {"high", "critical"}

    @property
    def workshop(self) -> Workshop:
        estates = Estates(self.data, BLUEPRINTS, GIT)
        toolchain = Toolchain(Path("/usr/bin/false"), load_allow_list(POLICY), None)
        credentials = Credentials("https://127.0.0.1:1", "audit", "write", None)
        return Workshop(estates, toolchain, credentials, MemoryLocks(), self.learn, self.census)

    def learn(self, *secrets: str) -> None:
        self.learned.extend(secrets)

    async def census(self) -> None:
        return None

    def seal(self, plan: Mapping[str, Any], files: Mapping[str, str], directory: str = ".") -> str:
        """A plan's snapshot. Returns the revision."""
        self.workshop.estate(self.scope).ensure()
        store = self.workshop.snapshots(self.scope)
        kept: dict[str, Kept] = {f"code/{path}": store.keep(text.encode()) for path, text in files.items()}
        kept["about/plan.json"] = store.keep(json.dumps(plan).encode())
        facts = {"kind": "plan", "mission": str(self.scope.mission.id), "directory": directory, "estate": "home"}
        return store.seal(Manifest(kept, facts))

    async def prepare(self, **arguments: str) -> Prepared | Cannot:
        parsed = self.tool.parse(arguments)
        return await self.tool.prepare(replace(call("scan"), arguments=arguments), parsed, self.scope)

    async def scan(self, **arguments: str) -> ToolResult:
        prepared = await self.prepare(**arguments)
        assert isinstance(prepared, Prepared), prepared
        return (await self.tool.run(prepared, self.tool.parse(arguments), self.scope, self.watch)).result


def rules_of(result: ToolResult) -> dict[str, str]:
    """Rule → resource, of one finding each."""
    found = result.facts["findings"]
    assert isinstance(found, list)
    return {str(row["rule"]): str(row["resource"]) for row in found if isinstance(row, dict)}
