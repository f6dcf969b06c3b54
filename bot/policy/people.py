"""Who may do what: policies/people.yaml, with Slack's word on guests (rule 12)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bot.domain.approvals import Terms
from bot.domain.ids import UserId
from bot.domain.people import Human, Role
from bot.domain.ports import Slack
from bot.policy.problems import PolicyError

NAME = Annotated[str, Field(min_length=1, max_length=80)]
SLACK_ID = Annotated[str, Field(pattern=r"^[UW][A-Z0-9]{5,20}$")]


class PersonEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: NAME
    roles: Annotated[list[Role], Field(min_length=1)]


class PeopleFile(BaseModel):
    """policies/people.yaml as written."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    people: dict[SLACK_ID, PersonEntry]

    def typed(self) -> "Roster":
        roles = {UserId(user): frozenset(entry.roles) for user, entry in self.people.items()}
        return Roster(roles, {UserId(user): entry.name for user, entry in self.people.items()})


@dataclass(frozen=True, slots=True)
class Roster:
    """People by Slack id."""

    roles: Mapping[UserId, frozenset[Role]]
    names: Mapping[UserId, str]

    def with_role(self, role: str) -> tuple[UserId, ...]:
        return tuple(user for user, roles in self.roles.items() if role in {r.value for r in roles})

    def with_any(self, roles: Iterable[str]) -> tuple[UserId, ...]:
        wanted = set(roles)
        return tuple(user for user, own in self.roles.items() if wanted & {r.value for r in own})


class LivePeople:
    """The People port: reads the roster again at each question, so that a removed role counts from the next click."""

    def __init__(self, read: Callable[[], Roster], slack: Slack) -> None:
        """`read` raises PolicyError where the file is unreadable: nobody has a role then."""
        self._read = read
        self._slack = slack

    async def human(self, user: UserId) -> Human:
        """The person as the rules see them now. Guests, bots, external and deactivated users have no roles."""
        standing, name = await self._slack.standing(user)
        if standing != "member":
            return Human(user, name, frozenset(), standing)
        try:
            roster = self._read()
        except PolicyError as error:
            return Human(user, name, frozenset(), f"unknown, because {error}")
        roles = roster.roles.get(user)
        if roles is None:
            return Human(user, name, frozenset(), "unlisted")
        return Human(user, roster.names[user], roles, standing)

    def with_role(self, role: str) -> tuple[UserId, ...]:
        try:
            return self._read().with_role(role)
        except PolicyError:
            return ()


def check_approvers(roster: Roster, terms: Iterable[Terms], environment: str, file: str) -> tuple[str, ...]:
    """Warnings about approvals that could not be given. Raises PolicyError where nobody could give one at all."""
    warnings: dict[str, None] = {}
    for term in terms:
        roles = " or ".join(sorted(term.approvers))
        able = roster.with_any(term.approvers)
        if len(able) < term.quorum:
            wrong = f"{len(able)} people have the role {roles}, and {environment} needs {term.quorum} to approve"
            raise PolicyError(
                file, "people", wrong, f"Give that role to somebody: U0123456789: {{name: bo, roles: [{roles}]}}"
            )
        if not term.exclude_requesters:
            continue
        asking = set(able) & set(roster.with_any([Role.REQUESTER.value, Role.ADMIN.value]))
        for user in sorted(asking):
            if len(able) - 1 < term.quorum:
                name = roster.names[user]
                warnings[
                    f"{file}: what {name} asks for in {environment} nobody can approve: no other {roles} is listed. "
                    f"Add one"
                ] = None
    return tuple(warnings)
