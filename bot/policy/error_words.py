"""One error's words without what changes from run to run: ids, addresses, places, times. Pure, bounded, linear.

What stays is what makes it another error: names of variables, packages, units and modules, status and exit codes.
"""

import re
from collections.abc import Callable

RAW = 1200  # characters of one error that are looked at
KEPT = 240  # characters of its normal form: longer ones differ in what follows, not in what they are

# What stands before the error on its line: times, log levels, journal and klog prefixes, shells, logins.
PREFIX = re.compile(
    r"""\s*(?:
      \[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|\s?[+-]\d\d:?\d\d)?\]?[\s:-]*
    | [A-Z][a-z]{2}\s{1,2}\d{1,2}\s\d\d:\d\d:\d\d\s[\w.-]{1,80}\s[\w@./-]{1,80}(?:\[\d{1,9}\])?:\s
    | [IWEF]\d{4}\s\d\d:\d\d:\d\d\.\d{1,9}\s{1,8}\d{1,9}\s[\w.-]{1,60}:\d{1,6}\]\s
    | \[?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?\]?\s
    | \[\s*\d{1,9}\.\d{1,9}\]\s
    | \[?(?:ERROR|FATAL|CRITICAL|CRIT|ERR|error|fatal|Error|Fatal)\]?!?:?\s(?!from\s)
    | (?:-?bash|(?:/usr)?/bin/\w{2,6}|sh|dash|zsh|ash):\s(?:line\s)?(?:\d{1,6}:\s)?
    | [\w.+-]{1,40}@[\w.:-]{1,80}:\s
    )""",
    re.VERBOSE,
)

TOP_LEVELS = (
    "com|org|net|io|dev|local|lan|home|internal|intern|lab|arpa|test|example|invalid|localdomain|localhost|corp|"
    "cloud|edu|gov|int|app|sh|eu|de|at|ch|fr|nl|uk|us|info"
)
FILE_ENDS = "tf|tfvars|tfstate|tfplan|hcl|ya?ml|json|py|sh|j2|conf|cfg|ini|log|env|toml|list|img|iso|qcow2|raw|vmdk|xml|key|crt|pem"

Change = tuple[re.Pattern[str], str]


def _change(pattern: str, becomes: str, flags: int = re.IGNORECASE) -> Change:
    return re.compile(pattern, flags), becomes


