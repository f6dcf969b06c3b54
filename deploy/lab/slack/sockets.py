"""Socket Mode: connections of the apps, envelopes, acks, time-outs and redelivery."""

import asyncio
import contextlib
import json
import logging
import secrets
import time
import uuid
from collections import deque
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from .faults import Faults
from .world import App, Json

LOG = logging.getLogger("lab.slack.sockets")
MOST_CONNECTIONS = 10
RETRY_SECONDS = (0.0, 60.0, 300.0)  # at once, after a minute, after five (docs of the Events API)
WARNING_SECONDS = 10.0  # what Slack leaves between the warning and the end of a connection
MOST_RECORDS = 200_000
GOODBYE_SECONDS = 0.2


@dataclass(eq=False)
class Connection:
    """One WebSocket of an app. A muted one keeps its TCP connection and says nothing any more (half open)."""

    app: App
    socket: web.WebSocketResponse
    transport: asyncio.Transport | None
    outgoing: "asyncio.Queue[str | None]" = field(default_factory=asyncio.Queue)
    muted: bool = False


@dataclass(eq=False)
class Ack:
    """What became of an interactive envelope; `error` in the words that Slack shows to the person."""

    acked: bool
    payload: Json | None = None
    error: str = ""


@dataclass(eq=False)
class Delivery:
    """One payload on its way to one app."""

    app: App
    kind: str
    payload: str
    label: str
    event_id: str = ""
    accepts_payload: bool = False
    attempt: int = 0
    reason: str = ""
    answer: "asyncio.Future[Ack] | None" = None
    timer: asyncio.TimerHandle | None = None
    record: Json = field(default_factory=dict)


