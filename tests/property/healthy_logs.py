"""Logs of missions that go well: errors that get mended, blocks that get fixed, people who ask, and nothing that repeats."""

import random
from dataclasses import dataclass, field, replace

from bot.domain import log
from bot.domain.calls import CallClass, ResultStatus, ToolResult
from bot.domain.contract import Evidence, Finding, PlanStep, Verdict
from bot.domain.ids import CallId, Digest, PersonaName, QuestionId, RequestId
from bot.domain.log import Entry, Logged
from bot.domain.model import ProposedCall, Usage
from tests.core_fakes import OPENED, logged, planned
from tests.fakes import ANA, ARCHITECT, BO, BUILDER, NOW, QA, SENTINEL

ERRORS = (
    'Error: Unsupported argument\n  on main.tf line {n}: An argument named "cores" is not expected here.',
    'Error: Reference to undeclared resource "vm{n}"',
    "Error: timeout while waiting for VM {n} to start",
    "ssh: connect to host 10.0.0.{n} port 22: Connection refused",
    "E: Could not get lock /var/lib/dpkg/lock-frontend, held by process {n}",
)
WORDS = (
    "Two hosts cannot outvote each other: three control planes survive the loss of any one VM.",
    "cp{n} runs and answers on SSH, host key pinned.",
    "Plan: 5 steps, Builder does 1 to 4, QA the last.",
    "It failed once because of a lock; the second run went through.",
    "Blocked: port 22 is open to the world. I close it in main.tf.",
    "{n} of 6 shown. The API answers in 9 ms through 192.168.178.20.",
    "Either host may go down; the other one keeps two of the three machines.",
    "I look at the cluster first. Nothing was changed.",
)
QUESTIONS = (
    "How far are you?",
    "Use vmbr1, please.",
    "Why three and not two?",
    "Name them cp1 to cp3.",
    "STOP is not meant.",
)


