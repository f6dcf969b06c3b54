"""The one clock. Everything else takes the time from the port."""

import asyncio
from datetime import UTC, datetime


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - this is the place that the ban points to

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
