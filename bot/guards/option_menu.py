"""An agent ends its turn with a menu in free text: two or more ways to answer, set out for a person to pick from.

What counts is the form at the end of the message: tokens to type back, lettered or numbered options, or a list of
offers, together with the call to pick one. A question with buttons and a default (`ask_human`) is no menu.
"""

import re

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.log import Logged
from bot.guards.guard import NOTHING, Found, Guard

TAIL = 2400  # characters: a menu ends the message
END = 420  # characters in which the call to pick stands, for offers in prose
PICK = re.compile(
    r"\b(?:which|pick|choose|choice|select|prefer|reply|respond|answer|say|confirm|decide|indicate|tell me|instruct)\b",
    re.IGNORECASE,
)
NAME = r"(?:I WILL )?[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+"  # a word of a protocol, in capitals
BACK = re.compile(
    rf"\b(?:reply|respond|say|answer|choose|pick|select)\b[^.\n$=]{{0,80}}?[\"“`( ]({NAME})(?![\w=}}/.])",
    re.IGNORECASE | re.ASCII,
)
REPLY = re.compile(r"\b(?:reply|respond|choose|pick|select|say|answer|decision|choice)\b", re.IGNORECASE)
NEAR = 300  # characters between the call to answer and the word to say
ALONE = re.compile(
    rf"^[ \t]*(?:[-*•]|\d{{1,2}}[.)])?[ \t]*[\"“`]?({NAME})[\"”`]?[ \t]*(?:$|[—–(|]|- |or\b)", re.MULTILINE
)
ALTERNATIVE = re.compile(rf"(?<![\w$/])({NAME})[\"”`]?(?: ?[|/] ?|,? or )[\"“`]?(?=({NAME}))")
CAPITALS = re.compile(r"(?<![\w/])[A-Z]{4,}(?: [A-Z]{3,})*(?:/[A-Z]{4,}(?: [A-Z]{3,})*)+(?![\w/])")
STATUS = re.compile(r"\[[A-Z_ ]+\]")  # a sign for the reader, nothing to say back
LETTERED = re.compile(r"\b(?:option|choice|alternative|variant)\s*\(?([A-D1-6])\b|(?<!\w)\(([A-D])\)", re.IGNORECASE)
SPELLED = re.compile(
    r"\b(?:reply|respond|say|answer|state)\b[^.\n]{0,60}?[\"“”'`«]([^\"“”'`»\n]{2,60})[\"“”'`»]", re.IGNORECASE
)
QUOTES = re.compile(r"[\"“”'`«]")
REVIEW = frozenset({"approved", "approve", "stop"})  # the review's own words, between agents
OFFER = re.compile(r"^[ \t]*(?:[-*•–]|\(?\d{1,2}[.)]|\(?[a-dA-D][.)])\s+\S", re.MULTILINE)
WHICH = re.compile(
    r"\bwhich (?:(?:one|ones|option|options|of (?:those|these|the)\b[^?\n]{0,40}|path|way|approach|route)\b[^?\n]{0,80}|(?:would|do|should|can|shall) (?:you|I|we)\b[^?\n]{0,80})\?"
    r"|\b(?:would|do) you (?:prefer|want|like)\b[^?\n]{0,160}\bor\b[^?\n]{0,120}\?"
    r"|\bplease (?:choose|pick|select|indicate|advise which|tell me which)\b"
    r"|\b(?:choose|pick|select) (?:one|an option|now|between|either)\b",
    re.IGNORECASE,
)
EITHER = re.compile(r"\bor\b|\bOR\b|\||/")


def step(state: None, logged: Logged) -> tuple[None, Found]:
    match logged.entry:
        case log.Spoke(_, by, text):
            found = menu(text)
            if len(found) < 2:
                return state, NOTHING
            said = f"{by} set out {len(found)} ways to answer in free text"
            return state, (Detection("option_menu", by, by, logged.id, logged.id, said, found),)
        case _:
            return state, NOTHING


def menu(text: str) -> tuple[str, ...]:
    """The ways to answer that a message sets out, fewer than two where it is no menu."""
    tail = text[-TAIL:]
    ways = (_tokens(tail), _letters(tail), _spelled(tail), _offers(tail))
    return max(ways, key=len)


def _tokens(tail: str) -> tuple[str, ...]:
    """Words of a protocol, in capitals, that a person should type back."""
    tail = STATUS.sub("", tail)
    found: dict[str, None] = {}
    marked = "\n".join(line for line in tail.splitlines() if "_" in line)
    if marked:
        found.update(dict.fromkeys(name for name in BACK.findall(marked) if name.isupper()))
        pairs = [*ALONE.finditer(tail), *ALTERNATIVE.finditer(tail)]  # names of settings, unless they are asked for
        asked = (one for one in pairs if REPLY.search(tail[max(0, one.start() - NEAR) : one.end() + 60]))
        found.update(dict.fromkeys(name for one in asked for name in one.groups()))
    for line in tail.splitlines():
        if "/" in line and PICK.search(line):
            found.update(dict.fromkeys(name for run in CAPITALS.findall(line) for name in run.split("/")))
    return tuple(found) if PICK.search(tail) else ()


def _letters(tail: str) -> tuple[str, ...]:
    """Option A, option B: lettered or numbered, and a call to pick."""
    if "ption" not in tail and "(" not in tail and "lternative" not in tail and "hoice" not in tail:
        return ()
    found = dict.fromkeys((one or other).upper() for one, other in LETTERED.findall(tail))
    return tuple(f"option {letter}" for letter in found) if len(found) > 1 and _asks(tail) else ()


def _spelled(tail: str) -> tuple[str, ...]:
    """Two or more sentences that a person may say back, word for word."""
    quoting = "\n".join(line for line in tail.splitlines() if QUOTES.search(line))
    found = dict.fromkeys(words.strip(" .,") for words in SPELLED.findall(quoting))
    found = {words: None for words in found if words.casefold() not in REVIEW}
    return tuple(found) if len(found) > 1 and EITHER.search(tail) else ()


def _offers(tail: str) -> tuple[str, ...]:
    """A list of offers, or two with "or" between them, and the question which of them."""
    end = tail[-END:]
    asked = list(WHICH.finditer(end))
    if not asked:
        return ()
    offers = tuple(found.group(0).strip()[:40] for found in OFFER.finditer(tail[-END * 3 :]))
    if len(offers) > 1:
        return offers[-6:]
    return ("one", "the other") if re.search(r"\bor\b", end, re.IGNORECASE) else ()


def _asks(tail: str) -> bool:
    return bool(
        WHICH.search(tail[-END * 2 :])
        or re.search(r"\b(?:reply|choose|pick|select|confirm|choice)\b", tail[-END * 2 :], re.IGNORECASE)
    )


GUARD = Guard("option_menu", (log.Spoke,), None, step)
