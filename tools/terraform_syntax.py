"""Terraform files as blocks, attributes and function calls, read with python-hcl2. Pure.

python-hcl2 and Terraform do not read every byte alike (heredocs, escapes, comments), and what only Terraform sees would
slip through. So the text is also searched, without any grammar, for everything that looks like a block or like a call
that reads files: each must be in the tree too, or the file is not understood.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from lark import Token, Tree
from lark.exceptions import LarkError, UnexpectedInput

FILE_FUNCTIONS: Final = frozenset(
    {
        *("file", "filebase64", "filebase64sha256", "filebase64sha512", "filemd5", "filesha1", "filesha256"),
        *("filesha512", "fileexists", "fileset", "templatefile", "templatestring"),
    }
)
BLOCKS: Final = (
    *("terraform", "backend", "cloud", "provider", "resource", "data", "ephemeral", "module", "provisioner"),
    *("connection", "moved", "import", "removed", "check", "action", "list", "provider_meta"),
)
_GAP: Final = r"(?:[ \t]|/\*.*?\*/)"
_RAW_BLOCK: Final = re.compile(rf"(?<![\w.\"-])({'|'.join(BLOCKS)})(?:{_GAP}|\"[^\"\n]*\"|[\w-]+)*\{{", re.DOTALL)
_RAW_CALL: Final = re.compile(rf"(?<![\w-])({'|'.join(FILE_FUNCTIONS)})(?:\s|/\*.*?\*/|(?:#|//)[^\n]*\n)*\(", re.DOTALL)
_OWN_FOLDER: Final = frozenset({"path.module", "path.root", "path.cwd"})
DEEPEST: Final = 60
LONGEST: Final = 256_000


class NotUnderstoodError(ValueError):
    """The text is no HCL that we can read. `line` counts from 1."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


@dataclass(frozen=True, slots=True)
class Call:
    """A function call. `arguments` are the literal texts, None where an argument is computed."""

    name: str
    line: int
    arguments: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Attribute:
    """`name = value`. `literal` is the value where it is a plain string; `objects` its entries where it is an object."""

    name: str
    line: int
    literal: str | None
    words: str
    objects: tuple["Attribute", ...] = ()
    key: str = ""  # of an object's entry: its key as written, quotes and brackets included


@dataclass(frozen=True, slots=True)
class Block:
    kind: str
    labels: tuple[str, ...]
    line: int
    attributes: tuple[Attribute, ...]
    blocks: tuple["Block", ...]

    def attribute(self, name: str) -> Attribute | None:
        return next((a for a in self.attributes if a.name == name), None)

    def walk(self) -> Iterator["Block"]:
        yield self
        for block in self.blocks:
            yield from block.walk()


@dataclass(frozen=True, slots=True)
class Parsed:
    """One file. `doubts`: places where the text and the tree disagree, as (line, what)."""

    attributes: tuple[Attribute, ...]
    blocks: tuple[Block, ...]
    calls: tuple[Call, ...]
    doubts: tuple[tuple[int, str], ...]

    def walk(self) -> Iterator[Block]:
        for block in self.blocks:
            yield from block.walk()


def parse(content: bytes) -> Parsed:
    """Read one file. Raises NotUnderstoodError."""
    import hcl2  # noqa: PLC0415 # its grammar is built on import, and a worker that reads no Terraform needs none

    text = _plain_text(content)
    try:
        tree = cast("Any", hcl2).parses_to_tree(text)
    except UnexpectedInput as error:
        line = max(int(getattr(error, "line", 0) or 0), 1)
        near = text.splitlines()[line - 1].strip()[:80] if line <= text.count("\n") + 1 and text else ""
        raise NotUnderstoodError(line, f"no HCL that can be read, near `{near}`") from None
    except LarkError as error:
        raise NotUnderstoodError(1, f"no HCL that can be read: {str(error)[:120]}") from None
    attributes, blocks = _body(tree.children[0])
    calls = tuple(_call(node) for node in tree.iter_subtrees() if node.data == "function_call")
    return Parsed(attributes, blocks, calls, tuple(_doubts(text, blocks, calls)))


def _plain_text(content: bytes) -> str:
    if len(content) > LONGEST:
        raise NotUnderstoodError(1, f"{len(content)} bytes; a file has at most {LONGEST}")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise NotUnderstoodError(1, "is no UTF-8 text") from None
    for number, line in enumerate(text.split("\n"), 1):
        if any((ord(c) < 32 and c != "\t") or c in "\x7f\x85\u2028\u2029\ufeff" for c in line):
            raise NotUnderstoodError(number, "holds a control character; write plain text with LF line ends")
    depth = 0
    for number, line in enumerate(text.split("\n"), 1):
        for char in line:
            depth += (char in "([{") - (char in ")]}")
            if depth > DEEPEST:
                raise NotUnderstoodError(number, f"brackets are nested more than {DEEPEST} deep")
    return text


