"""`python -m bot audit …`: the record exported, checked in the store or as a file, and its head."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from bot.app import CannotStartError, open_existing, signer_of
from bot.audit_chain import check, head_of, said
from bot.audit_heads import Heads, KeyFileError, signature_problem
from bot.record import broken_places, exported
from bot.settings import Settings


def export_audit(settings: Settings) -> int:
    """Print every audit event as one JSON line, oldest first."""
    return asyncio.run(_export(settings))


def verify_audit(settings: Settings) -> int:
    """Walk the hash chains of the audit record and of every mission log; 1 where one is broken."""
    return asyncio.run(_verify(settings))


def show_head(settings: Settings) -> int:
    """Print the record's newest head, signed where a key is set."""
    return asyncio.run(_head(settings))


def verify_file(file: Path, heads: Sequence[str], public_key: Path | None) -> int:
    """Check an exported record offline, without settings; 1 where something does not fit."""
    try:
        wrong = [(head, signature_problem(head, public_key)) for head in heads] if public_key else []
        with file.open("rb") as record:
            found = check(record, [head_of(head) for head in heads])
    except (OSError, ValueError, KeyFileError) as error:
        raise CannotStartError(str(error)) from error
    found.wrong += [f"head {head[:24]}…: {problem}" for head, problem in wrong if problem]
    sys.stdout.write(said(found))
    if heads and public_key is None and any(head.count(":") > 1 for head in heads):
        sys.stdout.write("not checked: the heads' signatures (--public-key)\n")
    return 1 if found.wrong else 0


async def _export(settings: Settings) -> int:
    store = await open_existing(settings)
    try:
        async for line in exported(store.audit):
            sys.stdout.write(line)
    finally:
        await store.aclose()
    return 0


async def _verify(settings: Settings) -> int:
    store = await open_existing(settings)
    try:
        places = await broken_places(store.audit, store.journal)
    finally:
        await store.aclose()
    sys.stdout.write("".join(f"broken at {place}\n" for place in places) or "every chain holds\n")
    return 1 if places else 0


async def _head(settings: Settings) -> int:
    signer = signer_of(settings)
    store = await open_existing(settings)
    try:
        head = await Heads(store.audit, signer).now()
    finally:
        await store.aclose()
    sys.stdout.write(f"{head}\n" if head else "no event yet\n")
    return 0
