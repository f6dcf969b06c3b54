"""The wire to Redis: one command or script in, one answer out, or StoreUnavailableError.

redis-py's own retries are off: they send a command again whose answer was lost, and a write could happen twice. Here a
connection is retried before anything was sent; afterwards only what may run twice without harm.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol, cast
from urllib.parse import unquote, urlsplit

from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoScriptError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as LostError,
)
from redis.exceptions import (
    TimeoutError as SlowError,
)

from bot.domain.storage import StoreUnavailableError
from bot.store.durability import Sync, sync_for
from bot.store.errors import NotPersistentError, UnreachableError, UnsuitableError

Arg = str | int | float | bytes
Reply = Any  # what hiredis made of the answer: str, int, None, or a list of them

ANSWER_S = 5.0  # a server that takes longer for one command is taken for lost
PATIENCE_S = 2.0  # how long to look for the server again; below Slack's 3 s for an ack
AT_ONCE = 48  # commands in flight; waiting ones come on top, each on a connection of its own
REFUSALS = ("MISCONF", "OOM", "READONLY", "MASTERDOWN", "NOREPLICAS", "LOADING", "TRYAGAIN", "CLUSTERDOWN")
SENTINEL_SCHEMES = {"redis+sentinel": False, "rediss+sentinel": True}


class _Wire(Protocol):
    """What is used of redis-py's connection."""

    async def send_command(self, *args: Arg) -> None: ...

    async def read_response(self, disable_decoding: bool = ..., timeout: float | None = ...) -> Reply: ...  # noqa: ASYNC109, FBT001 - redis-py's signature

    async def disconnect(self, nowait: bool = ...) -> None: ...  # noqa: FBT001 - redis-py's signature


class _Pool(Protocol):
    async def get_connection(self) -> _Wire: ...

    async def release(self, connection: _Wire) -> None: ...

    async def aclose(self) -> None: ...


class _WatchedPool:
    """A pool whose server Sentinel names; redis-py leaves Sentinel's own connections open."""

    def __init__(self, pool: SentinelConnectionPool, watchers: Sentinel) -> None:
        self._pool = cast("_Pool", pool)
        self._watchers = watchers
        self.get_connection = self._pool.get_connection
        self.release = self._pool.release

    async def aclose(self) -> None:
        await self._pool.aclose()
        await self._watchers.aclose()


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script. `KEYS[1]` is the prefix; the other keys are made from it. `again`: sent twice, it
    does no more than once, so that a lost answer can be asked for again.
    """

    text: str
    again: bool = False
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


class Link:
    """One server, one prefix."""

    def __init__(self, pool: _Pool, prefix: str, *, where: str, patience_s: float = PATIENCE_S) -> None:
        self.prefix = prefix
        self.where = where
        self.sync: Sync | None = None  # see on_disk
        self._pool = pool
        self._patience_s = patience_s
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self, script: Script, *args: Arg) -> Reply:
        """Run `script`; a lost answer of a writing one is StoreUnavailableError and nobody knows whether it ran."""
        (reply,) = await self._scripted(script, args)
        return reply

    async def run_durably(self, script: Script, *args: Arg) -> tuple[Reply, bool]:
        """Run `script`, then WAITAOF on the same connection. The flag is what WAITAOF counted; `on_disk` has more to say."""
        reply, synced = await self._scripted(script, args, ("WAITAOF", 1, 0, int(ANSWER_S * 800)))
        return reply, isinstance(synced, list) and cast("list[int]", synced)[0] >= 1

    async def on_disk(self) -> bool:
        """The second look after WAITAOF, where the server needs one (bot/store/durability.py)."""
        return self.sync is None or await self.sync()

    async def read(self, *command: Arg, raw: bool = False) -> Reply:
        """A command that changes nothing; sent again where its answer was lost. `raw`: bytes."""
        async with self._slots:
            (reply,) = await self._exchange((command,), again=True, raw=raw)
        return _checked(reply)

    async def write(self, *command: Arg, again: bool = False) -> Reply:
        async with self._slots:
            (reply,) = await self._exchange((command,), again=again)
        return _checked(reply)

    async def wait(self, *command: Arg, seconds: float) -> Reply:
        """A blocking command whose own time-out is `seconds`, and whose answer may be lost without harm."""
        (reply,) = await self._exchange((command,), again=True, answer_s=seconds + ANSWER_S)
        return _checked(reply)

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def _scripted(self, script: Script, args: Sequence[Arg], *more: Sequence[Arg]) -> list[Reply]:
        command = ("EVALSHA", script.sha, 1, self.prefix, *args)
        async with self._slots:
            replies = await self._exchange((command, *more), again=script.again)
            if isinstance(replies[0], NoScriptError):  # a new or restarted server: nothing ran yet
                await self._exchange((("SCRIPT", "LOAD", script.text),), again=True)
                replies = await self._exchange((command, *more), again=script.again)
        return [_checked(replies[0]), *replies[1:]]

    async def _exchange(
        self, commands: Sequence[Sequence[Arg]], *, again: bool = False, answer_s: float = ANSWER_S, raw: bool = False
    ) -> list[Reply]:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._patience_s
        pause = 0.01
        while True:
            sent = False
            try:
                wire = await self._pool.get_connection()
                sent = True
                return await self._talk(wire, commands, answer_s, raw=raw)
            except (LostError, SlowError, OSError) as lost:
                kinds = (lost, lost.__cause__)  # redis-py wraps what a new connection was refused for
                if any(isinstance(kind, AuthenticationError) for kind in kinds):
                    raise StoreUnavailableError(f"the store at {self.where} refuses the password: {lost}") from lost
                loading = any(isinstance(kind, BusyLoadingError) for kind in kinds)
                if (sent and not again and not loading) or loop.time() + pause > give_up:
                    raise StoreUnavailableError(f"the store at {self.where} does not answer: {lost}") from lost
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.25)

    async def _talk(self, wire: _Wire, commands: Sequence[Sequence[Arg]], answer_s: float, *, raw: bool) -> list[Reply]:
        whole = False
        try:
            for command in commands:
                await wire.send_command(*command)
            replies = [await _answer(wire, answer_s, raw=raw) for _ in commands]
            whole = True
            return replies
        finally:
            if not whole:  # cancelled or lost half way: what may still come must not answer somebody else
                await wire.disconnect(nowait=True)
            await self._pool.release(wire)


async def _answer(wire: _Wire, seconds: float, *, raw: bool) -> Reply:
    try:
        async with asyncio.timeout(seconds):
            return await wire.read_response(disable_decoding=raw, timeout=float("inf"))
    except LostError:  # a BusyLoadingError is one too
        raise
    except ResponseError as refused:
        return refused
    except TimeoutError as slow:
        raise SlowError(f"no answer within {seconds:.0f} s") from slow


def _checked(reply: Reply) -> Reply:
    if isinstance(reply, RedisError):
        if str(reply).startswith(REFUSALS) or type(reply).__name__ in {"ReadOnlyError", "OutOfMemoryError"}:
            raise StoreUnavailableError(f"the store refuses writes: {reply}") from reply
        raise reply
    return reply


def pool_for(url: str) -> _Pool:
    """`redis://`, `rediss://`, `unix://`, or `redis+sentinel://host:port,host:port/service[/db]`."""
    once = Retry(NoBackoff(), 0)
    options: dict[str, Any] = {
        "decode_responses": True,
        "protocol": 2,
        "retry": once,
        "socket_connect_timeout": 2.0,
        "max_connections": 4096,
    }
    parts = urlsplit(url)
    if parts.scheme not in SENTINEL_SCHEMES:
        return cast("_Pool", cast("Any", ConnectionPool).from_url(url, **options))
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    service, _, db = parts.path.strip("/").partition("/")
    addresses = [(host, int(port or 26379)) for host, _, port in (one.rpartition(":") for one in hosts.split(","))]
    watchers = Sentinel(addresses, sentinel_kwargs={"socket_connect_timeout": 2.0, "socket_timeout": 2.0})
    options |= {"username": unquote(user) or None, "password": unquote(password) or None, "db": int(db or 0)}
    options["ssl"] = SENTINEL_SCHEMES[parts.scheme]
    return _WatchedPool(SentinelConnectionPool(service, watchers, **options), watchers)


def place_of(url: str) -> str:
    """The address without its password, for texts."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


