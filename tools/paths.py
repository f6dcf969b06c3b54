"""Which names and texts the mission's code may have. Refusals say why and what to do instead."""

import re
from typing import Final

from tools.estate import BLUEPRINTS
from tools.folder import RefusedPathError, split

LARGEST: Final = 256_000  # bytes of one file; a Terraform root module is a few thousand
DEEPEST: Final = 8
PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}")
HIDDEN_OK: Final = frozenset({".gitignore", ".editorconfig"})
BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
STATE: Final = re.compile(r"\.tfstate|\.tfplan$|^crash.*\.log$", re.IGNORECASE)


def check_path(path: str, *, writing: bool) -> str:
    """The path in its one spelling. Raises RefusedPathError with the reason and what to do instead."""
    parts = split(path)
    if not parts and writing:
        raise RefusedPathError(f"{path!r}: name a file")
    if len(parts) > DEEPEST:
        raise RefusedPathError(f"{path!r}: at most {DEEPEST} folders deep")
    for part in parts:
        if part.lower().rstrip(". ") == ".git":
            raise RefusedPathError(f"{path!r}: git's own files are closed; every write is a commit already")
        if not PART.fullmatch(part) and part not in HIDDEN_OK:
            raise RefusedPathError(f"{path!r}: names are letters, digits, `_`, `-` and `.`, and are not hidden")
        if STATE.search(part):
            raise RefusedPathError(f"{path!r}: Terraform's state and plans are kept by the estate, outside the code")
    if writing and parts[0].lower() == BLUEPRINTS:
        raise RefusedPathError(
            f"{path!r}: blueprints are vetted and read-only; call them as modules and set their inputs"
        )
    return "/".join(parts) or "."


def check_content(path: str, content: str) -> bytes:
    """The bytes to write. Raises RefusedPathError for what is no plain text."""
    encoded = content.encode(errors="surrogatepass")
    if len(encoded) > LARGEST:
        raise RefusedPathError(f"{path}: {len(encoded)} bytes; a file has at most {LARGEST}")
    bad = next((c for c in content if c in BIDI or (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0), None)
    if bad is not None or "\ud800" <= max(content, default="") <= "\udfff":
        raise RefusedPathError(
            f"{path}: holds a control or text-direction character (U+{ord(bad or '?'):04X}); leave it out"
        )
    try:
        return content.encode()
    except UnicodeEncodeError:
        raise RefusedPathError(f"{path}: is no valid text") from None
