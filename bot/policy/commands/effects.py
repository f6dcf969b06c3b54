"""What follows from a reading by itself: the class of the verb, options and words that raise it, the environment."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from bot.domain.calls import CallClass
from bot.policy.commands.entries import But, Condition, Entry, Judgement, Kind, Program, rank
from bot.policy.commands.facts import Environment
from bot.policy.commands.findings import Finding
from bot.policy.commands.grammar import TAKES_ALL, Reading
from bot.policy.commands.lines import HOLE, Simple, Word

NO_VERB = Judgement(CallClass.UNKNOWN, "has no verb")


def option_findings(program: Program, reading: Reading, simple: Simple) -> Iterator[Finding]:
    """The class of the command, then what its options and words raise it to."""
    entry, shown = reading.entry, simple.shown
    certain, guessed = (
        next((but for but in entry.but if _holds(but, reading, sure=sure)), None) for sure in (True, False)
    )
    bases = [but.judgement if but else _base(entry, reading) for but in (certain, guessed)]
    yield Finding.of(max(bases, key=lambda base: rank(base.cls)), shown, program.rule(entry.name))
    if certain is None:
        for condition, judgement in entry.raises:
            if _raised(condition, reading):
                yield Finding.of(judgement, shown, program.rule(entry.name, condition.option))
        for pattern, judgement in entry.words:
            if any(_matches(word, pattern, fold=entry.fold) for _, word in reading.operands):
                yield Finding.of(judgement, shown, program.rule(entry.name, pattern))
    outer = [raised for level in reading.path[:-1] for raised in level.raises]
    for condition, judgement in (*entry.spread_raises, *outer):
        if _raised(condition, reading):
            yield Finding.of(judgement, shown, program.rule(condition.option))


def environment_findings(
    simple: Simple, program: Program | None, facts: Environment
) -> Iterator[tuple[Finding, str | None]]:
    """What the variables before a command do; with the command that the value of one is."""
    own = program.environment if program else frozenset[str]()
    for name, value in simple.assigns:
        rule = f"policies/commands/facts.yaml: environment {name}"
        if _named(name, facts.runs):
            command = None if HOLE in value.text or not value.text else value.text
            yield Finding(CallClass.UNKNOWN, simple.shown, rule, f"starts the command in {name}"), command
        elif _named(name, facts.loads) and name not in own:
            yield Finding(CallClass.UNKNOWN, simple.shown, rule, f"lets {name} decide what is loaded or read"), None
        elif not _named(name, facts.harmless) and name not in own and not _named(name, own):
            yield (
                Finding(CallClass.UNKNOWN, simple.shown, rule, f"sets {name}, which is not known to be harmless"),
                None,
            )


def _named(name: str, patterns: Sequence[str] | frozenset[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _base(entry: Entry, reading: Reading) -> Judgement:
    if entry.bare is not None and _is_bare(entry, reading):
        return entry.bare
    return entry.judgement or NO_VERB


def _is_bare(entry: Entry, reading: Reading) -> bool:
    """Nothing was named: no operand, or, where the entry has a place for a program or for code, neither."""
    runs = {*TAKES_ALL, Kind.CODE}
    if not any(slot.kind in runs and slot.is_there(reading.has) for slot in entry.operands):
        return not reading.operands
    placed = any(placed.slot.kind in runs for placed in reading.placed)
    return not placed and not any(given.option.kind in {Kind.CODE, Kind.COMMAND} for given in reading.given)


def _raised(condition: Condition, reading: Reading) -> bool:
    return any(
        condition.fits(_text(given.value), unknown=True)
        for given in reading.given
        if given.option.name == condition.option
    )


def _holds(but: But, reading: Reading, *, sure: bool) -> bool:
    if but.given and not any(_always(condition, reading, sure=sure) for condition in but.given):
        return False
    if any(_raised(condition, reading) for condition in but.absent):
        return False
    if not but.only:
        return True
    return bool(reading.operands) and all(
        word.known and any(fnmatchcase(word.text, pattern) for pattern in but.only) for _, word in reading.operands
    )


def _always(condition: Condition, reading: Reading, *, sure: bool) -> bool:
    """Given, `sure`: for certain, and in every occurrence as asked: of several the program may take any."""
    occurrences = [given for given in reading.given if given.option.name == condition.option]
    there = not all(given.guessed for given in occurrences) if sure else bool(occurrences)
    return there and all(condition.fits(_text(given.value), unknown=False) for given in occurrences)


def _text(value: Word | None) -> str | None:
    """A value for conditions: "" where the option has none, None where it is not known."""
    if value is None:
        return ""
    return value.text if value.known else None


def _matches(word: Word, pattern: str, *, fold: bool) -> bool:
    if word.text == HOLE or (word.glob and word.text == "*"):
        return True
    text, glob = (word.text.lower(), pattern.lower()) if fold else (word.text, pattern)
    if HOLE in text:
        head = text.split(HOLE, 1)[0]
        return fnmatchcase(head, glob) or glob.split("*", 1)[0].startswith(head)
    return fnmatchcase(text, glob)
