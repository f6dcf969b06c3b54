"""chat.*: posting, editing, deleting, permalinks."""

import secrets

from deploy.lab.slack.blocks import find_problems, with_ids
from deploy.lab.slack.events import shown
from deploy.lab.slack.messages import change, message_of_app, post, remove, show_ephemeral
from deploy.lab.slack.wire import Arguments, SlackError
from deploy.lab.slack.workspace import Workspace
from deploy.lab.slack.world import CUSTOMIZE_SCOPE, App, Channel, Json

LONGEST_TEXT = 40_000
LONGEST_UPDATE = 4_000
LONGEST_MARKDOWN = 12_000
MOST_ATTACHMENTS = 100


def member_channel(workspace: Workspace, app: App, reference: str) -> Channel:
    """The channel of a call; it must exist and the app must be in it."""
    channel = workspace.world.find_channel(reference)
    if channel is None and reference in workspace.world.people:
        channel = workspace.world.open_im(app, reference)
    if channel is None:
        raise SlackError("channel_not_found")
    if app.user_id not in channel.members:
        raise SlackError("channel_not_found" if channel.is_im else "not_in_channel")
    return channel


def take_blocks(args: Arguments) -> list[Json] | None:
    """The blocks argument, validated and with ids; None where it is absent."""
    blocks = args.structure("blocks", list, "invalid_blocks_format")
    if blocks is None:
        return None
    problems = find_problems(blocks, "message")
    if problems:
        words = [problem.words() for problem in problems]
        messages = [f"[ERROR] {word}" for word in words]
        raise SlackError("invalid_blocks", errors=words, response_metadata={"messages": messages})
    markdown = sum(len(block["text"]) for block in blocks if block["type"] == "markdown")
    if markdown > LONGEST_MARKDOWN:
        raise SlackError("msg_blocks_too_long")
    return with_ids(blocks, lambda: secrets.token_urlsafe(4))


def take_metadata(args: Arguments) -> Json | None:
    metadata = args.structure("metadata", dict, "invalid_metadata_format")
    if metadata and not (
        isinstance(metadata.get("event_type"), str) and isinstance(metadata.get("event_payload"), dict)
    ):
        raise SlackError("invalid_metadata_format")
    return metadata


def thread_root(channel: Channel, args: Arguments) -> str:
    thread_ts = args.text("thread_ts")
    if not thread_ts:
        return ""
    message = channel.messages.get(thread_ts)
    if message is None:
        raise SlackError("thread_not_found")
    return str(message.get("thread_ts") or thread_ts)


def _content(args: Arguments) -> tuple[str, list[Json] | None, list[Json] | None]:
    text = args.text("text") or args.text("markdown_text")
    blocks = take_blocks(args)
    attachments = args.structure("attachments", list, "invalid_attachments")
    if attachments and len(attachments) > MOST_ATTACHMENTS:
        raise SlackError("too_many_attachments")
    return text, blocks, attachments


def post_message(workspace: Workspace, app: App, args: Arguments) -> Json:
    args.need("channel")
    channel = member_channel(workspace, app, args.text("channel"))
    text, blocks, attachments = _content(args)
    if not (text.strip() or blocks or attachments):
        raise SlackError("no_text")
    message = message_of_app(app, text[:LONGEST_TEXT])
    for name, value in (("blocks", blocks), ("attachments", attachments), ("metadata", take_metadata(args))):
        if value:
            message[name] = value
    if CUSTOMIZE_SCOPE in app.scopes.split(","):  # without the scope Slack ignores these arguments
        _customize(message, args)
    root = thread_root(channel, args)
    if root and args.flag("reply_broadcast"):
        message["subtype"] = "thread_broadcast"
    post(workspace, channel, message, root)
    answer: Json = {"channel": channel.id, "ts": message["ts"], "message": shown(message)}
    if len(text) > LONGEST_TEXT:
        answer |= {"warning": "message_truncated", "response_metadata": {"warnings": ["message_truncated"]}}
    return answer


def _customize(message: Json, args: Arguments) -> None:
    if "username" not in args and "icon_emoji" not in args and "icon_url" not in args:
        return
    message["subtype"] = "bot_message"
    if "username" in args:
        message["username"] = args.text("username")
    if "icon_emoji" in args:
        message["icons"] = {"emoji": args.text("icon_emoji")}
    elif "icon_url" in args:
        message["icons"] = {"image_48": args.text("icon_url")}


def _own_message(workspace: Workspace, app: App, args: Arguments, refusal: str) -> tuple[Channel, Json]:
    args.need("channel")
    args.need("ts")
    channel = member_channel(workspace, app, args.text("channel"))
    message = channel.messages.get(args.text("ts"))
    if message is None or message.get("deleted"):
        raise SlackError("message_not_found")
    if message.get("app_id") != app.app_id:
        raise SlackError(refusal)
    return channel, message


def update(workspace: Workspace, app: App, args: Arguments) -> Json:
    channel, message = _own_message(workspace, app, args, "cant_update_message")
    text, blocks, attachments = _content(args)
    if not text.strip() and blocks is None and attachments is None:
        raise SlackError("no_text")
    if len(text) > LONGEST_UPDATE and not blocks:
        raise SlackError("msg_too_long")
    fields: Json = {"text": text or message["text"]}
    if blocks is not None or text:  # text without blocks removes the blocks
        fields["blocks"] = blocks or None
    if attachments is not None:
        fields["attachments"] = attachments or None
    if "metadata" in args:
        fields["metadata"] = take_metadata(args) or None
    if text and not blocks:  # Slack shows "edited" on text only
        fields["edited"] = {"user": app.user_id, "ts": workspace.stamps.new_ts()}
    change(workspace, channel, message["ts"], **fields)
    return {"channel": channel.id, "ts": message["ts"], "text": message["text"], "message": shown(message)}


def delete(workspace: Workspace, app: App, args: Arguments) -> Json:
    channel, message = _own_message(workspace, app, args, "cant_delete_message")
    remove(workspace, channel, message["ts"])
    return {"channel": channel.id, "ts": message["ts"]}


def post_ephemeral(workspace: Workspace, app: App, args: Arguments) -> Json:
    args.need("channel")
    user_id = args.need("user")
    channel = member_channel(workspace, app, args.text("channel"))
    if user_id not in channel.members:
        raise SlackError("user_not_in_channel")
    text, blocks, attachments = _content(args)
    if not (text.strip() or blocks or attachments):
        raise SlackError("no_text")
    message = message_of_app(app, text[:LONGEST_TEXT])
    for name, value in (("blocks", blocks), ("attachments", attachments)):
        if value:
            message[name] = value
    show_ephemeral(workspace, channel, user_id, message, thread_root(channel, args))
    return {"message_ts": message["ts"]}


def get_permalink(workspace: Workspace, app: App, args: Arguments) -> Json:
    channel = member_channel(workspace, app, args.need("channel"))
    ts = args.need("message_ts")
    message = channel.messages.get(ts)
    if message is None:
        raise SlackError("message_not_found")
    link = f"{workspace.url}/archives/{channel.id}/p{ts.replace('.', '')}"
    if message.get("thread_ts") not in (None, ts):
        link += f"?thread_ts={message['thread_ts']}&cid={channel.id}"
    return {"channel": channel.id, "permalink": link}


METHODS = {
    "chat.postMessage": post_message,
    "chat.update": update,
    "chat.delete": delete,
    "chat.postEphemeral": post_ephemeral,
    "chat.getPermalink": get_permalink,
}
