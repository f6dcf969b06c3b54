"""Slack payload → domain value, or why it was dropped. Pure; never raises; no Slack dict leaves this file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from bot.domain.ids import LaneKey, QuestionId, RequestId, Thread, UserId
from bot.domain.inbound import (
    AnswerGiven,
    Commanded,
    ExtendAsked,
    GrantRevoked,
    HomeOpened,
    Immediate,
    ModalAsked,
    Ordered,
    Reply,
    Ruled,
    Said,
    StopAsked,
    VoteCast,
)
from bot.slack import wire
from bot.slack.commands import by_slash, by_words
from bot.slack.mentions import Crew, Heard, hear

OWNER = "watchbill"  # the one identity whose app has buttons, commands and modals
IN_HOME = frozenset({"approve", "approve_grant", "approve_typed", "deny", "narrow", "request_details"})
HUMAN_SUBTYPES = (None, "file_share", "thread_broadcast", "me_message")
REFRESHED = frozenset({"cluster-status"})  # commands whose answers have a Refresh button
_ANSWER = re.compile(r"answer:([0-9]{1,2})")

Why = Literal[
    "malformed", "bot", "own_post", "subtype", "edit_without_change", "no_text", "other_team", "other_app",
    "unknown_action", "unknown_command", "unknown_view", "not_ours",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Known:
    """What auth.test told at the start: who we are, so that own posts and peers are known by id."""

    team: str
    crew: Crew
    bots: frozenset[str]  # bot ids of all identities
    apps: Mapping[str, str]  # app id → identity
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Spoken:
    said: Said


@dataclass(frozen=True, slots=True)
class Urgent:
    """For any worker at once. `once` is the same for every delivery of the same click, command or message."""

    item: Immediate
    once: str


@dataclass(frozen=True, slots=True)
class InOrder:
    lane: LaneKey
    item: Ordered


@dataclass(frozen=True, slots=True)
class Dropped:
    why: Why


Parsed = Spoken | Urgent | InOrder | Dropped


def parse(payload: object, known: Known, app: str) -> Parsed:
    """Read one payload that the app of identity `app` received. Only Watchbill's app has clicks and commands."""
    if not isinstance(payload, dict):
        return Dropped("malformed")
    fields: dict[object, object] = payload  # pyright: ignore[reportUnknownVariableType]  # the edge: read by models only
    try:
        match fields.get("type"):
            case "event_callback":
                return _event(wire.EventCallback.model_validate(fields), known, app)
            case "block_actions":
                return _click(wire.BlockActions.model_validate(fields), known, app)
            case "view_submission":
                return _submission(wire.ViewSubmission.model_validate(fields), known, app)
            case None if "command" in fields:
                return _command(wire.SlashCommand.model_validate(fields), known, app)
            case _:
                return Dropped("not_ours")
    except ValidationError:
        return Dropped("malformed")


# Events --------------------------------------------------------------------------------------------------------------


def _event(outer: wire.EventCallback, known: Known, app: str) -> Parsed:
    if known.apps.get(outer.api_app_id) != app:
        return Dropped("other_app")
    teams = {outer.team_id, outer.context_team_id, *(one.team_id for one in outer.authorizations)}
    if known.team not in teams:
        return Dropped("other_team")
    kind = wire.Kind.model_validate(outer.event)
    if kind.type == "app_home_opened":
        return _home(wire.HomeOpened.model_validate(outer.event), known, app)
    if kind.type not in ("message", "app_mention"):
        return Dropped("not_ours")
    if kind.subtype == "message_changed":
        return _edit(wire.Changed.model_validate(outer.event), known)
    if kind.subtype == "bot_message":
        return Dropped("bot")
    if kind.subtype not in HUMAN_SUBTYPES:
        return Dropped("subtype")
    posted = wire.Posted.model_validate(outer.event)
    # An edit that adds a mention comes as app_mention too, with the time of the edit.
    return _message(posted, posted.channel, known, edited=posted.edited is not None)


def _home(opened: wire.HomeOpened, known: Known, app: str) -> Parsed:
    """Each look is new: what stands there may be old by now."""
    if app != OWNER or opened.tab != "home":
        return Dropped("not_ours")
    reply = Reply(known.team, "", "", UserId(opened.user), message_ts=opened.event_ts, home=True)
    return Urgent(HomeOpened(reply), f"home/{opened.user}/{opened.event_ts}")


