"""Who we are in Slack: five apps (crew mode), checked once at the start. Solo mode fits the same `Identities`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self

import aiohttp

from bot.domain.ids import Json
from bot.slack.mentions import Crew
from bot.slack.parse import OWNER, Known
from bot.slack.web import RefusedError, UnreachableError, WebApi, fields_of, text_of

TITLES: Mapping[str, str] = {
    "watchbill": "Watchbill",
    "architect": "Architect",
    "builder": "Builder",
    "sentinel": "Sentinel",
    "qa": "QA",
}


class SlackSettingError(Exception):
    """A token is missing or does not work. The text names the setting and where the right value stands."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One app as Slack knows it."""

    name: str
    title: str
    team: str
    user_id: str
    bot_id: str
    app_id: str


@dataclass(frozen=True, slots=True)
class Voice:
    """How to post as an identity: whose token, and what to put on a message (solo mode: name and icon)."""

    api: WebApi
    identity: Identity
    dress: Mapping[str, Json] = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True)
class Socket:
    """An app whose events are listened to."""

    identity: Identity
    app_token: str = field(repr=False)
    setting: str


class Identities(Protocol):
    """What the rest of bot/slack knows of identities, whatever the mode."""

    @property
    def team(self) -> str: ...
    @property
    def known(self) -> Known: ...
    @property
    def sockets(self) -> tuple[Socket, ...]: ...
    def voice(self, name: str) -> Voice:
        """An unknown name speaks with Watchbill's voice."""
        ...

    def who_is(self, user_id: str) -> str | None:
        """The identity's name, None for people and strangers."""
        ...


class Apps:
    """Crew mode: one app per identity, real @mentions. Make it with `connect`."""

    def __init__(self, identities: Mapping[str, Identity], voices: Mapping[str, Voice], known: Known) -> None:
        self._identities = identities
        self._voices = voices
        self._known = known
        self._sockets: tuple[Socket, ...] = ()

    @classmethod
    async def connect(
        cls,
        tokens: Mapping[str, tuple[str, str]],
        *,
        base_url: str,
        session: aiohttp.ClientSession,
        prefix: str = "",
        titles: Mapping[str, str] = TITLES,
        setting: str = "WATCHBILL_SLACK_{}_{}_TOKEN",
    ) -> Self:
        """Check every pair (xoxb-, xapp-) with Slack. Raises SlackSettingError with one line per token that is wrong."""
        _check_shapes(tokens, titles, setting)
        problems: list[str] = []
        identities: dict[str, Identity] = {}
        voices: dict[str, Voice] = {}
        for name in titles:
            bot_token, app_token = tokens[name]
            api = WebApi(bot_token, base_url=base_url, session=session)
            try:
                identities[name] = await _identify(api, name, titles[name], setting)
                await _check_app_token(WebApi(app_token, base_url=base_url, session=session), name, setting)
            except SlackSettingError as error:
                problems.append(str(error))
                continue
            voices[name] = Voice(api, identities[name])
        problems = problems or _check_together(identities, setting)
        if problems:
            raise SlackSettingError("\n".join(problems))
        made = cls(identities, voices, _known(identities, prefix))
        made._sockets = tuple(
            Socket(one, tokens[name][1], setting.format(name.upper(), "APP")) for name, one in identities.items()
        )
        return made

    @property
    def team(self) -> str:
        return self._known.team

    @property
    def known(self) -> Known:
        return self._known

    @property
    def sockets(self) -> tuple[Socket, ...]:
        return self._sockets

    def voice(self, name: str) -> Voice:
        return self._voices.get(name) or self._voices[OWNER]

    def who_is(self, user_id: str) -> str | None:
        return self._known.crew.users.get(user_id)


def _known(identities: Mapping[str, Identity], prefix: str) -> Known:
    return Known(
        team=identities[OWNER].team,
        crew=Crew(
            users={one.user_id: name for name, one in identities.items()},
            titles={name: one.title for name, one in identities.items()},
        ),
        bots=frozenset(one.bot_id for one in identities.values()),
        apps={one.app_id: name for name, one in identities.items()},
        prefix=prefix,
    )


def _check_shapes(tokens: Mapping[str, tuple[str, str]], titles: Mapping[str, str], setting: str) -> None:
    """What can be seen without asking Slack: missing, swapped, used twice."""
    problems: list[str] = []
    seen: dict[str, str] = {}
    for name in titles:
        for token, kind, start, page in (
            (tokens.get(name, ("", ""))[0], "BOT", "xoxb-", "OAuth & Permissions, “Bot User OAuth Token”"),
            (
                tokens.get(name, ("", ""))[1],
                "APP",
                "xapp-",
                "Basic Information, “App-Level Tokens” (connections:write)",
            ),
        ):
            variable = setting.format(name.upper(), kind)
            if not token:
                problems.append(f"{variable} is not set: copy it from the {titles[name]} app, {page}")
            elif not token.startswith(start):
                problems.append(f"{variable} must begin with {start}: copy it from the {titles[name]} app, {page}")
            elif token in seen:
                problems.append(f"{variable} is the same token as {seen[token]}: each app has its own")
            seen.setdefault(token, variable)
    if problems:
        raise SlackSettingError("\n".join(problems))


async def _identify(api: WebApi, name: str, title: str, setting: str) -> Identity:
    variable = setting.format(name.upper(), "BOT")
    try:
        me = await api.call("auth.test")
        bot_id = text_of(me, "bot_id")
        bot = fields_of(await api.call("bots.info", bot=bot_id), "bot")
    except RefusedError as error:
        raise SlackSettingError(f"{variable}: Slack answers {error.error}. {_mend(error.error)}") from error
    except UnreachableError as error:
        raise SlackSettingError(
            f"{variable}: Slack did not answer ({error}). Check WATCHBILL_SLACK_API_URL."
        ) from error
    return Identity(name, title, text_of(me, "team_id"), text_of(me, "user_id"), bot_id, text_of(bot, "app_id"))


async def _check_app_token(api: WebApi, name: str, setting: str) -> None:
    variable = setting.format(name.upper(), "APP")
    try:
        await api.call("apps.connections.open")
    except RefusedError as error:
        raise SlackSettingError(f"{variable}: Slack answers {error.error}. {_mend(error.error)}") from error
    except UnreachableError as error:
        raise SlackSettingError(
            f"{variable}: Slack did not answer ({error}). Check WATCHBILL_SLACK_API_URL."
        ) from error


def _mend(error: str) -> str:
    match error:
        case "missing_scope":
            return "Install the app again from its manifest (python -m bot manifest)."
        case "ratelimited":
            return "Start again in a minute."
        case "not_allowed_token_type":
            return "This is the other kind of token."
        case _:
            return "Copy the token again; if the app was reinstalled it is a new one."


def _check_together(identities: Mapping[str, Identity], setting: str) -> list[str]:
    """All five in one workspace, and five different apps."""
    problems: list[str] = []
    home = identities[OWNER]
    apps: dict[str, str] = {}
    for name, one in identities.items():
        variable = setting.format(name.upper(), "BOT")
        if one.team != home.team:
            problems.append(f"{variable} is of workspace {one.team}, Watchbill's of {home.team}: install all in one")
        if one.app_id in apps:
            problems.append(f"{variable} is of the same app as {apps[one.app_id]}: each identity is an app of its own")
        apps.setdefault(one.app_id, variable)
    return problems
