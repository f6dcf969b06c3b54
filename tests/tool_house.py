"""The tools with real git, real Terraform, the real provider and the lab's Proxmox API, for tests."""

import contextlib
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import requests

from bot.domain.calls import Prepared, ToolCall, ToolResult
from bot.domain.ids import Json
from bot.domain.ports import Cannot, Scope, Tool
from deploy.lab.bundle.items import obtain
from tests.fakes import FakeWatch, call, mission, scope
from tools.estate import Estates
from tools.terraform import TerraformOutput, TerraformPlan, TerraformShow, TerraformStateList, TerraformValidate
from tools.terraform_apply import TerraformApply
from tools.terraform_cli import Credentials, Toolchain
from tools.terraform_plan import Seen
from tools.terraform_scan import load_allow_list
from tools.terraform_workshop import Enrol, Workshop
from tools.workspace import Workspace, WorkspaceList, WorkspacePatch, WorkspaceRead, WorkspaceWrite

ROOT = Path(__file__).parents[1]
BLUEPRINTS = ROOT / "deploy/blueprints/terraform"
POLICY = ROOT / "policies/terraform.yaml"
CACHE = ROOT / ".cache/lab"
GIT = Path("/usr/bin/git")
MAIN = """module "vms" {
  source        = "./blueprints/proxmox-vms"
  template_id   = 9000
  template_node = "pve1"
  datastore     = "ceph"
  gateway       = "192.168.178.1"
  vms           = var.vms
}

output "names" {
  value = module.vms.names
}
"""
VARIABLES = """variable "vms" {
  type = any
}
"""
VALUES = """vms = {
  cp1 = { node = "pve1", ipv4 = "192.168.178.21", vm_id = 121 }
  cp2 = { node = "pve2", ipv4 = "192.168.178.22", vm_id = 122 }
  cp3 = { node = "pve1", ipv4 = "192.168.178.23", vm_id = 123 }
}
"""


class MemoryLocks:
    """One holder per name."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[str, str]] = {}
        self.claimed: dict[str, int] = {}

    async def claim(self, name: str, number: int) -> bool:
        first = number > self.claimed.get(name, -1)
        self.claimed[name] = max(number, self.claimed.get(name, -1))
        return first

    async def lock(self, name: str, holder: str, why: str) -> str:
        there = self.held.setdefault(name, (holder, why))
        if there[0] != holder:
            return f"mission {there[0]} has it, {there[1]}"
        self.held[name] = (holder, why)
        return ""

    async def unlock(self, name: str, holder: str) -> None:
        if self.held.get(name, ("", ""))[0] == holder:
            del self.held[name]

    async def holder(self, name: str) -> tuple[str, str] | None:
        return self.held.get(name)


@dataclass(frozen=True)
class LabProxmox:
    """The lab's Proxmox API, running."""

    url: str
    ca: Path
    audit_token: str
    write_token: str
    agent_token: str

    @classmethod
    def read(cls, folder: Path) -> "LabProxmox":
        facts = json.loads((folder / "ready.json").read_text())
        tokens = (facts[f"{name}_token"] for name in ("audit", "write", "agent"))
        return cls(facts["url"], Path(facts["ca"]), *tokens)

    def lab(self, path: str, body: dict[str, Any] | None = None) -> Any:
        method = "GET" if body is None else "POST"
        answer = requests.request(method, f"{self.url}/lab/{path}", json=body, verify=str(self.ca), timeout=5)
        assert answer.ok, answer.text
        return answer.json()

    def machines(self) -> tuple[Seen, ...]:
        headers = {"Authorization": f"PVEAPIToken={self.audit_token}"}
        url = f"{self.url}/api2/json/cluster/resources?type=vm"
        rows = requests.get(url, headers=headers, verify=str(self.ca), timeout=5).json()["data"]
        return tuple(Seen(row["vmid"], row["name"], row["node"]) for row in rows if not row["template"])

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.url, self.audit_token, self.write_token, self.ca)


@contextlib.contextmanager
def run_lab_proxmox(folder: Path) -> Generator[LabProxmox]:
    ready = folder / "ready.json"
    argv = [
        sys.executable,
        "-m",
        "deploy.lab.proxmox",
        "--port",
        "0",
        "--data",
        str(folder),
        "--ready-file",
        str(ready),
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*argv, "--pace", "0.05"], cwd=ROOT, stdout=log, stderr=log)
    try:
        began = time.monotonic()
        while not ready.exists():
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() - began < 60
            time.sleep(0.05)
        yield LabProxmox.read(folder)
    finally:
        server.terminate()
        server.wait(10)


