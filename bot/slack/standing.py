"""What Slack says of a person: member, guest, external, deactivated or bot. The `Slack` port of the engine."""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.domain.ids import Json, UserId
from bot.domain.ports import Clock
from bot.slack.identities import Identities
from bot.slack.parse import OWNER
from bot.slack.web import RefusedError, UnreachableError, fields_of, text_of

KEPT_S = 60.0
PAUSES_S = (0.3, 1.0)  # before the second and third question: one lost answer must not turn a click away
LONGEST_S = 3.0  # after that nobody is asked again, whatever Slack says about when to


@dataclass(frozen=True, slots=True)
class _Told:
    standing: str
    name: str
    until: float


class Standing:
    """users.info, kept for a minute so that a click is judged by nearly what Slack says now. Where Slack does not answer,
    it is asked again; in the end no answer is "unknown", which nobody may do anything with.
    """

    def __init__(self, identities: Identities, clock: Clock) -> None:
        self._identities = identities
        self._clock = clock
        self._told: dict[UserId, _Told] = {}

    async def standing(self, user: UserId) -> tuple[str, str]:
        """("member"|"guest"|"external"|"deactivated"|"bot"|"unknown", display name)."""
        now = self._clock.now().timestamp()
        kept = self._told.get(user)
        if kept is not None and now < kept.until:
            return kept.standing, kept.name
        name = self._identities.who_is(user)
        if name is not None:
            return "bot", name
        standing, shown = await self._ask(user)
        self._told = {one: told for one, told in self._told.items() if told.until > now}
        if standing != "unknown":
            self._told[user] = _Told(standing, shown, now + KEPT_S)
        return standing, shown

    async def _ask(self, user: UserId) -> tuple[str, str]:
        person = await self._patiently(user)
        if person is None:
            return "unknown", ""
        profile = fields_of(person, "profile")
        shown = text_of(profile, "display_name") or text_of(person, "real_name") or text_of(person, "name")
        if person.get("deleted"):
            return "deactivated", shown
        if person.get("is_bot") or user == "USLACKBOT":
            return "bot", shown
        if text_of(person, "team_id") != self._identities.team or person.get("is_stranger"):
            return "external", shown
        if person.get("is_restricted") or person.get("is_ultra_restricted"):
            return "guest", shown
        return "member", shown

    async def _patiently(self, user: UserId) -> Mapping[str, Json] | None:
        """What Slack says of the person, or None: a clear no, or no answer while a person can be kept waiting."""
        api, began = self._identities.voice(OWNER).api, self._clock.now().timestamp()
        for pause in (*PAUSES_S, None):
            try:
                return fields_of(await api.call("users.info", user=user), "user")
            except UnreachableError:
                wait = pause
            except RefusedError as error:
                limited = error.error == "ratelimited" and pause is not None
                wait = max(pause or 0.0, error.retry_after) if limited else None
            if wait is None or self._clock.now().timestamp() - began + wait > LONGEST_S:
                return None
            await self._clock.sleep(wait)
        return None
