"""The audit record's proof on the real store: the exported chain is the stored one; heads; a record that takes nothing."""

import re
from pathlib import Path

import pytest

from bot.audit_chain import Head, check, head_of
from bot.audit_heads import Heads, KeyFileError, Signer, signature_problem
from bot.clock import SystemClock
from bot.domain.ids import MissionId
from bot.domain.storage import AuditEvent, StoreUnavailableError
from bot.gate import ExecutionLedger
from bot.heads import DailyHeads
from bot.record import exported
from bot.store.store import Store
from tests.fakes import BO, THREAD, FakeClock
from tests.gate_house import House


async def filled(store: Store, count: int = 5) -> None:
    for n in range(count):
        await store.audit.append(AuditEvent("vote.counted", "1", "UANA", {"n": n, "text": "ü “quoted” \n line"}))


async def lines_of(store: Store) -> list[bytes]:
    return [line.encode() async for line in exported(store.audit)]


async def test_the_exported_chain_is_the_stored_one(store: Store) -> None:
    assert (await lines_of(store), await store.audit.head()) == ([], "")
    await filled(store)
    found = check(await lines_of(store), [head_of(await store.audit.head())])
    assert (found.wrong, found.unchecked, found.count) == ([], "", 5)
    assert await store.audit.head() == f"5:{found.hash}"


@pytest.mark.parametrize("what", ["json", "at", "hash", "gone", "newline"])
async def test_what_was_changed_in_the_store_is_named_in_the_export(store: Store, what: str) -> None:
    await filled(store)
    key = f"{store.link.prefix}audit"
    rows = await store.link.read("XRANGE", key, "-", "+")
    await store.link.write("DEL", key)
    for at, (id_, fields) in enumerate(rows):
        if at == 2 and what == "gone":
            continue
        change = {"json": (3, fields[3].replace("UANA", "UEVE")), "at": (1, "soon"), "hash": (5, "0" * 64),
                  "newline": (3, "{\n}")}.get(what)  # fmt: skip
        if at == 2 and change:
            fields[change[0]] = change[1]
        await store.link.write("XADD", key, id_, *fields)
    wrong = check(await lines_of(store)).wrong if what != "newline" else check(_split(await lines_of(store))).wrong
    assert wrong[0].startswith("line 3: ")


async def test_the_day_s_head_is_one_for_everybody_and_comes_only_where_something_was_added(store: Store) -> None:
    assert await store.audit.head_of_day("2026-11-23") == ""
    await filled(store, 2)
    first = await store.audit.head_of_day("2026-11-23")
    await filled(store, 1)
    assert await store.audit.head_of_day("2026-11-23") == first
    assert first.startswith("2:")
    second = await store.audit.head_of_day("2026-11-24")
    assert second.startswith("3:")
    assert await store.audit.head_of_day("2026-11-25") == ""
    assert check(await lines_of(store), [head_of(first), head_of(second)]).wrong == []


async def test_the_daily_post_goes_once_to_the_channel_that_is_set_or_to_those_of_the_missions(store: Store) -> None:
    clock, heads = FakeClock(), Heads(store.audit, None)

    async def posted() -> list[tuple[str, str, str]]:
        waiting = [item.post for item in await store.outbox.waiting()]
        return [(post.key, post.thread.channel, getattr(post.body, "text", "")) for post in waiting]

    nobody = DailyHeads(heads, store.journal, store.outbox, clock, team="T1", channel="")
    await filled(store)
    await nobody.post()
    assert await posted() == []
    daily = DailyHeads(heads, store.journal, store.outbox, clock, team="T1", channel="CAUDIT")
    await daily.post()
    await filled(store)
    await daily.post()
    ((key, channel, text),) = await posted()
    assert (key, channel) == ("head:2026-11-23:CAUDIT", "CAUDIT")
    (head,) = re.findall(r"5:[0-9a-f]{64}", text)
    assert check(await lines_of(store), [head_of(head)]).wrong == []
    clock.move(86_400)
    await store.link.write("ZADD", f"{store.link.prefix}missions", 1, "1")
    await store.link.write("HSET", f"{store.link.prefix}mission:{MissionId('1')}", "thread", THREAD.lane)
    await nobody.post()
    assert (await posted())[1][:2] == ("head:2026-11-24:C1", "C1")


