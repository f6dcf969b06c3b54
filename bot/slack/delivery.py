"""One post to Slack: send, edit, whisper, open or upload it, with the next best thing where Slack will not take it."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bot.domain.ids import Json, Thread, UserId
from bot.domain.posts import Body, File, Home, Modal, Post, Private
from bot.domain.storage import Artifacts, Outbox, OutboxItem
from bot.slack import refusals
from bot.slack.identities import Identities, Voice
from bot.slack.layout import MOST_FALLBACK, Code, Laid, Lines, Message, lay_one
from bot.slack.lookup import find_file, find_posts, metadata_of
from bot.slack.mentions import unescape
from bot.slack.pace import Pace
from bot.slack.parse import OWNER
from bot.slack.render import render, render_file_note, render_home, render_modal
from bot.slack.spans import Block, bold, cut, line, visible
from bot.slack.web import RefusedError, UnreachableError, WebApi, dicts, share_ts

QUIET: Mapping[str, Json] = {"unfurl_links": False, "unfurl_media": False}
EXCERPT = 2_500
TOO_LATE = "That took too long for Slack to open the form. Press the button again."


@dataclass(frozen=True, slots=True)
class Delivered:
    ts: str


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Can never work; `why` is for the operator."""

    why: str


Outcome = Delivered | GivenUp
Clean = Callable[[Body], Body]


def as_it_is(body: Body) -> Body:
    """Bodies that hold no secret by the way they are made."""
    return body


