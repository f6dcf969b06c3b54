"""What waits in a lane, as it is heard: the lines that one author wrote in a row are one message (rule 4). Pure."""

from collections.abc import Sequence
from dataclasses import replace

from bot.domain.ids import InboxId
from bot.domain.inbound import Ordered, Said

Ids = tuple[InboxId, ...]  # the items that one answer consumes


def joined(items: Sequence[tuple[InboxId, Ordered]]) -> list[tuple[Ids, Ordered]]:
    """What waits, with the lines that one author wrote in a row as one message: they get one turn (rule 4).

    A line that mentions somebody else, or changes an earlier one, stands alone.
    """
    found: list[tuple[Ids, Ordered]] = []
    run: list[Said] = []
    for id_, item in items:
        goes_on = isinstance(item, Said) and bool(run) and all(_together(said, item) for said in run)
        run = [*(run if goes_on else ()), item] if isinstance(item, Said) else []
        if goes_on:
            found[-1] = ((*found[-1][0], id_), _one(run))
        else:
            found.append(((id_,), item))
    return found


def _together(one: Said, other: Said) -> bool:
    plain = not (one.edited or other.edited) and one.user == other.user
    return plain and (not one.to or not other.to or one.to == other.to)


def _one(run: Sequence[Said]) -> Said:
    """The lines in the order in which they were written, whatever order they came in."""
    lines = sorted(run, key=lambda said: said.ts.rjust(len(max(run, key=lambda s: len(s.ts)).ts)))
    to = next((said.to for said in lines if said.to), ())
    return replace(lines[0], text="\n".join(said.text for said in lines), to=to)
