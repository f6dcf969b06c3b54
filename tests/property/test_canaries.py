"""Canaries: secrets of every kind planted everywhere; none reaches Slack, the model, the log or the audit record (rule 22).

The parts are the real ones: loop, gate, redactor, Terraform's marks, the ways out to the model and to Slack, Slack's
renderer, the log. Only the model, the tool and the store are the strict fakes.
"""
# ruff: noqa: ARG002 - a double takes what the port takes

import contextlib
import io
import json
import logging
import random
import sys
from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from bot import log as logs
from bot.agents.answering import Answering
from bot.agents.health import CrewHealth
from bot.agents.hold import Hold
from bot.agents.loop import AgentLoop
from bot.domain import log
from bot.domain.calls import Prepared, ToolResult
from bot.domain.ids import Json
from bot.domain.model import ToolSpec
from bot.domain.ports import Done, Scope, Watch
from bot.domain.posts import File, Home, Modal, Notice, Progress
from bot.outgoing import DiscreetModel, discreet_body
from bot.policy.redaction import SecretRedactor
from bot.policy.streaming import redacted
from bot.policy.terraform_marks import mask
from bot.slack.render import render
from tests.canaries import KNOWN, SHAPED, awkward, pieces
from tests.core_fakes import (  # fmt: skip
    OPENED,
    TOKEN,
    MemoryJournal,
    ScriptedModel,
    calls,
    logged,
    never_over,
    persona,
    says,
    title,
    to,
)
from tests.fakes import ANA, BUILDER, FakeTool, FakeWatch
from tests.gate_house import House

RUNS = 500
PLACES = ("output", "chunks", "facts", "error", "file", "state", "environment", "speech", "thought", "arguments", "human", "log", "library")  # fmt: skip
FILLING = ("Nov 23 09:14:36 pve1 corosync[1]: link: host: 2 is up\n", "a line of words\n", "key: value\n", "\n")


@dataclass
class Leaky(FakeTool):
    """Says its text in pieces while it runs, then as its result."""

    chunks: list[str] = field(default_factory=list[str])

    async def run(self, prepared: Prepared, arguments: Any, scope: Scope, watch: Watch) -> Done:
        for chunk in self.chunks:
            await watch.progress("look", chunk)
        self._raise("run")
        self.ran += 1
        return Done(ToolResult(prepared.call.id, self.name, "ok", self.text, facts=dict(self.facts)))


class Run:
    """One mission turn with canaries in it; `seen` is all that any sink received."""

    def __init__(self, rng: random.Random, folder: Path) -> None:
        self.rng = rng
        self.planted: dict[str, str] = {}  # canary → kind
        self.house = House(folder)
        self.loaded = {f"secret_{n}": awkward(rng) for n in range(3)}
        self.house.redactor = SecretRedactor(**self.loaded)
        self.tool = Leaky("proxmox_read")
        self.house.set(redactor=self.house.redactor, tools={"proxmox_read": self.tool})
        self.watch = FakeWatch()
        self.sinks: dict[str, str] = {}

    def plant(self, kind: str) -> str:
        """A text with a new canary of this kind, among other lines."""
        rng = self.rng
        if kind in KNOWN:
            value = rng.choice(list(self.loaded.values()))
            text = KNOWN[kind](value)
            self.planted[value] = kind
            form = KNOWN[kind]("\0").partition("\0")[0]
            if form and kind != "base64 with a user":
                self.planted[text.removeprefix(form).rstrip("'\"})")] = kind
        else:
            text, canary = SHAPED[kind](rng)
            self.planted[canary] = kind
        before, after = (rng.choice(FILLING) * rng.randint(0, 3) for _ in range(2))
        return f"{before}{text}\n{after}"

    async def play(self, wanted: dict[str, list[str]], buffer: io.StringIO) -> None:
        """`wanted`: place → kinds."""
        text = {place: "".join(self.plant(kind) for kind in kinds) for place, kinds in wanted.items()}
        redactor, model = self.house.redactor, ScriptedModel()
        output = [text.get("output", ""), text.get("chunks", ""), text.get("environment", "")]
        output += ["".join(redacted(redactor.spans, pieces(self.rng, text.get("file", ""))))]
        output += [json.dumps(self.state_of(text.get("state", "")))]
        self.tool.text = "\n".join(output)
        self.tool.chunks = pieces(self.rng, text.get("chunks", ""))
        self.tool.facts = {"facts": {"env": text.get("facts", ""), "all": [text.get("facts", "")]}}
        if "error" in text:
            self.tool.raises["run"] = RuntimeError(text["error"])
        first = calls(to("proxmox_read", query=text.get("arguments", "")), text=text.get("speech", ""), thought=text.get("thought", ""))  # fmt: skip
        model.then(first, says(f"done {text.get('speech', '')}", thought=text.get("thought", "")))
        journal = await self.turn(model, text.get("human", "go on"))
        logs.logger("test").info("canary.logged", output=text.get("log", ""), more={"a": [text.get("log", "")]})
        logging.getLogger("library").warning("it said %s", text.get("library", ""))
        self.gather(model, journal, buffer)

    def state_of(self, text: str) -> Json:
        """A raw state whose marked value is learned and masked, as the Terraform tools do it."""
        if not text:
            return {}
        marked = awkward(self.rng)
        self.planted[marked] = "terraform mark"
        state: Json = {"values": {"note": text, "hidden": marked}, "sensitive_values": {"hidden": True}}
        masked = mask(state)
        self.house.redactor.learn(*masked.secrets)
        return {"state": masked.document, "again": f"x {marked} y"}

    async def turn(self, model: ScriptedModel, human: str) -> MemoryJournal:
        entries = (OPENED, log.HumanSaid(ANA, human, BUILDER, "2.0"), log.TurnStarted(1, BUILDER, "2-0"))
        journal = MemoryJournal(logged(entries))
        self.house.state = journal.state()
        hold = Hold(journal.state(), BUILDER, TOKEN, cast("Any", journal), self.house.clock, self.watch, lambda: False)
        crew = {BUILDER: persona(tools=("proxmox_read",))}
        answering = Answering(self.house.gate, frozenset[str](), title)
        specs = {"proxmox_read": ToolSpec("proxmox_read", "reads", {})}
        health = CrewHealth(cast("Any", journal), self.house.clock, title)
        loop = AgentLoop(DiscreetModel(model, self.house.redactor), answering, crew, specs, never_over, title, health)
        await loop.run(hold)
        assert model.used_up()
        return journal

    def gather(self, model: ScriptedModel, journal: MemoryJournal, buffer: io.StringIO) -> None:
        clean = discreet_body(self.house.redactor)
        bodies = [*journal.bodies, *(Progress(parts) for parts in self.watch.told), Notice(str(self.tool.raises))]
        shown = [render(shown) for body in bodies if not isinstance(shown := clean(body), Modal | File | Home)]
        progress = "".join(parts[-1].removesuffix("…") for parts in self.watch.told)
        self.sinks = {
            "Slack": "\n".join(_plain(message) for laid in shown for message in laid.messages) + progress,
            "the model": "\n".join(_plain(request.messages) for request in model.asked),
            "the log": buffer.getvalue(),
            "the audit record": "\n".join(_plain(asdict(event)) for event in self.house.audit.events),
            "files": "\n".join(content.decode() for content, _ in self.house.artifacts.stored.values()),
        }

    def leaks(self) -> list[str]:
        return [
            f"{kind}: {canary!r} reached {sink}"
            for sink, text in self.sinks.items()
            for canary, kind in self.planted.items()
            if canary in text or json.dumps(canary)[1:-1] in text
        ]