class SocketHub:
    """Connections by app, and every envelope until it is acked or given up."""

    def __init__(self, faults: Faults, *, ack_seconds: float, retry_scale: float) -> None:
        self._faults = faults
        self._ack_seconds = ack_seconds
        self._retry_scale = retry_scale
        self._tickets: dict[str, App] = {}
        self._connections: dict[str, list[Connection]] = {}
        self._pending: dict[str, Delivery] = {}
        self._waiting: dict[str, deque[Delivery]] = {}
        self._turn = 0
        self._closing = False
        self.records: deque[Json] = deque(maxlen=MOST_RECORDS)
        self.unacked: list[Json] = []
        self.redelivered = 0

    # connections

    def open_ticket(self, app: App) -> str:
        ticket = secrets.token_hex(16)
        self._tickets[ticket] = app
        return ticket

    def connected(self, app: App) -> int:
        return len(self._connections.get(app.key, ()))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        app = self._tickets.pop(request.query.get("ticket", ""), None)
        if app is None:
            return web.Response(status=403, text="unknown or used ticket")
        socket = web.WebSocketResponse(autoping=False, max_msg_size=4 * 1024 * 1024, timeout=GOODBYE_SECONDS)
        await socket.prepare(request)
        open_ones = self._connections.setdefault(app.key, [])
        if len(open_ones) >= MOST_CONNECTIONS:
            await socket.send_json(_disconnect_message("too_many_websockets"))
            await socket.close()
            return socket
        connection = Connection(app, socket, request.transport)
        open_ones.append(connection)
        connection.outgoing.put_nowait(_hello(app, len(open_ones)))
        writer = asyncio.create_task(self._write_all(connection))
        self._flush_waiting(app)
        try:
            await self._read_all(connection)
        finally:
            self._forget(connection)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
        return socket

    async def _write_all(self, connection: Connection) -> None:
        with contextlib.suppress(ConnectionError):
            while (text := await connection.outgoing.get()) is not None:
                await connection.socket.send_str(text)
            await connection.socket.close()

    async def _read_all(self, connection: Connection) -> None:
        async for message in connection.socket:
            if connection.muted:
                continue
            if message.type is WSMsgType.PING:
                await connection.socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                self._take_ack(connection.app, message.data)

    def _forget(self, connection: Connection) -> None:
        with contextlib.suppress(ValueError):
            self._connections[connection.app.key].remove(connection)

    # deliveries

    def deliver_event(self, app: App, event_id: str, label: str, payload: str) -> None:
        """Send an Events API payload; without an ack it is sent again on Slack's schedule."""
        if self._closing:
            return
        delivery = Delivery(app, "events_api", payload, label, event_id)
        delay = self._faults.take("delay", app.key)
        if delay is not None:
            self._loop().call_later(delay.ms / 1000, self._start, delivery)
        else:
            self._start(delivery)
        if self._faults.take("duplicate", app.key):
            self._start(Delivery(app, "events_api", payload, label, event_id, attempt=1, reason="timeout"))

    async def ask(self, app: App, kind: str, label: str, payload: Json, *, accepts_payload: bool) -> Ack:
        """Send a command or an interaction and wait for its ack; those are never sent twice."""
        delivery = Delivery(app, kind, json.dumps(payload), label, accepts_payload=accepts_payload)
        delivery.answer = self._loop().create_future()
        delay = self._faults.take("delay", app.key)
        if delay is not None:
            await asyncio.sleep(delay.ms / 1000)
        self._start(delivery)
        return await delivery.answer

    def _start(self, delivery: Delivery) -> None:
        if self._closing:
            _answer(delivery, Ack(acked=False, error="dispatch_failed"))
            return
        connection = self._choose(delivery.app)
        if connection is None:
            self._waiting.setdefault(delivery.app.key, deque()).append(delivery)
            delivery.timer = self._loop().call_later(self._ack_seconds, self._give_up_waiting, delivery)
            return
        envelope_id = str(uuid.uuid4())
        delivery.record = {
            "app": delivery.app.key,
            "type": delivery.kind,
            "event": delivery.label,
            "event_id": delivery.event_id,
            "envelope_id": envelope_id,
            "retry_attempt": delivery.attempt,
            "sent_at": time.time(),
            "acked_at": None,
            "status": "pending",
        }
        self.records.append(delivery.record)
        self._pending[envelope_id] = delivery
        delivery.timer = self._loop().call_later(self._ack_seconds, self._time_out, envelope_id)
        connection.outgoing.put_nowait(_envelope(envelope_id, delivery))

    def _choose(self, app: App) -> Connection | None:
        """Each payload goes to one of the app's connections, in turn."""
        open_ones = [c for c in self._connections.get(app.key, ()) if not c.socket.closed]
        if not open_ones:
            return None
        self._turn += 1
        return open_ones[self._turn % len(open_ones)]

    def _flush_waiting(self, app: App) -> None:
        waiting = self._waiting.pop(app.key, deque())
        for delivery in waiting:
            if delivery.timer is not None:
                delivery.timer.cancel()
            self._start(delivery)

    def _take_ack(self, app: App, text: str) -> None:
        try:
            message = json.loads(text)
            envelope_id = message["envelope_id"]
        except (ValueError, KeyError, TypeError):
            LOG.warning("%s sent something that is no ack: %.200s", app.key, text)
            return
        slow = self._faults.take("delay_ack", app.key)
        if slow is not None:
            self._loop().call_later(slow.ms / 1000, self._settle, envelope_id, message.get("payload"))
        else:
            self._settle(envelope_id, message.get("payload"))

    def _settle(self, envelope_id: str, payload: Json | None) -> None:
        delivery = self._pending.pop(envelope_id, None)
        if delivery is None:
            return  # too late, or never ours: Slack ignores it as well
        if delivery.timer is not None:
            delivery.timer.cancel()
        delivery.record["acked_at"] = time.time()
        delivery.record["status"] = "acked"
        _answer(delivery, Ack(acked=True, payload=payload or None))

    def _time_out(self, envelope_id: str) -> None:
        delivery = self._pending.pop(envelope_id, None)
        if delivery is not None:
            delivery.record["status"] = "timeout"
            self._fail(delivery, "timeout", "operation_timeout")

    def _give_up_waiting(self, delivery: Delivery) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._waiting[delivery.app.key].remove(delivery)
        self._fail(delivery, "connection_failed", "dispatch_failed")

    def _fail(self, delivery: Delivery, reason: str, shown: str) -> None:
        if delivery.answer is None and delivery.attempt < len(RETRY_SECONDS):
            after = RETRY_SECONDS[delivery.attempt] * self._retry_scale
            delivery.attempt += 1
            delivery.reason = reason
            self.redelivered += 1
            self._loop().call_later(after, self._start, delivery)
            return
        self.unacked.append(
            {
                "app": delivery.app.key,
                "type": delivery.kind,
                "event": delivery.label,
                "event_id": delivery.event_id,
                "attempts": delivery.attempt + 1,
                "reason": reason,
            }
        )
        _answer(delivery, Ack(acked=False, error=shown))

    # faults and the end

    def drop(self, app_key: str | None, how: str) -> int:
        """Break connections: "abort" (reset), "close" (a close frame) or "halfopen" (silence)."""
        hit = self._matching(app_key)
        for connection in hit:
            if how == "halfopen":
                connection.muted = True
            elif how == "close":
                connection.outgoing.put_nowait(None)
            elif connection.transport is not None:
                self._forget(connection)
                connection.transport.abort()
        return len(hit)

    def disconnect(self, app_key: str | None, reason: str) -> int:
        """Send Slack's disconnect message; after refresh_requested the connection ends as well."""
        hit = self._matching(app_key)
        for connection in hit:
            connection.outgoing.put_nowait(json.dumps(_disconnect_message(reason)))
            if reason != "warning":
                self._forget(connection)
                self._loop().call_later(0.5, connection.outgoing.put_nowait, None)
            else:
                self._loop().call_later(WARNING_SECONDS, self._end_after_warning, connection)
        return len(hit)

    def _end_after_warning(self, connection: Connection) -> None:
        if not connection.socket.closed:
            connection.outgoing.put_nowait(json.dumps(_disconnect_message("refresh_requested")))
            connection.outgoing.put_nowait(None)

    def _matching(self, app_key: str | None) -> list[Connection]:
        return [c for key, many in self._connections.items() if app_key in (None, key) for c in many]

    def count_unsettled(self) -> int:
        return len(self._pending) + sum(len(many) for many in self._waiting.values())

    async def close(self) -> None:
        self._closing = True
        for delivery in [*self._pending.values(), *(d for many in self._waiting.values() for d in many)]:
            if delivery.timer is not None:
                delivery.timer.cancel()
            _answer(delivery, Ack(acked=False, error="dispatch_failed"))
        await asyncio.gather(*(connection.socket.close() for connection in self._matching(None)))

    @staticmethod
    def _loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()


def _answer(delivery: Delivery, ack: Ack) -> None:
    if delivery.answer is not None and not delivery.answer.done():
        delivery.answer.set_result(ack)


def _envelope(envelope_id: str, delivery: Delivery) -> str:
    accepts = "true" if delivery.accepts_payload else "false"
    head = f'{{"envelope_id":"{envelope_id}","payload":{delivery.payload},"type":"{delivery.kind}"'
    if delivery.kind != "events_api":
        return f'{head},"accepts_response_payload":{accepts}}}'
    return (
        f'{head},"accepts_response_payload":{accepts},'
        f'"retry_attempt":{delivery.attempt},"retry_reason":"{delivery.reason}"}}'
    )


def _hello(app: App, count: int) -> str:
    return json.dumps(
        {
            "type": "hello",
            "num_connections": count,
            "debug_info": {"host": "lab", "build_number": 1, "approximate_connection_time": 18060},
            "connection_info": {"app_id": app.app_id},
        }
    )


def _disconnect_message(reason: str) -> Json:
    return {"type": "disconnect", "reason": reason, "debug_info": {"host": "lab"}}
