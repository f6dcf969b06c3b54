"""Heads of the audit record, signed where the operator gave a key, and checked with the public one.

A head is `COUNT:HASH` (bot/audit_chain.py), or `COUNT:HASH:SIGNATURE`: Ed25519 over the ASCII text
`watchbill audit head COUNT:HASH`, 64 bytes as base64 for URLs. Ed25519 has one signature for each text, so the same
head is the same line, whoever posts it.
"""

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING

from bot.audit_chain import head_of
from bot.domain.storage import AuditChain

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PURPOSE = "watchbill audit head"


class KeyFileError(Exception):
    """The key cannot be used. The text says which and how to make one."""


class Signer:
    """Signs heads with the Ed25519 key of a PEM file."""

    def __init__(self, path: Path) -> None:
        """Raises KeyFileError."""
        self._key = _private_key(path)
        self.secret = path.read_text(encoding="ascii")  # for the redactor

    def signed(self, head: str) -> str:
        """`head` with its signature behind it."""
        signature = self._key.sign(f"{PURPOSE} {head}".encode())
        return f"{head}:{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


class Heads:
    """What is posted: in every report, and once a day."""

    def __init__(self, chain: AuditChain, signer: Signer | None) -> None:
        self._chain = chain
        self._signer = signer

    async def now(self) -> str:
        """The newest head, or "" of an empty record."""
        return self._signed(await self._chain.head())

    async def of_day(self, day: str) -> str:
        """The day's head; "" on a day on which nothing was added since the last one."""
        return self._signed(await self._chain.head_of_day(day))

    def _signed(self, head: str) -> str:
        return self._signer.signed(head) if head and self._signer else head


def signature_problem(head: str, public_key: Path) -> str:
    """Why the signature behind `head` proves nothing, or "". Raises KeyFileError, and ValueError for what is no head."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 # only where somebody signs
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    plain = head_of(head)
    _, _, signature = head.strip().removeprefix(f"{plain.count}:{plain.hash}").partition(":")
    if not signature:
        return "it carries no signature"
    try:
        key = load_pem_public_key(public_key.read_bytes())
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{public_key} is no public key in PEM: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"{public_key} is no Ed25519 key")
    try:
        key.verify(
            base64.urlsafe_b64decode(signature.rstrip("=") + "=="),
            f"{PURPOSE} {plain.count}:{plain.hash}".encode(),
        )
    except (InvalidSignature, binascii.Error):
        return "its signature is not that of this key"
    return ""


def _private_key(path: Path) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    mend = f"Make one: openssl genpkey -algorithm ed25519 -out {path}; chmod 600 {path}"
    try:
        if path.stat().st_mode & 0o077:
            raise KeyFileError(f"WATCHBILL_AUDIT_KEY: others may read {path}. chmod 600 {path}")
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, TypeError, ValueError) as error:
        raise KeyFileError(f"WATCHBILL_AUDIT_KEY: {path} is no private key in PEM ({error}). {mend}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"WATCHBILL_AUDIT_KEY: {path} is no Ed25519 key. {mend}")
    return key
