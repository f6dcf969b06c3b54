"""Errors that come in records: Terraform's diagnostics, as text and as JSON, and Ansible's results of a host. Pure."""

import json
import re
from collections.abc import Callable, Iterator
from itertools import islice

RECORDS = 64  # of one text that are looked at
DETAIL = 400  # characters of a diagnostic's detail
BODY = 8000  # characters of one host's result
STRING = r'"((?:[^"\\\n]|\\.){0,4000})"'

# Terraform: `Error: summary`, `Error main.tf:3: summary: detail`, and what the program's own reading of files says.
HUMAN = re.compile(r"^Error(?: [^\s:]{0,200}[.:/\[\]]\S{0,200})?: (.{1,600})$", re.MULTILINE)
NEXT = re.compile(r"^(?:Error|Warning)(?: [^\s:]{0,200}[.:/\[\]]\S{0,200})?: ", re.MULTILINE)
OWN = re.compile(r"^[\w./@-]{1,200}\.(?:tf|tfvars|tfvars\.json|tf\.json)(?::\d{1,6})?: (.{1,600})$", re.MULTILINE)
PLACE = re.compile(r"^\s*(?:on \S{1,300} line \d|with \S{1,300},?$|\d{1,6}: |├|\(and |while |[│|]\s)")
TOP_LEVEL = re.compile(r"^\s*on \S{1,300} line \d{1,6}:$", re.MULTILINE)
ASKED = re.compile(r"\s(?:Lock Info:|Did you intend|Did you mean)")
SENTENCE = re.compile(r"""(?<=[a-z0-9)"'`\]])\.\s+(?=[A-Z])""")
SEVERE = re.compile(r'"severity"\s{0,4}:\s{0,4}"error"')
SUMMARY = re.compile(rf'"summary"\s{{0,4}}:\s{{0,4}}{STRING}')
DETAILED = re.compile(rf'"detail"\s{{0,4}}:\s{{0,4}}{STRING}')
NO_CONTEXT = re.compile(r'"snippet"\s{0,4}:\s{0,4}\{\s{0,40}"context"\s{0,4}:\s{0,4}null')


CYCLE = "Cycle: "
HEADING = "Terraform encountered problems during initiali"  # init's own, before the errors that it is about
PLANNING = re.compile(r"^Planning failed\. Terraform encountered an error[^\n]{0,80}$", re.MULTILINE)  # it says no more


def terraform_errors(text: str) -> Iterator[str]:
    """Summary and the detail's first sentence of each error diagnostic; warnings are none."""
    return (core for core in _diagnostics(PLANNING.sub("", text)) if not core.startswith(HEADING))


def _diagnostics(text: str) -> Iterator[str]:
    found = SEVERE.search(text)
    if found is not None:
        yield from _from_json(text, found)
        return
    for found in islice(HUMAN.finditer(text), RECORDS):
        after = NEXT.search(text, found.end(), found.end() + 4000)
        body = text[found.end() : after.start() if after else found.end() + 4000]
        top = " (top level)" if TOP_LEVEL.search(body) else ""
        yield _diagnostic(found[1], _paragraph(body)) + top
    yield from (found[1] for found in islice(OWN.finditer(text), RECORDS))


def _from_json(text: str, found: re.Match[str] | None) -> Iterator[str]:
    """By field rather than by parsing, because what was cut or wrapped is no JSON any more."""
    count = 0
    while found is not None and count < RECORDS:
        after = SEVERE.search(text, found.end())
        start = max(text.rfind("{", 0, found.start()), 0)
        near = text[start : min(after.start() if after else len(text), found.end() + 12_000)]
        summary, detail = SUMMARY.search(near), DETAILED.search(near)
        if summary is not None:
            words = _unescaped(detail[1]).partition("\n\n")[0] if detail else ""
            top = " (top level)" if NO_CONTEXT.search(near) else ""
            yield _diagnostic(_unescaped(summary[1]), words) + top
        found, count = after, count + 1


def _diagnostic(summary: str, detail: str) -> str:
    summary = summary.strip()
    if summary.startswith(CYCLE):  # Terraform walks it from anywhere
        summary = CYCLE + ", ".join(sorted(summary.removeprefix(CYCLE).split(", ")))
    detail = " ".join(ASKED.split(" " + detail[: DETAIL * 4], maxsplit=1)[0].split())
    if not detail:  # the program's own line has both in one
        return SENTENCE.split(ASKED.split(summary, maxsplit=1)[0], maxsplit=1)[0]
    first = SENTENCE.split(detail, maxsplit=1)[0][:DETAIL]
    return f"{summary}: {first}"


