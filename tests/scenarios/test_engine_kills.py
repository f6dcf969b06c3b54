"""A worker dies at any exchange with the store; a second one with a short lease goes on. Nothing is lost or doubled."""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bot.domain import log
from bot.domain.approvals import ApprovalRequest
from bot.domain.ids import Json
from bot.domain.inbound import Reply, Said, StopAsked, VoteCast
from bot.domain.log import Entry
from bot.domain.model import ModelReply, ModelRequest, ProposedCall, Usage
from bot.domain.posts import ApprovalCard, Notice, Speech
from bot.domain.state import Mission
from bot.mission import mark_of
from bot.store.server import EmbeddedServer
from bot.store.store import Store
from tests.crew_house import THREAD, CrewHouse, filled
from tests.fakes import ANA, BO
from tests.mortal import LEASE_S, MortalLink, store_of

Made = tuple[str, dict[str, Json]]
RULES: dict[str, list[tuple[str, Made | str]]] = {  # of each agent: what it was told last → what it does
    "architect": [
        ("plan ok", ("hand_off", {"to": "builder", "task": "write main.tf"})),
        ("Build three VMs", ("plan", {
            "criteria": [{"text": "three machines run", "quote": "three VMs"}],
            "steps": [{"title": "machines", "owner": "builder", "serves": [1]}]})),
    ],
    "builder": [
        ("From architect", ("workspace_write", {"path": "main.tf", "content": "x"})),
        ("workspace_write ok", ("terraform_plan", {"directory": "."})),
        ("terraform_plan ok", ("hand_off", {"to": "sentinel", "task": "Review plan {plan}"})),
        ("From sentinel", ("terraform_apply", {"plan": "{plan}", "words": "now"})),
        ("terraform_apply ok", ("hand_off", {"to": "qa", "task": "show criterion 1"})),
        ("terraform_apply", "It did not run."),
    ],
    "sentinel": [
        ("Review plan", ("scan", {"plan": "{plan}"})),
        ("scan ok", ("record_verdict", {"revision": "{plan}", "checks": ["{result scan}"]})),
        ("record_verdict ok", ("hand_off", {"to": "builder", "task": "The verdict on plan {plan} is pass"})),
    ],
    "qa": [
        ("show criterion", ("proxmox_read", {"what": "vms"})),
        ("proxmox_read ok", ("record_evidence", {
            "criterion": 1, "outcome": "passed", "result": "{result proxmox_read}", "words": "seen",
            "check": "length(vms[?status=='running']) == `3`"})),
        ("record_evidence ok", "1 of 1 shown."),
    ],
}  # fmt: skip


async def reacting(persona: str, request: ModelRequest) -> ModelReply:
    """Answers from what it is told, so that it does not matter how often it was asked."""
    last = request.messages[-1].text
    made = next((made for told, made in RULES[persona] if re.search(told, last)), None)
    assert made is not None, f"no rule for {last[:200]!r}"
    usage = Usage(100, 10)
    if isinstance(made, str):
        return ModelReply("played", "", made, (), "end", usage, 0.01)
    arguments = filled(made[1], request)
    assert isinstance(arguments, dict)
    return ModelReply("played", "", "", (ProposedCall("x", made[0], arguments),), "calls", usage, 0.01)


