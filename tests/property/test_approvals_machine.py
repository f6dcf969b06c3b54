"""People, agents, workers, clocks and policies in any order, against the real store (rules 5, 9, 11, 12, 13).

Never two executions of one request, never one without a full quorum on exactly what runs, never one while changes are
frozen or after a STOP; and whatever happened, no request is stuck: with time, each one ends.
"""

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from bot.domain.approvals import ApprovalRequest, Counted, Held
from bot.domain.calls import CallClass, Effect
from bot.domain.grants import FREEZES, GRANTABLE
from bot.domain.ids import RequestId, UserId
from bot.domain.inbound import Reply, VoteCast
from bot.domain.people import Human, Role
from bot.domain.storage import StaleTokenError, StoreUnavailableError
from bot.gate.binding import digest_of_call
from bot.policy.authorise import Authoriser
from tests.fakes import ANA, BO, CHRIS, MALLORY, THREAD
from tests.gate_house import CHANGE, DESTROY, POLICIES, House, reviewed
from tests.property.machines import StoreMachine, play

DORA = UserId("U0DORA0001")
PEOPLE = st.sampled_from([ANA, BO, CHRIS, DORA, MALLORY, UserId("U0STRANGER")])
APPROVERS = (BO, CHRIS, DORA)
SECRET = Effect(CallClass.SENSITIVE_READ, "secret-read", "it shows a secret", "Read a secret")
EFFECTS = {"change": CHANGE, "destroy": DESTROY, "secret": SECRET}
OVER = frozenset({"done", "denied", "expired", "cancelled", "superseded", "unknown_outcome"})
TWICE = """
@id("pair") @quorum("2") @approvers("approver") @expires("4h") @exclude_requesters("true") @grant("1h")
permit (principal == Persona::"builder", action == Action::"change", resource == Tool::"terraform_apply");
"""


@cache
def policies(version: str) -> Authoriser:
    """Changes take two approvers, and may be granted: the widest ways through the gate."""
    files = {f"policies/{path.name}": path.read_text() for path in POLICIES.glob("*.cedar")}
    files["policies/pair.cedar"] = TWICE
    terraform = files["policies/terraform.cedar"]
    files["policies/terraform.cedar"] = terraform.replace('@exclude_requesters("true")\n', '@exclude_requesters("true") @grant("1h")\n', 1)  # fmt: skip
    return Authoriser((POLICIES / "schema.cedarschema").read_text(), files, version)


class JumpingClock:
    """The real time, and whatever this worker's clock is off by."""

    def __init__(self) -> None:
        self.shift = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.shift

    async def sleep(self, seconds: float) -> None:
        self.shift += timedelta(seconds=seconds)


class Crash(BaseException):
    """The worker dies here: no code of the gate may handle it."""


