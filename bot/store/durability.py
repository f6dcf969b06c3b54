"""Whether a write is on disk (rule 13).

WAITAOF alone does not say so everywhere: under `appendfsync everysec` Valkey (measured: 9.1.2) and Redis 7.4 answer 1
before the fsync (github.com/redis/redis/pull/13793). So there is a second look, by the server's kind:

- the embedded server's files are synced by this program itself (`EmbeddedServer.sync`): any process may;
- a server that syncs always, or whose WAITAOF is right, needs no second look;
- any other one is given the second in which it starts an fsync, and is then asked until none is under way.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from redis.exceptions import ResponseError

from bot.domain.storage import StoreUnavailableError
from bot.store.errors import NotPersistentError

Sync = Callable[[], Awaitable[bool]]

STARTS_WITHIN_S = 1.2  # everysec: one second and a tick of the server's own clock
TICK_S = 0.15  # an fsync that had to wait for an earlier one starts within a tick of its end
LONGEST_S = 6.0
MENDED = (8, 0)  # Redis, not Valkey


class _Reads(Protocol):
    where: str

    async def read(self, *command: str) -> str | list[str]: ...


async def sync_for(link: _Reads, facts: Mapping[str, str]) -> Sync | None:
    """The second look that the server of `link` needs. `facts` is its INFO. Raises NotPersistentError."""
    try:
        policy = (await link.read("CONFIG", "GET", "appendfsync"))[1]
    except (ResponseError, IndexError):  # managed services keep CONFIG to themselves
        policy = "everysec"
    if policy == "no":
        raise NotPersistentError(
            f"the store at {link.where} leaves it to the system when to write to disk. "
            "Set `appendfsync everysec` or `appendfsync always` (CONFIG SET, and CONFIG REWRITE)."
        )
    version = tuple(int(part) for part in facts.get("redis_version", "0").split(".")[:2] if part.isdigit())
    if policy == "always" or ("valkey_version" not in facts and (version >= MENDED or version < (7, 4))):
        return None

    async def patient() -> bool:
        return await _next_fsync_done(link)

    return patient


async def _next_fsync_done(link: _Reads) -> bool:
    loop = asyncio.get_running_loop()
    end = loop.time() + LONGEST_S
    await asyncio.sleep(STARTS_WITHIN_S)
    idle = 0
    while idle < 2:
        if loop.time() > end:
            return False
        try:
            lines = str(await link.read("INFO", "persistence")).splitlines()
        except StoreUnavailableError:
            return False
        if "aof_enabled:1" not in lines or "aof_last_write_status:ok" not in lines:
            return False
        idle = idle + 1 if "aof_pending_bio_fsync:0" in lines else 0
        await asyncio.sleep(TICK_S)
    return True
