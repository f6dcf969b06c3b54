"""`/cluster-status` names the mission that has the estate."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from bot.answers import Answers, Silent
from bot.domain.approvals import ApprovalRequest, Ran, Submitted
from bot.domain.calls import ToolCall, ToolResult
from bot.domain.deputies import Deputy
from bot.domain.ids import Thread
from bot.domain.inbound import Commanded, Reply
from bot.domain.ports import Scope, Watch
from bot.domain.posts import ApprovalCard
from tests.fakes import ANA, THREAD, FakeClock

FACTS: dict[str, dict[str, Any]] = {
    "cluster": {"name": "lab", "quorate": True},
    "nodes": {"nodes": [{"name": "pve1", "status": "online", "cpus": 4, "memory_gib": 16}]},
    "vms": {"vms": []},
}


class Door:
    async def submit(self, call: ToolCall, scope: Scope, words: str, watch: Watch) -> Submitted:
        assert (scope.persona, words, watch.stopping()) == ("watchbill", "", 0)
        return Ran(ToolResult(call.id, call.tool, "ok", "", facts=FACTS[str(call.arguments["what"])]))

    async def deputies(self) -> tuple[Deputy, ...]:
        raise AssertionError

    def card(self, request: ApprovalRequest, result: ToolResult | None = None) -> ApprovalCard:
        raise AssertionError((request, result))


class NothingWaits:
    async def pending(self, thread: Thread | None = None) -> Sequence[ApprovalRequest]:
        assert thread is None
        return ()


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (
            ("3", "from plan to apply"),
            "1 nodes, 0 VMs, 0 approvals waiting. Mission 3 has the estate, from plan to apply.",
        ),
        (None, "1 nodes, 0 VMs, 0 approvals waiting."),
    ],
)
async def test_cluster_status_names_who_has_the_estate(held: tuple[str, str] | None, said: str) -> None:
    async def lock() -> tuple[str, str] | None:
        return held

    unused = cast("Any", None)
    answers = Answers(
        journal=unused, approvals=cast("Any", NothingWaits()), door=Door(), personas={}, clock=FakeClock(), titles=str,
        watch=Silent(), estate="home", audit=unused, limit_usd=5.0, lock=lock, verifier=unused,
    )  # fmt: skip
    shown = await answers.answer(Commanded("cluster-status", "", Reply("T0", "C0", "1.0", ANA), THREAD))
    assert shown.text == said
    assert shown.rows[1] == ("quorum", "lab", "yes", "")
