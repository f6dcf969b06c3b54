"""Redaction on every way out: exact values of loaded secrets, in every form they travel in, and shapes (rule 22)."""

import base64
import html
import json
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import assert_never
from urllib.parse import quote, quote_plus

from bot.domain.ids import Json
from bot.policy.secret_patterns import MARK, find_secrets, names_secret

SHORTEST = 6  # characters; a shorter "secret" would take words out of every text
LINE = 16  # characters of one line of a longer secret that is looked for by itself
EXACT = f"{MARK}exact]"
NAMED = f"{MARK}named]"
MARKS = re.compile(rf"{re.escape(MARK)}[a-z]{{2,12}}\]")


class SecretRedactor:
    """The Redactor port. What it learned it never shows, prints or compares in an error."""

    def __init__(self, *secrets: str) -> None:
        self._forms: dict[str, None] = {}  # longest first
        self.learn(*secrets)

    def __repr__(self) -> str:
        return f"SecretRedactor({len(self._forms)} forms)"

    def learn(self, *secrets: str) -> None:
        """These exact values never go out again, in any of `forms_of`. Values under six characters are left alone."""
        new = {form for secret in secrets for form in forms_of(secret)}
        new -= self._forms.keys()
        if new:
            self._forms = dict.fromkeys(sorted({*self._forms, *new}, key=lambda form: (-len(form), form)))

    def text(self, text: str) -> str:
        """`text` without secrets. Doing it again changes nothing."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, EXACT)
        marks = [mark.span() for mark in MARKS.finditer(text)]
        spans = sorted(span for span in find_secrets(text) if not _within(marks, span[0]))
        return _without(text, spans) if spans else text

    def json(self, value: Json) -> Json:
        """The same over JSON: texts, keys, numbers, and every text under a key that names a secret."""
        match value:
            case str():
                return self.text(value)
            case None | bool():
                return value
            case int() | float():
                shown = str(value)
                return EXACT if any(form in shown for form in self._forms) else value
            case Mapping():
                return self._mapping(value)
            case Sequence():
                return [self.json(item) for item in value]
            case _:
                assert_never(value)

    def _mapping(self, value: Mapping[str, Json]) -> dict[str, Json]:
        clean: dict[str, Json] = {}
        for key, item in value.items():
            name, number = self.text(key), 1
            while name in clean:  # two keys that were secrets must not become one
                number += 1
                name = f"{self.text(key)}#{number}"
            clean[name] = _named(item) if names_secret(key) else self.json(item)
        return clean


def forms_of(secret: str) -> Iterator[str]:
    """The value as it travels: plain, in JSON (twice), URL, HTML, base64 at any offset, hex; and its long lines."""
    parts = [secret, *(line for line in secret.splitlines() if len(line) >= LINE)] if "\n" in secret else [secret]
    for part in (part for whole in parts for part in {whole, whole.strip()}):
        if len(part) >= SHORTEST and part not in EXACT and part not in NAMED:
            yield from (form for form in _forms(part) if len(form) >= SHORTEST)


def _forms(part: str) -> Iterator[str]:
    data = part.encode("utf-8", "surrogatepass")
    yield from {part, unicodedata.normalize("NFC", part), unicodedata.normalize("NFD", part)}
    for ascii_only in (True, False):
        once = json.dumps(part, ensure_ascii=ascii_only)[1:-1]
        yield from (once, json.dumps(once, ensure_ascii=ascii_only)[1:-1])
    for coded in (quote(data, safe=""), quote_plus(data), quote(data)):
        yield from (coded, _lower_escapes(coded))
    yield from (html.escape(part, quote=False), html.escape(part))
    yield from (data.hex(), data.hex().upper())
    for shift in range(3):
        plain = base64.b64encode(b"\0" * shift + data).decode().rstrip("=")
        known = plain[-(-8 * shift // 6) : None if (shift + len(data)) % 3 == 0 else -1]
        if len(known) >= 8:
            yield from (known, known.replace("+", "-").replace("/", "_"))


def _lower_escapes(coded: str) -> str:
    head, *rest = coded.split("%")
    return head + "".join(f"%{part[:2].lower()}{part[2:]}" for part in rest)


def _named(value: Json) -> Json:
    """Everything under a key that names a secret: texts and numbers go, the shape stays."""
    match value:
        case None | bool() | "":
            return value
        case str() | int() | float():
            return NAMED
        case Mapping():
            return {key: _named(item) for key, item in value.items()}
        case Sequence():
            return [_named(item) for item in value]
        case _:
            assert_never(value)


def _within(marks: Sequence[tuple[int, int]], at: int) -> bool:
    """True if `at` stands in a mark of an earlier redaction."""
    before = bisect_right(marks, (at, at)) - 1
    return any(start <= at < end for start, end in marks[max(0, before) : before + 2])


def _without(text: str, spans: Iterable[tuple[int, int, str]]) -> str:
    """`text` with each span (in order; they may overlap) replaced by a mark of its kind."""
    out: list[str] = []
    done = 0
    for start, end, kind in spans:
        if end <= done:
            continue
        if start >= done:
            out += (text[done:start], f"{MARK}{kind}]")
        done = end
    return "".join((*out, text[done:]))
