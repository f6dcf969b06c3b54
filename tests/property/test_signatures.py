"""The same error with other ids, hosts, paths and times has one key; another error has another (row 13)."""

import json
import re
from collections.abc import Callable

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bot.policy.error_words import KEPT, normal
from bot.policy.signatures import signature_of

HEX = "0123456789abcdef"


def octets(draw: st.DrawFn) -> str:
    return ".".join(str(draw(st.integers(1, 254))) for _ in range(4))


def digits(draw: st.DrawFn, length: int) -> str:
    return draw(st.text(HEX, min_size=length, max_size=length))


SLOTS: dict[str, Callable[[st.DrawFn], str]] = {
    "ip": octets,
    "host": lambda draw: draw(st.sampled_from(["cp1", "web-12", "pve3.example.com", "node7.lan", "db-0-3"])),
    "vmid": lambda draw: str(draw(st.integers(100, 999_999_999))),
    "pid": lambda draw: str(draw(st.integers(1, 4_194_304))),
    "port": lambda draw: str(draw(st.integers(1, 65_535))),
    "line": lambda draw: str(draw(st.integers(1, 99_999))),
    "uuid": lambda draw: "-".join(digits(draw, n) for n in (8, 4, 4, 4, 12)),
    "upid": lambda draw: (
        f"UPID:{draw(st.sampled_from(['pve1', 'pve-b']))}:{digits(draw, 8).upper()}:{digits(draw, 8).upper()}:"
        f"{digits(draw, 8).upper()}:qmclone:{draw(st.integers(100, 9999))}:root@pam!wb:"
    ),
    "digest": lambda draw: "SHA256:" + draw(st.text("ABCDabcd0123+/", min_size=43, max_size=43)),
    "path": lambda draw: (
        draw(st.sampled_from(["/", "~/", "./", "../"])) + "/".join(draw(st.lists(st.sampled_from(["var", "lib", "x_1", "a-b.d", "m7"]), min_size=1, max_size=5)))
    ),
    "file": lambda draw: draw(st.sampled_from(["main.tf", "vms/cp.tf", "site.yml", "a/b/c.auto.tfvars", "play-2.yaml"])),
    "stamp": lambda draw: (
        f"20{draw(st.integers(20, 39))}-0{draw(st.integers(1, 9))}-{draw(st.integers(10, 28))}"
        f"T{draw(st.integers(10, 23))}:{draw(st.integers(10, 59))}:{draw(st.integers(10, 59))}Z"
    ),
    "seconds": lambda draw: draw(st.sampled_from(["3s", "1m30s", "250 ms", "12.5 s", "40 seconds", "2 minutes"])),
    "version": lambda draw: f"v{draw(st.integers(0, 9))}.{draw(st.integers(0, 99))}.{draw(st.integers(0, 99))}",
}  # fmt: skip

# Each is another error than every other.
TEMPLATES = [
    "ssh: connect to host {ip} port {port}: Connection refused",
    "ssh: connect to host {host} port {port}: No route to host",
    'Error: Invalid value\n\n  on {file} line {line}, in resource "a" "b":\n  {line}: x = 1\n\nThe value is not valid.\n',
    'Error: Invalid value\n\n  on {file} line {line}, in resource "a" "b":\n\nThe value is too long.\n',
    "Error: Error acquiring the state lock\n\nError message: resource temporarily unavailable\nLock Info:\n  ID: {uuid}\n  Path: {path}\n",
    'fatal: [{host}]: FAILED! => {{"msg": "could not reach {ip} after {seconds}"}}',
    'fatal: [{host}]: FAILED! => {{"msg": "could not write {path}"}}',
    'fatal: [{host}]: UNREACHABLE! => {{"msg": "Failed to connect to the host via ssh: timed out at {ip}"}}',
    "received an HTTP 500 response - Reason: unable to create VM {vmid} - VM {vmid} already exists on node '{host}'",
    "TASK ERROR: {upid} exited early",
    "TASK ERROR: can't lock file '{path}' - got timeout",
    "E: Could not get lock {path}. It is held by process {pid} (apt)",
    "Host key for server '{ip}' does not match: got '{digest}', expected '{digest}'",
    'Get "https://{host}:{port}/api2/json/version": x509: certificate has expired: current time {stamp} is after {stamp}',
    "dial tcp: lookup {host} on {ip}:{port}: no such host",
    "The connection to the server {ip}:{port} was refused",
    "{stamp} worker failed: {uuid} took {seconds}",
    "{stamp} worker failed: {version} is too old",
    'Traceback (most recent call last):\n  File "{path}", line {line}, in run\n    go()\nValueError: nothing at {path}\n',
    'Traceback (most recent call last):\n  File "{path}", line {line}, in run\n    go()\nKeyError: nothing at {path}\n',
    "\t[ERROR Port-{port}]: Port {port} is in use",
    "etcd member {ip}:{port} is unhealthy, failed to answer within {seconds}",
]  # fmt: skip


