"""Missions with a past: a log of any length, as an agent that was asked many times would have left it."""

from dataclasses import dataclass

from bot.domain import log
from bot.domain.calls import CallClass, ToolResult
from bot.domain.ids import CallId, LaneKey, MissionId, Thread, Token
from bot.domain.model import ProposedCall, Usage
from bot.domain.state import Mission
from bot.domain.storage import Commit
from bot.mission import fold
from bot.store.store import Store
from tests.bench.house import ANA, ARCHITECT, LOOKED

REQUEST = "three VMs for control planes, spread over both nodes, with fixed addresses"
LEASE_S = 60.0
PRICELESS = 1e6  # extended so far that no limit of the mission's ends a bench


@dataclass(frozen=True, slots=True)
class Past:
    """A mission as it stands after its past."""

    id: MissionId
    thread: Thread
    entries: int


async def lived(store: Store, number: int, entries: int) -> Past:
    """Open mission in a thread of its own and give it `entries` log entries. Nobody holds its lane afterwards."""
    thread = Thread("T0LAB00001", "C0LAB00001", f"17000000{number:02d}.000100")
    token = await hold(store, thread.lane)
    opening = log.MissionOpened(
        mission=MissionId(""), estate="lab", environment="production", requester=ANA, thread=thread, request=REQUEST,
        addressed=ARCHITECT,
    )  # fmt: skip
    extended = log.BudgetExtended(ANA, PRICELESS)
    mission, logged = await store.journal.open(token, opening, Commit(entries=(extended,)))
    written, turn, cause = len(logged), 0, str(logged[0].id)
    while written < entries:
        turn += 1
        past = _turn(mission, turn, cause)
        written += len(await store.journal.commit(token, mission, Commit(entries=past)))
        if written < entries:
            said = log.HumanSaid(ANA, f"How far are you with number {turn}?", ARCHITECT, f"17000001{turn:02d}.0001")
            (heard,) = await store.journal.commit(token, mission, Commit(entries=(said,)))
            written, cause = written + 1, str(heard.id)
    await store.leases.release(token)
    await store.journal.keep(await state_of(store, mission))
    return Past(mission, thread, written)


async def state_of(store: Store, mission: MissionId) -> Mission:
    return fold(await store.journal.read(mission))


async def hold(store: Store, lane: LaneKey, *, lease_s: float = LEASE_S) -> Token:
    token = await store.leases.acquire(lane, "past", lease_s)
    assert token is not None, f"somebody holds {lane}"
    return token


def _turn(mission: MissionId, turn: int, cause: str) -> tuple[log.Entry, ...]:
    """A turn with one look at the cluster and an answer."""
    call = ProposedCall(f"{mission}-{turn}-0-0", "proxmox_read", {"what": "nodes"})
    result = ToolResult(CallId(call.id), call.tool, "ok", LOOKED, sha256="0" * 64, size=len(LOOKED))
    words = f"Both nodes are online and have room; the plan for number {turn} stands."
    return (
        log.TurnStarted(turn, ARCHITECT, cause),
        log.ModelAsked(turn, ARCHITECT),
        _replied(turn, "", (call,)),
        log.ToolReturned(turn, ARCHITECT, CallClass.READ, result),
        log.ModelAsked(turn, ARCHITECT),
        _replied(turn, words, ()),
        log.Spoke(turn, ARCHITECT, words),
        log.TurnEnded(turn, ARCHITECT, "spoke"),
    )


def _replied(turn: int, text: str, calls: tuple[ProposedCall, ...]) -> log.ModelReplied:
    stop = "calls" if calls else "end"
    return log.ModelReplied(turn, ARCHITECT, "openai:gpt-6.1-terra", "", text, calls, stop, Usage(900, 40), 0.0)
