"""Redaction: what was learned never goes out, in no form it travels in; doing it twice changes nothing."""

import base64
import html
import json
import re
import shlex
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bot.policy.redaction import SecretRedactor
from bot.policy.secret_forms import SHORTEST
from bot.policy.secret_patterns import NAMES, SHAPES

SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=0x17F), min_size=8, max_size=40)
AROUND = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
ANCHORS = sorted(
    {anchor for shape in SHAPES for anchor in shape.anchors}
    | set(NAMES)
    | {"kind: Secret\ndata:\n", "chpasswd", "list:"}
)
NOISE = st.lists(
    st.sampled_from(
        [
            *ANCHORS,
            " ",
            "=",
            ": ",
            '"',
            "'",
            "\\",
            "\n",
            "@",
            "a1B2" * 9,
            "‹secret:",
            "›",
            "‹secret:marked›",
            "--",
            "/",
            "$6$x$",
        ]
    )
    | st.text(max_size=12),
    max_size=30,
).map("".join)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _lower_escapes(secret: str) -> str:
    return re.sub("%..", lambda found: found[0].lower(), quote(secret, safe=""))


ENCODERS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "json": json.dumps,
    "json in json": lambda secret: json.dumps(json.dumps({"a": secret})),
    "json, letters kept": lambda secret: json.dumps(secret, ensure_ascii=False),
    "url": lambda secret: quote(secret, safe=""),
    "url, slashes kept": quote,
    "form": quote_plus,
    "url, lower escapes": _lower_escapes,
    "html": lambda secret: html.escape(secret, quote=False),
    "base64": lambda secret: _b64(secret.encode()),
    "base64 for urls": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "base64 of user and password": lambda secret: _b64(f"admin:{secret}".encode()),
    "base64 within more": lambda secret: _b64(f"x{secret}yz".encode()),
    "hex": lambda secret: secret.encode().hex(),
    "hex with colons": lambda secret: secret.encode().hex(":"),
    "shell": shlex.quote,
    "shell, single quotes": lambda secret: secret.replace("'", "'\\''"),
    "shell, double quotes": lambda secret: re.sub(r'([\\"$`])', r"\\\1", secret),
    "shell, dollar quotes": lambda secret: secret.replace("\\", "\\\\").replace("'", "\\'"),
    "percent q": lambda secret: re.sub(r"([^\w@%+=:,./-])", r"\\\1", secret) if secret.isascii() else secret,
}


@pytest.mark.parametrize("name", sorted(ENCODERS))
@given(secret=SECRET, before=AROUND, after=AROUND)
def test_rule_22_no_learned_secret_survives_in_any_form(name: str, secret: str, before: str, after: str) -> None:
    clean = SecretRedactor(secret).text(f"{before} {ENCODERS[name](secret)} {after}")
    assert (encoded := ENCODERS[name](secret)) not in clean, encoded
    assert secret not in clean


@given(secret=SECRET, other=SECRET, noise=AROUND)
def test_rule_22_not_in_json_values_nor_keys_nor_nested_texts(secret: str, other: str, noise: str) -> None:
    value = {noise: [secret, {f"a{secret}": 1, f"b{secret}": secret}], "text": json.dumps({"x": secret}), other: None}
    clean = SecretRedactor(secret, other).json(value)
    for gone in (secret, other):
        assert gone not in json.dumps(clean, ensure_ascii=False)
        assert json.dumps(gone)[1:-1] not in json.dumps(clean)


@given(st.integers(min_value=10**8, max_value=10**12))
def test_rule_22_a_learned_number_is_no_number_any_more(number: int) -> None:
    assert SecretRedactor(pin=str(number)).json({"pin": number, "other": 1}) == {"pin": "‹secret:pin›", "other": 1}


@given(st.binary(min_size=60, max_size=400), st.sampled_from([64, 76]))
def test_rule_22_base64_that_was_broken_into_lines(data: bytes, width: int) -> None:
    secret = data.hex()
    whole = _b64(secret.encode())
    lines = [whole[at : at + width] for at in range(0, len(whole), width)]
    clean = SecretRedactor(secret).text("\n".join(lines))
    assert not [line for line in lines if len(line) >= 16 and line in clean]


@given(st.lists(SECRET, min_size=1, max_size=4, unique=True), st.data())
def test_rule_22_secrets_beside_and_across_each_other(secrets: list[str], data: st.DataObject) -> None:
    """Any two that share characters where they meet: neither is left whole, nor half of it."""
    text = data.draw(st.permutations(secrets).map("".join))
    overlap = data.draw(st.integers(0, 6))
    secrets.append(text[overlap : overlap + 12])
    clean = SecretRedactor(*secrets).text(text)
    assert not [secret for secret in secrets if len(secret) >= SHORTEST and secret in clean]


@given(text=NOISE, secret=SECRET)
def test_redacting_twice_changes_nothing(text: str, secret: str) -> None:
    redactor = SecretRedactor(secret)
    once = redactor.text(text)
    assert redactor.text(once) == once


@given(st.recursive(st.none() | st.booleans() | st.integers() | NOISE, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NOISE, inner, max_size=3), max_leaves=6))  # fmt: skip
def test_redacting_json_twice_changes_nothing(value: Any) -> None:
    redactor = SecretRedactor("s3cret-value")
    once = redactor.json(value)
    assert redactor.json(once) == once
    json.dumps(once)


@given(st.text(alphabet="abcdefgh ijkl.,\n0123456789", max_size=300))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assume(not any(len(word) > 15 for word in text.replace(".", " ").split()))
    assert SecretRedactor("not-in-there").text(text) == text


@given(st.text(max_size=SHORTEST - 1), AROUND)
def test_values_too_short_to_be_secrets_are_left_alone(short: str, text: str) -> None:
    assert SecretRedactor(short).text(text) == SecretRedactor().text(text)


LOG = "Nov 23 09:14:36 pve1 corosync[1234]:   [KNET  ] link: host: 2 link: 0 is up 192.168.178.22:5405 /etc/pve/nodes.cfg\n"
HOSTILE = {
    "log": LOG,
    **{anchor: f"{anchor}=" for anchor in ANCHORS},
    **{f"{anchor} quoted": f'{anchor}:"' for anchor in ANCHORS},
}


SAME = "a" * 3000 + "b"


@pytest.mark.parametrize("unit", sorted({*HOSTILE.values(), "a", "a" * 2999 + "c", "ab" * 8, "secret-number-"}))
def test_the_time_grows_with_the_length_only(unit: str) -> None:
    """107 KB of anything takes well under 100 ms on two idle cores; the bound here leaves room for busy ones."""
    text = unit * (107_000 // len(unit))
    redactor = SecretRedactor(SAME, *(f"secret-number-{number}" for number in range(20)))
    times: list[float] = []
    for _ in range(3):
        start = time.perf_counter()
        redactor.text(text)
        times.append(time.perf_counter() - start)
    assert min(times) < 1.5


def test_a_secret_that_begins_where_another_ends_goes_too() -> None:
    """Where a word goes on no shape begins; where a placeholder ends, one does."""
    clean = SecretRedactor("00000000").text("00000000xapp-AGE-SECRET-KEY-1 AKIA0000000000000000xapp-0000000000")
    assert "xapp-" not in clean and "AKIA" not in clean
    assert SecretRedactor().text("password=" + "›" * 12).startswith("password=")