@st.composite
def filled(draw: st.DrawFn, template: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda slot: SLOTS[slot[1]](draw), template).replace("{{", "{").replace("}}", "}")


@st.composite
def printed(draw: st.DrawFn, template: str) -> str:
    """As a terminal, a journal of tasks or a long run would show it."""
    text = draw(filled(template))
    match draw(st.sampled_from(["bare", "coloured", "windows", "noisy", "framed"])):
        case "coloured":
            text = "\n".join(f"\x1b[1m\x1b[31m{line}\x1b[0m" if line.strip() else line for line in text.split("\n"))
        case "windows":
            text = text.replace("\n", "\r\n")
        case "noisy":
            text = "Reading state\nstep one done\n" * draw(st.integers(0, 40)) + text
        case "framed":
            text = "╷\n" + "\n".join(f"│ {line}" for line in text.split("\n")) + "\n╵\n"
        case _:
            pass
    return text


@settings(deadline=None, max_examples=300)
@given(template=st.sampled_from(TEMPLATES), draws=st.data())
def test_row_13_the_same_error_has_one_key(template: str, draws: st.DataObject) -> None:
    one, other = draws.draw(printed(template)), draws.draw(printed(template))
    assert signature_of(one, "look") == signature_of(other, "look")


@settings(deadline=None, max_examples=300)
@given(draws=st.data(), pair=st.lists(st.sampled_from(TEMPLATES), min_size=2, max_size=2, unique=True))
def test_row_13_another_error_has_another_key(pair: list[str], draws: st.DataObject) -> None:
    one, other = (signature_of(draws.draw(printed(template)), "look") for template in pair)
    assert one.key != other.key


WORD = st.text("abcdefghijklmnopqrstuvwxyz", min_size=3, max_size=12)


@settings(deadline=None, max_examples=200)
@given(one=st.lists(WORD, min_size=1, max_size=6), other=st.lists(WORD, min_size=1, max_size=6))
def test_other_words_are_another_error(one: list[str], other: list[str]) -> None:
    assume(one != other)
    keys = {signature_of(f"Error: cannot do {' '.join(words)}").key for words in (one, other)}
    assert len(keys) == 2


@settings(deadline=None, max_examples=200)
@given(summary=st.lists(WORD, min_size=1, max_size=8), detail=st.lists(WORD, min_size=1, max_size=30))
def test_terraform_as_text_and_as_json_is_one_error(summary: list[str], detail: list[str]) -> None:
    head, said = " ".join(summary).capitalize(), " ".join(detail).capitalize() + "."
    told = json.dumps({"diagnostics": [{"severity": "error", "summary": head, "detail": said}]})
    human = f"Error: {head}\n\n  on main.tf line 3, in locals:\n   3: a = b\n\n{said}\n"
    assert signature_of(told, "terraform_plan") == signature_of(human, "terraform_plan")


@settings(deadline=None, max_examples=300)
@given(text=st.text(max_size=3000), tool=st.text(max_size=20))
def test_any_text_has_a_short_signature(text: str, tool: str) -> None:
    found = signature_of(text, tool)
    assert re.fullmatch(r"[0-9a-f]{16}|", found.key)
    assert bool(found.key) == bool(found.words)
    assert len(found.words) <= 200
    assert not set(found.words) & set("\n\r\x1b")
    assert found == signature_of(text, tool)


@settings(deadline=None, max_examples=200)
@given(text=st.text(st.sampled_from("aE1.:/-[](){}<>'\"\\ \n\t@=!%~…é"), max_size=1500))
def test_a_normal_form_is_short_and_one_line(text: str) -> None:
    line = normal(text)
    assert len(line) <= KEPT
    assert "\n" not in line
