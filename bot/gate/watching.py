"""The Watch that a tool gets: what it tells people while it runs is redacted like everything else that goes out (rule 22)."""

from bot.domain.ports import Redactor, Watch

MOST = 400  # characters of one part of a progress line


class Discreet:
    """Progress without secrets, also where one is split between two lines: what could be the beginning of a known
    secret is not shown until the next line says what it was.
    """

    def __init__(self, watch: Watch, redactor: Redactor) -> None:
        self._watch = watch
        self._redactor = redactor
        self._held: dict[int, str] = {}

    async def progress(self, *parts: str) -> None:
        await self._watch.progress(*(self._shown(place, part) for place, part in enumerate(parts)))

    def stopping(self) -> int:
        return self._watch.stopping()

    def alive(self) -> bool:
        return self._watch.alive()

    def _shown(self, place: int, part: str) -> str:
        joined = self._held.pop(place, "") + part
        open_end = self._redactor.open_end(joined)
        whole = joined[: len(joined) - open_end]
        if open_end:
            self._held[place] = joined[len(whole) :]
        return self._redactor.text(whole)[:MOST] + ("…" if open_end else "")
