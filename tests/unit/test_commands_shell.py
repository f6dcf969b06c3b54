"""From text to words: the strict grammar, and what is seen outside of it."""

import pytest

from bot.policy.commands.byte_check import LONGEST
from bot.policy.commands.lines import HOLE
from bot.policy.commands.shell import SEGMENTS, WORDS, read_line


def words(text: str) -> list[list[str]]:
    line = read_line(text)
    assert not line.doubts, line.doubts
    return [[word.text for word in simple.words] for simple in line.commands]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ls -la", [["ls", "-la"]]),
        ("ls\t-la  ", [["ls", "-la"]]),
        ("a 'b c' \"d e\" f\\ g", [["a", "b c", "d e", "f g"]]),
        ("a b'c'\"d\"e", [["a", "bcde"]]),
        ("a ''", [["a", ""]]),
        ('a "x\\"y\\$z\\n"', [["a", 'x"y$z\\n']]),
        ("a | b && c || d; e\n", [["a"], ["b"], ["c"], ["d"], ["e"]]),
        ("# first\na # last\n# end", [["a"]]),
        ("! grep x f", [["grep", "x", "f"]]),
        ("echo a=b c", [["echo", "a=b", "c"]]),
        ("find . -exec x {} +", [["find", ".", "-exec", "x", "{}", "+"]]),
        ("a \\\n  b", [["a", "b"]]),
        ("pri\\\nntf x", [["printf", "x"]]),
        ("echo 'ünïcode' \"删除\"", [["echo", "ünïcode", "删除"]]),
        ("2>/dev/null ls a 3>&1 b", [["ls", "a", "b"]]),
        ("ls 2>/dev/null x y", [["ls", "x", "y"]]),
    ],
)
def test_words_are_what_a_shell_would_pass(text: str, expected: list[list[str]]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("ls   -l|grep  x", "ls -l | grep x"),
        ("a;b;c&&d", "a; b; c && d"),
        ('cat "a b" *.log ~/x', "cat 'a b' *.log ~/x"),
        ("ls 2>&1 >/dev/null <in", "ls 2>&1 > /dev/null < in"),
        ("A=b ls 'x'", "A=b ls x"),
        ("! a | b", "! a | b"),
    ],
)
def test_a_line_is_quoted_again_in_one_way(text: str, again: str) -> None:
    line = read_line(text)
    assert line.requoted(line.commands) == again
    second = read_line(again)
    assert second.requoted(second.commands) == again


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("echo $x", "grammar: simple_expansion"),
        ("echo ${x:-y}", "grammar: expansion"),
        ("echo $(ls)", "grammar: command_substitution"),
        ("echo `ls`", "grammar: command_substitution"),
        ("cat <(ls)", "grammar: process_substitution"),
        ("echo $((1+1))", "grammar: arithmetic_expansion"),
        ("for a in b; do ls; done", "grammar: for_statement"),
        ("while ls; do id; done", "grammar: while_statement"),
        ("if ls; then id; fi", "grammar: if_statement"),
        ("f() { ls; }", "grammar: function_definition"),
        ("{ ls; }", "grammar: compound_statement"),
        ("(ls)", "grammar: subshell"),
        ("[ -f x ]", "grammar: test_command"),
        ("x=1", "grammar: variable_assignment"),
        ("export x=1", "grammar: declaration_command"),
        ("cat <<E\nx\nE", "grammar: heredoc_redirect"),
        ("cat <<< x", "grammar: herestring_redirect"),
        ("echo $'a'", "grammar: ansi_c_string"),
        ("ls {a,b}", "grammar: concatenation"),
        ("ls &", "grammar: &"),
        ("ls\nid", "grammar: lines"),
        ("ls |& cat", "grammar: |&"),
        ("ls 'a", "grammar: error"),
        ("ls {fd}<x", "grammar: file descriptor"),
        ("1A=2 ls", "grammar: assignment"),
        ("   ", "grammar"),
    ],
)
def test_what_is_outside_the_grammar_is_a_doubt(text: str, rule: str) -> None:
    assert rule in {doubt.rule for doubt in read_line(text).doubts}


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("echo $(rm x)", "rm x"),
        ('echo "a `rm x` b"', "rm x"),
        ("cat <(rm x)", "rm x"),
        ("echo ${x:-$(rm x)}", "rm x"),
        ("for a in b; do rm x; done", "rm x"),
        ("if ls; then rm x; fi", "rm x"),
        ("case a in b) rm x;; esac", "rm x"),
        ("until rm x; do :; done", "rm x"),
        ("f() { rm x; }; f", "rm x"),
        ("{ rm x; }", "rm x"),
        ("(rm x) > y", "rm x"),
        ("cat <<E\n$(rm x)\nE", "rm x"),
        ("cat <<E\n`rm x`\nE", "rm x"),
        ("cat <<E | rm x\na\nE", "rm x"),
        ("x=$(rm x)", "rm x"),
        ("export a=$(rm x)", "rm x"),
        ("[[ $(rm x) ]]", "rm x"),
        ("((1)) && rm x", "rm x"),
        ("ls & rm x", "rm x"),
        ("echo $((a[$(rm x)]))", "rm x"),
    ],
)
def test_commands_are_found_wherever_they_stand(text: str, inside: str) -> None:
    line = read_line(text)
    assert line.doubts
    assert inside in [simple.shell for simple in line.commands]


def test_a_value_given_in_the_same_line_is_known_later_in_it() -> None:
    line = read_line("d=/dev/sda; dd of=$d")
    assert [word.text for word in line.commands[-1].words] == ["dd", "of=/dev/sda"]


def test_what_is_only_known_at_run_time_is_a_hole() -> None:
    line = read_line("rm -rf $x a$(y)b {c,d}")
    assert [word.text for word in line.commands[-1].words if word.text[:1] != "y"][2:] == [HOLE, f"a{HOLE}b", HOLE]


@pytest.mark.parametrize(
    "character",
    ["\0", "\r", "\v", "\f", "\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\u200b", "\ufeff", "\ud800", HOLE],
)
def test_characters_that_hide_are_refused(character: str) -> None:
    (doubt,) = read_line(f"ls {character}x").doubts
    assert (doubt.cls, doubt.rule) == ("forbidden", "bytes")
    assert f"U+{ord(character):04X}" in doubt.reason


@pytest.mark.parametrize(
    "text", ["rm\u00a0-rf /", "rm \u2013rf /", "\u0433m -rf /", "systemctl st\u043ep x", "rm \u2212rf /", "\uff52m x"]
)
def test_letters_that_look_like_others_are_refused(text: str) -> None:
    assert ("forbidden", "bytes: look-alike") in {(doubt.cls, doubt.rule) for doubt in read_line(text).doubts}


def test_other_languages_may_be_spoken_in_quotes() -> None:
    assert not read_line("echo 'Ελληνικά – русский'").doubts


@pytest.mark.parametrize(
    "text",
    [
        "x" * (LONGEST + 1),
        ";".join(["a"] * (SEGMENTS + 1)),
        "|".join(["a"] * 2000),
        "a " * (WORDS + 1),
        "a=b " * 2000 + "c",
    ],
)
def test_what_is_too_long_to_be_understood_is_refused(text: str) -> None:
    assert "forbidden" in {doubt.cls for doubt in read_line(text).doubts}


@pytest.mark.parametrize(
    "text", ["$(" * 1500 + "ls" + ")" * 1500, "echo " + '"$(' * 900 + "x" + ')"' * 900, "{ " * 2000, "(" * 4000]
)
def test_what_is_nested_too_deep_is_no_recursion_error(text: str) -> None:
    assert read_line(text).doubts
