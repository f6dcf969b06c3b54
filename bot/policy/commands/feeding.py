"""What one command puts into another: file names found, words read, files named in a value, the folder gone to."""

import posixpath
from collections.abc import Iterator, Sequence

from bot.policy.commands.lines import HOLE, Simple, Word

MOST = 12


def fill(word: Word, marks: Sequence[str], hole: str) -> Word:
    text = word.text
    for mark in marks:
        text = hole if text == mark else text.replace(mark, HOLE)
    return word if text == word.text else Word(text, text, word.glob, fed=True)


def sent(word: Word) -> Iterator[Word]:
    """The files that a value may mean: `f`, `@f`, `name=@f`, `name=<f`."""
    text = word.text
    yield word
    for mark in ("@", "=@", "=<"):
        if mark in text:
            rest = text.split(mark, 1)[1]
            yield Word(rest, rest, word.glob, fed=word.fed)


def candidates(simple: Simple) -> tuple[str, ...]:
    """Paths that a command's output may name: its words, and each path with each other word below it."""
    texts = [
        word.text for source in (*simple.feeds, simple) for word in source.words[1:] if not word.text.startswith("-")
    ]
    folders = [text for text in texts if text[:1] in {"/", "~"}]
    names = [text for text in texts if text[:1] not in {"/", "~"}]
    below = [f"{folder.rstrip('/')}/{name}" for folder in folders[:MOST] for name in names[:MOST]]
    whole = [] if len(texts) > len(folders) + 1 else [f"{folder.rstrip('/')}/{HOLE}" for folder in folders]
    return (*texts, *below, *whole)


def folder_after(simple: Simple, folder: str) -> str:
    """Where the next command of the line runs."""
    texts = [word.text for word in simple.words if word.known]
    if not texts or texts[0] not in {"cd", "pushd"} or len(texts) < 2:  # cd and a folder
        return folder
    to = texts[-1]
    if to.startswith(("/", "~")):
        return posixpath.normpath(to)
    if folder and HOLE not in folder:
        return posixpath.normpath(f"{folder}/{to}")
    return HOLE if ".." in to.split("/") else folder