class Approvals(StoreMachine):
    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.house = House(Path(self._folder.name))
        self.clock = JumpingClock()
        self.version = 1
        store = self.store
        self.house.set(
            approvals=store.approvals, grants=store.grants, switch=store.switch, leases=store.leases, clock=self.clock,
            audit=store.audit, authoriser=policies("1"),
        )  # fmt: skip
        self.house.people.humans[DORA] = Human(DORA, "dora", frozenset({Role.APPROVER}))
        self.ids: list[RequestId] = []
        self.began: list[RequestId] = []
        self.wrong: list[str] = []
        self.number = 0
        self.used = 0
        self.settling = RequestId("")
        self.dies = ""
        self.house.apply.on_run = self._runs
        self._hold()

    def teardown(self) -> None:
        try:
            self.runner.run(self._everything_ends())
        finally:
            super().teardown()
            self._folder.cleanup()

    # what must hold -----------------------------------------------------------------------------------------------

    async def _runs(self) -> None:
        """Looked at by the tool when its effect begins. Kept, not raised: the gate would take it for the tool's error."""
        request = await self.store.approvals.get(self.settling)
        assert request is not None
        self.wrong += [
            f"{request.effect.cls}: {name}" for name, holds in (await self._checks(request)).items() if not holds
        ]
        self.began.append(request.id)
        self.effects += 1
        if self.dies == "running":
            raise Crash

    async def _checks(self, request: ApprovalRequest) -> dict[str, bool]:
        ayes = {vote.user for vote in request.votes if vote.ballot == "approve"}
        able = {user for user in ayes if self._approves(user)} - request.requesters
        now = digest_of_call(
            request.prepared, environment=request.environment, estate="home", policy_version=str(self.version),
            pins=self.house.apply.state_pins,
        )  # fmt: skip
        freeze = await self.store.switch.frozen()
        approved = request.approved_at
        return {
            "consumed": request.status == "executing",
            "nobody denied": not any(vote.ballot == "deny" for vote in request.votes),
            "a full quorum of today's approvers who did not ask": len(able) >= request.terms.quorum,
            "changes take two": request.effect.cls is not CallClass.CHANGE or request.terms.quorum == 2,
            "on exactly what runs": now == request.digest,
            "no stop since": await self.store.leases.stops(THREAD.lane) == request.stops,
            "not frozen": freeze is None or request.effect.cls not in FREEZES,
            # by the store's clock, which is the real time: a worker's own may jump
            "in time": approved is not None and timedelta(0) <= datetime.now(UTC) - approved <= timedelta(seconds=302),
            "once": request.id not in self.began,
            "nothing that people took out": not set(request.names) & set(request.without),
            "granted only what may be": request.grant is None or request.effect.cls in GRANTABLE,
        }

    def _approves(self, user: UserId) -> bool:
        human = self.house.people.humans.get(user)
        return human is not None and Role.APPROVER in human.roles and human.standing == "member"

    async def _everything_ends(self) -> None:
        """Time passes and the deadlines are served, as the lane does: each request then has its end, and none waits."""
        self.dies = ""
        await self.store.link.write("DEL", f"{self.store.link.prefix}lease:{THREAD.lane}")
        await self._acquire()
        for request in list(self.ids):
            await self._settled(request)
        self.clock.shift = max(self.clock.shift, timedelta()) + timedelta(days=2)
        for request in self.ids:
            await self.house.gate.expire(request)
            await self._settled(request)
        found = [await self.store.approvals.get(request) for request in self.ids]
        assert {one.status for one in found if one} <= OVER, [one.status for one in found if one]
        assert await self.store.approvals.pending() == []
        assert await self.store.approvals.executing(THREAD) == []
        waits = await self.store.link.read("HLEN", f"{self.store.link.prefix}waits:{THREAD.lane}")
        assert int(waits) == 0, "a digest that waits for nothing keeps the crew from asking again"
        await self.house.gate.standing(self.house.state)
        assert await self.store.grants.of() == []
        assert self.wrong == []

    # moves --------------------------------------------------------------------------------------------------------

    async def _acquire(self) -> None:
        token = await self.store.leases.acquire(THREAD.lane, "w1", 600)
        if token is not None:
            self.house.token = token

    def _hold(self) -> None:
        self.runner.run(self._acquire())

    def _do(self, step: Coroutine[Any, Any, Any]) -> Any:
        """A worker's step. What it dies of is its own affair; the next worker comes."""
        try:
            return self.runner.run(step)
        except (StaleTokenError, StoreUnavailableError):
            return None
        except Crash:
            self.restart()
            return None

    async def _settled(self, request: RequestId) -> None:
        stored = await self.store.approvals.get(request)
        self.settling = request
        if stored is not None and stored.status == "executing":
            await self.house.gate.recover(stored, self._scope(stored), self.house.watch)
        elif stored is not None:
            await self.house.settle(stored)

    def _scope(self, request: ApprovalRequest) -> Any:
        from tests.fakes import scope

        return scope(self.house.state, request.asked_by)

    def _id(self, which: int) -> RequestId:
        return self.ids[-1 - which % min(len(self.ids), 10)]

    @initialize(straight=st.booleans())
    def begin(self, *, straight: bool) -> None:
        self.propose(what=1, kind="change")
        if straight:
            self.approve_and_settle(0, "", grant=False)

    @rule(what=st.integers(1, 3), kind=st.sampled_from(sorted(EFFECTS)))
    def propose(self, what: int, kind: str) -> None:
        self.number += 1
        self.house.apply.effect = EFFECTS[kind]
        answer = self._do(self.house.propose(number=self.number, what=what))
        if isinstance(answer, Held) and answer.request.id not in self.ids:
            self.ids.append(answer.request.id)

    @rule(kind=st.sampled_from(sorted(EFFECTS)))
    def ten_at_once(self, kind: str) -> None:
        """Ten calls of one step; two of them are the same thing."""
        self.house.apply.effect = EFFECTS[kind]
        first = self.number + 1
        self.number += 10

        async def all_of_them() -> list[Any]:
            calls = (self.house.propose(number=first + at, what=100 + first + at % 9) for at in range(10))
            return list(await asyncio.gather(*calls, return_exceptions=True))

        held = [one.request.id for one in self._do(all_of_them()) or () if isinstance(one, Held)]
        assert len(set(held)) <= 9, "the same thing was asked twice"
        self.ids += [one for one in dict.fromkeys(held) if one not in self.ids]

    @precondition(lambda self: bool(self.ids))
    @rule(
        which=st.integers(0, 9), user=PEOPLE, ballot=st.sampled_from(["approve", "approve", "grant", "grant", "deny"]),
        typed=st.booleans(), times=st.integers(1, 3),
    )  # fmt: skip
    def click(self, which: int, user: UserId, ballot: str, *, typed: bool, times: int) -> None:
        request = self.runner.run(self.store.approvals.get(self._id(which)))
        assert request is not None
        names = " ".join(request.terms.typed_names) if typed else ""
        reply = Reply(THREAD.team, THREAD.channel, THREAD.ts, user)
        cast = VoteCast(request.id, "deny" if ballot == "deny" else "approve", "no", names, reply, ballot == "grant")

        async def at_once() -> None:
            await asyncio.gather(*(self.house.gate.vote(cast) for _ in range(times)))

        self._do(at_once())

    @precondition(lambda self: bool(self.ids))
    @rule(which=st.integers(0, 9), user=PEOPLE, names=st.sets(st.sampled_from(["cp1", "cp2", "cp9"]), min_size=1))
    def narrow(self, which: int, user: UserId, names: set[str]) -> None:
        """Names out of a request: it ends, and nothing with those names is asked for again in this mission."""
        reply = Reply(THREAD.team, THREAD.channel, THREAD.ts, user)
        cast = VoteCast(self._id(which), "deny", "", "", reply, leave_out=tuple(sorted(names)))
        answer = self._do(self.house.gate.vote(cast))
        if isinstance(answer, Counted):
            assert names <= set(answer.request.names)
            self.house.state = replace(self.house.state, left_out=tuple(sorted(names)))

    @rule(which=st.integers(0, 9), kind=st.sampled_from(sorted(EFFECTS)), grant=st.booleans(), then=st.sampled_from(["", "", "", "dies", "wait", "stop", "freeze", "policy", "role"]))  # fmt: skip
    def approve_and_settle(self, which: int, then: str, *, grant: bool, kind: str = "") -> None:
        """The straight way, with at most one thing in between; of a new request where `which` is 0 and `kind` says what."""
        if kind and (which == 0 or not self.ids):
            self.propose(what=50 + self.number, kind=kind)
            which = 0
        if not self.ids:
            return
        self.thaw()
        for user in APPROVERS:
            self.change_a_role(user=user, listed=True)
            self.click(which, user, "grant" if grant else "approve", typed=True, times=1)
        match then:
            case "dies":
                self.dies = "running"
            case "wait":
                self.jump(301)
            case "stop":
                self.stop()
            case "freeze":
                self.freeze()
            case "policy":
                self.change_the_policies()
            case "role":
                self.change_a_role(user=BO, listed=False)
                self.change_a_role(user=CHRIS, listed=False)
            case _:
                pass
        self.settle(which)
        self.dies = ""

    @precondition(lambda self: bool(self.ids))
    @rule(which=st.integers(0, 9), racers=st.integers(1, 3))
    def settle(self, which: int, racers: int = 1) -> None:
        request = self._id(which)

        async def race() -> None:
            ends = await asyncio.gather(*(self._settled(request) for _ in range(racers)), return_exceptions=True)
            for end in ends:
                if isinstance(end, BaseException):
                    raise end

        self._do(race())

    @rule(
        kind=st.sampled_from(["secret", "secret", "change"]), what=st.integers(1, 2),
        between=st.sampled_from(["", "", "", "stop", "freeze", "policy", "role", "wait", "revoke", "amend"]),
    )  # fmt: skip
    def grant_and_use(self, kind: str, what: int, between: str) -> None:
        """The same call twice, the second time under the grant that came with the first, if that still stands."""
        self.propose(what=what, kind=kind)
        self.approve_and_settle(0, "", grant=True)
        match between:
            case "stop":
                self.stop()
            case "freeze":
                self.freeze()
            case "policy":
                self.change_the_policies()
            case "role":
                for user in APPROVERS:
                    self.change_a_role(user=user, listed=False)
            case "wait":
                self.jump(3601)
            case "revoke":
                self.revoke(ANA, 0)
            case "amend":
                self.amend(BO)
            case _:
                pass
        known = len(self.ids)
        self.propose(what=what, kind=kind)
        if len(self.ids) > known:
            request = self.runner.run(self.store.approvals.get(self.ids[-1]))
            assert request is not None
            if request.grant is not None:
                self.used += 1
                assert between not in {"stop", "policy", "role", "wait"}, "the grant had ended"
                assert between != "freeze" or kind == "secret", "a change ran into a freeze"
            self.settle(0)

    @rule()
    def restart(self) -> None:
        """This worker is dead; the next one takes the lane, with the same folder, and looks at what was begun."""
        self.dies = ""
        self.runner.run(self.store.link.write("DEL", f"{self.store.link.prefix}lease:{THREAD.lane}"))
        self._hold()
        for request in self.runner.run(self.store.approvals.executing(THREAD)):
            self._do(self._settled(request.id))

    @rule(seconds=st.sampled_from([-3600, -60, 1, 301, 1900, 3601, 4 * 3600]))
    def jump(self, seconds: int) -> None:
        self.clock.shift += timedelta(seconds=seconds)

    @precondition(lambda self: bool(self.ids))
    @rule(which=st.integers(0, 9))
    def expire(self, which: int) -> None:
        self._do(self.house.gate.expire(self._id(which)))

    @rule()
    def stop(self) -> None:
        self._do(self.store.leases.raise_stop(THREAD.lane, ANA))
        self._do(self.house.gate.cancel_all(THREAD, "STOP was pressed"))
        assert self.runner.run(self.store.grants.of(THREAD)) == []

    @rule()
    def freeze(self) -> None:
        self._do(self.house.gate.freeze(CHRIS, "storage is being moved"))

    @rule()
    def thaw(self) -> None:
        self.house.people.humans[CHRIS] = replace(
            self.house.people.humans[CHRIS], roles=self.house.people.humans[CHRIS].roles | {Role.ADMIN}
        )
        self._do(self.house.gate.thaw(CHRIS))

    @rule(user=PEOPLE, which=st.integers(0, 9))
    def revoke(self, user: UserId, which: int) -> None:
        live = self.runner.run(self.store.grants.of(THREAD))
        if live:
            self._do(self.house.gate.revoke(live[which % len(live)].id, user))

    @rule(user=st.sampled_from(APPROVERS), listed=st.booleans())
    def change_a_role(self, user: UserId, *, listed: bool) -> None:
        human = self.house.people.humans[user]
        roles = human.roles | {Role.APPROVER} if listed else human.roles - {Role.APPROVER}
        self.house.people.humans[user] = replace(human, roles=frozenset(roles))

    @rule(user=st.sampled_from([None, BO, CHRIS]))
    def amend(self, user: UserId | None) -> None:
        """Who amends the request is one who asked."""
        self.house.state = reviewed(amendments=((user, "and one more"),) if user else ())

    @rule()
    def change_the_policies(self) -> None:
        self.version += 1
        self.house.set(authoriser=policies(str(self.version)))

    @rule(pin=st.integers(3, 4))
    def move_the_state(self, pin: int) -> None:
        self.house.apply.state_pins = {"serial": str(pin)}

    @invariant()
    def rules_5_9_11_12_13_hold_whenever_something_runs(self) -> None:
        assert self.wrong == []

    @invariant()
    def grants_are_only_what_may_be_granted(self) -> None:
        for grant in self.runner.run(self.store.grants.of()):
            assert grant.cls in GRANTABLE
            assert grant.until - grant.opened_at <= timedelta(hours=1)


def test_rules_12_13_no_execution_without_its_approval_none_twice_and_none_stuck(url: str) -> None:
    played = play(Approvals, url, examples=25, steps=30)
    assert played.effects, f"nothing ran in any of {played.machines} orders, so nothing was shown"
