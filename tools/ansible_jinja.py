"""What Jinja in a playbook would do on the machine that runs it: look-ups, filters and attributes, found without running. Pure."""

import re
from collections.abc import Iterator
from typing import Final

from tools.ansible_policy import PlaybookPolicy, short

EXPRESSION: Final = re.compile(r"\{\{(.*?)\}\}|\{%(.*?)%\}", re.DOTALL)
LITERAL: Final = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
LOOKING: Final = re.compile(r"(?<![\w.])(lookup|query|q)(?!\w)")
CALL: Final = re.compile(r"\s*\(\s*(['\"])([A-Za-z0-9_.]+)\1")
PLAIN_PATH: Final = re.compile(r"\s*,\s*(['\"])([A-Za-z0-9_][A-Za-z0-9_./ -]*)\1\s*[,)]")
FILTER: Final = re.compile(r"\|\s*([A-Za-z_][A-Za-z0-9_.]*)")
DELIMITERS: Final = re.compile(r"^#jinja2:.*_(start|end)_string", re.MULTILINE)


def problems(text: str, policy: PlaybookPolicy, *, bare: bool = False) -> Iterator[str]:
    """Why a text may not be templated. `bare`: the text is an expression without braces (when, until, that)."""
    if DELIMITERS.search(text):
        yield "changes Jinja's delimiters; keep {{ }} and {% %}"
    found = [one.group(1) or one.group(2) or "" for one in EXPRESSION.finditer(text)]
    rest = EXPRESSION.sub("", text)
    if "{{" in rest or "{%" in rest:
        yield "has a template that does not end"
    for expression in [*found, *([text] if bare else [])]:
        yield from _problems(expression, policy)


def is_template(text: str) -> bool:
    return "{{" in text or "{%" in text


def plain_path(path: str) -> bool:
    """Whether a path stays among the playbook's own files, whatever it is relative to."""
    return bool(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_./ -]*", path)) and ".." not in path.split("/")


def _problems(expression: str, policy: PlaybookPolicy) -> Iterator[str]:
    bare = LITERAL.sub(lambda found: " " * len(found.group()), expression)
    if "__" in bare or "__" in expression:
        yield "uses a name with two underscores, which reaches into Python"
    for one in FILTER.finditer(bare):
        if short(one.group(1)) in policy.refused_filters:
            yield f"uses the filter {one.group(1)}, which reaches this machine's files or hidden attributes"
    for one in LOOKING.finditer(bare):
        yield from _look_up(expression[one.end() :], one.group(1), policy)


def _look_up(after: str, word: str, policy: PlaybookPolicy) -> Iterator[str]:
    call = CALL.match(after)
    if not call:
        yield f"uses {word} other than as {word}('name', …), so what it looks up is not known"
        return
    name = short(call.group(2))
    if name in policy.lookups:
        return
    if name not in policy.file_lookups:
        yield (
            f"looks up {name!r}, which runs on or reads the machine that runs playbooks; read it on the host with a task "
            "and register, or give it as an extra var"
        )
        return
    path = PLAIN_PATH.match(after[call.end() :])
    if not path or not plain_path(path.group(2)):
        yield f"looks up {name!r} with another path than a plain one among the playbook's own files"
