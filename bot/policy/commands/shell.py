"""From text to a command line: the strict grammar, and what can still be seen in what is outside of it.

Plain words, quotes and `&& || ; | !` with harmless redirects are understood. Whatever else stands in a line makes a
doubt (class unknown or worse), and the walk goes on below it, so that harm in a loop or a substitution is found.
"""

import re
from functools import lru_cache

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

from bot.domain.calls import CallClass
from bot.policy.commands.byte_check import check_bytes, looks_alike
from bot.policy.commands.lines import HOLE, Doubt, Line, Redirect, Simple, Word
from bot.policy.commands.nodes import OUTSIDE, passed_over
from bot.policy.commands.words import WordReader, join_words

SEGMENTS = 64
WORDS = 300
DEPTH = 60
# A substitution in a word takes this much of the depth: its walk has several steps.
NESTING = 6
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
CONTINUED = re.compile(r"\\\n")
# Joins that the strict grammar knows.
JOINS = frozenset({"&&", "||", ";", "|", "\n", ";;"})


@lru_cache(maxsize=1)
def _parser() -> Parser:
    return Parser(Language(tree_sitter_bash.language()))


def read_line(text: str) -> Line:
    """What `text` says. Never raises; `doubts` is empty only if all of it is in the strict grammar."""
    refused = check_bytes(text)
    if refused is not None:
        return Line(doubts=(refused,))
    if not text.strip():
        return Line(doubts=(Doubt(CallClass.UNKNOWN, "grammar", "is empty", ""),))
    walk = _Walk(text)
    return walk.line()


