"""Message text: what Slack's client makes of typed words, and what the wire form says."""

import re

from .world import Json, World

MENTION = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")
TOKEN = re.compile(
    r"<@(?P<user>[UW][A-Z0-9]+)(?:\|[^>]*)?>|<!(?P<range>here|channel|everyone)>|<(?P<url>https?://[^>|]+)(?:\|(?P<label>[^>]*))?>"
)
CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.DOTALL)
URL = re.compile(r"(?<![<|\w])https?://[^\s<>|]+[^\s<>|.,;:!?)\]}'\"]")
ENTITIES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))


def mentioned_ids(text: str) -> set[str]:
    return set(MENTION.findall(text))


def type_text(world: World, typed: str) -> str:
    """What arrives when a person types this: escaped, names made mentions, addresses made links, code left alone."""
    known = {f"<@{user_id}>" for user_id in [*world.people, *world.by_bot_user]}
    parts = re.split(f"({'|'.join(map(re.escape, sorted(known)))})", typed)
    return "".join(part if part in known else _encode(world, part) for part in parts)


def _encode(world: World, part: str) -> str:
    for plain, entity in ENTITIES:
        part = part.replace(plain, entity)
    pieces = CODE.split(part)
    return "".join(piece if index % 2 else _link(world, piece) for index, piece in enumerate(pieces))


def _link(world: World, piece: str) -> str:
    ids = {app.name.lower(): f"<@{app.user_id}>" for app in world.apps.values()}
    ids.update({person.name.lower(): f"<@{person.id}>" for person in world.people.values()})
    ids.update({word: f"<!{word}>" for word in ("here", "channel", "everyone")})
    names = "|".join(sorted(map(re.escape, ids), key=len, reverse=True))
    named = re.sub(rf"(?<![\w@/.])@({names})\b", lambda found: ids[found[1].lower()], piece, flags=re.IGNORECASE)
    return URL.sub(lambda found: f"<{found[0]}>", named)


def rich_text(text: str) -> Json:
    """The rich_text block that Slack adds to what people type."""
    elements: list[Json] = []
    position = 0
    for found in TOKEN.finditer(text):
        _add_text(elements, text[position : found.start()])
        position = found.end()
        if found["user"]:
            elements.append({"type": "user", "user_id": found["user"]})
        elif found["range"]:
            elements.append({"type": "broadcast", "range": found["range"]})
        else:
            link = {"type": "link", "url": _decode(found["url"])}
            elements.append(link | ({"text": _decode(found["label"])} if found["label"] else {}))
    _add_text(elements, text[position:])
    section = {"type": "rich_text_section", "elements": elements}
    return {"type": "rich_text", "block_id": "typed", "elements": [section]}


def _add_text(elements: list[Json], text: str) -> None:
    if text:
        elements.append({"type": "text", "text": _decode(text)})


def _decode(text: str) -> str:
    for plain, entity in reversed(ENTITIES):
        text = text.replace(entity, plain)
    return text