def _edit(changed: wire.Changed, known: Known) -> Parsed:
    """An edit counts only if the text differs: Slack also sends one for each unfurled link and thread reply."""
    message, before = changed.message, changed.previous_message
    if message.subtype not in HUMAN_SUBTYPES:
        return Dropped("bot" if message.subtype == "bot_message" else "subtype")
    if message.edited is None or before is None or before.text == message.text:
        return Dropped("edit_without_change")
    return _message(message, changed.channel, known, edited=True)


def _message(message: wire.Message, channel: str, known: Known, *, edited: bool) -> Parsed:
    if message.user in known.crew.users or (message.bot_id or "") in known.bots:
        return Dropped("own_post")
    if message.bot_id or message.user is None or message.user == "USLACKBOT":
        return Dropped("bot")
    if not message.text.strip():
        return Dropped("no_text")
    thread = Thread(known.team, channel, message.thread_ts or message.ts)
    heard = hear(message.text, known.crew)
    user = UserId(message.user)
    in_thread = thread.ts != message.ts
    edited_at = message.edited.ts if edited and message.edited else ""
    once = f"message:{known.team}/{channel}/{message.ts}{edited_at and f'/{edited_at}'}"
    urgent = _urgent(heard, thread, user, known, message.ts, in_thread=in_thread)
    if urgent is not None:
        return Urgent(urgent, once)
    return Spoken(Said(thread, message.ts, user, heard.text, heard.to, in_thread, edited_at))


def _urgent(
    heard: Heard, thread: Thread, user: UserId, known: Known, ts: str, *, in_thread: bool
) -> StopAsked | Commanded | None:
    """STOP and CLEAR where they can mean the crew (a thread, or a mention), and commands said to Watchbill."""
    reply = Reply(thread.team, thread.channel, thread.ts if in_thread else "", user, message_ts=ts)
    if heard.word and (in_thread or heard.to):
        return StopAsked(thread, user, reply, clear=heard.word == "clear")
    if heard.after is not None and len(heard.to) == 1:
        command = by_words(heard.after, known.prefix)
        if command is not None:
            return Commanded(command[0], command[1], reply, thread if in_thread else None)
    return None


# Clicks, forms, commands ---------------------------------------------------------------------------------------------


def _belongs(api_app_id: str, known: Known, app: str) -> bool:
    return app == OWNER and known.apps.get(api_app_id) == OWNER


def _click(press: wire.BlockActions, known: Known, app: str) -> Parsed:
    if not _belongs(press.api_app_id, known, app):
        return Dropped("other_app")
    action = press.actions[0]
    channel = press.channel.id if press.channel else press.container.channel_id
    ts = press.message.ts if press.message else press.container.message_ts
    foreign = press.team is None or press.team.id != known.team
    if press.container.type == "view" and press.container.view_id and channel is None:
        reply = Reply(
            known.team, "", "", UserId(press.user.id), press.trigger_id, press.api_app_id, ephemeral=True, foreign=foreign,
            home=True,
        )  # fmt: skip
        once = f"click/{press.api_app_id}/{action.action_ts}/{press.user.id}/{action.action_id}/{action.value}"
        return (
            _meaning(action, Thread(known.team, "", ""), reply, once)
            if action.action_id in IN_HOME
            else Dropped("unknown_action")
        )
    if channel is None or ts is None:
        return Dropped("malformed")
    alone = "" if press.container.is_ephemeral else ts  # what only one person sees begins no thread
    root = (press.message.thread_ts if press.message else None) or press.container.thread_ts or alone
    thread = Thread(known.team, channel, root)
    user = UserId(press.user.id)
    reply = Reply(
        known.team, channel, root, user, press.trigger_id, press.api_app_id, ts, press.container.is_ephemeral, foreign
    )  # fmt: skip
    once = f"click/{press.api_app_id}/{action.action_ts}/{user}/{action.action_id}/{action.value}"
    return _meaning(action, thread, reply, once)


