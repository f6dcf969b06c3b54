"""Which words of a request no criterion quotes. Pure text, no model."""

import re
from collections.abc import Sequence
from itertools import groupby

WORD = re.compile(r"[^\s]+")
EDGE = ".,;:!?()[]{}\"'“”‘’…*_~`"
SMALL = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "been",
        "build",
        "but",
        "by",
        "can",
        "could",
        "create",
        "do",
        "does",
        "for",
        "from",
        "give",
        "had",
        "has",
        "have",
        "he",
        "her",
        "him",
        "his",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "just",
        "let",
        "make",
        "me",
        "my",
        "no",
        "not",
        "of",
        "on",
        "or",
        "our",
        "out",
        "over",
        "please",
        "set",
        "should",
        "so",
        "some",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "to",
        "up",
        "us",
        "use",
        "via",
        "want",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "who",
        "will",
        "with",
        "would",
        "you",
        "your",
        "also",
        "too",
        "need",
        "needs",
        "like",
    ]
)


def normal(text: str) -> str:
    """Lower case, one space between words, typographic quotes and edge punctuation gone: for comparing quotes."""
    return " ".join(word for word in (piece.strip(EDGE).casefold() for piece in text.split()) if word)


def quoted(quote: str, sources: Sequence[str]) -> bool:
    """True if the words of `quote` stand in one of `sources` in this order. “…” or "..." joins two separate runs."""
    runs = [normal(run) for run in re.split(r"…|\.\.\.", quote)]
    runs = [run for run in runs if run]
    return bool(runs) and any(_in_order(runs, f" {normal(source)} ") for source in sources)


def tells(quote: str) -> bool:
    """True if the quote has a word that says something: “the” or “and a” is no source of a criterion."""
    return any(map(_says_something, normal(quote).split()))


def uncovered(request: str, quotes: Sequence[str]) -> tuple[str, ...]:
    """Runs of words of `request` that no quote covers and that say something, in their order."""
    pieces = ((m.group(), m.group().strip(EDGE).casefold()) for m in WORD.finditer(request))
    words = [(raw, word) for raw, word in pieces if word]  # bare punctuation stands in no quote's way
    plain = [word for _, word in words]
    covered = [word.startswith(("@", "<@")) for word in plain]
    for quote in quotes:
        for run in re.split(r"…|\.\.\.", quote):
            wanted = normal(run).split()
            for start in range(len(plain) - len(wanted) + 1 if wanted else 0):
                if plain[start : start + len(wanted)] == wanted:
                    covered[start : start + len(wanted)] = [True] * len(wanted)
    left: list[str] = []
    for hidden, group in groupby(zip(words, covered, strict=True), key=lambda pair: pair[1]):
        run = [pair[0] for pair in group]
        if not hidden and any(map(_says_something, (word for _, word in run))):
            left.append(" ".join(raw for raw, _ in run).strip(EDGE + " "))
    return tuple(left)


def _says_something(word: str) -> bool:
    return word not in SMALL and len(word) > 1


def _in_order(runs: Sequence[str], source: str) -> bool:
    at = 0
    for run in runs:
        found = source.find(f" {run} ", at)
        if found < 0:
            return False
        at = found + len(run)
    return True
