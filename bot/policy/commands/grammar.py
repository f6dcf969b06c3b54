"""A program's words read by its entry: verbs, options with their values, operands. What does not fit is a doubt."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from bot.domain.calls import CallClass
from bot.policy.commands.entries import Entry, Kind, Option, Others, Program, Slot, Style, rank
from bot.policy.commands.lines import HOLE, Word

NUMBER = re.compile(r"-[0-9]+\Z")
ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
TAKES_ALL = frozenset({Kind.COMMAND, Kind.REMOTE})
MEANT_FIRST = (Kind.SENDS, Kind.EXECUTES, Kind.SHELL, Kind.CODE, Kind.REMOVES, Kind.WRITES, Kind.READS, Kind.OUTPUTS)
BOOLEANS = frozenset({"true", "false", "1", "0", "t", "f", "TRUE", "FALSE", "True", "False"})
MOST_MEANT = 8
OFF = frozenset({"false", "0", "f", "FALSE", "False"})


@dataclass(frozen=True, slots=True)
class Given:
    """An option as it was given. `at` is the word with its value (or itself), `head` what stands before the value there."""

    option: Option
    value: Word | None
    at: int
    head: str = ""
    words: tuple[Word, ...] = ()
    guessed: bool = False  # it may be meant; so it may raise a class, and never lower one


@dataclass(frozen=True, slots=True)
class Placed:
    """An operand in its slot. For a command or remote words, `words` are all of them."""

    slot: Slot
    word: Word
    at: int
    words: tuple[Word, ...] = ()


@dataclass(slots=True)
class Reading:
    """What the words of one command mean to its program."""

    entry: Entry
    path: list[Entry] = field(default_factory=list[Entry])
    given: list[Given] = field(default_factory=list[Given])
    operands: list[tuple[int, Word]] = field(default_factory=list[tuple[int, Word]])
    placed: list[Placed] = field(default_factory=list[Placed])
    doubts: list[str] = field(default_factory=list[str])
    helped: bool = False

    def has(self, names: Sequence[str]) -> bool:
        return any(given.option.name in names for given in self.given)


class Grammar:
    """Reads one command's words."""

    def __init__(self, program: Program, words: Sequence[Word]) -> None:
        self._program = program
        self._words = words
        self._at = 1
        self._ended = False
        self._before_verb = 0
        self.reading = Reading(program.entry)
        self.reading.path.append(program.entry)

    def read(self) -> Reading:
        """The reading of every word after the program's name."""
        if self._program.entry.bundle:
            self._bundle()
        while self._at < len(self._words):
            word = self._words[self._at]
            if not self._ended and self._is_option(word):
                self._option(word)
            elif not self._ended and word.may_be_option and self._program.style is not Style.NONE:
                if not self._entry.complete:
                    self._doubt(f"{_shown(word)} may become an option")
                self._operand(word)
            else:
                self._operand(word)
        self._place()
        return self.reading

    @property
    def _entry(self) -> Entry:
        return self.reading.entry

    def _doubt(self, wrong: str) -> None:
        self.reading.doubts.append(wrong)

    def _is_option(self, word: Word) -> bool:
        text = word.text
        if self._program.style is Style.NONE:
            return text in self._entry.options
        if len(text) > 1 and text[0] == "-":
            return True
        return text in self._entry.options or (text[:1] == "+" and text[:2] in self._entry.options) or (
            "=" in text and f"{text.split('=', 1)[0]}=" in self._entry.options
        )  # fmt: skip

    def _bundle(self) -> None:
        """`tar xzf a`: the first word is a cluster without its dash. Its values are the words that follow."""
        if len(self._words) > 1 and re.fullmatch(r"[A-Za-z]+", self._words[1].text):
            self._at += 1
            waiting: list[Option] = []
            for letter in self._words[1].text:
                option = self._entry.options.get(f"-{letter}")
                if option is None:
                    self._doubt(f"has the letter {letter}, which is not known")
                elif option.kind is Kind.FLAG or option.attached_only:
                    self._give(option, None, 1)
                else:
                    waiting.append(option)
            for option in waiting:
                self._give(option, self._next(option.name), self._at - 1)

    def _option(self, word: Word) -> None:
        text = word.text
        if text == "--":
            self._at += 1
            self._ended = True
        elif NUMBER.match(text) and self._entry.numbers:
            self._at += 1
        elif self._program.style is Style.SINGLE and text[0] == "-":
            self._single(word)
        elif text.startswith("--"):
            self._long(word)
        elif text[0] not in "-+" and text not in self._entry.options:
            name, _, value = text.partition("=")
            self._at += 1
            self._give(self._entry.options[f"{name}="], Word.of(value), self._at - 1, f"{name}=")
        elif text in self._entry.options:
            self._at += 1
            self._take(self._entry.options[text], self._at - 1)
        else:
            self._cluster(word)

    def _long(self, word: Word) -> None:
        name, sign, value = word.text.partition("=")
        option = self._named(name)
        self._at += 1
        if option is None:
            self._unlisted(word)
        elif not sign:
            self._take(option, self._at - 1)
        elif option.kind is Kind.FLAG and not (self._program.style is Style.GO and value in BOOLEANS):
            self._doubt(f"gives {name} a value")
        elif option.kind is not Kind.FLAG or value not in OFF:
            self._give(option, _rest(word, len(name) + 1), self._at - 1, f"{name}=")

    def _single(self, word: Word) -> None:
        name, sign, value = word.text.partition("=")
        option = self._named(name) or self._named(f"-{name.lstrip('-')}") or self._named(f"--{name.lstrip('-')}")
        self._at += 1
        if option is None:
            self._unlisted(word)
        elif not sign:
            self._take(option, self._at - 1)
        elif option.kind is Kind.FLAG and value not in BOOLEANS:
            self._doubt(f"gives {name} a value")
        elif option.kind is not Kind.FLAG or value not in OFF:
            self._give(option, _rest(word, len(name) + 1), self._at - 1, f"{name}=")

    def _named(self, name: str) -> Option | None:
        options = self._entry.options
        if name in options:
            return options[name]
        listed, short = self._entry.others is Others.NO, self._program.abbreviates
        if len(name) < 2 + name.startswith("--") or (listed and not short):  # a dash, a letter
            return None
        found = {id(option): option for known, option in options.items() if known.startswith(name)}
        if len(found) == 1 and short:
            option = next(iter(found.values()))
            if listed:  # the program may know more options that begin so than the entry does
                self._doubt(f"has the option {name}, which may be short for {option.name} or for another")
            return option
        if not found:  # Perl's programs do not look at the case
            low = name.lower()
            found = {id(option): option for known, option in options.items() if known.lower().startswith(low)}
        # A beginning of several, or of one in another case, or where beginnings may not count at all: what can do the most,
        # where that is more than what the name would be without it.
        worst = max(found.values(), key=self._harm, default=None)
        return worst if worst and self._harm(worst) > (rank(CallClass.UNKNOWN) if listed else 0) else None

    def _harm(self, option: Option) -> int:
        raises = (*self._entry.raises, *self._entry.spread_raises)
        return max((rank(one.cls) for condition, one in raises if condition.option == option.name), default=0)

    def _cluster(self, word: Word) -> None:
        """-abc, -ofile and both at once."""
        text, sign = word.text, word.text[0]
        if HOLE in text or word.glob:
            self._doubt(f"{_shown(word)} may become another option")
        self._at += 1
        for place in range(1, len(text)):
            option = self._entry.options.get(sign + text[place])
            if option is None:
                if self._entry.others is Others.NO:
                    self._doubt(f"has the option {_shown(word)}, which is not known")
                    return
                continue
            if option.kind is Kind.FLAG:
                if text[place + 1 : place + 2] == "=" and self._program.style is Style.GO:
                    if text[place + 2 :] not in OFF:
                        self._give(option, None, self._at - 1)
                    return
                self._give(option, None, self._at - 1)
                continue
            skipped = place + 1 + (self._program.style is Style.GO and text[place + 1 : place + 2] == "=")
            if skipped < len(text):
                self._give(option, _rest(word, skipped), self._at - 1, text[:skipped])
            else:
                self._take(option, self._at - 1)
            return

    def _unlisted(self, word: Word) -> None:
        if word.text.startswith("-") and NUMBER.match(word.text) and self._entry.numbers:
            return
        self._meant(word)
        match self._entry.others:
            case Others.NO:
                self._doubt(f"has the option {_shown(word)}, which is not known")
            case Others.FLAGS:
                pass
            case Others.VALUES:
                if (
                    "=" not in word.text
                    and self._at < len(self._words)
                    and not self._words[self._at].text.startswith("-")
                ):
                    self._at += 1
            case Others.ANY:
                while (
                    "=" not in word.text
                    and self._at < len(self._words)
                    and not self._words[self._at].text.startswith("-")
                ):
                    self._at += 1

    def _meant(self, word: Word) -> None:
        """Options that an unlisted one may stand for, by its beginning or in other letters: their harm counts."""
        name, sign, value = word.text.partition("=")
        begun = {id(o): o for known, o in self._entry.options.items() if known.casefold().startswith(name.casefold())}
        after = self._words[self._at] if self._at < len(self._words) else None
        for option in sorted(begun.values(), key=_meant_first)[:MOST_MEANT]:
            if option.kind is Kind.FLAG:
                self.reading.given.append(Given(option, None, self._at - 1, guessed=True))
            elif option.kind not in {Kind.COMMAND, Kind.UNTIL}:
                meant = Word.of(value) if sign else after
                self.reading.given.append(Given(option, meant, self._at - 1, guessed=True))

    def _take(self, option: Option, at: int) -> None:
        """An option whose value, if it has one, is the next word."""
        if option.kind is Kind.FLAG or option.attached_only:
            self._give(option, None, at)
        elif option.kind is Kind.UNTIL:
            self._until(option, at)
        elif option.kind is Kind.COMMAND:
            words = tuple(self._words[self._at :])
            self._at = len(self._words)
            self._give(option, None, at + 1, words=words)
        else:
            self._give(option, self._next(option.name), self._at - 1)

    def _until(self, option: Option, at: int) -> None:
        began = self._at
        while self._at < len(self._words) and self._words[self._at].text not in {";", "+"}:
            self._at += 1
        if self._at == len(self._words):
            self._doubt(f"has no end for {option.name}")
        words = tuple(self._words[began : self._at])
        self._at += 1
        self._give(option, None, at + 1, words=words)

    def _next(self, name: str) -> Word | None:
        if self._at >= len(self._words):
            self._doubt(f"has no value for {name}")
            return None
        self._at += 1
        return self._words[self._at - 1]

    def _give(self, option: Option, value: Word | None, at: int, head: str = "", words: tuple[Word, ...] = ()) -> None:
        self.reading.given.append(Given(option, value, at, head, words))
        whole = self._words[at].text.lstrip("-") in {name.lstrip("-") for name in option.names} if not words else False
        if whole and value is None and any(name in self._entry.helps for name in option.names):
            self.reading.helped = True

    def _operand(self, word: Word) -> None:
        entry = self._entry
        if (entry.verbs or entry.patterns) and len(self.reading.operands) - self._before_verb == entry.verb_after:
            verb = self._verb(entry, word)
            if verb is not None:
                self._at += 1
                self._ended = False
                self.reading.entry = verb
                self.reading.path.append(verb)
                self._before_verb = len(self.reading.operands)
                return
            if entry.judgement is None:
                self._doubt(f"has the verb {_shown(word)}, which is not known")
                self._at += 1  # what follows may be the verb, where this was an unlisted option's value
                return
        if entry.stops:
            self._ended = True
        slot = self._slot_now(word)
        if slot is not None and slot.kind in TAKES_ALL:
            self.reading.placed.append(Placed(slot, word, self._at, tuple(self._words[self._at :])))
            self._at = len(self._words)
            return
        self.reading.operands.append((self._at, word))
        self._at += 1

    def _verb(self, entry: Entry, word: Word) -> Entry | None:
        if not word.known:
            return None
        text = word.text.lower() if entry.fold else word.text
        verbs = {name.lower(): verb for name, verb in entry.verbs.items()} if entry.fold else entry.verbs
        found = [(text, verbs[text])] if text in verbs else []
        if not found and entry.abbreviate_verbs and text:
            found = [(name, verb) for name, verb in verbs.items() if name.startswith(text)]
        if not found:
            found = [(pattern, verb) for pattern, verb in entry.patterns if _fits(text, pattern, fold=entry.fold)]
        if not found:
            return None
        name, verb = max(found, key=lambda one: _weight(one[1]))
        return replace(verb, name=f"{entry.name} {name}".strip())

    def _slots(self) -> list[Slot]:
        """The places for operands under the options given so far."""
        return [slot for slot in self.reading.entry.operands if slot.is_there(self.reading.has)]

    def _slot_now(self, word: Word) -> Slot | None:
        """The place that the next operand has, as far as that can be said without the words after it."""
        slots = self._slots()
        taken = len(self.reading.operands)
        for slot in slots:
            if slot.kind is Kind.ASSIGNS:
                if ASSIGNMENT.match(word.text):
                    return slot
                taken -= sum(1 for _, operand in self.reading.operands if ASSIGNMENT.match(operand.text))
            elif slot.many or taken <= 0:
                return slot
            else:
                taken -= 1
        return None

    def _place(self) -> None:
        """Every operand into its slot: from the left, from the right, the rest into the one that takes many."""
        slots = [slot for slot in self._slots() if slot.kind not in TAKES_ALL]
        operands = list(self.reading.operands)
        if self.reading.entry.verb_after:
            slots = [Slot(Kind.TEXT)] * self.reading.entry.verb_after + slots
        if slots and slots[0].kind is Kind.ASSIGNS:
            while operands and ASSIGNMENT.match(operands[0][1].text):
                at, word = operands.pop(0)
                self.reading.placed.append(Placed(slots[0], word, at))
            slots = slots[1:]
        many = next((place for place, slot in enumerate(slots) if slot.many), len(slots))
        right = slots[many + 1 :]
        for slot in reversed(right):
            if operands:
                at, word = operands.pop()
                self.reading.placed.append(Placed(slot, word, at))
        for place, (at, word) in enumerate(operands):
            if place < min(many, len(slots)):
                self.reading.placed.append(Placed(slots[place], word, at))
            elif many < len(slots):
                self.reading.placed.append(Placed(slots[many], word, at))
            else:
                self._doubt(f"has more operands than are known, from {_shown(word)} on")
                return


def _meant_first(option: Option) -> int:
    """Of many options with one beginning, those whose values can do harm are looked at."""
    return MEANT_FIRST.index(option.kind) if option.kind in MEANT_FIRST else len(MEANT_FIRST)


def _rest(word: Word, skipped: int) -> Word:
    """The end of a word, as a value of its own."""
    whole = Word.of(word.text[skipped:])
    return Word(whole.text, whole.shell, word.glob, fed=word.fed)


def _shown(word: Word) -> str:
    return word.text.replace(HOLE, "…")


def _fits(text: str, pattern: str, *, fold: bool) -> bool:
    return fnmatchcase(text, pattern.lower() if fold else pattern)


def _weight(entry: Entry) -> int:
    """Of several verbs that a beginning or a glob may mean, the worst is taken."""
    return max((rank(judgement.cls) for judgement in (entry.judgement, entry.bare) if judgement), default=0)
