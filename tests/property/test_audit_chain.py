"""The exported audit record: whatever is done to one line of it is found, and the line is named."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bot.audit_chain import Head, chained, check, head_of, line_of, main, said

MODULE = Path(__file__).resolve().parents[2] / "bot" / "audit_chain.py"
FACTS = st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=12) | st.none(), max_size=3)
RECORDS = st.lists(FACTS, min_size=1, max_size=9)


def record(facts: list[dict[str, object]], prev: str = "", first: int = 1) -> list[bytes]:
    lines: list[bytes] = []
    for number, fact in enumerate(facts, first):
        event = json.dumps({"kind": "call.allowed", "mission": "7", "who": "builder", "facts": fact})
        hash_ = chained(prev, 1_790_000_000_000 + number, event)
        lines.append(line_of(number, 1_790_000_000_000 + number, prev, hash_, event).encode() + b"\n")
        prev = hash_
    return lines


def head(lines: list[bytes]) -> Head:
    return head_of(f"{len(lines)}:{json.loads(lines[-1])['hash']}")


def named(wrong: list[str]) -> set[int]:
    return {int(number) for text in wrong for number in re.findall(r"^(?:after )?line (\d+)", text)}


@given(RECORDS)
def test_a_sound_record_holds_and_says_what_was_not_checked(facts: list[dict[str, object]]) -> None:
    lines = record(facts)
    found = check(lines)
    assert (found.wrong, found.count, found.unchecked) == ([], len(facts), "truncation, whole rewrite")
    assert check(lines, [head(lines)]).unchecked == ""
    assert check(lines, [head(lines[:1]), head(lines)]).wrong == []
    if len(lines) > 1:
        assert check(lines, [head(lines[:1])]).unchecked == "truncation, whole rewrite after event 1, the newest head"


@given(RECORDS, st.data())
def test_any_one_byte_that_is_altered_is_found_in_its_line(facts: list[dict[str, object]], data: st.DataObject) -> None:
    lines = record(facts)
    at = data.draw(st.integers(0, len(lines) - 1))
    place = data.draw(st.integers(0, len(lines[at]) - 1))
    new = data.draw(st.binary(max_size=2))
    altered = lines[at][:place] + new + lines[at][place + 1 :]
    assume(altered != lines[at])
    found = check(_as_file(b"".join([*lines[:at], altered, *lines[at + 1 :]])))
    assert at + 1 in named(found.wrong), (found.wrong, altered)


@given(RECORDS, st.data())
def test_a_dropped_line_is_found_where_it_should_stand(facts: list[dict[str, object]], data: st.DataObject) -> None:
    lines = record(facts)
    at = data.draw(st.integers(0, len(lines) - 1))
    left = lines[:at] + lines[at + 1 :]
    if at < len(left):
        found = check(left)
        assert f"line {at + 1}: event {at + 1} should stand before event {at + 2}: dropped or moved" in found.wrong
    else:
        assert check(left).wrong == []  # the end: only a head shows it
        assert check(left, [head(lines)]).wrong == [
            f"after line {at}: cut off: 1 of {at + 1} events of a head are missing"
        ]


@given(RECORDS, st.data())
def test_two_exchanged_lines_are_both_named(facts: list[dict[str, object]], data: st.DataObject) -> None:
    lines = record(facts)
    assume(len(lines) > 1)
    one, other = sorted(data.draw(st.sets(st.integers(0, len(lines) - 1), min_size=2, max_size=2)))
    lines[one], lines[other] = lines[other], lines[one]
    assert {one + 1, other + 1} <= named(check(lines).wrong)


@given(RECORDS, st.data(), st.sampled_from(["copy", "text", "forged"]))
def test_an_inserted_line_is_named(facts: list[dict[str, object]], data: st.DataObject, how: str) -> None:
    lines = record(facts)
    at = data.draw(st.integers(1, len(lines)))
    prev = json.loads(lines[at - 1])["hash"]
    new = {
        "copy": lines[data.draw(st.integers(0, at - 1))],
        "text": b"# looks harmless\n",
        "forged": record([{"x": "forged"}], prev, at + 1)[0],
    }[how]
    found = check([*lines[:at], new, *lines[at:]], [head(lines)])
    wanted = at + 2 if how == "forged" and at < len(lines) else at + 1
    if how == "forged" and at == len(lines):  # added at the end, correctly chained: it is what the head did not cover
        assert found.unchecked == f"truncation, whole rewrite after event {at}, the newest head"
    else:
        assert wanted in named(found.wrong), found.wrong


@given(RECORDS, st.data())
def test_a_record_written_anew_from_some_line_on_shows_with_a_head_only(
    facts: list[dict[str, object]], data: st.DataObject
) -> None:
    lines = record(facts)
    at = data.draw(st.integers(0, len(lines) - 1))
    prev = json.loads(lines[at - 1])["hash"] if at else ""
    anew = lines[:at] + record([{"forged": True}, *facts[at + 1 :]], prev, at + 1)
    assert check(anew).wrong == []
    heads = [*([head(lines[:at])] if at else []), head(lines)]
    assert check(anew, heads).wrong == [
        f"line {len(lines)}: not the event of the head: lines {at + 1} to {len(lines)} were written anew"
    ]


@given(st.lists(st.binary(max_size=80), max_size=6))
def test_no_bytes_make_it_break(noise: list[bytes]) -> None:
    lines = [piece.replace(b"\n", b"") + b"\n" for piece in noise]
    assert len(check(lines).wrong) == len(lines)


def test_many_places_are_counted() -> None:
    found = check([b"x\n"] * 100)
    assert (len(found.wrong), found.wrong[-1]) == (21, "and 80 more places")


@pytest.mark.parametrize("text", ["", "12", "12:abc", "0:" + "a" * 64, "12:" + "A" * 64, "12:" + "a" * 64 + ":short"])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no head"):
        head_of(text)


def test_it_runs_by_itself_with_the_standard_library_only(tmp_path: Path) -> None:
    """Copied away from the project, isolated from every installed package."""
    copy, file = tmp_path / "chain.py", tmp_path / "record.jsonl"
    copy.write_bytes(MODULE.read_bytes())
    lines = record([{"a": "ü"}, {"b": 2}, {"c": 3}])
    file.write_bytes(b"".join(lines))

    def run(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-I", "-S", str(copy), str(file), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, cwd=tmp_path)
        return done.returncode, done.stdout + done.stderr

    mark = head(lines)
    whole = f"every hash fits: 3 events, head 3:{mark.hash}\n"
    assert run() == (0, f"{whole}not checked: truncation, whole rewrite\n")
    assert run("--head", f"3:{mark.hash}") == (0, whole)
    assert run("--head", "3") == (2, "'3' is no head: it should be COUNT:HASH, as in 1234:5f3c… with 64 hex digits\n")
    file.write_bytes(b"".join([lines[0], lines[1].replace(b'"b"', b'"B"'), lines[2]]))
    assert run()[0] == 1
    assert "broken: line 2: altered: its hash is not that of its content" in run()[1]


def test_a_reviewer_can_read_it_in_ten_minutes() -> None:
    assert len(MODULE.read_text().splitlines()) <= 150


def test_a_missing_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err
    assert said(check([])) == "every hash fits: 0 events, head 0:\nnot checked: truncation, whole rewrite\n"


def _as_file(data: bytes) -> list[bytes]:
    """Lines as a file opened for bytes gives them."""
    pieces = data.split(b"\n")
    return [piece + b"\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])
