"""What open browser tabs are told, live."""

import asyncio
import contextlib
import json

from aiohttp import WSMsgType, web

MOST_WAITING = 20_000


class Stream:
    """Fan-out to browser tabs; a tab that falls too far behind is cut off and reloads the state."""

    def __init__(self) -> None:
        self._tabs: set[asyncio.Queue[str | None]] = set()

    def tell(self, kind: str, **facts: object) -> None:
        if not self._tabs:
            return
        text = json.dumps({"type": kind, **facts})
        for tab in list(self._tabs):
            if tab.qsize() >= MOST_WAITING:
                self._tabs.discard(tab)
                tab.put_nowait(None)
            else:
                tab.put_nowait(text)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=20, timeout=0.2)
        await socket.prepare(request)
        waiting: asyncio.Queue[str | None] = asyncio.Queue()
        self._tabs.add(waiting)
        writer = asyncio.create_task(_write_all(socket, waiting))
        try:
            async for message in socket:
                if message.type is WSMsgType.ERROR:
                    break
        finally:
            self._tabs.discard(waiting)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
        return socket

    def close(self) -> None:
        for tab in self._tabs:
            tab.put_nowait(None)


async def _write_all(socket: web.WebSocketResponse, waiting: "asyncio.Queue[str | None]") -> None:
    with contextlib.suppress(ConnectionError):
        while (text := await waiting.get()) is not None:
            await socket.send_str(text)
        await socket.close()