class Deployment:
    """One mission. The first worker dies at its `dies_at`-th exchange, and a second one starts in that moment."""

    def __init__(self, server: EmbeddedServer, folder: Path, *, dies_at: int = 0, answered: bool = False) -> None:
        folder.mkdir(exist_ok=True)
        prefix = f"{secrets.token_hex(4)}:"
        self.links = [MortalLink(server, prefix) for _ in range(3)]  # the world's, the first and the second worker's
        self.links[1].dies_at, self.links[1].answered = dies_at, answered
        self.store: Store = store_of(self.links[0])
        self.house = CrewHouse(self.store, folder, reacting)
        self.entries: list[Entry] = []
        self.state: Mission
        self.requests: list[ApprovalRequest | None] = []

    async def live(self, *, stop: bool = False) -> None:
        await self.store.inbox.prepare()
        engines = [self.house.engine(store_of(link), f"w{n}", LEASE_S) for n, link in enumerate(self.links[1:], 1)]
        over = asyncio.Event()
        first = asyncio.create_task(engines[0].run(over))
        second = asyncio.create_task(self._second(engines[1].run, over))
        try:
            said = Said(THREAD, THREAD.ts, ANA, "@Architect Build three VMs.", ("architect",), in_thread=False)
            await self.store.inbox.put_said(said, delay_s=0.02)
            await self.house.quiet(30)
            await self.decide(stop=stop)
            await self.house.quiet(30)
        finally:
            over.set()
            self.links[1].bury()
            await asyncio.gather(first, second)
            await self.look()
            for link in self.links:
                await link.aclose()

    async def look(self) -> None:
        """What the store has at the end."""
        self.state = await self.house.mission()
        self.entries = [one.entry for one in await self.store.journal.read(self.state.id)]
        assert await self.store.journal.verify(self.state.id) is None
        asked = [entry.request for entry in self.entries if isinstance(entry, log.ApprovalAsked)]
        self.requests = [await self.store.approvals.get(request) for request in asked]

    async def _second(self, run: Callable[[asyncio.Event], Awaitable[None]], over: asyncio.Event) -> None:
        waits = [asyncio.create_task(self.links[1].died.wait()), asyncio.create_task(over.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if not over.is_set():
            await run(over)

    async def decide(self, *, stop: bool) -> None:
        card = next(post.body for post in self.house.shown if isinstance(post.body, ApprovalCard))
        reply = Reply(THREAD.team, THREAD.channel, THREAD.ts, BO, "t1", "A1", "1.0")
        if stop:
            await self.store.inbox.put_immediate(StopAsked(THREAD, BO, reply), once="stop")
        else:
            await self.store.inbox.put_immediate(VoteCast(card.request, "approve", "", "", reply), once="click")

    # what has to be true however it went --------------------------------------------------------------------------

    def count(self, kind: type[Entry]) -> int:
        return sum(isinstance(entry, kind) for entry in self.entries)

    def check(self) -> str:
        """Returns how the mission stands."""
        state, ran = self.state, self.house.tools["terraform_apply"].ran
        assert not self.house.model.wrong, self.house.model.wrong
        assert ran <= 1, "the apply ran twice"
        assert self.count(log.ApprovalAsked) == 1
        assert self.count(log.Planned) == 1
        self.turns_do_not_overlap()
        keys = [post.key for post in self.house.shown if isinstance(post.body, Speech)]
        assert len(keys) == len(set(keys)), "nothing is said twice"
        if state.parked == "unknown_outcome":
            told = [post.body.detail for post in self.house.shown if isinstance(post.body, Notice)]
            assert ran == 1 or any("cp1" in detail for detail in told), "the orphan is named"
            return "unknown"
        assert [mark_of(state, criterion) for criterion in state.criteria] == ["passed" if ran else "open"]
        assert self.count(log.HandedOff) == (4 if ran else 3)
        assert self.count(log.ApprovalEnded) == 1
        return state.ended

    def turns_do_not_overlap(self) -> None:
        """Rule 1, from the log."""
        open_turn = 0
        for entry in self.entries:
            match entry:
                case log.TurnStarted(turn):
                    assert not open_turn
                    open_turn = turn
                case log.ToolReturned() if entry.request is None:
                    assert entry.turn == open_turn
                case log.ModelReplied(turn) | log.Spoke(turn) | log.HandedOff(turn):
                    assert turn == open_turn
                case log.TurnEnded():
                    open_turn = 0
                case log.StopPressed():
                    open_turn = 0
                case _:
                    pass


async def exchanges_of_a_whole_life(server: EmbeddedServer, folder: Path, *, stop: bool = False) -> int:
    whole = Deployment(server, folder)
    await whole.live(stop=stop)
    assert whole.check() == ("stopped" if stop else "done")
    return whole.links[1].count


async def test_a_life_without_a_death_is_done(crew_server: EmbeddedServer, tmp_path: Path) -> None:
    assert await exchanges_of_a_whole_life(crew_server, tmp_path) > 100


PLACES = 12


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("part", range(3))
async def test_rule_4_rule_13_killed_anywhere_nothing_is_lost_or_doubled(
    part: int, crew_server: EmbeddedServer, tmp_path: Path, *, answered: bool
) -> None:
    most = await exchanges_of_a_whole_life(crew_server, tmp_path / "whole")
    places = [1 + (most * (3 * at + part)) // (3 * PLACES) for at in range(PLACES)]
    lives = [Deployment(crew_server, tmp_path / str(at), dies_at=at, answered=answered) for at in places]
    await asyncio.gather(*(life.live() for life in lives))
    ends = {at: life.check() for at, life in zip(places, lives, strict=True)}
    assert set(ends.values()) <= {"done", "unknown"}, ends
    assert list(ends.values()).count("unknown") <= 2, "only a death between consuming and the result leaves that"


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
async def test_rule_5_killed_while_stopping_it_stops(
    crew_server: EmbeddedServer, tmp_path: Path, *, answered: bool
) -> None:
    most = await exchanges_of_a_whole_life(crew_server, tmp_path / "whole", stop=True)
    places = [most - back for back in range(0, 24, 2)]
    lives = [Deployment(crew_server, tmp_path / str(at), dies_at=at, answered=answered) for at in places]
    await asyncio.gather(*(life.live(stop=True) for life in lives))
    for life in lives:
        assert life.check() == "stopped"
        assert [request.status for request in life.requests if request] == ["cancelled"]
        assert life.house.tools["terraform_apply"].ran == 0
