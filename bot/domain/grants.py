"""Grants: one call that may run again for a while without asking; and the freeze of all changes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bot.domain.calls import CallClass
from bot.domain.ids import Digest, PersonaName, RequestId, Thread, UserId

GrantStatus = Literal["live", "expired", "revoked", "stopped", "outdated"]
GRANTABLE = frozenset({CallClass.SENSITIVE_READ, CallClass.CHANGE})  # never destroy, never what is not understood
FREEZES = frozenset({CallClass.CHANGE, CallClass.DESTROY, CallClass.UNKNOWN})  # what a freeze keeps from running


@dataclass(frozen=True, slots=True)
class Grant:
    """The same call of the same agent in the same thread, until `until`. Its id is that of the request whose approvers
    gave it. `scope` is the digest of everything that an approval binds, without the state pins: those are read anew at
    each use. `stops` is the lane's count of STOPs when it was given: a later one ends it.
    """

    id: RequestId
    scope: Digest
    tool: str
    cls: CallClass
    title: str
    environment: str
    persona: PersonaName
    thread: Thread
    policy_version: str
    by: tuple[UserId, ...]
    opened_at: datetime
    until: datetime
    stops: int = 0
    status: GrantStatus = "live"
    note: str = ""  # who or what ended it

    @property
    def short(self) -> str:
        return self.id[:4]


@dataclass(frozen=True, slots=True)
class Freeze:
    """While it stands no change runs, whoever asked for it and whoever approved it."""

    by: UserId
    name: str
    reason: str
    since: datetime

    @property
    def words(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        return f"changes are frozen by {self.name} since {self.since:%H:%M} UTC{why}"