# In this order: what is longer or more certain goes first, so that its parts are not taken for something else.
CHANGES: tuple[Change, ...] = (
    _change(r"""\\["']|[“”„"`]|(?<!\w)['‘’]|['‘’](?!\w)""", ""),
    _change(r"\b(?:SHA256|SHA512|MD5|h1|zh):[\w+/=:-]{16,200}", "<digest>"),  # before <url>: a digest may begin with //
    _change(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s<>)\]},;]{1,600}?(?=[:.,;]?(?:[\s<>)\]},;]|$))", "<url>"),
    _change(r"\bUPID:[\w.-]{1,80}(?::[\w.@!-]{0,80}){3,10}", "<upid>"),
    _change(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", "<id>"),
    _change(r"\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b", "<mac>"),
    _change(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d{1,9})?(?:\s?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))*)?", "<time>"),
    _change(
        r"\b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6},?\s{1,2})?(?:\d{1,2}\s)?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
        r"\s{1,2}\d{1,4}(?:,?\s\d{4})?\s\d\d:\d\d(?::\d\d)?(?:\.\d{1,9})?(?:\s(?:AM|PM|UTC|GMT|CET|CEST|\d{4}))*",
        "<time>",
    ),
    _change(r"\b\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?\b", "<time>"),
    _change(r"\b\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?(?::\d{1,5})?\b", "<ip>"),
    _change(r"\[[0-9a-f:.]{2,60}(?:%\w{1,20})?\](?::\d{1,5})\b", "<ip>"),
    _change(r"(?<![\w:.<])(?=[0-9a-f:]{0,40}:[0-9a-f]{0,4}:)[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:/\d{1,3})?(?![\w:])", "<ip>"),
    _change(r"(?<![\w<])(?:~|\.{1,2})?/(?:[^\s:,;()\[\]{}<>=|]{1,400})", "<path>"),
    _change(rf"(?<![\w<./-])[\w@.-]{{1,80}}(?:/[\w@.-]{{1,80}}){{0,10}}\.(?:{FILE_ENDS})(?:\.backup)?(?::\d{{1,6}}){{0,2}}(?![\w/-])", "<file>"),
    _change(r"-(?=[a-z]{0,9}\d)[a-z0-9]{8,10}-[a-z0-9]{5}\b", "-<id>"),  # pods of a deployment
    _change(
        r"\b(cannot (?:access|open|stat|remove|touch|read|find|create(?: directory| regular file)?)|l?stat|open|opening|reading file)"
        r" (?!<)[^\s:]{1,400}(?=: )",
        r"\1 <path>",
    ),
    _change(r"\b0x[0-9a-f]{1,32}\b", "<id>"),
    _change(r"\b(?:sha\d{1,3}-)?(?=[a-f]{0,40}\d)(?=\d{0,40}[a-f])[0-9a-f]{7,128}\b", "<id>"),
    _change(r"(?<![\w/])(?=[A-Za-z+/]{0,60}\d)[A-Za-z0-9+/]{32,800}={0,2}(?![\w/])", "<id>"),
    _change(r"(?<!\w)[a-z]:\\[^\s:,;()<>|]{1,400}", "<path>"),
    _change(r"\b(via ssh:) (?!ssh\b|<)(?:[\w.+-]{1,40}@)?[\w.-]{1,120}(?=: )", r"\1 <host>"),
    _change(r"(?<![\w<./])[\w.+-]{1,40}@(?:<ip>|[\w.-]{1,120})(?=: )", "<host>"),
    _change(r"\b(nodes?/)[\w.-]{1,120}", r"\1<host>"),
    # hosts: where the sentence says that it is one, with a port, or with a name's end
    _change(r"\b(connect to host|connect to|resolve host(?:name)?:?|failure resolving|hostname lookup|lookup|"
            r"(?:http|https)connectionpool\(host=)(\s?)(?!the\b|host\b|on\b|port\b|bus\b|server\b|<)[\w.-]{1,120}(?=[\s:,;.)]|$)", r"\1\2<host>"),
    _change(r"\b(cluster node|no such node|(?:on|from|via|to|for|of|reach|contact|join|drain|reboot) (?:node|host|server|machine)|(?:server|host)(?= [\w.-]{1,120} "
            r"(?:does not match|not found|is not|port)))(\s)(?!key\b|<|the\b|is\b|or\b)[\w.-]{1,120}(?=[\s:,;.)]|$)", r"\1\2<host>"),
    _change(rf"(?<![\w.@/<-])(?:[a-z0-9-]{{1,63}}\.){{1,8}}(?:{TOP_LEVELS})(?::\d{{1,5}})?(?![\w-]|\.\w)", "<host>"),
    _change(r"(?<![\w./<:-])[a-z][\w.-]{0,80}:\d{2,5}(?![\w.:])", "<host>"),
    _change(r"\b(ports?)([\s:=-]{1,2})\d{1,5}\b", r"\1\2<port>"),
    _change(r"(?<!\w)\[\d{1,9}\](?=[:\s]|$)|(?<=\w)\[\d{1,9}\]", ""),  # process ids, indexes of counted resources
    _change(r"\b(?:\d{1,9}(?:\.\d{1,9})?(?:h|m|s|ms|µs|us|ns)){1,4}\b", "<time>"),
    _change(r"\b\d{1,9}(?:\.\d{1,9})? ?(?:ms|s|milliseconds?|sec|secs|seconds?|mins?|minutes?|hours?|days?)\b", "<time>"),
    _change(r"\b\d{1,15}(?:[.,]\d{1,9})? ?(?:[kmgtp]i?b?|bytes|%)(?!\w)", "<n>"),
    _change(r"\bv?\d{1,6}(?:\.\d{1,6}){1,4}(?:[-+~][\w.+~-]{1,40})?\b", "<version>"),
)  # fmt: skip

# Digits that are part of what the error is: codes that a word introduces, reasons of HTTP, names with a digit in them.
NUMBER = re.compile(
    r"""(?P<kept>
      \b(?:HTTP(?:/[\d.]{1,4})?|status(?:\scode)?|code|error|errno|response(?:\scode)?|exit(?:\s(?:status|code))?|rc|curl)
      \s?[:=]?\s?\(?\d{1,3}\b
    | (?<![\w.-])[45]\d\d(?=\s(?:Bad|Conflict|Forbidden|Gateway|Internal|Method|Not|Parameter|Request|Service|Too|Unauthorized|authentication|permission)\b)
    | \b(?:ipv[46]|x509|ext[234]|http[123]|sha(?:1|256|512)|md5|base64|k8s|k3s|amd64|arm64|i386|x86_64|utf-?8|oauth2|s3|
        python[23]|ed25519|virtio|e1000|q35|ip6tables|ipip6|ifupdown2|lvm2|qcow2|l2|l3|br_netfilter)\b
    ) | (?P<number>\d{1,400})""",
    re.IGNORECASE | re.VERBOSE,
)
SAME = re.compile(r"(<\w{1,8}>)(?:(?:,\s?|\s|/|-)\1){1,400}")
BLANK = re.compile(r"\s{1,1200}")


def normal(text: str) -> str:
    """One line in which the same error reads the same, at most KEPT characters; empty for blank text."""
    line = BLANK.sub(" ", text[:RAW]).strip()
    for _ in range(4):  # a journal line may hold a klog line that holds a time
        found = PREFIX.match(line)
        if found is None or found.end() >= len(line):
            break
        line = line[found.end() :]
    for pattern, becomes in CHANGES:
        line = pattern.sub(becomes, line)
    line = NUMBER.sub(_number(), line)
    line = SAME.sub(r"\1", line)
    return BLANK.sub(" ", line)[:KEPT].strip(" .,:;-")


def _number() -> Callable[[re.Match[str]], str]:
    return lambda found: found["kept"] or "<n>"
