"""A stream in pieces is redacted as the whole would be, wherever it is cut."""

import itertools
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.gate.watching import Discreet
from bot.policy.redaction import SecretRedactor
from bot.policy.streaming import HELD, SEEN, StreamRedactor, redacted
from tests.fakes import FakeWatch

SECRET = "Zq7mRx-wT4vKpL9sBn2hYc8dFj3gXe5u"
TOKEN = "ghp_" + "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"
BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"
PEM = f"-----BEGIN PRIVATE KEY-----\n{chr(10).join(BODY + str(n) for n in range(40))}\n-----END PRIVATE KEY-----"
PARTS = st.sampled_from([
    SECRET, TOKEN, PEM, "password=hunter22hunter22", "kind: Secret\ndata:\n  a: aHVudGVyMjJodW50ZXIyMg==\n", "plain words",
    "\n", " ", "line of a log\n", "é‹›\n", "key: value\n", "x" * 500,
])  # fmt: skip
GONE = (SECRET, TOKEN, BODY, "hunter22hunter22", "aHVudGVyMjJodW50ZXIyMg")


def pieces_of(text: str, cuts: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[one:other] for one, other in itertools.pairwise(edges)]


@settings(max_examples=300)
@given(st.lists(PARTS, max_size=12), st.lists(st.integers(0, 10_000), max_size=30), st.sampled_from([0, 1, 100, SEEN]))
def test_rule_22_no_cut_lets_a_secret_through(parts: list[str], cuts: list[int], at_least: int) -> None:
    text = " ".join(parts)
    redactor = SecretRedactor(pve_token=SECRET)
    stream = StreamRedactor(redactor.spans, at_least=at_least)
    out = "".join(stream.feed(piece) for piece in pieces_of(text, cuts)) + stream.finish()
    for gone in GONE:
        assert gone not in out
    if PEM not in text and "kind" not in text:  # where a secret is one line, nothing differs from the whole
        assert out == redactor.text(text)


@given(st.text(max_size=400), st.lists(st.integers(0, 400), max_size=20))
def test_text_without_secrets_comes_out_as_it_went_in(text: str, cuts: list[int]) -> None:
    redactor = SecretRedactor(pve_token=SECRET)
    out = "".join(redacted(redactor.spans, pieces_of(text, cuts)))
    assert out == redactor.text(text)


@pytest.mark.parametrize("size", [1, 7, 100, 5000])
def test_rule_22_a_line_without_end_is_held_back_to_a_bound(size: int) -> None:
    rng = random.Random(size)
    words = ["word"] * 12_000
    for at in rng.sample(range(12_000), 40):
        words[at] = SECRET
    text = " ".join(words)
    stream = SecretRedactor(pve_token=SECRET).stream()
    out, most = "", 0
    for at in range(0, len(text), size):
        out += stream.feed(text[at : at + size])
        most = max(most, stream.held)
    out += stream.finish()
    assert out == text.replace(SECRET, "‹secret:pve_token›")
    assert most <= HELD + size


def test_rule_22_a_key_longer_than_everything_that_is_kept() -> None:
    lines = [f"{BODY}{n:06d}" for n in range(3000)]
    text = "before\n-----BEGIN PRIVATE KEY-----\n" + "\n".join(lines) + "\n-----END PRIVATE KEY-----\nafter\n"
    out = "".join(redacted(SecretRedactor().spans, pieces_of(text, list(range(0, len(text), 611)))))
    assert BODY not in out
    assert out.startswith("before\n‹secret:pem_")
    assert out.endswith("\nafter\n")


def test_the_time_grows_with_the_length_only() -> None:
    redactor = SecretRedactor(*(f"secret-number-{number}" for number in range(50)))
    text = "Nov 23 09:14:36 pve1 corosync[1234]: link: host: 2 is up\n" * 4000
    began = time.perf_counter()
    for _ in redacted(redactor.spans, pieces_of(text, list(range(0, len(text), 60)))):
        pass
    assert time.perf_counter() - began < 10  # a quarter of a megabyte in four thousand pieces; 0.1 s on an idle core


async def test_rule_22_progress_does_not_show_a_secret_that_is_split_between_two_lines() -> None:
    for at in range(1, len(SECRET)):
        watch = FakeWatch()
        discreet = Discreet(watch, SecretRedactor(pve_token=SECRET))
        await discreet.progress("SSH cp1", f"token {SECRET[:at]}")
        await discreet.progress("SSH cp1", f"{SECRET[at:]} ok")
        await discreet.progress("SSH cp1", "done")
        told = "".join(parts[-1].removesuffix("…") for parts in watch.told)
        pieces = [told[n : n + 8] for n in range(len(told) - 7)]
        assert SECRET not in told
        assert not [piece for piece in pieces if piece in SECRET and at >= 4], (at, watch.told)


async def test_what_stays_in_a_progress_line_stays_readable() -> None:
    """ "Ansible" a hundred times is one word a hundred times, and no long random text."""
    watch = FakeWatch()
    discreet = Discreet(watch, SecretRedactor(pve_token=SECRET))
    for number in range(100):
        await discreet.progress("Ansible", f"{number} of 100 tasks", "containerd", f"{number} s")
    assert [parts[0] for parts in watch.told] == ["Ansible"] * 100
    assert watch.told[-1] == ("Ansible", "99 of 100 tasks", "containerd", "99 s")