def _paragraph(body: str) -> str:
    """The first paragraph of a diagnostic that is not about where it stands."""
    kept: list[str] = []
    for line in body.splitlines():
        if PLACE.match(line):
            continue
        if line.strip():
            kept.append(line.strip())
        elif kept:
            break
    return " ".join(kept)


# Ansible: a host's result, in whichever of its callbacks' spellings.
RESULT = re.compile(
    r"^(?:fatal|failed): \[[^\]\n]{1,200}\](?: \([^\n]{0,200}?\))?:?(?: (?:FAILED|UNREACHABLE)!)? ?=> ?"
    r"|^[\w.-]{1,120} \| (?:FAILED|UNREACHABLE|FAILED!|UNREACHABLE!)(?: => | \| rc=\d{1,3} >>\n?|!? => ?)"
    r'|^\{[^\n]{0,4000}"event"\s?:\s?"runner_on_(?:failed|unreachable)"',
    re.MULTILINE,
)
ENDS = re.compile(
    r"^(?:fatal|failed|ok|changed|skipping|included): \[|^(?:TASK|PLAY|RUNNING HANDLER) |^NO MORE HOSTS|^\.\.\.ignoring|^[\w.-]{1,120} \| ",
    re.MULTILINE,
)
SAID = re.compile(r"^(?:ERROR! |\[ERROR\]: )(.{1,600})$", re.MULTILINE)
GENERIC = re.compile(
    r"non-zero return code|^MODULE FAILURE|module failed to execute|All items completed|"
    r"One or more items failed|^Task failed\.?$|see stdout/stderr|^Shared connection|^Unable to run ",
    re.IGNORECASE,
)
FIELDS = ("stderr", "module_stderr", "exception", "reason", "stdout", "module_stdout")


def ansible_errors(text: str, within: Callable[[str], str]) -> Iterator[str]:
    """What each host's failed result says; where that is only that a program failed, what the program said.

    Newer releases say each task's error once more before the hosts' results; that counts only where there are none.
    """
    told = False
    for found in islice(RESULT.finditer(text), RECORDS):
        after = ENDS.search(text, found.end(), found.end() + BODY)
        if after and after.group().startswith("...ignoring"):
            continue
        body = text[found.end() : after.start() if after else found.end() + BODY]
        if found.group().startswith("{"):
            body = found.group() + body
        core = _host_result(body, within)
        if core:
            told = True
            yield core
    if not told:
        yield from (_bare(found[1]) for found in islice(SAID.finditer(text), RECORDS))


def _host_result(body: str, within: Callable[[str], str]) -> str:
    said = _bare(_field(body, "msg"))
    if said and not GENERIC.search(said):
        return (within(said) if "\n" in said else "") or _first(said)
    for name in FIELDS:
        if value := _field(body, name):
            return within(value) or _first(value)
    return within(body) or _first(said or body)


def _bare(said: str) -> str:
    return said.removeprefix("Task failed: ").removeprefix("Module failed: ")


def _field(body: str, name: str) -> str:
    """The value of `"name": "…"` or of a YAML callback's `name: …`, which may go on below with deeper lines."""
    found = re.search(rf'"{name}"\s{{0,4}}:\s{{0,4}}{STRING}', body)
    if found is not None:
        return _unescaped(found[1]).strip()
    found = re.search(rf"^( {{1,8}}){name}: ?([^\n]{{0,4000}})$", body, re.MULTILINE)
    if found is None:
        return ""
    if found[2].strip()[:1] not in {"|", ">", ""}:
        return found[2].strip().strip("'\"")
    deeper = found[1] + " "
    rows: list[str] = []
    for row in body[found.end() + 1 :].splitlines():
        if row.strip() and not row.startswith(deeper):
            break
        rows.append(row.strip())
    return "\n".join(rows).strip()


def _first(text: str) -> str:
    """The first line that says something, with the next where it ends in a colon."""
    rows = [row.strip() for row in text[:4000].splitlines() if row.strip()]
    if not rows:
        return ""
    return f"{rows[0]} {rows[1]}" if rows[0].endswith(":") and len(rows) > 1 else rows[0]


def _unescaped(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text.replace("\\n", "\n").replace('\\"', '"')
