"""Secrets of more than thirty kinds, each new every time: a text as it would stand somewhere, and what must not come out."""

import base64
import json
import random
import shlex
import string
from collections.abc import Callable, Mapping
from urllib.parse import quote

LOADED = "loaded"  # kinds that the program knows the exact value of


def _letters(rng: random.Random, count: int = 36, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(rng.choices(alphabet, k=count))


def _hex(rng: random.Random, count: int) -> str:
    return _letters(rng, count, "0123456789abcdef")


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _uuid(rng: random.Random) -> str:
    return "-".join(_hex(rng, size) for size in (8, 4, 4, 4, 12))


def awkward(rng: random.Random) -> str:
    """A password that looks like nothing and needs every kind of quoting."""
    return "".join(rng.choices(string.ascii_letters + string.digits + "'\"$`\\ &<>+/%=!é", k=28)).strip() + "x9"


Planted = tuple[str, str]  # the text, the canary in it
KNOWN: Mapping[str, Callable[[str], str]] = {
    "plain": lambda value: f"motd: {value}",
    "base64 with a user": lambda value: f"Proxy {_b64(f'admin:{value}')}",
    "url": lambda value: f"GET /?q={quote(value, safe='')}",
    "json": lambda value: json.dumps({"note": value}),
    "json in json": lambda value: json.dumps({"body": json.dumps({"note": value})}),
    "hex": lambda value: f"0x{value.encode().hex()}",
    "shell": lambda value: f"echo {shlex.quote(value)}",
}


def _pem(rng: random.Random, kind: str) -> Planted:
    lines = [_letters(rng, 64) for _ in range(4)]
    return f"-----BEGIN {kind}PRIVATE KEY-----\n" + "\n".join(lines) + f"\n-----END {kind}PRIVATE KEY-----", lines[2]


def _in(template: str, make: Callable[[random.Random], str]) -> Callable[[random.Random], Planted]:
    def plant(rng: random.Random) -> Planted:
        value = make(rng)
        return template.replace("@@", value), value

    return plant


SHAPED: Mapping[str, Callable[[random.Random], Planted]] = {
    "pem": lambda rng: _pem(rng, "RSA "),
    "openssh": lambda rng: _pem(rng, "OPENSSH "),
    "age": _in("AGE-SECRET-KEY-1@@", lambda rng: _letters(rng, 58, string.ascii_uppercase + string.digits)),
    "jwt": _in("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.@@", _letters),
    "slack": _in("xoxb-123456789012-123456789012-@@", _letters),
    "slack webhook": _in("https://hooks.slack.com/services/T0000/B0000/@@", _letters),
    "aws secret": _in("aws_secret_access_key = @@", lambda rng: _letters(rng, 40)),
    "github": _in("ghp_@@", _letters),
    "gitlab": _in("glpat-@@", _letters),
    "openai": _in("sk-proj-@@", _letters),
    "anthropic": _in("sk-ant-api03-@@", _letters),
    "google": _in("AIza@@", lambda rng: _letters(rng, 35)),
    "vault": _in("hvs.@@", _letters),
    "pve token": _in("Authorization: PVEAPIToken=ci@pve!x=@@", _uuid),
    "pve ticket": _in("PVE:root@pam:65F1A2B3::@@==", lambda rng: _letters(rng, 80)),
    "kubeadm": _in("kubeadm join 10.0.0.1:6443 --token abcdef.@@", lambda rng: _letters(rng, 16, string.ascii_lowercase)),
    "certificate key": _in("[upload-certs] Using certificate key:\n@@", lambda rng: _hex(rng, 64)),
    "kubeconfig": _in("    client-key-data: @@", lambda rng: _letters(rng, 80)),
    "kubernetes secret": _in("kind: Secret\ndata:\n  tls: @@\n", lambda rng: _b64(_letters(rng))),
    "shadow": _in("root:$6$rounds=5000$salt$@@:19000:0:99999:7:::", lambda rng: _letters(rng, 86)),
    "htpasswd": _in("admin:$2y$10$@@", lambda rng: _letters(rng, 53)),
    "url password": _in("postgres://app:@@@db.lan:5432/app", _letters),
    "password": _in("db_password: @@", _letters),
    "container": _in("env:\n- name: DB_PASSWORD\n  value: @@\n", _letters),
    "docker": _in('{"auths": {"r.lan": {"auth": "@@"}}}', lambda rng: _b64(f"ci:{_letters(rng)}").rstrip("=")),
    "basic": _in("Authorization: Basic @@", lambda rng: _b64(f"ci:{_letters(rng)}").rstrip("=")),
    "netrc": _in("machine git.lan login ci password @@", _letters),
    "curl": _in("curl -fsS -u ci:@@ https://x.lan/", _letters),
    "chpasswd": _in("echo root:@@ | chpasswd", _letters),
    "unseal key": _in("Unseal Key 1: @@", _letters),
    "wireguard": _in("PrivateKey = @@", lambda rng: _letters(rng, 43)),
    "cookie": _in("Cookie: sid=@@; theme=dark", _letters),
}  # fmt: skip


def pieces(rng: random.Random, text: str) -> list[str]:
    """`text` cut anywhere, into pieces of every size."""
    found: list[str] = []
    while text:
        size = rng.choice((1, 3, 17, 120, 900))
        found.append(text[:size])
        text = text[size:]
    return found
