"""From the catalogue as written to the catalogue as used: options by name, verbs by name, levels inherited."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache

from bot.domain.calls import CallClass
from bot.policy.commands.entries import (
    But,
    Condition,
    Entry,
    Kind,
    Option,
    Others,
    Program,
    Slot,
    Stdin,
    Style,
)
from bot.policy.commands.entry_file import ButFile, EntryFile, Examples, ProgramFile, judged
from bot.policy.problems import PolicyError

GLOB = frozenset("*?[")
ANYTHING = (Slot(Kind.TEXT, many=True),)
# The keys of an entry that declare options, and what the option's value is.
DECLARING = {
    "flags": Kind.FLAG,
    "values": Kind.TEXT,
    "optional": Kind.TEXT,
    "reads": Kind.READS,
    "writes": Kind.WRITES,
    "outputs": Kind.OUTPUTS,
    "removes": Kind.REMOVES,
    "sends": Kind.SENDS,
    "executes": Kind.EXECUTES,
    "shell": Kind.SHELL,
    "command": Kind.COMMAND,
    "until": Kind.UNTIL,
    "hosts": Kind.HOST,
}


@cache
def _option(
    names: tuple[str, ...], kind: Kind, *, attached_only: bool = False, language: str = "", target: str = ""
) -> Option:
    """One object for what many programs call the same: the catalogue has 40,000 options and 5,000 different ones."""
    return Option(names, kind, attached_only, language, target)


class Typing:
    """Makes the types of one program. `languages` are those that facts.yaml or a reader of ours knows."""

    def __init__(self, file: str, program: str, languages: frozenset[str]) -> None:
        self._file = file
        self._program = program
        self._languages = languages
        self._own: dict[int, dict[str, Option]] = {}  # options by the level that writes them: many verbs share one

    def program(self, written: ProgramFile) -> Program:
        """The typed program. Raises PolicyError, naming the place, for what contradicts itself."""
        style = written.style
        return Program(
            name=self._program,
            file=f"policies/{self._file}",
            also=tuple(written.also),
            style=style,
            abbreviates=style is Style.GNU if written.abbreviates is None else written.abbreviates,
            entry=self._entry(written, "", None),
            environment=frozenset(written.environment),
            match=tuple(_examples(written.match)),
            not_match=tuple(_examples(written.not_match)),
        )

    def _entry(self, written: EntryFile, name: str, above: Entry | None, spread: Entry | None = None) -> Entry:
        """One level. `above` is the level it stands in, `spread` the nearest one whose options hold here too."""
        own = self._own.get(id(written))
        if own is None:
            own = self._own[id(written)] = self._options(written, name)
        options: Mapping[str, Option] = {**spread.options, **own} if spread else own
        # A verb may mean something else by a letter that shows help above it.
        inherited = (above.helps if above else frozenset[str]()) - own.keys()
        helps = frozenset(written.helps) | inherited
        if not helps <= options.keys():
            options = {**{flag: _option((flag,), Kind.FLAG) for flag in helps}, **options}
        entry = Entry(
            name=name,
            judgement=judged(written.judged),
            bare=judged(written.bare),
            but=tuple(self._but(but, name, options) for but in written.but),
            raises=tuple(
                (self._condition(text, name, options), judgement.typed()) for text, judgement in written.raises.items()
            ),
            spread_raises=(*spread.raises, *spread.spread_raises) if spread else (),
            words=tuple((pattern, judgement.typed()) for pattern, judgement in written.words.items()),
            options=options,
            helps=helps,
            others=written.others or (above.others if above else Others.NO),
            operands=self._slots(written, name, options) or (above.operands if above else ANYTHING),
            stops=written.stops,
            numbers=written.numbers,
            bundle=written.bundle,
            verb_after=written.verb_after,
            fold=written.fold,
            abbreviate_verbs=written.abbreviate_verbs,
            stdin=self._stdin(written, name, options),
            appends=written.appends,
            network=written.network or bool(above and above.network),
            outermost=written.outermost,
            complete=written.complete or bool(above and above.complete),
            marker=tuple(self._known(option, name, options) for option in written.marker),
        )
        return self._with_verbs(entry, written, entry if written.spread else spread)

    def _with_verbs(self, entry: Entry, written: EntryFile, spread: Entry | None) -> Entry:
        if not written.verbs:
            return entry
        verbs: dict[str, Entry] = {}
        patterns: list[tuple[str, Entry]] = []
        for key, below in written.verbs.items():
            words = key.split()
            # One level for all words of a key: whoever reads a command gives it the name of the word that led there.
            verb = self._entry(below, f"{entry.name} {words[0]}".strip(), entry, spread)
            for word in words:
                if GLOB & set(word):
                    patterns.append((word, verb))
                elif word in verbs:
                    raise self._error(entry.name, f"the verb {word!r} stands twice", "Keep one of them")
                else:
                    verbs[word] = verb
        return replace(entry, verbs=verbs, patterns=tuple(patterns))

    def _options(self, written: EntryFile, name: str) -> dict[str, Option]:
        found: dict[str, Option] = {}
        for option in self._declared(written, name):
            for spelling in option.names:
                if not spelling.startswith(("-", "+")) and not spelling.endswith("="):
                    raise self._error(name, f"{spelling!r} is no option", "Begin it with a dash, or end it with =")
                if spelling in found:
                    raise self._error(name, f"the option {spelling} stands twice", "Keep one of them")
                found[spelling] = option
        return found

    def _declared(self, written: EntryFile, name: str) -> Iterator[Option]:
        for key, kind in DECLARING.items():
            for names in getattr(written, key):
                yield _option(tuple(names.split(",")), kind, attached_only=key == "optional")
        for language, options in written.code.items():
            self._language(language, name)
            for names in options:
                yield _option(tuple(names.split(",")), Kind.CODE, language=language)
        for target, options in written.names.items():
            for names in options:
                yield _option(tuple(names.split(",")), Kind.TEXT, target=target)

    def _but(self, written: ButFile, name: str, options: Mapping[str, Option]) -> But:
        return But(
            written.judged.typed(),
            tuple(self._condition(text, name, options) for text in written.given),
            tuple(self._condition(text, name, options) for text in written.absent),
            tuple(written.only),
        )

    def _condition(self, text: str, name: str, options: Mapping[str, Option]) -> Condition:
        """Of "--dry-run=client|server", "-X!=GET" or "--force". An option of words ("of=") has its sign twice."""
        option, sign, pattern = text.partition("=")
        if sign and not option.startswith(("-", "+")):
            option = f"{option}="
            sign, pattern = pattern[:1], pattern[1:]
        negated = option.endswith("!")
        patterns = tuple(pattern.split("|")) if sign else ()
        return Condition(self._known(option.removesuffix("!"), name, options), patterns, negated)

    def _known(self, option: str, name: str, options: Mapping[str, Option]) -> str:
        if option not in options:
            raise self._error(name, f"{option} is not declared here", "List it among flags, values, writes …")
        return options[option].name

    def _slots(self, written: EntryFile, name: str, options: Mapping[str, Option]) -> tuple[Slot, ...]:
        slots: list[Slot] = []
        for text in written.operands or ():
            what, *rest = text.split()
            kind, _, language = what.removesuffix("...").partition(":")
            if language:
                self._language(language, name)
            conditions = tuple(self._known(option, name, options) for option in rest[1:])
            given, unless = (conditions, ()) if rest[:1] == ["with"] else ((), conditions)
            slots.append(Slot(Kind(kind), what.endswith("..."), language, given, unless))
        always = [slot for slot in slots if slot.many and slot.kind is not Kind.ASSIGNS]
        if len(always) > 1 and not any(slot.given or slot.unless for slot in always):
            raise self._error(name, "more than one place takes many operands", "Leave one ... only")
        return tuple(slots)

    def _stdin(self, written: EntryFile, name: str, options: Mapping[str, Option]) -> Stdin | None:
        if written.stdin is None:
            return None
        self._language(written.stdin.code, name)
        given = tuple(self._known(option, name, options) for option in written.stdin.given)
        unless = tuple(self._known(option, name, options) for option in written.stdin.unless)
        return Stdin(written.stdin.code, written.stdin.always, given, unless)

    def _language(self, language: str, name: str) -> None:
        if language not in self._languages:
            known = ", ".join(sorted(self._languages))
            raise self._error(name, f"there is no language {language!r}", f"Known: {known}")

    def _error(self, name: str, wrong: str, mend: str) -> PolicyError:
        return PolicyError(self._file, f"{self._program} {name}".strip(), wrong, mend)


def _examples(written: Examples) -> Iterator[tuple[CallClass, str]]:
    for cls, commands in written.items():
        for command in commands:
            yield CallClass(cls), command
