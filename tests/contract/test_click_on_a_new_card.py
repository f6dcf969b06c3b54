"""A click that is faster than the record of the message it was made on, and one that Slack gives no clear word about."""

from pathlib import Path

import pytest

from bot.answers import Answers, Silent
from bot.domain.approvals import ApprovalRequest
from bot.domain.ids import UserId
from bot.domain.inbound import ModalAsked, Reply, VoteCast
from bot.domain.posts import ApprovalCard, Post
from bot.domain.storage import Sent
from bot.immediate import Desk
from bot.slack.standing import Standing
from bot.store.store import Store
from tests.contract.slack_lab import BO as LAB_BO
from tests.contract.slack_lab import connected, running_lab
from tests.fakes import BO, THREAD, FakeClock
from tests.gate_house import House


class Front:
    """A desk over the real store, with a card on its way to Slack: tried, and no ts recorded."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.house = House(folder)
        self.house.set(approvals=store.approvals, leases=store.leases)
        gate = self.house.gate
        answers = Answers(
            journal=store.journal, approvals=store.approvals, door=gate, personas={}, clock=self.house.clock,
            titles=str, watch=Silent(), estate="home",
        )  # fmt: skip
        self.desk = Desk(
            gate=gate, answers=answers, inbox=store.inbox, outbox=store.outbox, leases=store.leases,
            journal=store.journal, approvals=store.approvals, people=self.house.people,
        )  # fmt: skip

    async def card(self) -> ApprovalRequest:
        request = await self.house.held()
        card = Post(f"request:{request.id}", THREAD, "watchbill", self.house.gate.card(request))
        await self.store.outbox.put(card)
        (item,) = await self.store.outbox.waiting()
        await self.store.outbox.trying(item)
        return request

    async def approve(self, request: ApprovalRequest, reply: Reply) -> None:
        await self.desk.serve(VoteCast(request.id, "approve", "", "", reply))


@pytest.fixture
def front(store: Store, tmp_path: Path) -> Front:
    return Front(store, tmp_path)


def on(ts: str, *, channel: str = THREAD.channel, ephemeral: bool = False) -> Reply:
    return Reply(THREAD.team, channel, THREAD.ts, BO, "trigger", "A1", ts, ephemeral)


async def test_rule_12_a_click_on_a_card_without_a_stored_ts_counts_and_adopts_it(front: Front) -> None:
    request = await front.card()
    await front.approve(request, on("77.000100"))
    stored = await front.store.approvals.get(request.id)
    assert stored is not None
    assert stored.status == "approved"
    key = f"request:{request.id}"
    assert await front.store.outbox.sent_as(key) == Sent(THREAD.channel, "77.000100", 1)
    (item,) = await front.store.outbox.waiting()
    assert isinstance(item.post.body, ApprovalCard)
    assert item.post.body.outcome.startswith("Approved")
    assert item.sent is not None  # an edit of that message: it is neither posted again nor looked for
    assert (item.sent.ts, item.tried) == ("77.000100", False)


async def test_the_record_of_the_send_that_comes_later_changes_nothing(front: Front) -> None:
    request = await front.card()
    (first,) = await front.store.outbox.waiting()
    await front.approve(request, on("77.000100"))
    await front.store.outbox.sent(first, "77.000100")
    (item,) = await front.store.outbox.waiting()
    assert item.sent == Sent(THREAD.channel, "77.000100", 1)


async def test_a_form_adopts_as_well(front: Front) -> None:
    request = await front.card()
    await front.desk.serve(ModalAsked("deny", request.id, on("77.000100")))
    assert await front.store.outbox.key_of(THREAD.channel, "77.000100") == f"request:{request.id}"


@pytest.mark.parametrize("reply", [on("77.000100", channel="C0OTHER"), on("77.000100", ephemeral=True), on("")])
async def test_what_does_not_fit_is_not_adopted(front: Front, reply: Reply) -> None:
    request = await front.card()
    await front.approve(request, reply)
    assert await front.store.outbox.sent_as(f"request:{request.id}") is None


async def test_a_recorded_ts_stays(front: Front) -> None:
    request = await front.card()
    (first,) = await front.store.outbox.waiting()
    await front.store.outbox.sent(first, "66.000100")
    await front.approve(request, on("77.000100"))
    assert await front.store.outbox.sent_as(f"request:{request.id}") == Sent(THREAD.channel, "66.000100", 1)


@pytest.mark.parametrize("fault", [{"error": "http_503"}, {"error": "lost"}, {"error": "ratelimited"}])
async def test_one_lost_answer_of_slack_turns_no_click_away(fault: dict[str, str]) -> None:
    async with running_lab(rate_scale=0) as lab, connected(lab) as connection:
        await lab.fault("fail", method="users.info", count=2, **fault)
        assert await Standing(connection.identities, FakeClock()).standing(UserId(LAB_BO)) == ("member", "bo")


@pytest.mark.parametrize(
    ("fault", "asked"),
    [({"error": "http_503", "count": 9}, 3), ({"error": "ratelimited", "retry_after": 60}, 1),
     ({"error": "user_not_found"}, 1)],
)  # fmt: skip
async def test_rule_12_no_answer_in_the_end_is_nobody(fault: dict[str, object], asked: int) -> None:
    async with running_lab(rate_scale=0) as lab, connected(lab) as connection:
        await lab.fault("fail", method="users.info", **fault)
        assert await Standing(connection.identities, FakeClock()).standing(UserId(LAB_BO)) == ("unknown", "")
        assert len(await lab.calls("users.info")) == asked
