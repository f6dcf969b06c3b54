"""The hash-chained record as lines for `python -m bot audit export|verify`."""

from collections.abc import AsyncIterator

from bot.audit_chain import line_of
from bot.domain.storage import Audit, AuditChain, Journal

PAGE = 500  # events read at once


async def exported(audit: AuditChain) -> AsyncIterator[str]:
    """Every audit event as one line of an exported record, oldest first: the stored chain itself, byte for byte."""
    after, number, prev = "0", 0, ""
    while rows := await audit.chain(after, PAGE):
        for row in rows:
            number += 1
            yield line_of(number, row.at, prev, row.hash, row.text) + "\n"
            after, prev = row.id, row.hash


async def broken_places(audit: Audit, journal: Journal) -> list[str]:
    """Where a hash does not fit its predecessor: in the audit record, or in a mission's log."""
    event = await audit.verify()
    places = [f"audit: {event}"] if event else []
    for mission in await journal.missions(running=False):
        entry = await journal.verify(mission)
        places += [f"mission {mission}: {entry}"] if entry else []
    return places
