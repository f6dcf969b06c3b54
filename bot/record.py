"""The hash-chained record as lines for `python -m bot audit export|verify`."""

import json
from collections.abc import AsyncIterator

from bot.domain.storage import Audit, Journal

PAGE = 500  # events read at once


async def exported(audit: Audit) -> AsyncIterator[str]:
    """Every audit event as one JSON line, oldest first."""
    after = "0"
    while events := await audit.read(after, PAGE):
        for id_, at, event in events:
            row = {"id": id_, "at": at.isoformat(), "kind": event.kind, "mission": event.mission, "who": event.who}
            yield json.dumps({**row, "facts": event.facts}) + "\n"
        after = events[-1][0]


async def broken_places(audit: Audit, journal: Journal) -> list[str]:
    """Where a hash does not fit its predecessor: in the audit record, or in a mission's log."""
    event = await audit.verify()
    places = [f"audit: {event}"] if event else []
    for mission in await journal.missions(running=False):
        entry = await journal.verify(mission)
        places += [f"mission {mission}: {entry}"] if entry else []
    return places