def _doubts(text: str, blocks: tuple[Block, ...], calls: tuple[Call, ...]) -> Iterator[tuple[int, str]]:
    seen_blocks = [(b.kind, b.line) for top in blocks for b in top.walk() if b.kind in BLOCKS]
    raw_blocks = [(m[1], text.count("\n", 0, m.start()) + 1) for m in _RAW_BLOCK.finditer(text)]
    for name, line in _surplus(raw_blocks, seen_blocks):
        yield line, f"something that looks like a `{name}` block stands in a comment, string or heredoc: leave it out"
    seen_calls = [(c.name, c.line) for c in calls if c.name in FILE_FUNCTIONS]
    raw_calls = [(m[1], text.count("\n", 0, m.start()) + 1) for m in _RAW_CALL.finditer(text)]
    for name, line in _surplus(raw_calls, seen_calls):
        yield line, f"`{name}(` stands in a comment, string or heredoc, where it cannot be checked: use a local instead"


def _surplus(raw: list[tuple[str, int]], seen: list[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    left = Counter(seen)
    for place in raw:
        if left[place] > 0:
            left[place] -= 1
        else:
            yield place
    for place, count in left.items():
        if count > 0:  # in the tree and not in the text: the search is blind to it, so nothing is sure
            yield place


def _line(node: Tree[Token] | Token) -> int:
    line = node.line if isinstance(node, Token) else node.meta.line
    return int(line or 1)


def _body(node: Tree[Token]) -> tuple[tuple[Attribute, ...], tuple[Block, ...]]:
    inner = [child for child in node.children if isinstance(child, Tree)]
    attributes = tuple(_attribute(child) for child in inner if child.data == "attribute")
    return attributes, tuple(_block(child) for child in inner if child.data == "block")


def _attribute(node: Tree[Token]) -> Attribute:
    name = _words(node.children[0])
    value = node.children[-1]
    return Attribute(name, _line(node), _literal(value), _words(value), _entries(value))


def _block(node: Tree[Token]) -> Block:
    body = next(child for child in node.children if isinstance(child, Tree) and child.data == "body")
    names = [c for c in node.children if isinstance(c, Tree) and c.data not in {"body", "new_line_or_comment"}]
    attributes, blocks = _body(body)
    labels = tuple(_label(name) for name in names[1:])
    return Block(_words(names[0]), labels, _line(node), attributes, blocks)


def _label(node: Tree[Token]) -> str:
    """A label's text; with an escape or a template in it, something that no allow list holds."""
    return (_string(node) or "?" + _words(node)) if node.data == "string" else _words(node)


def _call(node: Tree[Token]) -> Call:
    names = [_words(c) for c in node.children if isinstance(c, Tree) and c.data == "identifier"]
    given = next((c for c in node.children if isinstance(c, Tree) and c.data == "arguments"), None)
    inner = [c for c in given.children if isinstance(c, Tree) and c.data != "new_line_or_comment"] if given else []
    return Call("::".join(names), _line(node), tuple(_literal(c) for c in inner))


def _literal(node: Tree[Token] | Token) -> str | None:
    """The text of a plain string; a leading `${path.module}/` counts as `./`."""
    while isinstance(node, Tree) and node.data == "expr_term" and len(node.children) == 1:
        node = node.children[0]
    return _string(node) if isinstance(node, Tree) and node.data == "string" else None


def _string(node: Tree[Token]) -> str | None:
    text = ""
    for number, part in enumerate(c for c in node.children if isinstance(c, Tree)):
        inner = part.children[0]
        if isinstance(inner, Tree):
            if inner.data != "interpolation" or number or _words(inner)[2:-1] not in _OWN_FOLDER:
                return None
            text = "."
        elif inner.type != "STRING_CHARS" or "\\" in inner:
            return None
        else:
            text += str(inner)
    return text


def _entries(node: Tree[Token] | Token) -> tuple[Attribute, ...]:
    while isinstance(node, Tree) and node.data == "expr_term" and len(node.children) == 1:
        node = node.children[0]
    if not isinstance(node, Tree) or node.data != "object":
        return ()
    elements = [c for c in node.children if isinstance(c, Tree) and c.data == "object_elem"]
    return tuple(
        Attribute(
            _words(e.children[0]).strip('"'),
            _line(e),
            _literal(e.children[-1]),
            _words(e.children[-1]),
            _entries(e.children[-1]),
            _words(e.children[0]),
        )
        for e in elements
    )


def _words(node: Tree[Token] | Token) -> str:
    if isinstance(node, Token):
        return str(node).strip()
    return "".join(_words(c) for c in node.children if not (isinstance(c, Tree) and c.data == "new_line_or_comment"))
