"""A gate over fakes and the real policy files, with the few moves that its tests are made of."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from bot.domain.approvals import ApprovalRequest, Counted, Held, Refused, Settlement, VoteAnswer
from bot.domain.calls import CallClass, Effect, Item, Target
from bot.domain.contract import Finding, Verdict
from bot.domain.ids import CallId, PersonaName, RequestId, Thread, Token, UserId
from bot.domain.inbound import Reply, VoteCast
from bot.domain.state import Mission
from bot.gate import ExecutionLedger, Gate, Parts
from bot.policy.authorise import Authoriser
from bot.policy.environments import EnvironmentMap, Mapped
from bot.policy.maintenance import Maintenance
from bot.policy.redaction import SecretRedactor
from bot.policy.stepup import TotpCodes
from bot.policy.threat import ThreatModel
from tests.fakes import (
    ARCHITECT,
    BUILDER,
    QA,
    SENTINEL,
    THREAD,
    FakeClock,
    FakeInventory,
    FakePeople,
    FakeTool,
    FakeWatch,
    MemoryApprovals,
    MemoryArtifacts,
    MemoryAudit,
    MemoryLeases,
    call,
    mission,
    scope,
)
from tests.grant_fakes import MemoryDeputies, MemoryGrants, MemorySwitch, MemoryUsedCodes

POLICIES = Path(__file__).resolve().parent.parent / "policies"
REVISION = "9c1d22" + "0" * 58
CHANGE = Effect(
    CallClass.CHANGE, "terraform-create", "it creates machines", "Apply Terraform plan on pve1, pve2",
    targets=(Target("node", "pve1"), Target("node", "pve2")),
    items=(Item("create", "cp1", "2 CPU 4 GiB", "pve1"), Item("create", "cp2", "2 CPU 4 GiB", "pve2")),
    create=2, undo="destroy the two machines.",
)  # fmt: skip
DESTROY = Effect(
    CallClass.DESTROY, "terraform-delete", "it deletes machines", "Destroy cp1 cp2",
    targets=(Target("node", "pve1"),), items=(Item("delete", "cp1"), Item("replace", "cp2")), destroy=2,
)  # fmt: skip
SECRET = "hunter2-very-secret"


@cache
def authoriser(version: str = "v1") -> Authoriser:
    files = {f"policies/{path.name}": path.read_text() for path in POLICIES.glob("*.cedar")}
    return Authoriser((POLICIES / "schema.cedarschema").read_text(), files, version)


def verdict(*findings: Finding, revision: str = REVISION, checks: tuple[str, ...] = ("7-1-0-3",)) -> Verdict:
    return Verdict(revision, SENTINEL, not findings, tuple(CallId(check) for check in checks), findings)


def reviewed(**changes: Any) -> Mission:
    """A mission in which Sentinel passed REVISION."""
    return mission(verdicts={REVISION: verdict()}, **changes)


class House:
    """The gate and everything around it. `apply` is a durable tool that changes, `look` a read."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.people = FakePeople()
        self.audit = MemoryAudit()
        self.artifacts = MemoryArtifacts()
        self.leases = MemoryLeases()
        self.token = Token(THREAD.lane, 1, "w1")
        self.approvals = MemoryApprovals(self.clock, self.leases, self.token)
        self.switch = MemorySwitch()
        self.inventory = FakeInventory()
        self.deputies = MemoryDeputies()
        self.grants = MemoryGrants(self.approvals, self.leases, self.switch)
        self.approvals.switch = self.switch
        self.secrets: dict[UserId, str] = {}
        self.codes = MemoryUsedCodes()
        self.watch = FakeWatch()
        self.redactor = SecretRedactor(pve_token=SECRET)
        self.apply = FakeTool(
            "terraform_apply", durable=True, effect=CHANGE, revision=REVISION, state_pins={"serial": "3"},
            full_text="the whole plan", facts={"created": 2, "exists": ["cp1", "cp2"]}, text="Applied: 2 created",
        )  # fmt: skip
        self.look = FakeTool("proxmox_read")
        self.plan = FakeTool("terraform_plan")
        tools = (self.apply, self.look, self.plan)
        self.crew: dict[PersonaName, tuple[str, ...]] = {
            BUILDER: tuple(tool.name for tool in tools),
            ARCHITECT: ("proxmox_read",),
            SENTINEL: ("proxmox_read",),
            QA: ("proxmox_read", "terraform_apply"),
        }
        rules = tuple(Mapped("production", "node", name) for name in ("pve1", "pve2"))
        self.parts = Parts(
            tools={tool.name: tool for tool in tools},
            crew=self.crew,
            authoriser=authoriser(),
            threat=ThreatModel({"production": "medium", "lab": "critical"}, {("accepted-rule", "production"): "known"}),
            environments=EnvironmentMap(("lab", "production"), (*rules, Mapped("lab", "node", "lab1"))),
            inventory=self.inventory,
            calendar=Maintenance(),
            quorums=("control_plane", "etcd"),
            people=self.people,
            codes=TotpCodes(lambda: self.secrets, self.codes, self.clock),
            approvals=self.approvals,
            grants=self.grants,
            switch=self.switch,
            artifacts=self.artifacts,
            audit=self.audit,
            leases=self.leases,
            redactor=self.redactor,
            clock=self.clock,
            ledger=ExecutionLedger(folder / "executed"),
            deputies=self.deputies,
        )
        self.state = reviewed()

    @property
    def gate(self) -> Gate:
        return Gate(self.parts)

    async def propose(self, tool: str = "terraform_apply", persona: PersonaName = BUILDER, number: int = 0, words: str = "", **arguments: Any) -> Any:  # fmt: skip
        return await self.gate.submit(
            call(tool, persona, number, **arguments), scope(self.state, persona), words, self.watch
        )

    async def held(self, **given: Any) -> ApprovalRequest:
        answer = await self.propose(**given)
        assert isinstance(answer, Held), answer
        return answer.request

    async def refused(self, **given: Any) -> str:
        answer = await self.propose(**given)
        assert isinstance(answer, Refused), answer
        return answer.result.text

    async def vote(
        self, request: RequestId, user: UserId, ballot: str = "approve", *, reason: str = "", typed: str = "",
        place: Thread = THREAD, grant: bool = False, code: str = "",
    ) -> VoteAnswer:  # fmt: skip
        reply = Reply(place.team, place.channel, place.ts, user)
        assert ballot in {"approve", "deny"}
        return await self.gate.vote(
            VoteCast(request, "deny" if ballot == "deny" else "approve", reason, typed, reply, grant, code=code)
        )

    async def approved(self, user: UserId, **given: Any) -> ApprovalRequest:
        request = await self.held(**given)
        answer = await self.vote(request.id, user, typed=" ".join(request.terms.typed_names))
        assert isinstance(answer, Counted), answer
        return answer.request

    async def settle(self, request: ApprovalRequest) -> Settlement:
        return await self.gate.settle(request.id, self.token, scope(self.state, request.asked_by), self.watch)

    def set(self, **changes: Any) -> None:
        """Other parts from now on."""
        self.parts = replace(self.parts, **changes)
