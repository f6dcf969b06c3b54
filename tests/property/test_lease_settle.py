"""Whatever workers, clicks, STOPs and expiries do in whatever order: one holder, one execution (rules 1, 12, 13)."""

import asyncio
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from bot.domain.approvals import ApprovalRequest, RequestStatus
from bot.domain.ids import MissionId, RequestId, Token, UserId
from bot.domain.log import StopPressed
from bot.domain.storage import Commit, StaleTokenError
from bot.store.connection import connect
from bot.store.store import over
from tests.contract.store_values import ANA, LANE, THREAD, opened, request, result, vote
from tests.property.machines import StoreMachine, play

WORKERS = st.sampled_from(["w1", "w2", "w3"])
PEOPLE = st.sampled_from([UserId("UA"), UserId("UB"), UserId("UC")])
ENDS: list[RequestStatus] = ["denied", "expired", "cancelled", "superseded"]


@dataclass
class Known:
    """What the request's state must be."""

    asked: ApprovalRequest
    status: str = "pending"
    voters: set[UserId] = field(default_factory=set[UserId])
    executed: int = 0


class LeaseAndSettle(StoreMachine):
    def __init__(self) -> None:
        super().__init__()
        self.holder: Token | None = None
        self.tokens: dict[str, Token] = {}  # each worker's last one, good or not
        self.newest = 0
        self.stops = 0
        self.requests: list[Known] = []
        self.mission = MissionId("")
        self.written = 0

    @initialize(straight=st.booleans(), racers=st.integers(1, 3))
    def begin(self, straight: bool, racers: int) -> None:  # noqa: FBT001 - hypothesis names it
        token = self.runner.run(self.store.leases.acquire(LANE, "w1", 60))
        assert token
        self.holder = self.tokens["w1"] = token
        self.newest = token.number
        self.mission, logged = self.runner.run(self.store.journal.open(token, opened(), Commit()))
        self.written = len(logged)
        if straight:
            self.approve_and_consume("", racers)

    @rule(worker=WORKERS)
    def acquire(self, worker: str) -> None:
        token = self.runner.run(self.store.leases.acquire(LANE, worker, 60))
        assert (token is None) == (self.holder is not None)
        if token:
            assert token.number > self.newest
            self.holder = self.tokens[worker] = token
            self.newest = token.number

    @rule()
    def expire(self) -> None:
        self.runner.run(self.store.link.write("DEL", f"{self.store.link.prefix}lease:{LANE}"))
        self.holder = None

    @rule(worker=WORKERS)
    def release(self, worker: str) -> None:
        if worker in self.tokens:
            self.runner.run(self.store.leases.release(self.tokens[worker]))
            self.holder = None if self.holder == self.tokens[worker] else self.holder

    @rule(worker=WORKERS)
    def renew(self, worker: str) -> None:
        if worker in self.tokens:
            renewed = self.runner.run(self.store.leases.renew(self.tokens[worker], 60))
            assert renewed == (self.tokens[worker] == self.holder)

    @rule(worker=WORKERS)
    def write(self, worker: str) -> None:
        if worker not in self.tokens:
            return
        token = self.tokens[worker]
        try:
            self.runner.run(self.store.journal.commit(token, self.mission, Commit(entries=(StopPressed(ANA),))))
        except StaleTokenError:
            assert token != self.holder
        else:
            assert token == self.holder
            self.written += 1

    @rule(quorum=st.integers(1, 2), digest=st.sampled_from("ab"), late=st.booleans())
    def ask(self, quorum: int, digest: str, late: bool) -> None:  # noqa: FBT001 - hypothesis names it
        lasts = timedelta(seconds=-1) if late else None
        asked = request(len(self.requests) + 1, digest=digest * 64, quorum=quorum, lasts=lasts)
        stored = self.runner.run(self.store.approvals.create(asked))
        twins = [
            one.asked.id
            for one in self.requests
            if one.asked.digest == asked.digest
            and (one.status == "approved" or (one.status == "pending" and one.asked.expires_at > datetime.now(UTC)))
        ]
        if stored.id == asked.id:
            assert not twins
            self.requests.append(Known(asked))
        else:
            assert stored.id in twins

    @precondition(lambda self: bool(self.requests))
    @rule(which=st.integers(0, 50), person=PEOPLE, deny=st.booleans())
    def click(self, which: int, person: UserId, deny: bool) -> None:  # noqa: FBT001 - hypothesis names it
        known = self.requests[which % len(self.requests)]
        ballot = vote(person, "deny" if deny else "approve", "no")
        answer = self.runner.run(self.store.approvals.vote(known.asked.id, ballot, datetime.now(UTC)))
        late = known.asked.expires_at < datetime.now(UTC)
        counts = known.status == "pending" and not late and person not in known.voters
        assert isinstance(answer, ApprovalRequest) == counts
        if counts:
            known.voters.add(person)
            enough = len(known.voters) >= known.asked.terms.quorum
            known.status = "denied" if deny else "approved" if enough else "pending"

    @precondition(lambda self: bool(self.requests))
    @rule(which=st.integers(0, 50), status=st.sampled_from(ENDS))
    def end(self, which: int, status: RequestStatus) -> None:
        known = self.requests[which % len(self.requests)]
        ended = self.runner.run(self.store.approvals.end(known.asked.id, status, "x"))
        assert ended == (known.status in {"pending", "approved"})
        if ended:
            known.status = status

    @rule()
    def stop(self) -> None:
        self.stops = self.runner.run(self.store.leases.raise_stop(LANE, f"press {self.stops}"))

    @precondition(lambda self: bool(self.requests))
    @rule(which=st.integers(0, 50), worker=WORKERS, seen=st.booleans(), racers=st.integers(1, 3))
    def consume(self, which: int, worker: str, seen: bool, racers: int) -> None:  # noqa: FBT001 - hypothesis names it
        if worker not in self.tokens:
            return
        known = self.requests[which % len(self.requests)]
        stops = self.stops if seen else self.stops - 1

        async def race() -> list[str]:
            one = self.store.approvals.consume(known.asked, self.tokens[worker], stops=stops, start_within_s=60)
            more = [
                self.store.approvals.consume(known.asked, self.tokens[worker], stops=stops, start_within_s=60)
                for _ in range(racers - 1)
            ]
            return list(await asyncio.gather(one, *more))

        answers = self.runner.run(race())
        may = known.status == "approved" and self.tokens[worker] == self.holder and seen
        assert answers.count("") == (1 if may else 0), answers
        if may:
            known.status = "executing"
            known.executed += 1
            self.effects += 1
        elif known.status != "approved":
            assert set(answers) == {"not_approved"}
        else:
            assert set(answers) == {"stopped" if self.tokens[worker] == self.holder else "stale_token"}

    @rule(then=st.sampled_from(["", "", "stop", "end"]), racers=st.integers(1, 3))
    def approve_and_consume(self, then: str, racers: int) -> None:
        """The straight way of a new request, with at most one thing in between: random orders hardly ever get this far."""
        self.ask(2, f"{len(self.requests) % 10}", late=False)
        which = len(self.requests) - 1
        for person in (UserId("UA"), UserId("UB"), UserId("UC")):
            self.click(which, person, deny=False)
        seen = then != "stop"
        if then == "stop":
            self.stop()
        elif then == "end":
            self.end(which, "cancelled")
        for worker in sorted(self.tokens):
            self.consume(which, worker, seen=seen, racers=racers)

    @precondition(lambda self: bool(self.requests))
    @rule(which=st.integers(0, 50), known_end=st.booleans())
    def finish(self, which: int, known_end: bool) -> None:  # noqa: FBT001 - hypothesis names it
        known = self.requests[which % len(self.requests)]
        status: RequestStatus = "done" if known_end else "unknown_outcome"
        self.runner.run(self.store.approvals.finish(known.asked.id, status, result()))
        known.status = status if known.status == "executing" else known.status

    @invariant()
    def the_store_agrees(self) -> None:
        for known in self.requests:
            assert known.executed <= 1
        stored = [self.runner.run(self.store.approvals.get(RequestId(one.asked.id))) for one in self.requests]
        assert [one.status for one in stored if one] == [one.status for one in self.requests]
        executing = self.runner.run(self.store.approvals.executing(THREAD))
        assert {one.id for one in executing} == {one.asked.id for one in self.requests if one.status == "executing"}

    @invariant()
    def the_log_holds_what_holders_wrote(self) -> None:
        if self.mission:
            assert len(self.runner.run(self.store.journal.read(self.mission))) == self.written
            assert self.runner.run(self.store.journal.verify(self.mission)) is None


def test_rules_1_12_13_never_two_holders_never_two_executions(url: str) -> None:
    played = play(LeaseAndSettle, url, examples=30, steps=25)
    assert played.effects, f"nothing ran in any of {played.machines} orders, so nothing was shown"


def test_rule_1_a_forged_token_is_no_token(url: str) -> None:
    async def forge() -> None:
        store = over(await connect(url, f"{secrets.token_hex(4)}:"))
        token = await store.leases.acquire(LANE, "w1", 60)
        assert token
        mission, _ = await store.journal.open(token, opened(), Commit())
        for forged in (replace(token, holder="w2"), replace(token, number=token.number + 1), replace(token, number=0)):
            with pytest.raises(StaleTokenError):
                await store.journal.commit(forged, mission, Commit(entries=(StopPressed(ANA),)))
        assert len(await store.journal.read(mission)) == 1
        await store.aclose()

    asyncio.run(forge())
