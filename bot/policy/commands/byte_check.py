"""The first look at a command: its bytes. What hides from a reader's eye is refused before anything is parsed."""

import unicodedata

from bot.domain.calls import CallClass
from bot.policy.commands.lines import HOLE, Doubt

LONGEST = 8192
RULE = "bytes"
# Letters of these scripts have twins among the Latin ones.
TWINS = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "FULLWIDTH", "MATHEMATICAL", "ROMAN", "SCRIPT")
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def check_bytes(text: str) -> Doubt | None:
    """Why `text` is refused unread: too long, or with characters that hide or cannot be. None where it may be read."""
    if len(text) > LONGEST:
        return _refused(text, f"is longer than {LONGEST} characters, too long to be understood")
    if text.isascii() and text.isprintable():
        return None
    for character in text:
        if character in "\n\t" or (character.isascii() and character.isprintable()):
            continue
        if character == HOLE or unicodedata.category(character) in HIDDEN:
            return _refused(text, f"hides what it does behind the character U+{ord(character):04X}")
    return None


def looks_alike(text: str) -> bool:
    """Whether text outside quotes has a character that passes for another: spaces, dashes, letters of other scripts."""
    for character in text:
        if character.isascii():
            continue
        if unicodedata.category(character) in {"Zs", "Pd", "Sm", "Lm", "Mn"}:
            return True
        if unicodedata.name(character, "").startswith(TWINS) and unicodedata.normalize("NFKD", character)[0].isalpha():
            return True
    return False


def _refused(text: str, reason: str) -> Doubt:
    head = text[:60].encode("unicode_escape").decode()
    return Doubt(CallClass.FORBIDDEN, RULE, reason, head + ("…" if len(text) > len(head) else ""))
