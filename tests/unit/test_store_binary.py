"""The embedded store's program."""

import platform
import subprocess
import sys

import pytest

from bot.store.binary import server_binary
from bot.store.errors import ServerFailedError


def test_it_is_a_valkey_server() -> None:
    said = subprocess.run([server_binary(), "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("Valkey server")


@pytest.mark.parametrize(("system", "machine"), [("Linux", "riscv64"), ("Windows", "AMD64")])
def test_a_machine_without_one_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, system: str, machine: str) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(ServerFailedError, match=f"for {system.lower()} on .*set WATCHBILL_REDIS_URL"):
        server_binary()


def test_no_second_client_is_loaded_with_the_store() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import sys, bot.store.server; print([name for name in sys.modules if 'valkey' in name])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.strip() == "[]"