@functools.cache
def make_toolchain() -> Toolchain:
    bundle = obtain({"terraform", "provider"}, CACHE, say=lambda _line: None)
    assert bundle.terraform is not None
    assert bundle.provider is not None
    return Toolchain(bundle.terraform.path, load_allow_list(POLICY), bundle.provider.mirror.resolve())


@dataclass
class ToolHouse:
    """One data folder, one mission, calls numbered one after the other."""

    data: Path
    lab: LabProxmox
    toolchain: Toolchain
    locks: MemoryLocks = field(default_factory=MemoryLocks)
    secrets: set[str] = field(default_factory=set[str])
    scope: Scope = field(default_factory=lambda: scope(mission(estate="home")))
    watch: FakeWatch = field(default_factory=FakeWatch)
    calls: int = 0
    asleep: bool = False
    enrol: Enrol | None = None

    @property
    def workshop(self) -> Workshop:
        estates = Estates(self.data, BLUEPRINTS, GIT)
        credentials = self.lab.credentials
        return Workshop(estates, self.toolchain, credentials, self.locks, self.learn, self.census, self.enrol)

    @property
    def tools(self) -> dict[str, Tool]:
        workspace = Workspace(self.workshop.estates)
        one: tuple[Tool, ...] = (
            *(WorkspaceList(workspace), WorkspaceRead(workspace), WorkspaceWrite(workspace), WorkspacePatch(workspace)),
            *(TerraformValidate(self.workshop), TerraformPlan(self.workshop), TerraformShow(self.workshop)),
            *(TerraformApply(self.workshop), TerraformOutput(self.workshop), TerraformStateList(self.workshop)),
        )
        return {tool.name: tool for tool in one}

    def learn(self, *secrets: str) -> None:
        self.secrets.update(secrets)

    async def census(self) -> Sequence[Seen] | None:
        return None if self.asleep else self.lab.machines()

    async def prepare(self, tool: str, **arguments: Json) -> tuple[Prepared | Cannot, Any]:
        self.calls += 1
        one = self.tools[tool]
        parsed = one.parse(arguments)
        return await one.prepare(self._call(tool, arguments), parsed, self.scope), parsed

    def _call(self, tool: str, arguments: dict[str, Json]) -> ToolCall:
        return replace(call(tool, number=self.calls), arguments=arguments)

    async def use(self, tool: str, **arguments: Json) -> ToolResult:
        """Prepare and run, as the gate does with an allowed call; a refusal is a failed test."""
        prepared, parsed = await self.prepare(tool, **arguments)
        assert isinstance(prepared, Prepared), prepared
        done = await self.tools[tool].run(prepared, parsed, self.scope, self.watch)
        return done.result

    async def refuse(self, tool: str, **arguments: Json) -> str:
        """Prepare; being able to run it is a failed test."""
        prepared, _ = await self.prepare(tool, **arguments)
        assert isinstance(prepared, Cannot), prepared
        return prepared.text

    async def write(self, **files: str) -> None:
        """`main_tf=…` writes main.tf, `vms_auto_tfvars=…` vms.auto.tfvars."""
        for name, content in files.items():
            result = await self.use("workspace_write", path=name.replace("_", "."), content=content)
            assert result.status == "ok", result.text

    async def plan_three(self) -> str:
        """Write the blueprint's call and plan it. Returns the plan's revision."""
        await self.write(main_tf=MAIN, variables_tf=VARIABLES, vms_auto_tfvars=VALUES)
        result = await self.use("terraform_plan")
        assert result.status == "ok", result.text
        return str(result.facts["plan"])


@contextlib.contextmanager
def open_tool_house(folder: Path) -> Generator[ToolHouse]:
    """The lab's Proxmox with its data in `folder`, and a data folder with a short path, as sockets need it."""
    with run_lab_proxmox(folder) as lab, tempfile.TemporaryDirectory(prefix="wbt") as data:
        Path(data).chmod(0o711)  # so that a child with a user of its own gets there
        yield ToolHouse(Path(data), lab, make_toolchain())
