"""The forms in which one secret travels, so that its exact value is found in whatever wraps it (rule 22)."""

import base64
import html
import json
import shlex
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

SHORTEST = 6  # characters; a shorter "secret" would take words out of every text
LINE = 16  # characters of one line of a longer secret that is looked for by itself
JSON_DEPTH = 4  # a state in a result in an event in a log line
WRAPS = (64, 76)  # columns at which base64 is broken into lines: PEM and openssl, coreutils and MIME
SHELL_DOUBLE = str.maketrans({char: f"\\{char}" for char in '\\"$`'})
PRINTF_Q = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-")


def forms_of(secret: str) -> Iterator[str]:
    """The value as it travels: plain, in JSON (four deep), URL, HTML, shell quotes, base64 at any offset and broken into
    lines, hex; and its own long lines, each in the same forms. Forms under six characters are left out.
    """
    parts = [secret, *(line for line in secret.splitlines() if len(line) >= LINE)] if "\n" in secret else [secret]
    for part in (part for whole in parts for part in {whole, whole.strip()}):
        if len(part) >= SHORTEST:
            yield from (form for form in _forms(part) if len(form) >= SHORTEST)


def _forms(part: str) -> Iterator[str]:
    data = part.encode("utf-8", "surrogatepass")
    yield from {part, unicodedata.normalize("NFC", part), unicodedata.normalize("NFD", part)}
    for ascii_only in (True, False):
        inner = part
        for _ in range(JSON_DEPTH):
            inner = json.dumps(inner, ensure_ascii=ascii_only)[1:-1]
            yield inner
    for coded in (quote(data, safe=""), quote_plus(data), quote(data)):
        yield from (coded, _lower_escapes(coded))
    yield from (html.escape(part, quote=False), html.escape(part))
    yield from _in_shell(part)
    yield from (data.hex(), data.hex().upper(), data.hex(":"), data.hex(" "))
    yield from _in_base64(data)


def _in_shell(part: str) -> Iterator[str]:
    """Inside quotes, without the outer ones: they are found with or without."""
    yield shlex.quote(part).removeprefix("'").removesuffix("'")  # ' becomes '"'"'
    yield part.replace("'", "'\\''")
    yield part.translate(SHELL_DOUBLE)
    yield part.replace("\\", "\\\\").replace("'", "\\'")  # $'…'
    yield "".join(char if char in PRINTF_Q or char > "\x7f" else f"\\{char}" for char in part)


def _in_base64(data: bytes) -> Iterator[str]:
    for shift in range(3):
        plain = base64.b64encode(b"\0" * shift + data).decode().rstrip("=")
        known = plain[-(-8 * shift // 6) : None if (shift + len(data)) % 3 == 0 else -1]
        if len(known) >= 8:
            yield from (known, known.replace("+", "-").replace("/", "_"))
    whole = base64.b64encode(data).decode()
    for width in WRAPS if len(whole) > min(WRAPS) else ():
        lines = (whole[at : at + width] for at in range(0, len(whole), width))
        yield from (line for line in lines if len(line) >= LINE)


def _lower_escapes(coded: str) -> str:
    head, *rest = coded.split("%")
    return head + "".join(f"%{part[:2].lower()}{part[2:]}" for part in rest)
