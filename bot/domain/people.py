"""Who may do what: roles of people, read again at every click."""

from dataclasses import dataclass
from enum import StrEnum

from bot.domain.ids import UserId


class Role(StrEnum):
    """`policies/people.yaml`. Someone without a role may only press STOP."""

    REQUESTER = "requester"
    APPROVER = "approver"
    RISK_OWNER = "risk_owner"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Human:
    """One person as the rules see them now. `standing` says why roles are empty: unlisted, guest, external, deactivated."""

    id: UserId
    name: str
    roles: frozenset[Role]
    standing: str = "member"

    def may(self, *roles: Role) -> bool:
        """True if the person has any of `roles`."""
        return bool(self.roles.intersection(roles))
