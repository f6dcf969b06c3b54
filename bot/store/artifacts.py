"""Redacted bytes by what they are: the same bytes give the same id."""

import hashlib

from bot.domain.ids import ArtifactId
from bot.store.connection import Link
from bot.store.lua import script

# 16 hex digits are short enough for two files to be made that share them: the second of such a pair is refused.
_PUT = script(
    """
local id, content, name, kind = take(), take(), take(), take()
local k = p .. 'artifact:' .. id
local old = call('HGET', k, 'content')
if old then return old == content and 1 or 0 end
call('HSET', k, 'content', content, 'name', name, 'kind', kind)
return 1
""",
    again=True,
)


class TwinArtifactError(ValueError):
    """Other bytes have this id already. Nobody meets this by accident."""


class RedisArtifacts:
    def __init__(self, link: Link) -> None:
        self._link = link

    async def put(self, content: bytes, *, name: str, kind: str = "text/plain") -> ArtifactId:
        id_ = ArtifactId(hashlib.sha256(content).hexdigest()[:16])
        if not await self._link.run(_PUT, id_, content, name, kind):
            raise TwinArtifactError(f"other bytes are stored as {id_}; {name!r} was made to be taken for them")
        return id_

    async def get(self, artifact: ArtifactId) -> bytes | None:
        found = await self._link.read("HGET", f"{self._link.prefix}artifact:{artifact}", "content", raw=True)
        return found if isinstance(found, bytes) else None
