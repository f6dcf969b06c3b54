"""What a person typed, out of Slack's wire text: entities and tokens undone, and who of the crew is addressed."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"(?P<code>```.*?```|`[^`\n]+`)|<@(?P<user>[UW][A-Z0-9]+)(?:\|(?P<name>[^<>]*))?>|<(?P<token>[^<>\n]+)>", re.DOTALL
)
_QUOTE_LINE = re.compile(r"^(?:&gt;|>)[^\n]*", re.MULTILINE)
_QUOTE_REST = re.compile(r"^(?:&gt;|>){3}.*", re.MULTILINE | re.DOTALL)
_SIGNS = re.compile(r":[\w+-]+:|[^\w`<>]|_")  # emoji by name, marks of formatting, punctuation: what no word has
# A message of these words only, one of them STOP, means the crew: who shouts does not weigh words (rule 5).
_AROUND_STOP = frozenset({"please", "now", "everyone", "everybody", "everything", "all", "it", "this", "immediately"})
_LONGEST_WORD = 400  # characters; a message that says only "stop" is short


@dataclass(frozen=True, slots=True)
class Crew:
    """Names by which people address the crew: Slack user ids and plain "@Title" both lead to an identity's name."""

    users: Mapping[str, str]  # user id → name
    titles: Mapping[str, str]  # name → what people see, "Architect"
    pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        words = sorted({*self.titles, *self.titles.values()}, key=len, reverse=True)
        names = "|".join(map(re.escape, words)) or r"(?!)"
        # A word of its own: no address (a@qa.example), no longer name (@qa-lab), no path (/@qa).
        spelled = rf"(?<![\w@/.+-])@(?P<title>{names})(?![\w@-])(?!\.\w)"
        object.__setattr__(self, "pattern", re.compile(spelled, re.IGNORECASE))

    def named(self, word: str) -> str:
        """The identity whose name or title `word` is, whatever the case; "" for nobody."""
        low = word.casefold()
        return next((name for name, title in self.titles.items() if low in (name.casefold(), title.casefold())), "")


@dataclass(frozen=True, slots=True)
class Heard:
    """`text` is what was typed. `to` are the crew's names it addresses, first first. `bare` is it without them.
    `after` follows a leading mention of Watchbill, None where there is none.
    """

    text: str
    to: tuple[str, ...]
    bare: str
    after: str | None

    @property
    def word(self) -> str:
        """What the message says if it says only that: "stop" or "clear"; else empty."""
        if len(self.bare) > _LONGEST_WORD:
            return ""
        words = _SIGNS.sub(" ", unicodedata.normalize("NFKC", self.bare)).casefold().split()
        if "stop" in words and {"stop", *_AROUND_STOP}.issuperset(words):
            return "stop"
        return "clear" if words == ["clear"] else ""


def hear(wire: str, crew: Crew) -> Heard:
    """Read a message's wire text. Mentions in code and quotes address nobody."""
    quoted = _quoted(wire)
    typed: list[str] = []
    bare: list[str] = []
    to: dict[str, None] = {}
    after_at: int | None = None
    for piece, name, start in _pieces(wire, crew):
        counts = bool(name) and not any(first <= start < last for first, last in quoted)
        if counts:
            if name == "watchbill" and not "".join(typed).strip():
                after_at = len(typed) + 1
            to.setdefault(name)
        else:
            bare.append(piece)
        typed.append(piece)
    text = "".join(typed)
    return Heard(text, tuple(to), "".join(bare), None if after_at is None else "".join(typed[after_at:]))


def unescape(text: str) -> str:
    """Slack's three entities undone, once."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _pieces(wire: str, crew: Crew) -> list[tuple[str, str, int]]:
    """(typed text, addressed name or "", place in the wire text), in order."""
    pieces: list[tuple[str, str, int]] = []
    at = 0
    for found in _TOKEN.finditer(wire):
        pieces += _plain(wire, at, found.start(), crew)
        at = found.end()
        if found["code"]:
            pieces.append((unescape(found["code"]), "", found.start()))
        elif found["user"]:
            name = crew.users.get(found["user"], "")
            shown = crew.titles.get(name) or unescape(found["name"] or "")
            pieces.append((f"@{shown}" if shown else found[0], name, found.start()))
        else:
            pieces.append((_token(found["token"]), "", found.start()))
    return pieces + _plain(wire, at, len(wire), crew)


def _plain(wire: str, start: int, end: int, crew: Crew) -> list[tuple[str, str, int]]:
    """Text between tokens, cut at plain "@Architect"."""
    pieces: list[tuple[str, str, int]] = []
    at = start
    for found in crew.pattern.finditer(wire, start, end):
        pieces.append((unescape(wire[at : found.start()]), "", at))
        pieces.append((found[0], crew.named(found["title"]), found.start()))
        at = found.end()
    pieces.append((unescape(wire[at:end]), "", at))
    return [piece for piece in pieces if piece[0]]


def _token(inside: str) -> str:
    """`<#C1|general>`, `<!here>`, `<!subteam^S1|@sre>`, `<https://x|x>` as they were typed."""
    target, _, label = inside.partition("|")
    if target[:1] == "#":
        return f"#{unescape(label or target[1:])}"
    if target[:1] == "!":
        return unescape(label) or f"@{target[1:].partition('^')[0]}"
    address, name = unescape(target), unescape(label)
    if not name or name == address or address in (f"http://{name}", f"https://{name}", f"mailto:{name}"):
        return name or address
    return f"{name} ({address})"


def _quoted(wire: str) -> list[tuple[int, int]]:
    if ">" not in wire and "&gt;" not in wire:
        return []
    return [found.span() for rule in (_QUOTE_LINE, _QUOTE_REST) for found in rule.finditer(wire)]