@dataclass(slots=True)
class Writer:
    """Writes one healthy mission after the other into one log."""

    random: random.Random
    entries: list[Entry] = field(default_factory=lambda: [OPENED])
    turn: int = 0
    call: int = 0
    round: int = 0

    def write(self, rounds: int) -> list[Entry]:
        for _ in range(rounds):
            self.round += 1
            self.plan()
            self.build()
            self.review()
            self.apply()
            self.show()
            if self.random.random() < 0.4:
                self.human()
        return self.entries

    def plan(self) -> None:
        with_look = self.random.random() < 0.5
        self.begin(ARCHITECT)
        if with_look:
            self.step(ARCHITECT, "proxmox_read")
        steps = tuple(PlanStep(n, f"step {n} of round {self.round}", BUILDER, (1,)) for n in range(1, 4))
        self.step(ARCHITECT, "plan", more=(replace(planned(), steps=steps),))
        self.hand(ARCHITECT, BUILDER, f"round {self.round}: write the files", 1)

    def build(self) -> None:
        self.begin(BUILDER)
        for _ in range(self.random.randint(1, 4)):
            self.step(BUILDER, "workspace_write")
        error = self.random.choice(ERRORS)
        for _ in range(self.random.randint(0, 2)):  # twice the same, then it is mended
            self.step(BUILDER, "terraform_plan", "failed", error.format(n=self.random.randint(1, 200)))
            self.step(BUILDER, "workspace_patch")
        if self.random.random() < 0.2:
            self.step(BUILDER, "hand_off", "refused", "Nobody here is called 'ops'.")
        self.step(BUILDER, "terraform_plan")
        self.hand(BUILDER, SENTINEL, f"review plan {self.round}")

    def review(self) -> None:
        blocked = self.random.random() < 0.3
        if blocked:
            self.verdict(passed=False)
            self.begin(BUILDER)
            self.step(BUILDER, "workspace_patch")
            self.step(BUILDER, "terraform_plan")
            self.hand(BUILDER, SENTINEL, f"review plan {self.round} again, port closed")
        self.verdict(passed=True)

    def verdict(self, *, passed: bool) -> None:
        self.begin(SENTINEL)
        self.step(SENTINEL, "scan")
        found = Finding(f"f{self.round}", "CKV_1", "vm.cp1", "low" if passed else "high", "port 22 is open")
        revision = f"{self.round:04d}{'b' if passed else 'a'}"
        checks = (CallId(f"c{self.call}"),)
        verdict = Verdict(revision, SENTINEL, passed, checks, (found,))
        self.step(SENTINEL, "record_verdict", more=(log.VerdictRecorded(verdict),))
        self.hand(SENTINEL, BUILDER, f"verdict on {revision}: {'pass' if passed else 'blocked by CKV_1'}")

    def apply(self) -> None:
        self.begin(BUILDER)
        request = RequestId(f"r{self.round}")
        self.step(BUILDER, "terraform_apply", "held")
        asked = log.ApprovalAsked(request, CallId(f"c{self.call}"), BUILDER, Digest("d"), CallClass.CHANGE, "Apply")
        self.entries += [asked, log.TurnEnded(self.turn, BUILDER, "suspended")]
        done = ToolResult(CallId(f"c{self.call}"), "terraform_apply", "ok", "Applied: 1 created", changed=True)
        self.entries += [log.ToolReturned(self.turn, BUILDER, CallClass.CHANGE, done, request)]
        self.entries += [log.ApprovalEnded(request, "done", (BO,), "")]
        self.begin(BUILDER)
        self.hand(BUILDER, QA, f"show what round {self.round} built")

    def show(self) -> None:
        self.begin(QA)
        for number in range(1, self.random.randint(2, 4)):
            self.step(QA, self.random.choice(("proxmox_read", "http_probe")))
            evidence = Evidence(number, "passed", CallId(f"c{self.call}"), "it runs", QA)
            self.step(QA, "record_evidence", more=(log.EvidenceRecorded(evidence),))
        if self.random.random() < 0.5:
            self.say(QA)
        else:
            self.hand(QA, ARCHITECT, f"round {self.round} is shown")

    def human(self) -> None:
        self.entries.append(log.HumanSaid(ANA, self.random.choice(QUESTIONS), ARCHITECT, f"{self.call}"))
        self.begin(ARCHITECT)
        if self.random.random() < 0.4:
            question = QuestionId(f"q{self.call}")
            asked = log.Asked(question, ARCHITECT, "A third machine?", ("no, go on", "yes"), 0, NOW)
            self.step(ARCHITECT, "ask_human", more=(asked,))
            self.entries.append(log.TurnEnded(self.turn, ARCHITECT, "asked"))
            self.entries.append(log.QuestionAnswered(question, "no, go on", ""))
            self.begin(ARCHITECT)
        self.say(ARCHITECT)

    # entries ----------------------------------------------------------------------------------------------------------

    def begin(self, persona: PersonaName) -> None:
        self.turn += 1
        self.entries.append(log.TurnStarted(self.turn, persona, f"{len(self.entries)}-9"))

    def step(
        self, persona: PersonaName, tool: str, status: ResultStatus = "ok", text: str = "", more: tuple[Entry, ...] = ()
    ) -> None:
        self.call += 1
        call = ProposedCall(
            f"c{self.call}",
            tool,
            {"directory": "."} if tool.startswith("terraform") else {"path": f"file{self.call}.tf"},
        )
        reply = log.ModelReplied(self.turn, persona, "m", "hm", "", (call,), "calls", Usage(900, 40), 0.01)
        result = ToolResult(CallId(call.id), tool, status, text or f"{tool} fine, number {self.call}. " * 20)
        self.entries += [log.ModelAsked(self.turn, persona), reply]
        self.entries += [log.ToolReturned(self.turn, persona, CallClass.READ, result), *more]

    def hand(self, by: PersonaName, to: PersonaName, task: str, step: int | None = None) -> None:
        handed = log.HandedOff(self.turn, by, to, task, step, f"{to}{task}")
        self.step(by, "hand_off", more=(handed,))
        self.entries.append(log.TurnEnded(self.turn, by, "handed_off", to))

    def say(self, persona: PersonaName) -> None:
        words = self.random.choice(WORDS).format(n=self.random.randint(1, 6))
        reply = log.ModelReplied(self.turn, persona, "m", "hm", words, (), "end", Usage(900, 40), 0.01)
        self.entries += [log.ModelAsked(self.turn, persona), reply, log.Spoke(self.turn, persona, words)]
        self.entries.append(log.TurnEnded(self.turn, persona, "spoke"))


def healthy(seed: int, rounds: int) -> list[Logged]:
    """A log of so many rounds of building; the same one for the same seed."""
    return logged(Writer(random.Random(seed)).write(rounds))


def long_log(entries: int) -> list[Logged]:
    """At least so many entries."""
    writer = Writer(random.Random(7))
    while len(writer.entries) < entries:
        writer.write(10)
    return logged(writer.entries)
