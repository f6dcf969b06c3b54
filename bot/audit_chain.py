"""Checks an exported audit record with nothing but Python's standard library: no network, no settings, no other file.

    python audit_chain.py FILE [--head COUNT:HASH]...

The record has one line for each event, oldest first, each ended by a newline:

    {"n":1,"at":1790000000000,"prev":"","hash":"5f3c…","event":{"kind":"request.asked",…}}

`n` counts from 1, `at` is milliseconds since 1970 (UTC), `event` stands there byte for byte as it was stored, and

    hash = SHA-256 of: prev, at, one space, event       (in hex; prev is the hash of the line before, "" in line 1)

So no byte of a line can be altered, and no line dropped, moved or put in, without a hash that does not fit. What the
chain cannot show by itself: lines cut off at the end, and a record that somebody wrote anew as a whole, since anybody
can compute hashes. A head shows both: `COUNT:HASH`, the number of events and the newest hash at some moment, which
Watchbill posts to Slack in every report and daily. Copy it from there, not from the machine that holds the record.
Exit code: 0 nothing is wrong, 1 something is, 2 the file or a head could not be read.
"""

import argparse
import hashlib
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

LINE = re.compile(
    rb'\{"n":([1-9]\d{0,18}),"at":(\d{1,19}),"prev":"([0-9a-f]*)","hash":"([0-9a-f]{64})","event":(\{.*\})\}\n'
)
HEAD = re.compile(r"([1-9]\d{0,18}):([0-9a-f]{64})(?::[\w-]{86}={0,2})?")  # what may stand behind is its signature
MOST = 20  # places that are named; the rest is counted


@dataclass(frozen=True)
class Head:
    count: int
    hash: str


@dataclass
class Findings:
    """What a look at a record came to. `wrong` is empty where everything fits."""

    count: int = 0
    hash: str = ""
    wrong: list[str] = field(default_factory=list[str])
    unchecked: str = ""


def chained(prev: str, at: int | str, event: str) -> str:
    """The hash of an event: over its predecessor's hash, its time and its text."""
    return hashlib.sha256(f"{prev}{at} {event}".encode()).hexdigest()


def line_of(number: int, at: int | str, prev: str, hash_: str, event: str) -> str:
    """One line of an exported record, without its newline."""
    return f'{{"n":{number},"at":{at},"prev":"{prev}","hash":"{hash_}","event":{event}}}'


def head_of(text: str) -> Head:
    """COUNT:HASH, with or without a signature behind it. Raises ValueError."""
    found = HEAD.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no head: it should be COUNT:HASH, as in 1234:5f3c… with 64 hex digits")
    return Head(int(found[1]), found[2])


def check(lines: Iterable[bytes], heads: Iterable[Head] = ()) -> Findings:
    """Walk the chain. `lines` keep their newlines, as a file opened for bytes gives them."""
    found, asked = Findings(), sorted(heads, key=lambda head: head.count)
    marks = dict.fromkeys((head.count for head in asked), "")  # the hash that stands at each head's place
    number, before = 1, {""}  # what the next line should carry; an unreadable line leaves the hash open
    for place, line in enumerate(lines, 1):
        parts = LINE.fullmatch(line)
        if parts is None:
            cut = "" if line.endswith(b"\n") else " (it has no newline at its end: cut off)"
            found.wrong.append(f"line {place}: this is no line of a record{cut}")
            number, before = number + 1, set[str]()
        else:
            n, at, prev, stated, event = parts.groups()
            true = hashlib.sha256(prev + at + b" " + event).hexdigest()
            hash_ = stated.decode()
            follows = not before or prev.decode() in before
            found.wrong += _problems(place, int(n), number, fits=hash_ == true, follows=follows)
            number, before = int(n) + 1, {hash_, true}
            found.hash = true
        found.count = place
        if place in marks:
            marks[place] = found.hash
    _against(found, asked, marks)
    if len(found.wrong) > MOST:
        found.wrong[MOST:] = [f"and {len(found.wrong) - MOST} more places"]
    return found


def _problems(place: int, stated: int, number: int, *, fits: bool, follows: bool) -> list[str]:
    wrong: list[str] = []
    if not fits:
        wrong.append(f"line {place}: altered: its hash is not that of its content")
    if stated > number:
        missing = f"event {number}" if stated == number + 1 else f"events {number} to {stated - 1}"
        wrong.append(f"line {place}: {missing} should stand before event {stated}: dropped or moved")
    elif stated < number:
        wrong.append(f"line {place}: event {stated} stands where event {number} should: put in, repeated or moved")
    elif not follows:
        wrong.append(f"line {place}: it does not follow the line before: one of the two was exchanged")
    return wrong


def _against(found: Findings, heads: list[Head], marks: dict[int, str]) -> None:
    sound = 0
    for head in heads:
        if head.count > found.count:
            cut = head.count - found.count
            found.wrong.append(f"after line {found.count}: cut off: {cut} of {head.count} events of a head are missing")
        elif marks[head.count] != head.hash:
            where = f"lines {sound + 1} to {head.count}"
            found.wrong.append(f"line {head.count}: not the event of the head: {where} were written anew")
        else:
            sound = head.count
    if not heads:
        found.unchecked = "truncation, whole rewrite"
    elif sound < found.count:
        found.unchecked = f"truncation, whole rewrite after event {sound}, the newest head"


def said(found: Findings) -> str:
    fits = f"every hash fits: {found.count} events, head {found.count}:{found.hash}\n"
    text = "".join(f"broken: {text}\n" for text in found.wrong) or fits
    return text + (f"not checked: {found.unchecked}\n" if found.unchecked else "")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Checks an exported audit record, without network or settings.")
    parser.add_argument("file", help="what `python -m bot audit export` printed; - for standard input")
    parser.add_argument("--head", action="append", default=[], metavar="COUNT:HASH", help="from Slack; repeatable")
    given = parser.parse_args(arguments)
    try:
        heads = [head_of(text) for text in given.head]
        with open(0 if given.file == "-" else given.file, "rb") as record:  # noqa: PTH123 # a number or a path
            found = check(record, heads)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(said(found))
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