def keys(folder: Path) -> tuple[Path, Path]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = Ed25519PrivateKey.generate()
    private, public = folder / "key.pem", folder / "key.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    private.chmod(0o600)
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


async def test_a_signed_head_is_checked_with_the_public_key(store: Store, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    private, public = keys(tmp_path)
    _, other = keys(tmp_path / "other")
    await filled(store)
    head = await Heads(store.audit, Signer(private)).now()
    assert head == await Heads(store.audit, Signer(private)).now()
    assert head_of(head) == Head(5, (await store.audit.head()).partition(":")[2])
    assert signature_problem(head, public) == ""
    assert signature_problem(head, other) == "its signature is not that of this key"
    assert signature_problem(head.replace("5:", "6:", 1), public) == "its signature is not that of this key"
    assert signature_problem(await store.audit.head(), public) == "it carries no signature"
    with pytest.raises(KeyFileError, match="no public key"):
        signature_problem(head, private)


def test_a_key_that_cannot_be_used_says_how_to_make_one(tmp_path: Path) -> None:
    private, public = keys(tmp_path)
    with pytest.raises(KeyFileError, match="openssl genpkey"):
        Signer(tmp_path / "none.pem")
    public.chmod(0o600)
    with pytest.raises(KeyFileError, match="no private key"):
        Signer(public)
    private.chmod(0o644)
    with pytest.raises(KeyFileError, match="others may read"):
        Signer(private)


async def test_rule_9_with_an_audit_record_that_takes_nothing_no_change_runs(store: Store, tmp_path: Path) -> None:
    """Asked and approved while it took events; then the stream cannot be written, and everything else can."""
    house = House(tmp_path)
    token = await store.leases.acquire(THREAD.lane, "w1", 60)
    assert token is not None
    house.token = token
    house.set(audit=store.audit, approvals=store.approvals, leases=store.leases, clock=SystemClock(),
              ledger=ExecutionLedger(tmp_path / "ledger"))  # fmt: skip
    request = await house.approved(BO)
    key = f"{store.link.prefix}audit"
    await store.link.write("RENAME", key, f"{key}.kept")
    await store.link.write("SET", key, "no stream")
    with pytest.raises(StoreUnavailableError):
        await house.settle(request)
    with pytest.raises(StoreUnavailableError):
        await house.propose("proxmox_read")
    with pytest.raises(StoreUnavailableError):
        await house.propose("terraform_apply", number=1, other="call")
    assert (house.apply.ran, house.look.ran) == (0, 0)
    stored = await store.approvals.get(request.id)
    assert stored is not None
    assert stored.status == "approved"
    await store.link.write("DEL", key)
    await store.link.write("RENAME", f"{key}.kept", key)
    await house.settle(request)
    assert house.apply.ran == 1
    assert check(await lines_of(store)).wrong == []


async def test_rule_9_a_store_that_refuses_writes_runs_nothing(store: Store, tmp_path: Path) -> None:
    """Out of memory, as a full server says it: every writing command is refused, reading ones are answered."""
    house = House(tmp_path)
    house.set(audit=store.audit)
    request = await house.approved(BO)
    was = (await store.link.read("CONFIG", "GET", "maxmemory"))[1]
    await store.link.write("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailableError):
            await house.settle(request)
    finally:
        await store.link.write("CONFIG", "SET", "maxmemory", was)
    assert house.apply.ran == 0


def _split(lines: list[bytes]) -> list[bytes]:
    return b"".join(lines).splitlines(keepends=True)
