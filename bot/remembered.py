"""A mission as its log says it, from the state that the journal keeps and what came since."""

from collections.abc import Sequence
from typing import Protocol

from bot.domain.ids import EntryId, MissionId
from bot.domain.log import Logged
from bot.domain.state import Mission
from bot.mission import fold


class Remembers(Protocol):
    """What this needs of the journal."""

    async def kept(self, mission: MissionId) -> Mission | None: ...
    async def read(self, mission: MissionId, after: EntryId = ...) -> Sequence[Logged]: ...


async def remembered(journal: Remembers, mission: MissionId) -> Mission | None:
    """None where there is no such mission. Raises StoreUnavailableError."""
    kept = await journal.kept(mission)
    entries = await journal.read(mission, kept.last) if kept else await journal.read(mission)
    return fold(entries, kept) if entries or kept else None
