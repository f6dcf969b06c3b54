"""The server: both providers' endpoints and the lab's own control paths."""

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from deploy.lab.listening import listen
from deploy.lab.model.anthropic_wire import AnthropicWire
from deploy.lab.model.conversation import Answer, Conversation
from deploy.lab.model.faults import ANSWER, STRAY_THOUGHT, Fault, FaultError, FaultQueue, spoil
from deploy.lab.model.ledger import Ledger
from deploy.lab.model.matching import Player
from deploy.lab.model.openai_wire import OpenAiWire
from deploy.lab.model.scenario import Scenario, ScenarioError, load
from deploy.lab.model.wire import CONTEXT_TOKENS, Counted, Reply, RequestError, Wire

LOG = logging.getLogger("lab.model")
BODY_LIMIT = 32 * 1024 * 1024
PERPLEXED = "I have nothing prepared for this. Say what you want done, in one sentence, or ask for the status."
DEFAULT_MODELS = ("gpt-5.4-mini", "gpt-5.5", "claude-sonnet-5-5", "claude-haiku-5-5")


@dataclass
class Lab:
    """Everything that one running server knows."""

    scenario: Scenario
    api_key: str = field(default_factory=lambda: "lab-" + secrets.token_urlsafe(24))
    latency_s: float = 0.0
    ledger: Ledger = field(default_factory=Ledger)
    faults: FaultQueue = field(default_factory=FaultQueue)

    def __post_init__(self) -> None:
        self.player = Player(self.scenario)
        self.players: dict[str, Player] = {}  # by mission, where one was given its own scenario
        self.next_up: list[Player] = []  # for the missions that are not known yet, in their order
        self.ledger.plant(secrets=[self.api_key])

    def application(self) -> web.Application:
        app = web.Application(client_max_size=BODY_LIMIT)
        openai, anthropic = OpenAiWire(), AnthropicWire()

        async def chat(request: web.Request) -> web.StreamResponse:
            return await self._complete(request, openai)

        async def messages(request: web.Request) -> web.StreamResponse:
            return await self._complete(request, anthropic)

        app.router.add_post("/v1/chat/completions", chat)
        app.router.add_post("/v1/messages", messages)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/lab/fault", self._fault)
        app.router.add_get("/lab/record", self._record)
        app.router.add_get("/lab/report", self._report)
        app.router.add_post("/lab/canaries", self._canaries)
        app.router.add_post("/lab/scenario", self._scenario)
        app.router.add_get("/lab/missions", self._missions)
        return app

    # The providers' side ------------------------------------------------------------------------------------------

    async def _complete(self, request: web.Request, wire: Wire) -> web.StreamResponse:
        raw = await request.read()
        body = _parsed(raw)
        # Escapes resolved, so that a canary is found however the client spelt it.
        text = _flat(body)
        entry = self.ledger.received(wire.name, body, text)
        if not wire.authorised(request.headers, self.api_key):
            return _sent(wire.refuse(_unauthorised(wire)))
        try:
            conversation = wire.read(body, request.headers)
            self._check(wire, body, len(raw))
        except RequestError as error:
            self.ledger.refused.append({"wire": wire.name, "status": error.status, "message": error.message})
            return _sent(wire.refuse(error))
        entry.update(persona=conversation.persona, mission=conversation.mission)
        self.ledger.begin(conversation, text)
        try:
            await asyncio.sleep(self.latency_s)
            return await self._answered(request, wire, body, conversation)
        finally:
            self.ledger.end(conversation)

    async def _answered(
        self, request: web.Request, wire: Wire, body: dict[str, Any], conversation: Conversation
    ) -> web.StreamResponse:
        fault = self.faults.take(conversation.persona)
        if fault and fault.kind not in ANSWER:
            self.ledger.faults[fault.kind] += 1
            return await self._failed(request, wire, fault)
        played = self._player(conversation.mission).answer(conversation)
        if played is None:
            self.ledger.surprise(conversation)
            LOG.warning("no rule for %s in mission %s", conversation.persona or "?", conversation.mission or "?")
            answer = Answer(PERPLEXED)
        else:
            rule, answer = played
            LOG.info("%s answers by %s", conversation.persona, rule.rule)
            fault = fault or (Fault(rule.fault) if rule.fault else None)
            if fault and fault.kind not in ANSWER:
                self.ledger.faults[fault.kind] += 1
                return await self._failed(request, wire, fault)
        answer = replace(answer, thought=f"{answer.thought} {self.ledger.woven}".strip())
        self.ledger.thought(conversation.persona, answer.thought)
        if fault:
            self.ledger.faults[fault.kind] += 1
            fault.text = f"{fault.text or STRAY_THOUGHT} {self.ledger.woven}".strip()
            answer = spoil(answer, fault, conversation)
        counted = self._counted(wire, body, conversation, answer)
        return _sent(wire.write(str(body["model"]), answer, counted))

    async def _failed(self, request: web.Request, wire: Wire, fault: Fault) -> web.StreamResponse:
        if fault.kind == "hang":
            await asyncio.sleep(fault.seconds)
        if fault.kind in {"hang", "drop"}:
            if request.transport is not None:
                request.transport.close()
            return web.Response(status=500)
        return _sent(wire.fail(fault))

    def _check(self, wire: Wire, body: dict[str, Any], size: int) -> None:
        model, known = str(body["model"]), self.scenario.models
        if known and model not in known:
            text = f"The model `{model}` does not exist or you do not have access to it."
            kind = "not_found_error" if wire.name == "anthropic" else "invalid_request_error"
            raise RequestError(404, kind, text, code="model_not_found")
        if size // 4 > CONTEXT_TOKENS:
            text = f"Your input exceeds the context window of this model ({size // 4} of {CONTEXT_TOKENS} tokens)."
            raise RequestError(400, "invalid_request_error", text, param="messages", code="context_length_exceeded")

    def _counted(self, wire: Wire, body: dict[str, Any], conversation: Conversation, answer: Answer) -> Counted:
        prefix = wire.prefix(body)
        shared = self.ledger.shared_prefix(wire.name, conversation.persona, prefix)
        prompt = -(-len(prefix) // 4)
        cached = min(prompt, wire.cacheable(body, shared) // 4)
        size = len(answer.text) + len(answer.thought) + sum(len(call.tool) + len(call.raw) for call in answer.calls)
        counted = Counted(prompt, max(1, -(-size // 4)), cached)
        prompt, completion = counted.prompt, counted.completion
        self.ledger.count(conversation.persona, conversation.mission, prompt, completion, counted.cached)
        return counted

    async def _models(self, request: web.Request) -> web.StreamResponse:
        names = self.scenario.models or list(DEFAULT_MODELS)
        anthropic = "anthropic-version" in request.headers
        wire: Wire = AnthropicWire() if anthropic else OpenAiWire()
        if not wire.authorised(request.headers, self.api_key):
            return _sent(wire.refuse(_unauthorised(wire)))
        if anthropic:
            stamp = "2026-01-01T00:00:00Z"
            rows = [{"type": "model", "id": name, "display_name": name, "created_at": stamp} for name in names]
            return web.json_response({"data": rows, "has_more": False, "first_id": names[0], "last_id": names[-1]})
        rows = [{"id": name, "object": "model", "created": 1767225600, "owned_by": "lab"} for name in names]
        return web.json_response({"object": "list", "data": rows})

    # The lab's side -----------------------------------------------------------------------------------------------

    async def _fault(self, request: web.Request) -> web.StreamResponse:
        wanted = _parsed(await request.read())
        if wanted == {"kind": "none"}:
            self.faults.clear()
            return web.json_response({"ok": True})
        if not isinstance(wanted, dict):
            return web.json_response({"ok": False, "error": "send a JSON object with kind"}, status=400)
        try:
            self.faults.order(wanted)
        except FaultError as error:
            return web.json_response({"ok": False, "error": str(error)}, status=400)
        return web.json_response({"ok": True})

    async def _record(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"requests": self.ledger.record})

    async def _report(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self.ledger.report(self.player.unused()))

    def _player(self, mission: str) -> Player:
        """Who plays this mission; one that nobody knows yet takes the scenario that waits longest, if one waits."""
        if mission and self.next_up and mission not in self.players and self.ledger.missions[mission].calls == 0:
            self.players[mission] = self.next_up.pop(0)
        return self.players.get(mission, self.player)

    async def _scenario(self, request: web.Request) -> web.StreamResponse:
        wanted = _parsed(await request.read())
        try:
            self.next_up.append(Player(load(Path(str(wanted["file"])))))
        except (ScenarioError, KeyError, TypeError) as error:
            return web.json_response({"ok": False, "error": str(error)}, status=400)
        return web.json_response({"ok": True, "waiting": len(self.next_up)})

    async def _missions(self, _: web.Request) -> web.StreamResponse:
        rows = {
            name: asdict(count)
            | {
                "in_flight": self.ledger.flying(name),
                "unused": self.players[name].unused() if name in self.players else [],
            }
            for name, count in self.ledger.missions.items()
            if name
        }
        return web.json_response({"missions": rows, "waiting": len(self.next_up)})

    async def _canaries(self, request: web.Request) -> web.StreamResponse:
        wanted = _parsed(await request.read())
        if not isinstance(wanted, dict):
            return web.json_response({"ok": False, "error": "send a JSON object with secrets, thoughts"}, status=400)
        self.ledger.plant(wanted.get("secrets") or [], wanted.get("thoughts") or [])
        return web.json_response({"ok": True})


@asynccontextmanager
async def serving(lab: Lab, port: int = 0, also_in: int | None = None) -> AsyncGenerator[str]:
    """The server on a loopback port for as long as the context lasts; yields its URL."""
    runner = web.AppRunner(lab.application(), handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        yield f"http://127.0.0.1:{await listen(runner, port, also_in)}"
    finally:
        await runner.cleanup()


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _flat(value: Any) -> str:
    """All texts of a JSON value, one per line, unescaped."""
    if isinstance(value, dict):
        return "\n".join(f"{key}\n{_flat(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "\n".join(_flat(item) for item in value)
    return str(value)


def _unauthorised(wire: Wire) -> RequestError:
    if wire.name == "anthropic":
        return RequestError(401, "authentication_error", "invalid x-api-key")
    text = "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys."
    return RequestError(401, "invalid_request_error", text, code="invalid_api_key")


def _sent(reply: Reply) -> web.StreamResponse:
    headers = dict(reply.headers)
    if isinstance(reply.body, str):
        kind = headers.pop("content-type", "text/plain")
        return web.Response(status=reply.status, text=reply.body, content_type=kind, headers=headers)
    return web.json_response(dict(reply.body), status=reply.status, headers=headers)
