"""Judges a command line: each command by its program's entry, each path by the facts, each inner command again."""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.domain.calls import CallClass, Target
from bot.policy.commands.catalogue import Catalogue
from bot.policy.commands.code import Code, judge_code
from bot.policy.commands.effects import environment_findings, option_findings
from bot.policy.commands.entries import Entry, Kind, Program, Stdin
from bot.policy.commands.feeding import candidates, fill, folder_after, sent
from bot.policy.commands.files import FOUND, Around, FileEffects
from bot.policy.commands.findings import Finding, Found
from bot.policy.commands.grammar import Given, Grammar, Placed, Reading
from bot.policy.commands.lines import HOLE, Line, Simple, Word
from bot.policy.commands.paths import PathFacts
from bot.policy.commands.shell import read_line

DEEPEST = 8
MOST_SCANNED = 24
SYSTEM_FOLDERS = frozenset(
    f"{root}{name}" for root in ("", "/usr", "/usr/local", "/opt/homebrew", "/snap") for name in ("/bin", "/sbin")
)
SERVICES = "/etc/init.d"
NETWORK_FILES = ("/dev/tcp/", "/dev/udp/")
# A program that takes these from another command runs whatever that one writes.
INTERPRETED = frozenset({"shell", "python", "perl", "ruby", "javascript", "php", "lua", "tcl"})
VARIABLE = "${HOLE}"


@dataclass(frozen=True, slots=True)
class Judged:
    """A command line as it may be run: `text` quoted again, `plain` where all of it was understood."""

    line: Line
    commands: tuple[Simple, ...]

    @property
    def plain(self) -> bool:
        return not self.line.doubts

    @property
    def text(self) -> str:
        return self.line.requoted(self.commands)


