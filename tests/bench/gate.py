"""The gate without its tools: a read that is allowed, a vote that decides, a settling up to the tool's door.

The references do the least that could be called the same, on the same server: a read is one look for STOP and one XADD
for the record, a vote one compare-and-set script, a settling that script, WAITAOF, and one line in a file with fsync.
"""

import itertools
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.domain.approvals import ApprovalRequest, Counted, Held, Ran
from bot.domain.calls import ToolCall
from bot.domain.ids import CallId
from bot.domain.inbound import Reply, VoteCast
from bot.domain.ports import Scope
from bot.store.connection import Script
from tests.bench.figures import Report, alternating
from tests.bench.house import ARCHITECT, BUILDER, CHRIS, House, open_house
from tests.bench.missions import Past, hold, lived, state_of
from tests.bench.processes import open_bench_store
from tests.fakes import FakeTool, FakeWatch
from tests.gate_house import REVISION, verdict

CAS = Script("if redis.call('HSETNX', KEYS[1] .. 'cas', ARGV[1], '1') == 1 then return 1 end return 0")


async def run(*, quick: bool = False, profile: bool = False) -> Report:
    times, rounds = (4, 1) if quick else (200, 5)
    report = Report(
        "gate", "read: HGET and XADD; vote: one compare-and-set; settle: that, WAITAOF and a line with fsync"
    )
    async with open_bench_store("everysec") as store, open_house(store, None) as house:
        with tempfile.TemporaryDirectory(prefix="wb-bench-") as folder:
            past = await lived(store, 1, 20)
            token = await hold(store, past.thread.lane, lease_s=600.0)
            door = Door(house, past, token, Path(folder) / "ledger")
            await door.prepare()
            await door.ask(times + 10)
            read, bare_read = await alternating(door.read, door.bare_read, times, rounds)
            vote, bare_vote = await alternating(door.vote, door.bare_vote, times, rounds)
            settle, bare_settle = await alternating(door.settle, door.bare_settle, times, rounds)
            report.add("submit of a read, allowed and run", read, bare_read)
            report.add("vote that approves", vote, bare_vote)
            report.add("settle, consumed and finished", settle, bare_settle)
            report.sent, report.kept = door.voted, door.settled + len(door.approved)
            assert door.apply.ran == door.settled
    return report


class Door:
    """Calls, clicks and settlings, one after the other."""

    def __init__(self, house: House, past: Past, token: Any, ledger: Path) -> None:
        apply = house.tools["terraform_apply"]
        assert isinstance(apply, FakeTool)
        self.apply = apply
        self.asked: list[ApprovalRequest] = []
        self.approved: list[ApprovalRequest] = []
        self.voted = self.settled = 0
        self._house = house
        self._past = past
        self._token = token
        self._ledger = ledger
        self._numbers = itertools.count()
        self._scope: Scope | None = None

    async def prepare(self) -> None:
        state = await state_of(self._house.store, self._past.id)
        self.apply.revision = REVISION
        reviewed = replace(state, verdicts={REVISION: verdict()})
        self._scope = Scope(reviewed, ARCHITECT, 1, self._house.clock.now())

    @property
    def scope(self) -> Scope:
        assert self._scope is not None
        return self._scope

    async def ask(self, count: int) -> None:
        """`count` requests, each with a digest of its own."""
        for _ in range(count):
            self.apply.binding["number"] = next(self._numbers)
            answer = await self._house.gate.submit(
                self._call("terraform_apply"), self.scope, "Please apply.", FakeWatch()
            )
            assert isinstance(answer, Held), answer
            self.asked.append(answer.request)

    def _call(self, tool: str) -> ToolCall:
        persona = BUILDER if tool == "terraform_apply" else ARCHITECT
        call = CallId(f"{self._past.id}-1-0-{next(self._numbers)}")
        return ToolCall(call, tool, {"what": "nodes"}, persona, self._past.id, 1)

    async def read(self) -> None:
        answer = await self._house.gate.submit(self._call("proxmox_read"), self.scope, "", FakeWatch())
        assert isinstance(answer, Ran), answer

    async def vote(self) -> None:
        request = self.asked.pop(0)
        thread = request.thread
        reply = Reply(thread.team, thread.channel, thread.ts, CHRIS)
        answer = await self._house.gate.vote(VoteCast(request.id, "approve", "", "", reply))
        assert isinstance(answer, Counted), answer
        assert answer.request.status == "approved"
        self.approved.append(answer.request)
        self.voted += 1

    async def settle(self) -> None:
        request = self.approved.pop(0)
        done = await self._house.gate.settle(request.id, self._token, self.scope, FakeWatch())
        assert done.request.status == "done", done
        self.settled += 1

    async def bare_read(self) -> None:
        link = self._house.store.link
        await link.read("HGET", f"{link.prefix}stops", self._past.thread.lane)
        await link.write("XADD", f"{link.prefix}bare", "*", "json", '{"kind":"call.allowed","mission":"1"}')

    async def bare_vote(self) -> None:
        await self._house.store.link.run(CAS, next(self._numbers))

    async def bare_settle(self) -> None:
        await self._house.store.link.run_durably(CAS, next(self._numbers))
        with self._ledger.open("ab") as file:
            file.write(b"0123456789abcdef0123456789abcdef\n")
            file.flush()
            os.fsync(file.fileno())
