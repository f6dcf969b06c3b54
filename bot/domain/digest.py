"""Canonical form and SHA-256 of what would run (DESIGN rule 11)."""

import hashlib
import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import assert_never

from bot.domain.ids import Digest, Json


class NotCanonicalError(ValueError):
    """The value has no single canonical form: a NaN, an infinity, a float or a key that is no text."""


def canonical(value: Json) -> bytes:
    """The one byte string for `value`: sorted keys, no spaces, NFC text, UTF-8. Floats are refused: their text varies."""
    return json.dumps(_normal(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(value: Json) -> Digest:
    """SHA-256 of `canonical(value)` in hex, 64 digits."""
    return Digest(hashlib.sha256(canonical(value)).hexdigest())


def _normal(value: Json) -> Json:
    match value:
        case None | bool() | int():
            return value
        case str():
            return unicodedata.normalize("NFC", value)
        case float():
            if math.isfinite(value) and value.is_integer():
                return int(value)
            raise NotCanonicalError(f"no canonical form for the number {value!r}: give it as text")
        case Mapping():
            normal: dict[str, Json] = {}
            for key, item in value.items():
                name = unicodedata.normalize("NFC", key)
                if name in normal:
                    raise NotCanonicalError(f"the key {name!r} stands twice")
                normal[name] = _normal(item)
            return normal
        case Sequence():
            return [_normal(item) for item in value]
        case _:
            assert_never(value)
