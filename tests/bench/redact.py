"""Redaction with 200 known secrets, and the digest of a 5 MB plan.

References do the least that could be called the same: looking for the 200 values as they are, in no other form and by no
shape; SHA-256 over the plan's bytes as they stand.
"""

import hashlib
import json
import random
import string
import time
from collections.abc import Callable, Sequence

from bot.domain.digest import digest_of
from bot.domain.ids import Json
from bot.policy.redaction import SecretRedactor
from bot.policy.streaming import redacted
from tests.bench.figures import Report

SECRETS = 200
MEGABYTE = 1_000_000
PIECE = 4096
LINE = "Nov 23 09:14:36 pve1 corosync[1234]:   [KNET  ] link: host: 2 link: 0 is up 192.168.178.22:5405 /etc/pve/nodes.cfg\n"


async def run(*, quick: bool = False, profile: bool = False) -> Report:
    del profile
    rng = random.Random(7)
    times = 2 if quick else 15
    known = {
        f"secret_{n}": "".join(rng.choices(string.ascii_letters + string.digits + "+/=!", k=32)) for n in range(SECRETS)
    }
    report = Report("redact", f"looking for {SECRETS} values as they are; for the digest, SHA-256 of the bytes")
    text, planted = log_of(MEGABYTE, list(known.values()), rng)
    made = seconds(lambda: SecretRedactor(**known).text("x"), times)
    redactor = SecretRedactor(**known)
    redactor.text("x")
    plain = seconds(lambda: [value in text for value in known.values()], times)
    whole = seconds(lambda: redactor.text(text), times)
    pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
    stream = seconds(lambda: list(redacted(redactor.spans, pieces)), times)
    plan = plan_of(5 * MEGABYTE, rng)
    data = json.dumps(plan).encode()
    document = seconds(lambda: redactor.json(plan), max(1, times // 5))
    digest = seconds(lambda: digest_of(plan), times)
    bytes_ = seconds(lambda: hashlib.sha256(data).hexdigest(), times)
    report.add("redact 1 MB of log", whole, plain)
    report.add("the same in pieces of 4 KB", stream, plain)
    report.add(f"redact a plan of {len(data) / MEGABYTE:.1f} MB as JSON", document, plain)
    report.add(f"learn {SECRETS} secrets", made, plain)
    report.add(f"digest of a plan of {len(data) / MEGABYTE:.1f} MB", digest, bytes_)
    for name, spent, size in (("log", whole, len(text)), ("pieces", stream, len(text)), ("plan", document, len(data))):
        report.notes.append(f"{name}: {size / MEGABYTE / min(spent):.1f} MB/s at best, {SECRETS} secrets")
    report.sent = planted
    report.kept = redactor.text(text).count("‹secret:secret_")
    return report


def seconds(step: Callable[[], object], times: int) -> Sequence[float]:
    found: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        step()
        found.append(time.perf_counter() - began)
    return found


def log_of(size: int, secrets: Sequence[str], rng: random.Random) -> tuple[str, int]:
    """A log with a secret in every hundredth line, and how many those are."""
    lines: list[str] = []
    planted = 0
    for number in range(size // len(LINE)):
        with_secret = number % 100 == 0
        planted += with_secret
        lines.append(f"{LINE[:-1]} {rng.choice(secrets)}\n" if with_secret else LINE)
    return "".join(lines), planted


def plan_of(size: int, rng: random.Random) -> Json:
    """A plan's shape: many resources with nested values."""
    changes: list[Json] = []
    spent = 0
    while spent < size:
        number = len(changes)
        values: dict[str, Json] = {
            "name": f"vm-{number}", "node_name": rng.choice(("pve1", "pve2")), "vm_id": number, "started": True,
            "description": "a machine of the bench " * 4, "tags": ["lab", "bench"],
            "disk": [{"interface": "scsi0", "size": 30, "datastore_id": "local-lvm"}],
            "network_device": [{"bridge": "vmbr0", "mac_address": f"02:00:00:00:{number % 256:02x}:01"}],
        }  # fmt: skip
        change: Json = {"actions": ["create"], "before": None, "after": values, "after_unknown": {"id": True}}
        changes.append({"address": f"proxmox_virtual_environment_vm.vm[{number}]", "change": change})
        spent += len(json.dumps(changes[-1]))
    return {"format_version": "1.2", "resource_changes": changes}
