"""sed, awk and jq scripts: read as far as it takes to know that they only transform text."""

import re

from bot.domain.calls import CallClass
from bot.policy.commands.script_effects import Script

ADDRESS = re.compile(r"(?:\d+(?:~\d+)?|\$|\\?/(?:\\.|\[[^\]]*\]|[^/\\\n])*/[IM]*|\+\d+|~\d+)")
AWK_STRING = re.compile(r'"(?:\\.|[^"\\\n])*"')
AWK_REGEX = re.compile(r"(?<=[(,~!&|{;\s])/(?:\\.|\[[^\]]*\]|[^/\\\n])+/|^/(?:\\.|[^/\\\n])+/")
AWK_COMMENT = re.compile(r"#[^\n]*")
JQ_STRING = re.compile(r'"(?:\\.|[^"\\])*"')


class _Sed:
    """One sed script, command by command."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.script = Script()

    def read(self) -> Script:
        while self._at < len(self._text):
            if self._text[self._at] in " \t\n;{}":
                self._at += 1
                continue
            if not self._command():
                self.script.add(CallClass.UNKNOWN, "has a sed script that is not understood")
                break
        return self.script

    def _addresses(self) -> None:
        for _ in range(2):
            found = ADDRESS.match(self._text, self._at)
            if found:
                self._at = found.end()
            self._blanks()
            if self._text[self._at : self._at + 1] == ",":
                self._at += 1
                self._blanks()
        while self._text[self._at : self._at + 1] == "!":
            self._at += 1
            self._blanks()

    def _blanks(self) -> None:
        while self._text[self._at : self._at + 1] in {" ", "\t"}:
            self._at += 1

    def _command(self) -> bool:
        self._addresses()
        letter = self._text[self._at : self._at + 1]
        self._at += 1
        if letter in {"{", "}"}:
            return True
        if letter and letter in "pPdDnNhHgGxlz=qQF":
            number = re.compile(r"\s*\d*\s*(?=[;}\n]|$)").match(self._text, self._at)
            if number:
                self._at = number.end()
            return number is not None
        if letter and letter in "btT:":
            self._line(";\n}" if letter != ":" else ";\n")
            return True
        if letter and letter in "aic":
            self._line("\n")
            return True
        if letter == "y":
            return self._delimited(2)
        if letter == "s":
            return self._delimited(2) and self._flags()
        if letter and letter in "rRwWe":
            return self._file(letter)
        return False

    def _line(self, ends: str) -> str:
        began = self._at
        while self._at < len(self._text) and self._text[self._at] not in ends:
            self._at += 1 + (self._text[self._at] == "\\")
        return self._text[began : self._at].strip()

    def _delimited(self, parts: int) -> bool:
        sign = self._text[self._at : self._at + 1]
        if not sign or sign in "\n\\":
            return False
        self._at += 1
        for _ in range(parts):
            inside = False
            while self._at < len(self._text) and (self._text[self._at] != sign or inside):
                if self._text[self._at] == "\\":
                    self._at += 1
                self._at += 1
            if self._at >= len(self._text):
                return False
            self._at += 1
        return True

    def _flags(self) -> bool:
        while self._at < len(self._text) and self._text[self._at] not in " \t\n;}":
            flag = self._text[self._at]
            self._at += 1
            if flag == "w":
                self.script.writes.append(self._line("\n"))
            elif flag == "e":
                self.script.add(CallClass.DESTROY, "runs what sed makes of its input")
            elif flag not in "gpiIMm0123456789":
                return False
        return True

    def _file(self, letter: str) -> bool:
        name = self._line("\n")
        if letter in "rR":
            self.script.reads.append(name)
            self.script.add(CallClass.SENSITIVE_READ, "shows a file that its script names")
        elif letter in "wW":
            self.script.writes.append(name)
        elif name:
            self.script.commands.append(name)
            self.script.add(CallClass.UNKNOWN, "runs a command from a sed script")
        else:
            self.script.add(CallClass.DESTROY, "runs what sed reads as commands")
        return True


def read_sed(text: str) -> Script:
    """A sed script (GNU, and what others share with it)."""
    return _Sed(text).read()


def read_awk(text: str) -> Script:
    """An awk program: anything that starts a command, writes a file or loads code is found by its sign."""
    script = Script()
    strings: list[str] = []

    def kept(match: re.Match[str]) -> str:
        strings.append(match.group()[1:-1])
        return f'"{len(strings) - 1}"'

    bare = AWK_REGEX.sub("R", AWK_COMMENT.sub("", AWK_STRING.sub(kept, text)))
    for number in re.findall(r'\bsystem\s*\(\s*"(\d+)"\s*\)', bare):
        script.commands.append(strings[int(number)])
    for number in re.findall(r'\|&?\s*"(\d+)"|"(\d+)"\s*\|&?\s*getline', bare):
        script.commands.append(strings[int(number[0] or number[1])])
    if re.search(r"\bsystem\b|(?<!\|)\|(?!\|)", bare):
        script.add(CallClass.UNKNOWN, "starts commands from an awk program")
    if re.search(r"@(load|include|\w)|\b(extension|eval)\b", bare):
        script.add(CallClass.UNKNOWN, "loads or calls other code from an awk program")
    if re.search(r"\bgetline\b", bare):
        _reads_by_getline(bare, strings, script)
    if re.search(r"\bENVIRON\b|\bPROCINFO\b", bare):
        script.add(CallClass.SENSITIVE_READ, "shows the environment of the process")
    _prints(bare, strings, script)
    return script


def _reads_by_getline(bare: str, strings: list[str], script: Script) -> None:
    files = re.findall(r'\bgetline\b[^;}\n]*<\s*"(\d+)"', bare)
    script.reads.extend(strings[int(number)] for number in files)
    if len(files) < len(re.findall(r"\bgetline\b", bare)):
        script.add(CallClass.UNKNOWN, "reads from a command or a computed file in an awk program")


def _prints(bare: str, strings: list[str], script: Script) -> None:
    """`print > "file"`: a `>` after print that no parenthesis holds is a redirect."""
    for statement in re.findall(r"\bprintf?\b([^;}\n]*)", bare):
        outside = statement
        while "(" in outside and outside != (shorter := re.sub(r"\([^()]*\)", "", outside)):
            outside = shorter
        if ">" in outside:
            named = re.search(r'>>?\s*"(\d+)"\s*$', outside)
            if named:
                script.writes.append(strings[int(named[1])])
            else:
                script.add(CallClass.UNKNOWN, "writes a computed file from an awk program")


def read_jq(text: str) -> Script:
    """A jq filter: it can only transform, except for the environment and modules."""
    script = Script()
    bare = JQ_STRING.sub(lambda match: " ".join(re.findall(r"\\\(([^)]*)\)", match.group())) or "S", text)
    if re.search(r"(?<![.\w])env\b|\$ENV\b|\$__prog", bare):
        script.add(CallClass.SENSITIVE_READ, "shows the environment of the process")
    if re.search(r"(?<![.\w$])(import|include|modulemeta|input_filename|get_search_list)\b", bare):
        script.add(CallClass.UNKNOWN, "loads other code into jq")
    return script
