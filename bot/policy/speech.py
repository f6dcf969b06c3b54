"""What may be said aloud: reasoning that a model wrote into its answer is cut out and counted (rule 2). Pure."""

import re
from dataclasses import dataclass

# What must not stand in any post. The lab counts the same signs in what it receives.
SIGNS = re.compile(r"</?think|::think|thinking step", re.IGNORECASE)
BLOCK = re.compile(r"<think[^<>]*>.*?</think[^<>]*>", re.IGNORECASE | re.DOTALL)
CLOSED_ONLY = re.compile(r"\A.*</think[^<>\n]*>?", re.IGNORECASE | re.DOTALL)
OPEN_ONLY = re.compile(r"<think.*\Z", re.IGNORECASE | re.DOTALL)
LINE = re.compile(r"^.*?(?:::think|thinking step).*$\n?", re.IGNORECASE | re.MULTILINE)
NAME_LENGTH = 40  # a sign this near the start of its line is preceded by a name ("[Builder::think]"), not by speech
BLANKS = re.compile(r"\n[ \t]*\n[ \t\n]*\n")


@dataclass(frozen=True, slots=True)
class Cut:
    """`speech` holds no sign of reasoning any more; `thought` is what was cut; `leaks` how many pieces that were."""

    speech: str
    thought: str
    leaks: int


def cut(text: str) -> Cut:
    """Part what is said from reasoning that leaked into it: <think> blocks, closed or not, ::think lines and
    "Thinking step 3/20" lines. Cutting what was cut changes nothing.
    """
    thoughts: list[str] = []
    while SIGNS.search(text):  # pieces that move together may form a new sign; each round makes the text shorter
        text = _round(text, thoughts)
    speech = BLANKS.sub("\n\n", text).strip()
    return Cut(speech, "\n".join(thought for thought in thoughts if thought), len(thoughts))


def _round(text: str, thoughts: list[str]) -> str:
    def take(found: re.Match[str]) -> str:
        thoughts.append(_bare(found.group(0)))
        return ""

    def take_line(found: re.Match[str]) -> str:
        line = found.group(0)
        sign = SIGNS.search(line)
        start = sign.start() if sign else 0
        kept = line[:start] if start > NAME_LENGTH else ""
        thoughts.append(_bare(line[len(kept) :]))
        return kept.rstrip() + "\n" if kept else ""

    text = BLOCK.sub(take, text)
    text = CLOSED_ONLY.sub(take, text, count=1)
    text = OPEN_ONLY.sub(take, text, count=1)
    return LINE.sub(take_line, text)


def _bare(piece: str) -> str:
    """The reasoning without the tags around it."""
    return re.sub(r"</?think[^<>\n]*>?", "", piece, flags=re.IGNORECASE).strip()
