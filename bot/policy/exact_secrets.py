"""Finding every form of every known secret in one pass over a text (Aho-Corasick), also where a secret was cut short.

Each form is looked for by its first and its last KEY characters; at a hit the rest is compared. So the automaton stays
small whatever the secrets' lengths, and a secret that a tool cut off somewhere is seen too: a piece of at least half of
a form counts as the form.
"""

import re
from collections.abc import Iterator, Mapping

from ahocorasick_rs import AhoCorasick, MatchKind

KEY = 12
HALF = 2
LEAST_END, LONGEST_END = 6, 400  # of a text's end that is held back because a secret may begin there
Match = tuple[int, int, str]  # start, end, name
HALVES = re.compile("[\ud800-\udfff]")


def encodable(text: str) -> str:
    """`text` for the automaton, every character at its place: half of a surrogate pair, which a model may write, has no
    encoding.
    """
    return HALVES.sub("?", text)


class ExactSecrets:
    """`names`: form → name of its secret. Never shows a form."""

    def __init__(self, names: Mapping[str, str]) -> None:
        heads: dict[str, list[str]] = {}
        tails: dict[str, list[str]] = {}
        for form in names:
            heads.setdefault(form[:KEY], []).append(form)
            if len(form) >= KEY * HALF:
                tails.setdefault(form[-KEY:], []).append(form)
        for found in (*heads.values(), *tails.values()):
            found.sort(key=lambda form: (-len(form), form))
        self._names = names
        self._starts: dict[str, list[str]] = {}
        for form in names:
            self._starts.setdefault(form[:LEAST_END], []).append(form)
        self._heads = list(heads.values())
        self._tails = list(tails.values())
        self._automaton = (
            AhoCorasick([encodable(key) for key in (*heads, *tails)], matchkind=MatchKind.Standard) if names else None
        )

    def find(self, text: str) -> Iterator[Match]:
        """Spans of known secrets in `text`; they may overlap."""
        if self._automaton is None:
            return
        covered = 0  # behind this, a hit may be a cut piece; before it, only a whole form: keeps the time linear
        back: dict[int, int] = {}  # by tail: where it stood last
        for number, start, end in self._automaton.find_matches_as_indexes(encodable(text), overlapping=True):
            if number < len(self._heads):
                found = self._from_head(text, start, self._heads[number], whole=start < covered)
                covered = max(covered, found[1] if found else 0)
            else:
                least = back.get(number, KEY) - KEY
                found = (
                    self._to_tail(text, end, self._tails[number - len(self._heads)], least) if end > covered else None
                )
                back[number] = end
            if found:
                yield found

    def open_end(self, text: str) -> int:
        """How many characters at the end of `text` may be the beginning of a form that goes on."""
        first = max(0, len(text) - LONGEST_END)
        for at in range(first, len(text) - LEAST_END + 1):
            for form in self._starts.get(text[at : at + LEAST_END], ()):
                if len(form) > len(text) - at and form.startswith(text[at:]):
                    return len(text) - at
        return 0

    def _from_head(self, text: str, start: int, forms: list[str], *, whole: bool) -> Match | None:
        for form in forms:
            if text.startswith(form, start):
                return start, start + len(form), self._names[form]
        if whole:
            return None
        length, name = 0, ""
        for form in forms:  # longest first
            if len(form) <= length or len(form) < KEY:
                break
            least = max(KEY, (len(form) + HALF - 1) // HALF, length + 1)
            if text.startswith(form[:least], start):
                length, name = _run(text, start, form, least), self._names[form]
        return (start, start + length, name) if length else None

    def _to_tail(self, text: str, end: int, forms: list[str], least: int) -> Match | None:
        """The end of a form whose beginning was cut off, looking no further back than `least`."""
        for form in forms:
            half = (len(form) + HALF - 1) // HALF
            if end - half >= least and text.startswith(form[-half:], end - half):
                return _begin(text, end, form, half, least), end, self._names[form]
        return None


def _run(text: str, start: int, form: str, low: int) -> int:
    """How many characters of `form` stand at `start`, of which `low` are known to."""
    high = min(len(form), len(text) - start)
    while low < high:
        middle = (low + high + 1) // 2
        if text.startswith(form[:middle], start):
            low = middle
        else:
            high = middle - 1
    return low


def _begin(text: str, end: int, form: str, low: int, least: int) -> int:
    """Where the piece of `form` that ends at `end` begins; `low` characters are known to stand there."""
    high = min(len(form), end - least)
    while low < high:
        middle = (low + high + 1) // 2
        if text.startswith(form[len(form) - middle :], end - middle):
            low = middle
        else:
            high = middle - 1
    return end - low
