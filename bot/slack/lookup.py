"""Did a post get through? After a crash or a lost answer, its key is looked for in Slack before it is posted again."""

from collections.abc import Awaitable, Callable, Mapping

from bot.domain.ids import Json, Thread
from bot.slack.parse import Known
from bot.slack.web import RefusedError, WebApi, dicts, fields_of, text_of

EVENT_TYPE = "watchbill_post"
MOST_PAGES = 50
Claimed = Callable[[str, str], Awaitable[str | None]]


def metadata_of(key: str, more: Mapping[str, str]) -> Mapping[str, Json]:
    """What every post carries."""
    return {"event_type": EVENT_TYPE, "event_payload": {**more, "key": key}}


async def find_posts(api: WebApi, known: Known, thread: Thread, key: str) -> dict[str, str]:
    """Keys of this post's messages ("k", "k#2", …) → ts, as Slack shows them. Raises as WebApi.call does."""
    found: dict[str, str] = {}
    for message in await _ours(api, known, thread):
        metadata = fields_of(message, "metadata")
        if text_of(metadata, "event_type") != EVENT_TYPE:
            continue
        name = text_of(fields_of(metadata, "event_payload"), "key")
        if name == key or name.startswith(f"{key}#"):
            found.setdefault(name, text_of(message, "ts"))
    return found


async def find_file(api: WebApi, known: Known, thread: Thread, name: str, title: str, claimed: Claimed) -> str:
    """The ts of a message of ours that shares such a file and belongs to no other post, or ""."""
    for message in await _ours(api, known, thread):
        ts = text_of(message, "ts")
        same = any(text_of(f, "name") == name and text_of(f, "title") == title for f in dicts(message.get("files")))
        if same and await claimed(thread.channel, ts) is None:
            return ts
    return ""


async def _ours(api: WebApi, known: Known, thread: Thread) -> list[Mapping[str, Json]]:
    method = "conversations.replies" if thread.ts else "conversations.history"
    messages: list[Mapping[str, Json]] = []
    cursor = ""
    for _ in range(MOST_PAGES if thread.ts else 2):  # the channel itself: only what is recent
        try:
            page = await api.call(
                method,
                channel=thread.channel,
                ts=thread.ts or None,
                limit=200,
                cursor=cursor or None,
                include_all_metadata=True,
            )
        except RefusedError as error:
            if error.error in ("thread_not_found", "message_not_found"):
                return []
            raise
        messages += [one for one in dicts(page.get("messages")) if text_of(one, "bot_id") in known.bots]
        cursor = text_of(fields_of(page, "response_metadata"), "next_cursor")
        if not cursor:
            break
    return messages
