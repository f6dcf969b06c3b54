"""The catalogue beside the real programs: bash for the words, each program's own help for its options."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bot.policy.commands.entries import Entry, Kind
from bot.policy.commands.lines import Line
from bot.policy.commands.shell import read_line
from tests.commands_house import examples, shipped_catalogue

BASH = shutil.which("bash")
HARNESS = "harness() { printf '%q ' \"$@\"; echo; }\nset -f\n"
PIECES = [
    *"ab-=/.,:@%+^~#!*?[]",
    "'",
    '"',
    "\\",
    " ",
    "  ",
    "\t",
    "'a b'",
    '"c d"',
    "\\ ",
    "\\'",
    '\\"',
    "\\\\",
    "-x",
    "--y=z",
    "é",
]


def passed(lines: list[str]) -> list[list[str]]:
    """The words that bash passes to a function, for each of `lines`; it finds no program and no home folder."""
    script = HARNESS + "\n".join(f"harness {line}" for line in lines)
    done = subprocess.run(
        [str(BASH), "--norc", "--noprofile", "-r"], input=script.encode(), capture_output=True, check=False, timeout=60,
        env={"PATH": "/nonexistent", "LC_ALL": "C.UTF-8"}, cwd="/",
    )  # fmt: skip
    assert not done.stderr, done.stderr.decode()
    return [unquoted(row) for row in done.stdout.decode().splitlines()]


def unquoted(row: str) -> list[str]:
    """What `printf %q` wrote, read by its own simple rules: backslashes, $'…' and ''."""
    words = re.findall(r"(?:\\.|\$'(?:\\.|[^'\\])*'|''|[^\s\\$'])+", row)
    return [_word(word) for word in words]


def _word(word: str) -> str:
    if word.startswith("$'"):
        inner = word[2:-1].encode().decode("unicode_escape")
        return inner.encode("latin-1").decode()
    return "" if word == "''" else re.sub(r"\\(.)", r"\1", word)


def words_of(line: Line) -> list[str] | None:
    """The words of one plain command without a home folder, else None."""
    if line.doubts or len(line.commands) != 1 or line.order != (0,):
        return None
    (simple,) = line.commands
    if simple.redirects or simple.assigns or any(word.tilde or "~" in word.text for word in simple.words):
        return None
    return [word.text for word in simple.words]


@pytest.mark.skipif(BASH is None, reason="bash is not installed")
def test_examples_have_the_words_that_bash_passes() -> None:
    found = [(command, words) for _, command in examples() if (words := words_of(read_line(command))) is not None]
    one_line = [(command, words) for command, words in found if "\n" not in command]
    assert len(one_line) > 50
    for (command, words), real in zip(one_line, passed([command for command, _ in one_line]), strict=True):
        assert words == real, command


@pytest.mark.slow
@pytest.mark.skipif(BASH is None, reason="bash is not installed")
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=12).map("".join), min_size=40, max_size=60))
def test_any_plain_line_has_the_words_that_bash_passes(lines: list[str]) -> None:
    found = [(line, words) for line in lines if (words := words_of(read_line(f"x {line}"))) is not None]
    assume(found)
    for (line, words), real in zip(found, passed([f"x {line}" for line, _ in found]), strict=True):
        assert words == real, line


@pytest.mark.slow
@pytest.mark.skipif(BASH is None, reason="bash is not installed")
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=12).map("".join), min_size=40, max_size=60))
def test_a_line_quoted_again_has_the_words_that_were_read(lines: list[str]) -> None:
    read = [read_line(f"x {line}") for line in lines]
    found = [(line, words) for line in read if (words := words_of(line)) is not None]
    assume(found)
    for (line, words), real in zip(found, passed([line.requoted(line.commands) for line, _ in found]), strict=True):
        assert words == real, line


def help_of(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin:/usr/sbin:/sbin", "HOME": "/nonexistent", "PAGER": "cat", "LC_ALL": "C"},
    )  # fmt: skip
    return done.stdout + done.stderr


Kinds = Iterator[tuple[str, str]]


def gnu(text: str) -> Kinds:
    """`-C, --directory=DIR   …`, `--color[=WHEN]`, `--[no-]message <message>`."""
    for line in text.splitlines():
        found = re.match(r"\s{1,8}(-[^\s,]+(?:,? -[^\s,]+)*(?: [<(\[][^\s]+| [A-Z][A-Z_]+)?)(?=\s{2,}|$)", line)
        if found is None:
            continue
        spec = found[1]
        if re.search(r"=[a-z]", spec):  # `-p, --indicator-style=slash`: short for one value of the long one
            yield from ((name, "flag") for name in re.findall(r"(?:^|[\s,])(-[A-Za-z0-9])(?=[\s,]|$)", spec))
            continue
        kind = "optional" if "[=" in spec else "value" if re.search(r"=| [<(A-Z\[]", spec) else "flag"
        for name in re.findall(r"(?:^|[\s,])(--?(?:\[no-\])?[A-Za-z0-9][\w-]*)", spec):
            yield name.replace("[no-]", ""), kind


def go(text: str) -> Kinds:
    """`-o, --output='':`, `--all=false:`."""
    for short, name, default in re.findall(r"^\s+(?:(-\w), )?(--[\w-]+)=(.*):$", text, re.MULTILINE):
        for spelling in filter(None, (short, name)):
            yield spelling, "flag" if default in {"true", "false"} else "value"


def single(text: str) -> Kinds:
    """`-out=path`, `-var 'foo=bar'`, `-json`."""
    for name, value in re.findall(r"^\s{2,4}(-[\w-]+)(=\S+| '[^']*'|)(?=\s{2,}|$)", text, re.MULTILINE):
        yield name, "flag" if value[1:] in {"true", "false", ""} else "value"


def finds(text: str) -> Kinds:
    """`-amin N -anewer FILE … -empty`, in the lists below the headings."""
    body = text.split("Normal options", 1)[-1].split("Valid arguments", 1)[0]
    for name, value in re.findall(r"(?<=\s)(-[a-z][\w]*)(?: ((?!-[a-z])[^\s;]+))?", body):
        yield (
            name,
            "value" if (value and (value.isupper() or value.startswith("["))) or value[:2] in {"N[", "[-"} else "flag",
        )


def declared(entry: Entry, name: str) -> str | None:
    option = entry.options.get(name)
    if option is None or option.kind in {Kind.UNTIL, Kind.COMMAND}:
        return None
    return "optional" if option.attached_only else "flag" if option.kind is Kind.FLAG else "value"


CASES: list[tuple[str, tuple[str, ...], Callable[[str], Kinds]]] = [
    ("tar", ("tar", "--help"), gnu),
    ("systemctl status", ("systemctl", "--help"), gnu),
    ("journalctl", ("journalctl", "--help"), gnu),
    ("ls", ("ls", "--help"), gnu),
    ("cp", ("cp", "--help"), gnu),
    ("sort", ("sort", "--help"), gnu),
    ("rm", ("rm", "--help"), gnu),
    ("cat", ("cat", "--help"), gnu),
    ("grep", ("grep", "--help"), gnu),
    ("find", ("find", "-help"), finds),
    *((f"git {verb}", ("git", verb, "-h"), gnu) for verb in ("branch", "push", "clean", "reset", "status", "ls-remote", "commit", "fetch")),
    *((f"kubectl {verb}", ("kubectl", *verb.split(), "--help"), go) for verb in ("get", "describe", "logs", "delete", "apply", "exec", "drain", "scale", "rollout status", "config view", "top pods", "cp", "wait", "patch", "create", "label", "port-forward", "auth can-i")),
    ("kubectl get", ("kubectl", "options"), go),
    *((f"terraform {verb}", ("terraform", *verb.split(), "-help"), single) for verb in ("plan", "apply", "show", "output", "fmt", "validate", "init", "state list", "state rm")),
]  # fmt: skip


@pytest.mark.parametrize(("where", "command", "reader"), CASES, ids=[" ".join(command) for _, command, _ in CASES])
def test_options_take_values_as_the_program_says(
    where: str, command: tuple[str, ...], reader: Callable[[str], Kinds]
) -> None:
    program, *verbs = where.split()
    if program not in shipped_catalogue().programs:
        pytest.skip(f"{program} is in no entry")
    entry = shipped_catalogue().programs[program].entry
    for verb in verbs:
        below = entry.verbs.get(verb)
        if below is None:
            break
        entry = below
    said = dict(reader(help_of(*command)))
    assert said, f"nothing read from the help of {command}"
    wrong = {
        name: f"the program says {kind}, the catalogue {known}"
        for name, kind in said.items()
        if (known := declared(entry, name)) is not None
        and known != kind
        # A switch of a Go program takes a value that is attached (-input=false), which their help does not tell.
        and not (reader in {go, single} and known == "optional")
    }
    assert not wrong
