"""Lines of text as Slack's rich_text: every piece says what it is, so nothing inside a text can become formatting or a
mention. The fallback text is made of the same pieces, escaped.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.domain.ids import Json

Block = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Text:
    """Literal text. Characters that cannot be seen are made visible here, so lengths are what Slack will count."""

    text: str
    bold: bool = False
    italic: bool = False
    code: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", visible(self.text))


@dataclass(frozen=True, slots=True)
class Person:
    """A real mention. Only made of user ids in the domain's own fields, never of text."""

    id: str


@dataclass(frozen=True, slots=True)
class Moment:
    at: datetime


@dataclass(frozen=True, slots=True)
class Link:
    """An address that reads as itself."""

    url: str


Span = Text | Person | Moment | Link
Line = tuple[Span, ...]


def line(*pieces: str | Span) -> Line:
    """A line of plain text and spans; empty texts vanish."""
    spans = [Text(piece) if isinstance(piece, str) else piece for piece in pieces]
    return tuple(span for span in spans if not (isinstance(span, Text) and not span.text))


def bold(text: str) -> Text:
    return Text(text, bold=True)


def people(ids: Sequence[str]) -> Line:
    """@a, @b, @c."""
    spans: list[Span] = []
    for number, one in enumerate(ids):
        spans += [Text(", ")] * bool(number) + [Person(one)]
    return tuple(spans)


def visible(text: str) -> str:
    """Control, bidirectional and other invisible characters as visible escapes; line ends and tabs made simple."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ")
    if text.isascii() and text.replace("\n", " ").isprintable():
        return text
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    if char == "\n" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp", "Cn"):
        return char
    return f"\\u{ord(char):04X}" if ord(char) < 0x10000 else f"\\U{ord(char):08X}"


def escape(text: str) -> str:
    """For places where Slack reads mrkdwn: nothing in it mentions, links or pings."""
    return visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cut(text: str, most: int) -> str:
    """One line of at most `most` characters. Line ends become a sign, so that no text can forge a line of a card."""
    text = visible(text[: 2 * most]).strip("\n").replace("\n", " ⏎ ")
    return text if len(text) <= most else text[: max(0, most - 1)].rstrip() + "…"


def length(one: Line) -> int:
    return sum(len(span.text) if isinstance(span, Text) else 20 for span in one)


def section(lines: Iterable[Line]) -> Block:
    """One rich_text_section; the lines are divided by line ends."""
    elements: list[Block] = []
    for number, one in enumerate(lines):
        if number:
            _add(elements, Text("\n"))
        for span in one:
            _add(elements, span)
    return {"type": "rich_text_section", "elements": elements or [{"type": "text", "text": " "}]}


def _add(elements: list[Block], span: Span) -> None:
    element = _element(span)
    last = elements[-1] if elements else {}
    if element["type"] == last.get("type") == "text" and element.get("style") == last.get("style"):
        last["text"] = f"{last['text']}{element['text']}"
    else:
        elements.append(element)


def _element(span: Span) -> Block:
    match span:
        case Text():
            styles = {name: True for name in ("bold", "italic", "code") if getattr(span, name)}
            shown: Block = {"type": "text", "text": span.text}
            return shown | ({"style": styles} if styles else {})
        case Person():
            return {"type": "user", "user_id": span.id}
        case Moment():
            return {"type": "date", "timestamp": _seconds(span), "format": "{time}", "fallback": _clock(span)}
        case Link():
            return {"type": "link", "url": span.url}


def plain(lines: Iterable[Line]) -> str:
    """The same lines as fallback text: escaped, with real mentions and dates."""
    return "\n".join("".join(map(_written, one)) for one in lines)


def _written(span: Span) -> str:
    match span:
        case Text():
            return escape(span.text)
        case Person():
            return f"<@{span.id}>"
        case Moment():
            return f"<!date^{_seconds(span)}^{{time}}|{_clock(span)}>"
        case Link():
            return escape(span.url)


def _seconds(moment: Moment) -> int:
    return int(moment.at.timestamp())


def _clock(moment: Moment) -> str:
    return f"{moment.at.astimezone(UTC):%H:%M} UTC"
