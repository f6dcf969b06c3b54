"""Redaction of text that comes in pieces: a secret that is split between two of them goes as it would in one (rule 22).

What is not a whole line yet is held back, at most HELD characters; what went out last is kept beside it, at most SEEN
characters, because a line can be a secret only for what stands before it (`kind: Secret`, `-----BEGIN …`). Each character
is looked at a bounded number of times.
"""

from collections.abc import Callable, Iterable, Iterator

Span = tuple[int, int, str]  # start, end, what stands for it
Spans = Callable[[str], Iterable[Span]]
HELD = 16_384
SEEN = 4_096
EDGE = 300  # characters kept before and behind the beginning of a secret that goes on for longer than SEEN


class StreamRedactor:
    """`feed` pieces, then `finish`; what comes back, put together, is the stream without secrets."""

    def __init__(self, spans: Spans, *, at_least: int = SEEN) -> None:
        """`spans`: where secrets stand in a text. `at_least`: characters that are worth a look; 0 where people wait for
        every line.
        """
        self._spans = spans
        self._at_least = at_least
        self._seen = ""  # raw, gone out already
        self._pending: list[str] = []
        self._size = 0
        self._masked = False  # what went out last is the mark of a secret that may go on

    @property
    def held(self) -> int:
        """Characters that wait for more."""
        return self._size

    def feed(self, piece: str) -> str:
        """What may go out now."""
        self._pending.append(piece)
        self._size += len(piece)
        if self._size < self._at_least or not ("\n" in piece or self._size > HELD):
            return ""
        whole = "".join(self._pending)
        cut = whole.rfind("\n") + 1
        if not cut:
            cut = max(0, len(whole) - HELD // 2)
        return self._out(whole, cut)

    def finish(self) -> str:
        """The rest."""
        whole = "".join(self._pending)
        return self._out(whole, len(whole), last=True)

    def _out(self, whole: str, cut: int, *, last: bool = False) -> str:
        base = len(self._seen)
        text = self._seen + whole
        spans = sorted(self._spans(text))
        end = base + cut
        for start, stop, _ in spans:
            if base < start < end < stop and not last and stop - start <= HELD // 2:
                end = start  # all of it next time
                break
        out = "".join(self._clean(text, spans, base, end))
        across = next(((start, stop) for start, stop, _ in spans if start < end <= stop), None)
        self._masked = across is not None
        self._seen = _kept(text, end, across[0] if across else end)
        rest = text[end:]
        self._pending, self._size = [rest] if rest else [], len(rest)
        return out

    def _clean(self, text: str, spans: Iterable[Span], base: int, end: int) -> Iterator[str]:
        done = base
        for start, stop, shown in spans:
            if stop <= done or start >= end:
                continue
            if start >= done:
                yield text[done:start]
                yield shown
            elif done == base and not self._masked:  # it began in what went out, where nobody could know it
                yield shown
            done = min(stop, end)
        yield text[done:end]


def _kept(text: str, end: int, began: int) -> str:
    """The raw end of what went out, with the beginning of a secret that reaches it."""
    first = max(0, end - SEEN)
    if min(began, end) - EDGE >= first or first == 0:
        return text[first:end]
    head = min(began + EDGE, end)
    return text[max(0, began - EDGE) : head] + text[max(head, end - EDGE) : end]


def redacted(spans: Spans, pieces: Iterable[str]) -> Iterator[str]:
    """The same as a generator."""
    stream = StreamRedactor(spans)
    for piece in pieces:
        if out := stream.feed(piece):
            yield out
    if out := stream.finish():
        yield out
