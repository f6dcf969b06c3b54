"""The Ansible tools with real ansible-core against a real OpenSSH server on loopback, for tests. Files change below `data` only."""

import asyncio
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bot.domain.calls import CallClass, Prepared, ToolResult
from bot.domain.ids import Json
from bot.domain.ports import Cannot, Scope, Tool
from tests.fakes import FakeWatch, call, mission, scope
from tests.ssh_house import Classed, Sshd
from tests.tool_house import MemoryLocks
from tools.ansible import AnsibleCheck
from tools.ansible_bench import Kit
from tools.ansible_policy import load_playbook_policy
from tools.ansible_run import AnsibleRun
from tools.ansible_workshop import PlaybookWorkshop
from tools.estate import Estates
from tools.hosts import Host, Roster
from tools.site_vars import SiteFile
from tools.workspace import Workspace, WorkspaceWrite

ROOT = Path(__file__).parents[1]
KIT = ROOT / ".cache" / "ansible"
ROLES = ROOT / "deploy/blueprints/ansible/roles"
POLICY = ROOT / "policies/ansible.yaml"
needs_ansible = pytest.mark.skipif(
    not os.access(KIT / "bin/ansible-runner", os.X_OK), reason="needs Ansible in .cache/ansible: make setup"
)
READS = frozenset({"id", "cat", "ls", "true", "uname"})
HARMS = frozenset({"rm", "shutdown"})


def classify(command: str) -> Classed:
    """A classifier of four words, for tests: what begins with another program is not understood."""
    program = command.split(maxsplit=1)[0] if command.split() else ""
    cls = CallClass.READ if program in READS else CallClass.DESTROY if program in HARMS else CallClass.UNKNOWN
    cls = CallClass.FORBIDDEN if "/dev/sda" in command else cls
    cls = CallClass.CHANGE if program in {"touch", "sleep"} else cls
    return Classed(cls, f"test {cls}", f"{program} as the test says", command)


@dataclass
class AnsibleHouse:
    """One estate with one host, `cp1`; more names may point to the same server."""

    data: Path
    sshd: Sshd
    scope: Scope = field(default_factory=lambda: scope(mission(estate="home")))
    watch: FakeWatch = field(default_factory=FakeWatch)
    locks: MemoryLocks = field(default_factory=MemoryLocks)
    calls: int = 0

    def __post_init__(self) -> None:
        self.estates = Estates(self.data, self.data / "none", roles=ROLES)
        self.list(self.sshd.host)

    def list(self, *hosts: Host) -> None:
        lines = ["hosts:" if hosts else "hosts: {}"]
        lines += [
            f"  {h.name}: {{address: {h.address}, user: {h.user}, port: {h.port}, "
            f"groups: [{', '.join(h.groups)}], keys: ['{h.keys[0]}']}}"
            for h in hosts
        ]
        (self.data / "hosts.yaml").write_text("\n".join(lines) + "\n")

    def roster(self, estate: str = "home") -> Roster:
        return Roster(self.estates.named(estate).root / "hosts", self.data / "hosts.yaml")

    @property
    def workshop(self) -> PlaybookWorkshop:
        policy = load_playbook_policy(POLICY)
        site = SiteFile(self.data / "site_vars.yaml")
        return PlaybookWorkshop(self.estates, Kit(KIT, self.sshd.key), policy, classify, self.roster, self.locks, site)

    @property
    def tools(self) -> dict[str, Tool]:
        one: tuple[Tool, ...] = (
            *(AnsibleCheck(self.workshop), AnsibleRun(self.workshop)),
            WorkspaceWrite(Workspace(self.estates)),
        )
        return {tool.name: tool for tool in one}

    async def prepare(self, tool: str, **arguments: Json) -> tuple[Prepared | Cannot, Any]:
        self.calls += 1
        parsed = self.tools[tool].parse(arguments)
        made = replace(call(tool, number=self.calls), arguments=arguments)
        return await self.tools[tool].prepare(made, parsed, self.scope), parsed

    async def use(self, tool: str, **arguments: Json) -> ToolResult:
        prepared, parsed = await self.prepare(tool, **arguments)
        assert isinstance(prepared, Prepared), prepared
        return (await self.tools[tool].run(prepared, parsed, self.scope, self.watch)).result

    async def write(self, files: dict[str, str]) -> None:
        for path, content in files.items():
            result = await self.use("workspace_write", path=path, content=content)
            assert result.status == "ok", result.text

    async def check(self, playbook: str, **arguments: Json) -> ToolResult:
        """Write site.yml and check it."""
        await self.write({"site.yml": playbook})
        return await self.use("ansible_check", playbook="site.yml", **arguments)

    async def ready(self, playbook: str, **arguments: Json) -> tuple[Prepared, Any]:
        """A playbook that was checked, as it waits for people."""
        checked = await self.check(playbook, **arguments)
        assert checked.status == "ok", checked.text
        prepared, parsed = await self.prepare("ansible_run", check=str(checked.facts["check"]), words="as planned")
        assert isinstance(prepared, Prepared), prepared
        return prepared, parsed

    async def approved(self, playbook: str, **arguments: Json) -> ToolResult:
        """Check and run, as after an approval."""
        prepared, parsed = await self.ready(playbook, **arguments)
        return (await self.tools["ansible_run"].run(prepared, parsed, self.scope, self.watch)).result

    async def approved_anyway(self, playbook: str, **arguments: Json) -> ToolResult:
        """As `approved`, where people said yes to what the check warned of."""
        checked = await self.check(playbook, **arguments)
        prepared, parsed = await self.prepare("ansible_run", check=str(checked.facts["check"]), words="all the same")
        assert isinstance(prepared, Prepared), prepared
        return (await self.tools["ansible_run"].run(prepared, parsed, self.scope, self.watch)).result

    async def until(self, path: Path, most_s: float = 60) -> None:
        async with asyncio.timeout(most_s):
            while not path.exists():
                await asyncio.sleep(0.1)
