"""What secrets look like: about forty shapes, each found through a literal that it must contain.

The literal is looked for first (a plain substring search); the expression is then matched at that place only, and the
search goes on behind what it took, so the time grows with the text's length and with nothing else. Sources: the providers' own
documents of their token formats, and the misses measured for public rule sets (PVE tokens, URL passwords, shadow
hashes, htpasswd, cloud-init passwords).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MARK = "[redacted:"
Span = tuple[int, int, str]

TAIL = r"[A-Za-z0-9_-]"
# Values that are no secrets: references, types, masks of others, and what was redacted before.
NO_SECRET = re.compile(
    r"""(?ix) \[redacted: | \(sensitive | \(known\ after | <[^<>\n]{1,80}> | \*{3,} | \$\{ | \{\{ | \$\( | file\(
    | (?:var|local|data|module|each|self|ephemeral|random_password)\.[a-z_]
    | (?:str|string|bytes|int|bool|number|any|optional|null|none|true|false|required|sensitive)(?=[\s"',;)}\]\\|?]|$)
    """
)
NAMES = (
    "password", "passwd", "passphrase", "_pass", "_pwd", "secret", "token", "api_key", "api-key", "apikey", "access_key",
    "access-key", "accesskey", "secret_key", "secretkey", "private_key", "privatekey", "presharedkey", "auth_key",
    "encryption_key", "accountkey",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """`pattern` is matched where one of `anchors` stands; its group `s` goes."""

    kind: str
    anchors: tuple[str, ...]
    pattern: re.Pattern[str]
    folded: bool = False  # anchors are lower case and stand for either case


def _shape(kind: str, anchors: str, pattern: str, *, folded: bool = False) -> Shape:
    flags = re.IGNORECASE if folded else 0
    return Shape(kind, tuple(anchors.split()), re.compile(pattern, flags), folded)


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
    _prefixed("github", "ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9]{20,}"),
    _prefixed("github", "github_pat_", r"[A-Za-z0-9_]{20,}"),
    _prefixed("gitlab", "glpat- gldt- glrt- glcbt- glptt- glft- glsoat- glimt- glagent- gloas-", rf"{TAIL}{{20,}}"),
    _prefixed("model", "sk-", rf"{TAIL}{{20,}}"),
    _prefixed("google", "AIza", rf"{TAIL}{{35}}"),
    _prefixed("google", "ya29.", rf"{TAIL}{{20,}}"),
    _prefixed("google", "GOCSPX-", rf"{TAIL}{{20}}"),
    _prefixed("azure", "sig=", r"[A-Za-z0-9%+/]{40,120}={0,2}"),
    _prefixed("stripe", "sk_live_ sk_test_ rk_live_ rk_test_ whsec_", r"[A-Za-z0-9]{16,120}"),
    _prefixed("sendgrid", "SG.", rf"{TAIL}{{16,32}}\.{TAIL}{{30,64}}"),
    _prefixed("twilio", "SK", r"[0-9a-f]{32}(?![0-9a-f])"),
    _prefixed("npm", "npm_", r"[A-Za-z0-9]{30,60}"),
    _prefixed("pypi", "pypi-AgE", rf"{TAIL}{{40,}}"),
    _prefixed("docker", "dckr_pat_ dckr_oat_", rf"{TAIL}{{20}}"),
    _prefixed("digitalocean", "dop_v1_ doo_v1_ dor_v1_", r"[a-f0-9]{40,80}"),
    _prefixed("vault", "hvs. hvb. hvr.", rf"{TAIL}{{20,}}"),
    _prefixed("vault", "s.", r"[A-Za-z0-9]{24}(?![A-Za-z0-9.])"),
    _shape("terraform", ".atlasv1.", r"(?P<s>\.atlasv1\.[A-Za-z0-9_-]{40,100})"),
    _prefixed("grafana", "glsa_ glc_", r"[A-Za-z0-9_=+/-]{20,}"),
    _prefixed("tailscale", "tskey-", rf"{TAIL}{{16}}"),
    _prefixed("huggingface", "hf_", r"[A-Za-z0-9]{30,60}"),
    _prefixed("linear", "lin_api_ shpat_ shpss_ sntrys_ figd_", r"[A-Za-z0-9_-]{32,}"),
    _shape("telegram", ":AA", r"(?P<s>:AA[A-Za-z0-9_-]{33})(?![A-Za-z0-9_-])"),
    _shape("pve", "!", r"![A-Za-z0-9_.-]{1,60}[=:][ \t]?(?P<s>[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})", folded=True),
    _shape("pve", "PVE: PBS: PMG:", r"(?:PVE|PBS|PMG):[^:\s]{1,80}:(?P<s>[0-9A-F]{8}::[A-Za-z0-9+/=]{20,})"),
    _shape("csrf", "csrfpreventiontoken", r"csrfpreventiontoken\\?[\"']?[ \t]{0,3}[:=][ \t]{0,3}\\?[\"']?(?P<s>[0-9a-f]{8}:[a-z0-9+/=]{20,100})", folded=True),
    _shape("url", "://", r"://[^\s:@/?#]{0,100}:(?P<s>[^\s@/]{1,})(?=@)"),
    _shape("url", "://", r"://(?P<s>[^\s:@/?#]{20,})(?=@)"),
    _shape("header", "authorization", r"authorization\\?[\"']?[ \t]{0,3}[:=][ \t]{0,3}\\?[\"']?(?:[a-z]{4,12}[ \t]{1,3})?(?P<s>[^\s\"',\\]{6,})", folded=True),
    _shape("header", "bearer", r"bearer[ \t]{1,3}(?P<s>[a-z0-9._~+/=-]{20,})", folded=True),
    _shape("header", "cookie:", r"cookie:[ \t]{0,3}(?P<s>[^\r\n]{4,})", folded=True),
    _shape("kubeadm", ".", r"(?<=[a-z0-9]{6})(?<![a-z0-9][a-z0-9]{6})(?P<s>\.[a-z0-9]{16})(?![a-z0-9.])"),
    _shape("kubeadm", "certificate-key", r"certificate-key[ =\"']{1,3}(?P<s>[0-9a-f]{64})"),
    _shape("hash", "$", r"(?P<s>\$(?:1|2[abxy]?|5|6|7|y|gy|apr1|argon2id?|argon2d|scrypt|pbkdf2-sha\d{1,3})\$[./A-Za-z0-9$=,+-]{8,})"),
    _shape("hash", "{sha} {ssha} {sha256} {sha512} {crypt}", r"(?P<s>\{(?:s?sha|sha256|sha512|crypt)\}[A-Za-z0-9+/=$.]{10,})", folded=True),
    _shape("flag", "sshpass", r"sshpass[ \t]{1,3}-p[ \t]{0,3}(?P<s>\S{1,})", folded=True),
)  # fmt: skip

OPERATOR = re.compile(r"""[\\"'\]]{0,4}[ \t]{0,8}(?:=>|:=|=|:)[ \t]{0,8}""")
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
INLINE_DATA = re.compile(r"\"(?:data|stringData)\":[ \t]?\{(?P<s>[^{}]{1,100000})\}")
INLINE_VALUE = re.compile(r"\"[\w.-]{1,253}\":[ \t]?\"(?P<s>[^\"]{1,20000})\"")


def find_secrets(text: str) -> Iterator[Span]:
    """Where something that looks like a secret stands in `text`: start, end, kind. Spans may overlap."""
    lower = lowered(text)
    for shape in SHAPES:
        where = lower if shape.folded else text
        for anchor in shape.anchors:
            at = where.find(anchor)
            while at >= 0:
                found = shape.pattern.match(text, at)
                if found:
                    yield *found.span("s"), shape.kind
                at = where.find(anchor, max(at + 1, found.end("s") if found else 0))
    yield from _assigned(text, lower)
    yield from _blocks(text, lower)


def lowered(text: str) -> str:
    """Lower case with every character at its place (lower() makes two of a dotted capital I)."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def names_secret(key: str) -> bool:
    """True for a key whose value is a secret by its name."""
    return key.casefold().replace("-", "_").endswith(tuple(name.replace("-", "_") for name in NAMES))


def _assigned(text: str, lower: str) -> Iterator[Span]:
    """`password = …`, `"token": "…"`, `--secret …`: the value, unless it is a reference or was redacted before."""
    for name in NAMES:
        at = lower.find(name)
        while at >= 0:
            end = at + len(name)
            operator = OPERATOR.match(text, end)
            if operator is None and FLAG.search(text, max(0, at - 44), at):
                operator = GAP.match(text, end)
            span = _value(text, operator.end()) if operator else None
            if span:
                yield *span, "assigned"
            at = lower.find(name, span[1] if span else end)


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
