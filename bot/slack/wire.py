"""Slack's payloads as far as they are read, checked at the edge. Nothing outside parse.py sees these types."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Ts = Annotated[str, Field(pattern=r"^[0-9]{1,16}\.[0-9]{1,16}$")]
TeamId = Annotated[str, Field(pattern=r"^[TE][A-Z0-9]{1,30}$")]
ChannelId = Annotated[str, Field(pattern=r"^[CDG][A-Z0-9]{1,30}$")]
UserId = Annotated[str, Field(pattern=r"^[UW][A-Z0-9]{1,30}$")]
Opaque = Annotated[str, Field(max_length=500)]


class Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Edited(Wire):
    ts: Opaque = ""


class Message(Wire):
    """A message inside an event: new ones carry `channel` there, edited ones stand in `message`."""

    user: UserId | None = None
    text: str = ""
    ts: Ts
    thread_ts: Ts | None = None
    subtype: str | None = None
    bot_id: str | None = None
    app_id: str | None = None
    edited: Edited | None = None


class Posted(Message):
    type: Literal["message", "app_mention"]
    channel: ChannelId


class Previous(Wire):
    text: str = ""


class Changed(Wire):
    type: Literal["message"]
    subtype: Literal["message_changed"]
    channel: ChannelId
    ts: Ts
    message: Message
    previous_message: Previous | None = None


class Kind(Wire):
    """What an event is, before the rest of it is read."""

    type: str
    subtype: str | None = None


class Authorization(Wire):
    team_id: str | None = None


class EventCallback(Wire):
    type: Literal["event_callback"]
    team_id: TeamId
    context_team_id: str | None = None
    api_app_id: str
    authorizations: tuple[Authorization, ...] = ()
    event: dict[str, object]


class SlashCommand(Wire):
    command: Opaque
    text: str = ""
    team_id: TeamId
    channel_id: ChannelId
    user_id: UserId
    trigger_id: Opaque
    api_app_id: str


class Team(Wire):
    id: TeamId


class User(Wire):
    id: UserId


class Place(Wire):
    """Where a button stood; ephemeral messages have no `message`."""

    message_ts: Ts | None = None
    channel_id: ChannelId | None = None
    thread_ts: Ts | None = None
    is_ephemeral: bool = False
    type: str = ""
    view_id: str = ""


class HomeOpened(Wire):
    type: Literal["app_home_opened"]
    user: UserId
    channel: ChannelId
    tab: str = ""
    event_ts: Opaque = ""


class Channel(Wire):
    id: ChannelId


class Root(Wire):
    ts: Ts
    thread_ts: Ts | None = None


class Pressed(Wire):
    action_id: Opaque
    value: Opaque = ""
    action_ts: Opaque = ""


class BlockActions(Wire):
    type: Literal["block_actions"]
    team: Team | None = None
    user: User
    api_app_id: str
    trigger_id: Opaque = ""
    container: Place = Place()
    channel: Channel | None = None
    message: Root | None = None
    actions: Annotated[tuple[Pressed, ...], Field(min_length=1)]


class Entered(Wire):
    value: str | None = None


class State(Wire):
    values: dict[str, dict[str, Entered]] = Field(default_factory=dict[str, dict[str, Entered]])


class View(Wire):
    id: Opaque
    callback_id: Opaque = ""
    private_metadata: Annotated[str, Field(max_length=3000)] = ""
    state: State = State()


class ViewSubmission(Wire):
    type: Literal["view_submission"]
    team: Team | None = None
    user: User
    api_app_id: str
    trigger_id: Opaque = ""
    view: View


class Memory(Wire):
    """What our own modals remember in private_metadata, which only Slack and we can write."""

    subject: Opaque
    channel: ChannelId
    thread_ts: Annotated[str, Field(pattern=r"^([0-9]{1,16}\.[0-9]{1,16})?$")] = ""
