"""Who and what exists in the workspace: the team, its people, channels and the five apps."""

import itertools
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

TEAM_ID = "T0LAB00001"
TEAM_NAME = "Lab"
TEAM_DOMAIN = "lab"
EXTERNAL_TEAM_ID = "T0EXT00001"
USERGROUP_ID = "S0APPROV01"

BOT_SCOPES = (
    "app_mentions:read,channels:history,channels:join,channels:read,chat:write,commands,files:read,files:write,"
    "groups:history,groups:read,im:history,im:read,im:write,reactions:read,reactions:write,team:read,"
    "usergroups:read,users:read,users:read.email"
)
CUSTOMIZE_SCOPE = "chat:write.customize"


@dataclass
class Person:
    """A human as users.info shows one; the flags may change while the lab runs."""

    id: str
    name: str
    title: str
    color: str
    team_id: str = TEAM_ID
    is_admin: bool = False
    is_restricted: bool = False
    deleted: bool = False


@dataclass(frozen=True)
class App:
    """An installed app: its identity, tokens and scopes."""

    key: str
    name: str
    icon: str
    scopes: str
    bot_token: str = field(repr=False)
    app_token: str = field(repr=False)

    @property
    def _stem(self) -> str:
        return self.key.upper()[:4].ljust(4, "0") + "00001"

    @property
    def app_id(self) -> str:
        return "A0" + self._stem

    @property
    def bot_id(self) -> str:
        return "B0" + self._stem

    @property
    def user_id(self) -> str:
        return "U0" + self._stem


@dataclass
class Channel:
    """A conversation with its messages by ts; ts only grow, so the dict is in order of time."""

    id: str
    name: str
    topic: str
    members: set[str]
    is_im: bool = False
    is_ext_shared: bool = False
    listed: bool = True
    messages: dict[str, Json] = field(default_factory=dict)
    threads: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Command:
    command: str
    description: str
    usage_hint: str
    app_key: str = "watchbill"


MANIFEST = Path(__file__).resolve().parents[2] / "slack" / "watchbill.yaml"


def installed_commands() -> tuple[Command, ...]:
    """The slash commands of the app's manifest, as an admin would install it."""
    features: Json = yaml.safe_load(MANIFEST.read_text())["features"]
    return tuple(
        Command(one["command"], one["description"], one.get("usage_hint", "")) for one in features["slash_commands"]
    )


class World:
    """The workspace's directory. Ids are fixed, tokens are new in every run."""

    def __init__(self, *, solo: bool = False) -> None:
        scopes = f"{BOT_SCOPES},{CUSTOMIZE_SCOPE}" if solo else BOT_SCOPES
        crew = (
            ("watchbill", "Watchbill", "⚓"),
            ("architect", "Architect", "📐"),
            ("builder", "Builder", "🔧"),
            ("sentinel", "Sentinel", "🛡"),
            ("qa", "QA", "🔬"),
        )
        self.apps = {key: _new_app(key, name, icon, scopes) for key, name, icon in crew}
        self.people = {
            person.id: person
            for person in (
                Person("U0ANA00001", "ana", "Requester", "#2f6f9f"),
                Person("U0BO000001", "bo", "Approver", "#8a5a2b"),
                Person("U0CHRIS001", "chris", "Approver, risk owner, admin", "#5b7f3b", is_admin=True),
                Person("U0MALLORY1", "mallory", "Guest, bystander", "#a04a6f", is_restricted=True),
                Person("U0EVE00001", "eve", "Slack Connect partner", "#6a5acd", team_id=EXTERNAL_TEAM_ID),
                Person("U0DAN00001", "dan", "Left last month", "#777777", deleted=True),
            )
        }
        self.usergroups = {USERGROUP_ID: ("platform-approvers", ["U0BO000001", "U0CHRIS001"])}
        everyone = {p for p, who in self.people.items() if not who.deleted and who.team_id == TEAM_ID}
        bots = {app.user_id for app in self.apps.values()}
        self.channels = {
            channel.id: channel
            for channel in (
                Channel("C0LAB00001", "platform", "Missions of the platform team", everyone | bots),
                Channel(
                    "C0LAB00002", "random", "Everything else", everyone | bots | {"U0EVE00001"}, is_ext_shared=True
                ),
                Channel("C0LAB00003", "lobby", "A channel without apps", set(everyone), listed=False),
            )
        }
        self.by_bot_token = {app.bot_token: app for app in self.apps.values()}
        self.by_app_token = {app.app_token: app for app in self.apps.values()}
        self.by_bot_user = {app.user_id: app for app in self.apps.values()}

    def find_channel(self, reference: str) -> Channel | None:
        """A channel by id, by "#name", or the direct messages channel of a user id."""
        channel = self.channels.get(reference)
        if channel is None and reference.startswith("#"):
            return next((c for c in self.channels.values() if c.name == reference[1:]), None)
        return channel

    def open_im(self, app: App, user_id: str) -> Channel:
        """The direct messages between an app and a person, made when first needed."""
        members = {app.user_id, user_id}
        for channel in self.channels.values():
            if channel.is_im and channel.members == members:
                return channel
        channel = Channel(f"D0{app.key[:3].upper()}{len(self.channels):05d}", "", "", members, is_im=True, listed=False)
        self.channels[channel.id] = channel
        return channel

    def app_by_id(self, app_id: str) -> App | None:
        return next((app for app in self.apps.values() if app.app_id == app_id), None)

    def members_apps(self, channel: Channel) -> list[App]:
        return [app for app in self.apps.values() if app.user_id in channel.members]

    def name_of(self, user_id: str) -> str:
        if user_id in self.people:
            return self.people[user_id].name
        return self.by_bot_user[user_id].name.lower() if user_id in self.by_bot_user else user_id


class Stamps:
    """Slack's message timestamps: seconds and six digits, unique and growing."""

    def __init__(self) -> None:
        self._last = 0
        self._serial = itertools.count(1)

    def new_ts(self) -> str:
        self._last = max(time.time_ns() // 1000, self._last + 1)
        return f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"

    def new_id(self, prefix: str) -> str:
        return f"{prefix}0L{next(self._serial):07d}"


def _new_app(key: str, name: str, icon: str, scopes: str) -> App:
    return App(
        key=key,
        name=name,
        icon=icon,
        scopes=scopes,
        bot_token=f"xoxb-{secrets.randbelow(10**12):012d}-{secrets.token_hex(12)}",
        app_token=f"xapp-1-{key[:4].upper()}-{secrets.randbelow(10**12):012d}-{secrets.token_hex(20)}",
    )
