"""A client of the control API, for tests and for whoever plays the people."""

from typing import Any

import aiohttp

from .world import Json


class LabClient:
    """`read` is GET /lab/<name>, `act` is POST /lab/<name>. The session belongs to the caller."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def read(self, name: str, **query: str) -> Json:
        async with self._session.get(f"{self.url}/lab/{name}", params=query) as response:
            answer: Json = await response.json()
            return answer

    async def act(self, name: str, person: str | None = None, **body: Any) -> Json:
        """Do something as `person` (a user id; the `as` of the control API)."""
        sent = body if person is None else {"as": person, **body}
        async with self._session.post(f"{self.url}/lab/{name}", json=sent) as response:
            answer: Json = await response.json()
            return answer

    async def tell(self, name: str, body: object) -> Json:
        """An act whose body is no object (the list of /lab/suggestions)."""
        async with self._session.post(f"{self.url}/lab/{name}", json=body) as response:
            answer: Json = await response.json()
            return answer
