"""Strict in-memory grants, freeze switch and used codes, beside tests/fakes.py."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bot.domain.approvals import ApprovalRequest
from bot.domain.deputies import Deputy
from bot.domain.grants import FREEZES, Freeze, Grant, GrantStatus
from bot.domain.ids import RequestId, Thread, UserId
from tests.fakes import MemoryApprovals, MemoryLeases


class MemorySwitch:
    def __init__(self) -> None:
        self.stands: Freeze | None = None

    async def freeze(self, freeze: Freeze) -> bool:
        if self.stands is not None:
            return False
        self.stands = freeze
        return True

    async def thaw(self) -> Freeze | None:
        lifted, self.stands = self.stands, None
        return lifted

    async def frozen(self) -> Freeze | None:
        return self.stands


class MemoryGrants:
    """Grants with the transitions of the port."""

    def __init__(self, approvals: MemoryApprovals, leases: MemoryLeases, switch: MemorySwitch) -> None:
        self._approvals = approvals
        self._leases = leases
        self._switch = switch
        self.grants: dict[RequestId, Grant] = {}
        self.uses: list[RequestId] = []

    async def give(self, grant: Grant) -> bool:
        if grant.id in self.grants:
            return False
        assert grant.status == "live", f"{grant.status} is no beginning"
        self.grants[grant.id] = grant
        return True

    async def get(self, grant: RequestId) -> Grant | None:
        return self.grants.get(grant)

    async def of(self, thread: Thread | None = None) -> Sequence[Grant]:
        return [one for one in self.grants.values() if one.status == "live" and thread in {None, one.thread}]

    async def end(self, grant: RequestId, status: GrantStatus, note: str) -> bool:
        assert status != "live", "live is no end"
        stored = self.grants[grant]
        if stored.status != "live":
            return False
        self.grants[grant] = replace(stored, status=status, note=note)
        return True

    async def use(self, grant: Grant, request: ApprovalRequest, now: datetime) -> ApprovalRequest | str:
        stored, given = self.grants[grant.id], self._approvals.requests[grant.id]
        assert request.grant == grant.id, "a use names its grant"
        if stored.status != "live" or now >= stored.until or stored.thread != request.thread:
            return "ended"
        if await self._leases.stops(request.thread.lane) != stored.stops or stored.stops != request.stops:
            return "stopped"
        if self._switch.stands is not None and request.effect.cls in FREEZES:
            return "frozen"
        for waiting in self._approvals.requests.values():
            if waiting.digest == request.digest and waiting.thread == request.thread:
                if waiting.status == "approved":
                    return waiting
                if waiting.status == "pending":
                    return "ended"
        self.uses.append(request.id)
        used = replace(request, status="approved", approved_at=now, votes=given.votes)
        self._approvals.requests[request.id] = used
        return used


class MemoryDeputies:
    def __init__(self) -> None:
        self.stand: dict[str, Deputy] = {}

    async def put(self, deputy: Deputy) -> bool:
        return self.stand.setdefault(deputy.id, deputy) is deputy

    async def change(self, was: Deputy, now: Deputy | None) -> bool:
        if self.stand.get(was.id) != was:
            return False
        self.stand = {**self.stand, was.id: now} if now else {k: v for k, v in self.stand.items() if k != was.id}
        return True

    async def all(self) -> tuple[Deputy, ...]:
        return tuple(self.stand.values())


class MemoryUsedCodes:
    def __init__(self) -> None:
        self.newest: dict[UserId, int] = {}
        self.wrongs: dict[UserId, int] = {}

    async def take(self, user: UserId, step: int) -> bool:
        if step <= self.newest.get(user, -1):
            return False
        self.newest[user] = step
        self.wrongs.pop(user, None)
        return True

    async def wrong(self, user: UserId) -> int:
        return self.wrongs.get(user, 0)

    async def note_wrong(self, user: UserId) -> None:
        self.wrongs[user] = self.wrongs.get(user, 0) + 1