async def connect(url: str, prefix: str, *, sync: Sync | None = None, patience_s: float = PATIENCE_S) -> Link:
    """A checked link; `sync` of the embedded server where it is one. Raises StoreSetupError with the mend."""
    try:
        link = Link(pool_for(url), prefix, where=place_of(url), patience_s=patience_s)
    except ValueError as wrong:
        raise UnreachableError(
            f"WATCHBILL_REDIS_URL is not an address ({wrong}). Write redis://host:6379/0, rediss:// for TLS, unix:///path, "
            "or redis+sentinel://host:26379,host:26379/service."
        ) from wrong
    async with AsyncExitStack() as undo:
        undo.push_async_callback(link.aclose)
        facts = await check(link)
        link.sync = sync or await sync_for(link, facts)
        undo.pop_all()
    return link


async def check(link: Link) -> dict[str, str]:
    """Reachable, new enough, keeps an append-only file, no cluster, no replica, evicts nothing. Returns its INFO."""
    try:
        facts = _facts(await link.read("INFO", "everything"))
    except StoreUnavailableError as lost:
        raise UnreachableError(
            f"{lost}. Check WATCHBILL_REDIS_URL, the password and the network, or leave WATCHBILL_REDIS_URL empty for the embedded store."
        ) from lost
    except ResponseError as refused:
        raise UnreachableError(
            f"the store at {link.where} refuses INFO ({refused}): allow this user +info."
        ) from refused
    wrong = _unsuitable(facts)
    if wrong:
        raise UnsuitableError(f"the store at {link.where} {wrong}")
    if facts.get("aof_enabled") != "1":
        raise NotPersistentError(
            f"the store at {link.where} keeps no append-only file, so a restart would lose messages and approvals. "
            "Set `appendonly yes` (CONFIG SET appendonly yes, and CONFIG REWRITE; a managed service has a switch for AOF)."
        )
    return facts


def _facts(text: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))


def _unsuitable(facts: dict[str, str]) -> str:
    valkey = facts.get("valkey_version", "")
    version = valkey or facts.get("redis_version", "0")
    least = (8, 0) if valkey else (7, 2)
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < least:
        name = "Valkey" if valkey else "Redis"
        return f"is {name} {version}; Watchbill needs Redis 7.2 or Valkey 8, or newer."
    if facts.get("cluster_enabled") == "1":
        return "is a Redis Cluster, which Watchbill does not support. Use a single server, Sentinel, or a managed one without cluster mode."
    if facts.get("role", "master") != "master":
        return "is a read-only replica. Point WATCHBILL_REDIS_URL at the primary, or at Sentinel (redis+sentinel://…)."
    if facts.get("maxmemory", "0") != "0" and facts.get("maxmemory_policy", "noeviction") != "noeviction":
        return f"throws keys away when memory is short ({facts['maxmemory_policy']}). Set maxmemory-policy noeviction."
    return ""