def _meaning(action: wire.Pressed, thread: Thread, reply: Reply, once: str) -> Parsed:
    value = action.value
    if action.action_id == "stop":
        return Urgent(StopAsked(thread, reply.user, reply), once)
    if not value:
        return Dropped("malformed")
    if reply.foreign:  # people of a connected workspace may press STOP and nothing else; the gate tells them so
        return _of_a_stranger(action.action_id, value, reply, once)
    answer = _ANSWER.fullmatch(action.action_id)
    if answer:
        return InOrder(thread.lane, AnswerGiven(QuestionId(value), "", int(answer[1]), reply))
    match action.action_id:
        case "approve" | "approve_grant":
            again = action.action_id == "approve_grant"
            return Urgent(VoteCast(RequestId(value), "approve", "", "", reply, again), once)
        case "revoke":
            return Urgent(GrantRevoked(RequestId(value), reply), once)
        case "approve_typed" | "deny" | "narrow":
            return Urgent(ModalAsked(action.action_id, value, reply), once)
        case "answer_text":
            return Urgent(ModalAsked("answer", value, reply), once)
        case "edit_criteria":
            return Urgent(ModalAsked("amend", value, reply), once)
        case "request_details" | "mission_details":
            return Urgent(ModalAsked("details", value, reply), once)
        case "refresh" if value in REFRESHED:
            return Urgent(Commanded(value, "", reply), once)
        case "extend":
            return InOrder(thread.lane, ExtendAsked(value, reply))
        case _:
            return Dropped("unknown_action")


def _of_a_stranger(action_id: str, value: str, reply: Reply, once: str) -> Parsed:
    match action_id:
        case "approve" | "approve_grant" | "approve_typed":
            return Urgent(VoteCast(RequestId(value), "approve", "", "", reply), once)
        case "deny" | "narrow":
            return Urgent(VoteCast(RequestId(value), "deny", "", "", reply), once)
        case _:
            return Dropped("other_team")


def _submission(sent: wire.ViewSubmission, known: Known, app: str) -> Parsed:
    if not _belongs(sent.api_app_id, known, app):
        return Dropped("other_app")
    if sent.team is None or sent.team.id != known.team:
        return Dropped("other_team")
    if sent.view.callback_id not in ("deny", "approve_typed", "narrow", "answer", "amend"):
        return Dropped("unknown_view")
    memory = wire.Memory.model_validate_json(sent.view.private_metadata)
    user = UserId(sent.user.id)
    reply = Reply(known.team, memory.channel, memory.thread_ts, user, sent.trigger_id, sent.api_app_id)
    blocks = sent.view.state.values.items()
    entered = {block: field.value for block, fields in blocks for field in fields.values() if field.value}
    code = entered.pop("code", "")
    words = next(iter(entered.values()), "")
    once = f"view/{sent.api_app_id}/{sent.view.id}/{user}"
    match sent.view.callback_id:
        case "deny":
            return Urgent(VoteCast(RequestId(memory.subject), "deny", words, "", reply), once)
        case "approve_typed":
            return Urgent(VoteCast(RequestId(memory.subject), "approve", "", words, reply, code=code), once)
        case "narrow":
            names = tuple(re.split(r"[\s,;]+", words.strip()))
            return Urgent(VoteCast(RequestId(memory.subject), "deny", "", "", reply, leave_out=names), once)
        case "amend":
            lane = Thread(known.team, memory.channel, memory.thread_ts).lane
            return InOrder(lane, Ruled("amend", memory.subject, words.strip(), reply))
        case _:
            lane = Thread(known.team, memory.channel, memory.thread_ts).lane
            return InOrder(lane, AnswerGiven(QuestionId(memory.subject), words, None, reply))


def _command(typed: wire.SlashCommand, known: Known, app: str) -> Parsed:
    if not _belongs(typed.api_app_id, known, app):
        return Dropped("other_app")
    if typed.team_id != known.team:
        return Dropped("other_team")
    name = by_slash(typed.command, known.prefix)
    if name is None:
        return Dropped("unknown_command")
    user = UserId(typed.user_id)
    reply = Reply(known.team, typed.channel_id, "", user, typed.trigger_id, typed.api_app_id)
    text = hear(typed.text, known.crew).text.strip()
    return Urgent(Commanded(name, text, reply), f"command/{typed.trigger_id}")
