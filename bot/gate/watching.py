"""The Watch that a tool gets: what it tells people while it runs is redacted like everything else that goes out (rule 22)."""

from bot.domain.ports import Redactor, Watch

MOST = 400  # characters of one part of a progress line
SEEN = 8192


class Discreet:
    """Progress without secrets, also where one is split between lines: a line is read as what follows the ones before,
    and what could be the beginning of a secret is not shown.
    """

    def __init__(self, watch: Watch, redactor: Redactor) -> None:
        self._watch = watch
        self._redactor = redactor
        self._before: dict[int, str] = {}  # by place in the line: raw, what the last ones said there
        self._last: dict[int, tuple[str, str]] = {}  # likewise, the newest: raw, and as it was shown

    async def progress(self, *parts: str) -> None:
        await self._watch.progress(*(self._shown(place, part) for place, part in enumerate(parts)))

    def stopping(self) -> int:
        return self._watch.stopping()

    def alive(self) -> bool:
        return self._watch.alive()

    def _shown(self, place: int, part: str) -> str:
        last = self._last.get(place)
        if last is not None and last[0] == part:  # the same words again are no continuation of themselves
            return last[1]
        before = self._before.get(place, "")
        self._before[place] = (before + part)[-SEEN:]
        held = min(self._redactor.open_end(before + part), len(part))
        clean = self._redactor.continued(before, part[: len(part) - held])
        shown = clean[:MOST] + ("…" if held else "")
        self._last[place] = (part, shown)
        return shown
