"""Which files of a snapshot a scan looks at, laid out for the scanner, and the secrets pass over them."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.policy.secret_patterns import find_secrets
from tools.estate import BLUEPRINTS
from tools.folder import Folder
from tools.scan_report import Found, SeveritiesFile
from tools.snapshot import Manifest, Snapshots
from tools.terraform_cli import LOCK_FILE, PLAN_FILE
from tools.terraform_scan import GATE_FILE
from tools.terraform_workshop import CODE

SECRET_IN_CODE: Final = "secret-in-code"  # noqa: S105 - a rule's name
LOOK_AWAY: Final = "scanner-told-to-look-away"
# Comments that switch checkov's and detect-secrets' checks off. They are not heeded: people accept findings in Slack.
SKIP: Final = re.compile(rb"(?i)\b(?:checkov|bridgecrew|cortex):(?=skip)|pragma:(?=\s*(?:allow|white)list)")
SEARCHED_BYTES: Final = 100_000  # checkov's search for secrets takes 1.8 s for so much; ours reads everything
SEARCHED_ALL: Final = 400_000
LABEL: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}$")


@dataclass(frozen=True, slots=True)
class Code:
    """`written`: path → content of all that agents wrote. `stack`: what Terraform reads in the scanned directory, the
    blueprints it calls among it.
    """

    directory: str
    written: Mapping[str, bytes]
    stack: Mapping[str, bytes]

    def lay_out(self, work: Path) -> None:
        """As tools/scan_checkov.py wants it, comments that switch checks off made harmless."""
        spent = 0
        for folder in ("code", "files"):
            (work / folder).mkdir()
        for path, content in self.stack.items():
            Folder(work).write(f"code/{path}", _heedless(content))
        for path, content in self.written.items():
            spent += len(content) if len(content) <= SEARCHED_BYTES else 0
            if len(content) <= SEARCHED_BYTES and spent <= SEARCHED_ALL:
                Folder(work).write(f"files/{path}", _heedless(content))


def read_code(store: Snapshots, manifest: Manifest) -> Code:
    """Every byte compared. Raises ChangedError."""
    directory = "" if manifest.facts["directory"] in {"", "."} else manifest.facts["directory"]
    made = {f"{CODE}{posixpath.join(directory, name)}" for name in (PLAN_FILE, LOCK_FILE, GATE_FILE)}
    paths = [path for path in manifest.files if path.startswith(CODE) and path not in made]
    files = {path.removeprefix(CODE): store.take(manifest, path) for path in paths if "/.terraform/" not in path}
    written = {path: content for path, content in files.items() if path.split("/")[0] != BLUEPRINTS}
    stack = {path: content for path, content in written.items() if posixpath.dirname(path) == directory}
    text = b"\n".join(stack.values())
    called = {
        path: content
        for path, content in files.items()
        if path not in written and "/".join(path.split("/")[:2]).encode() in text
    }
    return Code(directory, written, {**stack, **called})


def secrets_in_code(code: Code, severities: SeveritiesFile) -> Iterator[Found]:
    """What looks like a secret, by the name it is given to; the value is never shown. A place keeps its name, and so
    what people accepted there, when lines move.
    """
    for path, content in code.written.items():
        text = content.decode("utf-8", "replace")
        seen: dict[str, int] = {}
        lines: set[tuple[int, str]] = set()
        for start, kind, label in _labelled(text):
            line = text.count("\n", 0, start) + 1
            if (line, label) in lines:
                continue
            lines.add((line, label))
            seen[label] = seen.get(label, 0) + 1
            name = label if seen[label] == 1 else f"{label}-{seen[label]}"
            told = f"looks like a secret ({kind}); it belongs in no file: give it as a sensitive value"
            yield Found(SECRET_IN_CODE, f"{path}#{name}", severities.of(SECRET_IN_CODE), told, path, line)


def skips_in_code(code: Code, severities: SeveritiesFile) -> Iterator[Found]:
    """Comments by which the code would switch its own checks off."""
    for path, content in code.written.items():
        found = SKIP.search(content)
        if found:
            told = "a comment tells the scanner to skip a check; it was not heeded"
            line = content.count(b"\n", 0, found.start()) + 1
            yield Found(LOOK_AWAY, path, severities.of(LOOK_AWAY), told, path, line)


def _labelled(text: str) -> Iterator[tuple[int, str, str]]:
    """Start, kind and name of each secret, in order: the word before the value, which is no part of any secret."""
    spans = sorted(find_secrets(text))
    for start, _, kind in spans:
        begin = text.rfind("\n", 0, start) + 1
        ends = [end for _, end, _ in spans if begin < end <= start]
        left = text[max([begin, *ends]) : start].rstrip(" \t\"'=:{([>\\")
        label = LABEL.search(left)
        yield start, kind, label[0].lower() if label and not ends else kind


def _heedless(content: bytes) -> bytes:
    return SKIP.sub(lambda found: found[0][:-1] + b"_", content)
