"""Words of the shell's parse tree: quotes taken off, and put on again in one way."""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence

from tree_sitter import Node

from bot.policy.commands.lines import HOLE, WILD, Word

TILDE = re.compile(r"~[A-Za-z0-9_.-]*(?=/|$)")
BRACES = re.compile(r"\{[^{}]*(,|\.\.)[^{}]*\}")
ESCAPED = re.compile(r"\\(.)", re.DOTALL)
IN_DOUBLE = re.compile(r"\\([\\\"$`\n])")
ANSI = {"n": "\n", "t": "\t", "\\": "\\", "'": "'", '"': '"', "e": "\x1b", "a": "\a", "b": "\b", "r": "\r", "0": "\0"}
ANSI_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|u[0-9A-Fa-f]{1,4}|.)", re.DOTALL)


class WordReader:
    """Reads words of one source. `outside` is told of nodes that the strict grammar does not have, `nested` walks them."""

    def __init__(
        self,
        source: bytes,
        known: Mapping[str, Word],
        outside: Callable[[Node], None],
        nested: Callable[[Node], None],
    ) -> None:
        self._source = source
        self._known = known
        self._outside = outside
        self._nested = nested

    def word(self, node: Node) -> Word:
        """The word at `node`; what is not known of it is a hole."""
        match node.type:
            case "word" | "number" | "extglob_pattern" | "test_operator" | "variable_name" | "special_variable_name":
                return self._plain(node)
            case "raw_string":
                return Word.of(self._text(node)[1:-1])
            case "string":
                return self._double(node)
            case "concatenation":
                return self._concatenated(node)
            case "ansi_c_string":
                self._outside(node)
                return Word.of(_ansi(self._text(node)[2:-1]))
            case "simple_expansion" | "expansion":
                self._outside(node)
                self._nested(node)
                return self._variable(node)
            case _:
                self._outside(node)
                self._nested(node)
                return Word(HOLE, HOLE)

    def raw(self, node: Node) -> Word:
        """A word that the parser took for an assignment: `echo a=b`."""
        value = node.child_by_field_name("value")
        if value is None:
            return Word.of(self._text(node))
        head = self._source[node.start_byte : value.start_byte].decode(errors="replace")
        return join_words((Word.of(head), self.word(value)))

    def _text(self, node: Node) -> str:
        return self._source[node.start_byte : node.end_byte].decode(errors="replace")

    def _plain(self, node: Node) -> Word:
        text = self._text(node)
        if BRACES.search(text):
            self._outside(node)
            return Word(HOLE, HOLE)
        tilde = TILDE.match(text)
        head = tilde.group() if tilde else ""
        rest = text[len(head) :]
        if "\\" not in rest:
            glob = bool(WILD & set(rest))
            shell = (
                rest if glob and re.fullmatch(r"[\w@%+=:,./*?\[\]!^-]*", rest) else shlex.quote(rest) if rest else ""
            )
            return Word(head + rest, head + shell, glob=glob, tilde=bool(tilde))
        bare = re.sub(r"\\.", "", rest, flags=re.DOTALL)
        if WILD & set(bare):  # bare and quoted signs in one word: what it matches cannot be written again simply
            self._outside(node)
            return Word(HOLE, HOLE)
        literal = ESCAPED.sub(r"\1", rest)
        return Word(head + literal, head + shlex.quote(literal), tilde=bool(tilde))

    def _double(self, node: Node) -> Word:
        if not self._text(node).startswith('"'):
            self._outside(node)
        inner = [child for child in node.named_children if child.type != "string_content"]
        if not inner:
            start = node.start_byte + self._text(node).index('"') + 1
            return Word.of(IN_DOUBLE.sub(_unescaped, self._source[start : node.end_byte - 1].decode(errors="replace")))
        parts: list[Word] = []
        at = node.start_byte + 1
        for child in inner:
            parts.append(
                Word.of(IN_DOUBLE.sub(_unescaped, self._source[at : child.start_byte].decode(errors="replace")))
            )
            parts.append(self.word(child))
            at = child.end_byte
        parts.append(Word.of(IN_DOUBLE.sub(_unescaped, self._source[at : node.end_byte - 1].decode(errors="replace"))))
        return join_words(parts)

    def _concatenated(self, node: Node) -> Word:
        # Braces are several word nodes here: look at the whole first.
        unquoted = "".join(
            self._text(child) if child.type in {"word", "number"} else "_" for child in node.named_children
        )
        if BRACES.search(unquoted):
            self._outside(node)
            for child in node.named_children:
                self.word(child)
            return Word(HOLE, HOLE)
        if node.children and node.children[0].type == "word":
            first = self._text(node.children[0])
            if TILDE.fullmatch(first) and len(node.children) > 1:  # ~"user" is no home folder
                return join_words([Word.of(first), *(self.word(child) for child in node.children[1:])])
        return join_words(
            [self.word(child) if child.is_named else Word.of(self._text(child)) for child in node.children]
        )

    def _variable(self, node: Node) -> Word:
        """The value of a variable that the same line gave it, else a hole."""
        name = self._text(node).strip("${}")
        return self._known.get(name, Word(HOLE, HOLE))


def join_words(words: Sequence[Word]) -> Word:
    """Words written without a space between them."""
    pieces = [word for word in words if word.text or word.shell]
    if not pieces:
        return Word.of("")
    return Word(
        "".join(word.text for word in pieces),
        "".join(word.shell for word in pieces if word.text) or "''",
        glob=any(word.glob for word in pieces),
        tilde=pieces[0].tilde,
        fed=any(word.fed for word in pieces),
    )


def _unescaped(match: re.Match[str]) -> str:
    return "" if match[1] == "\n" else match[1]


def _ansi(text: str) -> str:
    def decoded(match: re.Match[str]) -> str:
        escape = match[1]
        if escape[0] in "xu":
            return chr(int(escape[1:], 16)) if len(escape) > 1 else escape
        if escape[0] in "01234567":
            return chr(int(escape, 8) & 0xFF)
        return ANSI.get(escape, escape)

    return ANSI_ESCAPE.sub(decoded, text)
