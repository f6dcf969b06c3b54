"""Parts of a message → messages within Slack's limits, each with its blocks and its fallback text."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bot.slack.spans import Block, Line, Text, cut, escape, length, line, plain, section, visible

# Slack refuses text over 3,000 characters in a block, more than 50 blocks, and about 13,200 characters of blocks in all
# (github.com/slackapi/bolt-js/issues/2509, #2867: counted with the elements around it, hence the distance).
MOST_IN_BLOCK = 2_800
MOST_IN_MESSAGE = 8_500
MOST_BLOCKS = 45
MOST_MESSAGES = 4
MOST_FALLBACK = 3_900  # chat.update refuses more than 4,000 without blocks
MOST_ON_BUTTON = 75
MOST_ROWS = 60
MOST_IN_CELL = 200


@dataclass(frozen=True, slots=True)
class Lines:
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Code:
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """The first row is the head. Slack takes one table a message, of at most 100 rows."""

    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Quote:
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Button:
    """`value` is an opaque id and nothing else (rule 15)."""

    label: str
    action: str
    value: str
    style: Literal["", "primary", "danger"] = ""


@dataclass(frozen=True, slots=True)
class Buttons:
    row: tuple[Button, ...]


Part = Lines | Code | Table | Quote | Buttons


@dataclass(frozen=True, slots=True)
class Message:
    """One Slack message. `text` is the whole of it for places that show no blocks."""

    text: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Laid:
    """What a body became. `rest` is the whole text where it is too long for messages and goes along as a file."""

    messages: tuple[Message, ...]
    rest: str = ""


def lay(parts: Sequence[Part], *, whole: str = "", with_file: bool = True) -> Laid:
    """Fill messages; what would take more than MOST_MESSAGES becomes a beginning and a file (or is said to be cut).
    `whole` is the text for the file, where it is more than the parts.
    """
    messages = list(_messages(parts))
    if len(messages) <= MOST_MESSAGES:
        return Laid(tuple(messages))
    whole = whole or "\n".join(map(_typed, parts))
    words = (
        f"The whole text ({_size(whole)}) is in the file." if with_file else f"Cut here; it goes on to {_size(whole)}."
    )
    head = next(_messages([*_first(parts, MOST_IN_BLOCK), Lines((line(words),))]))
    return Laid((head,), whole if with_file else "")


def lay_one(parts: Sequence[Part]) -> Message:
    """One message that can be edited in place. Cards cap their own parts, so nothing is lost here."""
    pieces = [piece for part in parts for piece in _pieces(part)]
    kept: list[Part] = []
    room = MOST_IN_MESSAGE
    for piece in pieces:
        room -= _weight(piece)
        if room >= 0 or isinstance(piece, Buttons):
            kept.append(piece)
    return _message(
        kept[: MOST_BLOCKS - 1] + [piece for piece in kept[MOST_BLOCKS - 1 :] if isinstance(piece, Buttons)]
    )


def _messages(parts: Sequence[Part]) -> Iterator[Message]:
    taken: list[Part] = []
    room = MOST_IN_MESSAGE
    for part in parts:
        for piece in _pieces(part):
            weight = _weight(piece)
            second = isinstance(piece, Table) and any(isinstance(one, Table) for one in taken)
            if taken and (weight > room or second or len(taken) >= MOST_BLOCKS):
                yield _message(taken)
                taken, room = [], MOST_IN_MESSAGE
            taken.append(piece)
            room -= weight
    if taken:
        yield _message(taken)


def _pieces(part: Part) -> Iterator[Part]:
    """The part cut so that each piece fits one block."""
    match part:
        case Buttons():
            yield part
        case Code():
            for group in _grouped([(Text(row),) for row in visible(part.text).split("\n")]):
                yield Code("\n".join("".join(span.text for span in row if isinstance(span, Text)) for row in group))
        case Table():
            yield from _tables(part)
        case Lines():
            for group in _grouped(part.lines):
                yield Lines(group)
        case Quote():
            for group in _grouped(part.lines):
                yield Quote(group)


def _tables(whole: Table) -> Iterator[Table]:
    """As many rows as fit one message, each time under the same head."""
    head, *rows = [tuple(cut(visible(cell).replace("\n", " "), MOST_IN_CELL) for cell in row) for row in whole.rows]
    group: list[tuple[str, ...]] = []
    for row in rows:
        if group and (len(group) >= MOST_ROWS or _weight(Table((head, *group, row))) > MOST_IN_MESSAGE):
            yield Table((head, *group))
            group = []
        group.append(row)
    yield Table((head, *group))


def _columns(table: Table) -> str:
    """For places that show no tables: columns under each other, as wide as their longest cell."""
    cells = [[cut(cell, 60) for cell in row] for row in table.rows]
    widths = [max((len(row[at]) for row in cells if at < len(row)), default=0) for at in range(max(map(len, cells)))]
    return "\n".join("  ".join(cell.ljust(widths[at]) for at, cell in enumerate(row)).rstrip() for row in cells)


def _grouped(lines: Iterable[Line]) -> Iterator[tuple[Line, ...]]:
    group: list[Line] = []
    room = MOST_IN_BLOCK
    for one in lines:
        for short in _short(one):
            if group and length(short) + 1 > room:
                yield tuple(group)
                group, room = [], MOST_IN_BLOCK
            group.append(short)
            room -= length(short) + 1
    if group:
        yield tuple(group)


def _short(one: Line) -> Iterator[Line]:
    """A line longer than a block, cut at a space where there is one."""
    if length(one) <= MOST_IN_BLOCK:
        yield one
        return
    text = "".join(span.text if isinstance(span, Text) else plain([(span,)]) for span in one)
    while text:
        end = len(text) if len(text) <= MOST_IN_BLOCK else text.rfind(" ", MOST_IN_BLOCK // 2, MOST_IN_BLOCK)
        end = MOST_IN_BLOCK if end <= 0 else end
        yield (Text(text[:end]),)
        text = text[end:]


def _first(parts: Sequence[Part], most: int) -> list[Part]:
    """Parts from the start, at most `most` characters."""
    kept: list[Part] = []
    for piece in (piece for part in parts for piece in _pieces(part)):
        most -= _weight(piece)
        if kept and most < 0:
            break
        kept.append(piece)
    return kept


def _weight(piece: Part) -> int:
    match piece:
        case Code():
            return len(piece.text)
        case Table():
            return sum(len(cell) + 1 for row in piece.rows for cell in row)
        case Lines() | Quote():
            return sum(length(one) + 1 for one in piece.lines)
        case Buttons():
            return sum(len(button.label) for button in piece.row)


def _message(pieces: Sequence[Part]) -> Message:
    text = "\n".join(filter(None, map(_fallback, pieces)))
    blocks = [_block(piece, f"b{number}") for number, piece in enumerate(pieces)]
    return Message(text or " ", tuple(blocks))


def _block(piece: Part, block_id: str) -> Block:
    match piece:
        case Lines():
            inside = section(piece.lines)
        case Code():
            text: Block = {"type": "text", "text": visible(piece.text) or " "}
            inside: Block = {"type": "rich_text_preformatted", "elements": [text]}
        case Table():
            rows = [[{"type": "raw_text", "text": cell or " "} for cell in row] for row in piece.rows]
            return {"type": "table", "block_id": block_id, "rows": rows}
        case Quote():
            inside = section(piece.lines) | {"type": "rich_text_quote"}
        case Buttons():
            return {"type": "actions", "block_id": block_id, "elements": [_button(one) for one in piece.row]}
    return {"type": "rich_text", "block_id": block_id, "elements": [inside]}


def _button(button: Button) -> Block:
    label = {"type": "plain_text", "text": cut(visible(button.label), MOST_ON_BUTTON), "emoji": False}
    made: Block = {"type": "button", "action_id": button.action, "value": button.value, "text": label}
    return made | ({"style": button.style} if button.style else {})


def _fallback(piece: Part) -> str:
    match piece:
        case Lines():
            return plain(piece.lines)
        case Code():
            return escape(piece.text)
        case Table():
            return escape(_columns(piece))
        case Quote():
            return plain(piece.lines)
        case Buttons():
            return ""


def _typed(part: Part) -> str:
    """For the file: nothing escaped, nothing formatted."""
    match part:
        case Lines() | Quote():
            return "\n".join(
                "".join(s.text if isinstance(s, Text) else plain([(s,)]) for s in one) for one in part.lines
            )
        case Code():
            return part.text
        case Table():
            return _columns(part)
        case Buttons():
            return ""


def _size(text: str) -> str:
    size = len(text.encode(errors="replace"))
    return f"{size / 1_000_000:.1f} MB" if size >= 1_000_000 else f"{size / 1000:.0f} kB"
