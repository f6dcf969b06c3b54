"""Redaction on every way out: exact values of known secrets, in every form they travel in, and shapes (rule 22)."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import assert_never

from bot.domain.ids import Json
from bot.policy.exact_secrets import ExactSecrets
from bot.policy.placeholders import MARK, NAME, placeholder
from bot.policy.secret_forms import SHORTEST, forms_of
from bot.policy.secret_patterns import KINDS, find_secrets, names_secret, unfinished
from bot.policy.streaming import Span, StreamRedactor

END = "›"  # of a placeholder
LEARNED, NAMED, MARKED = "learned", "named", "marked"  # kinds of what no shape found


class SecretRedactor:
    """The Redactor port. What it knows it never shows, prints or compares in an error."""

    def __init__(self, *secrets: str, **named: str) -> None:
        """`named`: secrets by the name that stands for them."""
        known = sorted({*secrets, *named.values()} - {""})
        self._key = hashlib.sha256("\0".join(known).encode("utf-8", "surrogatepass")).digest()
        self._names: dict[str, str] = {}  # form → placeholder
        self._exact: ExactSecrets | None = ExactSecrets({})
        self._marks = _marks(named)
        for name, value in named.items():
            self._know(value, placeholder(name))
        self.learn(*secrets)

    def __repr__(self) -> str:
        return f"SecretRedactor({len(self._names)} forms)"

    def learn(self, *secrets: str) -> None:
        """These exact values never go out again, in any of `forms_of`. Values under six characters are left alone."""
        for secret in secrets:
            self._know(secret, self.placeholder_of(secret))

    def placeholder_of(self, secret: str, kind: str = LEARNED) -> str:
        """What stands for this value, the same at every time; the kind counts where the value is not known."""
        return self._names.get(secret) or placeholder(f"{kind}_{self._tag(secret)}")

    def text(self, text: str) -> str:
        """`text` without secrets. Doing it again changes nothing."""
        spans = sorted(self.spans(text))
        return _without(text, spans) if spans else text

    def spans(self, text: str) -> Iterator[Span]:
        """Where secrets stand in `text`, and what stands for them; they may overlap, in no order."""
        marks = [mark.span() for mark in self._marks.finditer(text)] if MARK in text else []
        found = [span for span in self._known().find(text) if not _within(marks, *span[:2])]
        left = text
        while True:
            found += [
                (start, end, self.placeholder_of(text[start:end], kind))
                for start, end, kind in find_secrets(left)
                if not _within(marks, start, end) and (left is text or left[start:end] == text[start:end])
            ]
            yield from found
            blank = _blank(left, found)  # what stands for a secret ends a word: the next may begin there
            if blank == left:
                return
            left, found = blank, []

    def continued(self, before: str, text: str) -> str:
        """`text` without secrets where it goes on from `before`: what began there goes here too."""
        base = len(before)
        spans = sorted(self.spans(before + text))
        return _without(
            text, [(max(0, start - base), stop - base, shown) for start, stop, shown in spans if stop > base]
        )

    def stream(self) -> StreamRedactor:
        """For one text that comes in pieces."""
        return StreamRedactor(self.spans)

    def open_end(self, text: str) -> int:
        """How many characters at the end of `text` may be the beginning of a secret that goes on."""
        return max(self._known().open_end(text), unfinished(text))

    def json(self, value: Json) -> Json:
        """The same over JSON: texts, keys, numbers, and every text under a key that names a secret."""
        return _Document(self).clean(value)

    def is_mark(self, text: str) -> bool:
        """True for one placeholder of this redactor and nothing else."""
        return self._marks.fullmatch(text) is not None

    def _known(self) -> ExactSecrets:
        exact = self._exact or ExactSecrets(dict(self._names))
        self._exact = exact
        return exact

    def _know(self, secret: str, shown: str) -> None:
        for form in forms_of(secret):
            if form not in self._names:
                self._names[form] = shown
                self._exact = None  # built again when it is next needed

    def _tag(self, secret: str) -> str:
        data = secret.encode("utf-8", "surrogatepass")
        return hashlib.blake2s(data, key=self._key, digest_size=2).hexdigest()


class _Document:
    """One JSON document on its way through. Its texts repeat (keys, types, flags): each is looked at once."""

    def __init__(self, redactor: SecretRedactor) -> None:
        self._redactor = redactor
        self._seen: dict[str, str] = {}

    def clean(self, value: Json) -> Json:
        match value:
            case str():
                return self._text(value)
            case None | bool():
                return value
            case int() | float():
                shown = str(value)
                clean = self._text(shown)
                return value if clean == shown else clean
            case Mapping():
                return self._mapping(value)
            case Sequence():
                return [self.clean(item) for item in value]
            case _:
                assert_never(value)

    def _text(self, text: str) -> str:
        if len(text) < SHORTEST:
            return text
        found = self._seen.get(text)
        if found is None:
            found = self._seen[text] = self._redactor.text(text)
        return found

    def _mapping(self, value: Mapping[str, Json]) -> dict[str, Json]:
        clean: dict[str, Json] = {}
        named = value.get("name")
        beside = isinstance(named, str) and names_secret(named)  # {"name": "DB_PASSWORD", "value": …}
        for key, item in value.items():
            name, number = self._text(key), 1
            while name in clean:  # two keys that were secrets must not become one
                number += 1
                name = f"{self._text(key)}#{number}"
            secret = names_secret(key) or (beside and key == "value")
            clean[name] = self._named(item) if secret else self.clean(item)
        return clean

    def _named(self, value: Json) -> Json:
        """Everything under a key that names a secret: texts and numbers go, the shape stays."""
        match value:
            case None | bool() | "":
                return value
            case str():
                return value if self._redactor.is_mark(value) else self._redactor.placeholder_of(value, NAMED)
            case int() | float():
                return self._redactor.placeholder_of(str(value), NAMED)
            case Mapping():
                return {self._text(key): self._named(item) for key, item in value.items()}
            case Sequence():
                return [self._named(item) for item in value]
            case _:
                assert_never(value)


def _marks(named: Iterable[str]) -> re.Pattern[str]:
    """What this redactor itself puts into texts; anything else of that look is text, and is looked at."""
    kinds = "|".join(sorted({*KINDS, LEARNED, NAMED}))
    names = "".join(f"|{re.escape(name)}" for name in sorted(named) if re.fullmatch(NAME, name))
    return re.compile(rf"{re.escape(MARK)}(?:(?:{kinds})_[0-9a-f]{{4}}|{MARKED}{names})›")


def _within(marks: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    """True if a span lies inside a mark of an earlier redaction."""
    low, high = 0, len(marks)
    while low < high:
        middle = (low + high) // 2
        if marks[middle][1] <= start:
            low = middle + 1
        else:
            high = middle
    return low < len(marks) and marks[low][0] <= start and end <= marks[low][1]


def _blank(text: str, spans: Iterable[Span]) -> str:
    """`text` as long as it was, with nothing in its spans."""
    for start, end, _ in spans:
        text = text[:start] + END * (end - start) + text[end:]
    return text


def _without(text: str, spans: Sequence[Span]) -> str:
    """`text` with each run of overlapping spans (in order) replaced by what stands for its first."""
    out: list[str] = []
    done = 0
    for start, end, shown in spans:
        if end <= done:
            continue
        if start >= done:
            out += (text[done:start], shown)
        done = end
    return "".join((*out, text[done:]))
