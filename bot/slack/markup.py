"""The little Markdown that models write, made of spans: code, bold, lists and addresses. The rest stays as typed."""

import re

from bot.slack.layout import Code, Lines, Part
from bot.slack.spans import Line, Link, Span, Text, visible

_FENCE = re.compile(r"^[ ]{0,3}```[^\n`]*\n(.*?)(?:^[ ]{0,3}```[ \t]*$\n?|\Z)", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(
    r"`(?P<code>[^`\n]+)`|\*\*(?P<bold>[^*\n]+)\*\*|(?<![\w<])(?P<url>https?://[^\s<>|`*\"']+[\w/])", re.ASCII
)
_HEADING = re.compile(r"^#{1,6}\s+(.*)$")
_BULLET = re.compile(r"^(\s*)[-*]\s+(.*)$")


def parts(text: str) -> list[Part]:
    """Paragraphs and code blocks, in order."""
    found: list[Part] = []
    at = 0
    shown = visible(text)
    for fence in _FENCE.finditer(shown):
        _add_lines(found, shown[at : fence.start()])
        if fence[1].strip():
            found.append(Code(fence[1].rstrip("\n")))
        at = fence.end()
    _add_lines(found, shown[at:])
    return found


def _add_lines(found: list[Part], text: str) -> None:
    text = text.strip("\n")
    if text.strip():
        found.append(Lines(tuple(map(spans, text.split("\n")))))


def spans(text: str) -> Line:
    """One line."""
    heading = _HEADING.match(text)
    if heading:
        return (Text(heading[1], bold=True),)
    bullet = _BULLET.match(text)
    if bullet:
        text = f"{bullet[1]}• {bullet[2]}"
    made: list[Span] = []
    at = 0
    for found in _INLINE.finditer(text):
        made.append(Text(text[at : found.start()]))
        if found["code"]:
            made.append(Text(found["code"], code=True))
        elif found["bold"]:
            made.append(Text(found["bold"], bold=True))
        else:
            made.append(Link(found["url"]))
        at = found.end()
    made.append(Text(text[at:]))
    return tuple(span for span in made if not (isinstance(span, Text) and not span.text))
