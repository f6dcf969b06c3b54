"""What does not change what a command does never lowers its class; what is run is what was classified."""

import shlex
from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bot.domain.calls import CallClass
from bot.policy.commands.entries import Kind, Option, Program, Style, rank
from bot.policy.commands.shell import read_line
from tests.commands_house import examples, shipped, shipped_catalogue

CASES = 1500
quickly = settings(
    max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=,:@%+")
commands = st.sampled_from(examples())


def cls_of(command: str) -> CallClass:
    return shipped().classify(command).cls


def argvs(command: str) -> list[list[str]]:
    return [[word.text for word in simple.words] for simple in read_line(command).commands]


def plain_words(command: str) -> list[str] | None:
    """The words of an example that is one plain command without redirects, globs or a home folder; else None."""
    line = read_line(command)
    if len(line.commands) != 1 or line.order != (0,):
        return None
    simple = line.commands[0]
    if simple.redirects or simple.assigns or not all(word.known and not word.tilde for word in simple.words):
        return None
    return [word.text for word in simple.words]


def simple_words(command: str) -> list[str]:
    words = plain_words(command)
    assume(words is not None)
    return words or []


@st.composite
def quoted(draw: st.DrawFn, word: str) -> str:
    """One of the ways to write a word for a shell."""
    pieces: list[str] = []
    rest = word
    while rest or not pieces:
        size = draw(st.integers(1, max(1, len(rest))))
        piece, rest = rest[:size], rest[size:]
        match draw(st.sampled_from(["single", "double", "bare", "escaped"])):
            case "double" if not set(piece) & set('"\\$`!'):
                pieces.append(f'"{piece}"')
            case "bare" if piece and set(piece) <= SAFE and (pieces or piece[0] not in "=~"):
                pieces.append(piece)
            case "escaped" if piece and piece.isascii() and "\n" not in piece:
                pieces.append("".join(f"\\{character}" for character in piece))
            case _:
                pieces.append(shlex.quote(piece) if piece else "''")
    return "".join(pieces)


@pytest.mark.slow
@quickly
@given(commands, st.data())
def test_quotes_and_spaces_change_nothing(example: tuple[CallClass, str], data: st.DataObject) -> None:
    cls, command = example
    words = simple_words(command)
    again = data.draw(st.sampled_from(["", " ", "\t"])) + data.draw(st.sampled_from([" ", "  ", "\t", " \\\n "])).join(
        data.draw(quoted(word)) for word in words
    )
    assume("'" not in again or "\\\n" not in again)  # a doubt of its own, for a shell joins such lines in its own way
    if any(doubt.rule == "grammar: escaped blank" for doubt in read_line(again).doubts):
        assert not shipped().classify(again).runs_without_approval
        return
    assert argvs(again) == [words]
    assert cls_of(again) is cls


@pytest.mark.slow
@quickly
@given(commands, st.data())
def test_wrapping_never_lowers(example: tuple[CallClass, str], data: st.DataObject) -> None:
    cls, command = example
    wrappers = {
        "sudo": "sudo {}",
        "env": "env {}",
        "timeout": "timeout 5 {}",
        "nohup": "nohup {}",
        "nice": "nice -n 5 {}",
    }
    known = [wrapper for name, wrapper in wrappers.items() if name in shipped_catalogue().programs]
    wrapped = command
    for _ in range(data.draw(st.integers(1, 3))):
        way = data.draw(
            st.sampled_from(
                [*("ssh" for _ in range("ssh" in shipped_catalogue().programs)), "shell", "chain", "before", "words"]
            )
        )
        simple = len(read_line(wrapped).commands) == 1 and not read_line(wrapped).commands[0].assigns
        if way == "words" and simple:
            wrapped = data.draw(st.sampled_from(known)).format(wrapped)
        elif way == "shell":
            wrapped = f"bash -c {shlex.quote(wrapped)}"
        elif way == "ssh":
            wrapped = f"ssh web1 {shlex.quote(wrapped)}"
        elif way == "chain":
            wrapped = f"{wrapped}{data.draw(st.sampled_from(['; true', ' && true', ' || true', '; cat x']))}"
        else:
            wrapped = f"{data.draw(st.sampled_from(['true; ', 'true && ', 'cat x | cat; ']))}{wrapped}"
    assert rank(cls_of(wrapped)) >= rank(cls)


@pytest.mark.slow
@quickly
@given(
    commands,
    st.sampled_from(["/usr/bin/", "/bin/", "/usr/sbin/", "/usr/local/bin/", "/bin/../usr/bin/", "./", "/tmp/"]),
)
def test_a_path_before_the_program_never_lowers(example: tuple[CallClass, str], prefix: str) -> None:
    cls, command = example
    words = simple_words(command)
    assume("/" not in words[0])
    assert rank(cls_of(shlex.join([prefix + words[0], *words[1:]]))) >= rank(cls)


def entry_option(program: Program, word: str) -> Option | None:
    return program.entry.options.get(word.partition("=")[0])


@cache
def options_of(program: str) -> frozenset[str]:
    """Every option that some level of the program knows."""
    known = shipped_catalogue().programs.get(program)
    found: set[str] = set()
    levels = [known.entry] if known else []
    while levels:
        level = levels.pop()
        found |= level.options.keys()
        levels += [*level.verbs.values(), *(verb for _, verb in level.patterns)]
    return frozenset(found)


def spellings(option: str) -> Iterator[str]:
    """Every other way in which a program may take a long option: in other letters, by each of its beginnings."""
    yield from (option.upper(), option.title())
    yield from (option[:length] for length in range(3, len(option)))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_other_spellings_of_long_options_never_lower(part: int) -> None:
    """Each of every example; there are some thousand."""
    lowered: list[str] = []
    tried = 0
    for cls, command in examples()[part::4]:
        words = plain_words(command) or []
        for at, word in enumerate(words):
            name, sign, value = word.partition("=")
            if not word.startswith("--") or len(word) <= 3:
                continue
            # A beginning that is another option's whole name is that option: `tar --checkpoint` and `--checkpoint-action`.
            others = options_of(words[0].rpartition("/")[2]) - {name}
            for spelling in spellings(name):
                if spelling in others or "--help".startswith(spelling):
                    continue
                tried += 1
                said = shlex.join([*words[:at], spelling + sign + value, *words[at + 1 :]])
                if rank(cls_of(said)) < rank(cls):
                    lowered.append(said)
    assert not lowered
    assert tried > 500


@pytest.mark.slow
@quickly
@given(commands, st.randoms(use_true_random=False), st.data())
def test_flags_may_stand_anywhere_among_operands(
    example: tuple[CallClass, str], random: object, data: st.DataObject
) -> None:
    del random
    cls, command = example
    words = simple_words(command)
    program = shipped_catalogue().programs.get(words[0])
    assume(program is not None and program.style is Style.GNU and not program.entry.verbs and not program.entry.stops)
    assert program is not None
    assume(not any(slot.kind in {Kind.COMMAND, Kind.REMOTE} for slot in program.entry.operands) and "--" not in words)
    assume(not program.entry.bundle)
    flags = [
        at for at, word in enumerate(words) if (option := entry_option(program, word)) and option.kind is Kind.FLAG
    ]
    valued = {at + 1 for at, word in enumerate(words) if (o := entry_option(program, word)) and o.kind is not Kind.FLAG and "=" not in word}  # fmt: skip
    assume(flags and not valued & set(flags) and all(len(word) == 2 or word.startswith("--") or not word.startswith("-") for word in words))  # fmt: skip
    moved = words.pop(data.draw(st.sampled_from(flags)))
    assume(not any((o := entry_option(program, word)) and o.kind is not Kind.FLAG for word in words))
    words.insert(data.draw(st.integers(1, len(words))), moved)
    assert cls_of(shlex.join(words)) is cls


@pytest.mark.slow
@quickly
@given(
    st.lists(commands, min_size=1, max_size=4),
    st.lists(st.sampled_from([" | ", " && ", " || ", "; "]), min_size=3, max_size=3),
)
def test_what_would_run_is_what_was_classified(several: list[tuple[CallClass, str]], joins: list[str]) -> None:
    line = "".join(f"{command}{join}" for (_, command), join in zip(several[:-1], joins, strict=False)) + several[-1][1]
    answer = shipped().classify(line)
    assume(answer.line)
    again = shipped().classify(answer.line)
    assert again.cls is answer.cls
    assert again.argv == answer.argv
    assert again.line == answer.line
    assert tuple(tuple(words) for words in argvs(answer.line)) == answer.argv


@quickly
@given(st.text(alphabet=st.characters(), max_size=60))
def test_any_text_has_an_answer(text: str) -> None:
    answer = shipped().classify(text)
    assert answer.reason
    assert answer.rule
    if answer.runs_without_approval:
        assert shipped().classify(answer.line).cls == "read"


PIECES = [
    *"'\"\\$`(){}[]|&;<>*?~#!= \n\t",
    "cat",
    "rm",
    "-rf",
    "/",
    "x",
    "$(",
    "<<E",
    "\nE\n",
    "bash -c ",
    "2>&1",
    "/etc/shadow",
]


@pytest.mark.slow
@quickly
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_shell_like_text_has_an_answer_that_stays(text: str) -> None:
    answer = shipped().classify(text)
    if answer.line:
        assert shipped().classify(answer.line).cls is answer.cls
        assert shipped().classify(answer.line).line == answer.line
