"""Who may approve in another's place: an approver's deputy for a while, or two listed people where no approver answers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from bot.domain.ids import RequestId, UserId

DeputyKind = Literal["delegation", "break_glass"]


@dataclass(frozen=True, slots=True)
class Deputy:
    """A delegation: `to` decides for `by`, who does not meanwhile. A break-glass: `by` and `to` may decide `request`
    together. It stands once both said so (`live`), and never after `until`. It changes who may approve, never what.
    """

    id: str
    kind: DeputyKind
    by: UserId
    by_name: str
    to: UserId | None
    to_name: str
    reason: str
    opened_at: datetime
    until: datetime
    request: RequestId | None = None
    live: bool = False

    @property
    def words(self) -> str:
        """What it is, in one line for cards and lists."""
        until = f"until {self.until:%Y-%m-%d %H:%M} UTC"
        if self.kind == "delegation":
            return f"{self.to_name} decides for {self.by_name} {until}: {self.reason}"
        return f"Break-glass by {self.by_name} and {self.to_name or 'a second person'}: {self.reason}"


class Deputies(Protocol):
    """What stands or is offered. Every change is one compare-and-set."""

    async def put(self, deputy: Deputy) -> bool:
        """A new one. False where its id is taken."""
        ...

    async def change(self, was: Deputy, now: Deputy | None) -> bool:
        """`was` becomes `now`, or ends. False where it is not as it was any more."""
        ...

    async def all(self) -> tuple[Deputy, ...]:
        """Offered and live ones, oldest first; time is the caller's."""
        ...