class Judge:
    """Judges with one catalogue. What it finds goes into the `Found` that each call brings."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._programs = catalogue.programs
        self._facts = catalogue.facts
        self.files = FileEffects(PathFacts(catalogue.facts))
        self.environment = catalogue.facts.environment

    def line(self, text: str, around: Around, found: Found, outer: Simple | None = None) -> Judged:
        """Every command of `text`, in order. What `outer` has on its stdin, the commands in it may read."""
        if around.depth > DEEPEST:
            found.add(CallClass.FORBIDDEN, text[:60], "depth", "is nested too deep to be understood")
            return Judged(Line(doubts=()), ())
        line = read_line(text)
        found.findings.extend(Finding.of_doubt(doubt) for doubt in line.doubts)
        commands: list[Simple] = []
        sensitive: set[int] = set()
        around = replace(around, started=False)
        for simple in line.commands:
            began = len(found.findings)
            commands.append(self.simple(_fed_by(simple, outer), around, found).without_stdin_of(simple))
            if any(finding.cls is CallClass.SENSITIVE_READ for finding in found.findings[began:]):
                sensitive.add(id(simple))
            if simple.feeds and any(id(feed) in sensitive for feed in simple.feeds):
                self._leaks(simple, found)
            around = replace(around, folder=folder_after(simple, around.folder))
        return Judged(line, tuple(commands))

    def simple(self, simple: Simple, around: Around, found: Found) -> Simple:
        """One command. Returns it with the inner command lines that were understood quoted again."""
        for redirect in simple.redirects:
            if redirect.target is not None:
                self._redirect(redirect.operator, redirect.target, simple, around, found)
        if not simple.words:
            return simple
        name = simple.words[0]
        if HOLE in name.text or name.glob:
            reason = "runs a program whose name is only known when it runs"
            found.add(CallClass.FORBIDDEN, simple.shown, "grammar: computed program", reason)
            return self._scan(simple, around, found)
        program, judged_words = self._program(simple, found)
        findings = environment_findings(simple, program, self.environment)
        for finding, command in findings:
            found.findings.append(finding)
            if command is not None:
                self.line(command, replace(around, depth=around.depth + 1), found)
        if program is None:
            found.add(
                CallClass.UNKNOWN,
                simple.shown,
                "catalogue",
                f"runs {name.text}, which is in no entry of policies/commands",
            )
            return self._scan(simple, around, found)
        return self._entered(program, simple, judged_words, around, found)

    def knows(self, name: str) -> bool:
        return name in self._programs

    def _program(self, simple: Simple, found: Found) -> tuple[Program | None, tuple[Word, ...]]:
        """The program by the first word, and the words to read with it."""
        text = simple.words[0].text
        folder, _, base = posixpath.normpath(text).rpartition("/") if "/" in text else ("", "", text)
        if folder == SERVICES and "service" in self._programs:
            return self._programs["service"], (Word.of("service"), Word.of(base), *simple.words[1:])
        if "/" in text and folder not in SYSTEM_FOLDERS:
            found.add(
                CallClass.UNKNOWN, simple.shown, "program's folder", f"runs {text}, which is in no folder of the system"
            )
        program = self._programs.get(base)
        if program is None and base.lower() in self._programs:
            found.add(
                CallClass.UNKNOWN,
                simple.shown,
                "program's name",
                f"runs {base}, which is not {base.lower()} everywhere",
            )
            program = self._programs[base.lower()]
        return program, simple.words

    def _entered(
        self, program: Program, simple: Simple, words: tuple[Word, ...], around: Around, found: Found
    ) -> Simple:
        reading = Grammar(program, words).read()
        rule = program.rule(reading.entry.name)
        if program.entry.outermost and around.started:
            found.add(CallClass.UNKNOWN, simple.shown, rule, "takes rights where another program starts it")
        for doubt in reading.doubts:
            found.add(CallClass.UNKNOWN, simple.shown, rule, doubt)
        if reading.helped and not reading.doubts:
            found.add(CallClass.READ, simple.shown, rule, "only shows help")
            return simple
        found.findings.extend(option_findings(program, reading, simple))
        if reading.doubts:
            self._scan(simple, around, found)
        inside = _Inside(self, program, simple, words, reading, around, found)
        inside.judge()
        return simple.with_words(inside.words) if words is simple.words else simple

    def _redirect(self, operator: str, target: Word, simple: Simple, around: Around, found: Found) -> None:
        if target.text.startswith(NETWORK_FILES):
            found.add(CallClass.FORBIDDEN, simple.shown, "grammar: redirect", "connects the shell to another machine")
        elif operator == "<":
            self.files.reads(target, simple.shown, around, found)
        else:
            self.files.writes(target, simple.shown, "grammar: redirect", around, found)

    def code(self, language: str, word: Word, simple: Simple, around: Around, found: Found) -> str | None:
        """Code given as text. Returns a shell line quoted again where it was understood."""
        if language == "shell":
            if not word.text.strip(HOLE) and word.text:
                found.add(
                    CallClass.FORBIDDEN,
                    simple.shown,
                    "grammar: computed code",
                    "runs text that is only known when it runs",
                )
                return None
            inner = self.line(word.text.replace(HOLE, VARIABLE), replace(around, depth=around.depth + 1), found, simple)
            return inner.text if inner.plain and word.known else None
        if HOLE in word.text:
            found.add(CallClass.UNKNOWN, simple.shown, f"code: {language}", "runs code that is only known when it runs")
        code: Code = judge_code(language, word.text, self._facts.languages.get(language, ()))
        for judgement in code.judgements:
            found.findings.append(Finding.of(judgement, simple.shown, f"code: {language}"))
        for command in code.commands:
            self.line(command, replace(around, depth=around.depth + 1), found)
        for path in code.reads:
            self.files.reads(Word.of(path), simple.shown, around, found)
        for path in code.writes:
            self.files.writes(Word.of(path), simple.shown, f"code: {language}", around, found)
        return None

    def _leaks(self, simple: Simple, found: Found) -> None:
        """A command that talks to other machines, fed with what must not leave this one."""
        program, words = self._program(simple, Found()) if simple.words else (None, ())
        if program is not None and Grammar(program, words).read().entry.network:
            reason = "sends away what the command before it reads"
            found.add(CallClass.FORBIDDEN, simple.shown, program.rule("network"), reason)

    def _scan(self, simple: Simple, around: Around, found: Found) -> Simple:
        """Harm among the words of a command that is not understood: a command in it, or a command line in one word."""
        if around.scanning or around.depth >= DEEPEST:
            return simple
        seen = Found()
        below = replace(around, depth=around.depth + 1, scanning=True)
        for at, word in enumerate(simple.words[1 : 1 + MOST_SCANNED], 1):
            base = word.text.rpartition("/")[2]
            if base in self._programs:
                self.simple(Simple(simple.words[at:]), below, seen)
            elif " " in word.text and word.text.split()[0].rpartition("/")[2] in self._programs and word.known:
                self.line(word.text, below, seen)
        worst = seen.worst()
        if worst is not None and worst.cls in {CallClass.DESTROY, CallClass.FORBIDDEN} and worst.rule != "depth":
            found.add(CallClass.DESTROY, simple.shown, worst.rule, f"holds a command that {worst.reason}")
        return simple


def _fed_by(simple: Simple, outer: Simple | None) -> Simple:
    """The command with the stdin of the one around it, where it has none of its own."""
    if outer is None or simple.feeds or simple.stdin is not None:
        return simple
    return replace(simple, feeds=outer.feeds, stdin=outer.stdin)


class _Inside:
    """What options and operands of one command do. Kept apart from Judge for its state: the words, which it rewrites."""

    def __init__(
        self,
        judge: Judge,
        program: Program,
        simple: Simple,
        words: tuple[Word, ...],
        reading: Reading,
        around: Around,
        found: Found,
    ) -> None:
        self._judge = judge
        self._program = program
        self._simple = simple
        self._shown = simple.shown
        self._reading = reading
        self._around = around
        self._found = found
        self.words = words

    def judge(self) -> None:
        for given in self._reading.given:
            self._option(given)
        for placed in self._reading.placed:
            self._operand(placed)
        entries = [entry for entry in reversed(self._reading.path) if entry.stdin is not None]
        if entries and entries[0].stdin is not None:
            self._stdin(entries[0].stdin)
        if self._reading.entry.appends and not any(placed.words for placed in self._reading.placed):
            return

    def _rule(self, *parts: str) -> str:
        return self._program.rule(self._reading.entry.name, *parts)

    def _option(self, given: Given) -> None:
        option = given.option
        if option.target and given.value is not None and given.value.known:
            self._found.targets.append(Target(option.target, given.value.text))
        if option.kind in {Kind.COMMAND, Kind.UNTIL}:
            self._command(given.words, given.at)
        elif given.value is not None:
            self._value(option.kind, option.language, given.value, given.at, given.head, option.name)

    def _operand(self, placed: Placed) -> None:
        slot = placed.slot
        if slot.kind is Kind.COMMAND:
            self._command(placed.words, placed.at)
        elif slot.kind is Kind.REMOTE:
            self._remote(placed.words, placed.at)
        else:
            self._value(slot.kind, slot.language, placed.word, placed.at, "", "")

    def _value(self, kind: Kind, language: str, word: Word, at: int, head: str, name: str) -> None:
        judge, around, found, segment = self._judge, self._around, self._found, self._shown
        match kind:
            case Kind.READS:
                judge.files.reads(word, segment, around, found)
            case Kind.WRITES:
                judge.files.writes(word, segment, self._rule(name), around, found)
            case Kind.OUTPUTS:
                judge.files.outputs(word, segment, self._rule(name), around, found)
            case Kind.REMOVES:
                judge.files.removes(word, segment, around, found)
            case Kind.SENDS:
                for path in sent(word):
                    judge.files.reads(path, segment, around, found, CallClass.FORBIDDEN)
            case Kind.EXECUTES:
                self._executes(word, name)
            case Kind.SHELL:
                self._rewrite(at, head, judge.code("shell", word, self._simple, around, found))
            case Kind.CODE:
                self._rewrite(at, head, judge.code(language, word, self._simple, around, found))
            case Kind.HOST:
                self._host(word)
            case Kind.IMAGE:
                self._image(word, at)
            case Kind.ASSIGNS:
                self._assigns(word)
            case Kind.COMMAND | Kind.UNTIL | Kind.REMOTE:
                self._command((word,), at)
            case Kind.TEXT | Kind.FLAG:
                pass

    def _rewrite(self, at: int, head: str, line: str | None) -> None:
        if line is not None:
            self.words = (*self.words[:at], Word.of(head + line), *self.words[at + 1 :])

    def _executes(self, word: Word, name: str) -> None:
        computed = HOLE in word.text and not word.fed
        cls = CallClass.FORBIDDEN if computed else CallClass.UNKNOWN
        what = "runs code that is only known when it runs" if computed else f"runs {word.text}, which is not read here"
        self._found.add(cls, self._shown, self._rule(name), what.replace(HOLE, "…"))

    def _host(self, word: Word) -> None:
        if word.text.startswith("-"):
            self._found.add(CallClass.UNKNOWN, self._shown, self._rule(), "has a host that is an option")
        elif word.known:
            self._found.targets.append(Target("host", word.text.rpartition("@")[2]))

    def _image(self, word: Word, at: int) -> None:
        """A container whose image is named after a program most likely runs it, with the words after the image."""
        name = word.text.rpartition("/")[2].partition("@")[0].partition(":")[0]
        if self._judge.knows(name):
            words = tuple(after for placed in self._reading.placed for after in placed.words if placed.at > at)
            self._judge.simple(Simple((Word.of(name), *words)), self._below(), self._found)

    def _assigns(self, word: Word) -> None:
        name, _, value = word.text.partition("=")
        simple = replace(self._simple, assigns=((name.rstrip("+"), Word.of(value)),))
        for finding, command in environment_findings(simple, self._program, self._judge.environment):
            self._found.findings.append(finding)
            if command is not None:
                self._judge.line(command, self._below(), self._found)

    def _below(self, fed: tuple[str, ...] = ()) -> Around:
        return replace(self._around, depth=self._around.depth + 1, fed=fed or self._around.fed)

    def _command(self, words: Sequence[Word], at: int) -> None:
        """An inner command, word by word; with what the outer one puts into it."""
        if words and words[0].text == "--":
            words, at = words[1:], at + 1
        entry = self._reading.entry
        fed: tuple[str, ...] = ()
        inner = tuple(words)
        if any("{}" in word.text for word in words) or entry.appends:
            fed = candidates(self._simple)
            inner = self._filled(inner, entry)
        if not inner:
            return
        if self._around.depth >= DEEPEST:
            self._found.add(CallClass.FORBIDDEN, self._shown, "depth", "is nested too deep to be understood")
            return
        # xargs reads its stdin itself; whatever else is started reads on from there.
        command = Simple(inner) if entry.appends else _fed_by(Simple(inner), self._simple)
        started = replace(self._below(fed), started=not self._reading.entry.outermost)
        judged = self._judge.simple(command, started, self._found)
        if judged.words == inner:
            return
        if inner == tuple(words):
            self.words = (*self.words[:at], *judged.words, *self.words[at + len(words) :])
        else:  # the line would have to be quoted again around what is only known when it runs
            reason = "puts what another command finds beside a command line"
            self._found.add(CallClass.UNKNOWN, self._shown, self._rule(), reason)

    def _filled(self, words: tuple[Word, ...], entry: Entry) -> tuple[Word, ...]:
        """Holes where another command's output or a file's name goes."""
        marks = [
            given.value.text if given.value else "{}"
            for given in self._reading.given
            if given.option.name in entry.marker
        ]
        marks = marks or (["{}"] if not entry.marker or (entry.name == "" and not entry.appends) else [])
        filled = tuple(fill(word, marks, HOLE if entry.appends else FOUND) for word in words)
        if entry.appends and not (marks and any(word.fed for word in filled)):
            return (*filled, Word(HOLE, HOLE, fed=True))
        return filled

    def _remote(self, words: Sequence[Word], at: int) -> None:
        """Words that a shell elsewhere reads again: one command line, sent as one word that is quoted for that shell."""
        text = " ".join(word.text for word in words)
        line = self._judge.code(
            "shell", Word(text, "", glob=any(word.glob for word in words)), self._simple, self._below(), self._found
        )
        if line is not None:
            self.words = (*self.words[:at], Word.of(line))

    def _stdin(self, stdin: Stdin) -> None:
        reading, simple = self._reading, self._simple
        if reading.has(stdin.unless):
            return
        read = stdin.always or reading.has(stdin.given) or not reading.operands or any(
            word.text == "-" for _, word in reading.operands
        )  # fmt: skip
        if not read or any(placed.words for placed in reading.placed):
            return
        if simple.stdin is not None:
            self._judge.code(stdin.language, simple.stdin, simple, self._below(), self._found)
            self._found.add(CallClass.UNKNOWN, self._shown, self._rule(), "runs the text that it is given")
        elif simple.feeds and stdin.language in INTERPRETED:
            self._found.add(CallClass.FORBIDDEN, self._shown, self._rule(), "runs whatever another command writes")
        elif simple.feeds or any(redirect.operator == "<" for redirect in simple.redirects):
            self._found.add(CallClass.UNKNOWN, self._shown, self._rule(), "runs code that is not read here")