class _Walk:
    """One walk over one parse tree."""

    def __init__(self, text: str) -> None:
        self._doubts: list[Doubt] = []
        self._text = text
        if CONTINUED.search(text):
            text = self._continued(text)
        self._source = text.encode()
        self._commands: list[Simple] = []
        self._order: list[int | str] = []
        self._known: dict[str, Word] = {}
        self._depth = 0
        self._spent = 0
        self._words = WordReader(self._source, self._known, self._outside, self._nested)

    def line(self) -> Line:
        root = _parser().parse(self._source).root_node
        if root.has_error:
            self._doubt("does not parse as a command line", "grammar: error")
        if b"\\" in self._source and passed_over(root, self._source):
            self._doubt("has escaped blanks that the parser passes over", "grammar: escaped blank")
        self._statements(root, 0)
        if not self._commands and not self._doubts:
            self._doubt("has no command", "grammar")
        if self._over():
            reason = f"has more than {SEGMENTS} commands or {WORDS} words, too many to be understood"
            return Line(doubts=(Doubt(CallClass.FORBIDDEN, "length", reason, _short(self._text[:60] + "…")),))
        return Line(tuple(self._commands), tuple(self._order), tuple(self._doubts))

    def _continued(self, text: str) -> str:
        """Bash joins lines at backslash-newline, except in single quotes and comments; where those are, who knows."""
        if "'" in text or "#" in text or "<<" in text:
            self._doubt("continues a line beside quotes, a comment or a here-document", "grammar: continued line")
        return CONTINUED.sub("", text)

    def _doubt(self, reason: str, rule: str, cls: CallClass = CallClass.UNKNOWN, segment: str = "") -> None:
        self._doubts.append(Doubt(cls, rule, reason, segment or _short(self._text)))

    def _outside(self, node: Node) -> None:
        name = OUTSIDE.get(node.type, f"{node.type.replace('_', ' ')}")
        self._doubt(f"has {name}, which is not read here", f"grammar: {node.type}", segment=self._slice(node))

    def _slice(self, node: Node) -> str:
        return _short(self._source[node.start_byte : node.end_byte].decode(errors="replace"))

    def _statements(self, node: Node, depth: int) -> None:
        """The statements below `node`, in order, with the joins between them."""
        if depth > DEPTH:
            self._too_deep()
            return
        joined = True
        for child in node.children:
            if self._over():
                return
            if child.type == "comment":
                continue
            if child.is_named:
                if not joined:
                    self._doubt("has more than one line", "grammar: lines")
                joined = False
                self._statement(child, depth + 1)
            elif child.type in JOINS:
                joined = joined or child.type != "\n"
                self._join(child.type)
            elif child.type in {"&", "|&"}:
                reason = "goes to the background" if child.type == "&" else "pipes its errors too"
                joined = True
                self._doubt(reason, f"grammar: {child.type}")
                self._join(";" if child.type == "&" else "|")

    def _join(self, sign: str) -> None:
        sign = ";" if sign in {"\n", ";;"} else sign
        if self._order and isinstance(self._order[-1], int):
            self._order.append(sign)

    def _statement(self, node: Node, depth: int) -> None:
        match node.type:
            case "command":
                self._command(node, (), depth)
            case "list":
                self._statements(node, depth)
            case "pipeline":
                self._pipeline(node, (), depth)
            case "redirected_statement":
                self._redirected(node, depth)
            case "negated_command":
                self._join(";")
                self._order.append("!")
                self._statements(node, depth)
            case "ERROR" if any(child.type == "command_name" for child in node.named_children):
                self._outside(node)
                if self._slice(node).startswith("{") and "," in self._slice(node):
                    reason = "runs a program whose name is only known when it runs"
                    self._doubt(reason, "grammar: computed program", CallClass.FORBIDDEN, self._slice(node))
                self._command(node, (), depth)
            case "variable_assignment":
                self._outside(node)
                self._assign(node)
            case "function_definition":
                self._function(node, depth)
            case _:
                self._outside(node)
                self._below(node, depth)

    def _below(self, node: Node, depth: int) -> None:
        """What can be seen below a node that is not read: commands there, and words with substitutions."""
        if depth > DEPTH:
            self._too_deep()
            return
        for child in node.named_children:
            self._spent += 1
            if self._over():
                return
            if (
                child.type in {"command", "list", "pipeline", "redirected_statement", "negated_command"}
                or child.type in OUTSIDE
            ):
                self._join(";")
                self._statement(child, depth + 1)
            elif child.type in {"do_group", "elif_clause", "else_clause", "case_item", "program"}:
                self._statements(child, depth + 1)
            else:
                self._below(child, depth + 1)

    def _nested(self, node: Node) -> None:
        """Commands of a substitution inside a word: they run, wherever the word goes."""
        if self._depth > DEPTH:
            self._too_deep()
            return
        order, self._order = self._order, []
        self._depth += NESTING
        self._below(node, self._depth)
        self._depth -= NESTING
        self._order = order

    def _over(self) -> bool:
        return self._spent > WORDS or len(self._commands) > SEGMENTS

    def _too_deep(self) -> None:
        self._doubt("is nested too deep to be understood", "grammar: depth", CallClass.FORBIDDEN)

    def _assign(self, node: Node) -> None:
        pair = self._assignment(node)
        if pair is not None:
            self._known[pair[0]] = pair[1]

    def _assignment(self, node: Node) -> tuple[str, Word] | None:
        name = node.child_by_field_name("name")
        value = node.child_by_field_name("value")
        spelt = self._source[node.start_byte : node.end_byte].decode(errors="replace").split("=", 1)[0]
        if name is None or not NAME.fullmatch(spelt):
            self._doubt(
                f"assigns to {spelt!r}, which is no plain name", "grammar: assignment", segment=self._slice(node)
            )
            return None
        return spelt, self._words.word(value) if value is not None else Word.of("")

    def _function(self, node: Node, depth: int) -> None:
        self._outside(node)
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is not None and body is not None:
            called = self._source[name.start_byte : name.end_byte].decode(errors="replace")
            inside = self._source[body.start_byte : body.end_byte].decode(errors="replace")
            if re.search(rf"(?<![\w-]){re.escape(called)}\s*[|&]", inside):
                self._doubt("calls itself without end", "grammar: recursion", CallClass.FORBIDDEN)
            self._below(body, depth)

    def _redirected(self, node: Node, depth: int) -> None:
        body = node.child_by_field_name("body")
        redirects = [child for child in node.named_children if child.type.endswith("_redirect")]
        if body is None:
            self._command(node, (), depth)
        elif body.type == "command":
            self._command(body, redirects, depth)
        elif body.type in {"pipeline", "list"}:
            self._last_redirected(body, redirects, depth)
        else:
            self._outside(body)
            self._below(body, depth)
            self._command(None, redirects, depth)

    def _last_redirected(self, body: Node, redirects: list[Node], depth: int) -> None:
        """`a | b > f`: the redirect is the last command's."""
        if body.type == "pipeline":
            self._pipeline(body, redirects, depth)
            return
        *before, last = body.children
        for child in before:
            if child.is_named:
                self._statement(child, depth)
            elif child.type in JOINS:
                self._join(child.type)
        if last.type == "command":
            self._command(last, redirects, depth)
        elif last.type in {"pipeline", "list"}:
            self._last_redirected(last, redirects, depth)
        else:
            self._statement(last, depth)
            self._command(None, redirects, depth)

    def _pipeline(self, node: Node, redirects: list[Node] | tuple[()], depth: int) -> None:
        began = len(self._commands)
        parts = node.children
        for child in parts:
            if self._over():
                return
            if not child.is_named:
                if child.type == "|&":
                    self._doubt("pipes its errors too", "grammar: |&")
                self._join("|")
                continue
            last = child == parts[-1]
            if child.type == "command":
                self._command(child, redirects if last else (), depth, began)
            elif (
                child.type == "redirected_statement"
                and (body := child.child_by_field_name("body"))
                and body.type == "command"
            ):
                own = [part for part in child.named_children if part.type.endswith("_redirect")]
                self._command(body, [*own, *(redirects if last else ())], depth, began)
            else:
                self._statement(child, depth)

    def _command(
        self, node: Node | None, redirects: list[Node] | tuple[()], depth: int, piped_from: int | None = None
    ) -> None:
        feeds = tuple(self._commands[piped_from:]) if piped_from is not None else ()
        words: list[tuple[int, int, Word]] = []
        assigns: list[tuple[str, Word]] = []
        found: list[Redirect] = []
        stdin: Word | None = None
        here = [*(node.named_children if node is not None else ()), *redirects]
        self._spent += len(here)
        if self._over():
            return
        for child in here:
            if child.type == "variable_assignment":
                if words:
                    words.append((child.start_byte, child.end_byte, self._words.raw(child)))
                elif (pair := self._assignment(child)) is not None:
                    assigns.append(pair)
            elif child.type == "file_redirect":
                redirect, extra = self._redirect(child)
                found.extend(redirect)
                words.extend(extra)
            elif child.type in {"herestring_redirect", "heredoc_redirect"}:
                self._outside(child)
                stdin = self._here(child, depth)
            elif child.type == "command_name":
                words.append((child.start_byte, child.end_byte, self._words.word(child.named_children[0])))
            elif child.type != "comment":
                words.append((child.start_byte, child.end_byte, self._words.word(child)))
        ordered = _joined(words)
        if not ordered and assigns:
            self._known.update(assigns)
            self._doubt("assigns variables", "grammar: assignment")
        self._join(";")
        self._order.append(len(self._commands))
        self._commands.append(Simple(ordered, tuple(assigns), tuple(found), feeds, stdin))
        bare = self._source[node.start_byte : node.end_byte].decode(errors="replace") if node is not None else ""
        if not bare.isascii() and any(looks_alike(piece) for piece in _unquoted(bare)):
            reason = "has characters that look like others"
            self._doubt(reason, "bytes: look-alike", CallClass.FORBIDDEN, _short(bare))

    def _redirect(self, node: Node) -> tuple[list[Redirect], list[tuple[int, int, Word]]]:
        """The redirect, and words that the parser put into it though they are arguments."""
        fd, operator = "", ""
        targets: list[Node] = []
        for child in node.children:
            if child.type == "file_descriptor":
                fd = self._source[child.start_byte : child.end_byte].decode(errors="replace")
            elif child.is_named:
                targets.append(child)
            else:
                operator = child.type
        extra = [(target.start_byte, target.end_byte, self._words.word(target)) for target in targets[1:]]
        if (fd and not fd.isdigit()) or self._source[: node.start_byte].endswith(b"}"):  # {fd}<file
            self._doubt("opens a file descriptor by name", "grammar: file descriptor", segment=self._slice(node))
        if operator in {">&-", "<&-"}:
            return [Redirect(operator, None, f"{fd}{operator}")], extra
        if not targets:
            self._doubt("redirects to nothing", "grammar: redirect", segment=self._slice(node))
            return [], extra
        target = self._words.word(targets[0])
        if operator in {">&", "<&"} and (target.text.isdigit() or target.text == "-"):
            return [Redirect(operator, None, f"{fd}{operator}{target.text}")], extra
        return [Redirect(operator, target, f"{fd}{operator} {target.shell}")], extra

    def _here(self, node: Node, depth: int) -> Word | None:
        """The text of a here-string, or of a here-document; commands in it run where its end mark is not quoted."""
        if node.type == "herestring_redirect":
            content = [child for child in node.named_children if child.type != "file_descriptor"]
            return self._words.word(content[0]) if content else None
        start = next((child for child in node.named_children if child.type == "heredoc_start"), None)
        body = next((child for child in node.named_children if child.type == "heredoc_body"), None)
        for child in node.named_children:
            if child.type not in {"heredoc_start", "heredoc_body", "heredoc_end", "file_descriptor"}:
                self._statement(child, depth + 1)  # `cat <<EOF | sh`: the parser hangs the rest of the line in here
        if start is None or body is None:
            return None
        text = self._source[body.start_byte : body.end_byte].decode(errors="replace")
        quoted = any(sign in self._source[start.start_byte : start.end_byte] for sign in b"'\"\\")
        if not quoted and ("`" in text or body.named_child_count):
            self._nested(body)
            for piece in re.findall(r"`([^`]*)`", text):
                self._text_of(piece)
            return Word(HOLE, HOLE)
        return Word.of(text)

    def _text_of(self, piece: str) -> None:
        """Commands that the parser did not see: read by a walk of their own."""
        line = read_line(piece)
        self._doubts.extend(line.doubts)
        self._commands.extend(line.commands)


def _joined(words: list[tuple[int, int, Word]]) -> tuple[Word, ...]:
    r"""The words in their order. What touches is one word, though the parser may have seen several ("a"\\b)."""
    ordered: list[Word] = []
    ended = -1
    for start, end, word in sorted(words, key=lambda placed: placed[0]):
        if start == ended and ordered:
            ordered[-1] = join_words((ordered[-1], word))
        else:
            ordered.append(word)
        ended = end
    return tuple(ordered)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 100 else text[:99] + "…"


def _unquoted(text: str) -> list[str]:
    return re.split(r"'[^']*'|\"(?:\\.|[^\"\\])*\"", text)
