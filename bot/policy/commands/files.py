"""What follows where a command reads, writes, sends away or removes a file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bot.domain.calls import CallClass
from bot.policy.commands.entries import Judgement
from bot.policy.commands.facts import FILE, Act
from bot.policy.commands.findings import Finding, Found
from bot.policy.commands.lines import HOLE, Word
from bot.policy.commands.paths import PathFacts

# What find puts in: a path below one of its folders, which never begins like an option.
FOUND = f"./{HOLE}"


@dataclass(frozen=True, slots=True)
class Around:
    """What holds where a command stands. `fed` are paths that a fed hole may become; `scanning` while looking for
    harm; `started` by another program, with no shell between.
    """

    depth: int = 0
    folder: str = ""
    fed: tuple[str, ...] = ()
    scanning: bool = False
    started: bool = False


class FileEffects:
    """Adds to `Found` what the facts say of paths."""

    def __init__(self, paths: PathFacts) -> None:
        self._paths = paths

    def reads(self, word: Word, segment: str, around: Around, found: Found, cls: CallClass | None = None) -> None:
        """A file whose content is shown (or, with `cls`, sent away)."""
        if HOLE in around.folder and word.text[:1] not in {"/", "~", "-"}:
            reason = "reads a file in a folder that is only known when it runs"
            found.add(cls or CallClass.SENSITIVE_READ, segment, "grammar: cd", reason)
        for candidate in self._candidates(word, around):
            inner = [Word.of(candidate.text.rpartition(":")[2])] if ":" in candidate.text else []
            for name, judgement in self._judged("read", [candidate, *inner], around):
                reason = judgement.reason if cls is None else f"sends away what {judgement.reason}"
                found.add(cls or judgement.cls, segment, f"{FILE}: {name}", reason)

    def _judged(self, act: Act, words: Sequence[Word], around: Around) -> Iterator[tuple[str, Judgement]]:
        """A path, and the one behind a colon in it (host:path, revision:path)."""
        for word in words:
            yield from self._paths.judge(act, word, around.folder)

    def writes(self, word: Word, segment: str, rule: str, around: Around, found: Found) -> None:
        """A file that is created or overwritten."""
        if self._paths.is_sink(word):
            return
        if word.text.strip(HOLE) == "" and HOLE in word.text:
            found.add(CallClass.UNKNOWN, segment, rule, "writes a file whose name is only known when it runs")
            return
        found.add(CallClass.CHANGE, segment, rule, "writes a file")
        for name, judgement in self._paths.judge("write", word, around.folder):
            found.findings.append(Finding.of(judgement, segment, f"{FILE}: {name}"))

    def removes(self, word: Word, segment: str, around: Around, found: Found) -> None:
        """A path that is removed."""
        for candidate in self._candidates(word, around):
            if candidate.text.strip(HOLE) or not candidate.text:
                for name, judgement in self._paths.judge("remove", candidate, around.folder):
                    found.findings.append(Finding.of(judgement, segment, f"{FILE}: {name}"))

    def outputs(self, word: Word, segment: str, rule: str, around: Around, found: Found) -> None:
        """A file that is written, which is harmless in the working folder."""
        if around.folder or not self._paths.is_own_file(word) or any(self._paths.judge("write", word)):
            self.writes(word, segment, rule, around, found)

    def _candidates(self, word: Word, around: Around) -> Iterator[Word]:
        if word.fed and word.text in {HOLE, FOUND}:
            yield from (Word(path, path) for path in around.fed)
        else:
            yield word
