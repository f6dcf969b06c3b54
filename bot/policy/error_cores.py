"""Finding the errors in what a tool printed: the form it is written in, and each error's own words. Pure, linear.

The forms are tried from the most structured to the plainest; the first that finds an error has the word.
"""

import re
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from bot.policy.error_records import ansible_errors, terraform_errors

CORES = 8  # errors of one text that count
HEAD, TAIL = 24_000, 64_000  # characters of a long text that are read whole
AROUND, HITS = 1200, 6  # between them, what stands around so many places of each sign
SIGNS = ("rror", "ERROR", "FAILED", "fatal:", "E: ", "denied", "refused", "Traceback")
LINE = 600  # characters of one line on either side of what was found in it

ESCAPES = re.compile(r"\x1b(?:\[[0-9;:?<=>]{0,60}[ -/]{0,4}[@-~]|\][^\x07\x1b\n]{0,500}(?:\x07|\x1b\\)|[@-Z\\^_=>78])")
FRAME = re.compile(r"^[ \t]{0,8}[╷╵│┃╭╰|](?:[ \t]|$)", re.MULTILINE)
UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b-\u200f\u2060\ufeff╷╵]")
OVERWRITTEN = re.compile(r"^[^\n]*\r(?=[^\n])", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Found:
    """`form` names how the errors were written, empty where none was recognised; `cores` in the order of the text."""

    form: str
    cores: tuple[str, ...]


def errors_in(text: str) -> Found:
    """Every error of `text`, at most CORES different ones."""
    seen = cleaned(excerpt(text))
    for form, find in FORMS:
        cores = tuple(dict.fromkeys(islice(find(seen), CORES * 8)))[:CORES]
        if cores:
            return Found(form, cores)
    return Found("", ())


def excerpt(text: str) -> str:
    """The whole of a short text; of a long one its head, its tail and what stands around signs of errors between."""
    if len(text) <= HEAD + TAIL:
        return text
    end = len(text) - TAIL
    spans = sorted(
        (max(HEAD, place - AROUND // 4), min(end, place + AROUND))
        for sign in SIGNS
        for place in islice(_places(text, sign, HEAD, end), HITS)
    )
    pieces, at = [text[:HEAD]], HEAD
    for start, stop in spans:
        if stop > at:
            pieces.append(("" if start <= at else "\n") + text[max(start, at) : stop])
            at = stop
    return "".join(pieces) + ("\n" if at < end else "") + text[end:]


def cleaned(text: str) -> str:
    """Without colours, frames, what a progress line overwrote, and characters that nobody sees."""
    text = ESCAPES.sub("", text).replace("\r\n", "\n")
    if "\r" in text:
        text = OVERWRITTEN.sub("", text).replace("\r", "\n")
    return UNSEEN.sub("", FRAME.sub("", text))


def _places(text: str, sign: str, start: int, end: int) -> Iterator[int]:
    """Where `sign` stands, each well behind the one before, so that a page of them is one place."""
    place = text.find(sign, start, end)
    while place >= 0:
        yield place
        place = text.find(sign, place + AROUND, end)


def _lines(pattern: re.Pattern[str], text: str, lower: str = "") -> Iterator[str]:
    """Each line in which the pattern is found, once, cut to LINE characters around it. `lower`: where to look."""
    at = 0
    while found := pattern.search(lower or text, at):
        start = max(text.rfind("\n", 0, found.start()) + 1, found.start() - LINE)
        end = text.find("\n", found.end())
        end = len(text) if end < 0 else end
        yield text[start : min(end, found.end() + LINE)].strip()
        at = end + 1
        if at > len(text):
            return


def _of(pattern: str, flags: int = 0) -> Callable[[str], Iterator[str]]:
    compiled = re.compile(pattern, flags | re.MULTILINE)
    return lambda text: _lines(compiled, text)


def _preflight(text: str) -> Iterator[str]:
    """Kubeadm's checks, each by its name without the file or port in it."""
    for found in re.finditer(r"\[ERROR ([A-Za-z]{1,60})[\w.-]{0,200}\]: ([^\n]{1,600})", text):
        yield f"preflight {found[1]}: {found[2]}"


EXCEPTION = re.compile(r"^(?:[A-Za-z_][\w]{0,60}\.){0,8}([A-Z]\w{0,60}(?:Error|Exception|Failure|Timeout|Exit|Interrupt|Warning)\w{0,20})(?:: ([^\n]{0,900}))?$",
                       re.MULTILINE)  # fmt: skip


def _python(text: str) -> Iterator[str]:
    """The exception that ended the last traceback, or stands alone as a client's last word."""
    start = text.rfind("Traceback (most recent call last)")
    last = None
    for found in islice(EXCEPTION.finditer(text, max(start, 0)), 64):
        last = found
        if start < 0:
            break
    if last is not None:
        yield f"{last[1]}: {last[2]}" if last[2] else last[1]


LOWER = {ord(one): one.lower() for one in string.ascii_uppercase}  # a third of IGNORECASE's time, and no length changes
PLAIN = re.compile(
    r"\b(?:error|fatal|failed|failure|cannot|can't|couldn't|could not|unable|denied|refused|timed out|timeout|not found|"
    r"no such|not permitted|not allowed|not supported|not finished|not ready|not installed|invalid|unknown|unreachable|"
    r"no space left|exception|panic|aborted|expired|locked|already exists|in use|out of memory|killed|conflict|"
    r"no route to host|mismatch|skew|undefined|syntax|does not exist|exceeded|not running|no quorum|rejected|"
    r"missing|still running|isn't running|read-only|insufficient|untolerated)\b",
)
WEAKER = re.compile(  # words that also stand in lines about something else: looked for only where none of the above is
    r"\b(?:does not|did not|must (?:be|not)|not valid|not a|too (?:large|long|small|short|old|many)|lost|crash(?:ed)?|"
    r"violat(?:es|ion)|incompatible|unsupported|illegal|broken|abort|segfault|undeclared|unexpected|forbidden|unauthorized|"
    r"unhealthy|inactive|fail(?:s|ing)?|wrong|offline|unresolved|blocked|exited)\b"
)
HEADLINE = re.compile(r"(?:\((?:exit|code|rc)\b[^)\n]{0,40}\)|failed|validate|run)[:.]?$", re.IGNORECASE)
NONE_OF_THEM = re.compile(
    r"^\[?warning\]?: |\b(?:0|no|without) (?:errors?|failures?|failed)\b|\b(?:errors?|failed|unreachable)[=:] ?0\b",
    re.IGNORECASE,
)


def _plain(text: str) -> Iterator[str]:
    """The first line that says that something is wrong; a headline only where nothing more telling follows."""
    lower = text.translate(LOWER)
    headline = ""
    for sign in (PLAIN, WEAKER):
        for line in islice(_lines(sign, text, lower), 200):
            if NONE_OF_THEM.search(line):
                continue
            if not HEADLINE.search(line):
                yield line
                return
            headline = headline or line
        if headline:
            yield headline
            return


def _ansible(text: str) -> Iterator[str]:
    return ansible_errors(text, _within)


def _within(text: str) -> str:
    """What a program that Ansible ran said: the first error of it, in whatever form."""
    for form, find in FORMS:
        if form != "ansible" and (core := next(find(text), "")):
            return core
    return ""


FORMS: Sequence[tuple[str, Callable[[str], Iterator[str]]]] = (
    ("ansible", _ansible),
    ("kubeadm", _preflight),
    ("terraform", terraform_errors),
    ("python", _python),
    ("ssh", _of(
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed|Host key for server |"
        r"Permission denied \((?:publickey|password)|"
        r"ssh: connect to host|ssh: Could not resolve|kex_exchange_identification|Too many authentication failures|"
        r"sudo: a (?:terminal|password) is required|sudo: no tty present")),
    ("proxmox", _of(
        r"TASK ERROR: |got no worker upid|\bno quorum\b|can't lock file|Permission check failed|"
        r"\bHTTP [45]\d\d response|\b(?:401 Unauthorized|403 Forbidden|5\d\d Internal Server Error)|"
        r"(?:VM|CT) is locked|QEMU guest agent is not running|storage '?[\w-]{1,60}'? does not exist")),
    ("kubernetes", _of(
        r"^Error from server|The connection to the server \S{1,200} was refused|^Unable to connect to the server|"
        r"\b(?:ErrImagePull|ImagePullBackOff|CrashLoopBackOff|OOMKilled|CreateContainerConfigError)\b|etcdserver: |"
        r"error execution phase|x509: |rpc error: code = ")),
    ("apt", _of(r"^E: |^dpkg: error|^Err:\d|dpkg was interrupted")),
    ("systemd", _of(
        r"^Job for \S{1,200} failed|^(?:\S{1,200} )?Failed to (?:start|restart|stop|enable|reload|connect to bus)\b|"
        r"Unit \S{1,200} (?:not found|could not be found|is masked)|Failed with result '|Active: failed")),
    ("plain", _plain),
)  # fmt: skip