def _plain(value: object) -> str:
    """Every text in a value, unescaped, so that nothing hides behind a repr."""
    match value:
        case str():
            return value
        case dict():
            fields = cast("dict[object, object]", value)
            return "\n".join(f"{_plain(key)}\n{_plain(item)}" for key, item in fields.items())
        case list() | tuple():
            return "\n".join(_plain(item) for item in cast("list[object]", value))
        case None | int() | float():
            return str(value)
        case _:
            names = getattr(value, "__slots__", None) or getattr(value, "__dict__", {})
            return "\n".join(_plain(getattr(value, str(name))) for name in names)


@contextlib.contextmanager
def log_in(buffer: io.StringIO, run: Run) -> Generator[None]:
    """The real set-up of the log, with a stderr of our own under it."""
    root, stderr = logging.getLogger(), sys.stderr
    before = list(root.handlers)
    root.handlers, sys.stderr = [], buffer
    try:
        logs.set_up("info", run.house.redactor.text)
        structlog.configure(cache_logger_on_first_use=False)
        yield
    finally:
        root.handlers, sys.stderr = before, stderr
        structlog.reset_defaults()


def test_there_are_thirty_kinds_and_more() -> None:
    assert len(KNOWN) + len(SHAPED) >= 30


@pytest.mark.slow
async def test_rule_22_no_canary_gets_out_in_five_hundred_runs(tmp_path: Path) -> None:
    kinds = [*KNOWN, *SHAPED]
    met: set[tuple[str, str]] = set()
    for number in range(RUNS):
        rng = random.Random(number)
        run = Run(rng, tmp_path / str(number))
        wanted = {place: rng.sample(kinds, rng.randint(1, 2)) for place in rng.sample(PLACES, rng.randint(2, 6))}
        met |= {(place, kind) for place, found in wanted.items() for kind in found}
        buffer = io.StringIO()
        with log_in(buffer, run):
            await run.play(wanted, buffer)
        assert not run.leaks(), (number, wanted, run.leaks())
    assert {kind for _, kind in met} == set(kinds)
    assert {place for place, _ in met} == set(PLACES)
    assert len(met) > len(PLACES) * len(kinds) * 0.75


async def test_the_canaries_do_show_where_nothing_is_redacted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other half of the proof: with a redactor that lets everything through, each sink is caught red-handed."""

    def through(_: SecretRedactor, text: str) -> str:
        return text

    monkeypatch.setattr(SecretRedactor, "text", through)
    monkeypatch.setattr(SecretRedactor, "continued", lambda _self, _before, text: text)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType] # a double
    run = Run(random.Random(1), tmp_path)
    buffer = io.StringIO()
    with log_in(buffer, run):
        await run.play({place: ["github", "password"] for place in PLACES if place != "error"}, buffer)
    reached = {leak.rpartition(" reached ")[2] for leak in run.leaks()}
    assert reached >= {"Slack", "the model", "the log", "the audit record"}
