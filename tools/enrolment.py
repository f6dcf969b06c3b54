"""The gate's way from an applied plan to the inventory: which machines exist now, where they are, which keys they have."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path

from bot.domain.estate import Machine as Standing
from tools.estate import Estates
from tools.hosts import GuestLook, HostsFileError, Roster
from tools.terraform_plan import Machine


def rosters(estates: Estates, operator_file: Path | None, look: GuestLook | None) -> Callable[[str], Roster]:
    """Estate → its hosts. They lie in the estate's folder beside the repository, where no tool writes files."""

    def roster_of(estate: str) -> Roster:
        return Roster(estates.named(estate).root / "hosts", operator_file, look)

    return roster_of


class HostInventory:
    """The gate's Inventory: what a call may take with it. It asks nobody; machines without a pinned key are in no group."""

    def __init__(self, data: Path, blueprints: Path, operator_file: Path) -> None:
        self._roster_of = rosters(Estates(data, blueprints), operator_file, None)

    def machines(self, estate: str) -> Sequence[Standing] | None:
        try:
            hosts = self._roster_of(estate).hosts().values()
        except (HostsFileError, OSError, ValueError):
            return None
        return [Standing(host.name, host.groups, host.node) for host in hosts]


def enrolment(
    roster_of: Callable[[str], Roster],
) -> Callable[[str, str, str, Sequence[Machine], Collection[int]], Awaitable[Sequence[str]]]:
    """What an apply calls when it has ended (tools.terraform_workshop.Enrol)."""

    async def enrol(
        estate: str, directory: str, plan: str, machines: Sequence[Machine], fresh: Collection[int]
    ) -> Sequence[str]:
        roster = roster_of(estate)
        try:
            return await asyncio.to_thread(_enrol, roster, directory, plan, machines, fresh)
        except HostsFileError as error:
            return (f"No host key was pinned: {error}",)

    return enrol


def _enrol(
    roster: Roster, directory: str, plan: str, machines: Sequence[Machine], fresh: Collection[int]
) -> Sequence[str]:
    roster.note_apply(directory, plan, [(m.name, m.vmid, m.node) for m in machines], fresh)
    pinned = roster.fill()
    return (*pinned, *(f"{one.name}: no host key pinned yet, {one.problem}" for one in roster.awaited()))
