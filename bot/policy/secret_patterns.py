"""What secrets look like: about sixty shapes, each found through a literal that it must contain.

All literals are looked for in one pass (Aho-Corasick); an expression is then matched at that place only, and goes on
behind what it took, so the time grows with the text's length and with nothing else. Sources: the providers' own
documents of their token formats, and the misses measured for public rule sets (PVE tokens, URL passwords, shadow
hashes, htpasswd, cloud-init passwords); docs/adr/0020 says why no public set is used as it is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from ahocorasick_rs import AhoCorasick, MatchKind

from bot.policy.exact_secrets import encodable
from bot.policy.placeholders import NAME, PLACEHOLDER

Span = tuple[int, int, str]

TAIL = r"[A-Za-z0-9_-]"
UUID = r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
# Values that are no secrets: references, types, masks of others, and what was redacted before.
NO_SECRET = re.compile(
    rf"""(?ix) ‹secret:{NAME}› | \(sensitive | \(known\ after | <[^<>\n]{{1,80}}> | \*{{3,}} | \$\{{ | \{{\{{ | \$\( | file\(
    | (?:var|local|data|module|each|self|ephemeral|random_password)\.[a-z_]
    | (?:str|string|bytes|int|bool|number|any|optional|null|none|true|false|required|sensitive)(?=[\s"',;)}}\]\\|?]|$)
    """
)
NAMES = (
    "password", "passwd", "passphrase", "_pass", "_pwd", "secret", "token", "api_key", "api-key", "apikey", "access_key",
    "access-key", "accesskey", "secret_key", "secretkey", "private_key", "privatekey", "presharedkey", "auth_key",
    "encryption_key", "accountkey", "client-key-data", "client_key_data", "certificatekey", "rediscli_auth",
)  # fmt: skip
ENDINGS = tuple(dict.fromkeys(name.replace("-", "_") for name in NAMES))


@dataclass(frozen=True, slots=True)
class Shape:
    """`pattern` is matched where one of `anchors` stands, in either case; its group `s` goes."""

    kind: str
    anchors: tuple[str, ...]
    pattern: re.Pattern[str]


def _shape(kind: str, anchors: str | tuple[str, ...], pattern: str, *, folded: bool = False) -> Shape:
    """`anchors`: words, or literals that hold spaces. `folded`: either case."""
    flags = re.IGNORECASE if folded else 0
    words = tuple(anchors.split()) if isinstance(anchors, str) else anchors
    return Shape(kind, words, re.compile(pattern, flags))


def _prefixed(kind: str, anchors: str, rest: str) -> Shape:
    """A token that begins with its anchor, at the beginning of a word; the whole word goes."""
    starts = "|".join(re.escape(anchor) for anchor in anchors.split())
    return _shape(kind, anchors, rf"(?<![A-Za-z0-9_-])(?P<s>(?:{starts}){rest}{TAIL}*)")


SHAPES: tuple[Shape, ...] = (
    _shape(
        "pem", "-----BEGIN",
        r"(?P<s>-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----))*(?:-----END [A-Z0-9 ]{0,60}-----)?)",
    ),
    _prefixed("age", "AGE-SECRET-KEY-1", r"[0-9A-Z]{40,80}"),
    _prefixed("jwt", "eyJ", r"[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}"),
    _prefixed("slack", "xoxa- xoxb- xoxc- xoxd- xoxe- xoxe. xoxo- xoxp- xoxr- xoxs- xapp-", r"[A-Za-z0-9.%/+=-]{8,}"),
    _shape("slack", "hooks.slack.com/", r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<s>[A-Za-z0-9/_-]{16,})"),
    _prefixed("aws", "AKIA ASIA AROA AIDA ABIA ACCA", r"[A-Z0-9]{16}(?![A-Z0-9])"),
    _prefixed("github", "ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9_]{20,}"),
    _prefixed("aws", "A3T", r"[A-Z0-9]{17}(?![A-Z0-9])"),
    _prefixed("github", "github_pat_", r"[A-Za-z0-9_]{20,}"),
    _prefixed("gitlab", "glpat- gldt- glrt- glcbt- glptt- glft- glsoat- glimt- glagent- gloas-", rf"{TAIL}{{20,}}"),
    _prefixed("model", "sk-", rf"{TAIL}{{20,}}"),
    _prefixed("google", "AIza", rf"{TAIL}{{35}}"),
    _prefixed("google", "ya29.", rf"{TAIL}{{20,}}"),
    _prefixed("google", "GOCSPX-", rf"{TAIL}{{20}}"),
    _prefixed("azure", "sig=", r"[A-Za-z0-9%+/]{40,120}={0,2}"),
    _prefixed("stripe", "sk_live_ sk_test_ rk_live_ rk_test_ whsec_", r"[A-Za-z0-9]{16,120}"),
    _prefixed("sendgrid", "SG.", rf"{TAIL}{{16,32}}\.{TAIL}{{30,64}}"),
    _prefixed("twilio", "SK", r"[0-9a-z]{32}(?![0-9a-z])"),
    _prefixed("npm", "npm_", r"[A-Za-z0-9-]{30,60}"),
    _prefixed("pypi", "pypi-AgE", rf"{TAIL}{{40,}}"),
    _prefixed("docker", "dckr_pat_ dckr_oat_", rf"{TAIL}{{20}}"),
    _prefixed("digitalocean", "dop_v1_ doo_v1_ dor_v1_", r"[a-f0-9]{40,80}"),
    _prefixed("vault", "hvs. hvb. hvr.", rf"{TAIL}{{20,}}"),
    _shape("terraform", ".atlasv1.", r"(?P<s>\.atlasv1\.[A-Za-z0-9_-]{40,100})"),
    _prefixed("grafana", "glsa_ glc_", r"[A-Za-z0-9_=+/-]{20,}"),
    _prefixed("tailscale", "tskey-", rf"{TAIL}{{16}}"),
    _prefixed("huggingface", "hf_", r"[A-Za-z0-9]{30,60}"),
    _prefixed("linear", "lin_api_ shpat_ shpss_ sntrys_ figd_", r"[A-Za-z0-9_-]{32,}"),
    _shape("telegram", ":AA", r"(?P<s>:AA[A-Za-z0-9_-]{33})(?![A-Za-z0-9_-])"),
    _shape("pve", "!", rf"![A-Za-z0-9_.-]{{1,60}}[=:][ \t]?(?P<s>{UUID})", folded=True),
    _shape("pve", "PVE: PBS: PMG:", r"(?:PVE|PBS|PMG):[^:\s]{1,80}:(?P<s>[0-9A-F]{8}::[A-Za-z0-9+/=]{20,})"),
    _shape("csrf", "csrfpreventiontoken", r"csrfpreventiontoken\\?[\"']?[ \t]{0,3}[:=][ \t]{0,3}\\?[\"']?(?P<s>[0-9a-f]{8}:[a-z0-9+/=]{20,100})", folded=True),
    _shape("url", "://", r"://[^\s:@/?#]{0,100}:(?P<s>[^\s@/]{1,})(?=@)"),
    _shape("url", "://", r"://(?P<s>[^\s:@/?#]{20,})(?=@)"),
    _shape("header", "authorization", r"authorization\\?[\"']?[ \t]{0,3}[:=][ \t]{0,3}\\?[\"']?(?:[a-z]{4,12}[ \t]{1,3})?(?P<s>[^\s\"',\\]{6,})", folded=True),
    _shape("header", "bearer", r"bearer[ \t]{1,3}(?P<s>[a-z0-9._~+/=-]{20,})", folded=True),
    _shape("header", "cookie:", r"cookie:[ \t]{0,3}(?P<s>[^\r\n]{4,})", folded=True),
    _shape("kubeadm", "certificate-key", r"certificate-key[ =\"']{1,3}(?P<s>[0-9a-f]{64})"),
    _shape("kubeadm", ("certificate key",), r"certificate key:?\s{1,8}(?P<s>[0-9a-f]{64})", folded=True),
    _shape("pem", "LS0tLS1CRUdJTiB", r"(?P<s>LS0tLS1CRUdJTiB(?:QUklW|SU0Eg|FQyBQ|EU0Eg|PUEVO|FTkNS|QR1Ag)[A-Za-z0-9+/\\\n\r]{16,}={0,2})"),
    _shape("pve", "full-tokenid", rf"full-tokenid[^\x00]{{0,400}}?\bvalue\b[^0-9a-z]{{1,24}}(?P<s>{UUID})", folded=True),
    _shape("ceph", "AQ", r"(?<![A-Za-z0-9+/])(?P<s>AQ[A-Za-z0-9+/]{36,38}==)(?![A-Za-z0-9+/=])"),
    _shape("netrc", "login", r"login[ \t]{1,4}(?!(?:and|or|via|with|using|by|plus)\b)\S{1,100}\s{1,8}password[ \t]{1,4}(?P<s>\S{1,})", folded=True),
    _shape("curl", "curl", r"curl\b[^\n|;]{0,160}?[ \t](?:-u|--user)[ =]?[\"']?[^\s:\"']{1,64}:(?P<s>[^\s\"']{1,})"),
    _shape("mysql", "mysql mariadb", r"(?:mysql|mariadb)[a-z_-]{0,12}\b[^\n|;]{0,120}?[ \t]-p(?P<s>[^\s\"'-][^\s\"']{1,})"),
    _shape("redis", "redis-cli", r"redis-cli\b[^\n|;]{0,120}?[ \t](?:-a|--pass)[ \t]{1,3}(?P<s>[^\s\"']{1,})"),
    _shape("redis", "requirepass masterauth", r"(?:requirepass|masterauth)[ \t]{1,4}\"?(?P<s>[^\s\"]{4,})", folded=True),
    _shape("vault", ("unseal key", "recovery key"), r"(?:unseal|recovery) key \d{1,2}:[ \t]{0,3}(?P<s>\S{20,})", folded=True),
    _shape("docker", '"auth', r"\"auth\\{0,3}\"[ \t]{0,3}:[ \t]{0,3}\\{0,3}\"(?P<s>[A-Za-z0-9+/=]{8,})"),
    _shape("azure", "Q~", r"(?<=[A-Za-z0-9_~.-]{4})(?P<s>Q~[A-Za-z0-9_~.-]{31,34})(?![A-Za-z0-9_~.-])"),
    _prefixed("atlassian", "ATATT3x ATCTT3x", rf"{TAIL}{{40,}}"),
    _prefixed("artifactory", "AKCp", r"[A-Za-z0-9]{60,}"),
    _prefixed("square", "sq0csp- sq0atp-", rf"{TAIL}{{22,}}"),
    _prefixed("model", "gsk_ xai- pplx- r8_", r"[A-Za-z0-9]{30,}"),
    _shape("putty", "PuTTY-User-Key-File-", r"PuTTY-User-Key-File-\d:[^\x00]{0,1200}?Private-Lines: \d{1,4}\r?\n(?P<s>(?:[A-Za-z0-9+/=]{1,76}\r?\n?){1,60})"),
    _shape("hash", "$", r"(?P<s>\$(?:1|2[abxy]?|5|6|7|y|gy|apr1|argon2id?|argon2d|scrypt|pbkdf2-sha\d{1,3})\$[./A-Za-z0-9$=,+-]{8,})"),
    _shape("hash", "{sha} {ssha} {sha256} {sha512} {crypt}", r"(?P<s>\{(?:s?sha|sha256|sha512|crypt)\}[A-Za-z0-9+/=$.]{10,})", folded=True),
    _shape("flag", "sshpass", r"sshpass[ \t]{1,3}-p[ \t]{0,3}(?P<s>\S{1,})", folded=True),
)  # fmt: skip

# Their literals stand in every log line, so the expression itself runs over the text; each begins with its literal.
EVERYWHERE: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("kubeadm", re.compile(r"(?P<s>\.(?<=[a-z0-9]{6}\.)(?<![a-z0-9]{7}\.)[a-z0-9]{16})(?![a-z0-9.])")),
    ("vault", re.compile(r"(?P<s>s\.(?<![A-Za-z0-9_-]s\.)[A-Za-z0-9]{24}(?![A-Za-z0-9.])[A-Za-z0-9_-]*)")),
)
# What a text may end with while a secret is being written: a name and its operator, a token's first characters, …
OPEN_MOST = 400
OPEN = (
    re.compile(
        rf"(?i)(?:{'|'.join(map(re.escape, NAMES))})[\\\"'\]]{{0,4}}[ \t]{{0,8}}(?:(?:=>|:=|=|:)[ \t]{{0,8}}\S*)?$"
    ),
    re.compile(rf"(?:{'|'.join(re.escape(a) for s in SHAPES for a in s.anchors if len(a) > 2 and a != '://')})\S*$"),
    re.compile(r"://[^\s/@?#]*$"),
    re.compile(r"(?<![a-z0-9])[a-z0-9]{6}\.[a-z0-9]*$"),
    re.compile(r"\$[0-9a-z]{1,12}\$\S*$"),
    re.compile(r"[A-Za-z0-9+/]{24,}$"),
    re.compile(r"(?i)\becho[ \t]{1,4}[\"']?[a-z_][\w.-]{0,31}:\S*[ \t]*\|?[ \t]*[a-z]{0,8}$"),  # | chpasswd comes last
)
KINDS = frozenset(
    {*(shape.kind for shape in SHAPES), *(kind for kind, _ in EVERYWHERE), "assigned", "kubernetes", "chpasswd"}
)
OPERATOR = re.compile(r"""[\\"'\]]{0,4}[ \t]{0,8}(?:=>|:=|=|:)[ \t]{0,8}""")
BESIDE = re.compile(
    r"""["']?(?:,?[ \t]{0,4}\r?\n[ \t]{0,40}|,[ \t]{0,4})["']?value["']?[ \t]{0,4}[:=][ \t]{0,4}""", re.IGNORECASE
)
GAP = re.compile(r"[ \t]{1,3}")
QUOTE = re.compile(r"""(?P<q>\\{0,3})(?P<m>["'])""")
VALUES: dict[str, re.Pattern[str]] = {
    '"': re.compile(r"""(?:[^"\\\n]|\\[^\n])+"""),
    "'": re.compile(r"[^'\n]+"),
    '\\"': re.compile(r"""(?:[^\\\n]|\\(?!\\{0,2}["']))+"""),
    "": re.compile(r"""[^\s"',;)}\]\\]{4,}"""),
}  # by the quote they stand in: plain, and escaped as in JSON within JSON
FLAG = re.compile(r"--[a-z0-9-]{0,40}$", re.IGNORECASE)
CHPASSWD = re.compile(r"(?m)^[ \t]{0,20}(?:-[ \t])?[\"']?[a-z_][a-z0-9_.-]{0,31}:(?P<s>[^\s\"'|]{1,})", re.IGNORECASE)
CHPASSWD_PIPE = re.compile(r"[a-z_][a-z0-9_.-]{0,31}:(?P<s>[^\s\"'|]{1,200})(?=[\"']?[ \t]{0,3}\|)", re.IGNORECASE)
SECRET_BLOCK = re.compile(
    r"(?m)^(?P<i>[ \t]{0,8})(?:data|stringData):[ \t]*\n(?P<s>(?:(?P=i)[ \t]{1,8}[^\n]{1,20000}\n?){1,})"
)
BLOCK_VALUE = re.compile(r"(?m)^[ \t]{1,16}[\w.-]{1,253}:[ \t]{1,8}(?P<s>[^\s][^\n]{0,20000})")
INLINE_DATA = re.compile(r"\"(?:data|stringData)\\{0,3}\":[ \t]?\{(?P<s>[^{}]{1,100000})\}")
INLINE_VALUE = re.compile(r"\"[\w.-]{1,253}\\{0,3}\":[ \t]?\\{0,3}\"(?P<s>[^\"\\]{1,20000})\\{0,3}\"")


def unfinished(text: str) -> int:
    """How many characters at the end of `text` belong to something that would be a secret if it went on."""
    end = text[-OPEN_MOST:]
    return max((len(end) - found.start() for pattern in OPEN if (found := pattern.search(end))), default=0)


def find_secrets(text: str) -> Iterator[Span]:
    """Where something that looks like a secret stands in `text`: start, end, kind. Spans may overlap, in no order."""
    yield from _find(text)
    if (
        "\\n" in text or "\\t" in text
    ):  # a text within JSON: `\\nsk-…` begins a line there, every character at its place
        view = text.replace("\\n", " \n").replace("\\r", "  ").replace("\\t", "  ")
        for start, end, kind in _find(view):
            yield start, start + len(view[start:end].rstrip()), kind


def _find(text: str) -> Iterator[Span]:
    lower = encodable(lowered(text))
    anchors = _anchors()
    behind = [0] * (len(SHAPES) + len(NAMES))  # where each goes on
    for number, start, end in anchors.automaton.find_matches_as_indexes(lower, overlapping=True):
        for owner in anchors.owners[number]:
            if start < behind[owner]:
                continue
            if owner < len(SHAPES):
                found = SHAPES[owner].pattern.match(text, start)
                span = found.span("s") if found else None
                kind = SHAPES[owner].kind
            else:
                span, kind = _assigned(text, start, end), "assigned"
            if span:
                behind[owner] = span[1]
                yield *span, kind
    for kind, pattern in EVERYWHERE:
        yield from ((*found.span("s"), kind) for found in pattern.finditer(text))
    yield from _blocks(text, lower)


@dataclass(frozen=True, slots=True)
class _Anchors:
    """`owners` of each literal: places in SHAPES, and behind them in NAMES."""

    automaton: AhoCorasick
    owners: tuple[tuple[int, ...], ...]


@cache
def _anchors() -> _Anchors:
    owners: dict[str, list[int]] = {}
    for number, anchors in enumerate([*(shape.anchors for shape in SHAPES), *((name,) for name in NAMES)]):
        for anchor in anchors:
            owners.setdefault(anchor.lower(), []).append(number)
    automaton = AhoCorasick(list(owners), matchkind=MatchKind.Standard)
    return _Anchors(automaton, tuple(tuple(numbers) for numbers in owners.values()))


def lowered(text: str) -> str:
    """Lower case with every character at its place (lower() makes two of a dotted capital I)."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def names_secret(key: str) -> bool:
    """True for a key whose value is a secret by its name."""
    return key.casefold().replace("-", "_").endswith(ENDINGS)


def _assigned(text: str, at: int, end: int) -> tuple[int, int] | None:
    """`password = …`, `"token": "…"`, `--secret …`, `name: DB_PASSWORD, value: …`: the value, unless it is a reference
    or was redacted before. The name stands from `at` to `end`.
    """
    if PLACEHOLDER.match(text, at - 1):
        return None
    operator = OPERATOR.match(text, end) or BESIDE.match(text, end)
    if operator is None and FLAG.search(text, max(0, at - 44), at):
        operator = GAP.match(text, end)
    return _value(text, operator.end()) if operator else None


def _value(text: str, at: int) -> tuple[int, int] | None:
    """The span of the value that begins at `at`, in quotes or bare; also where the closing quote was cut off."""
    quote = QUOTE.match(text, at)
    start = quote.end() if quote else at
    if NO_SECRET.match(text, start):
        return None
    kind = "" if quote is None else '\\"' if quote["q"] else quote["m"]
    found = VALUES[kind].match(text, start)
    return found.span() if found else None


def _blocks(text: str, lower: str) -> Iterator[Span]:
    """Values of Kubernetes Secrets and of chpasswd lists."""
    if "secret" in lower and "kind" in lower:
        for outer, inner in ((SECRET_BLOCK, BLOCK_VALUE), (INLINE_DATA, INLINE_VALUE)):
            for block in outer.finditer(text):
                for value in inner.finditer(text, *block.span("s")):
                    yield *value.span("s"), "kubernetes"
    at, end = lower.find("chpasswd"), 0
    while at >= 0:
        begin = max(end, at - 200, text.rfind("\n", max(0, at - 200), at) + 1)
        yield from ((*found.span("s"), "chpasswd") for found in CHPASSWD_PIPE.finditer(text, begin, at))
        end = at + len("chpasswd")
        listed = lower.find("list:", end, end + 120)
        if listed >= 0:
            end = listed + 4000
            yield from ((*found.span("s"), "chpasswd") for found in CHPASSWD.finditer(text, listed, end))
        at = lower.find("chpasswd", end)