class Delivery:
    """Stateless but for pacing. Raises RefusedError (nothing happened) and UnreachableError (look first)."""

    def __init__(
        self, identities: Identities, outbox: Outbox, artifacts: Artifacts, pace: Pace, clean: Clean = as_it_is
    ) -> None:
        """`clean` sees every body before it is laid out."""
        self._identities = identities
        self._outbox = outbox
        self._artifacts = artifacts
        self._pace = pace
        self._clean = clean

    async def deliver(self, item: OutboxItem, *, look: bool) -> Outcome:
        """Make Slack show this version. `look`: an earlier send may have got through."""
        body = self._clean(item.post.body)
        post = replace(item.post, body=body)
        match body:
            case Modal():
                return await self._open(post, body)
            case Private():
                return await self._whisper(post, body)
            case Home():
                view = render_home(body)
                await self._identities.voice(OWNER).api.call("views.publish", user_id=body.to, view=view)
                return Delivered("")
            case File():
                return await self._upload(post, body, look=look)
            case _:
                laid = render(body)
                if item.sent is not None:
                    return await self._edit(post, laid, item.sent.ts)
                return await self._post(post, laid, look=look)

    # messages

    async def _post(self, post: Post, laid: Laid, *, look: bool) -> Outcome:
        voice = self._identities.voice(post.identity)
        found: Mapping[str, str] = await self._find(voice, post) if look else {}
        first = found.get(post.key, "")
        if first and len(laid.messages) == 1 and not laid.rest:
            return await self._edit(post, laid, first)  # it may show an older version
        for number, message in enumerate(laid.messages):
            key = post.key if number == 0 else f"{post.key}#{number + 1}"
            if key in found:
                continue
            if number:
                await self._wait("chat.postMessage", post)
            try:
                ts = await self._say(voice, post, message, key)
            except RefusedError as error:
                error.unsure = bool(first)
                raise
            first = first or ts
        if laid.rest:
            await self._attach(voice, post.thread, laid.rest.encode(errors="replace"), look=look)
        return Delivered(first)

    async def _find(self, voice: Voice, post: Post) -> Mapping[str, str]:
        try:
            return await find_posts(voice.api, self._identities.known, post.thread, post.key)
        except RefusedError as error:
            if error.error == "ratelimited":
                error.unsure = True
                raise
            return {}  # may not look: better twice than never

    async def _edit(self, post: Post, laid: Laid, ts: str) -> Outcome:
        voice = self._identities.voice(post.identity)
        place: dict[str, Json] = {"channel": post.thread.channel, "ts": ts}
        try:
            await self._send(voice, "chat.update", place, laid.messages[0], post, post.key)
        except RefusedError as error:
            if error.error not in refusals.GONE:
                raise
            owner = self._identities.voice(OWNER)
            if error.error == "cant_update_message" and voice.api is not owner.api:
                return await self._edit(replace(post, identity=OWNER), _named(laid, voice), ts)
            return await self._post(post, laid, look=False)  # somebody deleted it
        return Delivered(ts)

    async def _say(self, voice: Voice, post: Post, message: Message, key: str) -> str:
        """Post one message; through Watchbill where the identity is not in the channel or its token is dead."""
        place: dict[str, Json] = {"channel": post.thread.channel, "thread_ts": post.thread.ts or None, **QUIET}
        owner = self._identities.voice(OWNER)
        try:
            return await self._send(voice, "chat.postMessage", place, message, post, key)
        except RefusedError as error:
            if error.error not in refusals.NOT_HERE | refusals.TOKEN:
                raise
            if voice.api is not owner.api:
                (named,) = _named(Laid((message,)), voice).messages
                return await self._say(owner, post, named, key)
            if error.error != "not_in_channel":
                raise
            await voice.api.call("conversations.join", channel=post.thread.channel)
            return await self._send(voice, "chat.postMessage", place, message, post, key)

    async def _send(
        self, voice: Voice, method: str, place: Mapping[str, Json], message: Message, post: Post, key: str
    ) -> str:
        """With blocks, else as plain text, else cut with the whole of it in a file. Returns the ts."""
        more: dict[str, Json] = {**place, **(voice.dress if method == "chat.postMessage" else {})}
        more["metadata"] = metadata_of(key, post.metadata)
        try:
            return await self._call(voice.api, method, more, _short(message.text), message.blocks)
        except RefusedError as error:
            if error.error in refusals.METADATA:
                return await self._call(voice.api, method, place, _short(message.text), message.blocks)
            if error.error not in refusals.BLOCKS | refusals.TOO_LONG:
                raise
            too_long = error.error in refusals.TOO_LONG
        text = cut_text(message.text, 2_000 if too_long else MOST_FALLBACK)
        ts = await self._call(voice.api, method, more, text, ())
        if text != message.text and method == "chat.postMessage":
            await self._attach(voice, post.thread, unescape(message.text).encode(errors="replace"), look=False)
        return ts

    async def _call(
        self, api: WebApi, method: str, place: Mapping[str, Json], text: str, blocks: tuple[Block, ...]
    ) -> str:
        answer = await api.call(method, **place, text=text, blocks=list(blocks), mrkdwn=bool(blocks))
        ts = answer.get("ts")
        return ts if isinstance(ts, str) else ""

    async def _wait(self, method: str, post: Post) -> None:
        """Pacing between the messages of one post."""
        key = f"{post.identity}/{post.thread.channel}"
        await self._pace.clock.sleep(max(0.0, self._pace.ready_at(method, key) - self._pace.now()))
        self._pace.take(method, key)

    # for one person

    async def _whisper(self, post: Post, body: Private) -> Outcome:
        """An ephemeral message; a direct message where the person or Watchbill is not in the channel."""
        api = self._identities.voice(OWNER).api
        ts = ""
        for message in render(body).messages:
            place: dict[str, Json] = {"channel": post.thread.channel, "user": body.to}
            place["thread_ts"] = post.thread.ts or None
            try:
                ts = await self._plain_or_blocks(api, "chat.postEphemeral", place, message)
            except RefusedError as error:
                if error.error == "ratelimited":
                    error.unsure = bool(ts)
                    raise
                ts = await self._whisper_elsewhere(api, place, message, error)
        return Delivered(ts)

    async def _whisper_elsewhere(
        self, api: WebApi, place: dict[str, Json], message: Message, error: RefusedError
    ) -> str:
        if error.error in refusals.THREAD:
            return await self._plain_or_blocks(api, "chat.postEphemeral", {**place, "thread_ts": None}, message)
        return await self._plain_or_blocks(api, "chat.postMessage", {"channel": place["user"], **QUIET}, message)

    async def _plain_or_blocks(self, api: WebApi, method: str, place: Mapping[str, Json], message: Message) -> str:
        try:
            return await self._call(api, method, place, _short(message.text), message.blocks)
        except RefusedError as error:
            if error.error not in refusals.BLOCKS | refusals.TOO_LONG:
                raise
            return await self._call(api, method, place, cut_text(message.text, 2_000), ())

    async def _open(self, post: Post, body: Modal) -> Outcome:
        """A form, while the click's trigger is good (3 s); later the person is told to press again."""
        view = render_modal(body, post.thread.channel, post.thread.ts)
        try:
            await self._identities.voice(OWNER).api.call("views.open", trigger_id=body.trigger, view=view)
        except (RefusedError, UnreachableError) as error:
            person = body.to or post.metadata.get("user", "")
            if not person:
                return GivenUp(f"{error}; nobody to tell")
            late = isinstance(error, UnreachableError) or error.error in refusals.TRIGGER | {"ratelimited"}
            text = TOO_LATE if late else f"The form could not be opened ({error}). {cut(body.text, 1_000)}"
            await self._outbox.put(replace(post, key=f"{post.key}/late", body=Private(UserId(person), text)))
        return Delivered("")

    # files

    async def _upload(self, post: Post, body: File, *, look: bool) -> Outcome:
        content = await self._artifacts.get(body.artifact)
        if content is None:
            return GivenUp(f"artifact {body.artifact} is gone")
        voice = self._identities.voice(post.identity)
        name, title = visible(body.name), visible(body.title or body.name)
        if look:
            ts = await self._find_file(voice, post.thread, name, title)
            if ts:
                return Delivered(ts)
        try:
            return Delivered(await self._share(voice, post.thread, content or b" ", name, title))
        except RefusedError as error:
            if error.error == "ratelimited":
                raise
            excerpt = Code(content[:EXCERPT].decode(errors="replace"))
            note = lay_one(
                [Lines((line(bold(title), f" · beginning only, Slack took no file ({error.error})"),)), excerpt]
            )
            return Delivered(await self._say(voice, post, note if content else render_file_note(body), post.key))

    async def _find_file(self, voice: Voice, thread: Thread, name: str, title: str) -> str:
        try:
            return await find_file(voice.api, self._identities.known, thread, name, title, self._outbox.key_of)
        except RefusedError as error:
            if error.error == "ratelimited":
                error.unsure = True
                raise
            return ""

    async def _attach(self, voice: Voice, thread: Thread, content: bytes, *, look: bool) -> None:
        """The whole of a text too long to show. Without it the post is still worth having."""
        name, title = "message.txt", "The whole text"
        try:
            if look and await self._find_file(voice, thread, name, title):
                return
            await self._share(voice, thread, content, name, title)
        except (RefusedError, UnreachableError):
            return

    async def _share(self, voice: Voice, thread: Thread, content: bytes, name: str, title: str) -> str:
        uploaded = await voice.api.upload(content, name=name, title=title, channel=thread.channel, thread_ts=thread.ts)
        ts = uploaded.ts
        for _ in range(3):
            if ts:
                break
            await self._pace.clock.sleep(0.5)  # Slack shares a moment after the call
            with contextlib.suppress(RefusedError, UnreachableError):
                told = await voice.api.call("files.info", file=uploaded.file)
                ts = next((share_ts(one, thread.channel) for one in dicts([told.get("file")])), "")
        return ts or f"file:{uploaded.file}"


def cut_text(text: str, most: int) -> str:
    """Fallback text (already escaped) of at most `most` characters, no entity cut in two."""
    if len(text) <= most:
        return text
    short = text[: most - 20]
    amp = short.rfind("&")
    if amp > len(short) - 6:
        short = short[:amp]
    opened = short.rfind("<")
    if opened > short.rfind(">"):
        short = short[:opened]
    return f"{short}… (cut)"


def _short(text: str) -> str:
    return cut_text(text, MOST_FALLBACK)


def _named(laid: Laid, voice: Voice) -> Laid:
    """A persona's words in Watchbill's mouth say whose they are."""
    name = voice.identity.title
    head = lay_one([Lines((line(bold(f"{name}:")),))])
    first = laid.messages[0]
    block = {**head.blocks[0], "block_id": "name"}
    named = Message(f"{name}: {first.text}", (block, *first.blocks))
    return replace(laid, messages=(named, *laid.messages[1:]))
